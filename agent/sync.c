#include "agent/sync.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/backoff.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/http_client.h"
#include "base/log.h"

#define SYNC_PATH               "/v1/agent/sync"
#define SYNC_CONNECT_TIMEOUT_MS 1000
#define SYNC_FIRST_HEARTBEAT_MS 2000 /* until the first answer says */
#define SYNC_PATIENCE_MIN_MS    500  /* beyond the heartbeat, before a held sync is given up on */
#define SYNC_BACKOFF_MS         100
#define SYNC_BACKOFF_MAX_MS     2000
#define NEWS_TRIES_MAX          3

struct channel {
    struct sync *sync;
    struct http_client *client;
    pthread_t thread;
    bool started;
    bool news;
    bool complained; /* the controller's absence is logged once */
};

struct sync {
    struct sync_options options;
    int event_fd;
    struct channel held, newsman;

    pthread_mutex_t mutex; /* what follows */
    pthread_cond_t changed;
    bool stopping;
    int64_t session;
    int64_t seq;
    int64_t revision_seen;
    int64_t heartbeat_ms, lease_ms;
    uint64_t news_wanted, news_told;
    struct sync_inbox inbox;
};

static void wake_main(struct sync *sync)
{
    const uint64_t one = 1;
    (void)!write(sync->event_fd, &one, sizeof(one));
}

/* Takes over what an answer says, unless a newer one has been here before. */
static void accept_answer(struct sync *sync, struct wire_sync_answer *answer, int64_t sent_boot_ms)
{
    (void)pthread_mutex_lock(&sync->mutex);
    struct sync_inbox *inbox = &sync->inbox;
    const bool same_session = answer->session == sync->session;
    sync->session = answer->session;
    sync->heartbeat_ms = answer->heartbeat_ms;
    sync->lease_ms = answer->lease_ms;
    if (sent_boot_ms + answer->lease_ms > inbox->lease_boot_ms)
        inbox->lease_boot_ms = sent_boot_ms + answer->lease_ms;
    inbox->kill_budget_ms = answer->kill_budget_ms;
    inbox->heartbeat_ms = answer->heartbeat_ms;
    /* Revision 0 is a controller that has just started and does not know yet: no empty set. */
    if (answer->has_desired && answer->revision > 0 &&
        (!same_session || answer->revision > sync->revision_seen)) {
        sync->revision_seen = answer->revision;
        if (inbox->has_desired)
            wire_sync_answer_clear(&inbox->answer);
        inbox->answer = *answer;
        inbox->has_desired = true;
        memset(answer, 0, sizeof(*answer));
    }
    (void)pthread_cond_broadcast(&sync->changed);
    (void)pthread_mutex_unlock(&sync->mutex);
    wake_main(sync);
}

static enum status decode_answer(const struct buf *body, struct wire_sync_answer *out,
                                 struct error *err)
{
    CLEANUP(json_cleanup) json_t *document = NULL;
    TRY(json_parse(body->data, body->size, &document, err));
    struct json_problems problems = {0};
    const struct json_at root = json_at_root(document, &problems);
    wire_sync_answer_decode(&root, out);
    return json_problems_status(&problems, err);
}

static void set_fenced(struct sync *sync)
{
    (void)pthread_mutex_lock(&sync->mutex);
    sync->inbox.fenced = true;
    (void)pthread_mutex_unlock(&sync->mutex);
    wake_main(sync);
}

static enum status take_answer(struct channel *channel, const struct http_exchange *exchange,
                               int64_t sent_boot_ms, struct error *err)
{
    struct sync *sync = channel->sync;
    if (exchange->out_code == 409) {
        set_fenced(sync);
        return error_set(err, STATUS_CONFLICT, "a newer agent speaks for this node");
    }
    if (exchange->out_code == 401 || exchange->out_code == 403)
        return error_set(err, STATUS_DENIED, "the controller refuses our credential: %ld",
                         exchange->out_code);
    if (exchange->out_code != 200)
        return error_set(err, STATUS_UNAVAILABLE, "sync was answered %ld: %.200s",
                         exchange->out_code, exchange->out_body->data);
    struct wire_sync_answer answer = {0};
    const enum status status = decode_answer(exchange->out_body, &answer, err);
    if (status == STATUS_OK)
        accept_answer(sync, &answer, sent_boot_ms);
    wire_sync_answer_clear(&answer);
    return status;
}

