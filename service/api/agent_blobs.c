/*
 * agent_blobs.c - bytes that agents bring and fetch: checkpoint shards, artifacts, and the result that
 * names one. Bytes are written as they come; syncing, hashing and deleting are the disk worker's, so
 * that no listener's thread waits for the disk.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "schema/wire_agent.h"
#include "service/api/agent.h"
#include "service/api/disk.h"
#include "service/api/job_view.h"
#include "service/api/tidy.h"

struct upload {
    struct api_call call;
    struct disk_task task;
    char job[ID_BYTES_MAX];
    int64_t attempt;
    int64_t step, shard, of; /* shard */
    bool is_shard;
    char key[BLOB_KEY_BYTES];
    struct blob_put *put;
    char expected_sha256[SHA256_HEX_BYTES];
    char sha256[SHA256_HEX_BYTES];
    uint64_t bytes;
    struct error error; /* of the disk */
};

static void upload_free(void *context)
{
    struct upload *upload = context;
    blob_put_end(upload->put);
    free(upload);
}

struct attempt_find {
    const char *node;
    int64_t attempt;
    int64_t rank; /* -1: any */
    bool found;
    bool has_rank;
};

static void match_attempt(void *context, const struct attempt_row *attempt,
                          const struct rank_row *ranks, size_t rank_count)
{
    struct attempt_find *find = context;
    if (attempt->attempt != find->attempt)
        return;
    find->found = true;
    for (size_t i = 0; i < rank_count && !find->has_rank; i++)
        find->has_rank = strcmp(ranks[i].node, find->node) == 0 &&
                         (find->rank < 0 || ranks[i].rank == find->rank);
}

enum status agent_attempt_read(struct lent *lent, const char *node, const char *job,
                               int64_t attempt, int64_t rank, struct agent_attempt *out,
                               struct error *err)
{
    static const struct http_caller everyone = {.role = ROLE_OPERATOR};
    TRY(job_row_read(lent, &everyone, job, &out->job, err));
    struct attempt_find find = {.node = node, .attempt = attempt, .rank = rank};
    TRY(reader_attempts(lent->state, job, attempt - 1, 1, match_attempt, &find, err));
    out->has_rank = find.has_rank;
    if (!find.found || !find.has_rank)
        return error_set(err, STATUS_NOT_FOUND,
                         "attempt %lld of job %s has no such rank on node %s", (long long)attempt,
                         job, node);
    return STATUS_OK;
}

/* A path segment as a number; false: replied. */
static bool param_int(struct http_request *request, size_t index, const char *name, int64_t min,
                      int64_t max, int64_t *out)
{
    const char *text = http_param(request, index);
    char *end = NULL;
    errno = 0;
    const long long number = strtoll(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || errno != 0 || *end != '\0' || number < min ||
        number > max) {
        http_reply_problem(request, 400, "bad_path",
                           "%s: expected integer %lld..%lld, got \"%.32s\"", name, (long long)min,
                           (long long)max, text);
        return false;
    }
    *out = number;
    return true;
}

/* Content-Digest: sha-256=:<base64>: (RFC 9530); also the bare base64. False: replied. */
static bool take_digest(struct http_request *request, struct upload *upload)
{
    static const char name[] = "sha-256=";
    const char *header = http_header(request, "Content-Digest");
    const char *value = header != NULL ? strstr(header, name) : NULL;
    char text[64] = "";
    uint8_t digest[SHA256_BYTES];
    if (value != NULL) {
        value += sizeof(name) - 1;
        value += *value == ':' ? 1 : 0;
        snprintf(text, sizeof(text), "%.*s", (int)strcspn(value, ":, "), value);
    }
    if (value == NULL || (!base64_decode(text, digest, SHA256_BYTES))) {
        http_reply_problem(request, 400, "bad_digest",
                           "Content-Digest: expected sha-256=:<base64>:, got \"%.80s\"",
                           header != NULL ? header : "");
        return false;
    }
    sha256_hex(digest, upload->expected_sha256);
    return true;
}

/* The attempt must be this node's and the job's newest; false: replied. */
static bool attempt_passes(struct http_request *request, const char *job, int64_t attempt)
{
    struct error err = {0};
    struct agent_attempt found = {0};
    CLEANUP(lent_return) struct lent lent = {0};
    if (readers_lend(api_of(request)->readers, &lent, &err) != STATUS_OK ||
        agent_attempt_read(&lent, http_caller(request)->node, job, attempt, -1, &found, &err) !=
            STATUS_OK) {
        http_reply_error(request, &err);
        return false;
    }
    if (found.job.attempt == attempt && !job_state_is_terminal(found.job.state))
        return true;
    http_reply_problem(
        request, 409, "stale_attempt", "job %s is %s at attempt %lld, not running %lld", job,
        job_state_names[found.job.state], (long long)found.job.attempt, (long long)attempt);
    return false;
}

