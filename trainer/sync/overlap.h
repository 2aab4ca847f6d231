#ifndef TRAINER_SYNC_OVERLAP_H
#define TRAINER_SYNC_OVERLAP_H

/*
 * overlap.h - a large gradient is summed in buckets while the backward pass computes the rest of it.
 *
 * Buckets go from the end of the vector to its begin, in one order on all ranks, whenever each becomes
 * ready on each; so sums have the bits that they have without overlap. A thread of our own does the
 * ready ones; when the backward pass is through, the training thread does what is left itself.
 *
 * Threads: overlap_ready() and overlap_finish() belong to the training thread. The communicator is the
 * thread's from the first overlap_ready() on, and the training thread's after overlap_finish().
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define SYNC_OVERLAP_BYTES_MIN (4 * MIB) /* smaller gradients go at once */
#define SYNC_BUCKET_FLOATS     ((size_t)MIB / sizeof(float))

struct overlap;

/* Sums floats [first, first + count) of the gradients over the ranks. */
typedef enum status overlap_sum_fn(void *context, size_t first, size_t count, struct error *err);

MUST_CHECK enum status overlap_open(overlap_sum_fn *sum, void *context, size_t count,
                                    struct overlap **out, struct error *err);
/* The thread must not be waiting for a peer without end: abort the communicator first. */
void overlap_close(struct overlap *overlap); /* accepts NULL */
/* Whether the thread may be inside a collective. */
bool overlap_is_busy(struct overlap *overlap);
/* Gradients [offset, count) are final. */
void overlap_ready(struct overlap *overlap, size_t offset);
/* All are final: returns when all are summed. The first failure, whoever met it. */
MUST_CHECK enum status overlap_finish(struct overlap *overlap, struct error *err);

#endif
