/*
 * test_compute_elements.c - activations, dropout, losses of one value a row and probabilities, on every
 * backend, against float64; and the errors that cpu_math.h promises.
 */
#include <math.h>
#include <stdlib.h>

#include "tests/unit/compute_rig.h"
#include "trainer/compute/cpu/cpu_math.h"
#include "trainer/data/philox.h"

/* ------------------------------------------------------------------ activations */

#define INVERSE_SQRT_2PI 0.39894228040143267794

static double exact(enum compute_activation act, double x)
{
    switch (act) {
    case COMPUTE_LINEAR:
        return x;
    case COMPUTE_RELU:
        return x > 0.0 ? x : 0.0;
    case COMPUTE_TANH:
        return tanh(x);
    case COMPUTE_GELU:
        break;
    }
    return 0.5 * x * erfc(-x * sqrt(0.5));
}

static double exact_slope(enum compute_activation act, double x)
{
    switch (act) {
    case COMPUTE_LINEAR:
        return 1.0;
    case COMPUTE_RELU:
        return x > 0.0 ? 1.0 : 0.0;
    case COMPUTE_TANH:
        return 1.0 - tanh(x) * tanh(x);
    case COMPUTE_GELU:
        break;
    }
    return 0.5 * erfc(-x * sqrt(0.5)) + x * INVERSE_SQRT_2PI * exp(-0.5 * x * x);
}

/* Both signs of sizes from 1e-6 to 90, with a tail that is no multiple of any vector. */
enum { POINTS = 20011 };

static void fill_points(float points[POINTS])
{
    for (int i = 0; i < POINTS; i++) {
        const int pair = i / 2;
        const double size = 1e-6 * pow(90e6, 2.0 * (double)pair / POINTS);
        points[i] = (float)(i % 2 == 0 ? size : -size);
    }
    points[0] = 0.0F;
}

static void check_activation(struct compute_rig *f, enum compute_activation act)
{
    static float points[POINTS];
    static double expected[POINTS], slopes[POINTS];
    fill_points(points);
    float *weights = compute_rig_draw(f, POINTS, 0);
    for (int i = 0; i < POINTS; i++) {
        expected[i] = exact(act, (double)points[i]);
        slopes[i] = (double)weights[i] * exact_slope(act, (double)points[i]);
    }
    const float *in = compute_rig_put(f, points, sizeof(points));
    float *out = compute_rig_alloc(f, sizeof(points)), *d = compute_rig_put(f, weights, POINTS * 4);

    OK(f->ops->activation_forward(f->compute, out, in, POINTS, act, &f->err));
    OK(f->ops->activation_backward(f->compute, d, in, out, POINTS, act, &f->err));

    float *actual = compute_rig_get(f, out, POINTS), *gradient = compute_rig_get(f, d, POINTS);
    compute_rig_near(actual, expected, POINTS, 0.01);
    compute_rig_near(gradient, slopes, POINTS, 0.05); /* 1 - tanh^2 cancels */
    free(weights);
    free(actual);
    free(gradient);
}

static void activations_and_their_slopes_are_float64s(void **state)
{
    (void)state;
    FOR_EACH_BACKEND(f)
    {
        for (int act = COMPUTE_LINEAR; act <= COMPUTE_GELU; act++)
            check_activation(f, (enum compute_activation)act);
    }
}

static void in_place_an_activation_gives_the_same_bits(void **state)
{
    (void)state;
    enum { COUNT = 77 };
    FOR_EACH_BACKEND(f)
    {
        float *values = compute_rig_draw(f, COUNT, 10);
        for (int act = COMPUTE_LINEAR; act <= COMPUTE_TANH; act++) {
            const enum compute_activation a = (enum compute_activation)act;
            float *in = compute_rig_put(f, values, COUNT * 4),
                  *out = compute_rig_alloc(f, COUNT * 4);
            OK(f->ops->activation_forward(f->compute, out, in, COUNT, a, &f->err));
            OK(f->ops->activation_forward(f->compute, in, in, COUNT, a, &f->err));
            float *apart = compute_rig_get(f, out, COUNT), *same = compute_rig_get(f, in, COUNT);
            assert_memory_equal(apart, same, COUNT * sizeof(float));
            free(apart);
            free(same);
        }
        free(values);
    }
}

