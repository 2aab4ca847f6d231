#ifndef AGENT_SPOOL_H
#define AGENT_SPOOL_H

/*
 * spool.h - brings everything that an attempt says to the controller: events, then the shards and
 * the result that they name, then output. The attempt's files are the spool: while the controller is
 * away nothing is lost and nothing grows in memory.
 *
 * One thread, woken by inotify on the files, so a line is on its way within a millisecond. Lines that
 * somebody waits for (a start, a first step, a checkpoint, the end) go at once; metrics gather for up
 * to SPOOL_GATHER_MS. An upload starts when its line is acked.
 *
 * Threads: the functions are the main thread's; the callback runs on the spool's.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/local.h"
#include "agent/site.h"
#include "base/error.h"

#define SPOOL_GATHER_MS 50

struct spool;
/* A rank has started or done its first step: worth telling at once. */
typedef void spool_moved_fn(void *context);

struct spool_delivered {
    char job[ID_BYTES_MAX];
    int64_t attempt;
};

MUST_CHECK enum status spool_start(const struct site *site, spool_moved_fn *moved, void *context,
                                   struct spool **out, struct error *err);
void spool_stop(struct spool *spool); /* accepts NULL */
/* Follows the files of an attempt that runs, or ran, here. */
MUST_CHECK enum status spool_follow(struct spool *spool, const struct local *local,
                                    struct error *err);
/* Nothing more will be written; it is delivered once all of it is. */
void spool_ended(struct spool *spool, const char *job, int64_t attempt);
/* Readable when an attempt has been delivered; then take until false. */
int spool_fd(const struct spool *spool);
bool spool_take(struct spool *spool, struct spool_delivered *out);

#endif
