#include "service/api/job_view.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

bool caller_sees(const struct http_caller *caller, const char *project)
{
    return caller->project[0] == '\0' || strcmp(caller->project, project) == 0;
}

static void add_metric(void *context, const char *name, double value, int64_t step, int64_t attempt)
{
    (void)step;
    (void)attempt;
    struct live_job *job = context;
    if (job->metric_count == LIVE_METRICS_MAX || strlen(name) >= LIVE_NAME_BYTES)
        return;
    struct live_metric *metric = &job->metrics[job->metric_count++];
    snprintf(metric->name, sizeof(metric->name), "%s", name);
    metric->value = value;
}

static void know_nothing(struct live_job *out)
{
    out->attempt = 0;
    out->step = 0;
    out->of = 0;
    out->epoch = -1;
    out->wall_ms = 0;
    out->metric_count = 0;
}

void job_live(struct api *api, struct telemetry_reader *telemetry, const char *job,
              struct live_job *out)
{
    if (live_get(api->live, job, out))
        return;
    know_nothing(out);
    struct telemetry_progress progress;
    if (telemetry_progress(telemetry, job, &progress, NULL) == STATUS_OK) {
        out->attempt = progress.attempt;
        out->step = progress.step;
        out->of = progress.of;
        out->epoch = progress.epoch;
        out->wall_ms = progress.wall_ms;
    }
    if (telemetry_latest(telemetry, job, add_metric, out, NULL) != STATUS_OK)
        return; /* telemetry is broken or busy: shown as far as known, not remembered */
    live_restore(api->live, job, out);
}

static void write_progress(struct out *out, const struct job_row *row, const struct live_job *live)
{
    const bool current = live->attempt == row->attempt;
    const int64_t of = live->of > 0 ? live->of : row->request.total_steps;
    int64_t step = current && live->step > row->resume_step ? live->step : row->resume_step;
    if (row->state == JOB_SUCCEEDED && of > step)
        step = of; /* its last lines may be lost, not its last steps */
    out_open_object(out, "progress");
    out_int(out, "step", step);
    if (of > 0)
        out_int(out, "of", of);
    else
        out_null(out, "of");
    if (live->epoch >= 0)
        out_int(out, "epoch", live->epoch);
    else
        out_null(out, "epoch");
    out_close_object(out);
    out_open_object(out, "metrics");
    for (size_t i = 0; i < live->metric_count; i++)
        out_number(out, live->metrics[i].name, live->metrics[i].value);
    out_close_object(out);
}

static void write_resume(struct out *out, const struct job_row *row)
{
    if (row->attempt < 2) {
        out_null(out, "resume");
        return;
    }
    out_open_object(out, "resume");
    out_int(out, "step", row->resume_step);
    out_int(out, "lost_steps", row->lost_steps);
    out_close_object(out);
}

static void write_model(struct out *out, const struct job_view *view)
{
    const struct job_row *row = &view->row;
    if (row->state != JOB_SUCCEEDED || row->result_attempt == 0) {
        out_null(out, "model");
        return;
    }
    char href[96];
    snprintf(href, sizeof(href), "/v1/jobs/%s/model", row->id);
    out_open_object(out, "model");
    out_text(out, "sha256", row->model_sha256);
    out_text(out, "file_sha256", row->model_file_sha256);
    out_int(out, "bytes", row->model_bytes);
    out_text(out, "href", href);
    out_raw(out, "metrics", view->metrics, strlen(view->metrics));
    out_close_object(out);
}

