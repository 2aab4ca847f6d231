/* jobs.c - looking at jobs: ps, show, why. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/verbs.h"

#define PS_LIMIT_MAX 100000

/* ---------------------------------------------------------------- cells */

static void cell_step(const json_t *job, struct buf *out)
{
    const int64_t of = field_number(job, "progress.of", 0);
    const int64_t step = field_number(job, "progress.step", 0);
    if (of > 0)
        buf_printf(out, "%lld/%lld", (long long)step, (long long)of);
    else if (step > 0)
        buf_printf(out, "%lld", (long long)step);
}

static void cell_loss(const json_t *job, struct buf *out)
{
    const json_t *loss = field_find(job, "metrics.loss");
    if (json_is_number(loss))
        buf_printf(out, "%.4f", json_number_value(loss));
}

static void cell_accuracy(const json_t *job, struct buf *out)
{
    const json_t *accuracy = field_find(job, "metrics.eval_accuracy");
    if (json_is_number(accuracy))
        buf_printf(out, "%.4f", json_number_value(accuracy));
}

static void cell_age(const json_t *job, struct buf *out)
{
    const int64_t created = parse_time(field_text(job, "created_at", NULL));
    if (created >= 0)
        format_span(clock_wall_ms() - created, out);
}

static void cell_duration(const json_t *job, struct buf *out)
{
    const int64_t started = parse_time(field_text(job, "started_at", NULL));
    const int64_t ended = parse_time(field_text(job, "ended_at", NULL));
    if (started >= 0)
        format_span((ended < 0 ? clock_wall_ms() : ended) - started, out);
}

static const struct column job_columns[] = {
    {.title = "ID", .path = "id"},
    {.title = "NAME", .path = "name"},
    {.title = "PROJECT", .path = "project", .wide = true},
    {.title = "STATE", .path = "state", .state = true},
    {.title = "REASON", .path = "reason", .wide = true},
    {.title = "ATTEMPT", .path = "attempt", .right = true},
    {.title = "STEP", .path = "progress.step", .format = cell_step, .right = true},
    {.title = "LOSS", .path = "metrics.loss", .format = cell_loss, .right = true},
    {.title = "ACCURACY", .format = cell_accuracy, .right = true, .wide = true},
    {.title = "RANKS", .path = "ranks", .right = true, .wide = true},
    {.title = "PRIORITY", .path = "priority", .right = true, .wide = true},
    {.title = "TIME", .format = cell_duration, .right = true},
    {.title = "AGE", .format = cell_age, .right = true},
    COLUMN_END};

void print_jobs(const struct cli *cli, const json_t *jobs)
{
    print_list(cli, job_columns, "id", jobs);
}

void print_job(const struct cli *cli, const json_t *job)
{
    print_object(cli, job_columns, "id", job);
}

/* ---------------------------------------------------------------- ps */

struct ps_config {
    struct cli_common common;
    const char *state;
    const char *project;
    const char *name;
    const char *label;
    const char *search;
    int64_t limit;
};

static void add_query(struct buf *path, const char *key, const char *value)
{
    if (!value)
        return;
    buf_printf(path, "%c%s=", strchr(path->data, '?') ? '&' : '?', key);
    url_append_escaped(path, value);
}

static int run_ps(struct cli *cli, const void *config, char **words, int count)
{
    (void)words;
    (void)count;
    const struct ps_config *ps = config;
    CLEANUP(buf_clear) struct buf path;
    buf_init(&path, CLI_PATH_BYTES);
    buf_append_text(&path, "/v1/jobs");
    add_query(&path, "state", ps->state);
    add_query(&path, "project", ps->project);
    add_query(&path, "name", ps->name);
    add_query(&path, "label", ps->label);
    add_query(&path, "q", ps->search);
    bool more = false;
    CLEANUP(json_cleanup) json_t *jobs = NULL;
    CLI_TRY(cli_list(cli, path.data, (size_t)ps->limit, &jobs, &more));
    print_jobs(cli, jobs);
    if (more && cli->stdout_tty)
        fprintf(stderr, "there are more jobs: --limit\n");
    return EXIT_DONE;
}

