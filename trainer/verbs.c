#include "trainer/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "base/version.h"

static const struct verb *const verbs[] = {&verb_train,   &verb_decode,    &verb_evaluate,
                                           &verb_predict, &verb_make_data, &verb_numerics};

int verb_fail(const struct error *err, int code)
{
    log_write(LOG_ERROR, "trainer_failed", err->text, NULL);
    return code;
}

static const char *name_of(const struct verb *verb)
{
    return verb->program.name + strlen(VERB_PREFIX);
}

static void print_usage(FILE *out)
{
    (void)fputs("Usage: reprise-trainer VERB [WORD] [options]\n\n", out);
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        const struct option_program *program = &verbs[i]->program;
        (void)fprintf(out, "  %-10s %s\n  %-10s   %.*s\n", name_of(verbs[i]), program->synopsis, "",
                      (int)strcspn(program->about, ":.\n"), program->about);
    }
    (void)fputs(
        "\nreprise-trainer VERB --help tells what it does, its options and its exit codes.\n"
        "Without arguments this is one rank of a gang, whose job comes from the environment that "
        "an\n"
        "agent sets up.\n\n"
        "exit codes:\n"
        "  0 done, 64 usage or a bad spec, 65 bad data, 69 peer lost, 70 internal error,\n"
        "  71 device fault, 73 cannot write, 75 stopped with a checkpoint\n",
        out);
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        if (strcmp(name_of(verbs[i]), name) == 0)
            return verbs[i];
    }
    return NULL;
}

static int refuse_verb(const char *word)
{
    const char *names[COUNT_OF(verbs) + 1] = {NULL};
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        names[i] = name_of(verbs[i]);
    const char *closest = text_closest(names, word);
    (void)fprintf(stderr, "reprise-trainer: expected a verb, got \"%.64s\"%s%s%s\n", word,
                  closest == NULL ? "" : ", did you mean \"", closest == NULL ? "" : closest,
                  closest == NULL ? "" : "\"?");
    (void)fputs("Try 'reprise-trainer --help'.\n", stderr);
    return EXIT_USAGE;
}

static int refuse_words(const struct verb *verb, char *const *words, int count)
{
    const char *name = verb->program.name;
    if (verb->word != NULL && count == 0)
        (void)fprintf(stderr, "%s: expected %s, got nothing\n", name, verb->word);
    else if (verb->word != NULL)
        (void)fprintf(stderr, "%s: expected %s alone, got \"%.64s\" beside it\n", name, verb->word,
                      words[1]);
    else
        (void)fprintf(stderr, "%s: expected no words, got \"%.64s\"\n", name, words[0]);
    (void)fprintf(stderr, "Try '%s --help'.\n", name);
    return EXIT_USAGE;
}

static int run_verb(const struct verb *verb, int argc, char **argv)
{
    struct verb_config config = {.data = NULL};
    int words = 0;
    switch (option_parse(&verb->program, argc, argv, &config, &words)) {
    case OPTION_EXIT_OK:
        return 0;
    case OPTION_EXIT_USAGE:
        return EXIT_USAGE;
    case OPTION_RUN:
        break;
    }
    if (words != (verb->word == NULL ? 0 : 1))
        return refuse_words(verb, argv + 1, words);
    const int code = verb->run(&config, verb->word == NULL ? NULL : argv[1]);
    if (fflush(stdout) == 0 || code != TRAINER_EXIT_DONE)
        return code;
    struct error err = {.status = STATUS_OK};
    (void)error_set_errno(&err, STATUS_NO_SPACE, errno, "write to standard output");
    return verb_fail(&err, TRAINER_EXIT_CANNOT_WRITE);
}

/* `help train` is `train --help`. */
static int help(const char *word)
{
    const struct verb *verb = word == NULL ? NULL : find_verb(word);
    if (word != NULL && verb == NULL)
        return refuse_verb(word);
    if (verb != NULL)
        option_print_help(&verb->program);
    else
        print_usage(stdout);
    return 0;
}

int verbs_run(int argc, char **argv)
{
    if (strcmp(argv[1], "--version") == 0) {
        (void)puts("reprise-trainer " REPRISE_VERSION);
        return 0;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help(NULL);
    if (strcmp(argv[1], "help") == 0)
        return help(argc > 2 ? argv[2] : NULL);
    const struct verb *verb = find_verb(argv[1]);
    return verb == NULL ? refuse_verb(argv[1]) : run_verb(verb, argc - 1, argv + 1);
}
