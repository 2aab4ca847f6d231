/*
 * adam.c - Adam (Kingma and Ba 2015) as torch.optim.Adam computes it, where weight decay is an L2 term,
 * and AdamW (Loshchilov and Hutter 2019), where it shrinks the parameters apart from the gradient.
 */
#include <math.h>

#include "trainer/optim/optim_private.h"

static enum status open_as(const struct optim_ops *ops, const struct optim_parts *parts,
                           struct optim **out, struct error *err)
{
    struct optim_base *base = NULL;
    TRY(optim_base_open(ops, parts, sizeof(struct compute_adam_scalars), &base, err));
    *out = &base->optim;
    return STATUS_OK;
}

static enum status adam_open(const struct optim_parts *parts, struct optim **out, struct error *err)
{
    return open_as(&optim_adam, parts, out, err);
}

static enum status adamw_open(const struct optim_parts *parts, struct optim **out,
                              struct error *err)
{
    return open_as(&optim_adamw, parts, out, err);
}

static enum status adam_prepare(struct optim *optim, int64_t step, double lr_factor,
                                struct error *err)
{
    const struct optim_base *base = (const struct optim_base *)optim;
    const struct optimizer_spec *spec = &base->spec;
    const double t = (double)step;
    const double lr = spec->lr * lr_factor;
    const double root_correction = 1.0 / sqrt(1.0 - pow(spec->beta2, t));
    const bool is_decoupled = optim->ops == &optim_adamw;
    struct compute_adam_scalars scalars[2] = {{
        .step_size = (float)(lr / (1.0 - pow(spec->beta1, t))),
        .beta1 = (float)spec->beta1,
        .beta2 = (float)spec->beta2,
        .complement1 = (float)(1.0 - spec->beta1),
        .complement2 = (float)(1.0 - spec->beta2),
        .eps = (float)spec->eps,
        .root_correction = (float)root_correction,
        .l2 = is_decoupled ? 0.0F : (float)spec->weight_decay,
        .decay = is_decoupled ? (float)(lr * spec->weight_decay) : 0.0F,
    }};
    scalars[1] = scalars[0];
    scalars[1].eps =
        (float)(spec->eps * root_correction); /* SparseAdam adds eps to sqrt(v) itself */
    return optim_base_upload(base, scalars, err);
}

static enum status issue(const struct optim_base *base, const struct compute_update *update,
                         float *const states[OPTIM_STATES_MAX], const void *scalars,
                         struct error *err)
{
    return base->device.ops->adam(base->device.compute, update, states[0], states[1], scalars, err);
}

static enum status adam_update(struct optim *optim, float *parameters, float *gradients,
                               const float *flags, const float *scale, struct error *err)
{
    return optim_base_update((const struct optim_base *)optim, parameters, gradients, flags, scale,
                             issue, err);
}

const struct optim_ops optim_adam = {
    .type = "adam",
    .state_count = 2,
    .state_names = {"adam_m", "adam_v"},
    .open = adam_open,
    .close = optim_base_close,
    .prepare = adam_prepare,
    .update = adam_update,
    .state = optim_base_state,
};

const struct optim_ops optim_adamw = {
    .type = "adamw",
    .state_count = 2,
    .state_names = {"adam_m", "adam_v"},
    .open = adamw_open,
    .close = optim_base_close,
    .prepare = adam_prepare,
    .update = adam_update,
    .state = optim_base_state,
};
