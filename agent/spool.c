#include "agent/spool.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "agent/backoff.h"
#include "agent/events.h"
#include "agent/output.h"
#include "agent/upload.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/http_client.h"
#include "base/log.h"
#include "base/queue.h"

#define ATTEMPTS_MAX         NODE_ATTEMPTS_MAX
#define MESSAGES_MAX         (ATTEMPTS_MAX * 4 + UPLOADS_MAX)
#define TELEMETRY_TIMEOUT_MS 10000
#define CONNECT_TIMEOUT_MS   2000
#define OUTPUT_GATHER_MS     200
#define SPOOL_BACKOFF_MS     100
#define SPOOL_BACKOFF_MAX_MS 2000
#define ANSWER_BYTES_MAX     (1 * MIB)
#define IDLE_MS              60000
#define UNWATCHED_LOOK_MS    200
#define OUTPUTS_A_RANK       2

/* All that is followed of one attempt. The spool's thread owns it. */
struct follow {
    char job[ID_BYTES_MAX];
    int64_t attempt;
    bool ended;
    size_t rank_count;
    struct events *events;
    struct output *outputs; /* OUTPUTS_A_RANK a rank */
    int *watches;           /* inotify, one a file */
    size_t watch_count;
    bool unwatched; /* not all have one */
};

enum message_kind { MESSAGE_FOLLOW, MESSAGE_ENDED, MESSAGE_UPLOADED };

struct message {
    enum message_kind kind;
    struct follow *follow;
    struct upload *upload;
    struct spool_delivered name;
};

struct spool {
    const struct site *site;
    spool_moved_fn *moved;
    void *context;
    struct http_client *client;
    struct uploader *uploader;
    pthread_t thread;
    bool started;
    bool stopping; /* atomic */
    int wake_fd, delivered_fd, inotify_fd;
    struct queue *messages;  /* to the thread */
    struct queue *delivered; /* from it: struct spool_delivered */
    /* The thread's own: */
    struct follow *follows[ATTEMPTS_MAX];
    size_t follow_count;
    struct batch batch;
    struct wire_telemetry_ack acked[BATCH_LINES_MAX / 4], stale[BATCH_LINES_MAX / 4];
    int64_t next_batch_mono_ms, next_output_mono_ms, retry_mono_ms;
    struct backoff backoff;
    bool complained;
};

static void wake(int fd)
{
    const uint64_t one = 1;
    (void)!write(fd, &one, sizeof(one));
}

static void clear_event(int fd)
{
    uint64_t count;
    (void)!read(fd, &count, sizeof(count));
}

/* ---------------------------------------------------------------- following */

static void follow_free(struct follow *follow)
{
    if (!follow)
        return;
    for (size_t i = 0; follow->events && i < follow->rank_count; i++)
        events_close(&follow->events[i]);
    for (size_t i = 0; follow->outputs && i < follow->rank_count * OUTPUTS_A_RANK; i++)
        output_close(&follow->outputs[i]);
    free(follow->events);
    free(follow->outputs);
    free(follow->watches);
    free(follow);
}

/* A user has only so many inotify watches; a file without one is looked at every UNWATCHED_LOOK_MS. */
static enum status watch_file(struct spool *spool, struct follow *follow, const char *folder,
                              int64_t rank, const char *name, struct error *err)
{
    char path[LOCAL_FOLDER_BYTES + 64];
    TRY(fs_path(path, sizeof(path), err, "%s/rank-%lld/%s", folder, (long long)rank, name));
    const int watch = inotify_add_watch(spool->inotify_fd, path, IN_MODIFY);
    if (watch >= 0) {
        follow->watches[follow->watch_count++] = watch;
        return STATUS_OK;
    }
    if (!follow->unwatched)
        log_write(LOG_WARN, "file_unwatched", strerror(errno), "path", path, NULL);
    follow->unwatched = true;
    return STATUS_OK;
}

