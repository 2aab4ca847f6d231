/* sync_base.c - slices with their optimizers, and clipping by the global norm. */
#include "trainer/sync/sync_private.h"

#include <assert.h>

size_t sync_blocks(size_t count)
{
    return (count + COMPUTE_BLOCK - 1) / COMPUTE_BLOCK;
}

static enum status allocate_clipping(struct sync_base *base, struct error *err)
{
    const struct device *device = &base->parts.device;
    if (!(base->parts.optimizer->clip_norm > 0.0))
        return STATUS_OK;
    /* Slices are summed apart, so each may begin a block of its own. */
    const size_t most =
        sync_blocks(base->parts.count) + (size_t)base->parts.comm->world_size + SYNC_SLICES_MAX;
    void *memory = NULL;
    TRY(device->ops->alloc(device->compute, most * sizeof(double), &memory, err));
    base->partials = memory;
    base->partial_count = sync_blocks(base->parts.count);
    TRY(device->ops->alloc(device->compute, sizeof(float), &memory, err));
    base->scale = memory;
    return STATUS_OK;
}

enum status sync_base_open(struct sync_base *base, const struct sync_ops *ops,
                           const struct sync_parts *parts, struct error *err)
{
    base->sync = (struct sync){
        .ops = ops, .optim = optim_registry[parts->optimizer->type], .is_reproducible = true};
    base->parts = *parts;
    void *memory = NULL;
    TRY(parts->device.ops->alloc(parts->device.compute,
                                 (size_t)parts->comm->world_size * SYNC_WORD_BYTES, &memory, err));
    base->words = memory;
    return allocate_clipping(base, err);
}

enum status sync_base_add_slice(struct sync_base *base, size_t first, size_t count,
                                struct error *err)
{
    assert(base->slice_count < SYNC_SLICES_MAX && first + count <= base->parts.count);
    struct sync_slice *slice = &base->slices[base->slice_count];
    const struct optim_parts parts = {.spec = base->parts.optimizer,
                                      .device = base->parts.device,
                                      .first = first,
                                      .count = count,
                                      .tables = base->parts.tables,
                                      .table_count = base->parts.table_count,
                                      .clears_gradients = base->sync.clears_gradients};
    TRY(base->sync.optim->open(&parts, &slice->optim, err));
    slice->first = first;
    slice->count = count;
    slice->gradients = base->parts.gradients + first;
    base->slice_count++;
    return STATUS_OK;
}

void sync_base_close(struct sync_base *base)
{
    const struct device *device = &base->parts.device;
    for (int i = 0; i < base->slice_count; i++)
        base->slices[i].optim->ops->close(base->slices[i].optim);
    if (device->compute == NULL)
        return;
    device->ops->release(device->compute, base->partials);
    device->ops->release(device->compute, base->scale);
    device->ops->release(device->compute, base->words);
}

enum status sync_base_prepare(struct sync *sync, int64_t step, double lr_factor, struct error *err)
{
    const struct sync_base *base = (const struct sync_base *)sync;
    for (int i = 0; i < base->slice_count; i++) {
        struct optim *optim = base->slices[i].optim;
        TRY(optim->ops->prepare(optim, step, lr_factor, err));
    }
    return STATUS_OK;
}

enum status sync_base_ready(struct sync *sync, size_t offset, struct error *err)
{
    (void)sync;
    (void)offset;
    (void)err;
    return STATUS_OK;
}

enum status sync_base_settle(struct sync *sync, struct error *err)
{
    (void)sync;
    (void)err;
    return STATUS_OK;
}

enum status sync_base_put_state(struct sync *sync, int index, const float *values,
                                struct error *err)
{
    const struct sync_base *base = (const struct sync_base *)sync;
    const struct device *device = &base->parts.device;
    for (int i = 0; i < base->slice_count; i++) {
        const struct sync_slice *slice = &base->slices[i];
        TRY(device->ops->upload(device->compute, slice->optim->ops->state(slice->optim, index),
                                values + slice->first, slice->count * sizeof(float), err));
    }
    return STATUS_OK;
}

enum status sync_base_update(struct sync_base *base, struct error *err)
{
    const struct sync_parts *parts = &base->parts;
    for (int i = 0; i < base->slice_count; i++) {
        const struct sync_slice *slice = &base->slices[i];
        TRY(slice->optim->ops->update(slice->optim, parts->parameters + slice->first,
                                      slice->gradients, sync_flags(base), base->scale, err));
    }
    return STATUS_OK;
}

enum status sync_square_sums(struct sync_base *base, const struct sync_slice *slice, size_t block,
                             struct error *err)
{
    const struct device *device = &base->parts.device;
    return device->ops->square_sums(device->compute, base->partials + block, slice->gradients,
                                    slice->count, err);
}

enum status sync_clip(struct sync_base *base, struct error *err)
{
    const struct device *device = &base->parts.device;
    return device->ops->clip_scale(device->compute, base->scale, base->partials,
                                   base->partial_count, (float)base->parts.optimizer->clip_norm,
                                   err);
}

/* ---- a state vector comes together on rank 0, in the gradient vector, which is free then */

enum status sync_send_state(struct sync_base *base, const struct sync_slice *slice, int index,
                            struct error *err)
{
    struct comm *comm = base->parts.comm;
    return comm->ops->send(comm, slice->optim->ops->state(slice->optim, index),
                           slice->count * sizeof(float), 0, err);
}

enum status sync_receive_state(struct sync_base *base, int source, size_t first, size_t count,
                               struct error *err)
{
    struct comm *comm = base->parts.comm;
    return comm->ops->recv(comm, base->parts.gradients + first, count * sizeof(float), source, err);
}

enum status sync_place_state(struct sync_base *base, const struct sync_slice *slice, int index,
                             struct error *err)
{
    const struct device *device = &base->parts.device;
    return device->ops->copy(device->compute, base->parts.gradients + slice->first,
                             slice->optim->ops->state(slice->optim, index),
                             slice->count * sizeof(float), err);
}

enum status sync_download_state(struct sync_base *base, float *out, struct error *err)
{
    const struct device *device = &base->parts.device;
    const size_t bytes = base->parts.count * sizeof(float);
    TRY(device->ops->download(device->compute, out, base->parts.gradients, bytes, err));
    return device->ops->zero(device->compute, base->parts.gradients, bytes, err);
}
