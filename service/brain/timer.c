#include "service/brain/timer.h"

#include <assert.h>
#include <stdbool.h>

#include "service/brain/memory.h"

static bool is_before(const struct timer *a, const struct timer *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void put(struct timers *timers, size_t index, struct timer *timer)
{
    timers->heap[index] = timer;
    timer->place = index + 1;
}

static void sift(struct timers *timers, struct timer *timer)
{
    size_t at = timer->place - 1;
    while (at > 0 && is_before(timer, timers->heap[(at - 1) / 2])) {
        put(timers, at, timers->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= timers->count)
            break;
        if (child + 1 < timers->count && is_before(timers->heap[child + 1], timers->heap[child]))
            child++;
        if (!is_before(timers->heap[child], timer))
            break;
        put(timers, at, timers->heap[child]);
        at = child;
    }
    put(timers, at, timer);
}

static void take_out(struct timers *timers, struct timer *timer)
{
    struct timer *last = timers->heap[timers->count - 1];
    timers->count--;
    if (last != timer) {
        put(timers, timer->place - 1, last);
        sift(timers, last);
    }
    timer->place = 0;
}

void timer_set(struct timers *timers, struct timer *timer, int64_t at_ms)
{
    if (at_ms == TIMER_NEVER) {
        if (timer->place != 0)
            take_out(timers, timer);
        timer->at_ms = TIMER_NEVER;
        return;
    }
    if (timer->place != 0 && timer->at_ms == at_ms)
        return;
    if (timer->place == 0) {
        timers->heap =
            memory_grow(timers->heap, timers->count, &timers->capacity, sizeof(struct timer *));
        put(timers, timers->count++, timer);
    }
    timer->at_ms = at_ms;
    timer->order = ++timers->order;
    sift(timers, timer);
}

struct timer *timer_first(const struct timers *timers)
{
    return timers->count == 0 ? NULL : timers->heap[0];
}

void timers_clear(struct timers *timers)
{
    memory_free(timers->heap);
    *timers = (struct timers){.heap = NULL};
}
