/*
 * sharded.c - ZeRO stage 1 (Rajbhandari et al. 2020): every rank holds all parameters, but updates one
 * slice of them and holds the optimizer's state of that slice alone. Gradients are summed slice by
 * slice, updated parameters are gathered.
 *
 * Slices are equal. What the world size leaves over, less than a cache line a rank, is summed with
 * flags and tail and updated by everyone: so nothing needs padding.
 */

#include <stdlib.h>

#include "trainer/sync/sync_private.h"

enum { OWN, REST };

struct sharded {
    struct sync_base base;
    size_t slice; /* floats of each rank */
};

static void sharded_close(struct sync *sync)
{
    struct sharded *sharded = (struct sharded *)sync;
    if (sharded == NULL)
        return;
    sync_base_close(&sharded->base);
    free(sharded);
}

static void sharded_cleanup(struct sharded **sharded)
{
    sharded_close(*sharded == NULL ? NULL : &(*sharded)->base.sync);
}

static enum status sharded_open(const struct sync_parts *parts, struct sync **out,
                                struct error *err)
{
    CLEANUP(sharded_cleanup) struct sharded *sharded = calloc(1, sizeof(*sharded));
    if (sharded == NULL)
        return error_set(err, STATUS_NO_MEMORY, "sync sharded: out of memory");
    const size_t world = (size_t)parts->comm->world_size;
    const size_t slice = parts->count / world / SYNC_SLICE_FLOATS * SYNC_SLICE_FLOATS;
    struct sync_base *base = &sharded->base;
    TRY(sync_base_open(base, &sync_sharded, parts, err));
    TRY(sync_base_add_slice(base, (size_t)parts->comm->rank * slice, slice, err));
    TRY(sync_base_add_slice(base, world * slice, parts->count - world * slice, err));
    base->partial_count = world * sync_blocks(slice) + sync_blocks(base->slices[REST].count);
    sharded->slice = slice;
    *out = &TAKE(sharded)->base.sync;
    return STATUS_OK;
}

/* Own slice and rest from all ranks; flags and tail too. */
static enum status sum_gradients(struct sharded *sharded, struct error *err)
{
    const struct sync_base *base = &sharded->base;
    const struct sync_parts *parts = &base->parts;
    struct comm *comm = parts->comm;
    const struct sync_slice *own = &base->slices[OWN], *rest = &base->slices[REST];
    TRY(comm->ops->all_reduce_sum(comm, parts->gradients + rest->first,
                                  rest->count + parts->flag_count + SYNC_TAIL, err));
    return comm->ops->reduce_scatter_sum(comm, parts->gradients + own->first, parts->gradients,
                                         sharded->slice, err);
}

static enum status clip(struct sharded *sharded, struct error *err)
{
    struct sync_base *base = &sharded->base;
    struct comm *comm = base->parts.comm;
    const size_t blocks = sync_blocks(sharded->slice);
    const size_t mine = (size_t)comm->rank * blocks;
    if (base->scale == NULL)
        return STATUS_OK;
    TRY(sync_square_sums(base, &base->slices[OWN], mine, err));
    TRY(comm->ops->all_gather(comm, base->partials, base->partials + mine, blocks * sizeof(double),
                              err));
    TRY(sync_square_sums(base, &base->slices[REST], (size_t)comm->world_size * blocks, err));
    return sync_clip(base, err);
}

static enum status sharded_step(struct sync *sync, struct error *err)
{
    struct sharded *sharded = (struct sharded *)sync;
    const struct sync_parts *parts = &sharded->base.parts;
    struct comm *comm = parts->comm;
    TRY(sum_gradients(sharded, err));
    TRY(clip(sharded, err));
    TRY(sync_base_update(&sharded->base, err));
    return comm->ops->all_gather(comm, parts->parameters,
                                 parts->parameters + sharded->base.slices[OWN].first,
                                 sharded->slice * sizeof(float), err);
}

static enum status sharded_gather_state(struct sync *sync, int index, float *out, struct error *err)
{
    struct sharded *sharded = (struct sharded *)sync;
    struct sync_base *base = &sharded->base;
    const struct comm *comm = base->parts.comm;
    if (comm->rank != 0)
        return sync_send_state(base, &base->slices[OWN], index, err);
    TRY(sync_place_state(base, &base->slices[OWN], index, err));
    TRY(sync_place_state(base, &base->slices[REST], index, err));
    for (int rank = 1; rank < comm->world_size; rank++)
        TRY(sync_receive_state(base, rank, (size_t)rank * sharded->slice, sharded->slice, err));
    return sync_download_state(base, out, err);
}

const struct sync_ops sync_sharded = {
    .mode = "sharded",
    .open = sharded_open,
    .close = sharded_close,
    .prepare = sync_base_prepare,
    .ready = sync_base_ready,
    .step = sharded_step,
    .settle = sync_base_settle,
    .gather_state = sharded_gather_state,
    .put_state = sync_base_put_state,
};
