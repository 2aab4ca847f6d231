/* test_metrics.c - figures over all scores. */
#include "tests/unit/unit.h"

#include <math.h>

#include "trainer/metrics.h"

enum { PAIRS_MAX = 64 };

/* By its definition: of all pairs of a positive and a negative, how many are in order. */
static double auc_by_pairs(const float *scores, const int32_t *labels, size_t count)
{
    double in_order = 0.0, pairs = 0.0;
    for (size_t p = 0; p < count; p++) {
        for (size_t n = 0; n < count; n++) {
            if (labels[p] != 1 || labels[n] != 0)
                continue;
            pairs += 1.0;
            in_order += scores[p] > scores[n] ? 1.0 : (scores[p] < scores[n] ? 0.0 : 0.5);
        }
    }
    return in_order / pairs;
}

static double auc_of(const float *scores, const int32_t *labels, size_t count)
{
    double auc = -1.0;
    bool defined = false;
    struct error err = {.status = STATUS_OK};
    assert_ok(metrics_auc(scores, labels, count, &auc, &defined, &err), &err);
    assert_true(defined);
    return auc;
}

static void auc_counts_the_pairs_in_order_and_half_of_the_ties(void **state)
{
    (void)state;
    const float perfect[] = {0.1F, 0.2F, 0.8F, 0.9F}, equal[] = {0.5F, 0.5F, 0.5F, 0.5F};
    const int32_t labels[] = {0, 0, 1, 1}, turned[] = {1, 1, 0, 0};
    assert_true(auc_of(perfect, labels, 4) == 1.0);
    assert_true(auc_of(perfect, turned, 4) == 0.0);
    assert_true(auc_of(equal, labels, 4) == 0.5);
}

static void auc_is_that_of_all_pairs_with_many_ties(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        float scores[PAIRS_MAX];
        int32_t labels[PAIRS_MAX];
        for (int i = 0; i < PAIRS_MAX; i++) {
            scores[i] = (float)((i * 7919 + round * 104729) % 13) / 13.0F;
            labels[i] = (i * 31 + round) % 3 == 0;
        }
        const double expected = auc_by_pairs(scores, labels, PAIRS_MAX);
        assert_true(fabs(auc_of(scores, labels, PAIRS_MAX) - expected) < 1e-12);
    }
}

static void auc_without_both_classes_is_not_defined(void **state)
{
    (void)state;
    const float scores[] = {0.1F, 0.2F};
    const int32_t labels[] = {1, 1};
    double auc = 0.0;
    bool defined = true;
    struct error err = {.status = STATUS_OK};
    assert_ok(metrics_auc(scores, labels, 2, &auc, &defined, &err), &err);
    assert_false(defined);
    assert_ok(metrics_auc(scores, labels, 0, &auc, &defined, &err), &err);
    assert_false(defined);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auc_counts_the_pairs_in_order_and_half_of_the_ties),
        cmocka_unit_test(auc_is_that_of_all_pairs_with_many_ties),
        cmocka_unit_test(auc_without_both_classes_is_not_defined),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
