/* control.c - asking for something: cancel, retry, checkpoint. Each takes any number of jobs. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "schema/names.h"

static bool has_ended(const char *state)
{
    const int index = name_index(job_state_names, state);
    return index >= 0 && job_state_is_terminal((enum job_state)index);
}

/* Says what came of it; a checkpoint of a job that has ended is none, though the request is no error. */
static int tell(struct cli *cli, const char *action, const char *said, const char *id,
                const json_t *answer)
{
    const char *state = field_text(answer, "state", "");
    const bool other = strcmp(field_text(answer, "id", id), id) != 0;
    if (has_ended(state) && strcmp(action, "checkpoint") == 0) {
        cli_complain(cli, "%s has ended: %s", id, state);
        return EXIT_CONFLICT;
    }
    if (cli->output != OUTPUT_TABLE)
        return EXIT_DONE;
    if (other)
        printf("%s: %s %s\n", id, said, field_text(answer, "id", ""));
    else if (has_ended(state))
        printf("%s: has ended: %s\n", id, state);
    else
        printf("%s: %s\n", id, said);
    return EXIT_DONE;
}

/* Posts to each job; all are tried, the first failure is the exit code. */
static int ask_each(struct cli *cli, const char *action, const char *said, char **words, int count)
{
    int first_failure = EXIT_DONE;
    CLEANUP(json_cleanup) json_t *answers = json_array();
    for (int i = 0; i < count; i++) {
        char id[ID_BYTES_MAX];
        char path[CLI_PATH_BYTES];
        CLEANUP(json_cleanup) json_t *answer = NULL;
        int rc = cli_resolve_job(cli, words[i], false, id);
        snprintf(path, sizeof path, "/v1/jobs/%s/%s", rc == EXIT_DONE ? id : "", action);
        if (rc == EXIT_DONE)
            rc = cli_call(cli, "POST", path, NULL, &answer);
        if (rc == EXIT_DONE) {
            json_array_append(answers, answer);
            rc = tell(cli, action, said, id, answer);
        }
        first_failure = first_failure == EXIT_DONE ? rc : first_failure;
    }
    if (cli->output != OUTPUT_TABLE)
        print_jobs(cli, answers);
    return first_failure;
}

static int run_cancel(struct cli *cli, const void *config, char **words, int count)
{
    (void)config;
    return ask_each(cli, "cancel", "is being cancelled", words, count);
}

static int run_retry(struct cli *cli, const void *config, char **words, int count)
{
    (void)config;
    return ask_each(cli, "retry", "is tried again as", words, count);
}

static int run_checkpoint(struct cli *cli, const void *config, char **words, int count)
{
    (void)config;
    return ask_each(cli, "checkpoint", "will write a checkpoint", words, count);
}

static const struct option_row control_rows[] = {CLI_COMMON_ROWS, OPTION_END};

#define CONTROL_VERB(verb, text)                                                               \
    {                                                                                          \
        .program = {.name = "reprise " #verb,                                                  \
                    .synopsis = "[OPTION...] JOB...",                                          \
                    .about = text,                                                             \
                    .rows = control_rows},                                                     \
        .config_bytes = sizeof(struct cli_common), .words_min = 1, .words_max = CLI_WORDS_ANY, \
        .run = run_##verb                                                                      \
    }

const struct cli_verb verb_cancel =
    CONTROL_VERB(cancel, "Cancel jobs: their ranks write a checkpoint and stop.");
const struct cli_verb verb_retry =
    CONTROL_VERB(retry, "Run ended jobs again: each becomes a new job with the same spec.");
const struct cli_verb verb_checkpoint =
    CONTROL_VERB(checkpoint, "Ask running jobs for a checkpoint now.");
