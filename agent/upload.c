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

#define UPLOAD_TIMEOUT_MS     60000
#define UPLOAD_BYTES_A_MS     1000 /* beyond that, time for the bytes: 1 MB/s */
#define UPLOAD_BACKOFF_MS     100
#define UPLOAD_BACKOFF_MAX_MS 2000
#define CONNECT_TIMEOUT_MS    2000
#define ANSWER_BYTES_MAX      (16 * KIB)
#define DIGEST_HEADER_BYTES   96
#define MODEL_NAME            "model.safetensors"
#define CHECKPOINTS_FOLDER    "/checkpoints/"

struct worker {
    struct uploader *uploader;
    struct http_client *client;
    pthread_t thread;
    bool started;
    char job[ID_BYTES_MAX]; /* whose upload it has; guarded by the uploader's mutex */
};

struct uploader {
    const struct site *site;
    upload_done_fn *done;
    void *context;
    struct worker workers[UPLOAD_WORKERS];
    pthread_mutex_t mutex; /* what follows */
    pthread_cond_t changed;
    struct upload *first, *last; /* waiting */
    size_t waiting;
    bool stopping;
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

/* A file that is no file, or not there, never gets better; being out of descriptors does. */
static enum status open_file(const char *path, int *out_fd, int64_t *out_bytes, struct error *err)
{
    struct stat info;
    CLEANUP(fd_cleanup) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        const bool later = errno == EMFILE || errno == ENFILE || errno == ENOMEM;
        return error_set_errno(err, later ? STATUS_UNAVAILABLE : STATUS_NOT_FOUND, errno, "open %s",
                               path);
    }
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        return error_set(err, STATUS_INVALID, "%s is no regular file", path);
    *out_bytes = info.st_size;
    *out_fd = fd;
    fd = -1;
    return STATUS_OK;
}

static enum status put_file(struct http_client *client, const char *url, const char *path,
                            const uint8_t digest[SHA256_BYTES], struct error *err)
{
    CLEANUP(fd_cleanup) int fd = -1;
    int64_t bytes = 0;
    TRY(open_file(path, &fd, &bytes, err));
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
        .body_fd_bytes = (uint64_t)bytes,
        .timeout_ms = UPLOAD_TIMEOUT_MS + bytes / UPLOAD_BYTES_A_MS,
        .out_body = &answer,
    };
    TRY(http_client_send(client, &exchange, err));
    return judge(&exchange, err);
}

static enum status send_shard(struct worker *worker, const struct upload *upload, struct error *err)
{
    const struct site *site = worker->uploader->site;
    uint8_t digest[SHA256_BYTES];
    char url[256];
    if (!hex_decode(upload->sha256, digest, sizeof(digest)))
        return error_set(err, STATUS_INVALID, "checkpoint event without a sha-256: \"%s\"",
                         upload->sha256);
    struct error shelf = {0};
    if (shelf_put(site->data_dir, upload->job, upload->step, upload->sha256, upload->path,
                  &shelf) != STATUS_OK)
        log_write(LOG_WARN, "shelf_failed", shelf.text, "job", upload->job, NULL);
    TRY(fs_path(url, sizeof(url), err, "/v1/agent/checkpoints/%s/%lld/%lld/%lld?of=%lld",
                upload->job, (long long)upload->attempt, (long long)upload->step,
                (long long)upload->shard, (long long)upload->of));
    return put_file(worker->client, url, upload->path, digest, err);
}

static enum status post_result(struct http_client *client, const struct upload *upload,
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
    TRY(http_client_send(client, &exchange, err));
    return judge(&exchange, err);
}

