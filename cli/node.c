/* node.c - the machines: node ls, show, drain, undrain, fence, token. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/verbs.h"

#define NODES_MAX 100000

static void cell_slots(const json_t *node, struct buf *out)
{
    size_t used = 0;
    size_t i = 0;
    json_t *slot = NULL;
    const json_t *slots = json_object_get(node, "slots");
    json_array_foreach(slots, i, slot)
        used += json_is_string(json_object_get(slot, "job"));
    buf_printf(out, "%zu/%zu", used, json_array_size(slots));
}

static void cell_lease(const json_t *node, struct buf *out)
{
    const json_t *lease = json_object_get(node, "lease_remaining_ms");
    if (json_is_integer(lease))
        format_span((int64_t)json_integer_value(lease), out);
}

static void cell_labels(const json_t *node, struct buf *out)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)json_object_get(node, "labels"), key, value)
        buf_printf(out, "%s%s=%s", out->size ? "," : "", key,
                   json_is_string(value) ? json_string_value(value) : "");
}

static const struct column node_columns[] = {
    {.title = "ID", .path = "id"},
    {.title = "HOSTNAME", .path = "hostname"},
    {.title = "ADDRESS", .path = "address", .wide = true},
    {.title = "STATE", .path = "state", .state = true},
    {.title = "SLOTS", .format = cell_slots, .right = true},
    {.title = "LEASE", .format = cell_lease, .right = true},
    {.title = "VERSION", .path = "version", .wide = true},
    {.title = "LABELS", .format = cell_labels},
    COLUMN_END};

/* ---------------------------------------------------------------- ls, show */

static int run_ls(struct cli *cli, const void *config, char **words, int count)
{
    (void)config;
    (void)words;
    (void)count;
    CLEANUP(json_cleanup) json_t *nodes = NULL;
    CLI_TRY(cli_list(cli, "/v1/nodes", NODES_MAX, &nodes, NULL));
    print_list(cli, node_columns, "id", nodes);
    return EXIT_DONE;
}

static void show_node(const struct cli *cli, const json_t *node)
{
    const char *state = field_text(node, "state", "?");
    CLEANUP(buf_clear) struct buf labels;
    CLEANUP(buf_clear) struct buf lease;
    buf_init(&labels, CELL_BYTES_MAX);
    buf_init(&lease, CELL_BYTES_MAX);
    cell_labels(node, &labels);
    cell_lease(node, &lease);
    printf(
        "node      %s\nhostname  %s\naddress   %s\nstate     %s%s%s\nlease     %s\nlabels    %s\n",
        field_text(node, "id", "?"), field_text(node, "hostname", ""),
        field_text(node, "address", ""), colour_of_state(cli, state), state, colour_off(cli),
        lease.data, labels.data);
    size_t i = 0;
    json_t *slot = NULL;
    json_array_foreach(json_object_get(node, "slots"), i, slot) {
        printf("slot      %s", field_text(slot, "slot", "?"));
        if (json_is_string(json_object_get(slot, "job")))
            printf("  %s attempt %lld rank %lld\n", field_text(slot, "job", "?"),
                   (long long)field_number(slot, "attempt", 0),
                   (long long)field_number(slot, "rank", 0));
        else
            puts("  free");
    }
}

struct node_show_config {
    struct cli_common common;
    const char *field;
};

static int run_show(struct cli *cli, const void *config, char **words, int count)
{
    const struct node_show_config *show = config;
    for (int i = 0; i < count; i++) {
        char id[ID_BYTES_MAX];
        CLEANUP(json_cleanup) json_t *node = NULL;
        CLI_TRY(cli_resolve_node(cli, words[i], id));
        CLI_TRY(cli_get(cli, &node, "/v1/nodes/%s", id));
        if (show->field)
            CLI_TRY(print_one_field(cli, node, show->field));
        else if (cli->output == OUTPUT_TABLE || cli->output == OUTPUT_WIDE)
            show_node(cli, node);
        else
            print_object(cli, node_columns, "id", node);
    }
    return EXIT_DONE;
}

/* ---------------------------------------------------------------- drain, undrain, fence */

