#include "service/api/feed.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "service/api/job_view.h"
#include "service/api/nodes.h"

#define STACK_BYTES     (512 * KIB)
#define SNAPSHOT_ROWS   200 /* jobs or nodes that a new subscriber of a list is told */
#define FOLLOW_PENDING  (HTTP_STREAM_BYTES_MAX / 2) /* a follower with more unsent waits */
#define FOLLOW_RETRY_MS 200
#define LOOK_MS         1000 /* how soon a subscriber that has left makes room */

enum note_kind { NOTE_JOB_CHANGED, NOTE_JOB_MOVED, NOTE_NODE, NOTE_LOG };

struct note {
    enum note_kind kind;
    char id[ID_BYTES_MAX];
};

struct subscriber {
    struct http_stream *stream;
    struct feed_topics topics;
    char token[ID_BYTES_MAX]; /* on whose right it listens */
    bool fresh;               /* has not been told the state as it is */
};

struct follower {
    struct http_stream *stream;
    char job[ID_BYTES_MAX];
    char token[ID_BYTES_MAX];
    struct feed_log log; /* its job points at `job` */
};

const char *const feed_log_names[] = {"stdout", "stderr", NULL};

struct feed {
    struct api *api;
    pthread_t thread;
    bool thread_runs;
    atomic_size_t interested; /* subscribers and followers: without any, notes cost nothing */
    pthread_mutex_t lock;     /* guards everything below */
    pthread_cond_t noted;
    bool stopping;
    struct note notes[FEED_NOTES_MAX];
    size_t note_count;
    bool overflow;
    struct subscriber *subscribers[FEED_SUBSCRIBERS_MAX];
    size_t subscriber_count;
    struct follower *followers[FEED_FOLLOWERS_MAX];
    size_t follower_count;
    uint64_t event_number;
};

/* ---------------------------------------------------------------- notes */

static void note(struct feed *feed, enum note_kind kind, const char *id)
{
    if (atomic_load_explicit(&feed->interested, memory_order_relaxed) == 0)
        return;
    pthread_mutex_lock(&feed->lock);
    bool known = false;
    for (size_t i = feed->note_count; i-- > 0 && !known;)
        known = feed->notes[i].kind == kind && strcmp(feed->notes[i].id, id) == 0;
    if (!known && feed->note_count == FEED_NOTES_MAX)
        feed->overflow = true;
    else if (!known) {
        struct note *fresh = &feed->notes[feed->note_count++];
        fresh->kind = kind;
        snprintf(fresh->id, sizeof(fresh->id), "%s", id);
    }
    pthread_cond_signal(&feed->noted);
    pthread_mutex_unlock(&feed->lock);
}

void feed_job_changed(struct feed *feed, const char *job)
{
    note(feed, NOTE_JOB_CHANGED, job);
}

void feed_job_moved(struct feed *feed, const char *job)
{
    note(feed, NOTE_JOB_MOVED, job);
}

void feed_node_changed(struct feed *feed, const char *node)
{
    note(feed, NOTE_NODE, node);
}

void feed_log_grew(struct feed *feed, const char *job)
{
    note(feed, NOTE_LOG, job);
}

/* Its client is there, and its token has neither been revoked nor expired meanwhile. */
static bool may_listen(const struct feed *feed, struct http_stream *stream, const char *token)
{
    return !http_stream_closed(stream) && auth_is_valid(feed->api->auth, token, clock_wall_ms());
}

/* ---------------------------------------------------------------- telling */

/* One event in the stream's own form; `data` is a JSON document. */
static void tell(struct feed *feed, struct subscriber *subscriber, const char *event,
                 const struct buf *data)
{
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, HTTP_STREAM_BYTES_MAX);
    const unsigned long long number = ++feed->event_number;
    if (subscriber->topics.lines)
        buf_printf(&text, "{\"event\":\"%s\",\"id\":%llu,\"data\":", event, number);
    else
        buf_printf(&text, "id: %llu\nevent: %s\ndata: ", number, event);
    buf_append(&text, data->data, data->size);
    buf_append_text(&text, subscriber->topics.lines ? "}\n" : "\n\n");
    if (buf_status(&text, "event", NULL) != STATUS_OK ||
        !http_stream_write(subscriber->stream, text.data, text.size))
        http_stream_end(subscriber->stream);
}

