/* cpu_activation.c - activations that are no part of a dense layer, and dropout. */
#include <math.h>
#include <string.h>

#include "trainer/compute/cpu/cpu.h"
#include "trainer/data/philox.h"

#define SQRT_HALF        0.70710678118654752440F
#define INVERSE_SQRT_2PI 0.39894228040143267794F

static float gelu(float x)
{
    return 0.5F * x * (1.0F + erff(x * SQRT_HALF));
}

static float gelu_slope(float x)
{
    return 0.5F * (1.0F + erff(x * SQRT_HALF)) + x * INVERSE_SQRT_2PI * expf(-0.5F * x * x);
}

enum status cpu_activation_forward(struct compute *compute, float *out, const float *in,
                                   size_t count, enum compute_activation act, struct error *err)
{
    (void)compute;
    (void)err;
    switch (act) {
    case COMPUTE_LINEAR:
        if (out != in)
            memcpy(out, in, count * sizeof(float));
        break;
    case COMPUTE_RELU:
        for (size_t i = 0; i < count; i++)
            out[i] = in[i] < 0.0F ? 0.0F : in[i];
        break;
    case COMPUTE_TANH:
        for (size_t i = 0; i < count; i++)
            out[i] = tanhf(in[i]);
        break;
    case COMPUTE_GELU:
        for (size_t i = 0; i < count; i++)
            out[i] = gelu(in[i]);
        break;
    }
    return STATUS_OK;
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
        for (size_t i = 0; i < count; i++)
            d[i] = out[i] > 0.0F ? d[i] : 0.0F;
        break;
    case COMPUTE_TANH:
        for (size_t i = 0; i < count; i++)
            d[i] *= 1.0F - out[i] * out[i];
        break;
    case COMPUTE_GELU:
        for (size_t i = 0; i < count; i++)
            d[i] *= gelu_slope(in[i]);
        break;
    }
    return STATUS_OK;
}

enum status cpu_dropout(struct compute *compute, float *values, const uint32_t *counter,
                        uint64_t key, float rate, int n, int width, struct error *err)
{
    (void)compute;
    (void)err;
    const struct philox_key philox = {{(uint32_t)key, (uint32_t)(key >> 32)}};
    const uint64_t step = (uint64_t)counter[1] << 32 | counter[0];
    const uint64_t first = (uint64_t)counter[2] * (uint64_t)width;
    const uint64_t end = first + (uint64_t)n * (uint64_t)width;
    const float kept = 1.0F / (1.0F - rate);
    for (uint64_t block = first / 4; block * 4 < end; block++) {
        uint32_t numbers[4];
        philox_4x32(philox, step, block, numbers);
        for (uint64_t e = block * 4 < first ? first : block * 4; e < block * 4 + 4 && e < end; e++)
            values[e - first] *= philox_unit(numbers[e % 4]) < rate ? 0.0F : kept;
    }
    return STATUS_OK;
}