static void a_nan_passes_through_every_activation(void **state)
{
    (void)state;
    const float values[9] = {NAN, 1.0F, NAN, 2.0F, NAN, 3.0F, NAN, 4.0F, NAN};
    FOR_EACH_BACKEND(f)
    {
        for (int act = COMPUTE_LINEAR; act <= COMPUTE_GELU; act++) {
            float *out = compute_rig_alloc(f, sizeof(values));
            OK(f->ops->activation_forward(f->compute, out, compute_rig_put(f, values, 36), 9,
                                          (enum compute_activation)act, &f->err));
            float *actual = compute_rig_get(f, out, 9);
            for (int i = 0; i < 9; i++)
                assert_int_equal(isnan(actual[i]) != 0, i % 2 == 0);
            free(actual);
        }
    }
}

static void note_error(double *worst, double actual, double expected, double size)
{
    const double error = fabs(actual - expected) / size;
    *worst = error > *worst ? error : *worst;
}

static void the_errors_of_cpu_math_are_those_of_its_header(void **state)
{
    (void)state;
    enum { SWEEP = 1000000 };
    double worst[5] = {0.0};
    for (int i = 0; i < SWEEP; i++) {
        const float size = (float)(1e-7 * pow(87e7, (double)i / SWEEP));
        for (int sign = -1; sign <= 1; sign += 2) {
            const float x = (float)sign * size;
            const double d = (double)x, logistic = 1.0 / (1.0 + exp(-d));
            note_error(&worst[0], (double)math_exp(x), exp(d), exp(d));
            note_error(&worst[1], (double)math_tanh(x), tanh(d), fabs(tanh(d)));
            if (x > -85.0F)
                note_error(&worst[2], (double)math_logistic(x), logistic, logistic);
            note_error(&worst[3], (double)math_gelu(x), exact(COMPUTE_GELU, d), fmax(fabs(d), 1.0));
            note_error(&worst[4], (double)math_gelu_slope(x), exact_slope(COMPUTE_GELU, d), 1.0);
        }
    }
    static const double promised[5] = {1.2e-7, 3e-7, 3e-7, 2e-7, 4e-7};
    for (int i = 0; i < 5; i++) {
        if (worst[i] >= promised[i])
            fail_msg("function %d is off by %.3g, promised %.3g", i, worst[i], promised[i]);
    }
    assert_true(math_exp(-1e30F) == 0.0F && math_logistic(-1e30F) == 0.0F);
    assert_true(math_tanh(1e30F) == 1.0F && math_logistic(1e30F) == 1.0F);
    assert_true(math_gelu(1e30F) == 1e30F && math_gelu(-1e30F) == 0.0F);
}

/* ------------------------------------------------------------------ dropout */

struct dropout_case {
    uint32_t counter[3]; /* the step's low and high word, the first row */
    int n, width;
    float rate;
};

static const struct dropout_case dropouts[] = {
    {{0, 0, 0}, 1, 1, 0.5F},          {{1, 0, 0}, 16, 128, 0.1F},
    {{7, 3, 5}, 9, 7, 0.3F},          {{9, 0, 4000000001U}, 50, 33, 0.9F},
    {{2, 0, 0xFFFFFFFFU}, 2, 2, 0.F}, {{0xFFFFFFFFU, 0xFFFFFFFFU, 1}, 3, 129, 0.25F},
};

/* Element (i, j): word (e % 4) of counter (step, e / 4) with e = (first row + i) * width + j. */
static float dropped(const struct dropout_case *c, uint64_t key, int element, float value)
{
    const struct philox_key philox = {{(uint32_t)key, (uint32_t)(key >> 32)}};
    const uint64_t e = (uint64_t)c->counter[2] * (uint64_t)c->width + (uint64_t)element;
    uint32_t word[4];
    philox_4x32(philox, (uint64_t)c->counter[1] << 32 | c->counter[0], e / 4, word);
    return value * (philox_unit(word[e % 4]) < c->rate ? 0.0F : 1.0F / (1.0F - c->rate));
}

static void dropout_is_philox_of_step_row_and_element(void **state)
{
    (void)state;
    const uint64_t key = UINT64_C(0xFEDCBA9876543210);
    FOR_EACH_BACKEND(f)
    {
        for (size_t i = 0; i < COUNT_OF(dropouts); i++) {
            const struct dropout_case *c = &dropouts[i];
            const size_t count = (size_t)c->n * (size_t)c->width;
            float *values = compute_rig_draw(f, count, 0);
            float *device = compute_rig_put(f, values, count * 4);
            OK(f->ops->dropout(f->compute, device, compute_rig_put(f, c->counter, 12), key, c->rate,
                               c->n, c->width, &f->err));
            float *actual = compute_rig_get(f, device, count);
            for (size_t j = 0; j < count; j++)
                assert_true(actual[j] == dropped(c, key, (int)j, values[j]));
            free(values);
            free(actual);
        }
    }
}

