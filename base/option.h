#ifndef BASE_OPTION_H
#define BASE_OPTION_H

/*
 * option.h - one table of options per program: flag, environment name and configuration file in
 * one; help, validation and limits come from the table. A flag beats the environment, which beats
 * the file (--config FILE, a JSON object with the flags' names), which beats the default.
 *
 *     static const struct option_row options[] = {
 *         {"data", OPTION_TEXT, offsetof(struct config, data), .required = true,
 *          .value = "DIR", .help = "folder that holds the database"},
 *         {"profile", OPTION_ENUM, offsetof(struct config, profile), .names = profile_names,
 *          .initial = "default", .value = "NAME", .help = "timing profile"},
 *         OPTION_END};
 *
 * The environment name of --join-token-file is REPRISE_JOIN_TOKEN_FILE. Common to all programs:
 * --help, --version, --log-level, --log-format, --config; option_parse() applies the two of the log
 * with log_setup(). A source that names a list replaces the list of a weaker source.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum option_kind {
    OPTION_FLAG, /* bool in the struct */
    OPTION_TEXT, /* const char *, borrowed for the life of the process */
    OPTION_INT,  /* int64_t, min..max */
    OPTION_ENUM, /* int: index in names */
    OPTION_LIST, /* struct option_list: may be repeated */
};

#define OPTION_LIST_MAX 32

struct option_list {
    size_t count;
    const char *items[OPTION_LIST_MAX];
};

struct option_row {
    const char *name; /* without dashes; NULL ends the table */
    enum option_kind kind;
    size_t offset; /* in the program's configuration struct */
    bool required;
    int64_t min, max;
    const char *const *names; /* OPTION_ENUM: ends with NULL */
    const char *initial;      /* default as text; NULL leaves the struct's value */
    const char *value;        /* word in the help: DIR, URL, N */
    const char *help;
    char letter; /* short form, or 0 */
    /* NULL: REPRISE_ and the name. "": none, for names that mean something else there. */
    const char *environment;
};

#define OPTION_END   \
    {                \
        .name = NULL \
    }

struct option_program {
    const char *name;     /* "reprise-service" */
    const char *synopsis; /* after the name in the usage line */
    const char *about;    /* one paragraph for --help */
    const struct option_row *rows;
    const char *epilogue; /* after the options in --help: examples, exit codes; may be NULL */
};

#define OPTION_ROWS_MAX 64

enum option_outcome { OPTION_RUN, OPTION_EXIT_OK, OPTION_EXIT_USAGE };

/*
 * Fills `config` from defaults, --config file, environment and argv. Words that are no options are
 * moved to argv[1..*out_words]; after "--" everything is a word. Prints help, version or the error
 * itself and says what main should do. Exit code for usage errors: 64.
 */
enum option_outcome option_parse(const struct option_program *program, int argc, char **argv,
                                 void *config, int *out_words);
void option_print_help(const struct option_program *program);

#define EXIT_USAGE 64

#endif
