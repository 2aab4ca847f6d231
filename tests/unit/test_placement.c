/* Where gangs go, and who comes first. */

#include "tests/unit/brain_fixture.h"

#include <string.h>

static void a_gang_goes_to_the_fewest_nodes(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    fixture_join(f, 'b', 3);
    fixture_join(f, 'c', 2);
    const char *job = fixture_run(f, 4);
    assert_int_equal(fixture_node_of(f, job, 0), 'b');
    assert_int_equal(fixture_node_of(f, job, 2), 'b');
    assert_int_equal(fixture_node_of(f, job, 3), 'a');
    assert_int_equal(fixture_desired(f, 'c', job, 1), '-');
}

static void of_the_nodes_that_hold_it_the_best_fit_is_taken(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 4);
    fixture_join(f, 'b', 2);
    fixture_join(f, 'c', 3);
    const char *job = fixture_run(f, 2);
    assert_int_equal(fixture_node_of(f, job, 0), 'b');
}

static void a_gang_is_placed_whole_or_not_at_all(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 2);
    const struct job_request request = fixture_request(3);
    const char *job = fixture_submit(f, &request);
    assert_job(f, job, JOB_QUEUED);
    assert_int_equal(fixture_count(f, EFFECT_SLOT_PUT), 0);
}

static void a_gang_shares_one_arithmetic(void **state)
{
    struct fixture *f = *state;
    fixture_join_with(f, 'a', 1, "zen");
    fixture_join_with(f, 'b', 1, "haswell");
    const struct job_request request = fixture_request(2);
    const char *job = fixture_submit(f, &request);
    assert_job(f, job, JOB_QUEUED);
    fixture_join_with(f, 'c', 1, "haswell");
    assert_job(f, job, JOB_STARTING);
    assert_string_equal(brain_job(f->brain, job)->numerics, "haswell");
    assert_int_equal(brain_job(f->brain, job)->device, DEVICE_CPU);
}

static void a_higher_priority_comes_first_then_the_older(void **state)
{
    struct fixture *f = *state;
    struct job_request request = fixture_request(1);
    const char *old_low = fixture_submit(f, &request);
    const char *young_low = fixture_submit(f, &request);
    request.priority = 60;
    const char *high = fixture_submit(f, &request);
    fixture_join(f, 'a', 1);
    assert_job(f, high, JOB_STARTING);
    assert_job(f, old_low, JOB_QUEUED);
    fixture_join(f, 'b', 1);
    assert_job(f, old_low, JOB_STARTING);
    assert_job(f, young_low, JOB_QUEUED);
}

static void nothing_overtakes_a_gang_that_waits_for_busy_slots(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 2);
    const char *running = fixture_run(f, 1);
    struct job_request request = fixture_request(2);
    const char *wide = fixture_submit(f, &request);
    request.ranks = 1;
    const char *small = fixture_submit(f, &request);
    assert_job(f, wide, JOB_QUEUED);
    assert_job(f, small, JOB_QUEUED);
    request.priority = 90;
    const char *urgent = fixture_submit(f, &request);
    assert_job(f, urgent, JOB_STARTING);
    fixture_cancel(f, running);
    assert_job(f, wide, JOB_QUEUED);
}

static void a_gang_larger_than_the_cluster_blocks_nobody(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 2);
    struct job_request request = fixture_request(3);
    const char *large = fixture_submit(f, &request);
    request.ranks = 1;
    const char *small = fixture_submit(f, &request);
    assert_job(f, large, JOB_QUEUED);
    assert_job(f, small, JOB_STARTING);
}

static void a_blamed_node_is_avoided_when_another_will_do(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    fixture_join(f, 'b', 1);
    const char *job = fixture_run(f, 1);
    assert_int_equal(fixture_node_of(f, job, 0), 'a');
    const struct observed_rank broken = fixture_exit(job, 1, 0, 71);
    fixture_sync(f, 'a', &broken, 1);
    assert_job(f, job, JOB_STARTING);
    assert_int_equal(fixture_node_of(f, job, 0), 'b');
}

static void a_blamed_node_is_used_when_there_is_no_other(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    const struct observed_rank broken = fixture_exit(job, 1, 0, 71);
    fixture_sync(f, 'a', &broken, 1);
    assert_job(f, job, JOB_STARTING);
    assert_int_equal(brain_attempt(f->brain, job)->attempt, 2);
}

static void a_node_whose_connection_closed_gets_nothing(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    fixture_disconnect(f, 'a');
    const struct job_request request = fixture_request(1);
    const char *job = fixture_submit(f, &request);
    assert_job(f, job, JOB_QUEUED);
    fixture_sync(f, 'a', NULL, 0);
    assert_job(f, job, JOB_STARTING);
}

