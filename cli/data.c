/* data.c - registered data sets: data ls, add. */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/env.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/verbs.h"

#define DATASETS_MAX     100000
#define UNREGISTERED_MAX 50 /* that are told */

static const struct column dataset_columns[] = {
    {.title = "NAME", .path = "name"},
    {.title = "PATH", .path = "path"},
    {.title = "UPDATED", .path = "updated_at", .wide = true},
    COLUMN_END};

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static bool is_registered(const json_t *datasets, const char *name, const char *path)
{
    size_t i = 0;
    json_t *dataset = NULL;
    json_array_foreach(datasets, i, dataset) {
        if (strcmp(field_text(dataset, "name", ""), name) == 0 ||
            strcmp(field_text(dataset, "path", ""), path) == 0)
            return true;
    }
    return false;
}

/* The folders in $REPRISE_DATA that are no data set yet: on stderr, so that the list stays a list. */
static void tell_unregistered(const json_t *datasets)
{
    const char *root = env_get("REPRISE_DATA");
    struct dirent **entries = NULL;
    const int count = root && *root ? scandir(root, &entries, is_visible, alphasort) : 0;
    int told = 0;
    for (int i = 0; i < count; i++) {
        char path[PATH_MAX];
        struct stat about;
        const char *name = entries[i]->d_name;
        const int size = snprintf(path, sizeof path, "%s/%s", root, name);
        if (told < UNREGISTERED_MAX && size > 0 && (size_t)size < sizeof path &&
            stat(path, &about) == 0 && S_ISDIR(about.st_mode) &&
            !is_registered(datasets, name, path)) {
            fprintf(stderr, "not registered: %s; reprise data add %s %s\n", name, name, path);
            told++;
        }
        free(entries[i]);
    }
    free(entries);
}

static int run_ls(struct cli *cli, const void *config, char **words, int count)
{
    (void)config;
    (void)words;
    (void)count;
    CLEANUP(json_cleanup) json_t *datasets = NULL;
    CLI_TRY(cli_list(cli, "/v1/datasets", DATASETS_MAX, &datasets, NULL));
    print_list(cli, dataset_columns, "name", datasets);
    if (cli->output == OUTPUT_TABLE || cli->output == OUTPUT_WIDE)
        tell_unregistered(datasets);
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
                                                  .about =
                                                      "List registered data sets; $REPRISE_DATA is "
                                                      "searched for more.",
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
