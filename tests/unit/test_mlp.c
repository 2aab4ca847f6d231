/*
 * test_mlp.c - the multilayer perceptron: its gradients against finite differences in float64 for every
 * kind of records, activation and head, dropout, PyTorch's trajectories, initial values, and that a
 * whole training runs on a far device with the same bits.
 */
#include <math.h>
#include <stdlib.h>

#include "tests/unit/compute_far.h"
#include "tests/unit/mlp_rig.h"
#include "tests/unit/trajectory.h"

enum { ROWS = 16, STEP = 3 };

static const struct mlp_variant plain = {.head = HEAD_SOFTMAX};

static double *to_double(const float *values, size_t count)
{
    double *out = calloc(count, sizeof(double));
    assert_non_null(out);
    for (size_t i = 0; i < count; i++)
        out[i] = (double)values[i];
    return out;
}

/* ------------------------------------------------------------------ gradients */

static void check_gradients(const struct mlp_rig *mlp, const struct rig_rows *rows, double *moved,
                            const float *actual)
{
    for (size_t i = 0; i < mlp->rig.count; i++) {
        const double step = 1e-6, before = moved[i];
        moved[i] = before + step;
        const double above = mlp_rig_loss(mlp, moved, rows, true, NULL);
        moved[i] = before - step;
        const double below = mlp_rig_loss(mlp, moved, rows, true, NULL);
        moved[i] = before;
        const double expected = (above - below) / (2.0 * step);
        const struct mlp_variant *v = &mlp->variant;
        if (fabs((double)actual[i] - expected) > 1e-6 + 1e-4 * fabs(expected))
            fail_msg("records %d, activation %d, head %d, dropout %g: gradient %zu is %.9g, "
                     "expected %.9g",
                     (int)v->records, (int)v->activation, (int)v->head, (double)v->dropout, i,
                     (double)actual[i], expected);
    }
}

static void check_variant(const struct mlp_variant *variant)
{
    static struct mlp_rig mlp;
    mlp_rig_open(&mlp, &compute_cpu, variant);
    const struct rig_rows rows = mlp_rig_rows(&mlp, 0, ROWS, ROWS, STEP);
    const size_t count = mlp.rig.count;
    float *initial = calloc(count, sizeof(float)), *actual = calloc(count, sizeof(float));
    float sums[MODEL_METRICS_MAX];
    model_initialise(mlp.rig.model, 3, initial);
    double *moved = to_double(initial, count);
    rig_set_parameters(&mlp.rig, initial);
    rig_feed(&mlp.rig, &rows, true);

    rig_train(&mlp.rig);

    rig_get(&mlp.rig, mlp.rig.gradients, actual, count);
    rig_get(&mlp.rig, mlp.rig.sums, sums, MODEL_METRICS_MAX);
    const double loss = mlp_rig_loss(&mlp, moved, &rows, true, NULL);
    assert_true(fabs((double)sums[0] / ROWS - loss) < 1e-6 * (1.0 + loss));
    check_gradients(&mlp, &rows, moved, actual);
    free(initial);
    free(actual);
    free(moved);
    mlp_rig_close(&mlp);
}

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    for (int records = 0; records < MLP_RECORDS_KINDS; records++) {
        for (int activation = ACTIVATION_RELU; activation <= ACTIVATION_TANH; activation++) {
            for (int head = HEAD_SOFTMAX; head <= HEAD_LINEAR; head++) {
                struct mlp_variant variant = {.records = (enum mlp_records)records,
                                              .activation = (enum activation)activation,
                                              .head = (enum model_head)head,
                                              .weighted = head != HEAD_LINEAR};
                check_variant(&variant);
                variant.dropout = 0.3F;
                variant.weighted = false;
                check_variant(&variant);
            }
        }
    }
}

static void without_hidden_layers_it_is_regression(void **state)
{
    (void)state;
    for (int records = 0; records < MLP_RECORDS_KINDS; records++) {
        for (int head = HEAD_SOFTMAX; head <= HEAD_LINEAR; head++)
            check_variant(&(struct mlp_variant){.records = (enum mlp_records)records,
                                                .head = (enum model_head)head,
                                                .dropout = 0.5F, /* there is nothing to drop */
                                                .flat = true});
    }
}

