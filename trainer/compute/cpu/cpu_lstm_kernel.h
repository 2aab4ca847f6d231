/*
 * cpu_lstm_kernel.h - one step of an LSTM, written once and compiled for each instruction set: a file
 * that includes it says before what the first lines below say for the portable form, which any
 * compiler with vector extensions turns into something. The table of functions stands at the end.
 *
 * A tile is up to LSTM_TILE_ROWS rows by one panel of four registers: its sums stay in registers for
 * the whole depth of a product. In the forward product the four registers are the gates i, f, g, o of
 * the same units, so the tile goes on to the next state without meeting memory. Every element is
 * summed over the depth in the same order, whatever the number of rows: a row's result does not
 * depend on its neighbours.
 *
 * exp: x = n ln 2 + r, |r| <= ln 2 / 2, exp(r) - 1 = r + r^2 q(r) with q of degree 4, a weighted
 * minimax fit (relative error of exp(r) - 1 below 2^-25). Errors found over a sweep of floats by
 * test_lstm.c: sigmoid and tanh below 2e-7 relative.
 */
#ifndef TRAINER_COMPUTE_CPU_CPU_LSTM_KERNEL_H
#define TRAINER_COMPUTE_CPU_CPU_LSTM_KERNEL_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "trainer/compute/cpu/cpu_lstm.h"

#ifndef LSTM_LANES

#define LSTM_KERNEL    cpu_lstm_portable
#define LSTM_LANES     4
#define LSTM_TARGET    /* whatever the compiler was told */
#define LSTM_TILE_ROWS 3

typedef float vec __attribute__((vector_size(16)));
typedef uint32_t vec_bits __attribute__((vector_size(16)));

static inline vec vec_set(float x)
{
    return (vec){x, x, x, x};
}

static inline vec vec_load(const float *from)
{
    vec out;
    memcpy(&out, from, sizeof(out));
    return out;
}

static inline void vec_store(float *to, vec x)
{
    memcpy(to, &x, sizeof(x));
}

/* a * b + c */
static inline vec vec_fma(vec a, vec b, vec c)
{
    return a * b + c;
}

/* x within -limit and limit; a NaN stays one. */
static inline vec vec_clamp(vec x, float limit)
{
    for (int i = 0; i < LSTM_LANES; i++)
        x[i] = x[i] > limit ? limit : x[i] < -limit ? -limit : x[i];
    return x;
}

#endif

#if defined(__clang__)
#define LSTM_UNROLL _Pragma("unroll")
#else
#define LSTM_UNROLL _Pragma("GCC unroll 8")
#endif
/* Tiles are compiled for each number of rows: the sums are registers only when it is a constant. */
#define LSTM_INLINE LSTM_TARGET static inline __attribute__((always_inline))

#define GATES       4
#define PANEL       (GATES * LSTM_LANES)
#define DEPTH_BLOCK 128 /* rows of a panel that stay in the first-level cache */

enum { GATE_I, GATE_F, GATE_G, GATE_O };

/* ------------------------------------------------------------------ exp, sigmoid, tanh */

#define LOG2_E       1.44269504F
#define LN2_HIGH     0.693359375F /* few bits: n times it is exact */
#define LN2_LOW      (-2.12194440e-4F)
#define ROUNDER      12582912.0F /* 1.5 * 2^23: adding it leaves the nearest integer in the low bits */
#define SIGMOID_EDGE 80.0F       /* beyond it the result is that at the edge: 1.8e-35, or 1 */
#define TANH_EDGE    20.0F       /* of 2 x: beyond it tanh is 1 in float */

