#ifndef SERVICE_BRAIN_STARTING_H
#define SERVICE_BRAIN_STARTING_H

/* starting.h - private to the brain: an attempt is up when each of its ranks was seen alive, or done. */

#include "service/brain/state.h"

/* Called for a live attempt when a rank was seen alive or is done. */
void starting_check(struct brain *brain, struct attempt *attempt);

#endif
