#ifndef SERVICE_BRAIN_NODE_MACHINE_H
#define SERVICE_BRAIN_NODE_MACHINE_H

/*
 * node_machine.h - the life of a node.
 *
 *               DRAIN
 *     READY <---------> DRAINING         LOSE leads from both to LOST,
 *       ^     UNDRAIN       |            RETURN from LOST to READY.
 *       |                   |
 *       +----- RETURN --- LOST
 *
 *     READY     takes new ranks (if it is connected and not suspect).
 *     DRAINING  runs what it runs until that has stopped; takes nothing new.
 *     LOST      its lease ran out, or an operator fenced it. Its slots stay held until it confirms.
 *
 * That an operator wants it drained is a wish in its own column (`drain`): a node that was lost while
 * draining comes back READY and is DRAINING in the same step.
 *
 * A repeated event changes nothing.
 */

#include "schema/names.h"

#define NODE_EVENT_MAP(X) \
    X(RETURN, "return")   \
    X(DRAIN, "drain")     \
    X(UNDRAIN, "undrain") \
    X(LOSE, "lose")

enum node_event {
#define X(name, text) NODE_EVENT_##name,
    NODE_EVENT_MAP(X) NODE_EVENT_COUNT
#undef X
};

extern const char *const node_event_names[];

/* The state after `event`: this table allows every pair. */
enum node_state node_machine_next(enum node_state from, enum node_event event);

#endif
