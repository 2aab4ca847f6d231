#ifndef RUNNER_WATCH_H
#define RUNNER_WATCH_H

/*
 * watch.h - finds a rank that lives but does not get on, from its progress page alone.
 *
 * While a rank steps, a step may take hang_timeout_ms, or max(30 s, 10 x the median of what steps
 * took) when that is 0. In every other phase (set-up, evaluation, a stalling save, export), and
 * before it has written its page, it may take setup_timeout_ms without a sign.
 *
 * Time: callers pass boot time. Called about once a second: limits are of that coarseness.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/runner/orders.h"
#include "agent/runner/rank.h"

#define WATCH_SAMPLES      32
#define WATCH_STEP_MIN_MS  30000
#define WATCH_STEP_MEDIANS 10
#define WATCH_TICK_MS      1000

struct watch {
    uint64_t last_step;
    uint64_t last_step_boot_ms;
    int64_t step_ms[WATCH_SAMPLES]; /* milliseconds a step, of the latest looks */
    unsigned sample_count;
};

/* Whether the rank hangs; then `detail` says where and for how long. */
bool watch_look(struct watch *watch, const struct rank *rank, const struct orders *orders,
                int64_t now_boot_ms, char detail[RUNNER_DETAIL_BYTES]);
/* How often to look, given the limits. */
int64_t watch_tick_ms(const struct orders *orders);

#endif