static enum status send_result(struct worker *worker, const struct upload *upload,
                               struct error *err)
{
    CLEANUP(fd_cleanup) int fd = -1; /* only to see that it is a file */
    int64_t size = 0;
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES];
    char url[256];
    uint64_t bytes = 0;
    TRY(open_file(upload->path, &fd, &size, err));
    TRY(sha256_file(upload->path, digest, &bytes, err));
    sha256_hex(digest, hex);
    TRY(fs_path(url, sizeof(url), err, "/v1/agent/artifacts/%s/%lld/" MODEL_NAME, upload->job,
                (long long)upload->attempt));
    TRY(put_file(worker->client, url, upload->path, digest, err));
    return post_result(worker->client, upload, hex, bytes, err);
}

/* Removes a shard, and the folder that its checkpoint had to itself: of a long job there are many. */
static void remove_shard(const struct upload *upload)
{
    char folder[PATH_BYTES_MAX];
    (void)unlink(upload->path);
    const char *inside = upload->path + strlen(upload->folder);
    char *slash;
    if (strncmp(inside, CHECKPOINTS_FOLDER, strlen(CHECKPOINTS_FOLDER)) == 0 &&
        strchr(inside + strlen(CHECKPOINTS_FOLDER), '/') &&
        fs_path(folder, sizeof(folder), NULL, "%s", upload->path) == STATUS_OK &&
        (slash = strrchr(folder, '/')) != NULL) {
        *slash = 0;
        (void)rmdir(folder); /* unless it holds other shards */
    }
}

/* Leaves the mark by which a later agent knows that this one need not be sent again. */
static void settle(const struct uploader *uploader, const struct upload *upload, bool taken)
{
    char path[PATH_BYTES_MAX];
    if (upload->kind == UPLOAD_SHARD) {
        remove_shard(upload);
        return;
    }
    if (taken)
        shelf_forget(uploader->site->data_dir, upload->job);
    if (fs_path(path, sizeof(path), NULL, "%s/" UPLOAD_RESULT_SENT, upload->folder) == STATUS_OK) {
        CLEANUP(fd_cleanup) const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        (void)fd;
    }
}

/* Waits for the back-off; false when stopping. */
static bool pause_for(struct uploader *uploader, int64_t duration_ms)
{
    const int64_t until_ms = clock_mono_ms() + duration_ms;
    const struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    (void)pthread_mutex_lock(&uploader->mutex);
    while (!uploader->stopping && clock_mono_ms() < until_ms)
        (void)pthread_cond_timedwait(&uploader->changed, &uploader->mutex, &until);
    const bool stopping = uploader->stopping;
    (void)pthread_mutex_unlock(&uploader->mutex);
    return !stopping;
}

/* An answer that is too long is not the controller's; it says nothing about the upload. */
static bool is_passing(enum status status)
{
    return status == STATUS_UNAVAILABLE || status == STATUS_NO_MEMORY || status == STATUS_TOO_LARGE;
}

