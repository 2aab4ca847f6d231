/* jobs_read.c - what a job is and was: GET /v1/jobs, /v1/jobs/{id}, its attempts, events, checkpoints, model. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/id.h"
#include "schema/names.h"
#include "service/api/job_view.h"
#include "service/api/jobs.h"
#include "service/api/object.h"
#include "service/api/page.h"

/* ---------------------------------------------------------------- one job, now or when it moves */

enum status jobs_read_one(struct http_request *request, struct buf *body, int64_t *out_revision,
                          struct error *err)
{
    struct api *api = api_of(request);
    CLEANUP(lent_return) struct lent lent = {0};
    TRY(readers_lend(api->readers, &lent, err));
    return job_view_read(body, api, &lent, http_caller(request), http_param(request, 0),
                         out_revision, err);
}

void jobs_get(struct http_request *request)
{
    object_get(request, jobs_read_one);
}

/* ---------------------------------------------------------------- lists */

struct listing {
    struct api *api;
    struct telemetry_reader *telemetry;
    struct out out;
};

static void list_job(void *context, const struct job_view *view)
{
    struct listing *listing = context;
    out_open_object(&listing->out, NULL);
    job_view_write(&listing->out, listing->api, listing->telemetry, view, false);
    out_close_object(&listing->out);
}

/* "key", "key=value" or "key:value" */
static void split_label(const char *text, char *copy, size_t copy_bytes, struct job_filter *filter)
{
    snprintf(copy, copy_bytes, "%s", text);
    char *mark = strpbrk(copy, "=:");
    if (mark != NULL) {
        *mark = '\0';
        filter->label_value = mark + 1;
    }
    filter->label_key = copy;
}

static bool take_filter(struct http_request *request, struct job_filter *filter, char *label,
                        size_t label_bytes)
{
    const char *state = http_query(request, "state");
    const int index = state != NULL ? name_index(job_state_names, state) : 0;
    if (index < 0 && strcmp(state, "live") != 0) {
        http_reply_problem(request, 400, "bad_query",
                           "query state: expected a job state or live, got \"%.64s\"", state);
        return false;
    }
    filter->has_state = state != NULL && index >= 0;
    filter->state = index >= 0 ? (enum job_state)index : JOB_QUEUED;
    filter->live_only = state != NULL && index < 0;
    const char *scope = http_caller(request)->project;
    filter->project = http_query(request, "project");
    if (scope[0] != '\0' && filter->project != NULL && strcmp(scope, filter->project) != 0) {
        http_reply_problem(request, 404, "not_found", "there is no project %.64s", filter->project);
        return false;
    }
    if (scope[0] != '\0')
        filter->project = scope;
    filter->name = http_query(request, "name");
    filter->q = http_query(request, "q");
    if (http_query(request, "label") != NULL)
        split_label(http_query(request, "label"), label, label_bytes, filter);
    struct page page;
    if (!page_take(request, &page))
        return false;
    if (page.cursor != NULL && !id_is_valid(page.cursor, "job"))
        return page_refuse_cursor(request, page.cursor);
    filter->cursor = page.cursor;
    filter->limit = page.limit;
    return true;
}

void jobs_list(struct http_request *request)
{
    struct api *api = api_of(request);
    struct error err = {0};
    struct job_filter filter = {0};
    char label[PAGE_CURSOR_BYTES * 4];
    if (!take_filter(request, &filter, label, sizeof(label)))
        return;
    CLEANUP(lent_return) struct lent lent = {0};
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, API_ANSWER_BYTES_MAX);
    if (readers_lend(api->readers, &lent, &err) != STATUS_OK) {
        http_reply_error(request, &err);
        return;
    }
    struct listing listing = {.api = api, .telemetry = lent.telemetry, .out = out_to(&body)};
    char cursor[ID_BYTES_MAX] = "";
    page_open(&listing.out);
    if (reader_jobs(lent.state, &filter, list_job, &listing, cursor, &err) != STATUS_OK) {
        http_reply_error(request, &err);
        return;
    }
    page_close(&listing.out, cursor);
    http_reply_buf(request, 200, "application/json", &body);
}

/* ---------------------------------------------------------------- what belongs to a job */

struct attempts_listing {
    struct api *api;
    const char *job;
    struct page_writer page;
};

