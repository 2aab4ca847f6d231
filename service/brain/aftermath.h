#ifndef SERVICE_BRAIN_AFTERMATH_H
#define SERVICE_BRAIN_AFTERMATH_H

/*
 * aftermath.h - private to the brain: what a job does after its attempt ended: succeed, fail, or wait and
 * try again; what that costs it; and what changes when a better cause turns up within the amend window.
 */

#include "service/brain/state.h"

struct verdict_on_job {
    bool fails; /* if not, it tries again */
    enum reason reason;
    char detail[BRAIN_DETAIL_BYTES];
};

void aftermath_decide(struct brain *brain, struct job *job, struct attempt *attempt,
                      const struct rank *rank);

/* Whether the end of this attempt may still be given another cause: so far it is a lost peer. */
bool aftermath_may_amend(const struct job *job, const struct attempt *attempt);
/* Gives it the cause and charges the job for that one instead; if *out says so, the caller fails the job. */
void aftermath_amend(struct brain *brain, struct job *job, struct attempt *attempt,
                     enum reason reason, const char *detail, const struct rank *rank,
                     struct verdict_on_job *out);

/* Back-off is over: it waits for slots. */
void aftermath_wait_again(struct brain *brain, struct job *job);

#endif
