/* cpu_dense.c - dense layers: OpenBLAS for the products, our loops for what surrounds them. */
#include <cblas.h>
#include <stdio.h>

#include "trainer/compute/cpu/cpu.h"

/* The pool is bounded here, whatever OMP_NUM_THREADS says: the number of threads changes the bits. */
void cpu_dense_setup(int threads)
{
    openblas_set_num_threads(threads);
}

void cpu_dense_describe(char *out, size_t size)
{
    (void)snprintf(out, size, "%s core %s", openblas_get_config(), openblas_get_corename());
}

/* row (n) = act(row + bias). A NaN goes through the ReLU, so that it reaches the loss. */
CPU_CLONES
static void bias_relu(float *restrict out, const float *restrict bias, int m, int n)
{
    for (int i = 0; i < m; i++) {
        float *restrict row = out + (size_t)i * (size_t)n;
        for (int j = 0; j < n; j++) {
            const float x = row[j] + bias[j];
            row[j] = x < 0.0F ? 0.0F : x;
        }
    }
}

CPU_CLONES
static void bias_linear(float *restrict out, const float *restrict bias, int m, int n)
{
    for (int i = 0; i < m; i++) {
        float *restrict row = out + (size_t)i * (size_t)n;
        for (int j = 0; j < n; j++)
            row[j] += bias[j];
    }
}

CPU_CLONES
static void relu(float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = values[i] < 0.0F ? 0.0F : values[i];
}

CPU_CLONES
static void relu_backward(float *restrict d_out, const float *restrict out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        d_out[i] = out[i] > 0.0F ? d_out[i] : 0.0F;
}

CPU_CLONES
static void add_column_sums(float *restrict sums, const float *restrict values, int m, int n)
{
    for (int i = 0; i < m; i++) {
        const float *restrict row = values + (size_t)i * (size_t)n;
        for (int j = 0; j < n; j++)
            sums[j] += row[j];
    }
}

enum status cpu_dense_forward(struct compute *compute, float *out, const float *a, const float *w,
                              const float *bias, int m, int n, int k, enum compute_activation act,
                              struct error *err)
{
    if (cpu_sparse_is_worth(a, m, n, k)) {
        TRY(cpu_sparse_forward(compute, out, a, w, bias, m, n, k, err));
        if (act == COMPUTE_RELU)
            relu(out, (size_t)m * (size_t)n);
        return STATUS_OK;
    }
    if (cpu_small_is_worth(n, k)) {
        cpu_small_forward(out, a, w, bias, m, n, k, act == COMPUTE_RELU);
        return STATUS_OK;
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1.0F, a, k, w, n, 0.0F, out, n);
    if (act == COMPUTE_RELU)
        bias_relu(out, bias, m, n);
    else
        bias_linear(out, bias, m, n);
    return STATUS_OK;
}

enum status cpu_dense_backward(struct compute *compute, float *d_a, float *d_w, float *d_bias,
                               float *d_out, const float *out, const float *a, const float *w,
                               int m, int n, int k, enum compute_activation act, struct error *err)
{
    (void)compute;
    (void)err;
    if (act == COMPUTE_RELU)
        relu_backward(d_out, out, (size_t)m * (size_t)n);
    add_column_sums(d_bias, d_out, m, n);
    if (cpu_small_is_worth(n, k)) {
        cpu_small_backward(d_a, d_w, d_out, a, w, m, n, k);
        return STATUS_OK;
    }
    if (cpu_sparse_is_worth(a, m, n, k))
        cpu_sparse_backward(d_w, d_out, a, m, n, k);
    else
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, k, n, m, 1.0F, a, k, d_out, n, 1.0F,
                    d_w, n);
    if (d_a != NULL)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, k, n, 1.0F, d_out, n, w, n, 0.0F,
                    d_a, k);
    return STATUS_OK;
}
