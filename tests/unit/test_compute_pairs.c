/* Products of embedding vectors and ranks of candidates, on the CPU and on a device that is far away. */
#include "tests/unit/unit.h"

#include <math.h>

#include "tests/unit/compute_far.h"

enum { ROWS_A = 5, ROWS_B = 4, PAIRS = 7, WIDTH = 3, STRIDE = 5 };

static const struct compute_ops *const backends[] = {&compute_cpu, &compute_far};
static const int32_t a_ids[PAIRS] = {0, 4, 2, 4, 4, 1, 0};
static const int32_t b_ids[PAIRS] = {3, 1, 1, 1, 0, 3, 3};

static struct device open_device(const struct compute_ops *ops)
{
    struct device device = {.ops = ops};
    assert_int_equal(ops->open(0, 1, &device.compute, NULL), STATUS_OK);
    return device;
}

static void *to_device(struct device device, const void *host, size_t bytes)
{
    void *memory = NULL;
    assert_int_equal(device.ops->alloc(device.compute, bytes, &memory, NULL), STATUS_OK);
    assert_int_equal(device.ops->upload(device.compute, memory, host, bytes, NULL), STATUS_OK);
    return memory;
}

/* Back to the host; the device's memory is given up. */
static void take(struct device device, void *memory, void *out, size_t bytes)
{
    assert_int_equal(device.ops->download(device.compute, out, memory, bytes, NULL), STATUS_OK);
    device.ops->release(device.compute, memory);
}

static void fill(float *values, size_t count, int seed)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (float)((seed + 7 * (int)i) % 11 - 5);
}

/* Small whole numbers: every sum is exact. */
static void products_and_their_gradients_are_those_of_each_pair(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT_OF(backends); k++) {
        const struct device device = open_device(backends[k]);
        float a[ROWS_A][WIDTH], b[ROWS_B][WIDTH], d_a[ROWS_A][WIDTH], d_b[ROWS_B][WIDTH];
        float out[PAIRS][STRIDE], d_out[PAIRS][STRIDE], a_flags[ROWS_A] = {1.0F};
        float expected_flags[ROWS_A] = {1.0F};
        fill(a[0], ROWS_A * WIDTH, 1);
        fill(b[0], ROWS_B * WIDTH, 2);
        fill(d_a[0], ROWS_A * WIDTH, 3);
        fill(d_b[0], ROWS_B * WIDTH, 4);
        fill(out[0], PAIRS * STRIDE, 5);
        fill(d_out[0], PAIRS * STRIDE, 6);
        float *near_a = to_device(device, a, sizeof(a)), *near_b = to_device(device, b, sizeof(b));
        float *near_d_a = to_device(device, d_a, sizeof(d_a));
        float *near_d_b = to_device(device, d_b, sizeof(d_b));
        float *near_out = to_device(device, out, sizeof(out));
        float *near_d_out = to_device(device, d_out, sizeof(d_out));
        float *near_flags = to_device(device, a_flags, sizeof(a_flags));
        int32_t *near_a_ids = to_device(device, a_ids, sizeof(a_ids));
        int32_t *near_b_ids = to_device(device, b_ids, sizeof(b_ids));
        for (int i = 0; i < PAIRS; i++) {
            expected_flags[a_ids[i]] += 1.0F;
            for (int j = 0; j < WIDTH; j++) {
                out[i][j] = a[a_ids[i]][j] * b[b_ids[i]][j];
                d_a[a_ids[i]][j] += d_out[i][j] * b[b_ids[i]][j];
                d_b[b_ids[i]][j] += d_out[i][j] * a[a_ids[i]][j];
            }
        }

        assert_int_equal(device.ops->embedding_product(device.compute, near_out, STRIDE, near_a,
                                                       near_a_ids, near_b, near_b_ids, PAIRS, WIDTH,
                                                       NULL),
                         STATUS_OK);
        assert_int_equal(device.ops->embedding_product_backward(
                             device.compute, near_d_a, near_flags, near_d_b, NULL, near_d_out,
                             STRIDE, near_a, near_a_ids, near_b, near_b_ids, PAIRS, WIDTH, NULL),
                         STATUS_OK);

        float actual_out[PAIRS][STRIDE], actual_a[ROWS_A][WIDTH], actual_b[ROWS_B][WIDTH];
        take(device, near_out, actual_out, sizeof(actual_out));
        take(device, near_d_a, actual_a, sizeof(actual_a));
        take(device, near_d_b, actual_b, sizeof(actual_b));
        take(device, near_flags, a_flags, sizeof(a_flags));
        assert_memory_equal(actual_out, out, sizeof(out)); /* between the rows nothing changed */
        assert_memory_equal(actual_a, d_a, sizeof(d_a));
        assert_memory_equal(actual_b, d_b, sizeof(d_b));
        assert_memory_equal(a_flags, expected_flags, sizeof(a_flags));
        void *const rest[] = {near_a, near_b, near_d_out, near_a_ids, near_b_ids};
        for (size_t i = 0; i < COUNT_OF(rest); i++)
            device.ops->release(device.compute, rest[i]);
        device.ops->close(device.compute);
    }
}

static void rank_first_counts_who_stands_before_the_first(void **state)
{
    (void)state;
    enum { RANKED = 6, CANDIDATES = 5, TOP_K = 2 };
    static const int32_t ids[RANKED][CANDIDATES] = {{9, 1, 2, 3, 4}, {9, 1, 2, 3, 4},
                                                    {9, 9, 2, 3, 9}, {9, 1, 2, 3, 4},
                                                    {9, 1, 2, 3, 4}, {9, 1, 2, 3, 4}};
    const float scores[RANKED][CANDIDATES] = {
        {5.0F, 1.0F, 2.0F, 3.0F, 4.0F}, /* first of all: 0 */
        {5.0F, 5.0F, 5.0F, 5.0F, 6.0F}, /* ties are won: 1 */
        {5.0F, 8.0F, 4.0F, 6.0F, 8.0F}, /* the first itself does not count: 1 */
        {5.0F, 6.0F, 1.0F, 7.0F, 1.0F}, /* 2: not among the first two */
        {NAN, 1.0F, 2.0F, 3.0F, 4.0F},  /* no score is the worst: 4 */
        {5.0F, NAN, NAN, -1.0F, -2.0F}, /* of the others, too: 2 */
    };
    for (size_t k = 0; k < COUNT_OF(backends); k++) {
        const struct device device = open_device(backends[k]);
        float sums[3] = {10.0F, 20.0F, 30.0F};
        float *near_scores = to_device(device, scores, sizeof(scores));
        int32_t *near_ids = to_device(device, ids, sizeof(ids));
        float *near_sums = to_device(device, sums, sizeof(sums));

        assert_int_equal(device.ops->rank_first(device.compute, near_sums, near_scores, near_ids,
                                                RANKED, CANDIDATES, TOP_K, NULL),
                         STATUS_OK);

        take(device, near_sums, sums, sizeof(sums));
        assert_float_equal(sums[0], 16.0F, 0.0F);
        assert_float_equal(sums[1], 23.0F, 0.0F);
        assert_float_equal(sums[2], (float)(31.0 + 2.0 * log(2.0) / log(3.0)), 1e-5F);
        device.ops->release(device.compute, near_scores);
        device.ops->release(device.compute, near_ids);
        device.ops->close(device.compute);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_and_their_gradients_are_those_of_each_pair),
        cmocka_unit_test(rank_first_counts_who_stands_before_the_first),
    };
    return cmocka_run_group_tests_name("compute_pairs", tests, NULL, NULL);
}
