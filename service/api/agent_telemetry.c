/*
 * agent_telemetry.c - POST /v1/agent/telemetry: lines of trainers into telemetry.db, by a thread of its
 * own, many requests a transaction. A request is answered once its lines are stored.
 */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "schema/wire_event.h"
#include "service/api/agent.h"
#include "service/api/feed.h"

#define QUEUE_MAX      1024
#define BATCH_MAX      64    /* requests a transaction */
#define LINES_MAX      16384 /* of one request; more are not acked and come again */
#define ACKS_MAX       256   /* (job, attempt, rank)s in one request */
#define SCOPES_MAX     512   /* (job, attempt)s of one batch */
#define KEEP_DAYS      30
#define FILE_BYTES_MAX (2048 * (int64_t)MIB)
#define PRUNE_EVERY_MS 600000
#define PRUNE_JOBS     64

/* What the lines of one (job, attempt) may count for. */
struct scope {
    char job[ID_BYTES_MAX];
    int64_t attempt;
    bool known;          /* the attempt exists */
    int64_t resume_step; /* its own */
    int64_t bound;       /* lines above this step are stale: a later attempt resumed from here */
    size_t rank_count;
    char (*nodes)[ID_BYTES_MAX]; /* of each rank */
};

struct desk_line {
    struct telemetry_line line;
    char job[ID_BYTES_MAX];
    char text[TELEMETRY_TEXT_BYTES];
    int64_t snapshot_wall_ms; /* of a checkpoint */
    size_t value_at;          /* index of its first value in the batch's array */
};

/* Memory of one transaction: below 2 * LINES_MAX lines; kept up to LINES_MAX lines. */
struct batch {
    struct desk_line *lines;
    size_t line_count, line_capacity;
    struct telemetry_value *values;
    char (*names)[EVENT_VALUE_NAME_BYTES];
    size_t value_count, value_capacity;
    struct scope scopes[SCOPES_MAX];
    size_t scope_count;
};

struct posting {
    struct http_request *request;
    struct error error; /* of the store */
    struct wire_telemetry_ack acked[ACKS_MAX];
    struct wire_telemetry_ack stale[ACKS_MAX];
    size_t acked_count, stale_count;
};

struct telemetry_desk {
    struct api *api;
    struct telemetry *telemetry;
    struct worker *worker;
    struct batch batch;
    int64_t pruned_mono_ms;
};

/* ---------------------------------------------------------------- whose lines count */

struct scope_query {
    struct scope *scope;
    bool failed;
};

static void read_attempt(void *context, const struct attempt_row *attempt,
                         const struct rank_row *ranks, size_t rank_count)
{
    struct scope_query *query = context;
    struct scope *scope = query->scope;
    if (attempt->attempt > scope->attempt) {
        if (attempt->resume_step < scope->bound)
            scope->bound = attempt->resume_step;
        return;
    }
    scope->known = true;
    scope->resume_step = attempt->resume_step;
    scope->nodes = calloc(rank_count + 1, sizeof(*scope->nodes));
    if (scope->nodes == NULL) {
        query->failed = true;
        return;
    }
    scope->rank_count = rank_count;
    for (size_t i = 0; i < rank_count; i++) {
        if (ranks[i].rank >= 0 && (size_t)ranks[i].rank < rank_count)
            memcpy(scope->nodes[ranks[i].rank], ranks[i].node, ID_BYTES_MAX);
    }
}

static struct scope *find_scope(struct batch *batch, const char *job, int64_t attempt)
{
    for (size_t i = batch->scope_count; i-- > 0;) {
        struct scope *scope = &batch->scopes[i];
        if (scope->attempt == attempt && strcmp(scope->job, job) == 0)
            return scope;
    }
    return NULL;
}

static struct scope *scope_of(struct batch *batch, struct lent *lent, const char *job,
                              int64_t attempt, struct error *err)
{
    struct scope *known = find_scope(batch, job, attempt);
    if (known != NULL)
        return known;
    if (batch->scope_count == SCOPES_MAX)
        return NULL;
    struct scope *scope = &batch->scopes[batch->scope_count];
    *scope = (struct scope){.attempt = attempt, .bound = INT64_MAX};
    snprintf(scope->job, sizeof(scope->job), "%s", job);
    struct scope_query query = {.scope = scope};
    if (reader_attempts(lent->state, job, attempt - 1, READER_PAGE_MAX, read_attempt, &query,
                        err) != STATUS_OK ||
        query.failed) {
        free(scope->nodes);
        return NULL;
    }
    batch->scope_count++;
    return scope;
}

/* ---------------------------------------------------------------- lines */

