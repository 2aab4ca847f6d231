/* cpu_activation.c - activations that are no part of a dense layer. */
#include <string.h>

#include "trainer/compute/cpu/cpu.h"
#include "trainer/compute/cpu/cpu_math.h"

CPU_CLONES
static void relu_all(float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = values[i] < 0.0F ? 0.0F : values[i];
}

CPU_CLONES
static void tanh_all(float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = math_tanh(values[i]);
}

CPU_CLONES
static void gelu_all(float *restrict out, const float *restrict in, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = math_gelu(in[i]);
}

enum status cpu_activation_forward(struct compute *compute, float *out, const float *in,
                                   size_t count, enum compute_activation act, struct error *err)
{
    (void)compute;
    (void)err;
    if (act == COMPUTE_GELU) {
        gelu_all(out, in, count);
        return STATUS_OK;
    }
    if (out != in)
        memcpy(out, in, count * sizeof(float));
    if (act == COMPUTE_RELU)
        relu_all(out, count);
    else if (act == COMPUTE_TANH)
        tanh_all(out, count);
    return STATUS_OK;
}

CPU_CLONES
static void relu_slope(float *restrict d, const float *restrict out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        d[i] = out[i] > 0.0F ? d[i] : 0.0F;
}

CPU_CLONES
static void tanh_slope(float *restrict d, const float *restrict out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        d[i] *= 1.0F - out[i] * out[i];
}

CPU_CLONES
static void gelu_slope(float *restrict d, const float *restrict in, size_t count)
{
    for (size_t i = 0; i < count; i++)
        d[i] *= math_gelu_slope(in[i]);
}

enum status cpu_activation_backward(struct compute *compute, float *d, const float *in,
                                    const float *out, size_t count, enum compute_activation act,
                                    struct error *err)
{
    (void)compute;
    (void)err;
    switch (act) {
    case COMPUTE_LINEAR:
        break;
    case COMPUTE_RELU:
        relu_slope(d, out, count);
        break;
    case COMPUTE_TANH:
        tanh_slope(d, out, count);
        break;
    case COMPUTE_GELU:
        gelu_slope(d, in, count);
        break;
    }
    return STATUS_OK;
}
