#include <math.h>

#include "trainer/compute/cpu/cpu.h"

/* The loss of one row; `out` (n) gets softmax - onehot, times scale, unless it is NULL. */
static double cross_entropy_row(float *out, const float *logits, int label, float scale, int n)
{
    float largest = logits[0];
    for (int j = 1; j < n; j++)
        largest = logits[j] > largest ? logits[j] : largest;
    float sum = 0.0F;
    if (out == NULL) {
        for (int j = 0; j < n; j++)
            sum += expf(logits[j] - largest);
    } else {
        for (int j = 0; j < n; j++) {
            out[j] = expf(logits[j] - largest);
            sum += out[j];
        }
        const float factor = scale / sum;
        for (int j = 0; j < n; j++)
            out[j] *= factor;
        out[label] -= scale;
    }
    return (double)logf(sum) + (double)largest - (double)logits[label];
}

static int arg_max(const float *values, int n)
{
    int best = 0;
    for (int j = 1; j < n; j++) {
        if (values[j] > values[best])
            best = j;
    }
    return best;
}

enum status cpu_softmax_cross_entropy(struct compute *compute, float *loss_sum, float *correct,
                                      float *d_logits, const float *logits, const int32_t *labels,
                                      const float *scale, int m, int n, struct error *err)
{
    (void)compute;
    (void)err;
    const float factor = d_logits == NULL ? 0.0F : *scale;
    double loss = 0.0;
    int right = 0;
    for (int i = 0; i < m; i++) {
        const float *row = logits + (size_t)i * (size_t)n;
        const int label = labels[i];
        if (label < 0 || label >= n) {
            loss = (double)NAN;
            continue;
        }
        float *out = d_logits == NULL ? NULL : d_logits + (size_t)i * (size_t)n;
        loss += cross_entropy_row(out, row, label, factor, n);
        right += arg_max(row, n) == label;
    }
    loss_sum[0] += (float)loss;
    correct[0] += (float)right;
    return STATUS_OK;
}