static char *render(struct channel *channel, int64_t *out_timeout_ms, int64_t sent_boot_ms)
{
    struct sync *sync = channel->sync;
    (void)pthread_mutex_lock(&sync->mutex);
    /* The controller has only to say: the codec never changes or frees what it encodes. */
    struct wire_sync message = {
        .session = sync->session,
        .seq = ++sync->seq,
        .revision_seen = sync->revision_seen,
        .news = channel->news,
        .slots = (struct wire_slot *)(uintptr_t)sync->options.slots,
        .slot_count = sync->options.slot_count,
    };
    const int64_t third_ms = sync->lease_ms / 3;
    *out_timeout_ms = (channel->news ? 0 : sync->heartbeat_ms) +
                      (third_ms > SYNC_PATIENCE_MIN_MS ? third_ms : SYNC_PATIENCE_MIN_MS);
    (void)pthread_mutex_unlock(&sync->mutex);
    (void)memccpy(message.boot_id, sync->options.boot_id, 0, sizeof(message.boot_id) - 1);
    CLEANUP(json_cleanup)
    json_t *document = board_render(sync->options.board, message, sent_boot_ms);
    return document ? json_dumps(document, JSON_COMPACT) : NULL;
}

static enum status exchange_once(struct channel *channel, struct error *err)
{
    const int64_t sent_boot_ms = clock_boot_ms();
    int64_t timeout_ms = 0;
    CLEANUP(free_cleanup) char *text = render(channel, &timeout_ms, sent_boot_ms);
    if (!text)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a sync");
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, SYNC_BYTES_MAX);
    struct http_exchange exchange = {
        .method = "POST",
        .path = SYNC_PATH,
        .body = text,
        .body_bytes = strlen(text),
        .timeout_ms = timeout_ms,
        .out_body = &body,
    };
    TRY(http_client_send(channel->client, &exchange, err));
    return take_answer(channel, &exchange, sent_boot_ms, err);
}

/* Logs the first failure of a row of them, and its end. */
static void note_outcome(struct channel *channel, enum status status, const struct error *err)
{
    if (status == STATUS_OK && channel->complained)
        log_write(LOG_INFO, "controller_back", "the controller answers again", NULL);
    else if (status != STATUS_OK && !channel->complained)
        log_write(LOG_WARN, "controller_away", err->text, NULL);
    channel->complained = status != STATUS_OK;
}

/* Waits for the back-off; false when stopping. */
static bool pause_for(struct sync *sync, int64_t duration_ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += duration_ms / 1000;
    until.tv_nsec += duration_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)pthread_mutex_lock(&sync->mutex);
    int waited = 0;
    while (!sync->stopping && waited == 0)
        waited = pthread_cond_timedwait(&sync->changed, &sync->mutex, &until);
    const bool stopping = sync->stopping;
    (void)pthread_mutex_unlock(&sync->mutex);
    return !stopping;
}

static bool is_stopping(struct sync *sync)
{
    (void)pthread_mutex_lock(&sync->mutex);
    const bool stopping = sync->stopping;
    (void)pthread_mutex_unlock(&sync->mutex);
    return stopping;
}

static void *run_held(void *context)
{
    struct channel *channel = context;
    struct sync *sync = channel->sync;
    struct backoff backoff = backoff_of(SYNC_BACKOFF_MS, SYNC_BACKOFF_MAX_MS);
    while (!is_stopping(sync)) {
        struct error err = {0};
        const enum status status = exchange_once(channel, &err);
        if (is_stopping(sync))
            break;
        note_outcome(channel, status, &err);
        if (status == STATUS_CONFLICT)
            break;
        if (status == STATUS_OK) {
            backoff_reset(&backoff);
            continue;
        }
        /* It may be another controller process by now, whose revisions start elsewhere. */
        (void)pthread_mutex_lock(&sync->mutex);
        sync->revision_seen = 0;
        (void)pthread_mutex_unlock(&sync->mutex);
        (void)pause_for(sync, backoff_next_ms(&backoff));
    }
    return NULL;
}