static bool names_job(const struct feed_topics *topics, const char *id)
{
    for (size_t i = 0; i < topics->job_count; i++) {
        if (strcmp(topics->jobs[i], id) == 0)
            return true;
    }
    return false;
}

static void render_queue(struct buf *out, const struct job_row *row)
{
    struct out json = out_to(out);
    out_open_object(&json, NULL);
    out_text(&json, "id", row->id);
    out_int(&json, "revision", row->revision);
    out_text(&json, "name", row->name);
    out_text(&json, "project", row->project);
    out_text(&json, "state", job_state_names[row->state]);
    out_text_or_null(&json, "reason", row->reason == REASON_NONE ? "" : reason_names[row->reason]);
    out_int(&json, "attempt", row->attempt);
    out_int(&json, "priority", row->request.priority);
    out_int(&json, "ranks", row->request.ranks);
    out_time(&json, "created_at", row->created_at_ms);
    out_close_object(&json);
}

/* Tells a job to `only`, or to everybody who asked for it. */
static void tell_job(struct feed *feed, struct lent *lent, const char *id, bool changed,
                     struct subscriber *only)
{
    static const struct http_caller everyone = {.role = ROLE_OPERATOR};
    CLEANUP(buf_clear) struct buf whole;
    CLEANUP(buf_clear) struct buf queue;
    buf_init(&whole, HTTP_STREAM_BYTES_MAX);
    buf_init(&queue, HTTP_STREAM_BYTES_MAX);
    struct job_row row;
    int64_t revision = 0;
    if (job_view_read(&whole, feed->api, lent, &everyone, id, &revision, NULL) != STATUS_OK ||
        job_row_read(lent, &everyone, id, &row, NULL) != STATUS_OK)
        return;
    render_queue(&queue, &row);
    pthread_mutex_lock(&feed->lock);
    for (size_t i = 0; i < feed->subscriber_count; i++) {
        struct subscriber *subscriber = feed->subscribers[i];
        const struct feed_topics *topics = &subscriber->topics;
        if ((only != NULL && only != subscriber) ||
            (topics->project[0] != '\0' && strcmp(topics->project, row.project) != 0))
            continue;
        if (names_job(topics, id))
            tell(feed, subscriber, "job", &whole);
        if (changed && topics->queue)
            tell(feed, subscriber, "queue", &queue);
    }
    pthread_mutex_unlock(&feed->lock);
}

static void tell_node(struct feed *feed, struct lent *lent, const char *id, struct subscriber *only)
{
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, HTTP_STREAM_BYTES_MAX);
    if (node_view_read(&body, feed->api, lent, id, NULL) != STATUS_OK)
        return;
    pthread_mutex_lock(&feed->lock);
    for (size_t i = 0; i < feed->subscriber_count; i++) {
        struct subscriber *subscriber = feed->subscribers[i];
        if ((only == NULL || only == subscriber) && subscriber->topics.nodes)
            tell(feed, subscriber, "node", &body);
    }
    pthread_mutex_unlock(&feed->lock);
}

struct id_list {
    char (*ids)[ID_BYTES_MAX];
    size_t count;
};

static void keep_job_id(void *context, const struct job_view *job)
{
    struct id_list *list = context;
    memcpy(list->ids[list->count++], job->row.id, ID_BYTES_MAX);
}

static void keep_node_id(void *context, const struct node_row *node, const struct slot_row *slots,
                         size_t slot_count)
{
    (void)slots;
    (void)slot_count;
    struct id_list *list = context;
    memcpy(list->ids[list->count++], node->id, ID_BYTES_MAX);
}

/* What a stream's topics are at this moment. */
static void tell_snapshot(struct feed *feed, struct lent *lent, struct subscriber *subscriber)
{
    char ids[SNAPSHOT_ROWS][ID_BYTES_MAX];
    char cursor[ID_BYTES_MAX];
    const struct feed_topics *topics = &subscriber->topics;
    for (size_t i = 0; i < topics->job_count; i++)
        tell_job(feed, lent, topics->jobs[i], false, subscriber);
    if (topics->nodes) {
        struct id_list nodes = {.ids = ids};
        if (reader_nodes(lent->state, "", SNAPSHOT_ROWS, keep_node_id, &nodes, NULL) == STATUS_OK) {
            for (size_t i = 0; i < nodes.count; i++)
                tell_node(feed, lent, ids[i], subscriber);
        }
    }
    if (topics->queue) {
        struct id_list jobs = {.ids = ids};
        const struct job_filter live = {.live_only = true, .limit = SNAPSHOT_ROWS};
        if (reader_jobs(lent->state, &live, keep_job_id, &jobs, cursor, NULL) == STATUS_OK) {
            for (size_t i = jobs.count; i-- > 0;)
                tell_job(feed, lent, ids[i], true, subscriber);
        }
    }
}

