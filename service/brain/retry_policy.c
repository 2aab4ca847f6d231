#include "service/brain/retry_policy.h"

#include <assert.h>

/* clang-format off */
static const struct retry_policy policies[REASON_COUNT] = {
    [REASON_NONE]               = {.retry = false},
    [REASON_DONE]               = {.retry = false},
    [REASON_BAD_SPEC]           = {.retry = false, .of_a_rank = true},
    [REASON_BAD_DATA]           = {.retry = false, .of_a_rank = true},
    [REASON_PEER_LOST]          = {.retry = true, .charge = CHARGE_INFRA, .of_a_rank = true},
    [REASON_INTERNAL]           = {.retry = true, .charge = CHARGE_JOB, .repeats = true, .of_a_rank = true},
    [REASON_DEVICE_FAULT]       = {.retry = true, .charge = CHARGE_INFRA, .blames_node = true, .of_a_rank = true},
    [REASON_CANNOT_WRITE]       = {.retry = true, .charge = CHARGE_INFRA, .blames_node = true, .of_a_rank = true},
    [REASON_STOPPED]            = {.retry = true, .charge = CHARGE_FREE, .of_a_rank = true},
    [REASON_FENCED]             = {.retry = true, .charge = CHARGE_INFRA, .of_a_rank = true},
    [REASON_KILLED]             = {.retry = true, .charge = CHARGE_JOB, .of_a_rank = true},
    [REASON_OOM]                = {.retry = true, .charge = CHARGE_JOB, .repeats = true, .of_a_rank = true},
    [REASON_HANG]               = {.retry = true, .charge = CHARGE_JOB, .repeats = true, .of_a_rank = true},
    [REASON_NODE_LOST]          = {.retry = true, .charge = CHARGE_INFRA, .blames_node = true, .of_a_rank = true},
    [REASON_NODE_REBOOTED]      = {.retry = true, .charge = CHARGE_INFRA, .of_a_rank = true},
    [REASON_NODE_FENCED]        = {.retry = true, .charge = CHARGE_INFRA},
    [REASON_RUNNER_LOST]        = {.retry = true, .charge = CHARGE_INFRA, .of_a_rank = true},
    [REASON_START_FAILED]       = {.retry = true, .charge = CHARGE_INFRA, .blames_node = true, .of_a_rank = true},
    [REASON_START_TIMEOUT]      = {.retry = true, .charge = CHARGE_INFRA, .blames_node = true},
    [REASON_PORT_IN_USE]        = {.retry = true, .charge = CHARGE_INFRA, .of_a_rank = true},
    [REASON_DATA_MISSING]       = {.retry = true, .charge = CHARGE_INFRA, .blames_node = true, .of_a_rank = true},
    [REASON_CHECKPOINT_CORRUPT] = {.retry = true, .charge = CHARGE_INFRA, .of_a_rank = true},
    [REASON_NO_RESULT]          = {.retry = true, .charge = CHARGE_JOB},
    [REASON_DRAINED]            = {.retry = true, .charge = CHARGE_FREE},
    [REASON_PREEMPTED]          = {.retry = true, .charge = CHARGE_FREE},
    [REASON_CANCELLED]          = {.retry = false},
    [REASON_TIME_LIMIT]         = {.retry = false},
    [REASON_RESTARTS_EXHAUSTED] = {.retry = false},
    [REASON_CRASH_LOOP]         = {.retry = false},
};
/* clang-format on */

const struct retry_policy *retry_policy_of(enum reason reason)
{
    assert(reason < REASON_COUNT);
    return &policies[reason];
}

int64_t retry_backoff_ms(int64_t ends_without_checkpoint, uint64_t random)
{
    assert(ends_without_checkpoint >= 0);
    if (ends_without_checkpoint <= 1)
        return 0;
    int64_t wait_ms = BACKOFF_FIRST_MS;
    for (int64_t i = 2; i < ends_without_checkpoint && wait_ms < BACKOFF_MAX_MS; i++)
        wait_ms *= 2;
    if (wait_ms > BACKOFF_MAX_MS)
        wait_ms = BACKOFF_MAX_MS;
    const int64_t spread_ms = wait_ms / 2;
    return wait_ms - spread_ms / 2 + (int64_t)(random % (uint64_t)(spread_ms + 1));
}
