#ifndef AGENT_SHELF_H
#define AGENT_SHELF_H

/*
 * shelf.h - the newest checkpoint shards of each job, kept on this node so that the next attempt here
 * resumes from its own disk. <data>/shards/<job>/<step, 12 digits>-<sha256>, hard links.
 *
 * A shelf is only a short cut: every shard taken from it is hashed again.
 *
 * Threads: any; the file system is the only state. Limits: SHELF_STEPS_MAX steps a job,
 * SHELF_JOBS_MAX jobs, SHELF_BYTES_MAX in all; the jobs longest untouched go first.
 */

#include <stdint.h>

#include "base/error.h"

#define SHELF_STEPS_MAX 2
#define SHELF_JOBS_MAX  64
#define SHELF_BYTES_MAX (INT64_C(4) * 1024 * MIB)

MUST_CHECK enum status shelf_put(const char *data_dir, const char *job, int64_t step,
                                 const char *sha256, const char *path, struct error *err);
/* Links the shard to `target`; STATUS_NOT_FOUND if it is not here or no longer what it was. */
MUST_CHECK enum status shelf_take(const char *data_dir, const char *job, const char *sha256,
                                  const char *target, struct error *err);
void shelf_forget(const char *data_dir, const char *job);

#endif
