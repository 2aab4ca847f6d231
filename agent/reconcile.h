#ifndef AGENT_RECONCILE_H
#define AGENT_RECONCILE_H

/*
 * reconcile.h - the one decision of the agent: what to do so that the machine matches what the
 * controller wants. Pure: no I/O, no clock, nothing changed; the same inputs give the same actions,
 * and doing an action makes it disappear from the next answer.
 *
 *   desired   | no local attempt     | PREPARING | RUNNING                     | OVER
 *   ----------+----------------------+-----------+-----------------------------+------------------
 *   run       | START if slots free  | -         | CHECKPOINT if asked for one | -
 *   stop      | NEVER_RAN            | CANCEL    | STOP, unless told           | -
 *   kill      | NEVER_RAN            | CANCEL    | KILL, unless told           | -
 *   nothing   | -                    | CANCEL    | KILL, unless told           | REMOVE if delivered
 *
 * A runner that is our child is waited for before its attempt is removed, or it would stay a zombie.
 *
 * A slot is free when no attempt that is not OVER has a rank on it: a rank starts only after the end
 * of the former one is on record. Assignments are taken in the order of their attempt numbers'
 * arrival in the list, so two that want one slot don't overtake each other within one answer.
 */

#include <stddef.h>

#include "agent/local.h"
#include "schema/wire_agent.h"

enum action_kind {
    ACTION_START,      /* assignment */
    ACTION_NEVER_RAN,  /* assignment: report its ranks as ended, they never were here */
    ACTION_CANCEL,     /* local: stop preparing */
    ACTION_STOP,       /* local, assignment->grace_ms */
    ACTION_KILL,       /* local */
    ACTION_CHECKPOINT, /* local, assignment->checkpoint_request */
    ACTION_REMOVE,     /* local */
};

struct action {
    enum action_kind kind;
    const struct wire_assignment *assignment; /* NULL where the table says local only */
    struct local *local;                      /* NULL for START and NEVER_RAN */
};

/* Fills up to `max` actions and returns their number; max = desired_count + local_count is enough. */
size_t reconcile(const struct wire_assignment *desired, size_t desired_count,
                 struct local *const *locals, size_t local_count, struct action *out, size_t max);

/* The assignment for this attempt, or NULL. */
const struct wire_assignment *assignment_find(const struct wire_assignment *desired, size_t count,
                                              const char *job, int64_t attempt);

#endif
