/*
 * cpu_small.c - dense layers whose weights stay in the first-level cache, as a recommender's are: products
 * without packing, and a layer of one output as two loops.
 *
 * All three products of a layer are one tile: rows by 8 or 16 columns whose sums stay in registers over the
 * depth. Forward its rows are those of the input and the depth is its width; for d_w the roles of rows and
 * depth change places; for d_a the weights are transposed first. Rows are worked on in chunks, so
 * that the three products of a chunk find it in the cache. Every element is summed in one order, whatever
 * the number of rows.
 *
 * AVX2 with FMA only: elsewhere, and for other shapes, cpu_small_is_worth() says no.
 */
#include "trainer/compute/cpu/cpu.h"

#define LANES       8
#define WEIGHTS_MAX 2048 /* 8 KiB; above it OpenBLAS is as quick */
#define ONE_MAX     64   /* input of a layer with one output */
#define CHUNK_ROWS  64

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define AVX2_FMA    __attribute__((target("avx2,fma")))
#define TILE_INLINE AVX2_FMA static inline __attribute__((always_inline))

/* out[i, j] = start[j] + the sum over p of a[i * a_row + p * a_depth] * b[p * b_stride + j] */
struct product {
    float *out;
    const float *start, *a, *b;
    size_t out_stride, a_row, a_depth, b_stride;
    int rows, columns, depth;
    bool relu; /* what is negative becomes zero */
    bool adds; /* to what is in `out` */
};

static const float zeros[WEIGHTS_MAX];

/* `rows` and `registers` are constants where this is called, so the sums are registers. */
TILE_INLINE void tile(const struct product *p, int row, int column, const int rows,
                      const int registers)
{
    __m256 sums[LANES][2];
    const float *a = p->a + (size_t)row * p->a_row, *b = p->b + column;
    for (int r = 0; r < rows; r++) {
        for (int v = 0; v < registers; v++)
            sums[r][v] = _mm256_loadu_ps(p->start + column + v * LANES);
    }
    for (int d = 0; d < p->depth; d++, a += p->a_depth, b += p->b_stride) {
        __m256 right[2];
        for (int v = 0; v < registers; v++)
            right[v] = _mm256_loadu_ps(b + v * LANES);
        for (int r = 0; r < rows; r++) {
            const __m256 left = _mm256_set1_ps(a[(size_t)r * p->a_row]);
            for (int v = 0; v < registers; v++)
                sums[r][v] = _mm256_fmadd_ps(left, right[v], sums[r][v]);
        }
    }
    const __m256 floor = _mm256_set1_ps(p->relu ? 0.0F : -__builtin_inff());
    for (int r = 0; r < rows; r++) {
        float *out = p->out + (size_t)(row + r) * p->out_stride + column;
        for (int v = 0; v < registers; v++) {
            if (p->adds)
                sums[r][v] = _mm256_add_ps(_mm256_loadu_ps(out + v * LANES), sums[r][v]);
            /* A NaN is the second operand, which max gives then. */
            _mm256_storeu_ps(out + v * LANES, _mm256_max_ps(floor, sums[r][v]));
        }
    }
}

AVX2_FMA
static void multiply(const struct product *p)
{
    int column = 0;
    for (; column + 2 * LANES <= p->columns; column += 2 * LANES) {
        int row = 0;
        for (; row + 4 <= p->rows; row += 4)
            tile(p, row, column, 4, 2);
        for (; row < p->rows; row++)
            tile(p, row, column, 1, 2);
    }
    if (column < p->columns) {
        int row = 0;
        for (; row + 8 <= p->rows; row += 8)
            tile(p, row, column, 8, 1);
        for (; row < p->rows; row++)
            tile(p, row, column, 1, 1);
    }
}

bool cpu_small_is_worth(int n, int k)
{
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return false;
    if (n == 1)
        return k <= ONE_MAX;
    return n % LANES == 0 && k % LANES == 0 && n * k <= WEIGHTS_MAX;
}

/* ------------------------------------------------------------------ one output */

