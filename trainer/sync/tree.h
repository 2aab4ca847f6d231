#ifndef TRAINER_SYNC_TREE_H
#define TRAINER_SYNC_TREE_H

/*
 * tree.h - a sum over the ranks whose order is ours and not the library's: the balanced binary tree
 * ((0+1)+(2+3))+..., made of send and recv. Above the tree of a rank's micro-shards (grad_tree.h) it
 * makes one tree over all shards, the same for any power of two of ranks.
 *
 * Bytes are the least that such a tree can do with: partners at distance 1, 2, 4, ... exchange halves
 * of what they still hold, and on the way back what became of them. They cannot do so at once, since
 * send and recv block, so it costs more time than the communicator's own sum.
 */

#include <stddef.h>

#include "base/error.h"
#include "trainer/comm/comm.h"
#include "trainer/compute/compute.h"

/* Floats that tree_all_reduce() needs to receive halves of `count`. */
size_t tree_scratch_floats(size_t count);
/*
 * data[i] = sum over ranks of data[i], whose number is a power of two (sync_check_world()); data (count)
 * and scratch are device memory.
 */
MUST_CHECK enum status tree_all_reduce(struct comm *comm, struct device device, float *data,
                                       size_t count, float *scratch, struct error *err);

#endif
