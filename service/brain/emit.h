#ifndef SERVICE_BRAIN_EMIT_H
#define SERVICE_BRAIN_EMIT_H

/* emit.h - private to the brain: says what must be written. Rows are copied as they are now. */

#include "service/brain/state.h"

struct effect *emit_effect(struct brain *brain, enum effect_kind kind);
void emit_job(struct brain *brain, struct job *job); /* with a new revision */
void emit_attempt(struct brain *brain, enum effect_kind kind, const struct attempt *attempt);
void emit_rank(struct brain *brain, const struct rank *rank);
/*
 * With a new revision, which is also that of the node's desired set: who emits a node or a slot of it
 * tells the node too (state_tell_node()), or its agent would never have seen the newest.
 */
void emit_node(struct brain *brain, struct node *node);
void emit_slot(struct brain *brain, const struct slot *slot); /* tells its node */
void emit_port(struct brain *brain, enum effect_kind kind, const struct attempt *attempt);

/* One line of history. `from` and `to` may be "". */
struct emit_event {
    const char *kind;
    const char *job;
    const char *node;
    int64_t attempt;
    const char *from;
    const char *to;
    enum reason reason;
    const char *detail;
};
void emit_event(struct brain *brain, const struct emit_event *event);

#endif
