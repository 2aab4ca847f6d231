#ifndef SERVICE_BRAIN_ENDING_H
#define SERVICE_BRAIN_ENDING_H

/*
 * ending.h - private to the brain: how ranks, attempts and jobs end, and what follows.
 *
 * A rank ends when that is *confirmed*: its agent reports the exit (or, having seen that it should be gone,
 * reports nothing of it), its node rebooted, or an operator vouches for it. An attempt ends by decision,
 * at the first bad end of a rank, and from then on nothing of it is committed; its ranks end later. A slot
 * is given back when the attempt has ended and the rank has, or the settle time passed on a node
 * that still syncs (the agent starts nothing on a slot before the former rank is gone).
 */

#include "service/brain/state.h"

/* How a rank ended, as far as it is known. */
struct rank_end {
    int64_t code; /* -1: by signal, or unknown */
    int64_t signal;
    bool oom;
    enum reason reason; /* never NONE unless code is 0 */
    const char *detail;
    int64_t fault_boot_ms; /* in the brain's time; TIMER_NEVER: unknown */
};

/* What an exit says when neither runner nor agent knows better. */
enum reason ending_reason_of(int64_t code, int64_t signal, bool oom);

/* A rank of any attempt ended for certain: records it and draws every conclusion. */
void ending_rank(struct brain *brain, struct rank *rank, const struct rank_end *end);

/* Ends a live attempt, whatever its ranks do. `rank` is to blame, or NULL. */
void ending_attempt(struct brain *brain, struct attempt *attempt, enum reason reason,
                    const char *detail, const struct rank *rank);

/* Fails the job; a live attempt of it is ended for the same reason. */
void ending_fail_job(struct brain *brain, struct job *job, enum reason reason, const char *detail);

/* Asks a live attempt to stop with grace, for this reason; a second reason changes nothing. */
void ending_stop_attempt(struct brain *brain, struct attempt *attempt, enum reason reason,
                         const char *detail);

/* After a result came or a rank was done: succeeds if nothing is missing. */
void ending_check_done(struct brain *brain, struct attempt *attempt);
/* After a stopped attempt's checkpoint was committed or a rank ended: ends it if nothing is missing. */
void ending_check_stopped(struct brain *brain, struct attempt *attempt);

/* The amend window closes: a lost peer whose node has gone silent was a lost node. */
void ending_close_amend(struct brain *brain, struct job *job);

/* CANCELLING becomes CANCELLED when each rank has ended or its node is lost. */
void ending_check_gone(struct brain *brain, struct job *job);

/* Gives back what may move although its end is not confirmed; called when DUE_SETTLE is due. */
void ending_settle(struct brain *brain, struct job *job);

#endif