/* exp(x) = scale * (1 + out), scale a power of two; |x| < 87 */
LSTM_INLINE vec exp_parts(vec x, vec *scale)
{
    const vec shifted = vec_fma(x, vec_set(LOG2_E), vec_set(ROUNDER));
    const vec n = shifted - vec_set(ROUNDER);
    const vec r = vec_fma(n, vec_set(-LN2_LOW), vec_fma(n, vec_set(-LN2_HIGH), x));
    vec q = vec_set(0.0013946558F);
    q = vec_fma(q, r, vec_set(0.008366649F));
    q = vec_fma(q, r, vec_set(0.04166628F));
    q = vec_fma(q, r, vec_set(0.16666542F));
    q = vec_fma(q, r, vec_set(0.5F));
    *scale = (vec)(((vec_bits)shifted << 23) + 0x3F800000U);
    return vec_fma(q, r * r, r);
}

/* 1 / (1 + exp(-x)) */
LSTM_INLINE vec sigmoid(vec x)
{
    vec scale;
    const vec part = exp_parts(-vec_clamp(x, SIGMOID_EDGE), &scale);
    const vec one = vec_set(1.0F);
    return one / (one + vec_fma(scale, part, scale));
}

/* e / (e + 2) with e = exp(2 x) - 1 */
LSTM_INLINE vec hyperbolic_tangent(vec x)
{
    vec scale;
    const vec part = exp_parts(vec_clamp(x + x, TANH_EDGE), &scale);
    const vec e = vec_fma(scale, part, scale - vec_set(1.0F));
    return e / (e + vec_set(2.0F));
}

/* ------------------------------------------------------------------ tiles */

/* The first `count` of LSTM_LANES floats, and zeros. */
LSTM_INLINE vec load_some(const float *from, int count)
{
    if (count >= LSTM_LANES)
        return vec_load(from);
    float lanes[LSTM_LANES] = {0.0F};
    memcpy(lanes, from, (size_t)count * sizeof(float));
    return vec_load(lanes);
}

LSTM_INLINE void store_some(float *to, vec x, int count)
{
    if (count >= LSTM_LANES) {
        vec_store(to, x);
        return;
    }
    float lanes[LSTM_LANES];
    vec_store(lanes, x);
    memcpy(to, lanes, (size_t)count * sizeof(float));
}

/* sums (rows, PANEL) += a (rows, depth) * panel (depth, PANEL); rows of sums and a lie `stride`s apart */
LSTM_INLINE void add_rows_product(float *sums, size_t sums_stride, int rows, const float *a,
                                  size_t a_stride, const float *panel, int depth)
{
    vec tile[LSTM_TILE_ROWS][GATES];
    LSTM_UNROLL
    for (int r = 0; r < rows; r++) {
        LSTM_UNROLL
        for (int q = 0; q < GATES; q++)
            tile[r][q] = vec_load(sums + (size_t)r * sums_stride + q * LSTM_LANES);
    }
    for (int p = 0; p < depth; p++, panel += PANEL) {
        vec b[GATES];
        LSTM_UNROLL
        for (int q = 0; q < GATES; q++)
            b[q] = vec_load(panel + q * LSTM_LANES);
        LSTM_UNROLL
        for (int r = 0; r < rows; r++) {
            const vec x = vec_set(a[(size_t)r * a_stride + p]);
            LSTM_UNROLL
            for (int q = 0; q < GATES; q++)
                tile[r][q] = vec_fma(x, b[q], tile[r][q]);
        }
    }
    LSTM_UNROLL
    for (int r = 0; r < rows; r++) {
        LSTM_UNROLL
        for (int q = 0; q < GATES; q++)
            vec_store(sums + (size_t)r * sums_stride + q * LSTM_LANES, tile[r][q]);
    }
}

/*
 * The same for any number of rows of a tile. A function of its own, not inlined: beside other code
 * the compiler runs out of registers and keeps some of the sums in memory.
 */