/* ---------------------------------------------------------------- followed logs */

/* Sends what one of its streams has; sets *moved. False: the client does not read any more. */
static bool follow_stream(struct feed *feed, struct follower *follower, size_t which, bool *moved)
{
    const struct logs_stream stream = {.job = follower->job,
                                       .attempt = follower->log.attempt,
                                       .rank = follower->log.rank,
                                       .stream = feed_log_names[which]};
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, LOGS_READ_BYTES + KIB);
    int64_t *offset = &follower->log.offset[which];
    int64_t next = *offset;
    if (logs_read(feed->api->logs, &stream, *offset, &text, &next, NULL) != STATUS_OK)
        return true; /* nobody has written to it yet */
    *moved = *moved || next > *offset;
    *offset = next;
    return text.size == 0 || http_stream_write(follower->stream, text.data, text.size);
}

/* Sends what there is. False: the follower is done. */
static bool follow_on(struct feed *feed, struct lent *lent, struct follower *follower)
{
    if (!may_listen(feed, follower->stream, follower->token))
        return false;
    if (http_stream_pending(follower->stream) > 0)
        return true;
    /* Asked before reading: what comes after the end was seen is not waited for. */
    static const struct http_caller everyone = {.role = ROLE_OPERATOR};
    struct job_row row;
    const bool over = job_row_read(lent, &everyone, follower->job, &row, NULL) == STATUS_OK &&
                      (job_state_is_terminal(row.state) || row.attempt > follower->log.attempt);
    bool moved = false;
    for (size_t i = 0; i < FEED_LOG_STREAMS; i++) {
        if (follower->log.wanted[i] && !follow_stream(feed, follower, i, &moved))
            return false;
        if (moved)
            return true; /* the other one when this is sent: together they might not fit */
    }
    return !over;
}

/* NULL beyond the last. Others add while the feed thread walks; it alone removes. */
static struct follower *follower_at(struct feed *feed, size_t index)
{
    pthread_mutex_lock(&feed->lock);
    struct follower *follower = index < feed->follower_count ? feed->followers[index] : NULL;
    pthread_mutex_unlock(&feed->lock);
    return follower;
}

static void follow_all(struct feed *feed, struct lent *lent)
{
    struct follower *follower;
    for (size_t i = 0; (follower = follower_at(feed, i)) != NULL;) {
        if (follow_on(feed, lent, follower)) {
            i++;
            continue;
        }
        pthread_mutex_lock(&feed->lock);
        feed->followers[i] = feed->followers[--feed->follower_count];
        pthread_mutex_unlock(&feed->lock);
        atomic_fetch_sub(&feed->interested, 1);
        http_stream_release(follower->stream);
        free(follower);
    }
}

/* ---------------------------------------------------------------- the thread */

static void drop_closed(struct feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    for (size_t i = 0; i < feed->subscriber_count;) {
        struct subscriber *subscriber = feed->subscribers[i];
        if (may_listen(feed, subscriber->stream, subscriber->token)) {
            i++;
            continue;
        }
        feed->subscribers[i] = feed->subscribers[--feed->subscriber_count];
        atomic_fetch_sub(&feed->interested, 1);
        http_stream_release(subscriber->stream);
        free(subscriber);
    }
    pthread_mutex_unlock(&feed->lock);
}

static void beat(struct feed *feed)
{
    static const char line[] = "{\"event\":\"heartbeat\"}\n";
    static const char comment[] = ": heartbeat\n\n";
    pthread_mutex_lock(&feed->lock);
    for (size_t i = 0; i < feed->subscriber_count; i++) {
        struct subscriber *subscriber = feed->subscribers[i];
        const bool lines = subscriber->topics.lines;
        if (!http_stream_write(subscriber->stream, lines ? line : comment,
                               lines ? sizeof(line) - 1 : sizeof(comment) - 1))
            http_stream_end(subscriber->stream);
    }
    pthread_mutex_unlock(&feed->lock);
}