static enum status open_rank(struct spool *spool, struct follow *follow, const char *folder,
                             const struct local_rank *rank, struct error *err)
{
    static const char *const streams[OUTPUTS_A_RANK] = {"stdout", "stderr"};
    const size_t index = follow->rank_count++;
    for (size_t i = 0; i < OUTPUTS_A_RANK; i++)
        follow->outputs[index * OUTPUTS_A_RANK + i].fd = -1;
    TRY(events_open(&follow->events[index], follow->job, follow->attempt, rank->rank, folder, err));
    TRY(watch_file(spool, follow, folder, rank->rank, "events.jsonl", err));
    for (size_t i = 0; i < OUTPUTS_A_RANK; i++) {
        TRY(output_open(&follow->outputs[index * OUTPUTS_A_RANK + i], follow->job, follow->attempt,
                        rank->rank, folder, streams[i], err));
        TRY(watch_file(spool, follow, folder, rank->rank, streams[i], err));
    }
    return STATUS_OK;
}

static enum status follow_new(struct spool *spool, const struct local *local, struct follow **out,
                              struct error *err)
{
    struct follow *follow = calloc(1, sizeof(*follow));
    if (!follow)
        return error_set(err, STATUS_NO_MEMORY, "no memory to follow job %s", local->job);
    memcpy(follow->job, local->job, sizeof(follow->job));
    follow->attempt = local->attempt;
    follow->events = calloc(local->rank_count, sizeof(*follow->events));
    follow->outputs = calloc(local->rank_count * OUTPUTS_A_RANK, sizeof(*follow->outputs));
    follow->watches = calloc(local->rank_count * (OUTPUTS_A_RANK + 1), sizeof(int));
    enum status status =
        follow->events && follow->outputs && follow->watches
            ? STATUS_OK
            : error_set(err, STATUS_NO_MEMORY, "no memory to follow job %s", local->job);
    for (size_t i = 0; status == STATUS_OK && i < local->rank_count; i++)
        status = open_rank(spool, follow, local->folder, &local->ranks[i], err);
    if (status != STATUS_OK) {
        follow_free(follow);
        return status;
    }
    *out = follow;
    return STATUS_OK;
}

static bool send_message(struct spool *spool, struct message message)
{
    struct message *copy = malloc(sizeof(*copy));
    if (!copy)
        return false;
    *copy = message;
    if (!queue_push(spool->messages, copy)) {
        free(copy);
        return false;
    }
    wake(spool->wake_fd);
    return true;
}

enum status spool_follow(struct spool *spool, const struct local *local, struct error *err)
{
    struct follow *follow = NULL;
    TRY(follow_new(spool, local, &follow, err));
    follow->ended = local->state == LOCAL_OVER;
    if (!send_message(spool, (struct message){.kind = MESSAGE_FOLLOW, .follow = follow})) {
        follow_free(follow);
        return error_set(err, STATUS_BUSY, "the spool has no room for job %s", local->job);
    }
    return STATUS_OK;
}

void spool_ended(struct spool *spool, const char *job, int64_t attempt)
{
    struct message message = {.kind = MESSAGE_ENDED, .name.attempt = attempt};
    memcpy(message.name.job, job, strnlen(job, sizeof(message.name.job) - 1));
    /* The queue holds more than there can be attempts, so only memory can fail. */
    if (!send_message(spool, message))
        log_write(LOG_ERROR, "spool_full", "the end of an attempt was not taken", "job", job, NULL);
}

static void on_uploaded(void *context, struct upload *upload)
{
    struct spool *spool = context;
    const struct message message = {.kind = MESSAGE_UPLOADED, .upload = upload};
    while (!send_message(spool, message)) {
        if (queue_is_closed(spool->messages)) {
            upload_free(upload);
            return;
        }
        clock_sleep_ms(SPOOL_BACKOFF_MS);
    }
}

static void add_follow(struct spool *spool, struct follow *follow)
{
    if (spool->follow_count == ATTEMPTS_MAX) {
        log_write(LOG_ERROR, "spool_full", "too many attempts are followed", "job", follow->job,
                  NULL);
        follow_free(follow);
        return;
    }
    spool->follows[spool->follow_count++] = follow;
}

