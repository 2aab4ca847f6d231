/*
 * cpu_vector.c - sums over flat vectors, in an order that neither vector width nor compiler changes:
 * lane i of a block has the elements i, i + LANES, ...; then the lanes are added from the first on. A
 * float's square is exact in double, so contraction changes nothing either.
 */
#include <math.h>

#include "trainer/compute/cpu/cpu.h"

enum { LANES = 16 };

#define CLIP_EPS 1e-6 /* torch.nn.utils.clip_grad_norm_'s */

CPU_CLONES
static void add(float *restrict out, const float *restrict in, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] += in[i];
}

enum status cpu_add(struct compute *compute, float *out, const float *in, size_t count,
                    struct error *err)
{
    (void)compute;
    (void)err;
    add(out, in, count);
    return STATUS_OK;
}

CPU_CLONES
static void add_squares(double lanes[LANES], const float *in, size_t count)
{
    const size_t whole = count / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES) {
        for (size_t lane = 0; lane < LANES; lane++)
            lanes[lane] += (double)in[i + lane] * (double)in[i + lane];
    }
    for (size_t i = whole; i < count; i++)
        lanes[i - whole] += (double)in[i] * (double)in[i];
}

enum status cpu_square_sums(struct compute *compute, double *out, const float *in, size_t count,
                            struct error *err)
{
    (void)compute;
    (void)err;
    for (size_t first = 0; first < count; first += COMPUTE_BLOCK) {
        const size_t left = count - first;
        double lanes[LANES] = {0.0};
        add_squares(lanes, in + first, left < COMPUTE_BLOCK ? left : COMPUTE_BLOCK);
        double sum = 0.0;
        for (size_t lane = 0; lane < LANES; lane++)
            sum += lanes[lane];
        out[first / COMPUTE_BLOCK] = sum;
    }
    return STATUS_OK;
}

enum status cpu_clip_scale(struct compute *compute, float *scale, const double *partials,
                           size_t count, float max_norm, struct error *err)
{
    (void)compute;
    (void)err;
    double sum = 0.0;
    for (size_t i = 0; i < count; i++)
        sum += partials[i];
    const double ratio = (double)max_norm / (sqrt(sum) + CLIP_EPS);
    scale[0] = ratio < 1.0 ? (float)ratio : 1.0F;
    return STATUS_OK;
}
