/* optim_base.c - what all optimizers share: memory, and the slice cut at the edges of sparse tables. */
#include <assert.h>
#include <stdlib.h>

#include "trainer/optim/optim_private.h"

static void add_region(struct optim_base *base, struct optim_region region)
{
    if (region.count > 0)
        base->regions[base->region_count++] = region;
}

static size_t clamp(size_t value, size_t low, size_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* Dense, sparse, dense, ... : positions of the flat vector, cut to the slice [first, end). */
static void cut_regions(struct optim_base *base, const struct optim_parts *parts)
{
    const size_t first = parts->first, end = parts->first + parts->count;
    size_t done = first;
    for (size_t i = 0; i < parts->table_count; i++) {
        const struct optim_table *table = &parts->tables[i];
        const size_t width = (size_t)table->width;
        const size_t begin = clamp(table->offset, first, end);
        const size_t stop = clamp(table->offset + table->rows * width, first, end);
        assert(table->width > 0);
        assert(begin >= done); /* tables come by offset and do not overlap */
        add_region(base, (struct optim_region){.begin = done - first, .count = begin - done});
        const size_t inside = stop > begin ? begin - table->offset : 0;
        add_region(base, (struct optim_region){.begin = begin - first,
                                               .count = stop - begin,
                                               .is_sparse = true,
                                               .flag = table->flags + inside / width,
                                               .skip = inside % width,
                                               .width = table->width});
        done = stop;
    }
    add_region(base, (struct optim_region){.begin = done - first, .count = end - done});
}

static enum status allocate(struct optim_base *base, size_t bytes, void **out, struct error *err)
{
    return base->device.ops->alloc(base->device.compute, bytes, out, err);
}

enum status optim_base_open(const struct optim_ops *ops, const struct optim_parts *parts,
                            size_t scalars_bytes, struct optim_base **out, struct error *err)
{
    CLEANUP(optim_base_cleanup) struct optim_base *base = calloc(1, sizeof(*base));
    if (base == NULL)
        return error_set(err, STATUS_NO_MEMORY, "open %s", ops->type);
    base->optim.ops = ops;
    base->spec = *parts->spec;
    base->device = parts->device;
    base->count = parts->count;
    base->scalars_bytes = scalars_bytes;
    base->clears_gradients = parts->clears_gradients;
    base->regions = calloc(2 * parts->table_count + 1, sizeof(*base->regions));
    if (base->regions == NULL)
        return error_set(err, STATUS_NO_MEMORY, "open %s", ops->type);
    cut_regions(base, parts);
    void *memory = NULL;
    for (int i = 0; i < ops->state_count; i++) {
        TRY(allocate(base, parts->count * sizeof(float), &memory, err));
        base->states[i] = memory;
    }
    TRY(allocate(base, 2 * scalars_bytes, &memory, err));
    base->scalars = memory;
    *out = TAKE(base);
    return STATUS_OK;
}

void optim_base_close(struct optim *optim)
{
    struct optim_base *base = (struct optim_base *)optim;
    if (base == NULL)
        return;
    for (int i = 0; i < OPTIM_STATES_MAX; i++)
        base->device.ops->release(base->device.compute, base->states[i]);
    base->device.ops->release(base->device.compute, base->scalars);
    free(base->regions);
    free(base);
}

float *optim_base_state(struct optim *optim, int index)
{
    return ((const struct optim_base *)optim)->states[index];
}

enum status optim_base_upload(const struct optim_base *base, const void *scalars, struct error *err)
{
    return base->device.ops->upload(base->device.compute, base->scalars, scalars,
                                    2 * base->scalars_bytes, err);
}

enum status optim_base_update(const struct optim_base *base, float *parameters, float *gradients,
                              const float *flags, const float *scale, optim_issue_fn *issue,
                              struct error *err)
{
    for (size_t i = 0; i < base->region_count; i++) {
        const struct optim_region *region = &base->regions[i];
        const struct compute_update update = {
            .parameters = parameters + region->begin,
            .gradients = gradients + region->begin,
            .count = region->count,
            .clears = base->clears_gradients,
            .scale = scale,
            .flags = region->is_sparse ? flags + region->flag : NULL,
            .skip = region->skip,
            .width = region->width,
        };
        float *states[OPTIM_STATES_MAX] = {NULL};
        for (int s = 0; s < base->optim.ops->state_count; s++)
            states[s] = base->states[s] + region->begin;
        const char *scalars =
            (const char *)base->scalars + (region->is_sparse ? base->scalars_bytes : 0);
        assert(!region->is_sparse || flags != NULL);
        TRY(issue(base, &update, states, scalars, err));
    }
    return STATUS_OK;
}