LSTM_TARGET static __attribute__((noinline)) void add_product(float *sums, size_t sums_stride,
                                                              int rows, const float *a,
                                                              size_t a_stride, const float *panel,
                                                              int depth)
{
    assert(rows <= LSTM_TILE_ROWS);
    switch (rows) {
    case 1:
        add_rows_product(sums, sums_stride, 1, a, a_stride, panel, depth);
        break;
    case 2:
        add_rows_product(sums, sums_stride, 2, a, a_stride, panel, depth);
        break;
    case 3:
        add_rows_product(sums, sums_stride, 3, a, a_stride, panel, depth);
        break;
#if LSTM_TILE_ROWS == 6
    case 4:
        add_rows_product(sums, sums_stride, 4, a, a_stride, panel, depth);
        break;
    case 5:
        add_rows_product(sums, sums_stride, 5, a, a_stride, panel, depth);
        break;
    case 6:
        add_rows_product(sums, sums_stride, 6, a, a_stride, panel, depth);
        break;
#endif
    default:
        break;
    }
}

/* `count` units of one row: from the gates before activation, x + sums, to the state that goes out. */
LSTM_INLINE void finish_units(const struct cpu_lstm_step *step, int row, int unit, int count,
                              const float *sums)
{
    const size_t hidden = (size_t)step->hidden, at = (size_t)row * hidden + unit;
    float *gates = step->gates + (size_t)row * GATES * hidden + unit;
    const vec i = sigmoid(load_some(gates, count) + vec_load(sums));
    const vec f =
        sigmoid(load_some(gates + GATE_F * hidden, count) + vec_load(sums + GATE_F * LSTM_LANES));
    const vec g = hyperbolic_tangent(load_some(gates + GATE_G * hidden, count) +
                                     vec_load(sums + GATE_G * LSTM_LANES));
    const vec o =
        sigmoid(load_some(gates + GATE_O * hidden, count) + vec_load(sums + GATE_O * LSTM_LANES));
    const vec before = load_some(step->c + at, count);
    const vec c = vec_fma(f, before, i * g);
    const vec tanh_c = hyperbolic_tangent(c);
    store_some(gates, i, count);
    store_some(gates + GATE_F * hidden, f, count);
    store_some(gates + GATE_G * hidden, g, count);
    store_some(gates + GATE_O * hidden, o, count);
    store_some(step->c_in + at, before, count);
    store_some(step->c + at, c, count);
    store_some(step->tanh_c + at, tanh_c, count);
    store_some(step->h + at, o * tanh_c, count);
}

/* Rows row .. row + rows - 1, the units of one panel; `depth` 0: no state came in. */
LSTM_TARGET static void forward_tile(const struct cpu_lstm_step *step, int row, int rows, int unit,
                                     int depth)
{
    const size_t hidden = (size_t)step->hidden;
    const int count = step->hidden - unit;
    const float *bias = step->bias + (size_t)unit * GATES;
    _Alignas(64) float sums[LSTM_TILE_ROWS * PANEL];
    for (int r = 0; r < rows; r++)
        memcpy(sums + r * PANEL, bias, PANEL * sizeof(float));
    add_product(sums, PANEL, rows, step->h_in + (size_t)row * hidden, hidden,
                step->panels + (size_t)unit * GATES * hidden, depth);
    for (int r = 0; r < rows; r++) {
        if (count >= LSTM_LANES) /* known when compiled: no test at each access */
            finish_units(step, row + r, unit, LSTM_LANES, sums + r * PANEL);
        else
            finish_units(step, row + r, unit, count, sums + r * PANEL);
    }
}

/* out (rows, count) of a matrix with n columns += a * panel; count is less than a panel's width */
LSTM_TARGET static void multiply_narrow(float *out, int rows, int n, const float *a, int k,
                                        const float *panel, int depth, int count)
{
    _Alignas(64) float sums[LSTM_TILE_ROWS * PANEL] = {0.0F};
    for (int r = 0; r < rows; r++)
        memcpy(sums + r * PANEL, out + (size_t)r * (size_t)n, (size_t)count * sizeof(float));
    add_product(sums, PANEL, rows, a, (size_t)k, panel, depth);
    for (int r = 0; r < rows; r++)
        memcpy(out + (size_t)r * (size_t)n, sums + r * PANEL, (size_t)count * sizeof(float));
}