static bool batch_grow(struct batch *batch)
{
    if (batch->line_count == batch->line_capacity) {
        const size_t capacity = batch->line_capacity == 0 ? 256 : batch->line_capacity * 2;
        struct desk_line *lines = realloc(batch->lines, capacity * sizeof(*lines));
        if (lines == NULL)
            return false;
        batch->lines = lines;
        batch->line_capacity = capacity;
    }
    if (batch->value_capacity - batch->value_count < EVENT_VALUES_MAX) {
        const size_t capacity =
            batch->value_capacity == 0 ? 16 * EVENT_VALUES_MAX : batch->value_capacity * 2;
        struct telemetry_value *values = realloc(batch->values, capacity * sizeof(*values));
        if (values == NULL)
            return false;
        batch->values = values;
        char(*names)[EVENT_VALUE_NAME_BYTES] = realloc(batch->names, capacity * sizeof(*names));
        if (names == NULL)
            return false;
        batch->names = names;
        batch->value_capacity = capacity;
    }
    return true;
}

static void line_of_event(struct batch *batch, const struct wire_event *event)
{
    static const enum telemetry_kind kinds[] = {
        [EVENT_STARTED] = TELEMETRY_TEXT,      [EVENT_METRIC] = TELEMETRY_METRIC,
        [EVENT_PROGRESS] = TELEMETRY_PROGRESS, [EVENT_CHECKPOINT] = TELEMETRY_TEXT,
        [EVENT_WARNING] = TELEMETRY_TEXT,      [EVENT_FINISHED] = TELEMETRY_TEXT,
        [EVENT_OTHER] = TELEMETRY_OTHER,
    };
    struct desk_line *at = &batch->lines[batch->line_count++];
    memcpy(at->job, event->job, sizeof(at->job));
    snprintf(at->text, sizeof(at->text), "%s",
             event->kind == EVENT_FINISHED && event->text[0] == '\0' ? event->status : event->text);
    at->snapshot_wall_ms = event->snapshot_wall_ms > 0 ? event->snapshot_wall_ms
                                                       : event->wall_ms; /* of another trainer */
    at->value_at = batch->value_count;
    at->line = (struct telemetry_line){
        .kind = kinds[event->kind],
        .attempt = event->attempt,
        .rank = event->rank,
        .seq = event->seq,
        .wall_ms = event->wall_ms,
        .step = event->step,
        .of = event->of,
        .epoch = event->kind == EVENT_PROGRESS || event->kind == EVENT_METRIC ? event->epoch : -1,
        /* The metrics of a finished event repeat the last ones: the result's business, no point. */
        .value_count = event->kind == EVENT_METRIC ? event->value_count : 0,
        .word = event_kind_names[event->kind],
    };
    for (size_t i = 0; i < event->value_count; i++) {
        memcpy(batch->names[batch->value_count], event->values[i].name, EVENT_VALUE_NAME_BYTES);
        batch->values[batch->value_count++].value = event->values[i].value;
    }
}

/* Notes the highest seq of a (job, attempt, rank). */
static bool note(struct wire_telemetry_ack *acks, size_t *count, const struct wire_event *event)
{
    for (size_t i = *count; i-- > 0;) {
        struct wire_telemetry_ack *ack = &acks[i];
        if (ack->rank == event->rank && ack->attempt == event->attempt &&
            strcmp(ack->job, event->job) == 0) {
            ack->seq = event->seq > ack->seq ? event->seq : ack->seq;
            return true;
        }
    }
    if (*count == ACKS_MAX)
        return false;
    struct wire_telemetry_ack *ack = &acks[(*count)++];
    *ack = (struct wire_telemetry_ack){
        .attempt = event->attempt, .rank = event->rank, .seq = event->seq};
    memcpy(ack->job, event->job, sizeof(ack->job));
    return true;
}

static bool counts(const struct scope *scope, const struct wire_event *event, const char *node)
{
    return scope->known && event->rank >= 0 && (size_t)event->rank < scope->rank_count &&
           strcmp(scope->nodes[event->rank], node) == 0 && event->step <= scope->bound;
}

/* Takes one line; false ends the request's lines here: what follows is not acked and comes again. */
static bool take_line(struct telemetry_desk *desk, struct lent *lent, struct posting *posting,
                      const char *text, size_t size)
{
    struct wire_event event;
    struct error err = {0};
    if (size > EVENT_LINE_BYTES_MAX || wire_event_decode(text, size, &event, &err) != STATUS_OK ||
        event.job[0] == '\0')
        return true; /* not a line of ours: skipped, the next one's seq acks it */
    struct scope *scope = scope_of(&desk->batch, lent, event.job, event.attempt, &err);
    if (scope == NULL || !batch_grow(&desk->batch))
        return false;
    if (!counts(scope, &event, http_caller(posting->request)->node))
        return note(posting->stale, &posting->stale_count, &event);
    if (!note(posting->acked, &posting->acked_count, &event))
        return false;
    line_of_event(&desk->batch, &event);
    return true;
}

