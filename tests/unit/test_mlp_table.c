/*
 * test_mlp_table.c - the perceptron over tables of numbers and categories: sparse updates of the
 * categories' vectors, and what is said of data that does not fit the spec.
 */
#include <stdlib.h>

#include "tests/unit/compute_far.h"
#include "tests/unit/mlp_rig.h"

enum { ROWS = 16 };

static const struct mlp_variant sparse = {.records = MLP_TABLE,
                                          .activation = ACTIVATION_GELU,
                                          .head = HEAD_SIGMOID,
                                          .dropout = 0.1F,
                                          .sparse = true};

static void flags_count_how_often_each_category_was_met(void **state)
{
    (void)state;
    static struct mlp_rig mlp;
    float expected[16] = {0.0F}, actual[16];
    mlp_rig_open(&mlp, &compute_cpu, &sparse);
    const size_t flags = (size_t)(mlp_rig_buckets[0] + mlp_rig_buckets[1]);
    assert_int_equal(mlp.rig.flag_count, flags);
    for (int i = 0; i < ROWS; i++) {
        expected[mlp.category[i][0]] += 1.0F;
        expected[mlp_rig_buckets[0] + mlp.category[i][1]] += 1.0F;
    }
    const struct rig_rows rows = mlp_rig_rows(&mlp, 0, ROWS, ROWS, 0);
    rig_initialise(&mlp.rig, 3);
    rig_feed(&mlp.rig, &rows, true);

    rig_train(&mlp.rig);

    rig_get(&mlp.rig, mlp.rig.gradients + mlp.rig.count, actual, flags);
    assert_memory_equal(actual, expected, flags * sizeof(float));
    mlp_rig_close(&mlp);
}

/* The gradients are those of dense tables to the bit: only the flags are new. */
static void sparse_tables_have_the_gradients_of_dense_ones(void **state)
{
    (void)state;
    static struct mlp_rig mlp[2];
    struct mlp_variant dense = sparse;
    float *gradients[2];
    dense.sparse = false;
    for (int i = 0; i < 2; i++) {
        mlp_rig_open(&mlp[i], &compute_cpu, i == 0 ? &sparse : &dense);
        const struct rig_rows rows = mlp_rig_rows(&mlp[i], 0, ROWS, ROWS, 0);
        rig_initialise(&mlp[i].rig, 3);
        rig_feed(&mlp[i].rig, &rows, true);
        rig_train(&mlp[i].rig);
        gradients[i] = calloc(mlp[i].rig.count, sizeof(float));
        rig_get(&mlp[i].rig, mlp[i].rig.gradients, gradients[i], mlp[i].rig.count);
    }
    assert_memory_equal(gradients[0], gradients[1], mlp[0].rig.count * sizeof(float));
    for (int i = 0; i < 2; i++) {
        free(gradients[i]);
        mlp_rig_close(&mlp[i]);
    }
}

static void check_sparse_training(const struct compute_ops *ops, int optimizer, float *out)
{
    static struct mlp_rig mlp;
    float sums[MODEL_METRICS_MAX];
    mlp_rig_open(&mlp, ops, &sparse);
    float *initial = calloc(mlp.rig.count, sizeof(float));
    model_initialise(mlp.rig.model, 11, initial);
    rig_set_parameters(&mlp.rig, initial);

    rig_train_with(&mlp.rig, optim_registry[optimizer], 30, ROWS, out, sums);

    size_t count = 0;
    const struct parameter *table = model_mlp.parameters(mlp.rig.model, &count);
    for (int c = 0; c < MLP_COLUMNS; c++) {
        const size_t width = (size_t)table[c].shape[1], last = table[c].count - width;
        assert_true(table[c].is_table);
        assert_memory_not_equal(out + table[c].offset, initial + table[c].offset,
                                width * sizeof(float));
        /* no record has the last bucket */
        assert_memory_equal(out + table[c].offset + last, initial + table[c].offset + last,
                            width * sizeof(float));
    }
    free(initial);
    mlp_rig_close(&mlp);
}

