/*
 * allreduce.c - every rank holds all parameters, sums all gradients and does the whole update.
 *
 * Gradients, flags and tail travel in one collective while the gradient is small: then the number of
 * waits matters and not their overlap with the backward pass. A large one goes in buckets (overlap.h),
 * flags and tail after it.
 *
 * Reproducible: the sum over the ranks is a tree of our own (tree.h).
 */

#include <stdlib.h>

#include "trainer/sync/overlap.h"
#include "trainer/sync/sync_private.h"
#include "trainer/sync/tree.h"

struct allreduce {
    struct sync_base base;
    float *scratch;          /* device: of the tree; NULL: the communicator's own sum */
    struct overlap *overlap; /* NULL: all in one */
};

static void allreduce_close(struct sync *sync)
{
    struct allreduce *allreduce = (struct allreduce *)sync;
    if (allreduce == NULL)
        return;
    const struct sync_parts *parts = &allreduce->base.parts;
    /* A step that failed half-way: the thread may wait for peers that will not come. */
    if (allreduce->overlap != NULL && overlap_is_busy(allreduce->overlap))
        parts->comm->ops->abort(parts->comm);
    overlap_close(allreduce->overlap);
    if (parts->device.compute != NULL)
        parts->device.ops->release(parts->device.compute, allreduce->scratch);
    sync_base_close(&allreduce->base);
    free(allreduce);
}

static void allreduce_cleanup(struct allreduce **allreduce)
{
    allreduce_close(*allreduce == NULL ? NULL : &(*allreduce)->base.sync);
}

static enum status sum(void *context, size_t first, size_t count, struct error *err)
{
    const struct allreduce *allreduce = context;
    const struct sync_parts *parts = &allreduce->base.parts;
    struct comm *comm = parts->comm;
    if (allreduce->scratch == NULL)
        return comm->ops->all_reduce_sum(comm, parts->gradients + first, count, err);
    return tree_all_reduce(comm, parts->device, parts->gradients + first, count, allreduce->scratch,
                           err);
}

static enum status open_tree(struct allreduce *allreduce, struct error *err)
{
    const struct sync_parts *parts = &allreduce->base.parts;
    if (!parts->training->reproducible || parts->comm->world_size == 1)
        return STATUS_OK;
    const size_t floats = tree_scratch_floats(parts->count + parts->flag_count + SYNC_TAIL);
    void *memory = NULL;
    TRY(parts->device.ops->alloc(parts->device.compute, floats * sizeof(float), &memory, err));
    allreduce->scratch = memory;
    return STATUS_OK;
}

static enum status allreduce_open(const struct sync_parts *parts, struct sync **out,
                                  struct error *err)
{
    CLEANUP(allreduce_cleanup) struct allreduce *allreduce = calloc(1, sizeof(*allreduce));
    if (allreduce == NULL)
        return error_set(err, STATUS_NO_MEMORY, "sync allreduce: out of memory");
    TRY(sync_base_open(&allreduce->base, &sync_allreduce, parts, err));
    allreduce->base.sync.clears_gradients = true;
    TRY(sync_base_add_slice(&allreduce->base, 0, parts->count, err));
    TRY(open_tree(allreduce, err));
    const bool is_large = parts->count * sizeof(float) >= SYNC_OVERLAP_BYTES_MIN;
    if (is_large && parts->comm->world_size > 1)
        TRY(overlap_open(sum, allreduce, parts->count, &allreduce->overlap, err));
    *out = &TAKE(allreduce)->base.sync;
    return STATUS_OK;
}

static enum status allreduce_ready(struct sync *sync, size_t offset, struct error *err)
{
    struct allreduce *allreduce = (struct allreduce *)sync;
    (void)err;
    if (allreduce->overlap != NULL)
        overlap_ready(allreduce->overlap, offset);
    return STATUS_OK;
}

static enum status sum_all(struct allreduce *allreduce, struct error *err)
{
    const struct sync_parts *parts = &allreduce->base.parts;
    const size_t behind = parts->flag_count + SYNC_TAIL;
    if (allreduce->overlap == NULL)
        return sum(allreduce, 0, parts->count + behind, err);
    TRY(overlap_finish(allreduce->overlap, err));
    return sum(allreduce, parts->count, behind, err);
}

static enum status allreduce_step(struct sync *sync, struct error *err)
{
    struct allreduce *allreduce = (struct allreduce *)sync;
    struct sync_base *base = &allreduce->base;
    TRY(sum_all(allreduce, err));
    if (base->scale != NULL) {
        TRY(sync_square_sums(base, &base->slices[0], 0, err));
        TRY(sync_clip(base, err));
    }
    return sync_base_update(base, err);
}

static enum status allreduce_gather_state(struct sync *sync, int index, float *out,
                                          struct error *err)
{
    const struct sync_base *base = (const struct sync_base *)sync;
    const struct device *device = &base->parts.device;
    struct optim *optim = base->slices[0].optim;
    if (out == NULL)
        return STATUS_OK;
    return device->ops->download(device->compute, out, optim->ops->state(optim, index),
                                 base->parts.count * sizeof(float), err);
}

const struct sync_ops sync_allreduce = {
    .mode = "allreduce",
    .open = allreduce_open,
    .close = allreduce_close,
    .prepare = sync_base_prepare,
    .ready = allreduce_ready,
    .step = allreduce_step,
    .settle = sync_base_settle,
    .gather_state = allreduce_gather_state,
    .put_state = sync_base_put_state,
};