static void mark_ended(struct spool *spool, const struct spool_delivered *name)
{
    for (size_t i = 0; i < spool->follow_count; i++) {
        struct follow *follow = spool->follows[i];
        if (follow->attempt == name->attempt && strcmp(follow->job, name->job) == 0)
            follow->ended = true;
    }
}

static void take_messages(struct spool *spool)
{
    void *item = NULL;
    clear_event(spool->wake_fd);
    while (queue_length(spool->messages) > 0 && queue_take(spool->messages, &item, 1, 0) > 0) {
        struct message *message = item;
        switch (message->kind) {
        case MESSAGE_FOLLOW:
            add_follow(spool, message->follow);
            break;
        case MESSAGE_ENDED:
            mark_ended(spool, &message->name);
            break;
        case MESSAGE_UPLOADED:
            events_upload_done(message->upload->owner, message->upload);
            upload_free(message->upload);
            break;
        }
        free(message);
    }
}

/* ---------------------------------------------------------------- telemetry */

static int64_t acked_seq(const struct wire_telemetry_ack *acks, size_t count,
                         const struct events *events)
{
    int64_t seq = -1;
    for (size_t i = 0; i < count; i++) {
        if (acks[i].attempt == events->attempt && acks[i].rank == events->rank &&
            acks[i].seq > seq && strcmp(acks[i].job, events->job) == 0)
            seq = acks[i].seq;
    }
    return seq;
}

static void rewind_all(struct spool *spool)
{
    batch_reset(&spool->batch);
    for (size_t i = 0; i < spool->follow_count; i++) {
        for (size_t j = 0; j < spool->follows[i]->rank_count; j++)
            events_rewind(&spool->follows[i]->events[j]);
    }
}

static void drop_upload(struct batch_line *line)
{
    struct upload *upload = TAKE(line->upload);
    if (!upload)
        return;
    events_upload_done(line->events, upload);
    upload_free(upload);
}

static void note_newest(struct events *events, const struct upload *upload)
{
    if (upload && upload->kind == UPLOAD_SHARD && upload->step > events->newest_step)
        __atomic_store_n(&events->newest_step, upload->step, __ATOMIC_RELEASE);
}

/* The files that acked lines name. Where there is no room, the line is read again for its file. */
static void submit_uploads(struct spool *spool)
{
    for (size_t i = 0; i < spool->batch.count; i++) {
        struct batch_line *line = &spool->batch.lines[i];
        events_save(line->events);
        if (line->taken && line->upload && upload_submit(spool->uploader, line->upload))
            line->upload = NULL; /* it may be back and freed already */
    }
}

/* Commits the lines that the answer covers, in order; false if some have to be sent again. */
static bool commit_lines(struct spool *spool, size_t acked_count, size_t stale_count)
{
    struct batch *batch = &spool->batch;
    bool all = true;
    for (size_t i = 0; i < batch->count; i++) {
        struct batch_line *line = &batch->lines[i];
        const bool sent_before = line->end <= line->events->offsets.acked;
        const bool acked =
            sent_before || line->seq <= acked_seq(spool->acked, acked_count, line->events);
        const bool stale = line->seq <= acked_seq(spool->stale, stale_count, line->events);
        if (!acked && !stale) {
            all = false;
            continue;
        }
        events_acked(line->events, line->end);
        line->taken = acked;
        if (acked)
            note_newest(line->events, line->upload);
        else
            drop_upload(line); /* nobody wants it */
    }
    submit_uploads(spool);
    return all;
}

/* The controller will never take these lines. */
static void drop_batch(struct spool *spool)
{
    for (size_t i = 0; i < spool->batch.count; i++) {
        struct batch_line *line = &spool->batch.lines[i];
        events_acked(line->events, line->end);
        drop_upload(line);
        events_save(line->events);
    }
    batch_reset(&spool->batch);
}

