/*
 * main.c - `reprise VERB`: finds the verb, reads its options, connects, runs it.
 *
 * Options of the connection may stand before the verb: `reprise --server URL ps`.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/version.h"
#include "cli/cli.h"
#include "cli/verbs.h"

#define ARGS_MAX 1024

static const struct cli_verb *const verbs[] = {
    &verb_submit,       &verb_validate,     &verb_ps,         &verb_show,      &verb_watch,
    &verb_why,          &verb_logs,         &verb_metrics,    &verb_model,     &verb_cancel,
    &verb_retry,        &verb_checkpoint,   &verb_node_ls,    &verb_node_show, &verb_node_drain,
    &verb_node_undrain, &verb_node_fence,   &verb_node_token, &verb_data_ls,   &verb_data_add,
    &verb_token_ls,     &verb_token_create, &verb_token_rm,   &verb_ui,        &verb_version};

/* Verbs of the contract whose time has not come. */
static const char *const later[] = {"pause", "resume", "run", "top", "completion", "data fetch"};

/* Options that may stand before the verb and are followed by a value. */
static const char *const leading[] = {"--server",    "--token",      "--token-file",
                                      "--profile",   "--output",     "--config",
                                      "--log-level", "--log-format", "-o"};

static const char *verb_name(const struct cli_verb *verb)
{
    return verb->program.name + strlen("reprise ");
}

static void print_usage(FILE *out)
{
    fputs("Usage: reprise VERB [OPTION...] [WORD...]\n\n", out);
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        const char *about = verbs[i]->program.about;
        fprintf(out, "  %-14s %.*s\n", verb_name(verbs[i]), (int)strcspn(about, ":.;"), about);
    }
    fputs("\nreprise VERB --help tells a verb's options.\n"
          "The controller: --server URL or REPRISE_SERVER (default http://127.0.0.1:8484); the "
          "token: "
          "REPRISE_TOKEN,\n--token-file FILE, or $XDG_CONFIG_HOME/reprise/config.json.\n"
          "Jobs and nodes: an id, a unique start of one, or a name.\n\n"
          "Exit codes: 0 done, 1 request failed, 2 the watched job failed, 3 not found, 4 not "
          "allowed, 5 conflict,\n6 wait timed out, 7 controller unreachable, 64 usage, 130 "
          "interrupted.\n",
          out);
}

static bool takes_value(const char *argument)
{
    for (size_t i = 0; i < COUNT_OF(leading); i++)
        if (strcmp(leading[i], argument) == 0)
            return true;
    return false;
}

/* Index of the first word, after options of the connection; argc if there is none. */
static int find_verb_word(int argc, char **argv)
{
    int at = 1;
    while (at < argc && argv[at][0] == '-')
        at += takes_value(argv[at]) ? 2 : 1;
    return at < argc ? at : argc;
}

/* How many words of argv[at...] name this verb: 0, 1 or 2. */
static int words_that_match(const char *name, int argc, char **argv, int at)
{
    const size_t first = strcspn(name, " ");
    if (strlen(argv[at]) != first || strncmp(argv[at], name, first) != 0)
        return 0;
    if (name[first] == 0)
        return 1;
    return at + 1 < argc && strcmp(argv[at + 1], name + first + 1) == 0 ? 2 : 0;
}

static const struct cli_verb *find_verb(int argc, char **argv, int at, int *out_words)
{
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        *out_words = words_that_match(verb_name(verbs[i]), argc, argv, at);
        if (*out_words > 0)
            return verbs[i];
    }
    return NULL;
}

/* The verb that these words name, of those whose time has not come; NULL: none. */
static const char *find_later(int argc, char **argv, int at)
{
    for (size_t i = 0; i < COUNT_OF(later); i++)
        if (words_that_match(later[i], argc, argv, at) > 0)
            return later[i];
    return NULL;
}

/* The first of a verb's two words. */
static bool is_noun(const char *word)
{
    const size_t length = strlen(word);
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        if (strncmp(verb_name(verbs[i]), word, length) == 0 && verb_name(verbs[i])[length] == ' ')
            return true;
    return false;
}

