/* logs.c - what the ranks wrote. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/verbs.h"

struct logs_config {
    struct cli_common common;
    int64_t attempt; /* 0: the newest */
    int64_t rank;
    int64_t tail; /* -1: everything */
    bool follow;
};

static bool write_chunk(void *context, const char *bytes, size_t size)
{
    bool *broken = context;
    *broken = fwrite(bytes, 1, size, stdout) != size || fflush(stdout) != 0;
    return !*broken;
}

static int print_logs(struct cli *cli, const struct logs_config *logs, const char *path)
{
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, CLI_ANSWER_BYTES_MAX);
    struct http_exchange exchange = {.method = "GET", .path = path, .out_body = &body};
    if (!logs->follow) {
        exchange.timeout_ms = CLI_REQUEST_TIMEOUT_MS;
        CLI_TRY(cli_exchange(cli, &exchange));
        fwrite(body.data, 1, body.size, stdout);
        return EXIT_DONE;
    }
    bool broken = false;
    exchange.chunk = write_chunk;
    exchange.chunk_context = &broken;
    interrupt_watch(cli->client);
    struct error err = {0};
    const enum status status = http_client_send(cli->client, &exchange, &err);
    if (interrupted())
        return EXIT_INTERRUPTED;
    if (broken)
        return EXIT_DONE; /* the reader of our pipe has seen enough */
    if (status != STATUS_OK)
        return cli_report(cli, &err);
    return exchange.out_code < 400
               ? EXIT_DONE
               : cli_report_problem(cli, exchange.out_code, body.data, body.size);
}

static int run_logs(struct cli *cli, const void *config, char **words, int count)
{
    (void)count;
    const struct logs_config *logs = config;
    char id[ID_BYTES_MAX];
    CLI_TRY(cli_resolve_job(cli, words[0], true, id));
    CLEANUP(buf_clear) struct buf path;
    buf_init(&path, CLI_PATH_BYTES);
    buf_printf(&path, "/v1/jobs/%s/logs?rank=%lld", id, (long long)logs->rank);
    if (logs->attempt > 0)
        buf_printf(&path, "&attempt=%lld", (long long)logs->attempt);
    if (logs->tail >= 0)
        buf_printf(&path, "&tail=%lld", (long long)logs->tail);
    if (logs->follow)
        buf_append_text(&path, "&follow=true");
    return print_logs(cli, logs, path.data);
}

static const struct option_row logs_rows[] = {
    {.name = "rank",
     .environment = "",
     .kind = OPTION_INT,
     .offset = offsetof(struct logs_config, rank),
     .min = 0,
     .max = INT32_MAX,
     .initial = "0",
     .value = "N",
     .help = "of this rank"},
    {.name = "attempt",
     .environment = "",
     .kind = OPTION_INT,
     .offset = offsetof(struct logs_config, attempt),
     .min = 0,
     .max = INT32_MAX,
     .initial = "0",
     .value = "N",
     .help = "of this attempt (default: the newest)"},
    {.name = "tail",
     .environment = "",
     .kind = OPTION_INT,
     .offset = offsetof(struct logs_config, tail),
     .min = -1,
     .max = INT32_MAX,
     .initial = "-1",
     .value = "LINES",
     .help = "only the last lines (default: all)",
     .letter = 'n'},
    {.name = "follow",
     .environment = "",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct logs_config, follow),
     .letter = 'f',
     .help = "go on as more is written, until the attempt ends"},
    CLI_CONNECTION_ROWS,
    OPTION_END};

const struct cli_verb verb_logs = {.program = {.name = "reprise logs",
                                               .synopsis = "[OPTION...] JOB",
                                               .about = "Print what a rank of a job wrote.",
                                               .rows = logs_rows},
                                   .config_bytes = sizeof(struct logs_config),
                                   .words_min = 1,
                                   .words_max = 1,
                                   .run = run_logs};
