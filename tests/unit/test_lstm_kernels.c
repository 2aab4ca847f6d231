/*
 * test_lstm_kernels.c - the LSTM's step in every form against the portable one: those that this
 * machine can run, and tiles of 6 rows in plain vectors, so that what AVX-512 does is tested (but for
 * six primitives) where there is none.
 */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdlib.h>

#include "trainer/compute/cpu/cpu_lstm.h"
#include "trainer/data/philox.h"

#define LSTM_KERNEL    tall_kernel
#define LSTM_LANES     4
#define LSTM_TARGET    /* whatever the compiler was told */
#define LSTM_TILE_ROWS 6
#define VEC_INLINE     static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(16)));
typedef uint32_t vec_bits __attribute__((vector_size(16)));

VEC_INLINE vec vec_load(const float *from)
{
    vec out;
    memcpy(&out, from, sizeof(out));
    return out;
}

VEC_INLINE vec vec_set(float x)
{
    return (vec){x, x, x, x};
}

VEC_INLINE void vec_store(float *to, vec x)
{
    memcpy(to, &x, sizeof(x));
}

VEC_INLINE vec vec_fma(vec a, vec b, vec c)
{
    return a * b + c;
}

VEC_INLINE vec vec_clamp(vec x, float limit)
{
    for (int i = 0; i < LSTM_LANES; i++)
        x[i] = x[i] > limit ? limit : x[i] < -limit ? -limit : x[i];
    return x;
}

extern const struct cpu_lstm_kernel tall_kernel;
#include "trainer/compute/cpu/cpu_lstm_kernel.h"

enum { ROWS_MAX = 14, HIDDEN_MAX = 70, WIDTH_MAX = 4 * HIDDEN_MAX, PANELS_MAX = 128 };

/* One step's numbers, as cpu_lstm.c lays them out; a kernel's panels are made from `w`. */
struct numbers {
    float gates[ROWS_MAX * WIDTH_MAX], w[HIDDEN_MAX * WIDTH_MAX], bias[WIDTH_MAX];
    float h_in[ROWS_MAX * HIDDEN_MAX], c_in[ROWS_MAX * HIDDEN_MAX], tanh_c[ROWS_MAX * HIDDEN_MAX];
    float h[ROWS_MAX * HIDDEN_MAX], c[ROWS_MAX * HIDDEN_MAX];
    float d_h[ROWS_MAX * HIDDEN_MAX], d_c[ROWS_MAX * HIDDEN_MAX], d_bias[WIDTH_MAX];
    float panels[PANELS_MAX * WIDTH_MAX], packed_bias[4 * PANELS_MAX];
};

static size_t kernels(const struct cpu_lstm_kernel *out[4])
{
    size_t count = 0;
    out[count++] = &tall_kernel;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        out[count++] = &cpu_lstm_avx2;
    if (__builtin_cpu_supports("avx512f"))
        out[count++] = &cpu_lstm_avx512;
#endif
    return count;
}

static void draw_all(struct numbers *out)
{
    const struct philox_key key = philox_key_of(7, PHILOX_INIT);
    float *values = out->gates; /* the struct is floats throughout */
    for (size_t i = 0; i < sizeof(*out) / sizeof(float); i++) {
        uint32_t word[4];
        philox_4x32(key, 0, i, word);
        values[i] = philox_unit(word[0]) - 0.5F;
    }
}

static void pack(struct numbers *n, int lanes, int hidden)
{
    for (int unit = 0; unit < hidden; unit++) {
        const int lane = unit % lanes, panel = unit - lane;
        for (int q = 0; q < 4; q++) {
            n->packed_bias[panel * 4 + q * lanes + lane] = n->bias[q * hidden + unit];
            for (int p = 0; p < hidden; p++)
                n->panels[(panel * hidden + p * lanes) * 4 + q * lanes + lane] =
                    n->w[(p * 4 + q) * hidden + unit];
        }
    }
}

