#ifndef SERVICE_BRAIN_RETRY_POLICY_H
#define SERVICE_BRAIN_RETRY_POLICY_H

/*
 * retry_policy.h - what a job does after an attempt ended, one row a reason, and how long it waits
 * before the next.
 */

#include <stdbool.h>
#include <stdint.h>

#include "schema/names.h"

enum retry_charge {
    CHARGE_FREE,  /* stopped on our own wish */
    CHARGE_JOB,   /* counts against max_restarts */
    CHARGE_INFRA, /* counts against max_infra_restarts */
};

struct retry_policy {
    bool retry; /* false: the job fails with this reason */
    enum retry_charge charge;
    bool repeats;     /* comes from the job itself: twice at one step is a crash loop */
    bool blames_node; /* the next attempt avoids the node where it happened, if it can */
    bool of_a_rank;   /* a node may say it of a rank's end; the others are our own decisions */
};

const struct retry_policy *retry_policy_of(enum reason reason);

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_MAX_MS   60000

/*
 * Back-off after this many ends in a row without a new checkpoint: 0 for the first, then 1, 2, 4 ... 60 s,
 * each spread by +-25 %. `random` is any 64 bits.
 */
int64_t retry_backoff_ms(int64_t ends_without_checkpoint, uint64_t random);

#endif
