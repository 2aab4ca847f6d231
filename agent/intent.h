#ifndef AGENT_INTENT_H
#define AGENT_INTENT_H

/*
 * intent.h - what the agent is about to run, on disk before the runner is spawned, so that the agent
 * that starts after a crash knows what may be alive.
 *
 * <attempt>/intent.json holds the assignment and the boot id. It is written whole (temporary name,
 * rename) but not synced: it serves an agent that died, whose page cache lives on. A machine that
 * lost power has lost its ranks too, and its new boot id says so.
 */

#include "agent/local.h"
#include "base/error.h"
#include "schema/wire_agent.h"

struct intent {
    char boot_id[64];
    struct wire_sync_answer held; /* carries the one assignment, held.assignments[0] */
};

MUST_CHECK enum status intent_write(const char *folder, const char *boot_id,
                                    const struct wire_assignment *assignment, struct error *err);
/* STATUS_NOT_FOUND without one. The caller clears. */
MUST_CHECK enum status intent_read(const char *folder, struct intent *out, struct error *err);
/* After this the folder is rubbish, whatever it holds. */
void intent_remove(const char *folder);
void intent_clear(struct intent *intent);

/* A deep copy, by way of the codec; the caller clears `out`, whose assignments[0] it is. */
MUST_CHECK enum status assignment_copy(const struct wire_assignment *from,
                                       struct wire_sync_answer *out, struct error *err);

#endif
