/*
 * test_compute.c - one list of operation cases, run against every backend that a CPU can run, each
 * compared with a plain float64 reference.
 */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/compute_rig.h"

/* ------------------------------------------------------------------ dense layers */

struct dense_shape {
    int m, n, k;
    unsigned zeros; /* of 256 inputs: sparse inputs may take another path */
    enum compute_activation act;
};

static const struct dense_shape dense_shapes[] = {
    {1, 1, 1, 0, COMPUTE_LINEAR},       {3, 5, 7, 0, COMPUTE_RELU},
    {64, 128, 784, 0, COMPUTE_RELU},    {64, 128, 784, 207, COMPUTE_RELU},
    {64, 10, 128, 128, COMPUTE_LINEAR}, {17, 33, 65, 230, COMPUTE_RELU},
    {256, 128, 100, 250, COMPUTE_RELU}, {2, 10, 16, 256, COMPUTE_LINEAR},
    {96, 128, 784, 207, COMPUTE_RELU},  {64, 256, 300, 200, COMPUTE_RELU},
    {300, 64, 50, 240, COMPUTE_LINEAR}, {64, 100, 784, 210, COMPUTE_LINEAR},
    {1, 8, 8, 0, COMPUTE_RELU},         {67, 16, 32, 0, COMPUTE_RELU},
    {130, 32, 64, 0, COMPUTE_RELU},     {5, 24, 40, 0, COMPUTE_LINEAR},
    {70, 8, 256, 0, COMPUTE_RELU},      {33, 1, 16, 0, COMPUTE_LINEAR},
    {33, 1, 17, 0, COMPUTE_RELU},       {3, 1, 300, 0, COMPUTE_LINEAR},
};

static void reference_forward(const struct dense_shape *s, const float *a, const float *w,
                              const float *bias, double *out)
{
    for (int i = 0; i < s->m; i++) {
        for (int j = 0; j < s->n; j++) {
            double sum = (double)bias[j];
            for (int p = 0; p < s->k; p++)
                sum += (double)a[i * s->k + p] * (double)w[p * s->n + j];
            out[i * s->n + j] = s->act == COMPUTE_RELU && sum < 0.0 ? 0.0 : sum;
        }
    }
}

static void check_dense_forward(struct compute_rig *f, const struct dense_shape *s)
{
    const size_t mk = (size_t)(s->m * s->k), kn = (size_t)(s->k * s->n), mn = (size_t)(s->m * s->n);
    float *a = compute_rig_draw(f, mk, s->zeros), *w = compute_rig_draw(f, kn, 0),
          *bias = compute_rig_draw(f, (size_t)s->n, 0);
    double *expected = calloc(mn, sizeof(double));
    reference_forward(s, a, w, bias, expected);
    float *out = compute_rig_alloc(f, mn * sizeof(float));
    OK(f->ops->dense_forward(
        f->compute, out, compute_rig_put(f, a, mk * 4), compute_rig_put(f, w, kn * 4),
        compute_rig_put(f, bias, (size_t)s->n * 4), s->m, s->n, s->k, s->act, &f->err));

    float *actual = compute_rig_get(f, out, mn);

    compute_rig_near(actual, expected, mn, sqrt((double)s->k));
    free(actual);
    free(expected);
    free(a);
    free(w);
    free(bias);
}

static void dense_forward_is_the_product_plus_bias_through_the_activation(void **state)
{
    (void)state;
    FOR_EACH_BACKEND(f)
    {
        for (size_t i = 0; i < COUNT_OF(dense_shapes); i++)
            check_dense_forward(f, &dense_shapes[i]);
    }
}

struct dense_gradients {
    double *d_a, *d_w, *d_bias, *d_out;
};

static void reference_backward(const struct dense_shape *s, const float *a, const float *w,
                               const float *out, struct dense_gradients *g)
{
    for (int i = 0; i < s->m * s->n; i++) {
        if (s->act == COMPUTE_RELU && !(out[i] > 0.0F))
            g->d_out[i] = 0.0;
    }
    for (int i = 0; i < s->m; i++) {
        for (int j = 0; j < s->n; j++) {
            const double d = g->d_out[i * s->n + j];
            g->d_bias[j] += d;
            for (int p = 0; p < s->k; p++) {
                g->d_w[p * s->n + j] += (double)a[i * s->k + p] * d;
                g->d_a[i * s->k + p] += (double)w[p * s->n + j] * d;
            }
        }
    }
}

