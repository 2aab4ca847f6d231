#include "service/brain/node_machine.h"

#include <assert.h>
#include <stddef.h>

const char *const node_event_names[] = {
#define X(name, text) text,
    NODE_EVENT_MAP(X) NULL
#undef X
};

/* clang-format off */
static const enum node_state next_state[NODE_STATE_COUNT][NODE_EVENT_COUNT] = {
    [NODE_READY] = {
        [NODE_EVENT_RETURN]  = NODE_READY,
        [NODE_EVENT_DRAIN]   = NODE_DRAINING,
        [NODE_EVENT_UNDRAIN] = NODE_READY,
        [NODE_EVENT_LOSE]    = NODE_LOST,
    },
    [NODE_DRAINING] = {
        [NODE_EVENT_RETURN]  = NODE_DRAINING,
        [NODE_EVENT_DRAIN]   = NODE_DRAINING,
        [NODE_EVENT_UNDRAIN] = NODE_READY,
        [NODE_EVENT_LOSE]    = NODE_LOST,
    },
    [NODE_LOST] = {
        [NODE_EVENT_RETURN]  = NODE_READY,
        [NODE_EVENT_DRAIN]   = NODE_LOST,
        [NODE_EVENT_UNDRAIN] = NODE_LOST,
        [NODE_EVENT_LOSE]    = NODE_LOST,
    },
};
/* clang-format on */

enum node_state node_machine_next(enum node_state from, enum node_event event)
{
    assert(from < NODE_STATE_COUNT);
    assert(event < NODE_EVENT_COUNT);
    return next_state[from][event];
}
