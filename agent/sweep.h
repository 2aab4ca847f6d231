#ifndef AGENT_SWEEP_H
#define AGENT_SWEEP_H

/*
 * sweep.h - kills what a dead runner may have left of an attempt.
 *
 * Its ranks died with the runner; what they started may not have. A process belongs to an attempt
 * if its environment says so: REPRISE_EVENTS under the attempt's folder. So no number that another
 * process may have by now is ever trusted: each is held by a pidfd first, and looked at then.
 */

#include <stddef.h>

#include "agent/local.h"

/* Returns the number of processes killed. */
size_t sweep_attempt(const char *folder);
/* Kills what lives in the attempt's control groups under `parent` and removes them. */
void sweep_groups(const char *parent, const struct local *local);

#endif