static void check_dense_backward(struct compute_rig *f, const struct dense_shape *s, bool wants_d_a)
{
    const size_t mk = (size_t)(s->m * s->k), kn = (size_t)(s->k * s->n), mn = (size_t)(s->m * s->n);
    const size_t n = (size_t)s->n;
    float *a = compute_rig_draw(f, mk, s->zeros), *w = compute_rig_draw(f, kn, 0),
          *out = compute_rig_draw(f, mn, 0);
    float *d_out = compute_rig_draw(f, mn, 0), *before_w = compute_rig_draw(f, kn, 0),
          *before_bias = compute_rig_draw(f, n, 0);
    struct dense_gradients g = {calloc(mk, 8), calloc(kn, 8), calloc(n, 8), calloc(mn, 8)};
    for (size_t i = 0; i < mn; i++)
        g.d_out[i] = (double)d_out[i];
    for (size_t i = 0; i < kn; i++)
        g.d_w[i] = (double)before_w[i]; /* gradients are added to what is there */
    for (size_t i = 0; i < n; i++)
        g.d_bias[i] = (double)before_bias[i];
    reference_backward(s, a, w, out, &g);
    float *device_d_a = NULL, *device_d_w = compute_rig_put(f, before_w, kn * 4);
    float *device_d_bias = compute_rig_put(f, before_bias, n * 4),
          *device_d_out = compute_rig_put(f, d_out, mn * 4);
    if (wants_d_a)
        device_d_a = compute_rig_alloc(f, mk * 4);

    OK(f->ops->dense_backward(f->compute, device_d_a, device_d_w, device_d_bias, device_d_out,
                              compute_rig_put(f, out, mn * 4), compute_rig_put(f, a, mk * 4),
                              compute_rig_put(f, w, kn * 4), s->m, s->n, s->k, s->act, &f->err));

    float *actual[] = {compute_rig_get(f, device_d_w, kn), compute_rig_get(f, device_d_bias, n),
                       compute_rig_get(f, device_d_out, mn),
                       wants_d_a ? compute_rig_get(f, device_d_a, mk) : NULL};
    compute_rig_near(actual[0], g.d_w, kn, sqrt((double)s->m));
    compute_rig_near(actual[1], g.d_bias, n, sqrt((double)s->m));
    compute_rig_near(actual[2], g.d_out, mn, 1.0);
    if (wants_d_a)
        compute_rig_near(actual[3], g.d_a, mk, sqrt((double)s->n));
    void *const owned[] = {a,     w,        out,     d_out,     before_w,  before_bias, g.d_a,
                           g.d_w, g.d_bias, g.d_out, actual[0], actual[1], actual[2],   actual[3]};
    for (size_t i = 0; i < COUNT_OF(owned); i++)
        free(owned[i]);
}

static void dense_backward_adds_the_gradients(void **state)
{
    (void)state;
    FOR_EACH_BACKEND(f)
    {
        for (size_t i = 0; i < COUNT_OF(dense_shapes); i++)
            check_dense_backward(f, &dense_shapes[i], i % 2 == 0);
    }
}

static void a_nan_passes_through_the_relu(void **state)
{
    (void)state;
    enum { DEPTH = 8, COLUMNS_MAX = 24 };
    static const int columns[] = {1, 8, 10, 24}; /* small layers have products of their own */
    static const float a[DEPTH] = {1.0F, NAN}, w[DEPTH * COLUMNS_MAX], bias[COLUMNS_MAX];
    FOR_EACH_BACKEND(f)
    {
        for (size_t i = 0; i < COUNT_OF(columns); i++) {
            const int n = columns[i];
            float *out = compute_rig_alloc(f, (size_t)n * sizeof(float));
            OK(f->ops->dense_forward(
                f->compute, out, compute_rig_put(f, a, sizeof(a)), compute_rig_put(f, w, sizeof(w)),
                compute_rig_put(f, bias, sizeof(bias)), 1, n, DEPTH, COMPUTE_RELU, &f->err));
            float *actual = compute_rig_get(f, out, (size_t)n);
            for (int j = 0; j < n; j++)
                assert_true(isnan(actual[j]));
            free(actual);
        }
    }
}