static void a_step_adds_to_gradients_and_sums(void **state)
{
    (void)state;
    static struct mlp_rig mlp;
    float gradient[2], first[MODEL_METRICS_MAX], second[MODEL_METRICS_MAX];
    mlp_rig_open(&mlp, &compute_cpu, &plain);
    const struct rig_rows rows = mlp_rig_rows(&mlp, 0, ROWS, ROWS, 0);
    rig_initialise(&mlp.rig, 3);
    rig_feed(&mlp.rig, &rows, true);
    rig_train(&mlp.rig);
    rig_get(&mlp.rig, mlp.rig.gradients + 5, &gradient[0], 1);
    rig_get(&mlp.rig, mlp.rig.sums, first, MODEL_METRICS_MAX);

    rig_train(&mlp.rig);

    rig_get(&mlp.rig, mlp.rig.gradients + 5, &gradient[1], 1);
    rig_get(&mlp.rig, mlp.rig.sums, second, MODEL_METRICS_MAX);
    assert_true(gradient[1] == 2.0F * gradient[0]);
    assert_true(second[0] == 2.0F * first[0]);
    rig_evaluate(&mlp.rig, false);
    rig_get(&mlp.rig, mlp.rig.sums, second, MODEL_METRICS_MAX);
    assert_true(second[0] == 3.0F * first[0]);
    assert_true(second[1] == 3.0F * first[1]);
    mlp_rig_close(&mlp);
}

/* ------------------------------------------------------------------ dropout, evaluation */

static void gradients_of_pieces(struct mlp_rig *mlp, const int *pieces, int count, float *out)
{
    int first = 0;
    rig_clear(&mlp->rig);
    for (int i = 0; i < count; i++) {
        const struct rig_rows rows = mlp_rig_rows(mlp, first, pieces[i], ROWS, STEP);
        rig_feed(&mlp->rig, &rows, true);
        rig_train(&mlp->rig);
        first += pieces[i];
    }
    assert_int_equal(first, ROWS);
    rig_get(&mlp->rig, mlp->rig.gradients, out, mlp->rig.count);
}

/* Another mask would change gradients by tenths; the order of sums changes their last bits. */
static void dropout_does_not_depend_on_how_a_batch_is_cut(void **state)
{
    (void)state;
    static struct mlp_rig mlp;
    const int cuts[][3] = {{5, 11, 0}, {1, 7, 8}, {15, 1, 0}};
    mlp_rig_open(&mlp, &compute_cpu, &(struct mlp_variant){.records = MLP_TABLE, .dropout = 0.4F});
    const size_t count = mlp.rig.count;
    float *whole = calloc(count, sizeof(float)), *cut = calloc(count, sizeof(float));
    rig_initialise(&mlp.rig, 3);
    gradients_of_pieces(&mlp, &(const int){ROWS}, 1, whole);
    for (size_t c = 0; c < COUNT_OF(cuts); c++) {
        gradients_of_pieces(&mlp, cuts[c], cuts[c][2] == 0 ? 2 : 3, cut);
        for (size_t i = 0; i < count; i++)
            assert_true(fabsf(cut[i] - whole[i]) < 1e-6F);
    }
    free(whole);
    free(cut);
    mlp_rig_close(&mlp);
}

static void dropout_changes_with_the_step_and_is_repeated_with_it(void **state)
{
    (void)state;
    static struct mlp_rig mlp;
    static const int64_t steps[] = {1, 2, 1};
    float losses[COUNT_OF(steps)];
    mlp_rig_open(&mlp, &compute_cpu, &(struct mlp_variant){.dropout = 0.5F});
    rig_initialise(&mlp.rig, 3);
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        const struct rig_rows rows = mlp_rig_rows(&mlp, 0, ROWS, ROWS, steps[i]);
        rig_clear(&mlp.rig);
        rig_feed(&mlp.rig, &rows, true);
        rig_train(&mlp.rig);
        rig_get(&mlp.rig, mlp.rig.sums, &losses[i], 1);
    }
    assert_true(losses[0] != losses[1]);
    assert_true(losses[0] == losses[2]);
    mlp_rig_close(&mlp);
}

static void check_evaluation(const struct mlp_variant *variant)
{
    static struct mlp_rig mlp;
    double expected[ROWS * MLP_CLASSES];
    float scores[ROWS * MLP_CLASSES], sum;
    mlp_rig_open(&mlp, &compute_cpu, variant);
    const struct rig_rows rows = mlp_rig_rows(&mlp, 0, ROWS, ROWS, STEP);
    float *initial = calloc(mlp.rig.count, sizeof(float));
    model_initialise(mlp.rig.model, 3, initial);
    rig_set_parameters(&mlp.rig, initial);
    double *parameters = to_double(initial, mlp.rig.count);
    const double loss = mlp_rig_loss(&mlp, parameters, &rows, false, expected);
    rig_feed(&mlp.rig, &rows, false);

    rig_evaluate(&mlp.rig, true);

    const int width = mlp.rig.model->score_width;
    rig_get(&mlp.rig, mlp.rig.scores, scores, (size_t)ROWS * (size_t)width);
    rig_get(&mlp.rig, mlp.rig.sums, &sum, 1);
    assert_int_equal(width, variant->head == HEAD_SOFTMAX ? MLP_CLASSES : 1);
    assert_true(fabs((double)sum / ROWS - loss) < 1e-6 * (1.0 + loss));
    for (int i = 0; i < ROWS * width; i++)
        assert_true(fabs((double)scores[i] - expected[i]) < 2e-6);
    free(initial);
    free(parameters);
    mlp_rig_close(&mlp);
}

