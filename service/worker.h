#ifndef SERVICE_WORKER_H
#define SERVICE_WORKER_H

/*
 * worker.h - a named thread that works off a bounded queue: for what takes the disk's time and so may
 * run neither on the loop nor on a listener's thread.
 *
 * Threads: push from any.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct worker;

/* Handles up to `max` items at once, in the order of their coming. */
typedef void worker_fn(void *context, void **items, size_t count);

struct worker_options {
    const char *name;
    size_t queue_max;
    size_t batch_max; /* at most WORKER_BATCH_MAX */
    worker_fn *fn;
    void *context;
};
#define WORKER_BATCH_MAX 256

MUST_CHECK enum status worker_new(const struct worker_options *options, struct worker **out,
                                  struct error *err);
/* False when full or stopping: the item stays the caller's. */
MUST_CHECK bool worker_push(struct worker *worker, void *item);
/* Works off the queue and ends the thread. */
void worker_stop(struct worker *worker);
void worker_free(struct worker *worker); /* after stop; accepts NULL */

#endif