/* ------------------------------------------------------------------ losses */

enum { ROWS = 9 };
static const float logits_of_rows[ROWS] = {0.0F,  1.5F,   -1.5F, 30.0F, -30.0F,
                                           90.0F, -90.0F, 1e4F,  -1e4F};
static const int32_t labels_of_rows[ROWS] = {1, 0, 1, 1, 1, 0, 0, 1, 1};

static void check_sigmoid(struct compute_rig *f, const float *class_weights)
{
    const float scale = 0.125F, before[2] = {0.5F, 1.0F};
    double d_logits[ROWS], loss = 0.0, right = 0.0;
    for (int i = 0; i < ROWS; i++) {
        const double z = (double)logits_of_rows[i];
        const int label = labels_of_rows[i];
        const double weight = class_weights == NULL ? 1.0 : (double)class_weights[label];
        loss += weight * (log1p(exp(-fabs(z))) + fmax(z, 0.0) - (label == 1 ? z : 0.0));
        right += (z > 0.0) == (label == 1);
        d_logits[i] = weight * (double)scale * (1.0 / (1.0 + exp(-z)) - label);
    }
    float *sums = compute_rig_put(f, before, 8), *d = compute_rig_alloc(f, ROWS * 4);
    const float *logits = compute_rig_put(f, logits_of_rows, ROWS * 4);
    const int32_t *labels = compute_rig_put(f, labels_of_rows, ROWS * 4);
    const float *weights = class_weights == NULL ? NULL : compute_rig_put(f, class_weights, 8);
    OK(f->ops->sigmoid_cross_entropy(f->compute, sums, sums + 1, d, logits, labels, weights,
                                     compute_rig_put(f, &scale, 4), ROWS, &f->err));
    OK(f->ops->sigmoid_cross_entropy(f->compute, sums, sums + 1, NULL, logits, labels, weights,
                                     NULL, ROWS, &f->err));
    float *actual = compute_rig_get(f, d, ROWS), *got = compute_rig_get(f, sums, 2);
    const double expected[2] = {0.5 + 2.0 * loss, 1.0 + 2.0 * right};
    compute_rig_near(actual, d_logits, ROWS, 0.01);
    compute_rig_near(got, expected, 2, 0.1);
    free(actual);
    free(got);
}

static void sigmoid_cross_entropy_is_stable_for_huge_logits(void **state)
{
    (void)state;
    const float weights[2] = {0.25F, 4.0F};
    FOR_EACH_BACKEND(f)
    {
        check_sigmoid(f, NULL);
        check_sigmoid(f, weights);
    }
}

static void a_label_beside_0_and_1_makes_the_loss_nan(void **state)
{
    (void)state;
    const int32_t wrong[] = {-1, 2};
    const float logit = 0.5F, zero[2] = {0.0F};
    FOR_EACH_BACKEND(f)
    {
        for (size_t i = 0; i < COUNT_OF(wrong); i++) {
            float *sums = compute_rig_put(f, zero, 8);
            OK(f->ops->sigmoid_cross_entropy(
                f->compute, sums, sums + 1, NULL, compute_rig_put(f, &logit, 4),
                compute_rig_put(f, &wrong[i], 4), NULL, NULL, 1, &f->err));
            float *got = compute_rig_get(f, sums, 1);
            assert_true(isnan(got[0]));
            free(got);
        }
    }
}

static void class_weights_multiply_a_rows_loss_and_gradient(void **state)
{
    (void)state;
    enum { CLASSES = 3 };
    const float weights[CLASSES] = {0.5F, 1.0F, 3.0F}, scale = 0.5F, zero[2] = {0.0F};
    const int32_t labels[3] = {2, 0, 1};
    FOR_EACH_BACKEND(f)
    {
        float *logits = compute_rig_draw(f, 9, 0);
        double expected[9], loss = 0.0;
        for (int i = 0; i < 3; i++) {
            const double weight = (double)weights[labels[i]];
            double sum = 0.0;
            for (int j = 0; j < CLASSES; j++)
                sum += exp((double)logits[3 * i + j]);
            for (int j = 0; j < CLASSES; j++)
                expected[3 * i + j] =
                    0.5 * weight *
                    (exp((double)logits[3 * i + j]) / sum - (j == labels[i] ? 1.0 : 0.0));
            loss += weight * (log(sum) - (double)logits[3 * i + labels[i]]);
        }
        float *sums = compute_rig_put(f, zero, 8), *d = compute_rig_alloc(f, 36);
        OK(f->ops->softmax_cross_entropy(
            f->compute, sums, sums + 1, d, compute_rig_put(f, logits, 36),
            compute_rig_put(f, labels, 12), compute_rig_put(f, weights, 12),
            compute_rig_put(f, &scale, 4), 3, CLASSES, &f->err));
        float *actual = compute_rig_get(f, d, 9), *got = compute_rig_get(f, sums, 1);
        compute_rig_near(actual, expected, 9, 0.1);
        compute_rig_near(got, &loss, 1, 0.1);
        free(logits);
        free(actual);
        free(got);
    }
}

