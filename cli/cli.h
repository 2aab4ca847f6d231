#ifndef CLI_CLI_H
#define CLI_CLI_H

/*
 * cli.h - what every verb of `reprise` shares: the connection, the exit codes, requests that report
 * their own failures, and names that become ids.
 *
 * A verb is one const struct cli_verb: its option table (which is also its help), how many words it
 * takes and a function. main.c parses, opens the connection and calls it. Functions that return
 * `int` return an exit code and, when it is not EXIT_DONE, have said why on stderr: a verb hands it
 * on with CLI_TRY.
 *
 * Threads: one; interrupt.h adds one that waits for Ctrl-C.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/http_client.h"
#include "base/id.h"
#include "base/option.h"

/* What scripts rely on. EXIT_USAGE (64) is option.h's. */
enum cli_exit {
    EXIT_DONE = 0,
    EXIT_REQUEST_FAILED = 1,
    EXIT_JOB_FAILED = 2, /* the job that was watched or waited for did not succeed */
    EXIT_NOT_FOUND = 3,
    EXIT_NOT_ALLOWED = 4,
    EXIT_CONFLICT = 5,
    EXIT_TIMED_OUT = 6,
    EXIT_UNREACHABLE = 7,
    EXIT_INTERRUPTED = 130,
};

enum cli_output { OUTPUT_TABLE, OUTPUT_WIDE, OUTPUT_JSON, OUTPUT_JSONL, OUTPUT_CSV, OUTPUT_NAME };
extern const char *const cli_output_names[];

/* First member of every verb's configuration. */
struct cli_common {
    const char *server;
    const char *token;
    const char *token_file;
    const char *profile;
    int output; /* enum cli_output */
    bool json;
};

/* Rows of the connection for a verb's option table. */
#define CLI_CONNECTION_ROWS                                                                      \
    {.name = "server",                                                                           \
     .kind = OPTION_TEXT,                                                                        \
     .offset = offsetof(struct cli_common, server),                                              \
     .value = "URL",                                                                             \
     .help = "the controller's API (default http://127.0.0.1:8484)"},                            \
        {.name = "token-file",                                                                   \
         .kind = OPTION_TEXT,                                                                    \
         .offset = offsetof(struct cli_common, token_file),                                      \
         .value = "FILE",                                                                        \
         .help = "file that holds the bearer token"},                                            \
        {.name = "token",                                                                        \
         .kind = OPTION_TEXT,                                                                    \
         .offset = offsetof(struct cli_common, token),                                           \
         .value = "TOKEN",                                                                       \
         .help = "the token itself; others can read a command line, REPRISE_TOKEN they cannot"}, \
    {                                                                                            \
        .name = "profile", .kind = OPTION_TEXT, .offset = offsetof(struct cli_common, profile),  \
        .value = "NAME", .help = "profile of the configuration file"                             \
    }

/* Rows of the output format. */
#define CLI_OUTPUT_ROWS                                                                   \
    {.name = "output",                                                                    \
     .kind = OPTION_ENUM,                                                                 \
     .offset = offsetof(struct cli_common, output),                                       \
     .names = cli_output_names,                                                           \
     .initial = "table",                                                                  \
     .letter = 'o',                                                                       \
     .value = "FORMAT",                                                                   \
     .help = "how to print"},                                                             \
    {                                                                                     \
        .name = "json", .kind = OPTION_FLAG, .offset = offsetof(struct cli_common, json), \
        .help = "short for -o json"                                                       \
    }

#define CLI_COMMON_ROWS CLI_CONNECTION_ROWS, CLI_OUTPUT_ROWS

struct cli {
    const char *program; /* "reprise ps", for messages */
    enum cli_output output;
    bool stdout_tty;
    bool colour;
    int width; /* columns of the terminal; 0: no terminal, never truncate */
    char server[256];
    char token[256];            /* empty: none */
    struct http_client *client; /* NULL for offline verbs */
};

struct cli_verb {
    struct option_program program; /* .name is "reprise ps" or "reprise node ls" */
    size_t config_bytes;           /* size of its configuration, whose first member is cli_common */
    int words_min, words_max;      /* words after the verb; CLI_WORDS_ANY: no limit */
    bool offline;                  /* needs no controller */
    int (*run)(struct cli *cli, const void *config, char **words, int count);
};

#define CLI_WORDS_ANY          1024
#define CLI_CONFIG_BYTES_MAX   4096
#define CLI_ANSWER_BYTES_MAX   (64 * MIB)
#define CLI_PATH_BYTES         1024
#define CLI_REQUEST_TIMEOUT_MS 60000

/* Returns from the caller with a failing exit code. */
#define CLI_TRY(call)                 \
    do {                              \
        const int cli_exit_ = (call); \
        if (cli_exit_ != EXIT_DONE)   \
            return cli_exit_;         \
    } while (0)

/* ---- connection (connect.c) ---- */

/* Server and token from flags, environment and configuration file; opens nothing yet but a client. */
int cli_open(struct cli *cli, const struct cli_common *common, bool offline);
void cli_close(struct cli *cli);

/* ---- requests (request.c) ---- */

/* One request. Any failure is reported. *out_json (may be NULL) is a new reference, or NULL. */
int cli_call(struct cli *cli, const char *method, const char *path, const json_t *body,
             json_t **out_json);
/* The same with everything that http_client offers; the body of an error answer must be in out_body. */
int cli_exchange(struct cli *cli, struct http_exchange *exchange);
/* Reports the problem document of an answer with this code; returns the exit code. */
int cli_report_problem(const struct cli *cli, long code, const char *body, size_t size);
/* "  /training/epochs: expected integer 1..1000000, got string "x"" on stderr. */
void cli_print_problem(const char *pointer, const char *expected, const char *got);
/* GET of a formatted path. */
int cli_get(struct cli *cli, json_t **out_json, const char *fmt, ...) PRINTF_LIKE(3, 4);
/*
 * All pages of a list, at most `max` items, as one array. `path` may have a query.
 * *out_more (may be NULL) says whether there are more.
 */
int cli_list(struct cli *cli, const char *path, size_t max, json_t **out_items, bool *out_more);

/* "reprise ps: <text>" on stderr. */
void cli_complain(const struct cli *cli, const char *fmt, ...) PRINTF_LIKE(2, 3);
int cli_exit_of_status(enum status status);
/* Reports an error of our own libraries; returns its exit code. */
int cli_report(const struct cli *cli, const struct error *err);

/* ---- names (resolve.c) ---- */

/*
 * An id, a unique prefix of one (with or without "job_"), or a job's name. Of jobs that share a name
 * the only live one is meant, else the newest if `newest_will_do`; else it is an error that lists them.
 */
int cli_resolve_job(struct cli *cli, const char *text, bool newest_will_do, char out[ID_BYTES_MAX]);
/* An id, a unique prefix of one, or a unique host name. */
int cli_resolve_node(struct cli *cli, const char *text, char out[ID_BYTES_MAX]);

#endif
