#ifndef SERVICE_BRAIN_AFTERMATH_H
#define SERVICE_BRAIN_AFTERMATH_H

/*
 * aftermath.h - private to the brain: what a job does after its attempt ended: succeed, fail, or wait and
 * try again; what that costs it; and what changes when a better cause turns up within the amend window.
 */

#include "service/brain/state.h"

void aftermath_decide(struct brain *brain, struct job *job, struct attempt *attempt,
                      const struct rank *rank);

/* Whether the end of this attempt may still be given another cause: so far it is a lost peer. */
bool aftermath_may_amend(const struct job *job, const struct attempt *attempt);
void aftermath_amend(struct brain *brain, struct job *job, struct attempt *attempt,
                     enum reason reason, const char *detail, const struct rank *rank);

/* Back-off is over: it waits for slots. */
void aftermath_wait_again(struct brain *brain, struct job *job);
/* The amend window closes: a lost peer whose node has gone silent was a lost node. */
void aftermath_close_amend(struct brain *brain, struct job *job);
/* Fails the job; a live attempt of it is ended for the same reason. */
void aftermath_fail(struct brain *brain, struct job *job, enum reason reason, const char *detail);

#endif
