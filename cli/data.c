/* data.c - registered data sets: data ls, add. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/verbs.h"

#define DATASETS_MAX 100000

static const struct column dataset_columns[] = {
    {.title = "NAME", .path = "name"},
    {.title = "PATH", .path = "path"},
    {.title = "UPDATED", .path = "updated_at", .wide = true},
    COLUMN_END};

static int run_ls(struct cli *cli, const void *config, char **words, int count)
{
    (void)config;
    (void)words;
    (void)count;
    CLEANUP(json_cleanup) json_t *datasets = NULL;
    CLI_TRY(cli_list(cli, "/v1/datasets", DATASETS_MAX, &datasets, NULL));
    print_list(cli, dataset_columns, "name", datasets);
    return EXIT_DONE;
}

static int run_add(struct cli *cli, const void *config, char **words, int count)
{
    (void)config;
    (void)count;
    /* The path is the nodes'; if it is also here, a relative one means the same. */
    char absolute[PATH_MAX];
    const char *path = realpath(words[1], absolute) ? absolute : words[1];
    CLEANUP(json_cleanup) json_t *body = json_pack("{s:s,s:s}", "name", words[0], "path", path);
    CLEANUP(json_cleanup) json_t *answer = NULL;
    CLI_TRY(cli_call(cli, "POST", "/v1/datasets", body, &answer));
    print_object(cli, dataset_columns, "name", answer);
    return EXIT_DONE;
}

static const struct option_row data_rows[] = {CLI_COMMON_ROWS, OPTION_END};

const struct cli_verb verb_data_ls = {.program = {.name = "reprise data ls",
                                                  .synopsis = "[OPTION...]",
                                                  .about = "List registered data sets.",
                                                  .rows = data_rows},
                                      .config_bytes = sizeof(struct cli_common),
                                      .run = run_ls};
const struct cli_verb verb_data_add = {
    .program = {.name = "reprise data add",
                .synopsis = "[OPTION...] NAME PATH",
                .about =
                    "Register a folder, which must be at this path on every node, as a data set.",
                .rows = data_rows},
    .config_bytes = sizeof(struct cli_common),
    .words_min = 2,
    .words_max = 2,
    .run = run_add};