static void tell_all(struct feed *feed, struct lent *lent, const struct note *notes, size_t count,
                     bool everything)
{
    for (size_t i = 0; i < count; i++) {
        if (notes[i].kind == NOTE_NODE)
            tell_node(feed, lent, notes[i].id, NULL);
        else if (notes[i].kind != NOTE_LOG)
            tell_job(feed, lent, notes[i].id, notes[i].kind == NOTE_JOB_CHANGED, NULL);
    }
    struct subscriber *fresh[FEED_SUBSCRIBERS_MAX];
    size_t fresh_count = 0;
    pthread_mutex_lock(&feed->lock);
    for (size_t i = 0; i < feed->subscriber_count; i++) {
        struct subscriber *subscriber = feed->subscribers[i];
        if (subscriber->fresh || everything)
            fresh[fresh_count++] = subscriber;
        subscriber->fresh = false;
    }
    pthread_mutex_unlock(&feed->lock);
    for (size_t i = 0; i < fresh_count; i++)
        tell_snapshot(feed, lent, fresh[i]);
    follow_all(feed, lent);
}

/* Moves the notes that are due to `out`; those of progress stay until `moved_due`. */
static size_t take_notes(struct feed *feed, struct note *out, bool moved_due)
{
    size_t taken = 0;
    size_t kept = 0;
    for (size_t i = 0; i < feed->note_count; i++) {
        if (feed->notes[i].kind == NOTE_JOB_MOVED && !moved_due)
            feed->notes[kept++] = feed->notes[i];
        else
            out[taken++] = feed->notes[i];
    }
    feed->note_count = kept;
    return taken;
}

static bool has_fresh(const struct feed *feed)
{
    for (size_t i = 0; i < feed->subscriber_count; i++) {
        if (feed->subscribers[i]->fresh)
            return true;
    }
    return false;
}

static void wait_until(struct feed *feed, int64_t mono_ms)
{
    const struct timespec deadline = {.tv_sec = (time_t)(mono_ms / 1000),
                                      .tv_nsec = (long)(mono_ms % 1000 * 1000000)};
    pthread_cond_timedwait(&feed->noted, &feed->lock, &deadline);
}

struct rhythm {
    int64_t beat_due, look_due, moved_due;
    struct note notes[FEED_NOTES_MAX];
};

/* One round: waits for something to tell, tells it. False when stopping. */
static bool round_of(struct feed *feed, struct rhythm *rhythm)
{
    pthread_mutex_lock(&feed->lock);
    size_t count = 0;
    bool everything = false;
    while (!feed->stopping) {
        const int64_t now = clock_mono_ms();
        count = take_notes(feed, rhythm->notes, now >= rhythm->moved_due);
        everything = feed->overflow;
        if (count > 0 || everything || has_fresh(feed) || now >= rhythm->beat_due ||
            (feed->subscriber_count > 0 && now >= rhythm->look_due))
            break;
        int64_t until = feed->note_count > 0 ? rhythm->moved_due : rhythm->beat_due;
        if (feed->subscriber_count > 0 && rhythm->look_due < until)
            until = rhythm->look_due;
        if (feed->follower_count > 0 && now + FOLLOW_RETRY_MS < until)
            until = now + FOLLOW_RETRY_MS;
        wait_until(feed, until);
        if (feed->follower_count > 0)
            break;
    }
    feed->overflow = false;
    const bool stopping = feed->stopping;
    pthread_mutex_unlock(&feed->lock);
    if (stopping)
        return false;
    const int64_t now = clock_mono_ms();
    if (now >= rhythm->moved_due)
        rhythm->moved_due = now + FEED_MOVED_MS;
    if (now >= rhythm->beat_due) {
        rhythm->beat_due = now + FEED_HEARTBEAT_MS;
        beat(feed);
    }
    if (now >= rhythm->look_due) {
        rhythm->look_due = now + LOOK_MS;
        drop_closed(feed);
    }
    CLEANUP(lent_return) struct lent lent = {0};
    if (readers_lend(feed->api->readers, &lent, NULL) == STATUS_OK)
        tell_all(feed, &lent, rhythm->notes, count, everything);
    return true;
}

static void *feed_thread(void *argument)
{
    struct feed *feed = argument;
    pthread_setname_np(pthread_self(), "feed");
    struct rhythm rhythm = {.beat_due = clock_mono_ms() + FEED_HEARTBEAT_MS};
    while (round_of(feed, &rhythm))
        continue;
    return NULL;
}

