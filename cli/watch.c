/*
 * watch.c - following one job to its end: a bar that is redrawn on a terminal, plain lines into a
 * pipe, and a line of its own for whatever happened: a start, a failure, a resumption, an end.
 *
 * It asks by long poll: an answer comes at once when the job changes, and after POLL_* with its
 * newest progress otherwise.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/bar.h"
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/verbs.h"

#define POLL_TERMINAL      "200ms"
#define POLL_PIPE          "2s"
#define POLL_QUIET         "25s"
#define UNREACHABLE_MAX_MS 60000
#define RETRY_MS           200
#define ATTEMPTS_MAX       1000 /* told of: a page */

struct watch {
    struct cli *cli;
    const char *id;
    bool quiet;
    int64_t deadline_mono_ms;    /* 0: none */
    int64_t unreachable_mono_ms; /* since when; 0: reachable */
    int64_t revision;            /* last seen; -1: none */
    char state[32];              /* last told */
    int64_t ended_told;          /* attempts whose end, start and recovery were told */
    char end_reason[48];         /* as told of the last one that ended */
    int64_t started_told;
    int64_t recovered_told;
    bool attempts_due; /* they could not be asked for */
    struct bar bar;
};

static bool is_json(const struct watch *watch)
{
    return watch->cli->output == OUTPUT_JSON || watch->cli->output == OUTPUT_JSONL;
}

static bool is_told(const struct watch *watch)
{
    return !watch->quiet && !is_json(watch);
}

/* ---------------------------------------------------------------- what happened */

static void name_ranks(const json_t *attempt, struct buf *out)
{
    size_t i = 0;
    json_t *rank = NULL;
    json_array_foreach(json_object_get(attempt, "ranks"), i, rank) {
        const char *host = field_text(rank, "hostname", field_text(rank, "node", "?"));
        buf_printf(out, "%s%s/%s", i ? ", " : "", host, field_text(rank, "slot", "?"));
    }
}

static void tell_end(struct watch *watch, const json_t *attempt)
{
    const int64_t number = field_number(attempt, "attempt", 0);
    const char *reason = field_text(attempt, "reason", "ended");
    const char *detail = field_text(attempt, "detail", NULL);
    bar_say(&watch->bar, BAR_BAD, "attempt %lld %s: %s%s%s", (long long)number,
            number > watch->ended_told ? "ended" : "was ended by", reason, detail ? ", " : "",
            detail ? detail : "");
}

static void tell_start(struct watch *watch, const json_t *attempt)
{
    CLEANUP(buf_clear) struct buf ranks;
    buf_init(&ranks, CELL_BYTES_MAX);
    name_ranks(attempt, &ranks);
    const int64_t number = field_number(attempt, "attempt", 0);
    const int64_t from = field_number(attempt, "resume_step", 0);
    if (number == 1)
        bar_say(&watch->bar, BAR_PLAIN, "attempt 1 placed on %s", ranks.data);
    else
        bar_say(&watch->bar, BAR_GOOD, "attempt %lld placed on %s, resumes from step %lld",
                (long long)number, ranks.data, (long long)from);
}

static void append_span(struct buf *out, const char *label, int64_t span_ms)
{
    if (span_ms < 0)
        return;
    buf_printf(out, "%s%s ", out->size ? ", " : "", label);
    format_span(span_ms, out);
}

static void tell_recovery(struct watch *watch, const json_t *attempt)
{
    CLEANUP(buf_clear) struct buf times;
    buf_init(&times, CELL_BYTES_MAX);
    append_span(&times, "detected in",
                span_between(attempt, "incident.fault_at", "incident.detected_at"));
    append_span(&times, "placed in",
                span_between(attempt, "incident.detected_at", "incident.placed_at"));
    append_span(&times, "first step",
                span_between(attempt, "incident.placed_at", "incident.first_step_at"));
    append_span(&times, "in all",
                span_between(attempt, "incident.fault_at", "incident.first_step_at"));
    bar_say(&watch->bar, BAR_GOOD, "recovered from %s: %s%s%lld steps lost",
            field_text(attempt, "incident.cause", "a failure"), times.data, times.size ? "; " : "",
            (long long)field_number(attempt, "lost_steps", 0));
}

/* Tells what is new about one attempt. */
static void tell_attempt(struct watch *watch, const json_t *attempt)
{
    const int64_t number = field_number(attempt, "attempt", 0);
    const char *reason = field_text(attempt, "reason", "");
    if (number > watch->started_told) {
        tell_start(watch, attempt);
        watch->started_told = number;
    }
    if (number > watch->recovered_told && field_find(attempt, "incident.first_step_at") &&
        !json_is_null(field_find(attempt, "incident.first_step_at"))) {
        tell_recovery(watch, attempt);
        watch->recovered_told = number;
    }
    /* The cause of an end may be found a moment later: then it is told again. */
    const bool ended = strcmp(field_text(attempt, "state", ""), "ended") == 0;
    const bool is_news = number > watch->ended_told ||
                         (number == watch->ended_told && strcmp(reason, watch->end_reason) != 0);
    if (ended && is_news) {
        if (strcmp(reason, "done") != 0)
            tell_end(watch, attempt);
        watch->ended_told = number;
        snprintf(watch->end_reason, sizeof watch->end_reason, "%s", reason);
    }
}