/* Waits until there is news and a session to tell it in; false when stopping. */
static bool await_news(struct sync *sync, uint64_t *out_upto)
{
    (void)pthread_mutex_lock(&sync->mutex);
    while (!sync->stopping && (sync->news_wanted == sync->news_told || sync->session == 0))
        (void)pthread_cond_wait(&sync->changed, &sync->mutex);
    *out_upto = sync->news_wanted;
    const bool stopping = sync->stopping;
    (void)pthread_mutex_unlock(&sync->mutex);
    return !stopping;
}

static void *run_news(void *context)
{
    struct channel *channel = context;
    struct sync *sync = channel->sync;
    uint64_t upto;
    while (await_news(sync, &upto)) {
        struct backoff backoff = backoff_of(SYNC_BACKOFF_MS, SYNC_BACKOFF_MAX_MS);
        for (int tries = 0; tries < NEWS_TRIES_MAX; tries++) {
            struct error err = {0};
            const enum status status = exchange_once(channel, &err);
            if (status == STATUS_OK || status == STATUS_CONFLICT || is_stopping(sync))
                break;
            (void)pause_for(sync, backoff_next_ms(&backoff));
        }
        /* After the last try the held connection carries it, as it carries everything. */
        (void)pthread_mutex_lock(&sync->mutex);
        sync->news_told = upto;
        (void)pthread_mutex_unlock(&sync->mutex);
    }
    return NULL;
}

static enum status start_channel(struct sync *sync, struct channel *channel, bool news,
                                 struct error *err)
{
    const struct http_client_options options = {
        .base_url = sync->options.controller,
        .token = sync->options.token,
        .connect_timeout_ms = SYNC_CONNECT_TIMEOUT_MS,
    };
    channel->sync = sync;
    channel->news = news;
    TRY(http_client_new(&options, &channel->client, err));
    if (pthread_create(&channel->thread, NULL, news ? run_news : run_held, channel) != 0)
        return error_set(err, STATUS_INTERNAL, "start a sync thread");
    channel->started = true;
    (void)pthread_setname_np(channel->thread, news ? "news" : "sync");
    return STATUS_OK;
}

enum status sync_start(const struct sync_options *options, struct sync **out, struct error *err)
{
    struct sync *sync = calloc(1, sizeof(*sync));
    if (!sync)
        return error_set(err, STATUS_NO_MEMORY, "no memory for sync");
    sync->options = *options;
    sync->heartbeat_ms = SYNC_FIRST_HEARTBEAT_MS;
    (void)pthread_mutex_init(&sync->mutex, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&sync->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    sync->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    enum status status = sync->event_fd < 0 ? error_set(err, STATUS_INTERNAL, "make an eventfd")
                                            : start_channel(sync, &sync->held, false, err);
    if (status == STATUS_OK)
        status = start_channel(sync, &sync->newsman, true, err);
    if (status != STATUS_OK) {
        sync_stop(sync);
        return status;
    }
    *out = sync;
    return STATUS_OK;
}

static void end_channel(struct channel *channel)
{
    if (channel->client)
        http_client_abort(channel->client);
    if (channel->started)
        (void)pthread_join(channel->thread, NULL);
    http_client_free(channel->client);
}

void sync_stop(struct sync *sync)
{
    if (!sync)
        return;
    (void)pthread_mutex_lock(&sync->mutex);
    sync->stopping = true;
    (void)pthread_cond_broadcast(&sync->changed);
    (void)pthread_mutex_unlock(&sync->mutex);
    end_channel(&sync->held);
    end_channel(&sync->newsman);
    wire_sync_answer_clear(&sync->inbox.answer);
    fd_cleanup(&sync->event_fd);
    (void)pthread_cond_destroy(&sync->changed);
    (void)pthread_mutex_destroy(&sync->mutex);
    free(sync);
}

int sync_fd(const struct sync *sync)
{
    return sync->event_fd;
}

void sync_take(struct sync *sync, struct sync_inbox *out)
{
    uint64_t count;
    (void)!read(sync->event_fd, &count, sizeof(count));
    (void)pthread_mutex_lock(&sync->mutex);
    *out = sync->inbox;
    sync->inbox.has_desired = false;
    memset(&sync->inbox.answer, 0, sizeof(sync->inbox.answer));
    (void)pthread_mutex_unlock(&sync->mutex);
}

void sync_news(struct sync *sync)
{
    (void)pthread_mutex_lock(&sync->mutex);
    sync->news_wanted++;
    (void)pthread_cond_broadcast(&sync->changed);
    (void)pthread_mutex_unlock(&sync->mutex);
}
