/* adam.c - Adam (Kingma and Ba 2015) as torch.optim.Adam computes it; weight decay is an L2 term. */
#include <math.h>
#include <stdlib.h>

#include "trainer/optim/optim.h"

struct adam {
    struct optim optim;
    struct optimizer_spec spec;
    struct device device;
    size_t count;
    float *m, *v;
    struct compute_adam_scalars *scalars; /* on the device */
};

static void adam_close(struct optim *optim)
{
    struct adam *adam = (struct adam *)optim;
    if (adam == NULL)
        return;
    adam->device.ops->release(adam->device.compute, adam->m);
    adam->device.ops->release(adam->device.compute, adam->v);
    adam->device.ops->release(adam->device.compute, adam->scalars);
    free(adam);
}

static void adam_cleanup(struct adam **adam)
{
    adam_close(*adam == NULL ? NULL : &(*adam)->optim);
}

static enum status adam_open(const struct optimizer_spec *spec, size_t count, struct device device,
                             struct optim **out, struct error *err)
{
    CLEANUP(adam_cleanup) struct adam *adam = calloc(1, sizeof(*adam));
    if (adam == NULL)
        return error_set(err, STATUS_NO_MEMORY, "open adam");
    adam->optim.ops = &optim_adam;
    adam->spec = *spec;
    adam->device = device;
    adam->count = count;
    void *memory = NULL;
    TRY(device.ops->alloc(device.compute, count * sizeof(float), &memory, err));
    adam->m = memory;
    TRY(device.ops->alloc(device.compute, count * sizeof(float), &memory, err));
    adam->v = memory;
    TRY(device.ops->alloc(device.compute, sizeof(*adam->scalars), &memory, err));
    adam->scalars = memory;
    *out = &TAKE(adam)->optim;
    return STATUS_OK;
}

static enum status adam_prepare(struct optim *optim, int64_t step, double lr_factor,
                                struct error *err)
{
    const struct adam *adam = (const struct adam *)optim;
    const struct optimizer_spec *spec = &adam->spec;
    const double t = (double)step;
    const double lr = spec->lr * lr_factor;
    const struct compute_adam_scalars scalars = {
        .step_size = (float)(lr / (1.0 - pow(spec->beta1, t))),
        .beta1 = (float)spec->beta1,
        .beta2 = (float)spec->beta2,
        .complement1 = (float)(1.0 - spec->beta1),
        .complement2 = (float)(1.0 - spec->beta2),
        .eps = (float)spec->eps,
        .root_correction = (float)(1.0 / sqrt(1.0 - pow(spec->beta2, t))),
        .l2 = (float)spec->weight_decay,
    };
    return adam->device.ops->upload(adam->device.compute, adam->scalars, &scalars, sizeof(scalars),
                                    err);
}

static enum status adam_update(struct optim *optim, float *parameters, const float *gradients,
                               struct error *err)
{
    const struct adam *adam = (const struct adam *)optim;
    return adam->device.ops->adam(adam->device.compute, parameters, adam->m, adam->v, gradients,
                                  adam->count, adam->scalars, err);
}

static float *adam_state(struct optim *optim, int index)
{
    const struct adam *adam = (const struct adam *)optim;
    return index == 0 ? adam->m : adam->v;
}

const struct optim_ops optim_adam = {
    .type = "adam",
    .state_count = 2,
    .state_names = {"adam_m", "adam_v"},
    .open = adam_open,
    .close = adam_close,
    .prepare = adam_prepare,
    .update = adam_update,
    .state = adam_state,
};
