/* cpu_pairs.c - products of embedding vectors in pairs, and where one candidate stands among others. */
#include <math.h>

#include "trainer/compute/cpu/cpu.h"

CPU_CLONES
static void products(float *restrict out, size_t out_stride, const float *restrict a,
                     const int32_t *restrict a_ids, const float *restrict b,
                     const int32_t *restrict b_ids, size_t n, size_t width)
{
    for (size_t i = 0; i < n; i++) {
        const float *restrict left = a + (size_t)a_ids[i] * width;
        const float *restrict right = b + (size_t)b_ids[i] * width;
        for (size_t j = 0; j < width; j++)
            out[i * out_stride + j] = left[j] * right[j];
    }
}

enum status cpu_embedding_product(struct compute *compute, float *out, int out_stride,
                                  const float *a, const int32_t *a_ids, const float *b,
                                  const int32_t *b_ids, int n, int width, struct error *err)
{
    (void)compute;
    (void)err;
    products(out, (size_t)out_stride, a, a_ids, b, b_ids, (size_t)n, (size_t)width);
    return STATUS_OK;
}

/* d_target row += d_out row * other row, for each pair in turn. */
CPU_CLONES
static void scatter_products(float *restrict d_target, float *restrict flags,
                             const float *restrict d_out, size_t out_stride,
                             const int32_t *restrict ids, const float *restrict other,
                             const int32_t *restrict other_ids, size_t n, size_t width)
{
    for (size_t i = 0; i < n; i++) {
        float *restrict target = d_target + (size_t)ids[i] * width;
        const float *restrict factor = other + (size_t)other_ids[i] * width;
        for (size_t j = 0; j < width; j++)
            target[j] += d_out[i * out_stride + j] * factor[j];
        if (flags != NULL)
            flags[ids[i]] += 1.0F;
    }
}

enum status cpu_embedding_product_backward(struct compute *compute, float *d_a, float *a_flags,
                                           float *d_b, float *b_flags, const float *d_out,
                                           int out_stride, const float *a, const int32_t *a_ids,
                                           const float *b, const int32_t *b_ids, int n, int width,
                                           struct error *err)
{
    (void)compute;
    (void)err;
    scatter_products(d_a, a_flags, d_out, (size_t)out_stride, a_ids, b, b_ids, (size_t)n,
                     (size_t)width);
    scatter_products(d_b, b_flags, d_out, (size_t)out_stride, b_ids, a, a_ids, (size_t)n,
                     (size_t)width);
    return STATUS_OK;
}

/* Candidates of one row that stand before the first. */
CPU_CLONES
static int rank_of_first(const float *restrict scores, const int32_t *restrict ids, int width)
{
    int rank = 0;
    for (int c = 1; c < width; c++)
        rank += !(scores[c] <= scores[0]) & (ids[c] != ids[0]);
    return rank;
}

enum status cpu_rank_first(struct compute *compute, float *sums, const float *scores,
                           const int32_t *ids, int rows, int width, int top_k, struct error *err)
{
    (void)compute;
    (void)err;
    double hits = 0.0, gain = 0.0;
    for (int i = 0; i < rows; i++) {
        const size_t row = (size_t)i * (size_t)width;
        const int rank = rank_of_first(scores + row, ids + row, width);
        if (rank >= top_k)
            continue;
        hits += 1.0;
        gain += log(2.0) / log((double)rank + 2.0);
    }
    sums[0] += (float)rows;
    sums[1] += (float)hits;
    sums[2] += (float)gain;
    return STATUS_OK;
}
