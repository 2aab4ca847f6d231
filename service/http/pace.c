#include "service/http/pace.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"

#define STACK_BYTES      (128 * KIB)
#define LOOKS_IN_A_LIMIT 8
#define LOOK_MS_MAX      5000
#define PART_BITS        2
#define STATE_CLOSE_WAIT 8 /* of tcpi_state, whose names no header offers beside the structure */

struct pace_peer {
    struct pace_peer *previous, *next;
    int fd;
    _Atomic uint64_t expects; /* which part, and above PART_BITS how many were expected before */
    /* What the thread saw last; its own. */
    uint64_t seen;
    int64_t since_mono_ms;
    uint64_t bytes;  /* received when the part began */
    uint64_t looked; /* received until the last look */
};

struct pace {
    int64_t limit_ms;
    pthread_mutex_t lock; /* guards the list and `stopping` */
    pthread_cond_t stop;
    bool stopping;
    struct pace_peer *peers;
    pthread_t thread;
    bool thread_runs;
};

/* Zeroes on a kernel that does not count bytes: then only bodies are timed. */
static struct tcp_info look(int fd)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof(info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
        info = (struct tcp_info){.tcpi_state = 0};
    return info;
}

static bool is_over(const struct pace *pace, const struct pace_peer *peer, int64_t now_mono_ms,
                    uint64_t came)
{
    const int64_t earned_ms = (int64_t)(came / (PACE_BYTES_PER_S / 1000));
    return now_mono_ms - peer->since_mono_ms > pace->limit_ms + earned_ms;
}

static void look_at(const struct pace *pace, struct pace_peer *peer, int64_t now_mono_ms)
{
    const uint64_t expects = atomic_load_explicit(&peer->expects, memory_order_relaxed);
    const enum pace_part part = (enum pace_part)(expects & ((1U << PART_BITS) - 1));
    if (part == PACE_NOTHING)
        return;
    const struct tcp_info info = look(peer->fd);
    const uint64_t bytes = info.tcpi_bytes_received;
    const bool has_left = info.tcpi_state == STATE_CLOSE_WAIT && bytes == peer->looked;
    peer->looked = bytes;
    const bool rests = part == PACE_HEAD && bytes == peer->bytes;
    if (has_left && expects == peer->seen) {
        shutdown(peer->fd, SHUT_RDWR);
    } else if (expects != peer->seen || rests) {
        peer->seen = expects;
        peer->since_mono_ms = now_mono_ms;
        peer->bytes = bytes;
    } else if (is_over(pace, peer, now_mono_ms, bytes - peer->bytes)) {
        shutdown(peer->fd, SHUT_RDWR);
    }
}

static void *pace_thread(void *argument)
{
    struct pace *pace = argument;
    int64_t look_ms = pace->limit_ms / LOOKS_IN_A_LIMIT + 1;
    look_ms = look_ms > LOOK_MS_MAX ? LOOK_MS_MAX : look_ms;
    pthread_setname_np(pthread_self(), "pace");
    pthread_mutex_lock(&pace->lock);
    while (!pace->stopping) {
        const int64_t now_mono_ms = clock_mono_ms();
        for (struct pace_peer *peer = pace->peers; peer != NULL; peer = peer->next)
            look_at(pace, peer, now_mono_ms);
        const int64_t until_ms = now_mono_ms + look_ms;
        const struct timespec until = {.tv_sec = until_ms / 1000,
                                       .tv_nsec = until_ms % 1000 * 1000000};
        (void)pthread_cond_timedwait(&pace->stop, &pace->lock, &until);
    }
    pthread_mutex_unlock(&pace->lock);
    return NULL;
}

enum status pace_new(int64_t limit_ms, struct pace **out, struct error *err)
{
    struct pace *pace = calloc(1, sizeof(*pace));
    if (pace == NULL)
        return error_set(err, STATUS_NO_MEMORY, "pace of requests: out of memory");
    pace->limit_ms = limit_ms;
    pthread_mutex_init(&pace->lock, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&pace->stop, &clock);
    pthread_condattr_destroy(&clock);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    const int failed = pthread_create(&pace->thread, &attributes, pace_thread, pace);
    pthread_attr_destroy(&attributes);
    pace->thread_runs = failed == 0;
    if (failed != 0) {
        pace_free(pace);
        return error_set_errno(err, STATUS_INTERNAL, failed, "thread of the pace of requests");
    }
    *out = pace;
    return STATUS_OK;
}

void pace_free(struct pace *pace)
{
    if (pace == NULL)
        return;
    pthread_mutex_lock(&pace->lock);
    pace->stopping = true;
    pthread_cond_signal(&pace->stop);
    pthread_mutex_unlock(&pace->lock);
    if (pace->thread_runs)
        pthread_join(pace->thread, NULL);
    pthread_cond_destroy(&pace->stop);
    pthread_mutex_destroy(&pace->lock);
    free(pace);
}

struct pace_peer *pace_enter(struct pace *pace, int fd)
{
    struct pace_peer *peer = calloc(1, sizeof(*peer));
    if (peer == NULL)
        return NULL;
    peer->fd = fd;
    atomic_init(&peer->expects, PACE_HEAD);
    peer->since_mono_ms = clock_mono_ms();
    pthread_mutex_lock(&pace->lock);
    peer->next = pace->peers;
    if (peer->next != NULL)
        peer->next->previous = peer;
    pace->peers = peer;
    pthread_mutex_unlock(&pace->lock);
    return peer;
}

void pace_leave(struct pace *pace, struct pace_peer *peer)
{
    if (peer == NULL)
        return;
    pthread_mutex_lock(&pace->lock);
    if (peer->previous != NULL)
        peer->previous->next = peer->next;
    else
        pace->peers = peer->next;
    if (peer->next != NULL)
        peer->next->previous = peer->previous;
    pthread_mutex_unlock(&pace->lock);
    free(peer);
}

void pace_expect(struct pace_peer *peer, enum pace_part part)
{
    if (peer == NULL)
        return;
    const uint64_t expects = atomic_load_explicit(&peer->expects, memory_order_relaxed);
    const uint64_t count = (expects >> PART_BITS) + 1;
    atomic_store_explicit(&peer->expects, count << PART_BITS | (uint64_t)part,
                          memory_order_relaxed);
}
