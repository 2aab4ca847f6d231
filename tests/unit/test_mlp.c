/*
 * test_mlp.c - the multilayer perceptron: its gradients against finite differences in float64, its
 * initial values, and that a whole training runs on a far device with the same bits.
 */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdlib.h>

#include "tests/unit/compute_far.h"
#include "tests/unit/model_rig.h"
#include "tests/unit/trajectory.h"

enum { RECORDS = 40, WIDTH = 12, CLASSES = 5, ROWS = 16 };

struct fixture {
    struct model_rig rig;
    struct dataset set;
    uint8_t bytes[RECORDS][WIDTH];
    int32_t labels[RECORDS];
};

static struct job_spec small_spec(void)
{
    struct job_spec spec = {.model = {.type = MODEL_MLP}};
    spec.model.mlp.hidden[0] = 9;
    spec.model.mlp.hidden[1] = 7;
    spec.model.mlp.hidden_count = 2;
    spec.model.mlp.classes = CLASSES;
    spec.optimizer = (struct optimizer_spec){.lr = 0.01,
                                             .beta1 = 0.9,
                                             .beta2 = 0.999,
                                             .eps = 1e-8,
                                             .momentum = 0.9,
                                             .weight_decay = 0.001};
    return spec;
}

static void fixture_open(struct fixture *f, const struct compute_ops *ops)
{
    *f = (struct fixture){
        .set = {
            .kind = DATA_KIND_BYTES, .count = RECORDS, .scale = 1.0F / 255.0F, .array_count = 2}};
    for (int i = 0; i < RECORDS; i++) {
        f->labels[i] = (i * 3) % CLASSES;
        for (int j = 0; j < WIDTH; j++)
            f->bytes[i][j] = (uint8_t)((i * 37 + j * 91 + i * j * 5) % 256);
    }
    f->set.arrays[0] = rig_array("features", DATA_U8, RECORDS, WIDTH, f->bytes);
    f->set.arrays[1] = rig_array("label", DATA_I32, RECORDS, 1, f->labels);
    const struct job_spec spec = small_spec();
    rig_open(&f->rig, ops, &spec, &(struct model_input){.train = &f->set});
    f->rig.set = &f->set;
}

static void feed_first_rows(struct fixture *f)
{
    int32_t records[ROWS];
    for (int i = 0; i < ROWS; i++)
        records[i] = i;
    rig_feed(
        &f->rig,
        &(struct rig_rows){.set = &f->set, .records = records, .count = ROWS, .batch_rows = ROWS},
        true);
}

/* ------------------------------------------------------------------ gradients */

/* The mean loss of the first ROWS records, in float64, from the parameter table alone. */
static double reference_loss(const struct fixture *f, const double *parameters)
{
    size_t count = 0;
    const struct parameter *table = model_mlp.parameters(f->rig.model, &count);
    double loss = 0.0;
    for (int row = 0; row < ROWS; row++) {
        double in[16] = {0.0}, out[16] = {0.0};
        for (int j = 0; j < WIDTH; j++)
            in[j] = (double)f->bytes[row][j] / 255.0;
        for (size_t layer = 0; layer < count / 2; layer++) {
            const struct parameter *weight = &table[2 * layer], *bias = &table[2 * layer + 1];
            for (int64_t o = 0; o < weight->shape[1]; o++) {
                out[o] = parameters[bias->offset + (size_t)o];
                for (int64_t i = 0; i < weight->shape[0]; i++)
                    out[o] +=
                        in[i] * parameters[weight->offset + (size_t)(i * weight->shape[1] + o)];
                if (layer + 1 < count / 2 && out[o] < 0.0)
                    out[o] = 0.0;
            }
            memcpy(in, out, sizeof(in));
        }
        double sum = 0.0;
        for (int c = 0; c < CLASSES; c++)
            sum += exp(in[c]);
        loss += log(sum) - in[f->labels[row]];
    }
    return loss / ROWS;
}

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    static struct fixture f;
    fixture_open(&f, &compute_cpu);
    const size_t count = f.rig.count;
    float *initial = calloc(count, sizeof(float)), *actual = calloc(count, sizeof(float));
    double *moved = calloc(count, sizeof(double));
    model_initialise(f.rig.model, 3, initial);
    for (size_t i = 0; i < count; i++)
        moved[i] = (double)initial[i];
    rig_set_parameters(&f.rig, initial);
    feed_first_rows(&f);

    rig_train(&f.rig);

    float sums[MODEL_METRICS_MAX];
    rig_get(&f.rig, f.rig.gradients, actual, count);
    rig_get(&f.rig, f.rig.sums, sums, MODEL_METRICS_MAX);
    assert_true(fabs((double)sums[0] / ROWS - reference_loss(&f, moved)) < 1e-6);
    for (size_t i = 0; i < count; i++) {
        const double step = 1e-6, before = moved[i];
        moved[i] = before + step;
        const double above = reference_loss(&f, moved);
        moved[i] = before - step;
        const double below = reference_loss(&f, moved);
        moved[i] = before;
        const double expected = (above - below) / (2.0 * step);
        if (fabs((double)actual[i] - expected) > 1e-6 + 1e-4 * fabs(expected))
            fail_msg("gradient %zu is %.9g, expected %.9g", i, (double)actual[i], expected);
    }
    free(initial);
    free(actual);
    free(moved);
    rig_close(&f.rig);
}

