#include "agent/runner/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICKS_A_LIMIT 8
#define TICK_MIN_MS   20

static int compare(const void *a, const void *b)
{
    const int64_t left = *(const int64_t *)a;
    const int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static int64_t median_step_ms(const struct watch *watch)
{
    int64_t sorted[WATCH_SAMPLES];
    const unsigned count =
        watch->sample_count < WATCH_SAMPLES ? watch->sample_count : WATCH_SAMPLES;
    if (count == 0)
        return 0;
    memcpy(sorted, watch->step_ms, count * sizeof(sorted[0]));
    qsort(sorted, count, sizeof(sorted[0]), compare);
    return sorted[count / 2];
}

static void learn(struct watch *watch, uint64_t step, uint64_t step_boot_ms)
{
    if (step <= watch->last_step)
        return;
    if (watch->last_step > 0 && step_boot_ms >= watch->last_step_boot_ms)
        watch->step_ms[watch->sample_count++ % WATCH_SAMPLES] =
            (int64_t)((step_boot_ms - watch->last_step_boot_ms) / (step - watch->last_step));
    watch->last_step = step;
    watch->last_step_boot_ms = step_boot_ms;
}

static int64_t limit_ms(const struct watch *watch, const struct orders *orders, uint64_t phase)
{
    if (phase != PROGRESS_STEP)
        return orders->setup_timeout_ms;
    if (orders->hang_timeout_ms > 0)
        return orders->hang_timeout_ms;
    const int64_t learned = WATCH_STEP_MEDIANS * median_step_ms(watch);
    return learned > WATCH_STEP_MIN_MS ? learned : WATCH_STEP_MIN_MS;
}

static int64_t latest(int64_t a, uint64_t b)
{
    return b > (uint64_t)a ? (int64_t)b : a;
}

bool watch_look(struct watch *watch, const struct rank *rank, const struct orders *orders,
                int64_t now_boot_ms, char detail[RUNNER_DETAIL_BYTES])
{
    static const char *const phases[] = {"setup", "step", "eval", "checkpoint", "export", "done"};
    struct progress_page *page = rank->page;
    uint64_t phase = PROGRESS_SETUP;
    uint64_t step = 0;
    int64_t sign_boot_ms = rank->spawn_boot_ms;
    if (atomic_load(&page->magic) == PROGRESS_PAGE_MAGIC) {
        phase = atomic_load(&page->phase);
        step = atomic_load(&page->step);
        const uint64_t step_boot_ms = atomic_load(&page->step_since_boot_ms);
        learn(watch, step, step_boot_ms);
        sign_boot_ms = latest(sign_boot_ms, step_boot_ms);
        sign_boot_ms = latest(sign_boot_ms, atomic_load(&page->phase_since_boot_ms));
        /* While it steps only a finished step counts: a beat inside a collective is no progress. */
        if (phase != PROGRESS_STEP)
            sign_boot_ms = latest(sign_boot_ms, atomic_load(&page->beat_boot_ms));
    }
    const int64_t limit = limit_ms(watch, orders, phase);
    const int64_t silent_ms = now_boot_ms - sign_boot_ms;
    if (silent_ms <= limit)
        return false;
    (void)snprintf(detail, RUNNER_DETAIL_BYTES,
                   "no progress for %lld ms in phase %s at step %llu, limit %lld ms",
                   (long long)silent_ms, phase < PROGRESS_PHASE_COUNT ? phases[phase] : "unknown",
                   (unsigned long long)step, (long long)limit);
    return true;
}

int64_t watch_tick_ms(const struct orders *orders)
{
    int64_t shortest = orders->setup_timeout_ms;
    if (orders->hang_timeout_ms > 0 && orders->hang_timeout_ms < shortest)
        shortest = orders->hang_timeout_ms;
    const int64_t tick = shortest / TICKS_A_LIMIT;
    if (tick < TICK_MIN_MS)
        return TICK_MIN_MS;
    return tick < WATCH_TICK_MS ? tick : WATCH_TICK_MS;
}
