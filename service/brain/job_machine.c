#include "service/brain/job_machine.h"

#include <assert.h>
#include <stddef.h>

const char *const job_event_names[] = {
#define X(name, text) text,
    JOB_EVENT_MAP(X) NULL
#undef X
};

/* States are stored plus one, so that an entry that is not written is not allowed. */
#define TO(state) (JOB_##state + 1)

/* clang-format off */
static const unsigned char next_state[JOB_STATE_COUNT][JOB_EVENT_COUNT] = {
    [JOB_QUEUED] = {
        [JOB_EVENT_PLACE]     = TO(STARTING),
        [JOB_EVENT_CANCEL]    = TO(CANCELLING),
    },
    [JOB_STARTING] = {
        [JOB_EVENT_PLACE]     = TO(STARTING),
        [JOB_EVENT_START]     = TO(RUNNING),
        [JOB_EVENT_INTERRUPT] = TO(RECOVERING),
        [JOB_EVENT_SUCCEED]   = TO(SUCCEEDED),
        [JOB_EVENT_FAIL]      = TO(FAILED),
        [JOB_EVENT_CANCEL]    = TO(CANCELLING),
    },
    [JOB_RUNNING] = {
        [JOB_EVENT_START]     = TO(RUNNING),
        [JOB_EVENT_INTERRUPT] = TO(RECOVERING),
        [JOB_EVENT_SUCCEED]   = TO(SUCCEEDED),
        [JOB_EVENT_FAIL]      = TO(FAILED),
        [JOB_EVENT_CANCEL]    = TO(CANCELLING),
    },
    [JOB_RECOVERING] = {
        [JOB_EVENT_PLACE]     = TO(STARTING),
        [JOB_EVENT_INTERRUPT] = TO(RECOVERING),
        [JOB_EVENT_FAIL]      = TO(FAILED),
        [JOB_EVENT_CANCEL]    = TO(CANCELLING),
    },
    [JOB_CANCELLING] = {
        [JOB_EVENT_CANCEL]    = TO(CANCELLING),
        [JOB_EVENT_GONE]      = TO(CANCELLED),
    },
    [JOB_SUCCEEDED] = {
        [JOB_EVENT_SUCCEED]   = TO(SUCCEEDED),
    },
    [JOB_FAILED] = {
        [JOB_EVENT_FAIL]      = TO(FAILED),
    },
    [JOB_CANCELLED] = {
        [JOB_EVENT_CANCEL]    = TO(CANCELLED),
        [JOB_EVENT_GONE]      = TO(CANCELLED),
    },
};
/* clang-format on */

enum job_state job_machine_next(enum job_state from, enum job_event event)
{
    assert(from < JOB_STATE_COUNT);
    assert(event < JOB_EVENT_COUNT);
    const unsigned char to = next_state[from][event];
    return to == 0 ? JOB_STATE_COUNT : (enum job_state)(to - 1);
}