static void run(const struct cpu_lstm_kernel *kernel, struct numbers *n, int rows, int carried,
                int hidden)
{
    const struct cpu_lstm_step step = {.rows = rows,
                                       .carried = carried,
                                       .hidden = hidden,
                                       .gates = n->gates,
                                       .h_in = n->h_in,
                                       .c_in = n->c_in,
                                       .tanh_c = n->tanh_c,
                                       .panels = n->panels,
                                       .bias = n->packed_bias,
                                       .h = n->h,
                                       .c = n->c,
                                       .d_h = n->d_h,
                                       .d_c = n->d_c,
                                       .d_bias = n->d_bias};
    pack(n, kernel->lanes, hidden);
    kernel->forward(&step);
    kernel->backward(&step);
}

static void assert_close(const char *what, const float *actual, const float *expected, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!(fabsf(actual[i] - expected[i]) < 2e-6F))
            fail_msg("%s, element %zu: %.9g, portable %.9g", what, i, (double)actual[i],
                     (double)expected[i]);
    }
}

static void check(const struct cpu_lstm_kernel *kernel, int rows, int carried, int hidden)
{
    static struct numbers actual, expected;
    const size_t states = (size_t)(ROWS_MAX * HIDDEN_MAX);
    draw_all(&actual);
    draw_all(&expected);
    run(kernel, &actual, rows, carried, hidden);
    run(&cpu_lstm_portable, &expected, rows, carried, hidden);
    /* Beyond what the step may write, too: there both have what was drawn. */
    assert_close("h", actual.h, expected.h, states);
    assert_close("c", actual.c, expected.c, states);
    assert_close("c_in", actual.c_in, expected.c_in, states);
    assert_close("tanh_c", actual.tanh_c, expected.tanh_c, states);
    assert_close("d_c", actual.d_c, expected.d_c, states);
    assert_close("gates", actual.gates, expected.gates, 4 * states);
    assert_close("d_bias", actual.d_bias, expected.d_bias, WIDTH_MAX);
}

static void every_form_makes_the_portable_step(void **state)
{
    (void)state;
    const struct cpu_lstm_kernel *tested[4];
    const size_t count = kernels(tested);
    const int widths[] = {1, 15, 16, 17, 33, 64, 70};
    for (size_t k = 0; k < count; k++) {
        for (size_t w = 0; w < COUNT_OF(widths); w++) {
            for (int rows = 0; rows <= ROWS_MAX; rows++)
                check(tested[k], rows, rows - rows / 3, widths[w]);
        }
    }
}

static void tall_tiles_multiply_every_number_of_rows(void **state)
{
    (void)state;
    enum { N = 77, K = 260, WIDTH = 16, PANELS = 5 };
    static float a[ROWS_MAX * K], panels[PANELS * WIDTH * K], out[ROWS_MAX * N];
    for (int i = 0; i < ROWS_MAX * K; i++)
        a[i] = (float)(i % 17 - 8) / 16.0F;
    for (int j = 0; j < PANELS * WIDTH; j++) {
        for (int p = 0; p < K; p++)
            panels[(j / WIDTH * K + p) * WIDTH + j % WIDTH] =
                j < N ? (float)((p * 5 + j * 3) % 13 - 6) / 8.0F : 0.0F;
    }
    for (int m = 0; m <= ROWS_MAX; m++) {
        tall_kernel.multiply(out, a, panels, m, N, K);
        for (int e = 0; e < m * N; e++) {
            double sum = 0.0;
            for (int p = 0; p < K; p++)
                sum += (double)a[e / N * K + p] * (double)((p * 5 + e % N * 3) % 13 - 6) / 8.0;
            assert_true(fabs((double)out[e] - sum) < 1e-4);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_makes_the_portable_step),
        cmocka_unit_test(tall_tiles_multiply_every_number_of_rows),
    };
    return cmocka_run_group_tests_name("lstm kernels", tests, NULL, NULL);
}
