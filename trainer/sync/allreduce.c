/*
 * allreduce.c - every rank holds all parameters, sums all gradients and does the whole update.
 *
 * Gradients and tail travel in one collective: for the models built so far the gradient is small, so
 * the number of waits matters and not their overlap with the backward pass.
 */

#include <stdlib.h>

#include "trainer/sync/sync.h"

struct sync_of_allreduce {
    struct sync sync;
    struct sync_parts parts;
};

static enum status allreduce_open(const struct sync_parts *parts, struct sync **out,
                                  struct error *err)
{
    struct sync_of_allreduce *sync = calloc(1, sizeof(*sync));
    if (sync == NULL)
        return error_set(err, STATUS_NO_MEMORY, "sync allreduce: out of memory");
    sync->sync.ops = &sync_allreduce;
    sync->parts = *parts;
    *out = &sync->sync;
    return STATUS_OK;
}

static void allreduce_close(struct sync *sync)
{
    free(sync);
}

static enum status allreduce_step(struct sync *sync, struct error *err)
{
    const struct sync_parts *parts = &((const struct sync_of_allreduce *)sync)->parts;
    struct comm *comm = parts->comm;

    TRY(comm->ops->all_reduce_sum(comm, parts->gradients, parts->count + SYNC_TAIL, err));
    return parts->optim->ops->update(parts->optim, parts->parameters, parts->gradients, NULL, NULL,
                                     err);
}

const struct sync_ops sync_allreduce = {
    .mode = "allreduce",
    .open = allreduce_open,
    .close = allreduce_close,
    .step = allreduce_step,
};
