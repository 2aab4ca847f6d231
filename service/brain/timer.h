#ifndef SERVICE_BRAIN_TIMER_H
#define SERVICE_BRAIN_TIMER_H

/*
 * timer.h - private to the brain: a heap of deadlines. Each object embeds one timer; the earliest is
 * on top, and of two at the same millisecond the one that was set first.
 */

#include <stddef.h>
#include <stdint.h>

#define TIMER_NEVER INT64_MAX

struct timer {
    int64_t at_ms;
    uint64_t order;
    size_t place; /* 1-based index in the heap; 0: not in it */
    void *owner;
};

struct timers {
    struct timer **heap;
    size_t count;
    size_t capacity;
    uint64_t order;
};

void timer_set(struct timers *timers, struct timer *timer, int64_t at_ms); /* NEVER: out of it */
struct timer *timer_first(const struct timers *timers); /* NULL when there is none */
void timers_clear(struct timers *timers);

#endif
