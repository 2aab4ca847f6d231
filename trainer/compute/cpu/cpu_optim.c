/*
 * cpu_optim.c - element by element, each with its own rounding: every clone gives the same bits, and a
 * sparse table's rows get the same bits as a dense update would give them.
 *
 * An update is a sequence of runs: the whole of it, or the stretches of touched rows of a sparse table.
 */
#include <math.h>

#include "trainer/compute/cpu/cpu.h"

/* A stretch of elements that are all updated. */
struct run {
    size_t begin, end;
};

/* Finds the next run at or after run->end; false: there is none. */
static bool next_run(const struct compute_update *u, struct run *run)
{
    if (u->flags == NULL) {
        const bool is_first = run->end == 0 && u->count > 0;
        *run = (struct run){0, u->count};
        return is_first;
    }
    const size_t width = (size_t)u->width;
    const size_t rows = (u->skip + u->count + width - 1) / width;
    size_t row = (u->skip + run->end + width - 1) / width; /* runs end with a row */
    if (run->end == 0)
        row = 0;
    while (row < rows && !(u->flags[row] > 0.0F))
        row++;
    if (row == rows)
        return false;
    run->begin = row == 0 ? 0 : row * width - u->skip;
    while (row < rows && u->flags[row] > 0.0F)
        row++;
    const size_t end = row * width - u->skip;
    run->end = end < u->count ? end : u->count;
    return true;
}

/* What the loops do with each gradient. A mask and no condition: a loop of its own for the clearing would
   go through memory once more. */
struct gradient_use {
    float scale;
    uint32_t mask_left; /* of the bits that stay behind: all or none */
};

static struct gradient_use use_of(const struct compute_update *u)
{
    return (struct gradient_use){.scale = u->scale == NULL ? 1.0F : u->scale[0],
                                 .mask_left = u->clears ? 0 : UINT32_MAX};
}

/* Takes the gradient times the scale and leaves it or zero. */
static inline float take(float *gradient, struct gradient_use use)
{
    union {
        float value;
        uint32_t bits;
    } left = {.value = *gradient};
    const float g = left.value * use.scale;
    left.bits &= use.mask_left;
    *gradient = left.value;
    return g;
}

/* The common case without weight decay leaves two multiplications out. */
CPU_CLONES
static void adam_plain(float *restrict p, float *restrict m, float *restrict v,
                       float *restrict gradients, size_t count, struct gradient_use use,
                       const struct compute_adam_scalars s)
{
    for (size_t i = 0; i < count; i++) {
        const float g = take(&gradients[i], use);
        m[i] = s.beta1 * m[i] + s.complement1 * g;
        v[i] = s.beta2 * v[i] + s.complement2 * g * g;
        p[i] -= s.step_size * m[i] / (sqrtf(v[i]) * s.root_correction + s.eps);
    }
}

CPU_CLONES
static void adam_decayed(float *restrict p, float *restrict m, float *restrict v,
                         float *restrict gradients, size_t count, struct gradient_use use,
                         const struct compute_adam_scalars s)
{
    for (size_t i = 0; i < count; i++) {
        p[i] -= s.decay * p[i];
        const float g = take(&gradients[i], use) + s.l2 * p[i];
        m[i] = s.beta1 * m[i] + s.complement1 * g;
        v[i] = s.beta2 * v[i] + s.complement2 * g * g;
        p[i] -= s.step_size * m[i] / (sqrtf(v[i]) * s.root_correction + s.eps);
    }
}

enum status cpu_adam(struct compute *compute, const struct compute_update *update, float *m,
                     float *v, const struct compute_adam_scalars *scalars, struct error *err)
{
    (void)compute;
    (void)err;
    const struct compute_update u = *update;
    const bool is_plain = scalars->l2 == 0.0F && scalars->decay == 0.0F;
    const struct gradient_use use = use_of(&u);
    for (struct run run = {0, 0}; next_run(&u, &run);) {
        const size_t at = run.begin, count = run.end - run.begin;
        if (is_plain)
            adam_plain(u.parameters + at, m + at, v + at, u.gradients + at, count, use, *scalars);
        else
            adam_decayed(u.parameters + at, m + at, v + at, u.gradients + at, count, use, *scalars);
    }
    return STATUS_OK;
}

CPU_CLONES
static void sgd(float *restrict p, float *restrict velocity, float *restrict gradients,
                size_t count, struct gradient_use use, const struct compute_sgd_scalars s)
{
    for (size_t i = 0; i < count; i++) {
        const float g = take(&gradients[i], use) + s.l2 * p[i];
        velocity[i] = s.momentum * velocity[i] + g;
        p[i] -= s.lr * velocity[i];
    }
}

enum status cpu_sgd(struct compute *compute, const struct compute_update *update, float *velocity,
                    const struct compute_sgd_scalars *scalars, struct error *err)
{
    (void)compute;
    (void)err;
    const struct compute_update u = *update;
    for (struct run run = {0, 0}; next_run(&u, &run);)
        sgd(u.parameters + run.begin, velocity + run.begin, u.gradients + run.begin,
            run.end - run.begin, use_of(&u), *scalars);
    return STATUS_OK;
}

CPU_CLONES
static void adagrad(float *restrict p, float *restrict sums, float *restrict gradients,
                    size_t count, struct gradient_use use, const struct compute_adagrad_scalars s)
{
    for (size_t i = 0; i < count; i++) {
        const float g = take(&gradients[i], use) + s.l2 * p[i];
        sums[i] += g * g;
        p[i] -= s.lr * g / (sqrtf(sums[i]) + s.eps);
    }
}

enum status cpu_adagrad(struct compute *compute, const struct compute_update *update, float *sums,
                        const struct compute_adagrad_scalars *scalars, struct error *err)
{
    (void)compute;
    (void)err;
    const struct compute_update u = *update;
    for (struct run run = {0, 0}; next_run(&u, &run);)
        adagrad(u.parameters + run.begin, sums + run.begin, u.gradients + run.begin,
                run.end - run.begin, use_of(&u), *scalars);
    return STATUS_OK;
}
