#ifndef TRAINER_SYNC_GRAD_TREE_H
#define TRAINER_SYNC_GRAD_TREE_H

/*
 * grad_tree.h - the gradients of consecutive micro-shards of one rank, summed as a balanced binary tree.
 *
 *     ((0+1)+(2+3)) + ((4+5)+(6+7))
 *
 * With the tree over the ranks (tree.h) above it, the sum has the same bits for any number of ranks
 * that divides the shards. Shards come one after the other, so a binary counter of log2(shards) + 1
 * vectors is enough: shard i is computed into vector popcount(i), and folding adds what is complete.
 *
 *     for each shard i: zero grad_tree_target(i), compute into it, grad_tree_fold(i)
 *
 * After the last one the sum is in the gradient vector itself. Everything depends on i alone, so a
 * device may record it. A shard without rows takes part with its zeros.
 */

#include <stddef.h>

#include "base/error.h"
#include "trainer/compute/compute.h"

struct grad_tree;

/* `gradients`: device (floats), the root. `shards`: a power of two. */
MUST_CHECK enum status grad_tree_open(struct device device, float *gradients, size_t floats,
                                      int shards, struct grad_tree **out, struct error *err);
void grad_tree_close(struct grad_tree *tree); /* accepts NULL */
void grad_tree_cleanup(struct grad_tree **tree);
/* Device (floats): where shard `shard`'s gradients, flags and sums go. Not zeroed. */
float *grad_tree_target(const struct grad_tree *tree, int shard);
/* Inside a step, after shard `shard` and all before it. */
MUST_CHECK enum status grad_tree_fold(struct grad_tree *tree, int shard, struct error *err);

#endif
