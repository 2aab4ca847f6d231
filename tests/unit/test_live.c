#include "tests/unit/unit.h"

#include <stdio.h>

#include "service/live.h"

static int setup(void **state)
{
    struct error err = {.status = STATUS_OK};
    struct live *live = NULL;
    assert_ok(live_new(&live, &err), &err);
    *state = live;
    return 0;
}

static int teardown(void **state)
{
    live_free(*state);
    return 0;
}

static void the_newest_progress_and_metrics_are_shown(void **state)
{
    struct live *live = *state;
    struct live_job job;
    assert_false(live_get(live, "job_a", &job));
    live_progress(live, "job_a", 1, 10, 100, 0, 5);
    live_metric(live, "job_a", 1, "loss", 0.5);
    live_metric(live, "job_a", 1, "loss", 0.25);
    live_progress(live, "job_a", 1, 11, 0, -1, 6); /* says neither of nor epoch */
    assert_true(live_get(live, "job_a", &job));
    assert_int_equal(job.attempt, 1);
    assert_int_equal(job.step, 11);
    assert_int_equal(job.of, 100);
    assert_int_equal(job.epoch, 0);
    assert_int_equal(job.metric_count, 1);
    assert_string_equal(job.metrics[0].name, "loss");
    assert_true(job.metrics[0].value == 0.25);
    live_progress(live, "job_a", 1, 9, 0, -1, 7); /* another rank lags behind */
    assert_true(live_get(live, "job_a", &job));
    assert_int_equal(job.step, 11);
}

/* A trainer may tell of the next checkpoint while the one before is on its way to us. */
static void a_checkpoint_is_known_until_some_more_were_told(void **state)
{
    struct live *live = *state;
    for (int64_t step = 10; step <= 50; step += 10)
        live_checkpoint(live, "job_a", 1, step, 1000 + step);
    live_checkpoint(live, "job_a", 1, 50, 9999); /* another rank, later */
    assert_int_equal(live_checkpoint_wall_ms(live, "job_a", 1, 10), 0);
    for (int64_t step = 20; step <= 50; step += 10)
        assert_int_equal(live_checkpoint_wall_ms(live, "job_a", 1, step), 1000 + step);
    assert_int_equal(live_checkpoint_wall_ms(live, "job_a", 2, 50), 0);
    live_checkpoint(live, "job_a", 2, 10, 7);
    assert_int_equal(live_checkpoint_wall_ms(live, "job_a", 1, 50), 0);
    assert_int_equal(live_checkpoint_wall_ms(live, "job_a", 2, 10), 7);
}

static void an_older_attempt_changes_nothing(void **state)
{
    struct live *live = *state;
    struct live_job job;
    live_progress(live, "job_a", 2, 50, 100, 1, 1);
    live_metric(live, "job_a", 2, "loss", 1);
    live_rank(live, "job_a", 2, 0, 1, 50);
    live_progress(live, "job_a", 1, 99, 100, 1, 2);
    live_metric(live, "job_a", 1, "loss", 9);
    live_rank(live, "job_a", 1, 0, 1, 99);
    assert_true(live_get(live, "job_a", &job));
    assert_int_equal(job.step, 50);
    assert_true(job.metrics[0].value == 1);
    assert_int_equal(live_get_rank(live, "job_a", 2, 0).step, 50);
    assert_false(live_get_rank(live, "job_a", 1, 0).known);
}

static void a_new_attempt_begins_without_ranks_and_with_the_last_metrics(void **state)
{
    struct live *live = *state;
    struct live_job job;
    live_rank(live, "job_a", 1, 3, 2, 40);
    live_metric(live, "job_a", 1, "loss", 0.5);
    assert_true(live_get_rank(live, "job_a", 1, 3).known);
    assert_false(live_get_rank(live, "job_a", 1, 2).known);
    assert_false(live_get_rank(live, "job_a", 1, 4).known);
    live_rank(live, "job_a", 2, 0, 0, 0);
    assert_false(live_get_rank(live, "job_a", 2, 3).known);
    assert_true(live_get(live, "job_a", &job));
    assert_int_equal(job.metric_count, 1);
}

static void the_first_step_beyond_the_resumed_one_is_told_once(void **state)
{
    struct live *live = *state;
    assert_false(live_first_step(live, "job_a", 1, 100, 100));
    assert_true(live_first_step(live, "job_a", 1, 101, 100));
    assert_false(live_first_step(live, "job_a", 1, 102, 100));
    assert_true(live_first_step(live, "job_a", 2, 101, 100));
    assert_false(live_first_step(live, "job_a", 1, 103, 100));
}

static void what_was_restored_gives_way_to_what_comes_in(void **state)
{
    struct live *live = *state;
    struct live_job job;
    static struct live_job known = {.attempt = 1,
                                    .step = 40,
                                    .of = 100,
                                    .epoch = 2,
                                    .metric_count = 1,
                                    .metrics = {{.name = "loss", .value = 0.75}}};
    live_progress(live, "job_a", 1, 45, 0, -1, 1);
    live_restore(live, "job_a", &known);
    assert_true(live_get(live, "job_a", &job));
    assert_int_equal(job.step, 45);
    assert_int_equal(job.of, 100);
    assert_int_equal(job.metric_count, 1);
    live_metric(live, "job_a", 1, "loss", 0.5);
    live_restore(live, "job_a", &known);
    assert_true(live_get(live, "job_a", &job));
    assert_true(job.metrics[0].value == 0.5);
}

static void the_table_is_bounded_and_keeps_what_is_used(void **state)
{
    struct live *live = *state;
    struct live_job job;
    char id[ID_BYTES_MAX];
    live_progress(live, "job_kept", 1, 1, 0, -1, 1);
    for (int i = 0; i < LIVE_JOBS_MAX + 100; i++) {
        snprintf(id, sizeof(id), "job_%d", i);
        live_progress(live, id, 1, 1, 0, -1, 1);
        assert_true(live_get(live, "job_kept", &job));
    }
    assert_false(live_get(live, "job_0", &job));
    assert_true(live_get(live, id, &job));
}

static void limits_of_names_and_ranks_hold(void **state)
{
    struct live *live = *state;
    struct live_job job;
    char name[LIVE_NAME_BYTES + 8];
    for (int i = 0; i < LIVE_METRICS_MAX + 10; i++) {
        snprintf(name, sizeof(name), "m%d", i);
        live_metric(live, "job_a", 1, name, i);
    }
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    live_metric(live, "job_b", 1, name, 1);
    live_rank(live, "job_a", 1, -1, 0, 0);
    live_rank(live, "job_a", 1, LIVE_RANKS_MAX, 0, 0);
    assert_true(live_get(live, "job_a", &job));
    assert_int_equal(job.metric_count, LIVE_METRICS_MAX);
    assert_true(live_get(live, "job_b", &job));
    assert_int_equal(job.metric_count, 0);
    assert_false(live_get_rank(live, "job_a", 1, LIVE_RANKS_MAX).known);
}

#define case_of(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        case_of(the_newest_progress_and_metrics_are_shown),
        case_of(a_checkpoint_is_known_until_some_more_were_told),
        case_of(an_older_attempt_changes_nothing),
        case_of(a_new_attempt_begins_without_ranks_and_with_the_last_metrics),
        case_of(the_first_step_beyond_the_resumed_one_is_told_once),
        case_of(what_was_restored_gives_way_to_what_comes_in),
        case_of(the_table_is_bounded_and_keeps_what_is_used),
        case_of(limits_of_names_and_ranks_hold),
    };
    return cmocka_run_group_tests_name("live", tests, NULL, NULL);
}
