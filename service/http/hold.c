#include "service/http/hold.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "service/http/request_own.h"

#define EVENTS_MAX  64
#define WAKE_NUMBER 0 /* the event descriptor; a hold's number is never 0 */
#define FIRST_SLOTS 64
#define STACK_BYTES (128 * KIB)

/* A hold's number is its slot and the slot's generation, so that a late wake-up hits nobody else. */
struct slot {
    struct http_request *request; /* NULL: free */
    int fd;
    uint32_t generation;
    uint32_t heap_index;
    uint32_t next_free;
    int64_t deadline_mono_ms;
};

struct http_holds {
    pthread_mutex_t lock; /* guards all but the descriptors */
    struct slot *slots;
    uint32_t slot_count;
    uint32_t free_head; /* index + 1; 0: none */
    uint32_t *heap;     /* slots by deadline */
    uint32_t heap_count;
    bool stopped;
    int epoll_fd;
    int wake_fd;
    pthread_t thread;
    bool thread_runs;
};

static uint64_t number_of(uint32_t index, uint32_t generation)
{
    return (uint64_t)generation << 32 | (index + 1);
}

static bool heap_less(const struct http_holds *holds, uint32_t a, uint32_t b)
{
    return holds->slots[holds->heap[a]].deadline_mono_ms <
           holds->slots[holds->heap[b]].deadline_mono_ms;
}

static void heap_swap(struct http_holds *holds, uint32_t a, uint32_t b)
{
    const uint32_t held = holds->heap[a];
    holds->heap[a] = holds->heap[b];
    holds->heap[b] = held;
    holds->slots[holds->heap[a]].heap_index = a;
    holds->slots[holds->heap[b]].heap_index = b;
}

static void heap_settle(struct http_holds *holds, uint32_t at)
{
    while (at > 0 && heap_less(holds, at, (at - 1) / 2)) {
        heap_swap(holds, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
    for (;;) {
        uint32_t least = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2; child++) {
            if (child < holds->heap_count && heap_less(holds, child, least))
                least = child;
        }
        if (least == at)
            return;
        heap_swap(holds, at, least);
        at = least;
    }
}

static void heap_remove(struct http_holds *holds, uint32_t at)
{
    const uint32_t last = --holds->heap_count;
    if (at == last)
        return;
    heap_swap(holds, at, last);
    heap_settle(holds, at);
}

/* Doubles the slots when none is free. */
static bool slots_grow(struct http_holds *holds)
{
    const uint32_t count = holds->slot_count == 0 ? FIRST_SLOTS : holds->slot_count * 2;
    if (count > HTTP_HOLDS_MAX)
        return false;
    struct slot *slots = realloc(holds->slots, count * sizeof(*slots));
    if (slots == NULL)
        return false;
    holds->slots = slots;
    uint32_t *heap = realloc(holds->heap, count * sizeof(*heap));
    if (heap == NULL)
        return false;
    holds->heap = heap;
    for (uint32_t i = count; i-- > holds->slot_count;) {
        slots[i] = (struct slot){.next_free = holds->free_head};
        holds->free_head = i + 1;
    }
    holds->slot_count = count;
    return true;
}

/* Frees the slot and lets its request go on. The caller holds the lock. */
static void slot_end(struct http_holds *holds, uint32_t index, enum http_hold_end why)
{
    struct slot *slot = &holds->slots[index];
    struct http_request *request = slot->request;
    assert(request != NULL);
    epoll_ctl(holds->epoll_fd, EPOLL_CTL_DEL, slot->fd, NULL); /* before the socket may close */
    heap_remove(holds, slot->heap_index);
    slot->request = NULL;
    slot->generation++;
    slot->next_free = holds->free_head;
    holds->free_head = index + 1;
    request->hold_end = why;
    http_resume(request);
}

static bool end_numbered(struct http_holds *holds, uint64_t number, enum http_hold_end why)
{
    const uint32_t index = (uint32_t)(number & UINT32_MAX) - 1;
    pthread_mutex_lock(&holds->lock);
    const bool live = index < holds->slot_count && holds->slots[index].request != NULL &&
                      holds->slots[index].generation == (uint32_t)(number >> 32);
    if (live)
        slot_end(holds, index, why);
    pthread_mutex_unlock(&holds->lock);
    return live;
}

static void wake_thread(struct http_holds *holds)
{
    const uint64_t one = 1;
    if (write(holds->wake_fd, &one, sizeof(one)) < 0)
        assert(errno == EAGAIN); /* its counter is full: it is awake */
}

uint64_t http_hold(struct http_holds *holds, struct http_request *request, int64_t deadline_mono_ms,
                   http_handler_fn *next)
{
    pthread_mutex_lock(&holds->lock);
    if (holds->free_head == 0 && !slots_grow(holds)) {
        pthread_mutex_unlock(&holds->lock);
        return 0;
    }
    const uint32_t index = holds->free_head - 1;
    struct slot *slot = &holds->slots[index];
    holds->free_head = slot->next_free;
    slot->request = request;
    slot->fd = http_socket(request);
    slot->deadline_mono_ms = deadline_mono_ms;
    slot->heap_index = holds->heap_count;
    holds->heap[holds->heap_count++] = index;
    heap_settle(holds, slot->heap_index);
    const uint64_t number = number_of(index, slot->generation);

    http_suspend(request, next);
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.u64 = number};
    epoll_ctl(holds->epoll_fd, EPOLL_CTL_ADD, slot->fd, &event);
    const bool earliest = holds->heap[0] == index;
    if (holds->stopped)
        slot_end(holds, index, HTTP_HOLD_STOPPED);
    pthread_mutex_unlock(&holds->lock);
    if (earliest)
        wake_thread(holds);
    return number;
}

