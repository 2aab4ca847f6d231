#include "tests/unit/unit.h"

#include <stdio.h>

#include "trainer/train_loop.h"

#define TEXT_BYTES 8192

static const struct train_loop some_loop = {.loss_mean = 0.1234567890123456789,
                                            .loss_steps = 1234567890123,
                                            .spike_step = 7,
                                            .rollbacks = 2,
                                            .lr_factor = 0.1 * 0.1,
                                            .early_evaluations = 5,
                                            .early_step = 300,
                                            .early_waited = 2,
                                            .early_value = -1e-300};

static struct train_results some_results(int count)
{
    struct train_results results = {.count = 0};
    for (int i = 0; i < count; i++) {
        char name[EVENT_VALUE_NAME_BYTES];
        (void)snprintf(name, sizeof(name), "figure_%d", i);
        train_results_set(&results, name, 1.0 / (i + 3));
    }
    return results;
}

static void what_is_written_comes_back_bit_for_bit(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    char text[TEXT_BYTES];
    const struct train_results results = some_results(TRAIN_RESULTS_MAX);
    const struct train_best best = {
        .is_kept = true, .step = 250, .value = 1.0 / 3.0, .results = some_results(3)};
    const struct train_kept kept = {.step = 200,
                                    .window_sums = {0.1, 2.0},
                                    .window_rows = 640,
                                    .loop = some_loop,
                                    .results = some_results(2),
                                    .is_older = true};
    assert_ok(train_loop_encode(&some_loop, &results, &best, &kept, text, sizeof(text), &err),
              &err);

    struct train_loop loop = {.lr_factor = 1.0};
    struct train_results results_again;
    struct train_best best_again = {.is_kept = false};
    struct train_kept kept_again = {.is_older = false};
    assert_ok(train_loop_decode(text, &loop, &results_again, &best_again, &kept_again, &err), &err);

    assert_memory_equal(&loop, &some_loop, sizeof(loop));
    assert_memory_equal(&results_again, &results, sizeof(results));
    assert_memory_equal(&best_again, &best, sizeof(best));
    assert_memory_equal(&kept_again, &kept, sizeof(kept));
}

static void what_is_not_there_stays_away(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    char text[TEXT_BYTES];
    const struct train_results none = {.count = 0};
    struct train_best best = {.is_kept = false};
    struct train_kept kept = {.step = 100};
    assert_ok(train_loop_encode(&some_loop, &none, &best, &kept, text, sizeof(text), &err), &err);
    struct train_loop loop;
    struct train_results results;
    best.is_kept = true;

    assert_ok(train_loop_decode(text, &loop, &results, &best, &kept, &err), &err);

    assert_false(best.is_kept);
    assert_int_equal(kept.step, -1);
    assert_int_equal(results.count, 0);
}

static void a_damaged_text_is_named(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    struct train_loop loop = {.lr_factor = 1.0};
    struct train_results results;
    struct train_best best = {.is_kept = false};
    struct train_kept kept = {.is_older = false};
    static const struct {
        const char *text, *part;
    } cases[] = {{"{", "its state: "},
                 {"[]", "its state: "},
                 {"{}", "/loop/loss_mean"},
                 {"{\"loop\":{\"loss_mean\":\"1\"},\"results\":{}}", "/loop/loss_mean"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(train_loop_decode(cases[i].text, &loop, &results, &best, &kept, &err),
                         STATUS_CORRUPT);
        if (strstr(err.text, cases[i].part) == NULL)
            fail_msg("%s: %s", cases[i].text, err.text);
        error_clear(&err);
    }
}

static void a_text_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    char text[64];
    const struct train_results none = {.count = 0};
    const struct train_best best = {.is_kept = false};
    const struct train_kept kept = {.step = -1};

    assert_int_equal(train_loop_encode(&some_loop, &none, &best, &kept, text, sizeof(text), &err),
                     STATUS_TOO_LARGE);

    assert_non_null(strstr(err.text, "at most 63"));
}

static void a_result_is_replaced_by_name_and_one_too_many_is_dropped(void **state)
{
    (void)state;
    struct train_results results = some_results(TRAIN_RESULTS_MAX);
    double value = 0.0;
    train_results_set(&results, "figure_0", 7.0);
    train_results_set(&results, "another", 8.0);
    assert_true(train_results_get(&results, "figure_0", &value));
    assert_true(value == 7.0);
    assert_false(train_results_get(&results, "another", &value));
    assert_int_equal(results.count, TRAIN_RESULTS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_comes_back_bit_for_bit),
        cmocka_unit_test(what_is_not_there_stays_away),
        cmocka_unit_test(a_damaged_text_is_named),
        cmocka_unit_test(a_text_that_does_not_fit_is_refused),
        cmocka_unit_test(a_result_is_replaced_by_name_and_one_too_many_is_dropped),
    };
    return cmocka_run_group_tests_name("train_loop", tests, NULL, NULL);
}