/* What the user may have meant: the verbs of the same noun, or those with the same first letters. */
static int complain_unknown(int argc, char **argv, int at)
{
    const char *awaited = find_later(argc, argv, at);
    if (awaited) {
        fprintf(stderr, "reprise %s: comes in a later release\n", awaited);
        return EXIT_USAGE;
    }
    const bool two = at + 1 < argc && is_noun(argv[at]);
    fprintf(stderr, "reprise: there is no verb \"%s%s%s\"\n", argv[at], two ? " " : "",
            two ? argv[at + 1] : "");
    const char *separator = "hint: did you mean ";
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        const char *name = verb_name(verbs[i]);
        if (strncmp(name, argv[at], 2) != 0)
            continue;
        fprintf(stderr, "%sreprise %s", separator, name);
        separator = ", ";
    }
    fputs(*separator == ',' ? "?\n" : "hint: reprise --help lists the verbs\n", stderr);
    return EXIT_USAGE;
}

static int check_words(const struct cli_verb *verb, int count)
{
    if (count >= verb->words_min && count <= verb->words_max)
        return EXIT_DONE;
    fprintf(stderr, "%s: %s\nusage: %s %s\n", verb->program.name,
            count < verb->words_min ? "something is missing" : "too many words", verb->program.name,
            verb->program.synopsis);
    return EXIT_USAGE;
}

static int run_verb(const struct cli_verb *verb, int argc, char **argv)
{
    _Alignas(16) char config[CLI_CONFIG_BYTES_MAX] = {0};
    int words = 0;
    if (verb->config_bytes > sizeof config)
        return EXIT_USAGE;
    switch (option_parse(&verb->program, argc, argv, config, &words)) {
    case OPTION_EXIT_OK:
        return EXIT_DONE;
    case OPTION_EXIT_USAGE:
        return EXIT_USAGE;
    case OPTION_RUN:
        break;
    }
    CLI_TRY(check_words(verb, words));
    struct cli cli = {.program = verb->program.name};
    int rc = cli_open(&cli, (const struct cli_common *)(const void *)config, verb->offline);
    if (rc == EXIT_DONE)
        rc = verb->run(&cli, config, argv + 1, words);
    cli_close(&cli);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return rc;
    fprintf(stderr, "%s: standard output: %s\n", verb->program.name, strerror(errno));
    return rc == EXIT_DONE ? EXIT_REQUEST_FAILED : rc;
}

int main(int argc, char **argv)
{
    const int at = find_verb_word(argc, argv);
    if (at == argc) {
        const bool help = argc > 1 && strcmp(argv[1], "--help") == 0;
        const bool version = argc > 1 && strcmp(argv[1], "--version") == 0;
        if (version)
            puts("reprise " REPRISE_VERSION);
        else
            print_usage(help ? stdout : stderr);
        return help || version ? EXIT_DONE : EXIT_USAGE;
    }
    /* `reprise help node ls` is `reprise node ls --help`. */
    const bool help = strcmp(argv[at], "help") == 0;
    if (help && at + 1 == argc) {
        print_usage(stdout);
        return EXIT_DONE;
    }
    int words = 0;
    const int from = help ? at + 1 : at;
    const struct cli_verb *verb = find_verb(argc, argv, from, &words);
    if (!verb)
        return complain_unknown(argc, argv, from);
    if (help) {
        option_print_help(&verb->program);
        return EXIT_DONE;
    }
    if (argc > ARGS_MAX) {
        fprintf(stderr, "reprise: more than %d arguments\n", ARGS_MAX);
        return EXIT_USAGE;
    }
    /* The verb's words go away; options before and after them stay. */
    char *rest[ARGS_MAX + 1] = {argv[0]};
    int count = 1;
    for (int i = 1; i < argc; i++)
        if (i < at || i >= at + words)
            rest[count++] = argv[i];
    rest[count] = NULL;
    return run_verb(verb, count, rest);
}
