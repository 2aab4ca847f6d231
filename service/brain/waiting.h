#ifndef SERVICE_BRAIN_WAITING_H
#define SERVICE_BRAIN_WAITING_H

/*
 * waiting.h - private to the brain: the jobs that wait for slots, by priority, then by age (time of
 * creation, then id). A list a priority; a new job goes to the end, one that waits again near the front.
 */

#include "service/brain/state.h"

void waiting_add(struct brain *brain, struct job *job);    /* no effect when it waits already */
void waiting_remove(struct brain *brain, struct job *job); /* no effect when it does not wait */
/* The next in order; NULL `job`: the first of all. */
struct job *waiting_next(const struct brain *brain, const struct job *job);
/* Whether `a` comes before `b`. */
bool waiting_is_before(const struct job *a, const struct job *b);

#endif
