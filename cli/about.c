/* about.c - ui, version. */
#include <stdio.h>

#include "base/json.h"
#include "base/version.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/verbs.h"

/* The token travels in the fragment: browsers send that to nobody, and the page moves it to
 * sessionStorage. */
static int run_ui(struct cli *cli, const void *config, char **words, int count)
{
    (void)config;
    (void)words;
    (void)count;
    CLI_TRY(cli_get(cli, NULL, "/v1/jobs?limit=1"));
    printf("%s/%s%s\n", cli->server, cli->token[0] ? "#token=" : "", cli->token);
    return EXIT_DONE;
}

static int run_version(struct cli *cli, const void *config, char **words, int count)
{
    (void)config;
    (void)words;
    (void)count;
    if (cli->output == OUTPUT_TABLE) {
        puts("reprise " REPRISE_VERSION);
        return EXIT_DONE;
    }
    CLEANUP(json_cleanup) json_t *version = json_pack("{s:s}", "version", REPRISE_VERSION);
    print_document(cli, version);
    return EXIT_DONE;
}

static const struct option_row ui_rows[] = {CLI_CONNECTION_ROWS, OPTION_END};
static const struct option_row version_rows[] = {CLI_OUTPUT_ROWS, OPTION_END};

const struct cli_verb verb_ui = {
    .program = {.name = "reprise ui",
                .synopsis = "[OPTION...]",
                .about =
                    "Print the status page's address, with the token in it: for your eyes only.",
                .rows = ui_rows},
    .config_bytes = sizeof(struct cli_common),
    .run = run_ui};
const struct cli_verb verb_version = {.program = {.name = "reprise version",
                                                  .synopsis = "[OPTION...]",
                                                  .about = "Print the version.",
                                                  .rows = version_rows},
                                      .config_bytes = sizeof(struct cli_common),
                                      .offline = true,
                                      .run = run_version};