/* ---------------------------------------------------------------- life */

enum status feed_new(struct api *api, struct feed **out, struct error *err)
{
    struct feed *feed = calloc(1, sizeof(*feed));
    if (feed == NULL)
        return error_set(err, STATUS_NO_MEMORY, "feed: out of memory");
    feed->api = api;
    pthread_mutex_init(&feed->lock, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&feed->noted, &clock);
    pthread_condattr_destroy(&clock);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    const int failed = pthread_create(&feed->thread, &attributes, feed_thread, feed);
    pthread_attr_destroy(&attributes);
    if (failed != 0) {
        feed_free(feed);
        return error_set_errno(err, STATUS_INTERNAL, failed, "thread of the feed");
    }
    feed->thread_runs = true;
    *out = feed;
    return STATUS_OK;
}

void feed_stop(struct feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    feed->stopping = true;
    pthread_cond_signal(&feed->noted);
    pthread_mutex_unlock(&feed->lock);
    if (feed->thread_runs)
        pthread_join(feed->thread, NULL);
    feed->thread_runs = false;
    for (size_t i = 0; i < feed->subscriber_count; i++) {
        http_stream_release(feed->subscribers[i]->stream);
        free(feed->subscribers[i]);
    }
    for (size_t i = 0; i < feed->follower_count; i++) {
        http_stream_release(feed->followers[i]->stream);
        free(feed->followers[i]);
    }
    feed->subscriber_count = feed->follower_count = 0;
}

void feed_free(struct feed *feed)
{
    if (feed == NULL)
        return;
    assert(!feed->thread_runs && feed->subscriber_count == 0);
    pthread_cond_destroy(&feed->noted);
    pthread_mutex_destroy(&feed->lock);
    free(feed);
}

enum status feed_subscribe(struct feed *feed, struct http_stream *stream,
                           const struct feed_topics *topics, const char *token, struct error *err)
{
    struct subscriber *subscriber = calloc(1, sizeof(*subscriber));
    if (subscriber == NULL)
        return error_set(err, STATUS_NO_MEMORY, "stream: out of memory");
    *subscriber = (struct subscriber){.stream = stream, .topics = *topics, .fresh = true};
    snprintf(subscriber->token, sizeof(subscriber->token), "%s", token);
    pthread_mutex_lock(&feed->lock);
    const bool fits = !feed->stopping && feed->subscriber_count < FEED_SUBSCRIBERS_MAX;
    if (fits) {
        feed->subscribers[feed->subscriber_count++] = subscriber;
        atomic_fetch_add(&feed->interested, 1);
        pthread_cond_signal(&feed->noted);
    }
    pthread_mutex_unlock(&feed->lock);
    if (fits)
        return STATUS_OK;
    free(subscriber);
    return error_set(err, STATUS_BUSY, "there are %d streams already", FEED_SUBSCRIBERS_MAX);
}

enum status feed_follow(struct feed *feed, struct http_stream *stream, const struct feed_log *log,
                        const char *token, struct error *err)
{
    struct follower *follower = calloc(1, sizeof(*follower));
    if (follower == NULL)
        return error_set(err, STATUS_NO_MEMORY, "log: out of memory");
    *follower = (struct follower){.stream = stream, .log = *log};
    snprintf(follower->job, sizeof(follower->job), "%s", log->job);
    snprintf(follower->token, sizeof(follower->token), "%s", token);
    follower->log.job = follower->job;
    pthread_mutex_lock(&feed->lock);
    const bool fits = !feed->stopping && feed->follower_count < FEED_FOLLOWERS_MAX;
    if (fits) {
        feed->followers[feed->follower_count++] = follower;
        atomic_fetch_add(&feed->interested, 1);
        pthread_cond_signal(&feed->noted);
    }
    pthread_mutex_unlock(&feed->lock);
    if (fits)
        return STATUS_OK;
    free(follower);
    return error_set(err, STATUS_BUSY, "%d logs are followed already", FEED_FOLLOWERS_MAX);
}

size_t feed_subscribers(struct feed *feed)
{
    return atomic_load(&feed->interested);
}

size_t feed_followers(struct feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    const size_t count = feed->follower_count;
    pthread_mutex_unlock(&feed->lock);
    return count;
}