/*
 * GET without a complaint: *out is NULL when nobody answered, which is for the caller to try again. An
 * answer that is an error is reported.
 */
static int fetch(struct watch *watch, const char *path, int64_t limit_ms, json_t **out,
                 struct error *err)
{
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, CLI_ANSWER_BYTES_MAX);
    struct http_exchange exchange = {
        .method = "GET", .path = path, .timeout_ms = limit_ms, .out_body = &body};
    *out = NULL;
    if (http_client_send(watch->cli->client, &exchange, err) != STATUS_OK)
        return EXIT_DONE;
    if (exchange.out_code == 503 || exchange.out_code == 429) { /* it comes up, or is busy */
        (void)error_set(err, STATUS_UNAVAILABLE, "the controller answers %ld", exchange.out_code);
        return EXIT_DONE;
    }
    if (exchange.out_code != 200) {
        bar_clear(&watch->bar);
        return cli_report_problem(watch->cli, exchange.out_code, body.data, body.size);
    }
    return json_parse(body.data, body.size, out, err) == STATUS_OK ? EXIT_DONE
                                                                   : cli_report(watch->cli, err);
}

/* Tells what is new; what could not be asked now is due at the next look. */
static int tell_attempts(struct watch *watch)
{
    CLEANUP(json_cleanup) json_t *page = NULL;
    struct error err = {0};
    char path[CLI_PATH_BYTES];
    snprintf(path, sizeof path, "/v1/jobs/%s/attempts?limit=%d", watch->id, ATTEMPTS_MAX);
    CLI_TRY(fetch(watch, path, CLI_REQUEST_TIMEOUT_MS, &page, &err));
    watch->attempts_due = page == NULL;
    size_t i = 0;
    json_t *attempt = NULL;
    json_array_foreach(json_object_get(page, "items"), i, attempt)
        tell_attempt(watch, attempt);
    return EXIT_DONE;
}

/* ---------------------------------------------------------------- the end */

static bool is_terminal(const char *state)
{
    return strcmp(state, "succeeded") == 0 || strcmp(state, "failed") == 0 ||
           strcmp(state, "cancelled") == 0;
}

static void tell_outcome(struct watch *watch, const json_t *job)
{
    const char *state = field_text(job, "state", "?");
    const int64_t span = span_between(job, "started_at", "ended_at");
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, CELL_BYTES_MAX);
    buf_append_text(&text, state);
    if (span >= 0) {
        buf_append_text(&text, " after ");
        format_span(span, &text);
    }
    const double accuracy = field_decimal(job, "model.metrics.eval_accuracy",
                                          field_decimal(job, "metrics.eval_accuracy", -1));
    if (strcmp(state, "succeeded") == 0) {
        if (accuracy >= 0)
            buf_printf(&text, ", accuracy %.4f", accuracy);
        bar_say(&watch->bar, BAR_GOOD, "%s", text.data);
        return;
    }
    bar_say(&watch->bar, BAR_BAD, "%s: %s", text.data,
            field_text(job, "reason", "no reason given"));
    bar_say(&watch->bar, BAR_PLAIN, "more: reprise why %s, reprise logs %s", watch->id, watch->id);
}

static int outcome_of(const char *state)
{
    return strcmp(state, "succeeded") == 0 ? EXIT_DONE : EXIT_JOB_FAILED;
}

/* ---------------------------------------------------------------- the loop */

/* Shows the job as it is now. */
static int show(struct watch *watch, const json_t *job)
{
    const char *state = field_text(job, "state", "?");
    const int64_t revision = field_number(job, "revision", 0);
    const bool changed = revision != watch->revision;
    watch->revision = revision;
    if (watch->cli->output == OUTPUT_JSONL && changed && !watch->quiet)
        print_job(watch->cli, job);
    if (is_told(watch)) {
        if (strcmp(state, watch->state) != 0 && strcmp(state, "queued") == 0)
            bar_say(&watch->bar, BAR_PLAIN, "queued: reprise why %s", watch->id);
        if (changed || watch->attempts_due)
            CLI_TRY(tell_attempts(watch));
        if (!is_terminal(state))
            bar_draw(&watch->bar, job);
    }
    snprintf(watch->state, sizeof watch->state, "%s", state);
    return EXIT_DONE;
}

static int64_t time_limit_ms(const struct watch *watch)
{
    if (!watch->deadline_mono_ms)
        return CLI_REQUEST_TIMEOUT_MS;
    const int64_t left_ms = watch->deadline_mono_ms - clock_mono_ms();
    return left_ms < 1 ? 1 : left_ms < CLI_REQUEST_TIMEOUT_MS ? left_ms : CLI_REQUEST_TIMEOUT_MS;
}