static enum status decode_acks(struct spool *spool, const struct buf *body, size_t *out_acked,
                               size_t *out_stale, struct error *err)
{
    CLEANUP(json_cleanup) json_t *document = NULL;
    TRY(json_parse(body->data, body->size, &document, err));
    struct json_problems problems = {0};
    const struct json_at root = json_at_root(document, &problems);
    wire_telemetry_answer_decode(&root, COUNT_OF(spool->acked), spool->acked, out_acked,
                                 spool->stale, out_stale);
    return json_problems_status(&problems, err);
}

/*
 * STATUS_INVALID: the controller will never take these lines. Any other failure, also an answer that
 * can't be read: again later.
 */
static enum status post_batch(struct spool *spool, size_t *out_acked, size_t *out_stale,
                              struct error *err)
{
    CLEANUP(buf_clear) struct buf answer;
    buf_init(&answer, ANSWER_BYTES_MAX);
    *out_acked = *out_stale = 0;
    if (spool->batch.body.size == 0)
        return STATUS_OK;
    struct http_exchange exchange = {
        .method = "POST",
        .path = "/v1/agent/telemetry",
        .content_type = "application/x-ndjson",
        .body = spool->batch.body.data,
        .body_bytes = spool->batch.body.size,
        .timeout_ms = TELEMETRY_TIMEOUT_MS,
        .out_body = &answer,
    };
    TRY(http_client_send(spool->client, &exchange, err));
    struct error reason = {0};
    if (exchange.out_code == 200) {
        if (decode_acks(spool, &answer, out_acked, out_stale, &reason) == STATUS_OK)
            return STATUS_OK;
        return error_set(err, STATUS_UNAVAILABLE, "telemetry's answer: %s", reason.text);
    }
    const bool never = exchange.out_code == 400 || exchange.out_code == 413 ||
                       exchange.out_code == 415 || exchange.out_code == 422;
    return error_set(err, never ? STATUS_INVALID : STATUS_UNAVAILABLE,
                     "telemetry was answered %ld: %.200s", exchange.out_code, answer.data);
}

static void back_off(struct spool *spool, const struct error *err)
{
    if (!spool->complained)
        log_write(LOG_WARN, "telemetry_waits", err->text, NULL);
    spool->complained = true;
    spool->retry_mono_ms = clock_mono_ms() + backoff_next_ms(&spool->backoff);
}

static void deliver_batch(struct spool *spool)
{
    struct error err = {0};
    size_t acked_count = 0;
    size_t stale_count = 0;
    const enum status status = post_batch(spool, &acked_count, &stale_count, &err);
    if (status == STATUS_OK) {
        const bool moved = spool->batch.stepped;
        const bool all = commit_lines(spool, acked_count, stale_count);
        if (all)
            batch_reset(&spool->batch);
        else
            rewind_all(spool);
        if (all)
            backoff_reset(&spool->backoff);
        else
            back_off(spool, &(struct error){.text = "the controller has not acked every line"});
        spool->complained = spool->complained && !all;
        if (moved)
            spool->moved(spool->context);
    } else if (status == STATUS_INVALID) {
        log_write(LOG_ERROR, "telemetry_dropped", err.text, NULL);
        drop_batch(spool);
    } else {
        rewind_all(spool);
        back_off(spool, &err);
    }
    spool->next_batch_mono_ms = clock_mono_ms() + SPOOL_GATHER_MS;
}

static void read_events(struct spool *spool)
{
    for (size_t i = 0; i < spool->follow_count; i++) {
        struct follow *follow = spool->follows[i];
        for (size_t j = 0; j < follow->rank_count; j++) {
            struct error err = {0};
            if (events_read(&follow->events[j], &spool->batch, &err) != STATUS_OK)
                log_write(LOG_ERROR, "events_unreadable", err.text, "job", follow->job, NULL);
        }
    }
}

static bool any_ended(const struct spool *spool)
{
    for (size_t i = 0; i < spool->follow_count; i++) {
        if (spool->follows[i]->ended)
            return true;
    }
    return false;
}

