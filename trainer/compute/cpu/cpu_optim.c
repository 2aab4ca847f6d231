/*
 * cpu_optim.c - element by element, each with its own rounding: every clone gives the same bits.
 * The common case without weight decay has its own loop, which leaves two multiplications out.
 */
#include <math.h>

#include "trainer/compute/cpu/cpu.h"

CPU_CLONES
static void adam_plain(float *restrict p, float *restrict m, float *restrict v,
                       const float *restrict gradients, size_t count,
                       const struct compute_adam_scalars s)
{
    for (size_t i = 0; i < count; i++) {
        const float g = gradients[i];
        m[i] = s.beta1 * m[i] + s.complement1 * g;
        v[i] = s.beta2 * v[i] + s.complement2 * g * g;
        p[i] -= s.step_size * m[i] / (sqrtf(v[i]) * s.root_correction + s.eps);
    }
}

CPU_CLONES
static void adam_decayed(float *restrict p, float *restrict m, float *restrict v,
                         const float *restrict gradients, size_t count,
                         const struct compute_adam_scalars s)
{
    for (size_t i = 0; i < count; i++) {
        p[i] -= s.decay * p[i];
        const float g = gradients[i] + s.l2 * p[i];
        m[i] = s.beta1 * m[i] + s.complement1 * g;
        v[i] = s.beta2 * v[i] + s.complement2 * g * g;
        p[i] -= s.step_size * m[i] / (sqrtf(v[i]) * s.root_correction + s.eps);
    }
}

enum status cpu_adam(struct compute *compute, float *parameters, float *m, float *v,
                     const float *gradients, size_t count,
                     const struct compute_adam_scalars *scalars, struct error *err)
{
    (void)compute;
    (void)err;
    if (scalars->l2 == 0.0F && scalars->decay == 0.0F)
        adam_plain(parameters, m, v, gradients, count, *scalars);
    else
        adam_decayed(parameters, m, v, gradients, count, *scalars);
    return STATUS_OK;
}

CPU_CLONES
static void sgd(float *restrict p, float *restrict velocity, const float *restrict gradients,
                size_t count, const struct compute_sgd_scalars s)
{
    for (size_t i = 0; i < count; i++) {
        velocity[i] = s.momentum * velocity[i] + (gradients[i] + s.l2 * p[i]);
        p[i] -= s.lr * velocity[i];
    }
}

enum status cpu_sgd(struct compute *compute, float *parameters, float *velocity,
                    const float *gradients, size_t count, const struct compute_sgd_scalars *scalars,
                    struct error *err)
{
    (void)compute;
    (void)err;
    sgd(parameters, velocity, gradients, count, *scalars);
    return STATUS_OK;
}