static void evaluation_drops_nothing_and_gives_what_the_head_predicts(void **state)
{
    (void)state;
    for (int head = HEAD_SOFTMAX; head <= HEAD_LINEAR; head++)
        check_evaluation(&(struct mlp_variant){.records = (enum mlp_records)head,
                                               .activation = ACTIVATION_GELU,
                                               .head = (enum model_head)head,
                                               .dropout = 0.5F});
}

static void metrics_are_loss_and_accuracy_or_rmse(void **state)
{
    (void)state;
    static struct mlp_rig mlp;
    const double sums[2] = {36.0, 8.0};
    const char *names[MODEL_METRICS_MAX];
    double values[MODEL_METRICS_MAX];
    mlp_rig_open(&mlp, &compute_cpu, &plain);
    assert_int_equal(model_mlp.metrics(mlp.rig.model, sums, 16.0, names, values), 2);
    assert_string_equal(names[1], "accuracy");
    assert_true(values[0] == 2.25 && values[1] == 0.5);
    mlp_rig_close(&mlp);
    mlp_rig_open(&mlp, &compute_cpu, &(struct mlp_variant){.head = HEAD_LINEAR});
    assert_int_equal(model_mlp.metrics(mlp.rig.model, sums, 16.0, names, values), 2);
    assert_string_equal(names[1], "rmse");
    assert_true(values[0] == 2.25 && values[1] == 1.5);
    mlp_rig_close(&mlp);
}

/* ------------------------------------------------------------------ initial values */

static void initial_values_fill_the_interval_of_each_layer(void **state)
{
    (void)state;
    static struct mlp_rig mlp;
    mlp_rig_open(&mlp, &compute_cpu, &plain);
    const size_t floats = mlp.rig.count;
    float *values = calloc(floats, sizeof(float)), *again = calloc(floats, sizeof(float));
    model_initialise(mlp.rig.model, 1, values);
    model_initialise(mlp.rig.model, 1, again);
    assert_memory_equal(values, again, floats * sizeof(float));
    model_initialise(mlp.rig.model, 2, again);
    assert_memory_not_equal(values, again, floats * sizeof(float));
    size_t count = 0;
    const struct parameter *table = model_mlp.parameters(mlp.rig.model, &count);
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
    mlp_rig_close(&mlp);
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

static void check_far(const struct mlp_variant *variant, int optimizer)
{
    static struct mlp_rig near, far;
    float expected_sums[MODEL_METRICS_MAX], actual_sums[MODEL_METRICS_MAX];
    mlp_rig_open(&near, &compute_cpu, variant);
    mlp_rig_open(&far, &compute_far, variant);
    const size_t count = near.rig.count;
    float *expected = calloc(count, sizeof(float)), *actual = calloc(count, sizeof(float));
    rig_initialise(&near.rig, 11);
    rig_initialise(&far.rig, 11);

    rig_train_with(&near.rig, optim_registry[optimizer], 30, ROWS, expected, expected_sums);
    rig_train_with(&far.rig, optim_registry[optimizer], 30, ROWS, actual, actual_sums);

    assert_memory_equal(actual, expected, count * sizeof(float));
    assert_memory_equal(actual_sums, expected_sums, sizeof(actual_sums));
    assert_int_equal(compute_far_replays(far.rig.device.compute), 28); /* two keys */
    free(expected);
    free(actual);
    mlp_rig_close(&near);
    mlp_rig_close(&far);
}

static void training_on_a_far_device_gives_the_same_bits(void **state)
{
    (void)state;
    for (int type = OPTIMIZER_SGD; type <= OPTIMIZER_ADAGRAD; type++)
        check_far(&plain, type);
    for (int records = 0; records < MLP_RECORDS_KINDS; records++) {
        for (int activation = ACTIVATION_RELU; activation <= ACTIVATION_TANH; activation++)
            check_far(&(struct mlp_variant){.records = (enum mlp_records)records,
                                            .activation = (enum activation)activation,
                                            .head = (enum model_head)activation,
                                            .dropout = 0.2F,
                                            .weighted = true},
                      OPTIMIZER_ADAM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(without_hidden_layers_it_is_regression),
        cmocka_unit_test(a_step_adds_to_gradients_and_sums),
        cmocka_unit_test(dropout_does_not_depend_on_how_a_batch_is_cut),
        cmocka_unit_test(dropout_changes_with_the_step_and_is_repeated_with_it),
        cmocka_unit_test(evaluation_drops_nothing_and_gives_what_the_head_predicts),
        cmocka_unit_test(metrics_are_loss_and_accuracy_or_rmse),
        cmocka_unit_test(initial_values_fill_the_interval_of_each_layer),
        cmocka_unit_test(twenty_steps_are_pytorchs),
        cmocka_unit_test(training_on_a_far_device_gives_the_same_bits),
    };
    return cmocka_run_group_tests_name("mlp", tests, NULL, NULL);
}