static const struct option_row ps_rows[] = {{.name = "state",
                                             .environment = "",
                                             .kind = OPTION_TEXT,
                                             .offset = offsetof(struct ps_config, state),
                                             .value = "STATE",
                                             .help = "only jobs in this state"},
                                            {.name = "project",
                                             .environment = "",
                                             .kind = OPTION_TEXT,
                                             .offset = offsetof(struct ps_config, project),
                                             .value = "NAME",
                                             .help = "only jobs of this project"},
                                            {.name = "name",
                                             .environment = "",
                                             .kind = OPTION_TEXT,
                                             .offset = offsetof(struct ps_config, name),
                                             .value = "NAME",
                                             .help = "only jobs of this name"},
                                            {.name = "label",
                                             .environment = "",
                                             .kind = OPTION_TEXT,
                                             .offset = offsetof(struct ps_config, label),
                                             .value = "KEY=VALUE",
                                             .help = "only jobs with this label"},
                                            {.name = "search",
                                             .environment = "",
                                             .kind = OPTION_TEXT,
                                             .offset = offsetof(struct ps_config, search),
                                             .value = "TEXT",
                                             .help = "only jobs that hold this text",
                                             .letter = 'q'},
                                            {.name = "limit",
                                             .environment = "",
                                             .kind = OPTION_INT,
                                             .offset = offsetof(struct ps_config, limit),
                                             .min = 1,
                                             .max = PS_LIMIT_MAX,
                                             .initial = "50",
                                             .value = "N",
                                             .help = "at most so many, newest first",
                                             .letter = 'n'},
                                            CLI_COMMON_ROWS,
                                            OPTION_END};

const struct cli_verb verb_ps = {.program = {.name = "reprise ps",
                                             .synopsis = "[OPTION...]",
                                             .about = "List jobs, newest first.",
                                             .rows = ps_rows},
                                 .config_bytes = sizeof(struct ps_config),
                                 .run = run_ps};

/* ---------------------------------------------------------------- show */

struct show_config {
    struct cli_common common;
    const char *field;
};

/* The job with its attempts and checkpoints, as one object. */
static int get_whole_job(struct cli *cli, const char *id, json_t **out)
{
    CLEANUP(json_cleanup) json_t *job = NULL;
    CLEANUP(json_cleanup) json_t *attempts = NULL;
    CLEANUP(json_cleanup) json_t *checkpoints = NULL;
    char path[CLI_PATH_BYTES];
    CLI_TRY(cli_get(cli, &job, "/v1/jobs/%s", id));
    snprintf(path, sizeof path, "/v1/jobs/%s/attempts", id);
    CLI_TRY(cli_list(cli, path, PS_LIMIT_MAX, &attempts, NULL));
    snprintf(path, sizeof path, "/v1/jobs/%s/checkpoints", id);
    CLI_TRY(cli_list(cli, path, PS_LIMIT_MAX, &checkpoints, NULL));
    json_object_set(job, "attempts", attempts);
    json_object_set(job, "checkpoints", checkpoints);
    *out = TAKE(job);
    return EXIT_DONE;
}

static void show_line(const char *label, const json_t *job, const char *path)
{
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, CELL_BYTES_MAX);
    field_print(field_find(job, path), &text);
    if (text.size > 0)
        printf("%-12s %s\n", label, text.data);
}

static void show_cell(const char *label, const json_t *job, cell_fn *format)
{
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, CELL_BYTES_MAX);
    format(job, &text);
    if (text.size > 0)
        printf("%-12s %s\n", label, text.data);
}

static void cell_metrics(const json_t *job, struct buf *out)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)json_object_get(job, "metrics"), key, value)
        if (json_is_number(value))
            buf_printf(out, "%s%s %.6g", out->size ? "  " : "", key, json_number_value(value));
}