/* Nobody answered: waits a little, and gives up after a while. */
static int wait_for_controller(struct watch *watch, const struct error *err)
{
    const int64_t now = clock_mono_ms();
    const bool late = watch->deadline_mono_ms && now >= watch->deadline_mono_ms;
    if (interrupted() || late)
        return EXIT_DONE;
    if (!watch->unreachable_mono_ms) {
        watch->unreachable_mono_ms = now;
        if (is_told(watch))
            bar_say(&watch->bar, BAR_BAD, "the controller does not answer; trying again");
    }
    if (now - watch->unreachable_mono_ms > UNREACHABLE_MAX_MS)
        return cli_report(watch->cli, err);
    clock_sleep_ms(RETRY_MS);
    return EXIT_DONE;
}

/* The job when it changes, or as it is at the poll's end; *out is NULL when to try again. */
static int ask(struct watch *watch, json_t **out)
{
    const char *poll = watch->quiet || is_json(watch) ? POLL_QUIET
                       : watch->cli->stdout_tty       ? POLL_TERMINAL
                                                      : POLL_PIPE;
    char path[CLI_PATH_BYTES];
    struct error err = {0};
    if (watch->revision < 0)
        snprintf(path, sizeof path, "/v1/jobs/%s", watch->id);
    else
        snprintf(path, sizeof path, "/v1/jobs/%s?revision=%lld&wait=%s", watch->id,
                 (long long)watch->revision, poll);
    CLI_TRY(fetch(watch, path, time_limit_ms(watch), out, &err));
    if (!*out)
        return wait_for_controller(watch, &err);
    watch->unreachable_mono_ms = 0;
    return EXIT_DONE;
}

static int finish(struct watch *watch, const json_t *job)
{
    if (is_told(watch))
        tell_outcome(watch, job);
    if (watch->cli->output == OUTPUT_JSON)
        print_job(watch->cli, job);
    return outcome_of(watch->state);
}

static int detach(struct watch *watch)
{
    bar_clear(&watch->bar);
    fprintf(stderr,
            "detached; the job goes on. reprise watch %s follows it again, reprise cancel %s "
            "ends it\n",
            watch->id, watch->id);
    return EXIT_INTERRUPTED;
}

static int follow(struct watch *watch)
{
    for (;;) {
        CLEANUP(json_cleanup) json_t *job = NULL;
        CLI_TRY(ask(watch, &job));
        if (interrupted())
            return detach(watch);
        if (job)
            CLI_TRY(show(watch, job));
        if (job && is_terminal(watch->state))
            return finish(watch, job);
        if (watch->deadline_mono_ms && clock_mono_ms() >= watch->deadline_mono_ms) {
            bar_clear(&watch->bar);
            cli_complain(watch->cli, "%s has not ended in time", watch->id);
            return EXIT_TIMED_OUT;
        }
    }
}

int watch_job(struct cli *cli, const char *id, bool quiet, int64_t timeout_ms)
{
    struct watch watch = {.cli = cli, .id = id, .quiet = quiet, .revision = -1};
    watch.deadline_mono_ms = timeout_ms ? clock_mono_ms() + timeout_ms : 0;
    bar_init(&watch.bar, cli);
    interrupt_watch(cli->client);
    const int rc = follow(&watch);
    bar_clear(&watch.bar);
    return rc;
}

/* ---------------------------------------------------------------- the verb */

struct watch_config {
    struct cli_common common;
    const char *timeout;
};

static int run_watch(struct cli *cli, const void *config, char **words, int count)
{
    (void)count;
    const struct watch_config *watch = config;
    int64_t timeout_ms = 0;
    char id[ID_BYTES_MAX];
    if (watch->timeout && !duration_parse(watch->timeout, &timeout_ms)) {
        cli_complain(cli, "--timeout: expected a duration such as 90s, got \"%s\"", watch->timeout);
        return EXIT_USAGE;
    }
    CLI_TRY(cli_resolve_job(cli, words[0], true, id));
    return watch_job(cli, id, false, timeout_ms);
}

static const struct option_row watch_rows[] = {{.name = "timeout",
                                                .environment = "",
                                                .kind = OPTION_TEXT,
                                                .offset = offsetof(struct watch_config, timeout),
                                                .value = "DURATION",
                                                .help = "give up after so long (exit code 6)"},
                                               CLI_COMMON_ROWS,
                                               OPTION_END};

const struct cli_verb verb_watch = {
    .program = {.name = "reprise watch",
                .synopsis = "[OPTION...] JOB",
                .about =
                    "Follow a job to its end, through failures. Ctrl-C detaches and leaves the "
                    "job alone; -o jsonl prints the job at each change.",
                .rows = watch_rows},
    .config_bytes = sizeof(struct watch_config),
    .words_min = 1,
    .words_max = 1,
    .run = run_watch};