/* ------------------------------------------------------------------ gathers */

static void gathers_take_the_named_rows(void **state)
{
    (void)state;
    const uint8_t table[3][5] = {{0, 1, 2, 3, 255}, {9, 8, 7, 6, 5}, {100, 0, 0, 0, 1}};
    const int32_t labels[3] = {7, -2, 11}, rows[4] = {2, 0, 0, 1};
    FOR_EACH_BACKEND(f)
    {
        float *out = compute_rig_alloc(f, sizeof(float) * 20);
        int32_t *picked = compute_rig_alloc(f, sizeof(int32_t) * 4);
        const int32_t *device_rows = compute_rig_put(f, rows, sizeof(rows));
        OK(f->ops->gather_rows_u8(f->compute, out, compute_rig_put(f, table, sizeof(table)),
                                  device_rows, 4, 5, 0.5F, &f->err));
        OK(f->ops->gather_i32(f->compute, picked, compute_rig_put(f, labels, sizeof(labels)),
                              device_rows, 4, &f->err));
        float *actual = compute_rig_get(f, out, 20);
        int32_t got[4];
        OK(f->ops->download(f->compute, got, picked, sizeof(got), &f->err));
        for (int i = 0; i < 4; i++) {
            assert_int_equal(got[i], labels[rows[i]]);
            for (int j = 0; j < 5; j++)
                assert_true(actual[5 * i + j] == 0.5F * (float)table[rows[i]][j]);
        }
        free(actual);
    }
}

/* ------------------------------------------------------------------ loss */

static void check_softmax(struct compute_rig *f, int m, int n, float magnitude)
{
    const size_t mn = (size_t)(m * n);
    float *logits = compute_rig_draw(f, mn, 0);
    int32_t *labels = calloc((size_t)m, sizeof(int32_t));
    double *d_logits = calloc(mn, sizeof(double)), loss = 0.0, right = 0.0;
    const float scale = 0.25F;
    for (int i = 0; i < m; i++) {
        float *row = logits + i * n;
        int best = 0;
        double sum = 0.0;
        labels[i] = (i * 7) % n;
        for (int j = 0; j < n; j++) {
            row[j] *= magnitude;
            best = row[j] > row[best] ? j : best;
        }
        for (int j = 0; j < n; j++)
            sum += exp((double)row[j] - (double)row[best]);
        for (int j = 0; j < n; j++)
            d_logits[i * n + j] = (double)scale * (exp((double)row[j] - (double)row[best]) / sum -
                                                   (j == labels[i] ? 1.0 : 0.0));
        loss += log(sum) + (double)row[best] - (double)row[labels[i]];
        right += best == labels[i];
    }
    const float before[2] = {1.5F, 2.0F}; /* sums are added to what is there */
    float *sums = compute_rig_put(f, before, sizeof(before)),
          *device_d = compute_rig_alloc(f, mn * 4);
    const float *device_logits = compute_rig_put(f, logits, mn * 4);
    const int32_t *device_labels = compute_rig_put(f, labels, (size_t)m * 4);
    OK(f->ops->softmax_cross_entropy(f->compute, sums, sums + 1, device_d, device_logits,
                                     device_labels, NULL, compute_rig_put(f, &scale, 4), m, n,
                                     &f->err));
    OK(f->ops->softmax_cross_entropy(f->compute, sums, sums + 1, NULL, device_logits, device_labels,
                                     NULL, NULL, m, n, &f->err));
    float *actual = compute_rig_get(f, device_d, mn), *got = compute_rig_get(f, sums, 2);
    compute_rig_near(actual, d_logits, mn, 1.0);
    const double expected[2] = {1.5 + 2.0 * loss, 2.0 + 2.0 * right};
    compute_rig_near(got, expected, 2, 1.0);
    free(actual);
    free(got);
    free(logits);
    free(labels);
    free(d_logits);
}

