/* sgd.c - stochastic gradient descent with momentum, as torch.optim.SGD computes it. */
#include <stdlib.h>

#include "trainer/optim/optim.h"

struct sgd {
    struct optim optim;
    struct optimizer_spec spec;
    struct device device;
    size_t count;
    float *velocity;
    struct compute_sgd_scalars *scalars; /* on the device */
};

static void sgd_close(struct optim *optim)
{
    struct sgd *sgd = (struct sgd *)optim;
    if (sgd == NULL)
        return;
    sgd->device.ops->release(sgd->device.compute, sgd->velocity);
    sgd->device.ops->release(sgd->device.compute, sgd->scalars);
    free(sgd);
}

static void sgd_cleanup(struct sgd **sgd)
{
    sgd_close(*sgd == NULL ? NULL : &(*sgd)->optim);
}

static enum status sgd_open(const struct optimizer_spec *spec, size_t count, struct device device,
                            struct optim **out, struct error *err)
{
    CLEANUP(sgd_cleanup) struct sgd *sgd = calloc(1, sizeof(*sgd));
    if (sgd == NULL)
        return error_set(err, STATUS_NO_MEMORY, "open sgd");
    sgd->optim.ops = &optim_sgd;
    sgd->spec = *spec;
    sgd->device = device;
    sgd->count = count;
    void *memory = NULL;
    TRY(device.ops->alloc(device.compute, count * sizeof(float), &memory, err));
    sgd->velocity = memory;
    TRY(device.ops->alloc(device.compute, sizeof(*sgd->scalars), &memory, err));
    sgd->scalars = memory;
    *out = &TAKE(sgd)->optim;
    return STATUS_OK;
}

static enum status sgd_prepare(struct optim *optim, int64_t step, double lr_factor,
                               struct error *err)
{
    (void)step;
    const struct sgd *sgd = (const struct sgd *)optim;
    const struct compute_sgd_scalars scalars = {
        .lr = (float)(sgd->spec.lr * lr_factor),
        .momentum = (float)sgd->spec.momentum,
        .l2 = (float)sgd->spec.weight_decay,
    };
    return sgd->device.ops->upload(sgd->device.compute, sgd->scalars, &scalars, sizeof(scalars),
                                   err);
}

static enum status sgd_update(struct optim *optim, float *parameters, const float *gradients,
                              struct error *err)
{
    const struct sgd *sgd = (const struct sgd *)optim;
    return sgd->device.ops->sgd(sgd->device.compute, parameters, sgd->velocity, gradients,
                                sgd->count, sgd->scalars, err);
}

static float *sgd_state(struct optim *optim, int index)
{
    (void)index;
    return ((const struct sgd *)optim)->velocity;
}

const struct optim_ops optim_sgd = {
    .type = "sgd",
    .state_count = 1,
    .state_names = {"sgd_velocity"},
    .open = sgd_open,
    .close = sgd_close,
    .prepare = sgd_prepare,
    .update = sgd_update,
    .state = sgd_state,
};
