/*
 * allreduce.c - every rank holds all parameters, sums all gradients and does the whole update.
 *
 * Gradients, flags and tail travel in one collective while the gradient is small: then the number of
 * waits matters and not their overlap with the backward pass.
 */

#include <stdlib.h>

#include "trainer/sync/sync_private.h"

struct allreduce {
    struct sync_base base;
};

static void allreduce_close(struct sync *sync)
{
    struct allreduce *allreduce = (struct allreduce *)sync;
    if (allreduce == NULL)
        return;
    sync_base_close(&allreduce->base);
    free(allreduce);
}

static void allreduce_cleanup(struct allreduce **allreduce)
{
    allreduce_close(*allreduce == NULL ? NULL : &(*allreduce)->base.sync);
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
    *out = &TAKE(allreduce)->base.sync;
    return STATUS_OK;
}

static enum status allreduce_step(struct sync *sync, struct error *err)
{
    struct allreduce *allreduce = (struct allreduce *)sync;
    struct sync_base *base = &allreduce->base;
    const struct sync_parts *parts = &base->parts;
    struct comm *comm = parts->comm;

    TRY(comm->ops->all_reduce_sum(comm, parts->gradients,
                                  parts->count + parts->flag_count + SYNC_TAIL, err));
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
    .ready = sync_base_ready,
    .step = allreduce_step,
    .settle = sync_base_settle,
    .gather_state = allreduce_gather_state,
    .put_state = sync_base_put_state,
};