/* Makes the upload of a request whose path begins {job}/{attempt}; NULL: replied. */
static struct upload *upload_begin(struct http_request *request)
{
    struct upload *upload = calloc(1, sizeof(*upload));
    if (upload == NULL) {
        http_reply_problem(request, 503, "no_memory", "out of memory");
        return NULL;
    }
    http_set_context(request, upload, upload_free);
    snprintf(upload->job, sizeof(upload->job), "%s", http_param(request, 0));
    if (!param_int(request, 1, "attempt", 1, INT32_MAX, &upload->attempt) ||
        !take_digest(request, upload) || !attempt_passes(request, upload->job, upload->attempt))
        return NULL;
    return upload;
}

static bool sink_begin(struct http_request *request, struct upload *upload, enum status key_status,
                       struct error *err)
{
    if (key_status == STATUS_OK &&
        blob_put_begin(api_of(request)->blobs, upload->key, API_BLOB_BYTES_MAX, &upload->put,
                       err) == STATUS_OK)
        return true;
    http_reply_error(request, err);
    return false;
}

static bool sink_write(struct http_request *request, const char *bytes, size_t size)
{
    struct upload *upload = http_context(request);
    struct error err = {0};
    if (blob_put_write(upload->put, bytes, size, &err) == STATUS_OK)
        return true;
    http_reply_error(request, &err);
    return false;
}

/* On the disk worker: the bytes become durable. */
static void make_durable(struct disk_task *task)
{
    struct http_request *request = task->context;
    struct upload *upload = http_context(request);
    if (blob_put_commit(upload->put, upload->expected_sha256, upload->sha256, &upload->bytes,
                        &upload->error) != STATUS_OK)
        upload->sha256[0] = '\0';
    http_resume(request);
}

static void finish(struct http_request *request, http_handler_fn *next)
{
    struct upload *upload = http_context(request);
    upload->task = (struct disk_task){.run = make_durable, .context = request};
    http_suspend(request, next);
    if (disk_push(api_of(request)->disk, &upload->task))
        return;
    error_set(&upload->error, STATUS_UNAVAILABLE, "the disk has too much to do: try again");
    http_resume(request);
}

static bool durable(struct http_request *request, const struct upload *upload)
{
    if (upload->error.status == STATUS_OK)
        return true;
    http_reply_problem(request, http_code_of_status(upload->error.status),
                       upload->error.status == STATUS_INVALID ? "digest_mismatch"
                                                              : status_name(upload->error.status),
                       "%s", upload->error.text);
    return false;
}

/* ---------------------------------------------------------------- shards */

static bool take_shard(struct http_request *request, int64_t *step, int64_t *shard, int64_t *of)
{
    *of = 0;
    if (!param_int(request, 2, "step", 1, INT64_MAX, step) ||
        !param_int(request, 3, "shard", 0, RESUME_SHARDS_MAX - 1, shard) ||
        !http_query_int(request, "of", 1, RESUME_SHARDS_MAX, of))
        return false;
    if (*shard < *of)
        return true;
    http_reply_problem(request, 400, "bad_query", "query of: expected above shard %lld, got %lld",
                       (long long)*shard, (long long)*of);
    return false;
}

bool agent_shard_sink(struct http_request *request, const char *bytes, size_t size)
{
    if (size > 0)
        return sink_write(request, bytes, size);
    struct upload *upload = upload_begin(request);
    if (upload == NULL || !take_shard(request, &upload->step, &upload->shard, &upload->of))
        return false;
    struct error err = {0};
    upload->is_shard = true;
    const enum status status = blob_key_shard(upload->key, upload->job, upload->attempt,
                                              upload->step, upload->shard, upload->of, &err);
    return sink_begin(request, upload, status, &err);
}

static void shard_recorded(struct http_request *request)
{
    const struct upload *upload = http_context(request);
    if (!api_succeeded(request, &upload->call)) {
        tidy_job(api_of(request), upload->job); /* it came too late: nobody will name it */
        return;
    }
    const bool committed = upload->call.loop.reply.committed;
    http_reply_json(request, committed ? 201 : 202,
                    json_pack("{s:s, s:I, s:I, s:I, s:b, s:s}", "job", upload->job, "attempt",
                              (json_int_t)upload->attempt, "step", (json_int_t)upload->step,
                              "shard", (json_int_t)upload->shard, "committed", committed, "sha256",
                              upload->sha256));
}

