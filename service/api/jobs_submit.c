/* jobs_submit.c - POST /v1/jobs and POST /v1/jobs/{id}/retry. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"
#include "schema/job_spec.h"
#include "service/api/job_view.h"
#include "service/api/jobs.h"

#define KEYS_KEPT_MS (24 * 3600 * (int64_t)1000)

/* Everything that the loop needs of one submission; lives as long as the request. */
struct submission {
    struct api_call call;
    char *spec;
    char *labels;
    bool dry_run;
    bool no_dataset;                /* data.root names none */
    struct explanation explanation; /* dry run */
};

static void submission_free(void *context)
{
    struct submission *submission = context;
    free(submission->spec);
    free(submission->labels);
    free(submission);
}

static void hash_text(const char *text, size_t size, char out[SHA256_HEX_BYTES])
{
    uint8_t digest[SHA256_BYTES];
    sha256_of(text, size, digest);
    sha256_hex(digest, out);
}

static void request_of_spec(const struct job_spec *spec, struct job_request *out)
{
    static const enum device_kind devices[] = {
        [JOB_DEVICE_AUTO] = DEVICE_NONE,
        [JOB_DEVICE_CUDA] = DEVICE_CUDA,
        [JOB_DEVICE_CPU] = DEVICE_CPU,
    };
    *out = (struct job_request){
        .ranks = spec->resources.ranks,
        .device = devices[spec->resources.device],
        .priority = spec->priority,
        .time_limit_ms = spec->resources.time_limit_ms,
        .max_restarts = spec->retry.max_restarts,
        .max_infra_restarts = spec->retry.max_infra_restarts,
        .hang_timeout_ms = spec->retry.hang_timeout_ms,
        .orphan_timeout_ms = spec->retry.orphan_timeout_ms,
        .keep_last = spec->checkpoint.keep_last,
        .total_steps = spec->training.steps,
        .fenced = true, /* built-in trainers change nothing but what is committed here */
        .stop_on_controller_loss = spec->retry.on_controller_loss == CONTROLLER_LOSS_STOP,
    };
}

static char *labels_text(const struct job_spec *spec)
{
    CLEANUP(json_cleanup) json_t *labels = json_object();
    for (size_t i = 0; i < spec->label_count; i++)
        json_object_set_new(labels, spec->labels[i].key, json_string(spec->labels[i].value));
    return json_dumps(labels, JSON_COMPACT | JSON_SORT_KEYS);
}

/* Fills the submission from a decoded spec; false when out of memory. */
static bool fill(struct submission *submission, const struct job_spec *spec,
                 const struct http_caller *caller)
{
    struct brain_input *input = &submission->call.loop.input;
    struct job_row *job = &input->submit.job;
    submission->call.loop.has_input = true;
    input->kind = INPUT_JOB_SUBMIT;
    CLEANUP(json_cleanup) json_t *complete = job_spec_encode(spec);
    submission->spec = complete != NULL ? json_canonical(complete) : NULL;
    submission->labels = labels_text(spec);
    if (submission->spec == NULL || submission->labels == NULL)
        return false;
    input->submit.spec = submission->spec;
    input->submit.labels = submission->labels;
    input->submit.inexact = spec->training.staleness > 0;
    id_format(job->id, "job", clock_wall_ms(), random_u64());
    snprintf(job->name, sizeof(job->name), "%s", spec->name);
    snprintf(job->project, sizeof(job->project), "%s", spec->project);
    snprintf(job->dataset, sizeof(job->dataset), "%s", spec->data.root);
    snprintf(job->submitted_by, sizeof(job->submitted_by), "%s", caller->token);
    request_of_spec(spec, &job->request);
    hash_text(submission->spec, strlen(submission->spec), job->spec_sha256);
    return true;
}