static void cell_model(const json_t *job, struct buf *out)
{
    if (!json_is_object(json_object_get(job, "model")))
        return;
    buf_printf(out, "sha256 %s  ", field_text(job, "model.sha256", "?"));
    format_bytes(field_number(job, "model.bytes", 0), out);
}

static void cell_checkpoints(const json_t *job, struct buf *out)
{
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(json_object_get(job, "checkpoints"), i, item) {
        buf_printf(out, "%sstep %lld (", out->size ? "  " : "",
                   (long long)field_number(item, "step", 0));
        format_bytes(field_number(item, "bytes", 0), out);
        buf_append_text(out, ")");
    }
}

void print_incident(const json_t *attempt)
{
    static const struct {
        const char *label, *from, *to;
    } parts[] = {{"detected after", "incident.fault_at", "incident.detected_at"},
                 {"placed after", "incident.detected_at", "incident.placed_at"},
                 {"first step after", "incident.placed_at", "incident.first_step_at"},
                 {"in all", "incident.fault_at", "incident.first_step_at"}};
    if (!json_is_object(field_find(attempt, "incident")))
        return;
    printf("             after %s:", field_text(attempt, "incident.cause", "a failure"));
    const char *separator = " ";
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        const int64_t span = span_between(attempt, parts[i].from, parts[i].to);
        if (span < 0)
            continue;
        CLEANUP(buf_clear) struct buf text;
        buf_init(&text, CELL_BYTES_MAX);
        format_span(span, &text);
        printf("%s%s %s", separator, parts[i].label, text.data);
        separator = ", ";
    }
    printf("%s%lld steps lost\n", separator, (long long)field_number(attempt, "lost_steps", 0));
}

static void show_exit(const json_t *end)
{
    const int64_t signal_number = field_number(end, "signal", 0);
    const char *reason = field_text(end, "reason", NULL);
    if (signal_number > 0)
        printf("  signal %lld", (long long)signal_number);
    else
        printf("  exit %lld", (long long)field_number(end, "code", 0));
    printf("%s%s\n", reason ? " " : "", reason ? reason : "");
}

static void show_attempt(const struct cli *cli, const json_t *attempt)
{
    const char *state = field_text(attempt, "state", "?");
    const char *reason = field_text(attempt, "reason", NULL);
    printf("attempt %-4lld %s%s%s%s%s  from step %lld, %lld ranks\n",
           (long long)field_number(attempt, "attempt", 0), colour_of_state(cli, state), state,
           colour_off(cli), reason ? ": " : "", reason ? reason : "",
           (long long)field_number(attempt, "resume_step", 0),
           (long long)field_number(attempt, "world_size", 0));
    print_incident(attempt);
    size_t i = 0;
    json_t *rank = NULL;
    json_array_foreach(json_object_get(attempt, "ranks"), i, rank) {
        printf("  rank %-5lld %s %s", (long long)field_number(rank, "rank", 0),
               field_text(rank, "node", "?"), field_text(rank, "slot", "?"));
        if (field_number(rank, "pid", 0) > 0)
            printf("  pid %lld", (long long)field_number(rank, "pid", 0));
        if (json_is_object(json_object_get(rank, "exit")))
            show_exit(json_object_get(rank, "exit"));
        else if (field_text(rank, "phase", NULL))
            printf("  %s step %lld\n", field_text(rank, "phase", "?"),
                   (long long)field_number(rank, "step", 0));
        else
            puts("  not confirmed");
    }
}

