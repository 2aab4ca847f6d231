#ifndef TRAINER_CHECKPOINT_FOLDER_H
#define TRAINER_CHECKPOINT_FOLDER_H

/* checkpoint_folder.h - where checkpoints lie: <folder>/step-000123/shard-00000-of-00001. */

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define CHECKPOINT_SHARD_NAME "shard-00000-of-00001"

/* The folder of the checkpoint of `step` below `folder`. */
MUST_CHECK enum status checkpoint_folder(const char *folder, int64_t step, char *out,
                                         size_t out_bytes, struct error *err);
/*
 * The folder of the newest checkpoint below `folder` whose step is below `before` (-1: any);
 * STATUS_NOT_FOUND when there is none.
 */
MUST_CHECK enum status checkpoint_newest(const char *folder, int64_t before, char *out,
                                         size_t out_bytes, int64_t *out_step, struct error *err);

#endif
