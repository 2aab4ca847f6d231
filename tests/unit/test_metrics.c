/* test_metrics.c - ranking figures against counting every pair, and against figures worked by hand. */
#include "tests/unit/unit.h"

#include <math.h>

#include "base/id.h"
#include "trainer/metrics.h"

#define ROWS 300

static double auc_of(const float *scores, const int32_t *labels, size_t count)
{
    struct error err = {.status = STATUS_OK};
    double auc = -1.0;
    bool is_defined = false;
    assert_ok(metrics_auc(scores, labels, count, &auc, &is_defined, &err), &err);
    assert_true(is_defined);
    return auc;
}

/* By definition: every pair of a positive and a negative, ties half. */
static double auc_by_pairs(const float *scores, const int32_t *labels, size_t count)
{
    double wins = 0.0, pairs = 0.0;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            if (labels[i] != 1 || labels[j] != 0)
                continue;
            pairs += 1.0;
            wins += scores[i] > scores[j] ? 1.0 : scores[i] == scores[j] ? 0.5 : 0.0;
        }
    }
    return wins / pairs;
}

static void auc_is_the_share_of_pairs_in_order(void **state)
{
    (void)state;
    const float scores[] = {0.1F, 0.4F, 0.35F, 0.8F};
    const int32_t labels[] = {0, 0, 1, 1};
    assert_true(auc_of(scores, labels, 4) == 0.75);
    const int32_t reversed[] = {1, 1, 0, 0};
    assert_true(auc_of(scores, reversed, 4) == 0.25);
    const float same[] = {0.5F, 0.5F, 0.5F, 0.5F};
    assert_true(auc_of(same, labels, 4) == 0.5);
}

static void auc_equals_counting_with_many_ties_and_in_any_order(void **state)
{
    (void)state;
    uint64_t random = 7;
    for (int levels = 2; levels <= 1024; levels *= 8) {
        float scores[ROWS], swapped_scores[ROWS];
        int32_t labels[ROWS], swapped_labels[ROWS];
        for (int i = 0; i < ROWS; i++) {
            scores[i] = (float)(splitmix64_next(&random) % (uint64_t)levels) / (float)levels;
            labels[i] = splitmix64_next(&random) % 3 == 0 ? 1 : 0;
            swapped_scores[ROWS - 1 - i] = scores[i];
            swapped_labels[ROWS - 1 - i] = labels[i];
        }
        const double auc = auc_of(scores, labels, ROWS);
        assert_true(fabs(auc - auc_by_pairs(scores, labels, ROWS)) < 1e-12);
        assert_true(auc == auc_of(swapped_scores, swapped_labels, ROWS));
    }
}

static void auc_without_a_row_of_each_class_is_undefined(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    const float scores[] = {0.5F, 0.25F};
    const int32_t ones[] = {1, 1}, zeros[] = {0, 0};
    double auc = 0.0;
    for (size_t count = 0; count <= 2; count++) {
        bool is_defined = true;
        assert_ok(metrics_auc(scores, ones, count, &auc, &is_defined, &err), &err);
        assert_false(is_defined);
        is_defined = true;
        assert_ok(metrics_auc(scores, zeros, count, &auc, &is_defined, &err), &err);
        assert_false(is_defined);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auc_is_the_share_of_pairs_in_order),
        cmocka_unit_test(auc_equals_counting_with_many_ties_and_in_any_order),
        cmocka_unit_test(auc_without_a_row_of_each_class_is_undefined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
