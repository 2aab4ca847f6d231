#ifndef SERVICE_BRAIN_LAUNCH_H
#define SERVICE_BRAIN_LAUNCH_H

/*
 * launch.h - private to the brain: creates a job's next attempt on chosen nodes. In one step, in this
 * order: the attempt number rises, the newest committed checkpoint is picked, slots and port are taken.
 */

#include "service/brain/placement.h"
#include "service/brain/state.h"

/* False, and nothing changed, when rank 0's node has no free rendezvous port. */
bool launch_attempt(struct brain *brain, struct job *job, const struct placement *placement);

void launch_release_slot(struct brain *brain, struct rank *rank); /* no effect when it holds none */

#endif