static void a_draining_node_gets_nothing(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    fixture_operate(f, INPUT_NODE_DRAIN, 'a');
    const struct job_request request = fixture_request(1);
    const char *job = fixture_submit(f, &request);
    assert_job(f, job, JOB_QUEUED);
    fixture_operate(f, INPUT_NODE_UNDRAIN, 'a');
    assert_job(f, job, JOB_STARTING);
}

static void later_attempts_wait_for_the_same_arithmetic_then_go_on_and_say_so(void **state)
{
    struct fixture *f = *state;
    fixture_join_with(f, 'a', 1, "zen");
    const char *job = fixture_run(f, 1);
    fixture_join_with(f, 'b', 1, "haswell");
    const struct observed_rank dead = fixture_exit(job, 1, 0, 69);
    fixture_operate(f, INPUT_NODE_DRAIN, 'a');
    fixture_sync(f, 'a', &dead, 1);
    assert_job(f, job, JOB_RECOVERING);
    for (int i = 0; i < 59 * 5; i++) {
        fixture_advance(f, 200);
        fixture_sync(f, 'b', NULL, 0);
    }
    assert_job(f, job, JOB_RECOVERING);
    struct explanation why;
    brain_explain(f->brain, job, f->boot_ms, &why);
    assert_int_equal(why.code, EXPLAIN_NUMERICS);
    for (int i = 0; i < 10; i++) {
        fixture_advance(f, 200);
        fixture_sync(f, 'b', NULL, 0);
    }
    assert_job(f, job, JOB_STARTING);
    assert_false(brain_job(f->brain, job)->bit_exact);
    assert_string_equal(brain_job(f->brain, job)->numerics, "haswell");
}

static void a_port_is_held_until_every_rank_has_ended_and_not_reused_at_once(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    fixture_join(f, 'b', 1);
    const char *job = fixture_run(f, 2);
    const int64_t port = brain_attempt(f->brain, job)->master_port;
    assert_int_equal(port, 29500);
    const struct observed_rank first = fixture_exit(job, 1, 0, 69);
    fixture_sync(f, fixture_node_of(f, job, 0), &first, 1);
    assert_int_equal(fixture_count(f, EFFECT_PORT_DELETE), 0);
    const struct observed_rank second = fixture_exit(job, 1, 1, 69);
    fixture_sync(f, fixture_node_of(f, job, 1), &second, 1);
    assert_int_equal(fixture_count(f, EFFECT_PORT_DELETE), 1);
    assert_int_equal(brain_attempt(f->brain, job)->master_port, 29501);
}

static void a_dry_run_says_where_it_would_go_or_why_not(void **state)
{
    struct fixture *f = *state;
    struct job_request request = fixture_request(2);
    struct explanation out;
    brain_explain_request(f->brain, &request, f->boot_ms, &out);
    assert_int_equal(out.code, EXPLAIN_NO_NODES);
    fixture_join(f, 'a', 2);
    brain_explain_request(f->brain, &request, f->boot_ms, &out);
    assert_int_equal(out.code, EXPLAIN_WOULD_RUN);
    assert_int_equal(out.placement_count, 1);
    assert_string_equal(out.placement[0].node, "node_a");
    assert_int_equal(out.placement[0].ranks, 2);
    (void)fixture_run(f, 1);
    brain_explain_request(f->brain, &request, f->boot_ms, &out);
    assert_int_equal(out.code, EXPLAIN_SLOTS_BUSY);
    const char *first = fixture_submit(f, &request);
    const char *second = fixture_submit(f, &request);
    brain_explain(f->brain, first, f->boot_ms, &out);
    assert_int_equal(out.code, EXPLAIN_SLOTS_BUSY);
    assert_int_equal(out.position, 1);
    brain_explain(f->brain, second, f->boot_ms, &out);
    assert_int_equal(out.code, EXPLAIN_BEHIND);
    assert_int_equal(out.position, 2);
    request.ranks = 3;
    brain_explain_request(f->brain, &request, f->boot_ms, &out);
    assert_int_equal(out.code, EXPLAIN_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(a_gang_goes_to_the_fewest_nodes),
        TEST(of_the_nodes_that_hold_it_the_best_fit_is_taken),
        TEST(a_gang_is_placed_whole_or_not_at_all),
        TEST(a_gang_shares_one_arithmetic),
        TEST(a_higher_priority_comes_first_then_the_older),
        TEST(nothing_overtakes_a_gang_that_waits_for_busy_slots),
        TEST(a_gang_larger_than_the_cluster_blocks_nobody),
        TEST(a_blamed_node_is_avoided_when_another_will_do),
        TEST(a_blamed_node_is_used_when_there_is_no_other),
        TEST(a_node_whose_connection_closed_gets_nothing),
        TEST(a_draining_node_gets_nothing),
        TEST(later_attempts_wait_for_the_same_arithmetic_then_go_on_and_say_so),
        TEST(a_port_is_held_until_every_rank_has_ended_and_not_reused_at_once),
        TEST(a_dry_run_says_where_it_would_go_or_why_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