static void softmax_cross_entropy_is_exact_for_small_and_huge_logits(void **state)
{
    (void)state;
    FOR_EACH_BACKEND(f)
    {
        check_softmax(f, 1, 2, 1.0F);
        check_softmax(f, 64, 10, 3.0F);
        check_softmax(f, 7, 1000, 80.0F);
        check_softmax(f, 5, 10, 1e30F);
        check_softmax(f, 2, 65536, 1.0F); /* the most that a spec can have */
    }
}

static void a_label_that_is_no_class_makes_the_loss_nan(void **state)
{
    (void)state;
    FOR_EACH_BACKEND(f)
    {
        const float logits[4] = {0.0F}, zero[2] = {0.0F}, scale = 1.0F;
        const int32_t labels[2] = {1, 2};
        float *sums = compute_rig_put(f, zero, sizeof(zero)),
              *d = compute_rig_put(f, logits, sizeof(logits));
        OK(f->ops->softmax_cross_entropy(f->compute, sums, sums + 1, d,
                                         compute_rig_put(f, logits, sizeof(logits)),
                                         compute_rig_put(f, labels, sizeof(labels)), NULL,
                                         compute_rig_put(f, &scale, 4), 2, 2, &f->err));
        float *got = compute_rig_get(f, sums, 1);
        assert_true(isnan(got[0]));
        free(got);
    }
}

/* ------------------------------------------------------------------ optimizers */

static void check_adam(struct compute_rig *f, float l2, float decay)
{
    enum { COUNT = 1003 };
    float *p = compute_rig_draw(f, COUNT, 0), *g = compute_rig_draw(f, COUNT, 0),
          *m = compute_rig_draw(f, COUNT, 0);
    float *v = compute_rig_draw(f, COUNT, 0);
    const struct compute_adam_scalars s = {.step_size = 0.01F,
                                           .beta1 = 0.9F,
                                           .beta2 = 0.999F,
                                           .complement1 = 0.1F,
                                           .complement2 = 0.001F,
                                           .eps = 1e-8F,
                                           .root_correction = 3.0F,
                                           .l2 = l2,
                                           .decay = decay};
    double expected[3][COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        v[i] = fabsf(v[i]);
        const double kept = (double)p[i] * (1.0 - (double)decay);
        const double gradient = (double)g[i] + (double)l2 * kept;
        expected[1][i] = (double)s.beta1 * (double)m[i] + (double)s.complement1 * gradient;
        expected[2][i] =
            (double)s.beta2 * (double)v[i] + (double)s.complement2 * gradient * gradient;
        expected[0][i] = kept - (double)s.step_size * expected[1][i] /
                                    (sqrt(expected[2][i]) * (double)s.root_correction + 1e-8);
    }
    float *device[3] = {compute_rig_put(f, p, COUNT * 4), compute_rig_put(f, m, COUNT * 4),
                        compute_rig_put(f, v, COUNT * 4)};
    const struct compute_update update = {
        .parameters = device[0], .gradients = compute_rig_put(f, g, COUNT * 4), .count = COUNT};
    OK(f->ops->adam(f->compute, &update, device[1], device[2], compute_rig_put(f, &s, sizeof(s)),
                    &f->err));
    for (int i = 0; i < 3; i++) {
        float *actual = compute_rig_get(f, device[i], COUNT);
        compute_rig_near(actual, expected[i], COUNT, 0.1);
        free(actual);
    }
    free(p);
    free(g);
    free(m);
    free(v);
}

static void adam_is_the_papers_with_both_kinds_of_decay(void **state)
{
    (void)state;
    FOR_EACH_BACKEND(f)
    {
        check_adam(f, 0.0F, 0.0F);
        check_adam(f, 0.1F, 0.0F);
        check_adam(f, 0.0F, 0.05F);
    }
}