static void write_rank(struct out *out, struct api *api, const struct attempt_row *attempt,
                       const struct rank_row *rank)
{
    out_open_object(out, NULL);
    out_int(out, "rank", rank->rank);
    out_text(out, "node", rank->node);
    out_text(out, "slot", rank->slot);
    if (rank->pid > 0)
        out_int(out, "pid", rank->pid);
    else
        out_null(out, "pid");
    struct live_rank live = live_get_rank(api->live, attempt->job, attempt->attempt, rank->rank);
    if (rank->ended) /* its last words are on disk */
        live = (struct live_rank){.known = rank->step > 0 || rank->phase != PROGRESS_SETUP,
                                  .phase = (int)rank->phase,
                                  .step = rank->step};
    out_text_or_null(out, "phase", live.known ? phase_names[live.phase] : "");
    if (live.known)
        out_int(out, "step", live.step);
    else
        out_null(out, "step");
    if (!rank->ended) {
        out_null(out, "exit");
    } else {
        out_open_object(out, "exit");
        out_int(out, "code", rank->exit_code);
        out_int(out, "signal", rank->exit_signal);
        out_bool(out, "oom", rank->exit_oom);
        out_text_or_null(out, "reason",
                         rank->exit_reason == REASON_NONE ? "" : reason_names[rank->exit_reason]);
        out_close_object(out);
    }
    out_close_object(out);
}

static void write_incident(struct out *out, const struct attempt_row *attempt)
{
    if (attempt->cause == REASON_NONE) {
        out_null(out, "incident");
        return;
    }
    out_open_object(out, "incident");
    out_text(out, "cause", reason_names[attempt->cause]);
    out_time(out, "fault_at", attempt->fault_at_ms);
    out_time(out, "detected_at", attempt->detected_at_ms);
    out_time(out, "fenced_at", attempt->fenced_at_ms);
    out_time(out, "placed_at", attempt->placed_at_ms);
    out_time(out, "started_at", attempt->started_at_ms);
    out_time(out, "first_step_at", attempt->first_step_at_ms);
    out_close_object(out);
}

static void list_attempt(void *context, const struct attempt_row *attempt,
                         const struct rank_row *ranks, size_t rank_count)
{
    struct attempts_listing *listing = context;
    if (!page_takes(&listing->page, attempt->attempt))
        return;
    struct out *out = &listing->page.out;
    out_open_object(out, NULL);
    out_int(out, "attempt", attempt->attempt);
    out_text(out, "state", attempt_state_names[attempt->state]);
    out_text_or_null(out, "reason",
                     attempt->reason == REASON_NONE ? "" : reason_names[attempt->reason]);
    out_text_or_null(out, "detail", attempt->detail);
    out_int(out, "resume_step", attempt->resume_step);
    out_int(out, "lost_steps", attempt->lost_steps);
    out_int(out, "world_size", attempt->world_size);
    out_time(out, "placed_at", attempt->placed_at_ms);
    out_time(out, "started_at", attempt->started_at_ms);
    out_time(out, "first_step_at", attempt->first_step_at_ms);
    out_time(out, "ended_at", attempt->ended_at_ms);
    out_open_array(out, "ranks");
    for (size_t i = 0; i < rank_count; i++)
        write_rank(out, listing->api, attempt, &ranks[i]);
    out_close_array(out);
    write_incident(out, attempt);
    out_close_object(out);
}

/* Opens a page of what belongs to the job of the path; false: replied. */
static bool open_listing(struct http_request *request, struct lent *lent, struct buf *body,
                         struct page_writer *page)
{
    struct error err = {0};
    struct job_row row;
    buf_init(body, API_ANSWER_BYTES_MAX);
    if (!page_begin(request, body, page))
        return false;
    if (readers_lend(api_of(request)->readers, lent, &err) != STATUS_OK ||
        job_row_read(lent, http_caller(request), http_param(request, 0), &row, &err) != STATUS_OK) {
        http_reply_error(request, &err);
        return false;
    }
    return true;
}

void jobs_attempts(struct http_request *request)
{
    struct error err = {0};
    CLEANUP(lent_return) struct lent lent = {0};
    CLEANUP(buf_clear) struct buf body;
    struct attempts_listing listing = {.api = api_of(request), .job = http_param(request, 0)};
    if (!open_listing(request, &lent, &body, &listing.page))
        return;
    const enum status status =
        reader_attempts(lent.state, listing.job, listing.page.after, listing.page.limit + 1,
                        list_attempt, &listing, &err);
    page_end(request, &listing.page, status, &err);
}