bool http_hold_wake(struct http_holds *holds, uint64_t number)
{
    return number != 0 && end_numbered(holds, number, HTTP_HOLD_WOKEN);
}

enum http_hold_end http_hold_end_of(const struct http_request *request)
{
    return request->hold_end;
}

/* Ends what is due; returns how long to wait for the next one, -1 for ever. */
static int end_due(struct http_holds *holds, bool *out_stopped)
{
    pthread_mutex_lock(&holds->lock);
    const int64_t now_mono_ms = clock_mono_ms();
    int wait_ms = -1;
    while (holds->heap_count > 0) {
        const int64_t left_ms = holds->slots[holds->heap[0]].deadline_mono_ms - now_mono_ms;
        if (left_ms > 0 && !holds->stopped) {
            wait_ms = left_ms > INT32_MAX ? INT32_MAX : (int)left_ms;
            break;
        }
        slot_end(holds, holds->heap[0], holds->stopped ? HTTP_HOLD_STOPPED : HTTP_HOLD_DEADLINE);
    }
    *out_stopped = holds->stopped;
    pthread_mutex_unlock(&holds->lock);
    return wait_ms;
}

static void *holds_thread(void *argument)
{
    struct http_holds *holds = argument;
    pthread_setname_np(pthread_self(), "holds");
    for (;;) {
        bool stopped = false;
        const int wait_ms = end_due(holds, &stopped);
        if (stopped)
            return NULL;
        struct epoll_event events[EVENTS_MAX];
        const int count = epoll_wait(holds->epoll_fd, events, EVENTS_MAX, wait_ms);
        for (int i = 0; i < count; i++) {
            uint64_t drained = 0;
            if (events[i].data.u64 != WAKE_NUMBER)
                end_numbered(holds, events[i].data.u64, HTTP_HOLD_GONE);
            else if (read(holds->wake_fd, &drained, sizeof(drained)) < 0)
                assert(errno == EAGAIN);
        }
    }
}

enum status http_holds_new(struct http_holds **out, struct error *err)
{
    struct http_holds *holds = calloc(1, sizeof(*holds));
    if (holds == NULL)
        return error_set(err, STATUS_NO_MEMORY, "held requests: out of memory");
    pthread_mutex_init(&holds->lock, NULL);
    holds->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    holds->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = WAKE_NUMBER};
    if (holds->epoll_fd < 0 || holds->wake_fd < 0 ||
        epoll_ctl(holds->epoll_fd, EPOLL_CTL_ADD, holds->wake_fd, &event) != 0) {
        const int errnum = errno;
        http_holds_free(holds);
        return error_set_errno(err, STATUS_INTERNAL, errnum, "descriptors of held requests");
    }
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    const int failed = pthread_create(&holds->thread, &attributes, holds_thread, holds);
    pthread_attr_destroy(&attributes);
    if (failed != 0) {
        http_holds_free(holds);
        return error_set_errno(err, STATUS_INTERNAL, failed, "thread of held requests");
    }
    holds->thread_runs = true;
    *out = holds;
    return STATUS_OK;
}

void http_holds_stop(struct http_holds *holds)
{
    pthread_mutex_lock(&holds->lock);
    holds->stopped = true;
    pthread_mutex_unlock(&holds->lock);
    wake_thread(holds);
    if (holds->thread_runs)
        pthread_join(holds->thread, NULL);
    holds->thread_runs = false;
}

void http_holds_free(struct http_holds *holds)
{
    if (holds == NULL)
        return;
    assert(!holds->thread_runs && holds->heap_count == 0);
    fd_cleanup(&holds->epoll_fd);
    fd_cleanup(&holds->wake_fd);
    free(holds->slots);
    free(holds->heap);
    pthread_mutex_destroy(&holds->lock);
    free(holds);
}
