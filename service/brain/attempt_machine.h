#ifndef SERVICE_BRAIN_ATTEMPT_MACHINE_H
#define SERVICE_BRAIN_ATTEMPT_MACHINE_H

/*
 * attempt_machine.h - the life of one attempt: one launch of a job's gang.
 *
 *              ALIVE              STOP               END
 *     PLACED ---------> RUNNING ---------> STOPPING ---------> ENDED
 *        |                                    ^
 *        +------------------ STOP ------------+
 *
 *     END leads from every state to ENDED.
 *
 *     PLACED    slots are held, agents are told; not every rank was seen alive.
 *     RUNNING   every rank of the gang was seen alive.
 *     STOPPING  as before, and every rank was asked to write a checkpoint and exit (cancel, drain, limit).
 *     ENDED     nothing it sends is committed any more. Its ranks may still run until their nodes confirm.
 *
 * A repeated event changes nothing. Only a live attempt (not ENDED) may publish.
 */

#include <stdbool.h>

#include "schema/names.h"

#define ATTEMPT_EVENT_MAP(X) \
    X(ALIVE, "alive")        \
    X(STOP, "stop")          \
    X(END, "end")

enum attempt_event {
#define X(name, text) ATTEMPT_EVENT_##name,
    ATTEMPT_EVENT_MAP(X) ATTEMPT_EVENT_COUNT
#undef X
};

extern const char *const attempt_event_names[];

/* The state after `event`, or ATTEMPT_STATE_COUNT when the table does not allow it. */
enum attempt_state attempt_machine_next(enum attempt_state from, enum attempt_event event);
bool attempt_state_is_live(enum attempt_state state);

#endif