static void take_posting(struct telemetry_desk *desk, struct lent *lent, struct posting *posting)
{
    size_t left = 0;
    const char *text = http_body(posting->request, &left);
    size_t taken = 0;
    while (left > 0 && taken < LINES_MAX) {
        const char *end = memchr(text, '\n', left);
        const size_t size = end != NULL ? (size_t)(end - text) : left;
        if (size > 0 && !take_line(desk, lent, posting, text, size))
            return;
        const size_t step = size + (end != NULL ? 1 : 0);
        text += step;
        left -= step;
        taken++;
    }
}

/* ---------------------------------------------------------------- after they are stored */

struct first_step {
    struct loop_call call;
    char job[ID_BYTES_MAX];
};

static void first_step_done(struct loop_call *call)
{
    free(call); /* its first member */
}

static void tell_first_step(struct telemetry_desk *desk, const struct desk_line *line)
{
    struct first_step *first = calloc(1, sizeof(*first));
    if (first == NULL)
        return; /* only the incident's times lack it */
    memcpy(first->job, line->job, sizeof(first->job));
    first->call.has_input = true;
    first->call.done = first_step_done;
    first->call.input.kind = INPUT_FIRST_STEP;
    first->call.input.job = first->job;
    first->call.input.attempt = line->line.attempt;
    first->call.input.at_wall_ms = line->line.wall_ms;
    if (!loop_push(desk->api->loop, &first->call))
        free(first);
}

static void show(struct telemetry_desk *desk, const struct desk_line *at)
{
    struct live *live = desk->api->live;
    const struct telemetry_line *line = &at->line;
    if (line->kind == TELEMETRY_OTHER)
        return;
    if (line->word == event_kind_names[EVENT_CHECKPOINT])
        live_checkpoint(live, at->job, line->attempt, line->step, at->snapshot_wall_ms);
    if (line->kind == TELEMETRY_PROGRESS || line->kind == TELEMETRY_METRIC ||
        line->word == event_kind_names[EVENT_FINISHED])
        live_progress(live, at->job, line->attempt, line->step, line->of, line->epoch,
                      line->wall_ms);
    for (size_t i = 0; i < line->value_count; i++)
        live_metric(live, at->job, line->attempt, line->values[i].name, line->values[i].value);
    const struct scope *scope = find_scope(&desk->batch, at->job, line->attempt);
    assert(scope != NULL); /* no line enters the batch without its scope */
    if (live_first_step(live, at->job, line->attempt, line->step, scope->resume_step))
        tell_first_step(desk, at);
    feed_job_moved(desk->api->feed, at->job);
}

static void store_lines(struct telemetry_desk *desk, struct error *err)
{
    struct batch *batch = &desk->batch;
    struct telemetry_line *lines = calloc(batch->line_count + 1, sizeof(*lines));
    if (lines == NULL) {
        error_set(err, STATUS_NO_MEMORY, "%zu lines of telemetry: out of memory",
                  batch->line_count);
        return;
    }
    for (size_t i = 0; i < batch->value_count; i++)
        batch->values[i].name = batch->names[i];
    for (size_t i = 0; i < batch->line_count; i++) {
        struct desk_line *at = &batch->lines[i];
        at->line.job = at->job;
        at->line.text = at->text;
        at->line.values = &batch->values[at->value_at];
        lines[i] = at->line;
    }
    if (telemetry_append(desk->telemetry, lines, batch->line_count, clock_wall_ms(), err) ==
        STATUS_OK) {
        for (size_t i = 0; i < batch->line_count; i++)
            show(desk, &batch->lines[i]);
    }
    free(lines);
}

static void batch_reset(struct batch *batch)
{
    for (size_t i = 0; i < batch->scope_count; i++)
        free(batch->scopes[i].nodes);
    batch->scope_count = 0;
    batch->line_count = 0;
    batch->value_count = 0;
    if (batch->line_capacity > LINES_MAX) { /* a flood's memory goes back */
        free(batch->lines);
        free(batch->values);
        free(batch->names);
        batch->lines = NULL;
        batch->values = NULL;
        batch->names = NULL;
        batch->line_capacity = batch->value_capacity = 0;
    }
}