CPU_CLONES
static void forward_one(float *restrict out, const float *restrict a, const float *restrict w,
                        float bias, bool relu, size_t m, size_t k)
{
    for (size_t i = 0; i < m; i++) {
        float sum = bias;
        for (size_t j = 0; j < k; j++)
            sum += a[i * k + j] * w[j];
        out[i] = relu && sum < 0.0F ? 0.0F : sum;
    }
}

CPU_CLONES
static void backward_one(float *restrict d_a, float *restrict d_w, const float *restrict d_out,
                         const float *restrict a, const float *restrict w, size_t m, size_t k)
{
    float sums[ONE_MAX] = {0.0F};
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < k; j++)
            sums[j] += d_out[i] * a[i * k + j];
    }
    for (size_t j = 0; j < k; j++)
        d_w[j] += sums[j];
    for (size_t i = 0; i < m && d_a != NULL; i++) {
        for (size_t j = 0; j < k; j++)
            d_a[i * k + j] = d_out[i] * w[j];
    }
}

/* ------------------------------------------------------------------ several */

void cpu_small_forward(float *out, const float *a, const float *w, const float *bias, int m, int n,
                       int k, bool relu)
{
    if (n == 1) {
        forward_one(out, a, w, bias[0], relu, (size_t)m, (size_t)k);
        return;
    }
    for (int row = 0; row < m; row += CHUNK_ROWS) {
        const struct product product = {.out = out + (size_t)row * (size_t)n,
                                        .out_stride = (size_t)n,
                                        .start = bias,
                                        .a = a + (size_t)row * (size_t)k,
                                        .a_row = (size_t)k,
                                        .a_depth = 1,
                                        .b = w,
                                        .b_stride = (size_t)n,
                                        .rows = m - row < CHUNK_ROWS ? m - row : CHUNK_ROWS,
                                        .columns = n,
                                        .depth = k,
                                        .relu = relu};
        multiply(&product);
    }
}

void cpu_small_backward(float *d_a, float *d_w, const float *d_out, const float *a, const float *w,
                        int m, int n, int k)
{
    const size_t n_size = (size_t)n, k_size = (size_t)k;
    float turned[WEIGHTS_MAX]; /* w (k, n) as (n, k) */
    if (n == 1) {
        backward_one(d_a, d_w, d_out, a, w, (size_t)m, k_size);
        return;
    }
    for (size_t i = 0; i < k_size && d_a != NULL; i++) {
        for (size_t j = 0; j < n_size; j++)
            turned[j * k_size + i] = w[i * n_size + j];
    }
    for (int row = 0; row < m; row += CHUNK_ROWS) {
        const int rows = m - row < CHUNK_ROWS ? m - row : CHUNK_ROWS;
        const float *d_rows = d_out + (size_t)row * n_size;
        const struct product to_w = {.out = d_w,
                                     .out_stride = n_size,
                                     .start = zeros,
                                     .a = a + (size_t)row * k_size,
                                     .a_row = 1,
                                     .a_depth = k_size,
                                     .b = d_rows,
                                     .b_stride = n_size,
                                     .rows = k,
                                     .columns = n,
                                     .depth = rows,
                                     .adds = true};
        multiply(&to_w);
        if (d_a == NULL)
            continue;
        const struct product to_a = {.out = d_a + (size_t)row * k_size,
                                     .out_stride = k_size,
                                     .start = zeros,
                                     .a = d_rows,
                                     .a_row = n_size,
                                     .a_depth = 1,
                                     .b = turned,
                                     .b_stride = k_size,
                                     .rows = rows,
                                     .columns = k,
                                     .depth = n};
        multiply(&to_a);
    }
}

#else

bool cpu_small_is_worth(int n, int k)
{
    (void)n;
    (void)k;
    return false;
}

void cpu_small_forward(float *out, const float *a, const float *w, const float *bias, int m, int n,
                       int k, bool relu)
{
    (void)out, (void)a, (void)w, (void)bias, (void)m, (void)n, (void)k, (void)relu;
}

void cpu_small_backward(float *d_a, float *d_w, const float *d_out, const float *a, const float *w,
                        int m, int n, int k)
{
    (void)d_a, (void)d_w, (void)d_out, (void)a, (void)w, (void)m, (void)n, (void)k;
}

#endif
