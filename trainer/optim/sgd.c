/* sgd.c - stochastic gradient descent with momentum, as torch.optim.SGD computes it. */
#include "trainer/optim/optim_private.h"

static enum status sgd_open(const struct optim_parts *parts, struct optim **out, struct error *err)
{
    struct optim_base *base = NULL;
    TRY(optim_base_open(&optim_sgd, parts, sizeof(struct compute_sgd_scalars), &base, err));
    *out = &base->optim;
    return STATUS_OK;
}

static enum status sgd_prepare(struct optim *optim, int64_t step, double lr_factor,
                               struct error *err)
{
    (void)step;
    const struct optim_base *base = (const struct optim_base *)optim;
    const struct compute_sgd_scalars scalars = {
        .lr = (float)(base->spec.lr * lr_factor),
        .momentum = (float)base->spec.momentum,
        .l2 = (float)base->spec.weight_decay,
    };
    return optim_base_upload(base, (const struct compute_sgd_scalars[2]){scalars, scalars}, err);
}

static enum status issue(const struct optim_base *base, const struct compute_update *update,
                         float *const states[OPTIM_STATES_MAX], const void *scalars,
                         struct error *err)
{
    return base->device.ops->sgd(base->device.compute, update, states[0], scalars, err);
}

static enum status sgd_update(struct optim *optim, float *parameters, float *gradients,
                              const float *flags, const float *scale, struct error *err)
{
    return optim_base_update((const struct optim_base *)optim, parameters, gradients, flags, scale,
                             issue, err);
}

const struct optim_ops optim_sgd = {
    .type = "sgd",
    .state_count = 1,
    .state_names = {"sgd_velocity"},
    .open = sgd_open,
    .close = optim_base_close,
    .prepare = sgd_prepare,
    .update = sgd_update,
    .state = optim_base_state,
};