/* False when stopping: then it is found again by the next agent. */
static bool send_until_settled(struct worker *worker, const struct upload *upload)
{
    struct backoff backoff = backoff_of(UPLOAD_BACKOFF_MS, UPLOAD_BACKOFF_MAX_MS);
    for (;;) {
        struct error err = {0};
        const enum status status = upload->kind == UPLOAD_SHARD ? send_shard(worker, upload, &err)
                                                                : send_result(worker, upload, &err);
        if (is_passing(status)) {
            if (!pause_for(worker->uploader, backoff_next_ms(&backoff)))
                return false;
            continue;
        }
        if (status != STATUS_OK)
            log_write(status == STATUS_CONFLICT ? LOG_INFO : LOG_ERROR, "upload_dropped", err.text,
                      "job", upload->job, NULL);
        settle(worker->uploader, upload, status == STATUS_OK);
        return true;
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

static bool is_under_way(const struct uploader *uploader, const char *job)
{
    for (size_t i = 0; i < UPLOAD_WORKERS; i++) {
        if (strcmp(uploader->workers[i].job, job) == 0)
            return true;
    }
    return false;
}

/* The first that waits, of a job that no worker is at. NULL: none. */
static struct upload *unlink_next(struct uploader *uploader)
{
    struct upload *before = NULL;
    for (struct upload *at = uploader->first; at; before = at, at = at->next) {
        if (is_under_way(uploader, at->job))
            continue;
        *(before ? &before->next : &uploader->first) = at->next;
        if (uploader->last == at)
            uploader->last = before;
        uploader->waiting--;
        at->next = NULL;
        return at;
    }
    return NULL;
}

/* Gives the worker's job free and waits for the next upload; NULL when stopping. */
static struct upload *take_next(struct worker *worker)
{
    struct uploader *uploader = worker->uploader;
    struct upload *upload = NULL;
    (void)pthread_mutex_lock(&uploader->mutex);
    worker->job[0] = 0;
    (void)pthread_cond_broadcast(&uploader->changed); /* others of this job may go now */
    while (!uploader->stopping && (upload = unlink_next(uploader)) == NULL)
        (void)pthread_cond_wait(&uploader->changed, &uploader->mutex);
    if (upload)
        memcpy(worker->job, upload->job, sizeof(worker->job));
    (void)pthread_mutex_unlock(&uploader->mutex);
    return upload;
}

static void *run_worker(void *context)
{
    struct worker *worker = context;
    struct uploader *uploader = worker->uploader;
    struct upload *upload;
    while ((upload = take_next(worker)) != NULL) {
        bool settled = true;
        if (superseded(upload))
            settle(uploader, upload, false);
        else
            settled = send_until_settled(worker, upload);
        if (settled)
            uploader->done(uploader->context, upload);
        else
            upload_free(upload);
    }
    return NULL;
}

static enum status start_worker(struct uploader *uploader, struct worker *worker, struct error *err)
{
    const struct http_client_options options = {
        .base_url = uploader->site->controller,
        .token = uploader->site->node_token,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
    };
    worker->uploader = uploader;
    TRY(http_client_new(&options, &worker->client, err));
    if (pthread_create(&worker->thread, NULL, run_worker, worker) != 0)
        return error_set(err, STATUS_INTERNAL, "start an upload thread");
    worker->started = true;
    (void)pthread_setname_np(worker->thread, "upload");
    return STATUS_OK;
}

static void init_waiting(struct uploader *uploader)
{
    pthread_condattr_t attributes;
    (void)pthread_mutex_init(&uploader->mutex, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&uploader->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
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
    init_waiting(uploader);
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < UPLOAD_WORKERS; i++)
        status = start_worker(uploader, &uploader->workers[i], err);
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
    (void)pthread_mutex_lock(&uploader->mutex);
    uploader->stopping = true;
    (void)pthread_cond_broadcast(&uploader->changed);
    (void)pthread_mutex_unlock(&uploader->mutex);
    for (size_t i = 0; i < UPLOAD_WORKERS; i++) {
        struct worker *worker = &uploader->workers[i];
        if (worker->client)
            http_client_abort(worker->client);
        if (worker->started)
            (void)pthread_join(worker->thread, NULL);
        http_client_free(worker->client);
    }
    while (uploader->first) {
        struct upload *upload = uploader->first;
        uploader->first = upload->next;
        upload_free(upload);
    }
    (void)pthread_cond_destroy(&uploader->changed);
    (void)pthread_mutex_destroy(&uploader->mutex);
    free(uploader);
}

bool upload_submit(struct uploader *uploader, struct upload *upload)
{
    (void)pthread_mutex_lock(&uploader->mutex);
    const bool room = uploader->waiting < UPLOADS_MAX;
    if (room) {
        upload->next = NULL;
        *(uploader->last ? &uploader->last->next : &uploader->first) = upload;
        uploader->last = upload;
        uploader->waiting++;
        (void)pthread_cond_broadcast(&uploader->changed);
    }
    (void)pthread_mutex_unlock(&uploader->mutex);
    return room;
}