static void sgd_has_momentum_and_decay(void **state)
{
    (void)state;
    enum { COUNT = 517 };
    FOR_EACH_BACKEND(f)
    {
        float *p = compute_rig_draw(f, COUNT, 0), *g = compute_rig_draw(f, COUNT, 0),
              *velocity = compute_rig_draw(f, COUNT, 0);
        const struct compute_sgd_scalars s = {.lr = 0.1F, .momentum = 0.9F, .l2 = 0.01F};
        double expected[2][COUNT];
        for (size_t i = 0; i < COUNT; i++) {
            expected[1][i] = (double)s.momentum * (double)velocity[i] + (double)g[i] +
                             (double)s.l2 * (double)p[i];
            expected[0][i] = (double)p[i] - (double)s.lr * expected[1][i];
        }
        float *device_p = compute_rig_put(f, p, COUNT * 4);
        float *device_velocity = compute_rig_put(f, velocity, COUNT * 4);
        const struct compute_update update = {
            .parameters = device_p, .gradients = compute_rig_put(f, g, COUNT * 4), .count = COUNT};
        OK(f->ops->sgd(f->compute, &update, device_velocity, compute_rig_put(f, &s, sizeof(s)),
                       &f->err));
        float *actual[2] = {compute_rig_get(f, device_p, COUNT),
                            compute_rig_get(f, device_velocity, COUNT)};
        compute_rig_near(actual[0], expected[0], COUNT, 0.1);
        compute_rig_near(actual[1], expected[1], COUNT, 0.1);
        void *const owned[] = {p, g, velocity, actual[0], actual[1]};
        for (size_t i = 0; i < COUNT_OF(owned); i++)
            free(owned[i]);
    }
}

static void adagrad_divides_by_the_root_of_what_was_summed(void **state)
{
    (void)state;
    enum { COUNT = 517 };
    FOR_EACH_BACKEND(f)
    {
        float *p = compute_rig_draw(f, COUNT, 0), *g = compute_rig_draw(f, COUNT, 0),
              *sums = compute_rig_draw(f, COUNT, 0);
        const struct compute_adagrad_scalars s = {.lr = 0.1F, .eps = 1e-6F, .l2 = 0.01F};
        const float scale = 0.5F;
        double expected[2][COUNT];
        for (size_t i = 0; i < COUNT; i++) {
            sums[i] = fabsf(sums[i]);
            const double gradient = 0.5 * (double)g[i] + (double)s.l2 * (double)p[i];
            expected[1][i] = (double)sums[i] + gradient * gradient;
            expected[0][i] =
                (double)p[i] - (double)s.lr * gradient / (sqrt(expected[1][i]) + (double)s.eps);
        }
        float *device_p = compute_rig_put(f, p, COUNT * 4),
              *device_sums = compute_rig_put(f, sums, COUNT * 4);
        const struct compute_update update = {.parameters = device_p,
                                              .gradients = compute_rig_put(f, g, COUNT * 4),
                                              .count = COUNT,
                                              .scale = compute_rig_put(f, &scale, 4)};
        OK(f->ops->adagrad(f->compute, &update, device_sums, compute_rig_put(f, &s, sizeof(s)),
                           &f->err));
        float *actual[2] = {compute_rig_get(f, device_p, COUNT),
                            compute_rig_get(f, device_sums, COUNT)};
        compute_rig_near(actual[0], expected[0], COUNT, 0.1);
        compute_rig_near(actual[1], expected[1], COUNT, 0.1);
        void *const owned[] = {p, g, sums, actual[0], actual[1]};
        for (size_t i = 0; i < COUNT_OF(owned); i++)
            free(owned[i]);
    }
}

/* The piece [skip, skip + count) of a table of rows of `width`, one row in three touched. */
struct piece {
    size_t skip, count;
    int width;
};

static const struct piece pieces[] = {{0, 30, 3},  {2, 30, 3}, {1, 1, 3},      {0, 64, 1},
                                      {7, 100, 8}, {0, 5, 16}, {100, 700, 128}};

static bool piece_touches(const struct piece *piece, size_t i)
{
    return (piece->skip + i) / (size_t)piece->width % 3 == 1;
}