/* ---------------------------------------------------------------- output */

static bool outputs_pending(const struct follow *follow)
{
    for (size_t i = 0; i < follow->rank_count * OUTPUTS_A_RANK; i++) {
        if (output_pending(&follow->outputs[i]))
            return true;
    }
    return false;
}

static bool any_output(const struct spool *spool)
{
    for (size_t i = 0; i < spool->follow_count; i++) {
        if (outputs_pending(spool->follows[i]))
            return true;
    }
    return false;
}

static void send_outputs(struct spool *spool)
{
    for (size_t i = 0; i < spool->follow_count; i++) {
        struct follow *follow = spool->follows[i];
        for (size_t j = 0; j < follow->rank_count * OUTPUTS_A_RANK; j++) {
            struct error err = {0};
            if (!output_pending(&follow->outputs[j]))
                continue;
            if (output_send(&follow->outputs[j], spool->client, &err) != STATUS_OK) {
                back_off(spool, &err);
                return;
            }
        }
    }
    spool->next_output_mono_ms = clock_mono_ms() + OUTPUT_GATHER_MS;
}

/* ---------------------------------------------------------------- the thread */

static bool follow_drained(const struct follow *follow)
{
    for (size_t i = 0; i < follow->rank_count; i++) {
        if (!events_drained(&follow->events[i]))
            return false;
    }
    return !outputs_pending(follow);
}

/* An attempt that has ended and is with the controller to its last byte is told and forgotten. */
static void finish_drained(struct spool *spool)
{
    for (size_t i = spool->follow_count; i-- > 0;) {
        struct follow *follow = spool->follows[i];
        if (!follow->ended || !follow_drained(follow))
            continue;
        struct spool_delivered *name = calloc(1, sizeof(*name));
        if (!name)
            return; /* at the next look */
        memcpy(name->job, follow->job, sizeof(name->job));
        name->attempt = follow->attempt;
        if (!queue_push(spool->delivered, name)) {
            free(name);
            return;
        }
        wake(spool->delivered_fd);
        for (size_t j = 0; j < follow->watch_count; j++)
            (void)inotify_rm_watch(spool->inotify_fd, follow->watches[j]);
        follow_free(follow);
        spool->follows[i] = spool->follows[--spool->follow_count];
    }
}

static void work(struct spool *spool)
{
    const int64_t now_ms = clock_mono_ms();
    if (now_ms < spool->retry_mono_ms)
        return;
    read_events(spool);
    const bool due = spool->batch.urgent || now_ms >= spool->next_batch_mono_ms || any_ended(spool);
    if (spool->batch.count > 0 && due)
        deliver_batch(spool);
    else if (spool->batch.count == 0 && any_output(spool) &&
             (now_ms >= spool->next_output_mono_ms || any_ended(spool)))
        send_outputs(spool);
    finish_drained(spool);
}

static bool any_unwatched(const struct spool *spool)
{
    for (size_t i = 0; i < spool->follow_count; i++) {
        if (spool->follows[i]->unwatched)
            return true;
    }
    return false;
}

static int next_wait_ms(const struct spool *spool)
{
    const int64_t now_ms = clock_mono_ms();
    int64_t until_ms = now_ms + (any_unwatched(spool) ? UNWATCHED_LOOK_MS : IDLE_MS);
    if (now_ms < spool->retry_mono_ms)
        until_ms = spool->retry_mono_ms;
    else if (spool->batch.count > 0)
        until_ms = spool->next_batch_mono_ms;
    else if (any_output(spool))
        until_ms = any_ended(spool) ? now_ms : spool->next_output_mono_ms;
    return until_ms > now_ms ? (int)(until_ms - now_ms) : 0;
}

static void drain_inotify(int fd)
{
    char events[16 * KIB];
    while (read(fd, events, sizeof(events)) > 0)
        continue;
}

