/* test_split.c - the border of a split by time, against sorting all records, and how often the file is read for it. */
#include "tests/unit/data_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "trainer/data/records.h"
#include "trainer/data/split.h"

#define ROWS      60000 /* 4 chunks */
#define TEST_ROWS (ROWS / 5)
#define PADDING   "a category of many bytes so that there are several chunks"

struct row {
    double time;
    int32_t line; /* from 0 */
    bool is_test;
};

struct table {
    const struct split *split;
    struct row *rows; /* (ROWS) as they stand in the file */
    int64_t read;
};

/* Of one chunk. */
struct part {
    int64_t ties;
    size_t count;
    bool is_test[ROWS];
};

static double all_the_same(int32_t line)
{
    (void)line;
    return 1700000000.0;
}

static double one_after_the_other(int32_t line)
{
    return 1700000000.0 + line;
}

static double with_many_ties(int32_t line)
{
    return (double)(line * 7919 % 500);
}

/* Most are equal, just at the border, and a few lie as far away as can be. */
static double with_one_that_weighs(int32_t line)
{
    return line % 7 == 0 ? 1e300 : line % 11 == 0 ? -1e300 : 1.5;
}

static double close_together(int32_t line)
{
    return 1e15 + (double)(line * 31 % ROWS) / 8.0;
}

static int by_time_and_line(const void *a, const void *b)
{
    const struct row *const left = a, *const right = b;
    if (left->time != right->time)
        return left->time < right->time ? -1 : 1;
    return left->line < right->line ? -1 : 1;
}

static int by_line(const void *a, const void *b)
{
    return ((const struct row *)a)->line - ((const struct row *)b)->line;
}

static void write_table(const struct data_fixture *f, double (*time_of)(int32_t line),
                        struct row *rows)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/t", f->root);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    for (int32_t i = 0; i < ROWS; i++) {
        rows[i] = (struct row){.time = time_of(i), .line = i};
        (void)fprintf(file, "%.17g,%d," PADDING ",%d\n", rows[i].time, i, i % 2);
    }
    assert_int_equal(fclose(file), 0);
    qsort(rows, ROWS, sizeof(rows[0]), by_time_and_line);
    for (int32_t i = ROWS - TEST_ROWS; i < ROWS; i++)
        rows[i].is_test = true;
    qsort(rows, ROWS, sizeof(rows[0]), by_line);
}

static enum status take_row(void *context, void *part_of_chunk, const struct record *record,
                            struct error *err)
{
    const struct table *table = context;
    struct part *part = part_of_chunk;
    return split_is_test(table->split, record, &part->ties, &part->is_test[part->count++], err);
}

static enum status check_rows(void *context, void *part_of_chunk, int64_t chunk, struct error *err)
{
    struct table *table = context;
    struct part *part = part_of_chunk;
    (void)chunk;
    (void)err;
    for (size_t i = 0; i < part->count; i++) {
        if (part->is_test[i] != table->rows[table->read++].is_test)
            fail_msg("record %lld is on the wrong side", (long long)table->read);
    }
    part->count = 0;
    part->ties = 0;
    return STATUS_OK;
}

/* How many passes it took to find the border, which is the right one. */
static int passes_of_split(struct data_fixture *f, const struct row *rows, int64_t keys_max)
{
    static const struct records_pass pass = {sizeof(struct part), records_begin_nothing, take_row,
                                             check_rows, records_end_nothing};
    const struct records_policy policy = {.skip = false};
    struct records_skipped skipped;
    CLEANUP(data_fit_cleanup) struct data_fit *fit = NULL;
    CLEANUP(records_cleanup) struct records *records = NULL;
    CLEANUP(split_clear) struct split split = {.keys_max = keys_max};
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/t", f->root);
    assert_ok(data_fit_new(&f->spec, &fit, &f->err), &f->err);
    const struct records_layout layout = data_fit_layout(fit);
    assert_ok(records_open(path, &layout, &records, &f->err), &f->err);
    assert_ok(split_open(&f->spec, fit, records, &policy, &split, &f->err), &f->err);
    struct row *copy = malloc(ROWS * sizeof(*copy));
    assert_non_null(copy);
    memcpy(copy, rows, ROWS * sizeof(*copy));
    struct table table = {.split = &split, .rows = copy};
    assert_ok(records_run(records, &pass, &table, &policy, 0, &skipped, &f->err), &f->err);
    assert_int_equal(table.read, ROWS);
    free(copy);
    return split.passes;
}

static void
a_file_is_read_once_to_find_the_border_and_a_few_times_where_memory_is_short(void **state)
{
    static double (*const times[])(int32_t) = {all_the_same, one_after_the_other, with_many_ties,
                                               with_one_that_weighs, close_together};
    static const int64_t limits[] = {1, 50, 5000, ROWS - 1};
    struct data_fixture *f = *state;
    struct row *rows = malloc(ROWS * sizeof(*rows));
    assert_non_null(rows);
    data_fixture_spec(f, "{'root':'r','train':{'format':'csv','file':'t'},'header':false,"
                         "'columns':[{'name':'when','kind':'ignore'},{'name':'x','kind':'numeric'},"
                         "{'name':'c','kind':'category'},{'name':'y','kind':'label'}],"
                         "'split':{'by':'time','column':'when','test_share':0.2}}");
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        write_table(f, times[i], rows);
        assert_int_equal(passes_of_split(f, rows, 0), 1);
        assert_int_equal(passes_of_split(f, rows, ROWS), 1);
        for (size_t k = 0; k < COUNT_OF(limits); k++) {
            const int passes = passes_of_split(f, rows, limits[k]);
            assert_in_range(passes, 2, 5);
        }
    }
    free(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_file_is_read_once_to_find_the_border_and_a_few_times_where_memory_is_short,
            data_fixture_set_up, data_fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