static void show_job(const struct cli *cli, const json_t *job)
{
    const char *state = field_text(job, "state", "?");
    show_line("job", job, "id");
    show_line("name", job, "name");
    show_line("project", job, "project");
    printf("%-12s %s%s%s\n", "state", colour_of_state(cli, state), state, colour_off(cli));
    show_line("reason", job, "reason");
    show_line("detail", job, "detail");
    show_cell("step", job, cell_step);
    show_cell("metrics", job, cell_metrics);
    show_line("created", job, "created_at");
    show_line("started", job, "started_at");
    show_line("ended", job, "ended_at");
    show_cell("time", job, cell_duration);
    show_line("retry of", job, "retry_of");
    show_line("spec sha256", job, "spec_sha256");
    show_cell("checkpoints", job, cell_checkpoints);
    show_cell("model", job, cell_model);
    size_t i = 0;
    json_t *attempt = NULL;
    json_array_foreach(json_object_get(job, "attempts"), i, attempt)
        show_attempt(cli, attempt);
}

static int run_show(struct cli *cli, const void *config, char **words, int count)
{
    const struct show_config *show = config;
    for (int i = 0; i < count; i++) {
        char id[ID_BYTES_MAX];
        CLEANUP(json_cleanup) json_t *job = NULL;
        CLI_TRY(cli_resolve_job(cli, words[i], true, id));
        CLI_TRY(get_whole_job(cli, id, &job));
        if (show->field)
            CLI_TRY(print_one_field(cli, job, show->field));
        else if (cli->output == OUTPUT_TABLE || cli->output == OUTPUT_WIDE)
            show_job(cli, job);
        else
            print_job(cli, job);
    }
    return EXIT_DONE;
}

static const struct option_row show_rows[] = {
    {.name = "field",
     .environment = "",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct show_config, field),
     .value = "PATH",
     .help = "print one value, such as model.sha256 or attempts.-1.ranks.0.node"},
    CLI_COMMON_ROWS,
    OPTION_END};

const struct cli_verb verb_show = {
    .program = {.name = "reprise show",
                .synopsis = "[OPTION...] JOB...",
                .about = "Show a job with its attempts, incidents and checkpoints.",
                .rows = show_rows},
    .config_bytes = sizeof(struct show_config),
    .words_min = 1,
    .words_max = CLI_WORDS_ANY,
    .run = run_show};

/* ---------------------------------------------------------------- why */

static const struct column reason_columns[] = {
    {.title = "CODE", .path = "code"}, {.title = "DETAIL", .path = "detail"}, COLUMN_END};

static int run_why(struct cli *cli, const void *config, char **words, int count)
{
    (void)config;
    (void)count;
    char id[ID_BYTES_MAX];
    CLEANUP(json_cleanup) json_t *why = NULL;
    CLI_TRY(cli_resolve_job(cli, words[0], true, id));
    CLI_TRY(cli_get(cli, &why, "/v1/jobs/%s/explain", id));
    if (cli->output == OUTPUT_JSON) {
        print_json(why);
        return EXIT_DONE;
    }
    const json_t *reasons = json_object_get(why, "reasons");
    if (cli->output != OUTPUT_TABLE && cli->output != OUTPUT_WIDE) {
        print_list(cli, reason_columns, "code", reasons);
        return EXIT_DONE;
    }
    const char *state = field_text(why, "state", NULL);
    if (state)
        printf("%s is %s%s%s\n", id, colour_of_state(cli, state), state, colour_off(cli));
    size_t i = 0;
    json_t *reason = NULL;
    json_array_foreach(reasons, i, reason) {
        const char *detail = field_text(reason, "detail", "");
        printf("  %s%s%s\n", field_text(reason, "code", "?"), *detail ? ": " : "", detail);
    }
    if (field_number(why, "position", 0) > 0)
        printf("  position %lld in its queue\n", (long long)field_number(why, "position", 0));
    return EXIT_DONE;
}

static const struct option_row why_rows[] = {CLI_COMMON_ROWS, OPTION_END};

const struct cli_verb verb_why = {.program = {.name = "reprise why",
                                              .synopsis = "[OPTION...] JOB",
                                              .about = "Say why a job waits, or why it ended.",
                                              .rows = why_rows},
                                  .config_bytes = sizeof(struct cli_common),
                                  .words_min = 1,
                                  .words_max = 1,
                                  .run = run_why};
