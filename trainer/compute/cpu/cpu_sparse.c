/*
 * cpu_sparse.c - products with an input that is mostly zeros, as images and one-hot features are.
 *
 * Four of five pixels of a handwritten digit are zero, and a dense product multiplies them all. Here
 * bit masks say where the others are; each of them adds its multiple of one row to accumulators that
 * stay in registers. The result is exact up to rounding, as any order of sums is; which path is taken
 * depends on shapes and values alone, so equal calls give equal bits.
 *
 * Output columns are worked on in blocks of 64 (eight registers), input columns in groups of 64 (one
 * mask), so that the block of weights in use stays in the first-level cache. AVX2 with FMA only:
 * elsewhere, and for widths that are no multiple of a block, cpu_sparse_is_worth() says no.
 */
#include <stdlib.h>
#include <string.h>

#include "trainer/compute/cpu/cpu.h"

#define BLOCK_COLUMNS 64
#define LANES         8
#define REGISTERS     (BLOCK_COLUMNS / LANES)
#define MASK_BITS     64
#define SAMPLED_ROWS  8
#define SHARE_MAX     0.3 /* of non-zeros; above it OpenBLAS is quicker */
#define WIDTH_MIN     64  /* of the input; below it the masks cost more than they save */

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX2_FMA __attribute__((target("avx2,fma")))

/* Bit i: values[i] is not zero. A NaN is not zero: it goes on. */
AVX2_FMA
static uint64_t non_zero_lanes(const float *values)
{
    const __m256 equal = _mm256_cmp_ps(_mm256_loadu_ps(values), _mm256_setzero_ps(), _CMP_EQ_OQ);
    return (uint64_t)_mm256_movemask_ps(equal) ^ 0xFFU;
}

/* The same for `count` (at most 64) values. */
AVX2_FMA
static uint64_t non_zeros(const float *values, int count)
{
    uint64_t mask = 0;
    int i = 0;
    for (; i + LANES <= count; i += LANES)
        mask |= non_zero_lanes(values + i) << i;
    for (; i < count; i++)
        mask |= (uint64_t)(values[i] != 0.0F) << i;
    return mask;
}

/*
 * target (BLOCK_COLUMNS) = start + the sum over the mask's bits of values[bit * stride] * row `bit`;
 * rows have `n` columns.
 */
AVX2_FMA
static void combine_rows(float *target, const float *start, uint64_t mask, const float *values,
                         size_t stride, const float *rows, size_t n)
{
    __m256 sums[REGISTERS];
    for (int r = 0; r < REGISTERS; r++)
        sums[r] = _mm256_loadu_ps(start + r * LANES);
    for (; mask != 0; mask &= mask - 1) {
        const size_t bit = (size_t)__builtin_ctzll(mask);
        const __m256 value = _mm256_set1_ps(values[bit * stride]);
        const float *row = rows + bit * n;
        for (int r = 0; r < REGISTERS; r++)
            sums[r] = _mm256_fmadd_ps(value, _mm256_loadu_ps(row + r * LANES), sums[r]);
    }
    for (int r = 0; r < REGISTERS; r++)
        _mm256_storeu_ps(target + r * LANES, sums[r]);
}

bool cpu_sparse_is_worth(const float *a, int m, int n, int k)
{
    if (n % BLOCK_COLUMNS != 0 || k < WIDTH_MIN || !__builtin_cpu_supports("avx2") ||
        !__builtin_cpu_supports("fma"))
        return false;
    const int sampled = m < SAMPLED_ROWS ? m : SAMPLED_ROWS;
    int64_t count = 0;
    for (int i = 0; i < sampled; i++) {
        const float *row = a + (size_t)(m / sampled * i) * (size_t)k;
        for (int p = 0; p < k; p += MASK_BITS)
            count +=
                __builtin_popcountll(non_zeros(row + p, k - p < MASK_BITS ? k - p : MASK_BITS));
    }
    return (double)count < SHARE_MAX * (double)sampled * (double)k;
}