static void shard_durable(struct http_request *request)
{
    struct upload *upload = http_context(request);
    if (!durable(request, upload))
        return;
    struct brain_input *input = &upload->call.loop.input;
    struct shard_row *shard = &input->shard;
    upload->call.loop.has_input = true;
    input->kind = INPUT_SHARD_STORED;
    memcpy(shard->job, upload->job, sizeof(shard->job));
    shard->attempt = upload->attempt;
    shard->step = upload->step;
    shard->shard = upload->shard;
    shard->of = upload->of;
    shard->bytes = (int64_t)upload->bytes;
    memcpy(shard->sha256, upload->sha256, sizeof(shard->sha256));
    memcpy(shard->node, http_caller(request)->node, sizeof(shard->node));
    input->at_wall_ms =
        live_checkpoint_wall_ms(api_of(request)->live, upload->job, upload->attempt, upload->step);
    api_run(request, &upload->call, shard_recorded);
}

void agent_shard_put(struct http_request *request)
{
    finish(request, shard_durable);
}

void agent_shard_get(struct http_request *request)
{
    struct api *api = api_of(request);
    const char *job = http_param(request, 0);
    int64_t attempt = 0;
    int64_t step = 0;
    int64_t shard = 0;
    int64_t of = 0;
    if (!param_int(request, 1, "attempt", 1, INT32_MAX, &attempt) ||
        !take_shard(request, &step, &shard, &of))
        return;
    /* A node reads what its own, newest attempt resumes from: that may be an older attempt's shard. */
    struct error err = {0};
    struct agent_attempt found = {0};
    struct shard_row row;
    char key[BLOB_KEY_BYTES];
    int fd = -1;
    uint64_t bytes = 0;
    static const struct http_caller everyone = {.role = ROLE_OPERATOR};
    CLEANUP(lent_return) struct lent lent = {0};
    if (readers_lend(api->readers, &lent, &err) != STATUS_OK ||
        job_row_read(&lent, &everyone, job, &found.job, &err) != STATUS_OK ||
        agent_attempt_read(&lent, http_caller(request)->node, job, found.job.attempt, -1, &found,
                           &err) != STATUS_OK ||
        reader_shard(lent.state, job, attempt, step, shard, &row, &err) != STATUS_OK ||
        blob_key_shard(key, job, attempt, step, shard, row.of, &err) != STATUS_OK ||
        blob_get(api->blobs, key, &fd, &bytes, &err) != STATUS_OK) {
        http_reply_error(request, &err);
        return;
    }
    char etag[SHA256_HEX_BYTES + 2];
    snprintf(etag, sizeof(etag), "\"%s\"", row.sha256);
    http_reply_file(request, 200, "application/octet-stream", fd, bytes);
    http_reply_header(request, "ETag", etag);
}

/* ---------------------------------------------------------------- artifacts and the result */

bool agent_artifact_sink(struct http_request *request, const char *bytes, size_t size)
{
    if (size > 0)
        return sink_write(request, bytes, size);
    struct upload *upload = upload_begin(request);
    if (upload == NULL)
        return false;
    struct error err = {0};
    const enum status status =
        blob_key_artifact(upload->key, upload->job, upload->attempt, http_param(request, 2), &err);
    return sink_begin(request, upload, status, &err);
}

static void artifact_durable(struct http_request *request)
{
    const struct upload *upload = http_context(request);
    if (!durable(request, upload))
        return;
    if (!attempt_passes(request, upload->job, upload->attempt))
        tidy_job(api_of(request), upload->job); /* its attempt ended while it came */
    else
        http_reply_json(
            request, 201,
            json_pack("{s:s, s:I}", "sha256", upload->sha256, "bytes", (json_int_t)upload->bytes));
}

void agent_artifact_put(struct http_request *request)
{
    finish(request, artifact_durable);
}

struct posted_result {
    struct api_call call;
    struct disk_task task;
    struct wire_result result;
    char *metrics;
    struct error error;
};

static void posted_result_free(void *context)
{
    struct posted_result *posted = context;
    wire_result_clear(&posted->result);
    free(posted->metrics);
    free(posted);
}

static enum status hash_fd(int fd, char out[SHA256_HEX_BYTES], struct error *err)
{
    CLEANUP(sha256_cleanup) struct sha256 *hash = sha256_new();
    char piece[16 * KIB];
    for (;;) {
        const ssize_t size = read(fd, piece, sizeof(piece));
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return error_set_errno(err, status_of_errno(errno), errno, "read model");
        if (size == 0)
            break;
        sha256_update(hash, piece, (size_t)size);
    }
    uint8_t digest[SHA256_BYTES];
    sha256_final(hash, digest);
    sha256_hex(digest, out);
    return STATUS_OK;
}