/* The same three operations with and without flags: alike where the row is touched, else nothing. */
static void update_piece(struct compute_rig *f, const struct piece *piece, const float *flags,
                         float *actual[4])
{
    f->draws = 0;
    float *host[4] = {compute_rig_draw(f, piece->count, 0), compute_rig_draw(f, piece->count, 0),
                      compute_rig_draw(f, piece->count, 0), compute_rig_draw(f, piece->count, 0)};
    float *device[4];
    for (int i = 0; i < 4; i++) {
        for (size_t j = 0; j < piece->count; j++)
            host[i][j] = fabsf(host[i][j]);
        device[i] = compute_rig_put(f, host[i], piece->count * 4);
        free(host[i]);
    }
    struct compute_update update = {.parameters = device[0],
                                    .gradients = device[1],
                                    .count = piece->count,
                                    .flags = flags,
                                    .skip = piece->skip,
                                    .width = piece->width};
    const struct compute_adam_scalars adam = {.step_size = 0.01F,
                                              .beta1 = 0.9F,
                                              .beta2 = 0.9F,
                                              .complement1 = 0.1F,
                                              .complement2 = 0.1F,
                                              .eps = 1e-8F,
                                              .root_correction = 1.0F,
                                              .decay = 0.1F};
    const struct compute_sgd_scalars sgd = {.lr = 0.1F, .momentum = 0.9F, .l2 = 0.1F};
    const struct compute_adagrad_scalars adagrad = {.lr = 0.1F, .eps = 1e-6F, .l2 = 0.1F};
    OK(f->ops->adam(f->compute, &update, device[2], device[3],
                    compute_rig_put(f, &adam, sizeof(adam)), &f->err));
    OK(f->ops->sgd(f->compute, &update, device[2], compute_rig_put(f, &sgd, sizeof(sgd)), &f->err));
    update.clears = true;
    OK(f->ops->adagrad(f->compute, &update, device[3],
                       compute_rig_put(f, &adagrad, sizeof(adagrad)), &f->err));
    for (int i = 0; i < 4; i++)
        actual[i] = compute_rig_get(f, device[i], piece->count);
}

static void check_piece(struct compute_rig *f, const struct piece *piece)
{
    const size_t width = (size_t)piece->width;
    const size_t rows = (piece->skip + piece->count + width - 1) / width;
    float *flags = calloc(rows, sizeof(float)), *zeros = calloc(rows, sizeof(float));
    for (size_t row = 0; row < rows; row++)
        flags[row] = row % 3 == 1 ? 2.0F : 0.0F;
    float *all[4], *some[4], *none[4];
    update_piece(f, piece, NULL, all);
    update_piece(f, piece, compute_rig_put(f, flags, rows * 4), some);
    update_piece(f, piece, compute_rig_put(f, zeros, rows * 4), none);
    f->draws = 0;
    for (int i = 0; i < 4; i++) {
        float *before = compute_rig_draw(f, piece->count, 0);
        for (size_t j = 0; j < piece->count; j++) {
            const float expected = piece_touches(piece, j) ? all[i][j] : fabsf(before[j]);
            assert_true(some[i][j] == expected);
            assert_true(none[i][j] == fabsf(before[j]));
            assert_true(i != 1 || all[i][j] == 0.0F); /* the gradients are cleared by the last */
        }
        free(before);
        free(all[i]);
        free(some[i]);
        free(none[i]);
    }
    free(flags);
    free(zeros);
}

static void rows_that_a_step_did_not_touch_keep_their_bits(void **state)
{
    (void)state;
    FOR_EACH_BACKEND(f)
    {
        for (size_t i = 0; i < COUNT_OF(pieces); i++)
            check_piece(f, &pieces[i]);
    }
}

/* ------------------------------------------------------------------ tables and manners */

static void a_missing_operation_is_named(void **state)
{
    (void)state;
    struct compute_ops ops = compute_cpu;
    struct error err = {.status = STATUS_OK};
    ops.dense_backward = NULL;

    assert_int_equal(compute_check(&ops, &err), STATUS_INTERNAL);

    assert_string_equal(err.text, "compute backend cpu: operation dense_backward is missing");
}

static void an_absent_cuda_backend_is_said_so(void **state)
{
    (void)state;
    const struct compute_ops *ops = NULL;
    struct error err = {.status = STATUS_OK};

    assert_int_equal(compute_find("cuda", &ops, &err), STATUS_UNSUPPORTED);

    assert_non_null(strstr(err.text, "no CUDA backend"));
    assert_null(ops);
    error_clear(&err);
    assert_int_equal(compute_find("tpu", &ops, &err), STATUS_UNSUPPORTED);
    assert_string_equal(err.text, "device \"tpu\" is neither cpu nor cuda");
}