/* Looks up what the brain can't: the key's owner, the project, the data set. */
static enum status prepare(struct loop_call *call, struct store *store, const struct brain *brain,
                           struct error *err)
{
    (void)brain;
    struct input_submit *submit = &call->input.submit;
    struct submission *submission = (struct submission *)(void *)call;
    const struct http_caller *caller = http_caller(submission->call.request);
    const int64_t wall_ms = clock_wall_ms();
    submit->existing_job[0] = '\0';
    if (submit->job.idempotency_key[0] != '\0') {
        struct error free_key = {0};
        const enum status status = store_find_key(
            store, submit->job.project, submit->job.idempotency_key, wall_ms - KEYS_KEPT_MS,
            submit->existing_job, submit->existing_body_sha256, &free_key);
        if (status != STATUS_OK && status != STATUS_NOT_FOUND)
            return error_set(err, status, "%s", free_key.text);
        if (status == STATUS_OK)
            return STATUS_OK; /* the answer is the job that is there */
    }
    struct dataset_row dataset;
    struct error missing = {0};
    const enum status found =
        reader_dataset(store_reader(store), submit->job.dataset, &dataset, &missing);
    submission->no_dataset = found == STATUS_NOT_FOUND;
    if (found != STATUS_OK)
        return error_set(err, found, "%s", missing.text);
    bool created = false;
    if (caller->role == ROLE_OPERATOR)
        return submission->dry_run
                   ? STATUS_OK
                   : store_ensure_project(store, submit->job.project, wall_ms, &created, err);
    struct project_row project;
    if (reader_project(store_reader(store), submit->job.project, &project, &missing) != STATUS_OK)
        return error_set(err, STATUS_NOT_FOUND, "there is no project %s", submit->job.project);
    return STATUS_OK;
}

/* The loop keeps the row that the brain made of the request: most answers need nothing else. */
static void keep_row(struct loop_call *call, const struct brain *brain)
{
    const struct job_row *row = call->reply.replayed ? NULL : brain_job(brain, call->reply.id);
    if (row != NULL)
        call->input.submit.job = *row;
}

static enum status write_job(struct http_request *request, const struct submission *submission,
                             struct buf *body, int64_t *out_revision, struct error *err)
{
    struct api *api = api_of(request);
    const struct brain_reply *reply = &submission->call.loop.reply;
    const struct job_row *row = &submission->call.loop.input.submit.job;
    if (!reply->replayed && row->attempt == 0) {
        const struct job_view view = {.row = *row,
                                      .spec = submission->spec,
                                      .spec_bytes = strlen(submission->spec),
                                      .labels = submission->labels,
                                      .metrics = "{}"};
        job_view_write_queued(body, api, &view);
        *out_revision = row->revision;
        return STATUS_OK;
    }
    CLEANUP(lent_return) struct lent lent = {0};
    TRY(readers_lend(api->readers, &lent, err));
    return job_view_read(body, api, &lent, http_caller(request), reply->id, out_revision, err);
}

static void reply_job(struct http_request *request, const struct submission *submission)
{
    const char *id = submission->call.loop.reply.id;
    struct error err = {0};
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, API_ANSWER_BYTES_MAX);
    int64_t revision = 0;
    if (write_job(request, submission, &body, &revision, &err) != STATUS_OK) {
        http_reply_error(request, &err);
        return;
    }
    char location[64];
    snprintf(location, sizeof(location), "/v1/jobs/%s", id);
    http_reply_buf(request, 201, "application/json", &body);
    http_reply_header(request, "Location", location);
    object_etag(request, revision);
    if (submission->call.loop.reply.replayed)
        http_reply_header(request, "Idempotency-Replayed", "true");
}

/* Replies if the loop found no such data set: that is the body's fault, and stands at its place. */
static bool refuse_dataset(struct http_request *request, const struct submission *submission)
{
    char got[BRAIN_NAME_BYTES + 16];
    if (!submission->no_dataset)
        return false;
    snprintf(got, sizeof(got), "string \"%s\"", submission->call.loop.input.submit.job.dataset);
    http_reply_problem_at(request, "invalid", "/data/root", "a registered data set", got);
    return true;
}