static void list_event(void *context, int64_t seq, const struct event_row *event)
{
    struct page_writer *page = context;
    if (!page_takes(page, seq))
        return;
    struct out *out = &page->out;
    out_open_object(out, NULL);
    out_int(out, "seq", seq);
    out_time(out, "at", event->at_ms);
    out_text(out, "kind", event->kind);
    out_text_or_null(out, "from", event->from);
    out_text_or_null(out, "to", event->to);
    out_text_or_null(out, "reason",
                     event->reason == REASON_NONE ? "" : reason_names[event->reason]);
    out_int(out, "attempt", event->attempt);
    out_text_or_null(out, "node", event->node);
    out_text(out, "actor", event->actor);
    out_text_or_null(out, "detail", event->detail);
    out_close_object(out);
}

void jobs_events(struct http_request *request)
{
    struct error err = {0};
    CLEANUP(lent_return) struct lent lent = {0};
    CLEANUP(buf_clear) struct buf body;
    struct page_writer page;
    if (!open_listing(request, &lent, &body, &page))
        return;
    const enum status status = reader_events(lent.state, http_param(request, 0), page.after,
                                             page.limit + 1, list_event, &page, &err);
    page_end(request, &page, status, &err);
}

static void list_checkpoint(void *context, const struct checkpoint_row *checkpoint,
                            const struct shard_row *shards, size_t shard_count)
{
    struct page_writer *page = context;
    if (!page_takes(page, checkpoint->step))
        return;
    struct out *out = &page->out;
    out_open_object(out, NULL);
    out_int(out, "step", checkpoint->step);
    out_int(out, "attempt", checkpoint->attempt);
    out_int(out, "bytes", checkpoint->bytes);
    out_time(out, "committed_at", checkpoint->committed_at_ms);
    if (checkpoint->lag_ms >= 0)
        out_int(out, "lag_ms", checkpoint->lag_ms);
    else
        out_null(out, "lag_ms");
    out_open_array(out, "shards");
    for (size_t i = 0; i < shard_count; i++) {
        out_open_object(out, NULL);
        out_int(out, "shard", shards[i].shard);
        out_int(out, "of", shards[i].of);
        out_int(out, "bytes", shards[i].bytes);
        out_text(out, "sha256", shards[i].sha256);
        out_close_object(out);
    }
    out_close_array(out);
    out_close_object(out);
}

void jobs_checkpoints(struct http_request *request)
{
    struct error err = {0};
    CLEANUP(lent_return) struct lent lent = {0};
    CLEANUP(buf_clear) struct buf body;
    struct page_writer page;
    if (!open_listing(request, &lent, &body, &page))
        return;
    const enum status status = reader_checkpoints(lent.state, http_param(request, 0), page.after,
                                                  page.limit + 1, list_checkpoint, &page, &err);
    page_end(request, &page, status, &err);
}

/* ---------------------------------------------------------------- the model */

void jobs_model(struct http_request *request)
{
    struct api *api = api_of(request);
    struct error err = {0};
    struct job_row row;
    CLEANUP(lent_return) struct lent lent = {0};
    if (readers_lend(api->readers, &lent, &err) != STATUS_OK ||
        job_row_read(&lent, http_caller(request), http_param(request, 0), &row, &err) !=
            STATUS_OK) {
        http_reply_error(request, &err);
        return;
    }
    if (row.state != JOB_SUCCEEDED || row.result_attempt == 0) {
        http_reply_problem(request, 404, "no_model", "job %s is %s and has no model", row.id,
                           job_state_names[row.state]);
        return;
    }
    char etag[SHA256_HEX_BYTES + 2];
    snprintf(etag, sizeof(etag), "\"%s\"", row.model_file_sha256);
    const char *known = http_header(request, "If-None-Match");
    if (known != NULL && (strcmp(known, "*") == 0 || strstr(known, etag) != NULL)) {
        http_reply_empty(request, 304);
        http_reply_header(request, "ETag", etag);
        return;
    }
    char key[BLOB_KEY_BYTES];
    int fd = -1;
    uint64_t bytes = 0;
    if (blob_key_artifact(key, row.id, row.result_attempt, "model.safetensors", &err) !=
            STATUS_OK ||
        blob_get(api->blobs, key, &fd, &bytes, &err) != STATUS_OK) {
        http_reply_error(request, &err);
        return;
    }
    http_reply_file(request, 200, "application/octet-stream", fd, bytes);
    http_reply_header(request, "ETag", etag);
    http_reply_header(request, "Content-Disposition", "attachment; filename=\"model.safetensors\"");
}
