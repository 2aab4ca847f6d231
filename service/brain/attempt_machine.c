#include "service/brain/attempt_machine.h"

#include <assert.h>
#include <stddef.h>

const char *const attempt_event_names[] = {
#define X(name, text) text,
    ATTEMPT_EVENT_MAP(X) NULL
#undef X
};

#define TO(state) (ATTEMPT_##state + 1)

/* clang-format off */
static const unsigned char next_state[ATTEMPT_STATE_COUNT][ATTEMPT_EVENT_COUNT] = {
    [ATTEMPT_PLACED] = {
        [ATTEMPT_EVENT_ALIVE] = TO(RUNNING),
        [ATTEMPT_EVENT_STOP]  = TO(STOPPING),
        [ATTEMPT_EVENT_END]   = TO(ENDED),
    },
    [ATTEMPT_RUNNING] = {
        [ATTEMPT_EVENT_ALIVE] = TO(RUNNING),
        [ATTEMPT_EVENT_STOP]  = TO(STOPPING),
        [ATTEMPT_EVENT_END]   = TO(ENDED),
    },
    [ATTEMPT_STOPPING] = {
        [ATTEMPT_EVENT_ALIVE] = TO(STOPPING),
        [ATTEMPT_EVENT_STOP]  = TO(STOPPING),
        [ATTEMPT_EVENT_END]   = TO(ENDED),
    },
    [ATTEMPT_ENDED] = {
        [ATTEMPT_EVENT_STOP]  = TO(ENDED),
        [ATTEMPT_EVENT_END]   = TO(ENDED),
    },
};
/* clang-format on */

enum attempt_state attempt_machine_next(enum attempt_state from, enum attempt_event event)
{
    assert(from < ATTEMPT_STATE_COUNT);
    assert(event < ATTEMPT_EVENT_COUNT);
    const unsigned char to = next_state[from][event];
    return to == 0 ? ATTEMPT_STATE_COUNT : (enum attempt_state)(to - 1);
}

bool attempt_state_is_live(enum attempt_state state)
{
    return state != ATTEMPT_ENDED;
}
