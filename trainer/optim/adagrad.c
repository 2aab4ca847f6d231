/* adagrad.c - Adagrad (Duchi et al. 2011) as torch.optim.Adagrad computes it, without lr_decay. */
#include "trainer/optim/optim_private.h"

#define FILL_FLOATS 4096 /* uploaded at a time */

/* All sums begin at `value`. */
static enum status fill_sums(const struct optim_base *base, float value, struct error *err)
{
    float values[FILL_FLOATS];
    for (size_t i = 0; i < FILL_FLOATS; i++)
        values[i] = value;
    for (size_t done = 0; done < base->count; done += FILL_FLOATS) {
        const size_t left = base->count - done;
        const size_t floats = left < FILL_FLOATS ? left : FILL_FLOATS;
        TRY(base->device.ops->upload(base->device.compute, base->states[0] + done, values,
                                     floats * sizeof(float), err));
    }
    return STATUS_OK;
}

static enum status adagrad_open(const struct optim_parts *parts, struct optim **out,
                                struct error *err)
{
    CLEANUP(optim_base_cleanup) struct optim_base *base = NULL;
    TRY(optim_base_open(&optim_adagrad, parts, sizeof(struct compute_adagrad_scalars), &base, err));
    TRY(fill_sums(base, (float)parts->spec->initial_accumulator, err));
    *out = &TAKE(base)->optim;
    return STATUS_OK;
}

static enum status adagrad_prepare(struct optim *optim, int64_t step, double lr_factor,
                                   struct error *err)
{
    (void)step;
    const struct optim_base *base = (const struct optim_base *)optim;
    const struct compute_adagrad_scalars scalars = {
        .lr = (float)(base->spec.lr * lr_factor),
        .eps = (float)base->spec.eps,
        .l2 = (float)base->spec.weight_decay,
    };
    return optim_base_upload(base, (const struct compute_adagrad_scalars[2]){scalars, scalars},
                             err);
}

static enum status issue(const struct optim_base *base, const struct compute_update *update,
                         float *const states[OPTIM_STATES_MAX], const void *scalars,
                         struct error *err)
{
    return base->device.ops->adagrad(base->device.compute, update, states[0], scalars, err);
}

static enum status adagrad_update(struct optim *optim, float *parameters, float *gradients,
                                  const float *flags, const float *scale, struct error *err)
{
    return optim_base_update((const struct optim_base *)optim, parameters, gradients, flags, scale,
                             issue, err);
}

const struct optim_ops optim_adagrad = {
    .type = "adagrad",
    .state_count = 1,
    .state_names = {"adagrad_sums"},
    .open = adagrad_open,
    .close = optim_base_close,
    .prepare = adagrad_prepare,
    .update = adagrad_update,
    .state = optim_base_state,
};