static void squared_error_sums_squares_and_gives_twice_the_difference(void **state)
{
    (void)state;
    enum { COUNT = 33 };
    const float scale = 0.25F, before = 2.0F;
    FOR_EACH_BACKEND(f)
    {
        float *out = compute_rig_draw(f, COUNT, 0), *targets = compute_rig_draw(f, COUNT, 0);
        double expected[COUNT], loss = 2.0;
        for (int i = 0; i < COUNT; i++) {
            const double difference = (double)out[i] - (double)targets[i];
            expected[i] = 0.5 * difference;
            loss += 2.0 * difference * difference; /* two calls */
        }
        float *sum = compute_rig_put(f, &before, 4), *d = compute_rig_alloc(f, COUNT * 4);
        const float *device_out = compute_rig_put(f, out, COUNT * 4);
        const float *device_targets = compute_rig_put(f, targets, COUNT * 4);
        OK(f->ops->squared_error(f->compute, sum, d, device_out, device_targets,
                                 compute_rig_put(f, &scale, 4), COUNT, &f->err));
        OK(f->ops->squared_error(f->compute, sum, NULL, device_out, device_targets, NULL, COUNT,
                                 &f->err));
        float *actual = compute_rig_get(f, d, COUNT), *got = compute_rig_get(f, sum, 1);
        compute_rig_near(actual, expected, COUNT, 0.1);
        compute_rig_near(got, &loss, 1, 0.1);
        void *const owned[] = {out, targets, actual, got};
        for (size_t i = 0; i < COUNT_OF(owned); i++)
            free(owned[i]);
    }
}

static void check_probabilities(struct compute_rig *f, int m, int n, float magnitude)
{
    const size_t mn = (size_t)m * (size_t)n;
    float *logits = compute_rig_draw(f, mn, 0);
    double *expected = calloc(mn, sizeof(double));
    assert_non_null(expected);
    for (int i = 0; i < m; i++) {
        double sum = n == 1 ? 1.0 : 0.0; /* of one logit: the other class has 0 */
        for (int j = 0; j < n; j++) {
            logits[i * n + j] *= magnitude;
            sum += exp((double)logits[i * n + j]);
        }
        for (int j = 0; j < n; j++)
            expected[i * n + j] = exp((double)logits[i * n + j]) / sum;
    }
    float *out = compute_rig_alloc(f, mn * 4);
    OK(f->ops->probabilities(f->compute, out, compute_rig_put(f, logits, mn * 4), m, n, &f->err));
    float *actual = compute_rig_get(f, out, mn);
    compute_rig_near(actual, expected, mn, 0.01);
    free(logits);
    free(expected);
    free(actual);
}

static void probabilities_are_softmax_or_of_one_logit_the_logistic_function(void **state)
{
    (void)state;
    FOR_EACH_BACKEND(f)
    {
        check_probabilities(f, 101, 1, 60.0F);
        check_probabilities(f, 7, 2, 3.0F);
        check_probabilities(f, 3, 777, 80.0F);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations_and_their_slopes_are_float64s),
        cmocka_unit_test(in_place_an_activation_gives_the_same_bits),
        cmocka_unit_test(a_nan_passes_through_every_activation),
        cmocka_unit_test(the_errors_of_cpu_math_are_those_of_its_header),
        cmocka_unit_test(dropout_is_philox_of_step_row_and_element),
        cmocka_unit_test(sigmoid_cross_entropy_is_stable_for_huge_logits),
        cmocka_unit_test(a_label_beside_0_and_1_makes_the_loss_nan),
        cmocka_unit_test(class_weights_multiply_a_rows_loss_and_gradient),
        cmocka_unit_test(squared_error_sums_squares_and_gives_twice_the_difference),
        cmocka_unit_test(probabilities_are_softmax_or_of_one_logit_the_logistic_function),
    };
    return cmocka_run_group_tests_name("compute_elements", tests, compute_rigs_open,
                                       compute_rigs_close);
}