static int ask_nodes(struct cli *cli, const char *action, const char *said, char **words, int count)
{
    int first_failure = EXIT_DONE;
    CLEANUP(json_cleanup) json_t *answers = json_array();
    for (int i = 0; i < count; i++) {
        char id[ID_BYTES_MAX];
        char path[CLI_PATH_BYTES];
        CLEANUP(json_cleanup) json_t *answer = NULL;
        int rc = cli_resolve_node(cli, words[i], id);
        snprintf(path, sizeof path, "/v1/nodes/%s/%s", rc == EXIT_DONE ? id : "", action);
        if (rc == EXIT_DONE)
            rc = cli_call(cli, "POST", path, NULL, &answer);
        if (rc == EXIT_DONE && cli->output == OUTPUT_TABLE)
            printf("%s: %s\n", id, said);
        else if (rc == EXIT_DONE)
            json_array_append(answers, answer);
        else if (first_failure == EXIT_DONE)
            first_failure = rc;
    }
    if (cli->output != OUTPUT_TABLE)
        print_list(cli, node_columns, "id", answers);
    return first_failure;
}

static int run_drain(struct cli *cli, const void *config, char **words, int count)
{
    (void)config;
    return ask_nodes(cli, "drain", "drains: takes no new ranks", words, count);
}

static int run_undrain(struct cli *cli, const void *config, char **words, int count)
{
    (void)config;
    return ask_nodes(cli, "undrain", "takes ranks again", words, count);
}

static int run_fence(struct cli *cli, const void *config, char **words, int count)
{
    (void)config;
    return ask_nodes(cli, "fence", "is fenced: what ran there has ended", words, count);
}

/* ---------------------------------------------------------------- token */

static int run_token(struct cli *cli, const void *config, char **words, int count)
{
    (void)config;
    (void)words;
    (void)count;
    CLEANUP(json_cleanup) json_t *answer = NULL;
    CLI_TRY(cli_call(cli, "POST", "/v1/nodes/tokens", NULL, &answer));
    if (cli->output == OUTPUT_TABLE || cli->output == OUTPUT_NAME)
        puts(field_text(answer, "token", "")); /* for reprise node token > join.token */
    else
        print_document(cli, answer);
    if (cli->stdout_tty)
        fprintf(stderr, "for one node, until %s: reprise-agent --join-token-file FILE\n",
                field_text(answer, "expires_at", "?"));
    return EXIT_DONE;
}

/* ---------------------------------------------------------------- the verbs */

static const struct option_row node_rows[] = {CLI_COMMON_ROWS, OPTION_END};

static const struct option_row node_show_rows[] = {
    {.name = "field",
     .environment = "",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct node_show_config, field),
     .value = "PATH",
     .help = "print one value, such as labels.zone or slots.0.job"},
    CLI_COMMON_ROWS,
    OPTION_END};

#define NODE_VERB(verb, what, text, min, max)                                          \
    {                                                                                  \
        .program = {.name = "reprise node " #verb,                                     \
                    .synopsis = "[OPTION...]" what,                                    \
                    .about = text,                                                     \
                    .rows = node_rows},                                                \
        .config_bytes = sizeof(struct cli_common), .words_min = min, .words_max = max, \
        .run = run_##verb                                                              \
    }

const struct cli_verb verb_node_ls = NODE_VERB(ls, "", "List nodes.", 0, 0);
const struct cli_verb verb_node_drain = NODE_VERB(
    drain, " NODE...", "Move a node's ranks elsewhere and place no new ones.", 1, CLI_WORDS_ANY);
const struct cli_verb verb_node_undrain =
    NODE_VERB(undrain, " NODE...", "Place ranks on a node again.", 1, CLI_WORDS_ANY);
const struct cli_verb verb_node_fence = NODE_VERB(
    fence, " NODE...",
    "Declare what runs on a node dead. Only when the machine is known to be off: jobs are "
    "started elsewhere at once.",
    1, CLI_WORDS_ANY);
const struct cli_verb verb_node_token =
    NODE_VERB(token, "", "Make a token with which one new node may join, within an hour.", 0, 0);
const struct cli_verb verb_node_show = {.program = {.name = "reprise node show",
                                                    .synopsis = "[OPTION...] NODE...",
                                                    .about = "Show a node and what runs there.",
                                                    .rows = node_show_rows},
                                        .config_bytes = sizeof(struct node_show_config),
                                        .words_min = 1,
                                        .words_max = CLI_WORDS_ANY,
                                        .run = run_show};