static void prune(struct telemetry_desk *desk)
{
    const int64_t now_mono_ms = clock_mono_ms();
    if (now_mono_ms - desk->pruned_mono_ms < PRUNE_EVERY_MS)
        return;
    desk->pruned_mono_ms = now_mono_ms;
    const int64_t oldest_ms = clock_wall_ms() - KEEP_DAYS * (int64_t)86400000;
    struct error err = {0};
    size_t removed = 0;
    if (telemetry_prune(desk->telemetry, oldest_ms, FILE_BYTES_MAX, PRUNE_JOBS, &removed, &err) !=
            STATUS_OK ||
        logs_prune(desk->api->logs, oldest_ms, PRUNE_JOBS, &removed, &err) != STATUS_OK)
        log_write(LOG_WARN, "prune_failed", err.text, NULL);
}

/* Stores what was taken of these postings, and answers them. */
static void finish(struct telemetry_desk *desk, void **postings, size_t count, struct error *err)
{
    if (desk->batch.line_count > 0)
        store_lines(desk, err);
    if (err->status != STATUS_OK)
        log_write(LOG_WARN, "telemetry_failed", err->text, NULL);
    for (size_t i = 0; i < count; i++) {
        struct posting *posting = postings[i];
        posting->error = *err;
        http_resume(posting->request);
    }
    batch_reset(&desk->batch);
}

static void handle(void *context, void **items, size_t count)
{
    struct telemetry_desk *desk = context;
    struct error err = {0};
    CLEANUP(lent_return) struct lent lent = {0};
    if (!loop_has_room(desk->api->loop))
        error_set(&err, STATUS_NO_SPACE, "the disk of the controller is nearly full");
    else
        err.status = readers_lend(desk->api->readers, &lent, &err);
    size_t done = 0;
    for (size_t i = 0; i < count && err.status == STATUS_OK; i++) {
        take_posting(desk, &lent, items[i]);
        /* After an outage every node brings a full spool: memory is for one of them at a time. */
        if (desk->batch.line_count >= LINES_MAX) {
            finish(desk, items + done, i + 1 - done, &err);
            done = i + 1;
        }
    }
    finish(desk, items + done, count - done, &err);
    prune(desk);
}

/* ---------------------------------------------------------------- the request */

static void stored(struct http_request *request)
{
    const struct posting *posting = http_context(request);
    if (posting->error.status != STATUS_OK) {
        http_reply_problem(request, posting->error.status == STATUS_NO_SPACE ? 507 : 503,
                           "not_stored", "%s", posting->error.text);
        return;
    }
    http_reply_json(request, 200,
                    wire_telemetry_answer_encode(posting->acked, posting->acked_count,
                                                 posting->stale, posting->stale_count));
}

void agent_telemetry(struct http_request *request)
{
    struct posting *posting = calloc(1, sizeof(*posting));
    if (posting == NULL) {
        http_reply_problem(request, 503, "no_memory", "out of memory");
        return;
    }
    http_set_context(request, posting, free);
    posting->request = request;
    http_suspend(request, stored);
    if (worker_push(api_of(request)->telemetry->worker, posting))
        return;
    error_set(&posting->error, STATUS_UNAVAILABLE, "%d batches of telemetry wait already",
              QUEUE_MAX);
    http_resume(request);
}

/* ---------------------------------------------------------------- life */

enum status telemetry_desk_new(struct api *api, struct telemetry_desk **out, struct error *err)
{
    struct telemetry_desk *desk = calloc(1, sizeof(*desk));
    if (desk == NULL)
        return error_set(err, STATUS_NO_MEMORY, "telemetry: out of memory");
    desk->api = api;
    desk->pruned_mono_ms = clock_mono_ms();
    const struct worker_options options = {.name = "telemetry",
                                           .queue_max = QUEUE_MAX,
                                           .batch_max = BATCH_MAX,
                                           .fn = handle,
                                           .context = desk};
    enum status status = telemetry_open(api->data_dir, &desk->telemetry, err);
    if (status == STATUS_OK)
        status = worker_new(&options, &desk->worker, err);
    if (status != STATUS_OK) {
        telemetry_desk_free(desk);
        return status;
    }
    *out = desk;
    return STATUS_OK;
}

void telemetry_desk_stop(struct telemetry_desk *desk)
{
    if (desk != NULL)
        worker_stop(desk->worker);
}

void telemetry_desk_free(struct telemetry_desk *desk)
{
    if (desk == NULL)
        return;
    worker_free(desk->worker);
    telemetry_close(desk->telemetry);
    batch_reset(&desk->batch);
    free(desk->batch.lines);
    free(desk->batch.values);
    free(desk->batch.names);
    free(desk);
}

void telemetry_desk_count(const struct telemetry_desk *desk, struct telemetry_counts *out)
{
    telemetry_count(desk->telemetry, out);
}