static void *run_spool(void *context)
{
    struct spool *spool = context;
    while (!__atomic_load_n(&spool->stopping, __ATOMIC_ACQUIRE)) {
        struct pollfd look[] = {{.fd = spool->wake_fd, .events = POLLIN},
                                {.fd = spool->inotify_fd, .events = POLLIN}};
        (void)poll(look, COUNT_OF(look), next_wait_ms(spool));
        take_messages(spool);
        drain_inotify(spool->inotify_fd);
        work(spool);
    }
    return NULL;
}

static enum status open_spool(struct spool *spool, struct error *err)
{
    const struct http_client_options options = {
        .base_url = spool->site->controller,
        .token = spool->site->node_token,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
    };
    spool->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    spool->delivered_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    spool->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (spool->wake_fd < 0 || spool->delivered_fd < 0 || spool->inotify_fd < 0)
        return error_set_errno(err, STATUS_INTERNAL, errno, "make the spool's descriptors");
    TRY(queue_new(MESSAGES_MAX, &spool->messages, err));
    TRY(queue_new(ATTEMPTS_MAX, &spool->delivered, err));
    TRY(http_client_new(&options, &spool->client, err));
    TRY(upload_start(spool->site, on_uploaded, spool, &spool->uploader, err));
    if (pthread_create(&spool->thread, NULL, run_spool, spool) != 0)
        return error_set(err, STATUS_INTERNAL, "start the spool thread");
    spool->started = true;
    (void)pthread_setname_np(spool->thread, "spool");
    return STATUS_OK;
}

enum status spool_start(const struct site *site, spool_moved_fn *moved, void *context,
                        struct spool **out, struct error *err)
{
    struct spool *spool = calloc(1, sizeof(*spool));
    if (!spool)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the spool");
    spool->site = site;
    spool->moved = moved;
    spool->context = context;
    spool->wake_fd = spool->delivered_fd = spool->inotify_fd = -1;
    spool->backoff = backoff_of(SPOOL_BACKOFF_MS, SPOOL_BACKOFF_MAX_MS);
    batch_init(&spool->batch);
    const enum status status = open_spool(spool, err);
    if (status != STATUS_OK) {
        spool_stop(spool);
        return status;
    }
    *out = spool;
    return STATUS_OK;
}

static void drop_messages(struct spool *spool)
{
    void *item = NULL;
    while (spool->messages && queue_length(spool->messages) > 0 &&
           queue_take(spool->messages, &item, 1, 0) > 0) {
        struct message *message = item;
        follow_free(message->follow);
        upload_free(message->upload);
        free(message);
    }
    while (spool->delivered && queue_length(spool->delivered) > 0 &&
           queue_take(spool->delivered, &item, 1, 0) > 0)
        free(item);
}

void spool_stop(struct spool *spool)
{
    if (!spool)
        return;
    __atomic_store_n(&spool->stopping, true, __ATOMIC_RELEASE);
    if (spool->messages)
        queue_close(spool->messages);
    if (spool->client)
        http_client_abort(spool->client);
    if (spool->started) {
        wake(spool->wake_fd);
        (void)pthread_join(spool->thread, NULL);
    }
    upload_stop(spool->uploader);
    batch_reset(&spool->batch);
    buf_clear(&spool->batch.body);
    drop_messages(spool);
    for (size_t i = 0; i < spool->follow_count; i++)
        follow_free(spool->follows[i]);
    queue_free(spool->messages);
    queue_free(spool->delivered);
    http_client_free(spool->client);
    fd_cleanup(&spool->wake_fd);
    fd_cleanup(&spool->delivered_fd);
    fd_cleanup(&spool->inotify_fd);
    free(spool);
}

int spool_fd(const struct spool *spool)
{
    return spool->delivered_fd;
}

bool spool_take(struct spool *spool, struct spool_delivered *out)
{
    void *item = NULL;
    clear_event(spool->delivered_fd);
    if (queue_length(spool->delivered) == 0 || queue_take(spool->delivered, &item, 1, 0) == 0)
        return false;
    *out = *(struct spool_delivered *)item;
    free(item);
    return true;
}
