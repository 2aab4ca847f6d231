#ifndef SERVICE_BRAIN_CHECKPOINT_H
#define SERVICE_BRAIN_CHECKPOINT_H

/*
 * checkpoint.h - private to the brain: shards become checkpoints. The shard that completes a step commits it, if
 * its attempt is the job's current one and has not ended; committed steps only rise. Retention keeps
 * the newest `keep_last`.
 */

#include "service/brain/state.h"

/* The attempt whose shard it was; NULL if nothing was recorded, for which the reply says why. */
struct attempt *checkpoint_record_shard(struct brain *brain, const struct brain_input *input);

/*
 * The attempt could not load its checkpoint. The first time that may be the way or the node; the second time
 * the checkpoint is given up and the one before it is the newest. False when none is left.
 */
bool checkpoint_doubt(struct brain *brain, struct job *job);

void checkpoint_load_shard(struct brain *brain, const struct shard_row *row);
void checkpoint_load(struct brain *brain, const struct checkpoint_row *row);

#endif