static void submitted(struct http_request *request)
{
    const struct submission *submission = http_context(request);
    const struct brain_reply *reply = &submission->call.loop.reply;
    if (submission->call.loop.status != STATUS_OK &&
        strcmp(reply->code, "idempotency_mismatch") == 0) {
        http_reply_problem(request, 422, reply->code,
                           "Idempotency-Key \"%s\" was used for another body, job %s",
                           submission->call.loop.input.submit.job.idempotency_key,
                           submission->call.loop.input.submit.existing_job);
        return;
    }
    if (!refuse_dataset(request, submission) && api_succeeded(request, &submission->call))
        reply_job(request, submission);
}

/* ---------------------------------------------------------------- dry run */

static enum status ask(struct loop_call *call, struct store *store, const struct brain *brain,
                       struct error *err)
{
    call->has_input = true;
    TRY(prepare(call, store, brain, err));
    call->has_input = false; /* nothing is submitted */
    struct submission *submission = (struct submission *)(void *)call;
    brain_explain_request(brain, &call->input.submit.job.request, clock_boot_ms(),
                          &submission->explanation);
    return STATUS_OK;
}

static void answered(struct http_request *request)
{
    const struct submission *submission = http_context(request);
    if (refuse_dataset(request, submission) || !api_succeeded(request, &submission->call))
        return;
    const struct explanation *explanation = &submission->explanation;
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, API_ANSWER_BYTES_MAX);
    struct out out = out_to(&body);
    out_open_object(&out, NULL);
    out_bool(&out, "would_run", explanation->code == EXPLAIN_WOULD_RUN);
    out_text(&out, "code", explain_code_names[explanation->code]);
    out_text_or_null(&out, "detail", explanation->detail);
    out_int(&out, "position", explanation->position);
    out_open_array(&out, "placement");
    for (size_t i = 0; i < explanation->placement_count; i++) {
        out_open_object(&out, NULL);
        out_text(&out, "node", explanation->placement[i].node);
        out_int(&out, "ranks", explanation->placement[i].ranks);
        out_close_object(&out);
    }
    out_close_array(&out);
    out_text(&out, "spec_sha256", submission->call.loop.input.submit.job.spec_sha256);
    out_raw(&out, "spec", submission->spec, strlen(submission->spec));
    out_close_object(&out);
    http_reply_buf(request, 200, "application/json", &body);
}

/* ---------------------------------------------------------------- the request */

/* Copies the Idempotency-Key; false: replied. */
static bool take_key(struct http_request *request, struct job_row *job)
{
    size_t size = 0;
    const char *body = http_body(request, &size);
    const char *key = http_header(request, "Idempotency-Key");
    if (key == NULL)
        return true;
    const size_t key_bytes = strlen(key);
    bool printable = key_bytes > 0 && key_bytes < sizeof(job->idempotency_key);
    for (const char *c = key; printable && *c != '\0'; c++)
        printable = *c >= 0x21 && *c <= 0x7e;
    if (!printable) {
        http_reply_problem(request, 400, "bad_idempotency_key",
                           "Idempotency-Key: expected 1 to %zu printable characters without spaces",
                           sizeof(job->idempotency_key) - 1);
        return false;
    }
    memcpy(job->idempotency_key, key, key_bytes + 1);
    if (job->retry_of[0] != '\0')
        hash_text(job->retry_of, strlen(job->retry_of), job->body_sha256); /* it is in the path */
    else
        hash_text(body, size, job->body_sha256);
    return true;
}

/* A token of one project submits to it without naming it; another project is not there for it. */
static bool project_passes(struct http_request *request, json_t *document)
{
    const struct http_caller *caller = http_caller(request);
    if (caller->project[0] == '\0' || !json_is_object(document))
        return true;
    const char *project = json_string_value(json_object_get(document, "project"));
    if (project == NULL && json_object_get(document, "project") == NULL)
        json_object_set_new(document, "project", json_string(caller->project));
    else if (project != NULL && strcmp(project, caller->project) != 0) {
        http_reply_problem(request, 404, "not_found", "there is no project %.64s", project);
        return false;
    }
    return true;
}