/* Rows of the next tile, such that tiles are of about equal size: 4 rows are 2 and 2, not 3 and 1. */
static inline int tile_rows(int left)
{
    const int tiles = (left + LSTM_TILE_ROWS - 1) / LSTM_TILE_ROWS;
    return (left + tiles - 1) / tiles;
}

/* ------------------------------------------------------------------ one step */

LSTM_TARGET static void forward_rows(const struct cpu_lstm_step *step, int from, int to, int unit,
                                     int depth)
{
    for (int row = from, rows; row < to; row += rows) {
        rows = tile_rows(to - row);
        forward_tile(step, row, rows, unit, depth);
    }
}

LSTM_TARGET static void lstm_forward(const struct cpu_lstm_step *step)
{
    for (int unit = 0; unit < step->hidden; unit += LSTM_LANES) {
        forward_rows(step, 0, step->carried, unit, step->hidden);
        forward_rows(step, step->carried, step->rows, unit, 0);
    }
}

/* The derivatives of finish_units(), from d_h and d_c of the state that went out. */
LSTM_INLINE void unfinish_units(const struct cpu_lstm_step *step, int row, int unit, int count)
{
    const size_t hidden = (size_t)step->hidden, at = (size_t)row * hidden + unit;
    float *gates = step->gates + (size_t)row * GATES * hidden + unit;
    const vec one = vec_set(1.0F);
    const vec i = load_some(gates, count), f = load_some(gates + GATE_F * hidden, count);
    const vec g = load_some(gates + GATE_G * hidden, count),
              o = load_some(gates + GATE_O * hidden, count);
    const vec tanh_c = load_some(step->tanh_c + at, count);
    const vec d_h = load_some(step->d_h + at, count);
    const vec d_c = vec_fma(d_h * o, one - tanh_c * tanh_c, load_some(step->d_c + at, count));
    const vec d[GATES] = {
        [GATE_I] = d_c * g * i * (one - i),
        [GATE_F] = d_c * load_some(step->c_in + at, count) * f * (one - f),
        [GATE_G] = d_c * i * (one - g * g),
        [GATE_O] = d_h * tanh_c * o * (one - o),
    };
    store_some(step->d_c + at, d_c * f, count);
    LSTM_UNROLL
    for (int q = 0; q < GATES; q++) {
        float *bias = step->d_bias + (size_t)q * hidden + unit;
        store_some(gates + (size_t)q * hidden, d[q], count);
        store_some(bias, load_some(bias, count) + d[q], count);
    }
}

LSTM_TARGET static void lstm_backward(const struct cpu_lstm_step *step)
{
    for (int row = 0; row < step->rows; row++) {
        int unit = 0;
        for (; unit + LSTM_LANES <= step->hidden; unit += LSTM_LANES)
            unfinish_units(step, row, unit, LSTM_LANES);
        if (unit < step->hidden)
            unfinish_units(step, row, unit, step->hidden - unit);
    }
}

LSTM_TARGET static void lstm_multiply(float *out, const float *a, const float *panels, int m, int n,
                                      int k)
{
    memset(out, 0, (size_t)m * (size_t)n * sizeof(float));
    for (int column = 0; column < n; column += PANEL) {
        for (int p = 0; p < k; p += DEPTH_BLOCK) {
            const int depth = k - p < DEPTH_BLOCK ? k - p : DEPTH_BLOCK;
            const float *panel = panels + (size_t)column * (size_t)k + (size_t)p * PANEL;
            for (int row = 0, rows; row < m; row += rows) {
                rows = tile_rows(m - row);
                float *to = out + (size_t)row * (size_t)n + column;
                const float *from = a + (size_t)row * (size_t)k + p;
                if (n - column >= PANEL)
                    add_product(to, (size_t)n, rows, from, (size_t)k, panel, depth);
                else
                    multiply_narrow(to, rows, n, from, k, panel, depth, n - column);
            }
        }
    }
}

const struct cpu_lstm_kernel LSTM_KERNEL = {
    .lanes = LSTM_LANES,
    .forward = lstm_forward,
    .backward = lstm_backward,
    .multiply = lstm_multiply,
};

#endif