/* One group of input columns, `width` of them from `first`: out += a[:, group] w[group, :]. */
static void forward_group(float *out, const float *a, const float *w, const float *bias,
                          const int m, const int n, const int k, const int first, uint64_t *masks)
{
    const int width = k - first < MASK_BITS ? k - first : MASK_BITS;
    for (int i = 0; i < m; i++)
        masks[i] = non_zeros(a + (size_t)i * (size_t)k + first, width);
    for (int j = 0; j < n; j += BLOCK_COLUMNS) {
        for (int i = 0; i < m; i++) {
            float *target = out + (size_t)i * (size_t)n + j;
            if (first == 0 || masks[i] != 0)
                combine_rows(target, first == 0 ? bias + j : target, masks[i],
                             a + (size_t)i * (size_t)k + first, 1,
                             w + (size_t)first * (size_t)n + j, (size_t)n);
        }
    }
}

enum status cpu_sparse_forward(struct compute *compute, float *out, const float *a, const float *w,
                               const float *bias, int m, int n, int k, struct error *err)
{
    const size_t bytes = (size_t)m * sizeof(uint64_t);
    if (bytes > compute->scratch_bytes) {
        free(compute->scratch);
        compute->scratch = malloc(bytes);
        compute->scratch_bytes = compute->scratch == NULL ? 0 : bytes;
        if (compute->scratch == NULL)
            return error_set(err, STATUS_NO_MEMORY, "masks of %d rows", m);
    }
    for (int first = 0; first < k; first += MASK_BITS)
        forward_group(out, a, w, bias, m, n, k, first, compute->scratch);
    return STATUS_OK;
}

/* masks[c], bit i: a[i, c] is not zero, for c in 0..7 and i in 0..rows-1 (at most 64). */
AVX2_FMA
static void column_masks(const float *a, int rows, size_t k, int columns, uint64_t masks[LANES])
{
    uint8_t bytes[MASK_BITS] = {0};
    for (int i = 0; i < rows; i++) {
        const float *row = a + (size_t)i * k;
        bytes[i] = (uint8_t)(columns == LANES ? non_zero_lanes(row) : non_zeros(row, columns));
    }
    const __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)bytes);
    const __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(bytes + 32));
    for (int c = 0; c < LANES; c++) { /* bit c of each byte goes to its top, where movemask looks */
        const uint32_t first = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(low, 7 - c));
        const uint32_t second = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(high, 7 - c));
        masks[c] = (uint64_t)second << 32 | first;
    }
}

/* A blocked product is five loops. NOLINTNEXTLINE(readability-function-size) */
void cpu_sparse_backward(float *d_w, const float *d_out, const float *a, int m, int n, int k)
{
    const size_t n_size = (size_t)n, k_size = (size_t)k;
    for (int top = 0; top < m; top += MASK_BITS) {
        const int rows = m - top < MASK_BITS ? m - top : MASK_BITS;
        for (int first = 0; first < k; first += LANES) {
            const int columns = k - first < LANES ? k - first : LANES;
            const float *corner = a + (size_t)top * k_size + first;
            uint64_t masks[LANES];
            column_masks(corner, rows, k_size, columns, masks);
            for (int j = 0; j < n; j += BLOCK_COLUMNS) {
                for (int c = 0; c < columns; c++) {
                    float *target = d_w + (size_t)(first + c) * n_size + j;
                    if (masks[c] != 0)
                        combine_rows(target, target, masks[c], corner + c, k_size,
                                     d_out + (size_t)top * n_size + j, n_size);
                }
            }
        }
    }
}

#else

bool cpu_sparse_is_worth(const float *a, int m, int n, int k)
{
    (void)a;
    (void)m;
    (void)n;
    (void)k;
    return false;
}

enum status cpu_sparse_forward(struct compute *compute, float *out, const float *a, const float *w,
                               const float *bias, int m, int n, int k, struct error *err)
{
    (void)compute, (void)out, (void)a, (void)w, (void)bias, (void)m, (void)n, (void)k;
    return error_set(err, STATUS_UNSUPPORTED, "sparse products on this machine");
}

void cpu_sparse_backward(float *d_w, const float *d_out, const float *a, int m, int n, int k)
{
    (void)d_w, (void)d_out, (void)a, (void)m, (void)n, (void)k;
}

#endif