static bool spec_passes(struct http_request *request, const json_t *document, struct job_spec *spec)
{
    struct json_problems problems;
    problems.count = 0;
    problems.dropped = 0;
    const struct json_at root = json_at_root(document, &problems);
    job_spec_decode(&root, spec);
    if (problems.count > 0) {
        http_reply_problems(request, &problems);
        return false;
    }
    const uint64_t state_bytes = job_spec_state_bytes(spec, 0);
    if (state_bytes > API_BLOB_BYTES_MAX) {
        char text[ERROR_TEXT_BYTES_MAX];
        snprintf(text, sizeof(text),
                 "a checkpoint of this model has up to %llu bytes, over the %llu that are kept "
                 "without a shared store",
                 (unsigned long long)state_bytes, (unsigned long long)API_BLOB_BYTES_MAX);
        http_reply_problem_at(request, "state_too_large", "/model", text, "");
        return false;
    }
    return true;
}

static void submit(struct http_request *request, json_t *document, bool dry_run,
                   const char *retry_of)
{
    CLEANUP(free_cleanup) struct job_spec *spec = calloc(1, sizeof(*spec));
    struct submission *submission = calloc(1, sizeof(*submission));
    if (submission != NULL)
        http_set_context(request, submission, submission_free);
    if (spec == NULL || submission == NULL) {
        http_reply_problem(request, 503, "no_memory", "out of memory");
        return;
    }
    struct job_row *job = &submission->call.loop.input.submit.job;
    snprintf(job->retry_of, sizeof(job->retry_of), "%s", retry_of);
    if (!project_passes(request, document) || !spec_passes(request, document, spec) ||
        !take_key(request, job))
        return;
    if (!fill(submission, spec, http_caller(request))) {
        http_reply_problem(request, 503, "no_memory", "out of memory");
        return;
    }
    submission->dry_run = dry_run;
    submission->call.loop.prepare = dry_run ? ask : prepare;
    submission->call.loop.has_input = !dry_run;
    submission->call.loop.stepped = dry_run ? NULL : keep_row;
    submission->call.loop.grows = !dry_run;
    api_run(request, &submission->call, dry_run ? answered : submitted);
}

void jobs_submit(struct http_request *request)
{
    bool dry_run = false;
    CLEANUP(json_cleanup) json_t *document = NULL;
    if (http_query_bool(request, "dry_run", &dry_run) && http_body_json(request, &document))
        submit(request, document, dry_run, "");
}

/* The spec of a finished job, as a document; false: replied. */
static bool read_finished(struct http_request *request, json_t **out)
{
    struct api *api = api_of(request);
    const char *id = http_param(request, 0);
    struct error err = {0};
    CLEANUP(lent_return) struct lent lent = {0};
    struct job_view view;
    struct job_row row;
    if (readers_lend(api->readers, &lent, &err) != STATUS_OK ||
        job_row_read(&lent, http_caller(request), id, &row, &err) != STATUS_OK ||
        reader_job(lent.state, id, &view, &err) != STATUS_OK) {
        http_reply_error(request, &err);
        return false;
    }
    if (!job_state_is_terminal(view.row.state)) {
        http_reply_problem(request, 409, "not_finished",
                           "job %s is %s: only a finished job is retried", id,
                           job_state_names[view.row.state]);
        return false;
    }
    if (json_parse(view.spec, view.spec_bytes, out, &err) != STATUS_OK) {
        http_reply_error(request, &err);
        return false;
    }
    return true;
}

void jobs_retry(struct http_request *request)
{
    CLEANUP(json_cleanup) json_t *document = NULL;
    if (read_finished(request, &document))
        submit(request, document, false, http_param(request, 0));
}
