#include "agent/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/backoff.h"
#include "agent/shelf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/http_client.h"
#include "base/log.h"
#include "base/queue.h"

#define UPLOAD_TIMEOUT_MS     60000
#define UPLOAD_BYTES_A_MS     1000 /* beyond that, time for the bytes: 1 MB/s */
#define UPLOAD_BACKOFF_MS     100
#define UPLOAD_BACKOFF_MAX_MS 2000
#define CONNECT_TIMEOUT_MS    2000
#define ANSWER_BYTES_MAX      (16 * KIB)
#define DIGEST_HEADER_BYTES   96
#define MODEL_NAME            "model.safetensors"

struct uploader {
    const struct site *site;
    upload_done_fn *done;
    void *context;
    struct http_client *client;
    struct queue *queue;
    pthread_t thread;
    bool started;
    bool stopping; /* atomic */
};

void upload_free(struct upload *upload)
{
    if (!upload)
        return;
    json_decref(upload->metrics);
    free(upload);
}

static void digest_header(const uint8_t digest[SHA256_BYTES], char out[DIGEST_HEADER_BYTES])
{
    char text[48];
    base64_encode(digest, SHA256_BYTES, text);
    (void)snprintf(out, DIGEST_HEADER_BYTES, "Content-Digest: sha-256=:%s:", text);
}

/* STATUS_OK: taken. STATUS_UNAVAILABLE: try again. Anything else: never. */
static enum status judge(const struct http_exchange *exchange, struct error *err)
{
    const long code = exchange->out_code;
    if (code >= 200 && code < 300)
        return STATUS_OK;
    const bool later = code >= 500 || code == 429 || code == 408 || code == 401;
    const enum status status = later         ? STATUS_UNAVAILABLE
                               : code == 409 ? STATUS_CONFLICT
                                             : STATUS_INVALID;
    return error_set(err, status, "%s %s was answered %ld: %.200s", exchange->method,
                     exchange->path, code, exchange->out_body->data);
}

static enum status put_file(struct uploader *uploader, const char *url, const char *path,
                            const uint8_t digest[SHA256_BYTES], struct error *err)
{
    CLEANUP(fd_cleanup) const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0)
        return error_set_errno(err, STATUS_NOT_FOUND, errno, "open %s", path);
    char header[DIGEST_HEADER_BYTES];
    CLEANUP(buf_clear) struct buf answer;
    buf_init(&answer, ANSWER_BYTES_MAX);
    digest_header(digest, header);
    const char *const headers[] = {header, NULL};
    struct http_exchange exchange = {
        .method = "PUT",
        .path = url,
        .content_type = "application/octet-stream",
        .headers = headers,
        .body_fd = fd,
        .body_fd_bytes = (uint64_t)info.st_size,
        .timeout_ms = UPLOAD_TIMEOUT_MS + info.st_size / UPLOAD_BYTES_A_MS,
        .out_body = &answer,
    };
    TRY(http_client_send(uploader->client, &exchange, err));
    return judge(&exchange, err);
}

static enum status send_shard(struct uploader *uploader, const struct upload *upload,
                              struct error *err)
{
    uint8_t digest[SHA256_BYTES];
    char url[256];
    if (!hex_decode(upload->sha256, digest, sizeof(digest)))
        return error_set(err, STATUS_INVALID, "checkpoint event without a sha-256: \"%s\"",
                         upload->sha256);
    struct error shelf = {0};
    if (shelf_put(uploader->site->data_dir, upload->job, upload->step, upload->sha256, upload->path,
                  &shelf) != STATUS_OK)
        log_write(LOG_WARN, "shelf_failed", shelf.text, "job", upload->job, NULL);
    TRY(fs_path(url, sizeof(url), err, "/v1/agent/checkpoints/%s/%lld/%lld/%lld?of=%lld",
                upload->job, (long long)upload->attempt, (long long)upload->step,
                (long long)upload->shard, (long long)upload->of));
    return put_file(uploader, url, upload->path, digest, err);
}

static enum status post_result(struct uploader *uploader, const struct upload *upload,
                               const char *file_sha256, uint64_t bytes, struct error *err)
{
    struct wire_result result = {
        .attempt = upload->attempt, .model_bytes = (int64_t)bytes, .metrics = upload->metrics};
    memcpy(result.job, upload->job, sizeof(result.job));
    memcpy(result.model_sha256, upload->sha256, sizeof(result.model_sha256));
    (void)snprintf(result.model_file_sha256, sizeof(result.model_file_sha256), "%s", file_sha256);
    CLEANUP(json_cleanup) json_t *document = wire_result_encode(&result);
    CLEANUP(free_cleanup) char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    if (!text)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a result");
    CLEANUP(buf_clear) struct buf answer;
    buf_init(&answer, ANSWER_BYTES_MAX);
    struct http_exchange exchange = {
        .method = "POST",
        .path = "/v1/agent/results",
        .body = text,
        .body_bytes = strlen(text),
        .timeout_ms = UPLOAD_TIMEOUT_MS,
        .out_body = &answer,
    };
    TRY(http_client_send(uploader->client, &exchange, err));
    return judge(&exchange, err);
}

