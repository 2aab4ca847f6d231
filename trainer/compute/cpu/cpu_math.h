#ifndef TRAINER_COMPUTE_CPU_CPU_MATH_H
#define TRAINER_COMPUTE_CPU_CPU_MATH_H

/*
 * cpu_math.h - exp, tanh, the logistic function and the normal distribution for loops over floats:
 * straight-line code without tables, so that a compiler makes vectors of it, and no call of libm,
 * whose variants for one processor and another differ in the last bit. A NaN stays one.
 *
 * exp: x = n ln 2 + r, |r| <= ln 2 / 2, exp(r) - 1 = r + r^2 q(r) with q of degree 4, a weighted
 * minimax fit. Normal distribution: P(X < -a) = exp(-a^2 / 2) g(t), t = 1 / (1 + 0.35 a), g a
 * polynomial of degree 9 fitted for relative error (3.2e-8) on 0 <= a <= 13.
 * The errors told below were found over a sweep of floats by test_compute_elements.c.
 */

#include <math.h>
#include <stdint.h>

#define MATH_INLINE static inline __attribute__((always_inline))

#define MATH_LOG2_E   1.44269504F
#define MATH_LN2_HIGH 0.693359375F /* few bits: n times it is exact */
#define MATH_LN2_LOW  (-2.12194440e-4F)
#define MATH_ROUNDER \
    12582912.0F /* 1.5 * 2^23: adding it leaves the nearest integer in the low bits */
#define MATH_ONE_BITS         0x3F800000U
#define MATH_MANTISSA_BITS    23
#define MATH_EXP_LOWEST       (-87.0F) /* below it exp is zero: what is lost is less than 1.7e-38 */
#define MATH_EXP_HIGHEST      88.0F    /* beyond it exp is that of the edge */
#define MATH_TANH_EDGE        20.0F    /* of 2 x: beyond it tanh is 1 in float */
#define MATH_INVERSE_SQRT_2PI 0.39894228040143267794F

union math_bits {
    float value;
    uint32_t bits;
};

/* exp(x) = scale * (1 + the result), scale a power of two; |x| < 88 */
MATH_INLINE float math_exp_parts(float x, float *scale)
{
    const float shifted = x * MATH_LOG2_E + MATH_ROUNDER;
    const float n = shifted - MATH_ROUNDER;
    const float r = (x - n * MATH_LN2_HIGH) - n * MATH_LN2_LOW;
    float q = 0.0013946558F;
    q = q * r + 0.008366649F;
    q = q * r + 0.04166628F;
    q = q * r + 0.16666542F;
    q = q * r + 0.5F;
    union math_bits power = {.value = shifted};
    power.bits = (power.bits << MATH_MANTISSA_BITS) + MATH_ONE_BITS;
    *scale = power.value;
    return q * (r * r) + r;
}

/* Relative error below 1.2e-7. */
MATH_INLINE float math_exp(float x)
{
    float scale = 0.0F;
    const float low = x < MATH_EXP_LOWEST ? MATH_EXP_LOWEST : x;
    const float part = math_exp_parts(low > MATH_EXP_HIGHEST ? MATH_EXP_HIGHEST : low, &scale);
    return x < MATH_EXP_LOWEST ? 0.0F : scale + scale * part;
}

/* e / (e + 2) with e = exp(2 x) - 1. Relative error below 3e-7. */
MATH_INLINE float math_tanh(float x)
{
    float scale = 0.0F;
    const float twice = x + x;
    const float low = twice < -MATH_TANH_EDGE ? -MATH_TANH_EDGE : twice;
    const float part = math_exp_parts(low > MATH_TANH_EDGE ? MATH_TANH_EDGE : low, &scale);
    const float e = scale * part + (scale - 1.0F);
    return e / (e + 2.0F);
}

/* 1 / (1 + exp(-x)) without overflow. Relative error below 3e-7 where it is above 1e-37. */
MATH_INLINE float math_logistic(float x)
{
    const float small = math_exp(-fabsf(x));
    return (x < 0.0F ? small : 1.0F) / (1.0F + small);
}

/* P(X < x) of the normal distribution, given gauss = exp(-x^2 / 2). */
MATH_INLINE float math_normal(float x, float gauss)
{
    const float t = 1.0F / (1.0F + 0.35F * fabsf(x));
    float g = -0.02910899F;
    g = g * t + 0.14378851F;
    g = g * t + -0.25532784F;
    g = g * t + 0.15872262F;
    g = g * t + -0.02279113F;
    g = g * t + 0.10536934F;
    g = g * t + 0.11986906F;
    g = g * t + 0.13985671F;
    g = g * t + 0.13962171F;
    const float tail = g * t * gauss;
    return x < 0.0F ? tail : 1.0F - tail;
}

/* x P(X < x): the exact GELU. Error below 2e-7 times max(|x|, 1). */
MATH_INLINE float math_gelu(float x)
{
    return x * math_normal(x, math_exp(-0.5F * x * x));
}

/* Its derivative. Error below 4e-7. */
MATH_INLINE float math_gelu_slope(float x)
{
    const float gauss = math_exp(-0.5F * x * x);
    return math_normal(x, gauss) + x * MATH_INVERSE_SQRT_2PI * gauss;
}

#endif