static void sparse_training_leaves_categories_nobody_has_and_is_the_same_far_away(void **state)
{
    (void)state;
    static const int optimizers[] = {OPTIMIZER_ADAM, OPTIMIZER_ADAGRAD};
    static float near[1024], far[1024];
    for (size_t i = 0; i < COUNT_OF(optimizers); i++) {
        check_sparse_training(&compute_cpu, optimizers[i], near);
        check_sparse_training(&compute_far, optimizers[i], far);
        assert_memory_equal(far, near, sizeof(near));
    }
}

/* ------------------------------------------------------------------ what does not fit */

/* What is done to a table's records or spec, and what opening says. */
struct misfit {
    void (*spoil)(struct mlp_rig *mlp);
    const char *text;
};

static void make_it_text(struct mlp_rig *mlp)
{
    mlp->set.kind = DATA_KIND_TEXT;
}

static void take_all_columns(struct mlp_rig *mlp)
{
    mlp->set.array_count = 0;
    mlp->spec.data.column_count = 0;
}

static void name_another_category(struct mlp_rig *mlp)
{
    mlp->spec.data.columns[mlp->spec.data.column_count++] =
        (struct data_column){.kind = COLUMN_CATEGORY, .buckets = 3};
}

static void widen_the_records(struct mlp_rig *mlp)
{
    mlp->set.arrays[0].width++;
}

static void ask_for_numbers(struct mlp_rig *mlp)
{
    mlp->spec.model.mlp.head = HEAD_LINEAR;
}

static void label_with_numbers(struct mlp_rig *mlp)
{
    mlp->set.arrays[mlp->set.array_count - 1] =
        rig_array("label", DATA_F32, MLP_RECORDS, 1, mlp->targets);
}

static const struct misfit misfits[] = {
    {make_it_text, "/model/type: mlp expects features or columns of numbers and categories, /data "
                   "has neither"},
    {take_all_columns, "/data/columns: expected a number or a category, got none"},
    {name_another_category,
     "/data/columns: expected 5 numbers and 3 categories a record, got 5 and 2"},
    {ask_for_numbers, "/model/head: linear expects labels that are numbers, got classes"},
    {label_with_numbers, "/model/head: sigmoid expects labels that are classes, got numbers"},
};

static void assert_misfit(const struct misfit *misfit, bool of_eval)
{
    static struct mlp_rig good, bad;
    struct device device = {.ops = &compute_cpu};
    struct error err = {.status = STATUS_OK};
    struct model *model = NULL;
    mlp_rig_describe(&good, &sparse);
    mlp_rig_describe(&bad, &sparse);
    misfit->spoil(&bad);
    const struct model_input input = {.train = of_eval ? &good.set : &bad.set,
                                      .eval = of_eval ? &bad.set : NULL,
                                      .rows_max = ROWS};
    assert_ok(device.ops->open(0, 1, &device.compute, &err), &err);
    assert_fails(model_mlp.open(of_eval ? &good.spec : &bad.spec, &input, device, &model, &err),
                 &err, STATUS_INVALID, misfit->text);
    assert_null(model);
    assert_int_equal(device.ops->allocated(device.compute), 0);
    device.ops->close(device.compute);
}

static void data_that_does_not_fit_is_told_with_the_specs_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(misfits); i++)
        assert_misfit(&misfits[i], false);
    const struct misfit wider = {widen_the_records,
                                 "/data/eval: expected 5 numbers and 2 categories "
                                 "a record, got 6 and 2"};
    assert_misfit(&wider, true);
    assert_misfit(&misfits[0], true);
    assert_misfit(&misfits[4], true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_count_how_often_each_category_was_met),
        cmocka_unit_test(sparse_tables_have_the_gradients_of_dense_ones),
        cmocka_unit_test(sparse_training_leaves_categories_nobody_has_and_is_the_same_far_away),
        cmocka_unit_test(data_that_does_not_fit_is_told_with_the_specs_field),
    };
    return cmocka_run_group_tests_name("mlp_table", tests, NULL, NULL);
}
