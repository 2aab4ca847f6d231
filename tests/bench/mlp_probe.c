#include "tests/bench/mlp_probe.h"

#include <cblas.h>
#include <math.h>
#include <string.h>
#include <time.h>

enum { IN = 784, HIDDEN = 128, OUT = 10, ROWS = 64 };
enum { W1 = 0, B1 = IN * HIDDEN, W2 = B1 + HIDDEN, B2 = W2 + HIDDEN * OUT, PARAMETERS = B2 + OUT };

static float p[PARAMETERS], g[PARAMETERS], m[PARAMETERS], v[PARAMETERS];
static float x[ROWS * IN], h[ROWS * HIDDEN], z[ROWS * OUT], dh[ROWS * HIDDEN], ones[ROWS];

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static uint32_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 16);
}

static void forward(void)
{
    for (int i = 0; i < ROWS; i++)
        memcpy(h + i * HIDDEN, p + B1, HIDDEN * sizeof(float));
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, ROWS, HIDDEN, IN, 1, x, IN, p + W1,
                HIDDEN, 1, h, HIDDEN);
    for (int i = 0; i < ROWS * HIDDEN; i++)
        h[i] = h[i] > 0 ? h[i] : 0;
    for (int i = 0; i < ROWS; i++)
        memcpy(z + i * OUT, p + B2, OUT * sizeof(float));
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, ROWS, OUT, HIDDEN, 1, h, HIDDEN, p + W2,
                OUT, 1, z, OUT);
}

static void backward(const int32_t *labels, const int64_t *records)
{
    for (int i = 0; i < ROWS; i++) {
        float *row = z + i * OUT, largest = row[0], sum = 0;
        for (int k = 1; k < OUT; k++)
            largest = fmaxf(largest, row[k]);
        for (int k = 0; k < OUT; k++)
            sum += row[k] = expf(row[k] - largest);
        for (int k = 0; k < OUT; k++)
            row[k] = (row[k] / sum - (float)(k == labels[records[i]])) / ROWS;
    }
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, HIDDEN, OUT, ROWS, 1, h, HIDDEN, z, OUT, 0,
                g + W2, OUT);
    cblas_sgemv(CblasRowMajor, CblasTrans, ROWS, OUT, 1, z, OUT, ones, 1, 0, g + B2, 1);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, ROWS, HIDDEN, OUT, 1, z, OUT, p + W2, OUT,
                0, dh, HIDDEN);
    for (int i = 0; i < ROWS * HIDDEN; i++)
        dh[i] = h[i] > 0 ? dh[i] : 0;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, IN, HIDDEN, ROWS, 1, x, IN, dh, HIDDEN, 0,
                g + W1, HIDDEN);
    cblas_sgemv(CblasRowMajor, CblasTrans, ROWS, HIDDEN, 1, dh, HIDDEN, ones, 1, 0, g + B1, 1);
}

__attribute__((optimize("O3", "no-math-errno"))) static void adam(int step)
{
    const float rate = 1e-3F / (1 - powf(0.9F, (float)step));
    const float root = 1 / sqrtf(1 - powf(0.999F, (float)step));
    for (int i = 0; i < PARAMETERS; i++) {
        m[i] = 0.9F * m[i] + 0.1F * g[i];
        v[i] = 0.999F * v[i] + 0.001F * g[i] * g[i];
        p[i] -= rate * m[i] / (sqrtf(v[i]) * root + 1e-8F);
    }
}

double mlp_probe_samples_per_second(const uint8_t *images, const int32_t *labels, int64_t count,
                                    int steps)
{
    uint64_t random = 88172645463325252U;
    openblas_set_num_threads(1);
    for (int i = 0; i < PARAMETERS; i++)
        p[i] = ((float)(next_random(&random) & 0xFFFFFF) / 0x800000 - 1) * 0.05F;
    for (int i = 0; i < ROWS; i++)
        ones[i] = 1;
    const double start = seconds();
    for (int step = 1; step <= steps; step++) {
        int64_t records[ROWS];
        for (int i = 0; i < ROWS; i++) {
            records[i] = next_random(&random) % count;
            for (int k = 0; k < IN; k++)
                x[i * IN + k] = (float)images[records[i] * IN + k] * (1.0F / 255.0F);
        }
        forward();
        backward(labels, records);
        adam(step);
    }
    return ROWS * steps / (seconds() - start);
}