void job_view_write(struct out *out, struct api *api, struct telemetry_reader *telemetry,
                    const struct job_view *view, bool with_spec)
{
    const struct job_row *row = &view->row;
    struct live_job live;
    know_nothing(&live);
    if (row->attempt > 0)
        job_live(api, telemetry, row->id, &live);
    out_text(out, "id", row->id);
    out_int(out, "revision", row->revision);
    out_text(out, "name", row->name);
    out_text(out, "project", row->project);
    out_text(out, "state", job_state_names[row->state]);
    out_text_or_null(out, "reason", row->reason == REASON_NONE ? "" : reason_names[row->reason]);
    out_text_or_null(out, "detail", row->detail);
    out_int(out, "attempt", row->attempt);
    write_progress(out, row, &live);
    write_resume(out, row);
    out_bool(out, "bit_exact", row->bit_exact);
    out_int(out, "committed_step", row->committed_step);
    out_int(out, "restarts", row->restarts);
    out_int(out, "infra_restarts", row->infra_restarts);
    out_int(out, "ranks", row->request.ranks);
    out_int(out, "priority", row->request.priority);
    out_text_or_null(out, "device", device_kind_names[row->device]);
    out_raw(out, "labels", view->labels, strlen(view->labels));
    out_bool(out, "cancel_requested", row->cancel_requested);
    out_text_or_null(out, "retry_of", row->retry_of);
    out_text_or_null(out, "submitted_by", row->submitted_by);
    out_time(out, "created_at", row->created_at_ms);
    out_time(out, "started_at", row->started_at_ms);
    out_time(out, "ended_at", row->ended_at_ms);
    out_text(out, "spec_sha256", row->spec_sha256);
    write_model(out, view);
    if (with_spec)
        out_raw(out, "spec", view->spec, view->spec_bytes);
}

static void keep_lag(void *context, const struct checkpoint_row *checkpoint,
                     const struct shard_row *shards, size_t shard_count)
{
    (void)shards;
    (void)shard_count;
    *(int64_t *)context = checkpoint->lag_ms;
}

static enum status not_found(const char *id, struct error *err)
{
    return error_set(err, STATUS_NOT_FOUND, "there is no job %.64s", id);
}

enum status job_view_read(struct buf *buf, struct api *api, struct lent *lent,
                          const struct http_caller *caller, const char *id, int64_t *out_revision,
                          struct error *err)
{
    struct job_view view;
    struct error unseen = {0};
    const enum status status = reader_job(lent->state, id, &view, &unseen);
    if (status == STATUS_NOT_FOUND ||
        (status == STATUS_OK && !caller_sees(caller, view.row.project)))
        return not_found(id, err);
    if (status != STATUS_OK)
        return error_set(err, status, "%s", unseen.text);
    struct out out = out_to(buf);
    out_open_object(&out, NULL);
    job_view_write(&out, api, lent->telemetry, &view, true);
    /* From here on the view's texts are gone: the reader is asked again. */
    int64_t lag_ms = -1;
    if (view.row.committed_step > 0)
        TRY(reader_checkpoint(lent->state, view.row.id, view.row.committed_step, keep_lag, &lag_ms,
                              err));
    if (lag_ms >= 0)
        out_int(&out, "checkpoint_lag_ms", lag_ms);
    else
        out_null(&out, "checkpoint_lag_ms");
    out_close_object(&out);
    *out_revision = view.row.revision;
    return STATUS_OK;
}

void job_view_write_queued(struct buf *buf, struct api *api, const struct job_view *view)
{
    assert(view->row.attempt == 0); /* so it has no progress, no metrics and no checkpoint */
    struct out out = out_to(buf);
    out_open_object(&out, NULL);
    job_view_write(&out, api, NULL, view, true);
    out_null(&out, "checkpoint_lag_ms");
    out_close_object(&out);
}

enum status job_row_read(struct lent *lent, const struct http_caller *caller, const char *id,
                         struct job_row *out, struct error *err)
{
    struct job_view view;
    struct error unseen = {0};
    const enum status status = reader_job(lent->state, id, &view, &unseen);
    if (status == STATUS_NOT_FOUND ||
        (status == STATUS_OK && !caller_sees(caller, view.row.project)))
        return not_found(id, err);
    if (status != STATUS_OK)
        return error_set(err, status, "%s", unseen.text);
    *out = view.row;
    return STATUS_OK;
}
