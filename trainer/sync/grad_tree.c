#include "trainer/sync/grad_tree.h"

#include <assert.h>
#include <stdlib.h>

#define LEVELS_MAX 31

struct grad_tree {
    struct device device;
    size_t floats;
    int shards;
    int levels;                     /* vectors: log2(shards) + 1 */
    float *vectors[LEVELS_MAX + 1]; /* [0] is the caller's */
};

enum status grad_tree_open(struct device device, float *gradients, size_t floats, int shards,
                           struct grad_tree **out, struct error *err)
{
    if (shards < 1 || (shards & (shards - 1)) != 0)
        return error_set(err, STATUS_INVALID, "%d shards on a rank: expected a power of two",
                         shards);
    CLEANUP(grad_tree_cleanup) struct grad_tree *tree = calloc(1, sizeof(*tree));
    if (tree == NULL)
        return error_set(err, STATUS_NO_MEMORY, "tree of %d shards", shards);
    tree->device = device;
    tree->floats = floats;
    tree->shards = shards;
    tree->vectors[0] = gradients;
    for (tree->levels = 1; 1 << (tree->levels - 1) < shards; tree->levels++) {
        void *memory = NULL;
        TRY(device.ops->alloc(device.compute, floats * sizeof(float), &memory, err));
        tree->vectors[tree->levels] = memory;
    }
    *out = TAKE(tree);
    return STATUS_OK;
}

void grad_tree_close(struct grad_tree *tree)
{
    if (tree == NULL)
        return;
    for (int level = 1; level < tree->levels; level++)
        tree->device.ops->release(tree->device.compute, tree->vectors[level]);
    free(tree);
}

void grad_tree_cleanup(struct grad_tree **tree)
{
    grad_tree_close(*tree);
}

/* A right half is summed one vector further than the left half that it joins. */
static int level_of(int shard)
{
    return __builtin_popcount((unsigned)shard);
}

float *grad_tree_target(const struct grad_tree *tree, int shard)
{
    assert(shard >= 0 && shard < tree->shards);
    return tree->vectors[level_of(shard)];
}

enum status grad_tree_fold(struct grad_tree *tree, int shard, struct error *err)
{
    const struct compute_ops *ops = tree->device.ops;
    assert(shard >= 0 && shard < tree->shards);
    int level = level_of(shard);
    for (int rest = shard; (rest & 1) != 0; rest >>= 1, level--)
        TRY(ops->add(tree->device.compute, tree->vectors[level - 1], tree->vectors[level],
                     tree->floats, err));
    return STATUS_OK;
}
