/*
 * cpu_loss.c - losses with their gradients, and probabilities. Rows are summed in order, in double where
 * they are summed over the batch.
 */
#include "trainer/compute/cpu/cpu.h"
#include "trainer/compute/cpu/cpu_math.h"

/* For sums alone: exponentials that nobody keeps. */
#define BLOCK_FLOATS 256

/* values[i] = exp(values[i]) */
CPU_CLONES
static void exp_all(float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = math_exp(values[i]);
}

static float largest_of(const float *values, int n)
{
    float largest = values[0];
    for (int j = 1; j < n; j++)
        largest = values[j] > largest ? values[j] : largest;
    return largest;
}

/* The exponentials of each row's logits less the largest: all of them at once, as rows are short. */
static void exp_rows(float *out, const float *logits, int m, int n)
{
    for (int i = 0; i < m; i++) {
        const float *row = logits + (size_t)i * (size_t)n;
        const float largest = largest_of(row, n);
        for (int j = 0; j < n; j++)
            out[(size_t)i * (size_t)n + (size_t)j] = row[j] - largest;
    }
    exp_all(out, (size_t)m * (size_t)n);
}

static float sum_of(const float *values, int n)
{
    float sum = 0.0F;
    for (int j = 0; j < n; j++)
        sum += values[j];
    return sum;
}

/* The sum that exp_rows() and sum_of() come to, of one row. */
static float exp_sum(const float *logits, int n)
{
    const float largest = largest_of(logits, n);
    float block[BLOCK_FLOATS], sum = 0.0F;
    for (int first = 0; first < n; first += BLOCK_FLOATS) {
        const int count = n - first < BLOCK_FLOATS ? n - first : BLOCK_FLOATS;
        for (int j = 0; j < count; j++)
            block[j] = logits[first + j] - largest;
        exp_all(block, (size_t)count);
        for (int j = 0; j < count; j++)
            sum += block[j];
    }
    return sum;
}

/* exponentials (n), whose sum is given, become softmax - onehot, times scale. */
static void row_gradient(float *exponentials, float sum, int label, float scale, int n)
{
    const float factor = scale / sum;
    for (int j = 0; j < n; j++)
        exponentials[j] *= factor;
    exponentials[label] -= scale;
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
    if (d_logits != NULL)
        exp_rows(d_logits, logits, m, n);
    for (int i = 0; i < m; i++) {
        const float *row = logits + (size_t)i * (size_t)n;
        const int label = labels[i];
        if (label < 0 || label >= n) {
            loss = (double)NAN;
            continue;
        }
        float *out = d_logits == NULL ? NULL : d_logits + (size_t)i * (size_t)n;
        const float weight = class_weights == NULL ? 1.0F : class_weights[label];
        const float sum = out == NULL ? exp_sum(row, n) : sum_of(out, n);
        const int best = arg_max(row, n);
        loss += (double)weight * (log((double)sum) + (double)row[best] - (double)row[label]);
        if (out != NULL)
            row_gradient(out, sum, label, weight * factor, n);
        right += best == label;
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
        const float small = math_exp(-fabsf(z));
        const float positive = z > 0.0F ? z : 0.0F;
        loss +=
            (double)weight * (log1p((double)small) + (double)(positive - (label == 1 ? z : 0.0F)));
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

enum status cpu_probabilities(struct compute *compute, float *out, const float *logits, int m,
                              int n, struct error *err)
{
    (void)compute;
    (void)err;
    if (n == 1) {
        for (int i = 0; i < m; i++)
            out[i] = math_logistic(logits[i]);
        return STATUS_OK;
    }
    exp_rows(out, logits, m, n);
    for (int i = 0; i < m; i++) {
        float *row = out + (size_t)i * (size_t)n;
        const float sum = sum_of(row, n);
        for (int j = 0; j < n; j++)
            row[j] /= sum;
    }
    return STATUS_OK;
}