static enum status send_result(struct uploader *uploader, const struct upload *upload,
                               struct error *err)
{
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES];
    char url[256];
    uint64_t bytes = 0;
    TRY(sha256_file(upload->path, digest, &bytes, err));
    sha256_hex(digest, hex);
    TRY(fs_path(url, sizeof(url), err, "/v1/agent/artifacts/%s/%lld/" MODEL_NAME, upload->job,
                (long long)upload->attempt));
    TRY(put_file(uploader, url, upload->path, digest, err));
    return post_result(uploader, upload, hex, bytes, err);
}

/* Leaves the mark by which a later agent knows that this one need not be sent again. */
static void settle(const struct uploader *uploader, const struct upload *upload, bool taken)
{
    char path[PATH_BYTES_MAX];
    if (upload->kind == UPLOAD_SHARD) {
        (void)unlink(upload->path);
        return;
    }
    if (taken)
        shelf_forget(uploader->site->data_dir, upload->job);
    if (fs_path(path, sizeof(path), NULL, "%s/" UPLOAD_RESULT_SENT, upload->folder) == STATUS_OK) {
        CLEANUP(fd_cleanup) const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        (void)fd;
    }
}

static void send_until_settled(struct uploader *uploader, const struct upload *upload)
{
    struct backoff backoff = backoff_of(UPLOAD_BACKOFF_MS, UPLOAD_BACKOFF_MAX_MS);
    while (!__atomic_load_n(&uploader->stopping, __ATOMIC_ACQUIRE)) {
        struct error err = {0};
        const enum status status = upload->kind == UPLOAD_SHARD
                                       ? send_shard(uploader, upload, &err)
                                       : send_result(uploader, upload, &err);
        if (status == STATUS_UNAVAILABLE || status == STATUS_NO_MEMORY) {
            clock_sleep_ms(backoff_next_ms(&backoff));
            continue;
        }
        if (status != STATUS_OK)
            log_write(status == STATUS_CONFLICT ? LOG_INFO : LOG_ERROR, "upload_dropped", err.text,
                      "job", upload->job, NULL);
        settle(uploader, upload, status == STATUS_OK);
        return;
    }
}

/*
 * After an outage many checkpoints wait, and only the newest is worth anything. A shard among several
 * is never passed over: other nodes may have sent their parts of it.
 */
static bool superseded(const struct upload *upload)
{
    return upload->kind == UPLOAD_SHARD && upload->of == 1 && upload->newest_step &&
           __atomic_load_n(upload->newest_step, __ATOMIC_ACQUIRE) > upload->step;
}

static void *run_uploader(void *context)
{
    struct uploader *uploader = context;
    void *item = NULL;
    while (queue_take(uploader->queue, &item, 1, INT64_MAX) > 0) {
        if (superseded(item))
            settle(uploader, item, false);
        else
            send_until_settled(uploader, item);
        if (__atomic_load_n(&uploader->stopping, __ATOMIC_ACQUIRE))
            upload_free(item);
        else
            uploader->done(uploader->context, item);
    }
    return NULL;
}

static enum status open_uploader(struct uploader *uploader, struct error *err)
{
    const struct http_client_options options = {
        .base_url = uploader->site->controller,
        .token = uploader->site->node_token,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
    };
    TRY(queue_new(UPLOADS_MAX, &uploader->queue, err));
    TRY(http_client_new(&options, &uploader->client, err));
    if (pthread_create(&uploader->thread, NULL, run_uploader, uploader) != 0)
        return error_set(err, STATUS_INTERNAL, "start the upload thread");
    uploader->started = true;
    (void)pthread_setname_np(uploader->thread, "upload");
    return STATUS_OK;
}

enum status upload_start(const struct site *site, upload_done_fn *done, void *context,
                         struct uploader **out, struct error *err)
{
    struct uploader *uploader = calloc(1, sizeof(*uploader));
    if (!uploader)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the uploader");
    uploader->site = site;
    uploader->done = done;
    uploader->context = context;
    const enum status status = open_uploader(uploader, err);
    if (status != STATUS_OK) {
        upload_stop(uploader);
        return status;
    }
    *out = uploader;
    return STATUS_OK;
}

void upload_stop(struct uploader *uploader)
{
    if (!uploader)
        return;
    __atomic_store_n(&uploader->stopping, true, __ATOMIC_RELEASE);
    if (uploader->queue)
        queue_close(uploader->queue);
    if (uploader->client)
        http_client_abort(uploader->client);
    if (uploader->started)
        (void)pthread_join(uploader->thread, NULL);
    http_client_free(uploader->client);
    queue_free(uploader->queue);
    free(uploader);
}

bool upload_submit(struct uploader *uploader, struct upload *upload)
{
    return queue_push(uploader->queue, upload);
}
