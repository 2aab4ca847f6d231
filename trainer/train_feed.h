#ifndef TRAINER_TRAIN_FEED_H
#define TRAINER_TRAIN_FEED_H

/*
 * train_feed.h - what the device is told in each step, made ahead by a thread of its own.
 *
 * A step of a rank is one call of the model or several (micro-shards, accumulation), each over
 * consecutive rows of the global batch. What a call is told lies in one block: FEED_FRONT_BYTES for the
 * control words of the step, the model's head, then what the model's fill() made of the records. All of
 * it follows from (seed, epoch, step) and the plan, so it can be made early, or again.
 *
 * Threads: the feeder's thread fills blocks in a bounded ring; feeder_step() waits for it and belongs
 * to the training thread, as do opening and closing.
 */

#include <stdint.h>

#include "base/error.h"
#include "trainer/model/model.h"
#include "trainer/sync/sync.h"

#define FEED_FRONT_BYTES (SYNC_TAIL * sizeof(float))
#define FEED_BLOCK_BYTES (FEED_FRONT_BYTES + sizeof(struct model_feed_head))
#define FEED_STEPS_MAX   8          /* made ahead */
#define FEED_RING_BYTES  (64 * MIB) /* at most, unless one step is larger; then two steps */

/* Who does which rows: all that decides what a step's blocks hold, beside model and data. */
struct feed_plan {
    const struct model *model;
    const struct dataset *set;
    uint64_t seed;
    int64_t records;    /* of an epoch */
    int64_t batch_size; /* global */
    int64_t steps_per_epoch;
    int64_t total_steps;
    int shards;         /* into which a global batch is cut: the calls of all ranks that work */
    int first_shard;    /* of this rank's */
    int calls;          /* of this rank: 0 for one that only serves parameters */
    int64_t rows_max;   /* of one call */
    size_t block_bytes; /* of one call */
};

struct feed_call {
    struct model_shape shape; /* rows 0: nothing to do */
    size_t bytes;             /* of the block that are used */
    uint8_t *block;
};

struct feed_step {
    int64_t step;
    int64_t rows;            /* of the global batch */
    struct feed_call *calls; /* (plan.calls, at least 1) */
};

struct feeder;

/* Rows of the global batch of a step (0-based); the last of an epoch may be smaller. */
int64_t feed_batch_rows(const struct feed_plan *plan, int64_t step);
/* Begins with `first_step`. */
MUST_CHECK enum status feeder_open(const struct feed_plan *plan, int64_t first_step,
                                   struct feeder **out, struct error *err);
void feeder_close(struct feeder *feeder);         /* accepts NULL */
size_t feeder_bytes(const struct feeder *feeder); /* of its ring */
/*
 * The blocks of `step`, valid until the next call. Steps come one after the other; another step than
 * the next one makes the feeder begin anew there.
 */
MUST_CHECK enum status feeder_step(struct feeder *feeder, int64_t step, struct feed_step **out,
                                   struct error *err);

#endif
