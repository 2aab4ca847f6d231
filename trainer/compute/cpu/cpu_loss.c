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
                                      const float *class_weights, const float *scale, int m, int n,
                                      struct error *err)
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
        const float weight = class_weights == NULL ? 1.0F : class_weights[label];
        loss += (double)weight * cross_entropy_row(out, row, label, weight * factor, n);
        right += arg_max(row, n) == label;
    }
    loss_sum[0] += (float)loss;
    correct[0] += (float)right;
    return STATUS_OK;
}

/* log(1 + exp(-|z|)) + max(z, 0) - z y: no exponential overflows. */
enum status cpu_sigmoid_cross_entropy(struct compute *compute, float *loss_sum, float *correct,
                                      float *d_logits, const float *logits, const int32_t *labels,
                                      const float *class_weights, const float *scale, int m,
                                      struct error *err)
{
    (void)compute;
    (void)err;
    const float factor = d_logits == NULL ? 0.0F : *scale;
    double loss = 0.0;
    int right = 0;
    for (int i = 0; i < m; i++) {
        const float z = logits[i];
        const int label = labels[i];
        if (label < 0 || label > 1) {
            loss = (double)NAN;
            continue;
        }
        const float weight = class_weights == NULL ? 1.0F : class_weights[label];
        const float small = expf(-fabsf(z));
        const float positive = z > 0.0F ? z : 0.0F;
        loss += (double)weight * (double)(log1pf(small) + positive - (label == 1 ? z : 0.0F));
        right += (z > 0.0F) == (label == 1);
        if (d_logits != NULL) {
            const float p = z >= 0.0F ? 1.0F / (1.0F + small) : small / (1.0F + small);
            d_logits[i] = (p - (float)label) * (weight * factor);
        }
    }
    loss_sum[0] += (float)loss;
    correct[0] += (float)right;
    return STATUS_OK;
}

enum status cpu_squared_error(struct compute *compute, float *loss_sum, float *d_out,
                              const float *out, const float *targets, const float *scale, int m,
                              struct error *err)
{
    (void)compute;
    (void)err;
    double loss = 0.0;
    for (int i = 0; i < m; i++) {
        const float difference = out[i] - targets[i];
        loss += (double)difference * (double)difference;
        if (d_out != NULL)
            d_out[i] = 2.0F * difference * scale[0];
    }
    loss_sum[0] += (float)loss;
    return STATUS_OK;
}

static void softmax_row(float *out, const float *logits, int n)
{
    float largest = logits[0];
    for (int j = 1; j < n; j++)
        largest = logits[j] > largest ? logits[j] : largest;
    float sum = 0.0F;
    for (int j = 0; j < n; j++) {
        out[j] = expf(logits[j] - largest);
        sum += out[j];
    }
    for (int j = 0; j < n; j++)
        out[j] /= sum;
}

enum status cpu_probabilities(struct compute *compute, float *out, const float *logits, int m,
                              int n, struct error *err)
{
    (void)compute;
    (void)err;
    for (int i = 0; i < m && n == 1; i++)
        out[i] = 1.0F / (1.0F + expf(-logits[i]));
    for (int i = 0; i < m && n > 1; i++)
        softmax_row(out + (size_t)i * (size_t)n, logits + (size_t)i * (size_t)n, n);
    return STATUS_OK;
}