/* The result names a file: it must be here, and be that file. */
static enum status check_model(struct api *api, struct wire_result *result, struct error *err)
{
    char key[BLOB_KEY_BYTES];
    char sha256[SHA256_HEX_BYTES];
    CLEANUP(fd_cleanup) int fd = -1;
    uint64_t bytes = 0;
    struct error missing = {0};
    TRY(blob_key_artifact(key, result->job, result->attempt, "model.safetensors", err));
    if (blob_get(api->blobs, key, &fd, &bytes, &missing) != STATUS_OK)
        return error_set(err, STATUS_CONFLICT, "job %s attempt %lld: no model.safetensors was sent",
                         result->job, (long long)result->attempt);
    if ((int64_t)bytes != result->model_bytes)
        return error_set(err, STATUS_INVALID, "model: expected %lld bytes, the file has %llu",
                         (long long)result->model_bytes, (unsigned long long)bytes);
    TRY(hash_fd(fd, sha256, err));
    if (result->model_file_sha256[0] != '\0' && strcmp(sha256, result->model_file_sha256) != 0)
        return error_set(err, STATUS_INVALID, "model: expected file sha256 %s, it is %s",
                         result->model_file_sha256, sha256);
    memcpy(result->model_file_sha256, sha256, sizeof(result->model_file_sha256));
    return STATUS_OK;
}

static void check_result(struct disk_task *task)
{
    struct http_request *request = task->context;
    struct posted_result *posted = http_context(request);
    if (check_model(api_of(request), &posted->result, &posted->error) != STATUS_OK)
        posted->result.model_bytes = 0;
    http_resume(request);
}

static void result_recorded(struct http_request *request)
{
    const struct posted_result *posted = http_context(request);
    if (api_succeeded(request, &posted->call))
        http_reply_json(request, 201,
                        json_pack("{s:s, s:I}", "job", posted->result.job, "attempt",
                                  (json_int_t)posted->result.attempt));
}

static void result_checked(struct http_request *request)
{
    struct posted_result *posted = http_context(request);
    if (posted->error.status != STATUS_OK) {
        http_reply_problem(request, http_code_of_status(posted->error.status),
                           posted->error.status == STATUS_CONFLICT ? "no_artifact" : "bad_result",
                           "%s", posted->error.text);
        return;
    }
    struct brain_input *input = &posted->call.loop.input;
    posted->call.loop.has_input = true;
    input->kind = INPUT_RESULT;
    input->result = (struct input_result){
        .job = posted->result.job,
        .attempt = posted->result.attempt,
        .node = http_caller(request)->node,
        .model_sha256 = posted->result.model_sha256,
        .model_file_sha256 = posted->result.model_file_sha256,
        .model_bytes = posted->result.model_bytes,
        .metrics = posted->metrics,
    };
    api_run(request, &posted->call, result_recorded);
}

static bool decode_result(struct http_request *request, struct posted_result *posted)
{
    CLEANUP(json_cleanup) json_t *document = NULL;
    if (!http_body_json(request, &document))
        return false;
    struct json_problems problems;
    problems.count = 0;
    problems.dropped = 0;
    const struct json_at root = json_at_root(document, &problems);
    wire_result_decode(&root, &posted->result);
    if (problems.count > 0) {
        http_reply_problems(request, &problems);
        return false;
    }
    posted->metrics = posted->result.metrics != NULL
                          ? json_dumps(posted->result.metrics, JSON_COMPACT | JSON_SORT_KEYS)
                          : strdup("{}");
    return posted->metrics != NULL;
}

void agent_result(struct http_request *request)
{
    struct posted_result *posted = calloc(1, sizeof(*posted));
    if (posted == NULL) {
        http_reply_problem(request, 503, "no_memory", "out of memory");
        return;
    }
    http_set_context(request, posted, posted_result_free);
    if (!decode_result(request, posted)) {
        if (!http_replied(request))
            http_reply_problem(request, 503, "no_memory", "out of memory");
        return;
    }
    if (!attempt_passes(request, posted->result.job, posted->result.attempt))
        return;
    posted->task = (struct disk_task){.run = check_result, .context = request};
    http_suspend(request, result_checked);
    if (disk_push(api_of(request)->disk, &posted->task))
        return;
    error_set(&posted->error, STATUS_UNAVAILABLE, "the disk has too much to do: try again");
    http_resume(request);
}