static void a_step_adds_to_gradients_and_sums(void **state)
{
    (void)state;
    static struct fixture f;
    float gradient[2], first[MODEL_METRICS_MAX], second[MODEL_METRICS_MAX];
    fixture_open(&f, &compute_cpu);
    rig_initialise(&f.rig, 3);
    feed_first_rows(&f);
    rig_train(&f.rig);
    rig_get(&f.rig, f.rig.gradients + 5, &gradient[0], 1);
    rig_get(&f.rig, f.rig.sums, first, MODEL_METRICS_MAX);

    rig_train(&f.rig);

    rig_get(&f.rig, f.rig.gradients + 5, &gradient[1], 1);
    rig_get(&f.rig, f.rig.sums, second, MODEL_METRICS_MAX);
    assert_true(gradient[1] == 2.0F * gradient[0]);
    assert_true(second[0] == 2.0F * first[0]);
    rig_evaluate(&f.rig, false);
    rig_get(&f.rig, f.rig.sums, second, MODEL_METRICS_MAX);
    assert_true(second[0] == 3.0F * first[0]);
    assert_true(second[1] == 3.0F * first[1]);
    rig_close(&f.rig);
}

/* ------------------------------------------------------------------ initial values */

static void initial_values_fill_the_interval_of_each_layer(void **state)
{
    (void)state;
    static struct fixture f;
    fixture_open(&f, &compute_cpu);
    const size_t floats = f.rig.count;
    float *values = calloc(floats, sizeof(float)), *again = calloc(floats, sizeof(float));
    model_initialise(f.rig.model, 1, values);
    model_initialise(f.rig.model, 1, again);
    assert_memory_equal(values, again, floats * sizeof(float));
    model_initialise(f.rig.model, 2, again);
    assert_memory_not_equal(values, again, floats * sizeof(float));
    size_t count = 0;
    const struct parameter *table = model_mlp.parameters(f.rig.model, &count);
    assert_int_equal(count, 6);
    assert_string_equal(table[4].name, "layer2.weight");
    for (size_t p = 0; p < count; p++) {
        const float bound =
            (float)(1.0 / sqrt((double)table[p - p % 2].shape[0])); /* of the weight */
        float largest = 0.0F;
        for (size_t i = 0; i < table[p].count; i++) {
            const float value = fabsf(values[table[p].offset + i]);
            assert_true(value <= bound);
            largest = value > largest ? value : largest;
        }
        assert_true(largest > 0.3F * bound);
    }
    free(values);
    free(again);
    rig_close(&f.rig);
}

static void twenty_steps_are_pytorchs(void **state)
{
    (void)state;
    const char *const names[] = {"mlp_relu_softmax", "mlp_gelu_sigmoid", "mlp_tanh_linear",
                                 "mlp_no_hidden", "mlp_table_weights"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        trajectory_check(names[i], &compute_cpu);
        trajectory_check(names[i], &compute_far);
    }
}

/* ------------------------------------------------------------------ on a far device */

static void training_on_a_far_device_gives_the_same_bits(void **state)
{
    (void)state;
    for (int type = OPTIMIZER_SGD; type <= OPTIMIZER_ADAGRAD; type++) {
        static struct fixture near, far;
        fixture_open(&near, &compute_cpu);
        fixture_open(&far, &compute_far);
        float *expected = calloc(near.rig.count, sizeof(float));
        float *actual = calloc(near.rig.count, sizeof(float));
        float expected_sums[MODEL_METRICS_MAX], actual_sums[MODEL_METRICS_MAX];
        rig_initialise(&near.rig, 11);
        rig_initialise(&far.rig, 11);

        rig_train_with(&near.rig, optim_registry[type], 30, ROWS, expected, expected_sums);
        rig_train_with(&far.rig, optim_registry[type], 30, ROWS, actual, actual_sums);

        assert_memory_equal(actual, expected, near.rig.count * sizeof(float));
        assert_memory_equal(actual_sums, expected_sums, sizeof(actual_sums));
        assert_int_equal(compute_far_replays(far.rig.device.compute), 28); /* two keys */
        free(expected);
        free(actual);
        rig_close(&near.rig);
        rig_close(&far.rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(a_step_adds_to_gradients_and_sums),
        cmocka_unit_test(initial_values_fill_the_interval_of_each_layer),
        cmocka_unit_test(twenty_steps_are_pytorchs),
        cmocka_unit_test(training_on_a_far_device_gives_the_same_bits),
    };
    return cmocka_run_group_tests_name("mlp", tests, NULL, NULL);
}
