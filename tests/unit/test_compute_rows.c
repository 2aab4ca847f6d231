/* test_compute_rows.c - rows picked, copied and scattered, with strides, on every backend. */
#include <stdlib.h>

#include "tests/unit/compute_rig.h"

/* Tables of TABLE_ROWS rows of WIDTH; outputs of COUNT rows of STRIDE, whose other columns stay. */
enum { TABLE_ROWS = 6, WIDTH = 5, COUNT = 11, STRIDE = 9, FIRST = 3, ID_STRIDE = 3 };

static const int32_t picked[COUNT] = {5, 0, 0, 3, 2, 5, 1, 4, 0, 5, 3};

/* ids (COUNT, ID_STRIDE): the picked rows in the second column. */
static const int32_t *put_ids(struct compute_rig *f)
{
    int32_t ids[COUNT][ID_STRIDE];
    for (int i = 0; i < COUNT; i++) {
        ids[i][0] = 1000000;
        ids[i][1] = picked[i];
        ids[i][2] = -1;
    }
    const int32_t *device = compute_rig_put(f, ids, sizeof(ids));
    return device + 1;
}

/* actual (COUNT, STRIDE) has the picked rows of `table` from column FIRST on, and before elsewhere. */
static void assert_picked(const float *actual, const float *before, const float *table)
{
    for (int i = 0; i < COUNT; i++) {
        for (int j = 0; j < STRIDE; j++) {
            const bool is_inside = j >= FIRST && j < FIRST + WIDTH;
            assert_true(actual[i * STRIDE + j] == (is_inside ? table[picked[i] * WIDTH + j - FIRST]
                                                             : before[i * STRIDE + j]));
        }
    }
}

static void gathers_of_floats_write_their_columns_alone(void **state)
{
    (void)state;
    const size_t table_bytes = (size_t)TABLE_ROWS * WIDTH * 4, count = (size_t)COUNT * STRIDE;
    FOR_EACH_BACKEND(f)
    {
        float *table = compute_rig_draw(f, (size_t)TABLE_ROWS * WIDTH, 0);
        float *before = compute_rig_draw(f, count, 0);
        float *out[2] = {compute_rig_put(f, before, count * 4),
                         compute_rig_put(f, before, count * 4)};
        const float *device = compute_rig_put(f, table, table_bytes);

        OK(f->ops->gather_rows_f32(f->compute, out[0] + FIRST, STRIDE, device,
                                   compute_rig_put(f, picked, sizeof(picked)), COUNT, WIDTH,
                                   &f->err));
        OK(f->ops->embedding_gather(f->compute, out[1] + FIRST, STRIDE, device, put_ids(f),
                                    ID_STRIDE, COUNT, WIDTH, &f->err));

        for (int i = 0; i < 2; i++) {
            float *actual = compute_rig_get(f, out[i], count);
            assert_picked(actual, before, table);
            free(actual);
        }
        free(table);
        free(before);
    }
}

static void gathers_of_integers_take_whole_rows(void **state)
{
    (void)state;
    int32_t table[TABLE_ROWS][WIDTH], actual[COUNT][WIDTH];
    for (int i = 0; i < TABLE_ROWS; i++) {
        for (int j = 0; j < WIDTH; j++)
            table[i][j] = 100 * i - 7 * j;
    }
    FOR_EACH_BACKEND(f)
    {
        int32_t *out = compute_rig_alloc(f, sizeof(actual));
        OK(f->ops->gather_rows_i32(f->compute, out, compute_rig_put(f, table, sizeof(table)),
                                   compute_rig_put(f, picked, sizeof(picked)), COUNT, WIDTH,
                                   &f->err));
        OK(f->ops->download(f->compute, actual, out, sizeof(actual), &f->err));
        for (int i = 0; i < COUNT; i++)
            assert_memory_equal(actual[i], table[picked[i]], sizeof(actual[i]));
    }
}

/* Sums in the order of the rows, in float: to the bit. */
static void check_scatter(struct compute_rig *f, bool counts)
{
    const size_t table_count = (size_t)TABLE_ROWS * WIDTH, count = (size_t)COUNT * STRIDE;
    float *expected = compute_rig_draw(f, table_count, 0), *d_out = compute_rig_draw(f, count, 0);
    float expected_flags[TABLE_ROWS] = {0.5F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F};
    float *d_table = compute_rig_put(f, expected, table_count * 4);
    float *flags = compute_rig_put(f, expected_flags, sizeof(expected_flags));
    for (int i = 0; i < COUNT; i++) {
        for (int j = 0; j < WIDTH; j++)
            expected[picked[i] * WIDTH + j] += d_out[i * STRIDE + FIRST + j];
        expected_flags[picked[i]] += counts ? 1.0F : 0.0F;
    }
    const float *device = compute_rig_put(f, d_out, count * 4);

    OK(f->ops->embedding_scatter_add(f->compute, d_table, counts ? flags : NULL, device + FIRST,
                                     STRIDE, put_ids(f), ID_STRIDE, COUNT, WIDTH, &f->err));

    float *actual = compute_rig_get(f, d_table, table_count);
    float *actual_flags = compute_rig_get(f, flags, TABLE_ROWS);
    assert_memory_equal(actual, expected, table_count * 4);
    assert_memory_equal(actual_flags, expected_flags, sizeof(expected_flags));
    void *const owned[] = {expected, d_out, actual, actual_flags};
    for (size_t i = 0; i < COUNT_OF(owned); i++)
        free(owned[i]);
}

static void scattered_rows_are_added_in_order_and_counted(void **state)
{
    (void)state;
    FOR_EACH_BACKEND(f)
    {
        check_scatter(f, true);
        check_scatter(f, false);
    }
}

static void copied_rows_leave_the_other_columns(void **state)
{
    (void)state;
    const size_t in_count = (size_t)COUNT * WIDTH, count = (size_t)COUNT * STRIDE;
    FOR_EACH_BACKEND(f)
    {
        float *in = compute_rig_draw(f, in_count, 0), *expected = compute_rig_draw(f, count, 0);
        float *out = compute_rig_put(f, expected, count * 4);
        for (int i = 0; i < COUNT; i++)
            memcpy(expected + i * STRIDE + FIRST, in + i * WIDTH + 1, (WIDTH - 1) * sizeof(float));
        const float *device = compute_rig_put(f, in, in_count * 4);

        OK(f->ops->copy_rows(f->compute, out + FIRST, STRIDE, device + 1, WIDTH, COUNT, WIDTH - 1,
                             &f->err));

        float *actual = compute_rig_get(f, out, count);
        assert_memory_equal(actual, expected, count * 4);
        free(in);
        free(expected);
        free(actual);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gathers_of_floats_write_their_columns_alone),
        cmocka_unit_test(gathers_of_integers_take_whole_rows),
        cmocka_unit_test(scattered_rows_are_added_in_order_and_counted),
        cmocka_unit_test(copied_rows_leave_the_other_columns),
    };
    return cmocka_run_group_tests_name("compute_rows", tests, compute_rigs_open,
                                       compute_rigs_close);
}