static void allocated_bytes_are_counted(void **state)
{
    (void)state;
    FOR_EACH_BACKEND(f)
    {
        const size_t before = f->ops->allocated(f->compute);
        void *memory = NULL;
        OK(f->ops->alloc(f->compute, 100000, &memory, &f->err));
        const size_t more = f->ops->allocated(f->compute) - before;
        assert_true(more >= 100000 && more < 110000);
        f->ops->release(f->compute, memory);
        if (f->ops == &compute_cpu)
            assert_true(f->ops->allocated(f->compute) == before);
    }
}

static void far_memory_kills_whoever_reads_it_from_the_host(void **state)
{
    struct compute_rig *f = &((struct compute_rig *)*state)[1];
    const float value = 1.0F;
    const volatile float *memory = compute_rig_put(f, &value, sizeof(value));
    const pid_t child = fork();
    if (child == 0) {
        (void)signal(SIGSEGV, SIG_DFL);
        _exit(memory[0] > 0.0F ? 0 : 1);
    }
    int result = 0;
    assert_int_equal(waitpid(child, &result, 0), child);
#if !defined(__SANITIZE_ADDRESS__)
    assert_true(WIFSIGNALED(result));
    assert_int_equal(WTERMSIG(result), SIGSEGV);
#else
    assert_true(!WIFEXITED(result) || WEXITSTATUS(result) > 1);
#endif
}

struct counted_step {
    struct compute_rig *rig;
    float *target;
    const float *source;
    int calls;
};

static enum status copy_step(void *context, struct error *err)
{
    struct counted_step *step = context;
    step->calls++;
    return step->rig->ops->copy(step->rig->compute, step->target, step->source, 4, err);
}

static enum status uploading_step(void *context, struct error *err)
{
    struct counted_step *step = context;
    const float value = 1.0F;
    return step->rig->ops->upload(step->rig->compute, step->target, &value, 4, err);
}

static void far_steps_are_recorded_once_and_replayed(void **state)
{
    struct compute_rig *f = &((struct compute_rig *)*state)[1];
    const float first = 1.0F, second = 2.0F;
    float *source = compute_rig_put(f, &first, 4), *target = compute_rig_put(f, &first, 4);
    struct counted_step step = {f, target, source, 0};
    OK(f->ops->run(f->compute, 77, copy_step, &step, &f->err));
    OK(f->ops->upload(f->compute, source, &second, 4, &f->err));

    OK(f->ops->run(f->compute, 77, copy_step, &step, &f->err));

    float *actual = compute_rig_get(f, target, 1);
    assert_true(actual[0] == 2.0F);
    assert_int_equal(step.calls, 1);
    struct error err = {.status = STATUS_OK};
    assert_int_equal(f->ops->run(f->compute, 78, uploading_step, &step, &err), STATUS_INTERNAL);
    assert_string_equal(err.text, "upload inside a step");
    free(actual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_forward_is_the_product_plus_bias_through_the_activation),
        cmocka_unit_test(dense_backward_adds_the_gradients),
        cmocka_unit_test(a_nan_passes_through_the_relu),
        cmocka_unit_test(gathers_take_the_named_rows),
        cmocka_unit_test(softmax_cross_entropy_is_exact_for_small_and_huge_logits),
        cmocka_unit_test(a_label_that_is_no_class_makes_the_loss_nan),
        cmocka_unit_test(adam_is_the_papers_with_both_kinds_of_decay),
        cmocka_unit_test(sgd_has_momentum_and_decay),
        cmocka_unit_test(adagrad_divides_by_the_root_of_what_was_summed),
        cmocka_unit_test(rows_that_a_step_did_not_touch_keep_their_bits),
        cmocka_unit_test(a_missing_operation_is_named),
        cmocka_unit_test(an_absent_cuda_backend_is_said_so),
        cmocka_unit_test(allocated_bytes_are_counted),
        cmocka_unit_test(far_memory_kills_whoever_reads_it_from_the_host),
        cmocka_unit_test(far_steps_are_recorded_once_and_replayed),
    };
    return cmocka_run_group_tests_name("compute", tests, compute_rigs_open, compute_rigs_close);
}
