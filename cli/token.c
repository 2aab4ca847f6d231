/* token.c - tokens of people and programs: token ls, create, rm. */
#include <stdio.h>

#include "base/json.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/verbs.h"

#define TOKENS_MAX 100000

static const struct column token_columns[] = {{.title = "ID", .path = "id"},
                                              {.title = "NAME", .path = "name"},
                                              {.title = "ROLE", .path = "role"},
                                              {.title = "PROJECT", .path = "project"},
                                              {.title = "CREATED", .path = "created_at"},
                                              {.title = "EXPIRES", .path = "expires_at"},
                                              COLUMN_END};

static int run_ls(struct cli *cli, const void *config, char **words, int count)
{
    (void)config;
    (void)words;
    (void)count;
    CLEANUP(json_cleanup) json_t *tokens = NULL;
    CLI_TRY(cli_list(cli, "/v1/tokens", TOKENS_MAX, &tokens, NULL));
    print_list(cli, token_columns, "id", tokens);
    return EXIT_DONE;
}

struct create_config {
    struct cli_common common;
    const char *role;
    const char *project;
    const char *name;
    const char *expires_in;
};

static int run_create(struct cli *cli, const void *config, char **words, int count)
{
    (void)words;
    (void)count;
    const struct create_config *create = config;
    CLEANUP(json_cleanup) json_t *body = json_object();
    CLEANUP(json_cleanup) json_t *answer = NULL;
    json_object_set_new(body, "role", json_string(create->role));
    if (create->project)
        json_object_set_new(body, "project", json_string(create->project));
    if (create->name)
        json_object_set_new(body, "name", json_string(create->name));
    if (create->expires_in)
        json_object_set_new(body, "expires_in", json_string(create->expires_in));
    CLI_TRY(cli_call(cli, "POST", "/v1/tokens", body, &answer));
    if (cli->output != OUTPUT_TABLE && cli->output != OUTPUT_NAME) {
        print_object(cli, token_columns, "id", answer);
        return EXIT_DONE;
    }
    puts(field_text(answer, "token", "")); /* for reprise token create > file */
    if (cli->stdout_tty)
        fprintf(stderr, "%s; it is shown only this once\n", field_text(answer, "id", ""));
    return EXIT_DONE;
}

static int run_rm(struct cli *cli, const void *config, char **words, int count)
{
    (void)config;
    int first_failure = EXIT_DONE;
    for (int i = 0; i < count; i++) {
        CLEANUP(buf_clear) struct buf path;
        buf_init(&path, CLI_PATH_BYTES);
        buf_append_text(&path, "/v1/tokens/");
        url_append_escaped(&path, words[i]);
        const int rc = cli_call(cli, "DELETE", path.data, NULL, NULL);
        if (rc == EXIT_DONE && cli->output == OUTPUT_TABLE)
            printf("%s: revoked\n", words[i]);
        first_failure = first_failure == EXIT_DONE ? rc : first_failure;
    }
    return first_failure;
}

static const struct option_row token_rows[] = {CLI_COMMON_ROWS, OPTION_END};

static const struct option_row create_rows[] = {
    {.name = "role",
     .environment = "",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct create_config, role),
     .value = "ROLE",
     .required = true,
     .help = "viewer, submitter or operator"},
    {.name = "project",
     .environment = "",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct create_config, project),
     .value = "NAME",
     .help = "good for this project alone"},
    {.name = "name",
     .environment = "",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct create_config, name),
     .value = "TEXT",
     .help = "whose it is"},
    {.name = "expires-in",
     .environment = "",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct create_config, expires_in),
     .value = "DURATION",
     .help = "good for so long, such as 30d (default: until it is revoked)"},
    CLI_COMMON_ROWS,
    OPTION_END};

const struct cli_verb verb_token_ls = {
    .program = {.name = "reprise token ls",
                .synopsis = "[OPTION...]",
                .about = "List tokens; their secrets are known to nobody but their holders.",
                .rows = token_rows},
    .config_bytes = sizeof(struct cli_common),
    .run = run_ls};
const struct cli_verb verb_token_create = {.program = {.name = "reprise token create",
                                                       .synopsis = "--role ROLE [OPTION...]",
                                                       .about = "Make a token and print it.",
                                                       .rows = create_rows},
                                           .config_bytes = sizeof(struct create_config),
                                           .run = run_create};
const struct cli_verb verb_token_rm = {.program = {.name = "reprise token rm",
                                                   .synopsis = "[OPTION...] TOKEN_ID...",
                                                   .about = "Revoke tokens.",
                                                   .rows = token_rows},
                                       .config_bytes = sizeof(struct cli_common),
                                       .words_min = 1,
                                       .words_max = CLI_WORDS_ANY,
                                       .run = run_rm};
