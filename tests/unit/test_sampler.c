#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "trainer/data/data.h"

static void every_epoch_visits_every_record_once(void **state)
{
    (void)state;
    static const uint64_t counts[] = {1, 2, 3, 4, 5, 16, 17, 63, 1000, 4096, 4097, 60000};
    for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            struct sampler sampler;
            sampler_init(&sampler, 7, epoch, counts[c]);
            unsigned char *seen = calloc(counts[c], 1);
            for (uint64_t i = 0; i < counts[c]; i++) {
                const uint64_t record = sampler_at(&sampler, i);
                assert_true(record < counts[c]);
                assert_int_equal(seen[record]++, 0);
            }
            free(seen);
        }
    }
}

static void a_range_holds_the_records_of_its_positions(void **state)
{
    (void)state;
    static const uint64_t counts[] = {1, 2, 5, 63, 1000, 4097, 60000, 4970845, INT32_MAX};
    enum { RANGE = 777 };
    for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        struct sampler sampler;
        int32_t range[RANGE];
        const int64_t length = counts[c] < RANGE ? (int64_t)counts[c] : RANGE;
        const uint64_t last = counts[c] - (uint64_t)length;
        sampler_init(&sampler, 7, 2, counts[c]);
        for (uint64_t first = 0; first <= last; first += last == 0 ? 1 : last) {
            sampler_range(&sampler, first, length, range);
            for (int64_t i = 0; i < length; i++)
                assert_int_equal(range[i], sampler_at(&sampler, first + (uint64_t)i));
        }
    }
}

/* Positions that stay where they were, against the one that a random permutation has on average. */
static int64_t fixed_points(const struct sampler *a, const struct sampler *b)
{
    int64_t same = 0;
    for (uint64_t i = 0; i < a->count; i++)
        same += sampler_at(a, i) == sampler_at(b, i);
    return same;
}

static void seeds_and_epochs_shuffle_differently(void **state)
{
    (void)state;
    struct sampler first, second, third;
    sampler_init(&first, 1, 0, 10000);
    sampler_init(&second, 1, 1, 10000);
    sampler_init(&third, 2, 0, 10000);
    assert_true(fixed_points(&first, &second) < 10);
    assert_true(fixed_points(&first, &third) < 10);
    struct sampler again;
    sampler_init(&again, 1, 0, 10000);
    assert_int_equal(fixed_points(&first, &again), 10000);
}

/* Where neighbours go must look random: chi-square of 16 x 16 cells, 225 degrees of freedom. */
static void neighbours_part_company(void **state)
{
    (void)state;
    enum { COUNT = 60000, CELLS = 16 };
    for (uint64_t seed = 0; seed < 5; seed++) {
        struct sampler sampler;
        sampler_init(&sampler, seed, 3, COUNT);
        double cells[CELLS][CELLS] = {{0.0}};
        for (uint64_t i = 0; i + 1 < COUNT; i++)
            cells[sampler_at(&sampler, i) * CELLS / COUNT]
                 [sampler_at(&sampler, i + 1) * CELLS / COUNT] += 1.0;
        const double expected = (COUNT - 1.0) / (CELLS * CELLS);
        double chi_square = 0.0;
        for (int a = 0; a < CELLS; a++) {
            for (int b = 0; b < CELLS; b++)
                chi_square += (cells[a][b] - expected) * (cells[a][b] - expected) / expected;
        }
        assert_true(chi_square > 140.0); /* p about 1e-6 on each side */
        assert_true(chi_square < 340.0);
    }
}

static void shares_cover_the_batch_and_differ_by_one_row_at_most(void **state)
{
    (void)state;
    for (int world = 1; world <= 9; world++) {
        for (int64_t rows = 1; rows < 40; rows++) {
            int64_t next = 0;
            for (int rank = 0; rank < world; rank++) {
                int64_t first = -1, count = -1;
                sampler_share(rows, rank, world, &first, &count);
                assert_int_equal(first, next);
                assert_true(count == rows / world || count == rows / world + 1);
                next += count;
            }
            assert_int_equal(next, rows);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_epoch_visits_every_record_once),
        cmocka_unit_test(a_range_holds_the_records_of_its_positions),
        cmocka_unit_test(seeds_and_epochs_shuffle_differently),
        cmocka_unit_test(neighbours_part_company),
        cmocka_unit_test(shares_cover_the_batch_and_differ_by_one_row_at_most),
    };
    return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
