/*
 * test_vectors.c - the reference trajectories are whole, and their reader turns and compares what it
 * reads as the models' tests rely on.
 */
#include "tests/unit/unit.h"

#include <stdlib.h>

#include "base/compiler.h"
#include "tests/unit/vectors.h"

static const char *const all[] = {"mlp_relu_softmax",
                                  "mlp_gelu_sigmoid",
                                  "mlp_tanh_linear",
                                  "mlp_table_weights",
                                  "mlp_no_hidden",
                                  "bilstm_sigmoid_skip",
                                  "bilstm_softmax_skip",
                                  "bilstm_sigmoid_compute",
                                  "bilstm_softmax_sgd",
                                  "ncf_gmf",
                                  "ncf_mlp",
                                  "ncf_neumf",
                                  "ncf_neumf_sgd",
                                  "ncf_neumf_sparse_adam",
                                  "ncf_neumf_sparse_adagrad"};

static void each_trajectory_is_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        struct vectors vectors;
        vectors_open(&vectors, all[i]);
        assert_true(vectors.loss_tolerance > 0.0 && vectors.loss_tolerance < 1e-5);
        assert_true(vectors.parameter_tolerance > 0.0 && vectors.parameter_tolerance < 1e-5);
        const char *key = strncmp(all[i], "ncf", 3) == 0 ? "label" : NULL;
        for (int step = 0; step < VECTORS_STEPS; step++) {
            size_t rows = 0;
            free(vectors_batch(&vectors, step, key, &rows));
            assert_true(rows > 0 && rows <= 20);
        }
        vectors_close(&vectors);
    }
}

static void a_transposed_layer_is_turned(void **state)
{
    (void)state;
    struct vectors vectors;
    vectors_open(&vectors, "ncf_gmf");
    const struct parameter table[] = {
        {.name = "gmf_user.weight", .dims = 2, .shape = {12, 4}, .count = 48},
        {.name = "gmf_item.weight", .dims = 2, .shape = {18, 4}, .offset = 48, .count = 72},
        {.name = "output.bias", .dims = 1, .shape = {1}, .offset = 120, .count = 1},
        {.name = "output.weight",
         .dims = 2,
         .shape = {4, 1},
         .offset = 121,
         .count = 4,
         .transposed = true},
    };
    struct parameter turned[COUNT_OF(table)];
    memcpy(turned, table, sizeof(table));
    turned[0] = (struct parameter){
        .name = "gmf_user.weight", .dims = 2, .shape = {4, 12}, .count = 48, .transposed = true};
    float plain[125], other[125];

    vectors_load(&vectors, VECTORS_AFTER_1, table, COUNT_OF(table), plain);
    vectors_load(&vectors, VECTORS_AFTER_1, turned, COUNT_OF(turned), other);

    for (size_t row = 0; row < 12; row++)
        for (size_t column = 0; column < 4; column++)
            assert_true(plain[row * 4 + column] == other[column * 12 + row]);
    assert_memory_equal(plain + 48, other + 48, sizeof(plain) - 48 * sizeof(float));
    vectors_check(&vectors, VECTORS_AFTER_1, turned, COUNT_OF(turned), other);
    vectors_close(&vectors);
}

static void texts_of_no_and_of_one_token_come_in_the_first_batch(void **state)
{
    (void)state;
    struct vectors vectors;
    vectors_open(&vectors, "bilstm_sigmoid_skip");
    size_t rows = 0, texts = 0;
    int32_t *batch = vectors_batch(&vectors, 0, NULL, &rows);
    int32_t *offsets = vectors_ints(&vectors, "records.offsets", &texts);
    assert_int_equal(texts, 33);
    assert_int_equal(offsets[batch[0] + 1] - offsets[batch[0]], 0);
    assert_int_equal(offsets[batch[1] + 1] - offsets[batch[1]], 1);
    assert_int_equal(offsets[batch[2] + 1] - offsets[batch[2]],
                     vectors_int(&vectors, "records.length"));
    free(batch);
    free(offsets);
    vectors_close(&vectors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_trajectory_is_whole),
        cmocka_unit_test(a_transposed_layer_is_turned),
        cmocka_unit_test(texts_of_no_and_of_one_token_come_in_the_first_batch),
    };
    return cmocka_run_group_tests_name("vectors", tests, NULL, NULL);
}
