/* The controller dies at every stage of a job's life and starts again; and rarer turns of placement. */

#include "tests/unit/brain_fixture.h"

#include <stdio.h>
#include <string.h>

static void sync_for(struct fixture *f, const char *nodes, int64_t duration_ms,
                     const struct observed_rank *ranks)
{
    for (int64_t gone_ms = 0; gone_ms < duration_ms; gone_ms += 100) {
        fixture_advance(f, 100);
        for (size_t i = 0; nodes[i] != '\0'; i++)
            fixture_sync(f, nodes[i], ranks == NULL ? NULL : &ranks[i], ranks != NULL);
    }
}

static void queued_jobs_keep_their_order(void **state)
{
    struct fixture *f = *state;
    const struct job_request request = fixture_request(1);
    const char *jobs[5];
    for (int i = 0; i < 5; i++) {
        jobs[i] = fixture_submit(f, &request);
        f->wall_ms += i % 2;
    }
    fixture_restart(f);
    for (int i = 0; i < 5; i++) {
        fixture_join(f, (char)('a' + i), 1);
        assert_job(f, jobs[i], JOB_STARTING);
        fixture_all_alive(f, jobs[i]);
    }
}

static void a_running_gang_is_not_disturbed(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    fixture_restart(f);
    const int64_t revision = brain_node(f->brain, "node_a")->revision;
    const struct observed_rank alive = fixture_alive(job, 1, 0);
    sync_for(f, "a", 3000, &alive);
    assert_job(f, job, JOB_RUNNING);
    assert_int_equal(brain_node(f->brain, "node_a")->revision, revision);
}

static void a_placed_gang_gets_a_new_start_limit(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const struct job_request request = fixture_request(1);
    const char *job = fixture_submit(f, &request);
    fixture_advance(f, 1000);
    fixture_sync(f, 'a', NULL, 0);
    fixture_restart(f);
    sync_for(f, "a", 59900, NULL);
    assert_job(f, job, JOB_STARTING);
    assert_int_equal(brain_attempt(f->brain, job)->attempt, 1);
    sync_for(f, "a", 200, NULL);
    assert_int_equal(brain_job(f->brain, job)->infra_restarts, 1);
}

static void a_stopping_gang_is_still_bounded(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    fixture_cancel(f, job);
    fixture_restart(f);
    assert_int_equal(fixture_desired(f, 'a', job, 1), 's');
    const struct observed_rank alive = fixture_alive(job, 1, 0);
    sync_for(f, "a", 31000, &alive);
    assert_int_equal(fixture_desired(f, 'a', job, 1), 'k');
    fixture_sync(f, 'a', NULL, 0);
    assert_null(brain_job(f->brain, job));
}

static void a_recovering_job_backs_off_again(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    fixture_operate(f, INPUT_NODE_DRAIN, 'a');
    const struct observed_rank stopped = fixture_exit(job, 1, 0, 75);
    fixture_sync(f, 'a', &stopped, 1);
    fixture_advance(f, 30000);
    fixture_sync(f, 'a', NULL, 0);
    fixture_operate(f, INPUT_NODE_UNDRAIN, 'a');
    fixture_restart(f);
    fixture_sync(f, 'a', NULL, 0);
    fixture_advance(f, 1);
    assert_job(f, job, JOB_STARTING);
    assert_int_equal(brain_attempt(f->brain, job)->attempt, 2);
}

static void done_ranks_still_wait_for_their_result(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    const struct observed_rank done = fixture_exit(job, 1, 0, 0);
    fixture_sync(f, 'a', &done, 1);
    fixture_restart(f);
    assert_int_equal(fixture_desired(f, 'a', job, 1), 'r');
    sync_for(f, "a", 30000, NULL);
    fixture_result(f, job, 1);
    assert_null(brain_job(f->brain, job));
}

static void a_time_limit_goes_on_counting(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    struct job_request request = fixture_request(1);
    request.time_limit_ms = 5000;
    const char *job = fixture_submit(f, &request);
    fixture_all_alive(f, job);
    const struct observed_rank alive = fixture_alive(job, 1, 0);
    sync_for(f, "a", 3000, &alive);
    fixture_restart(f);
    sync_for(f, "a", 1900, &alive);
    assert_int_equal(fixture_desired(f, 'a', job, 1), 'r');
    sync_for(f, "a", 200, &alive);
    assert_int_equal(fixture_desired(f, 'a', job, 1), 's');
}

static void a_time_limit_over_a_drain_ends_it(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    struct job_request request = fixture_request(1);
    request.time_limit_ms = 5000;
    const char *job = fixture_submit(f, &request);
    fixture_all_alive(f, job);
    fixture_operate(f, INPUT_NODE_DRAIN, 'a');
    const struct observed_rank alive = fixture_alive(job, 1, 0);
    sync_for(f, "a", 5200, &alive);
    assert_job(f, job, JOB_FAILED);
}

static void a_lost_nodes_slot_and_port_stay_held(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    fixture_advance(f, 2100);
    assert_job(f, job, JOB_RECOVERING);
    fixture_restart(f);
    struct brain_counts counts;
    brain_count(f->brain, &counts);
    assert_int_equal(counts.slots_held, 1);
    fixture_join(f, 'b', 1);
    fixture_advance(f, 1);
    assert_job(f, job, JOB_STARTING);
    fixture_all_alive(f, job);
    fixture_restart(f);
    assert_int_equal(fixture_desired(f, 'a', job, 1), 'k');
    const struct observed_rank alive = fixture_alive(job, 1, 0);
    fixture_sync(f, 'a', &alive, 1);
    assert_int_equal(brain_node(f->brain, "node_a")->state, NODE_READY);
    fixture_sync(f, 'a', NULL, 0);
    brain_count(f->brain, &counts);
    assert_int_equal(counts.slots_held, 1);
}

static void pending_shards_are_known_again(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 2);
    const char *job = fixture_run(f, 2);
    fixture_shard(f, job, 1, 10, 0, 2);
    fixture_shard(f, job, 1, 20, 0, 2);
    fixture_restart(f);
    fixture_shard(f, job, 1, 10, 1, 2);
    assert_true(f->reply.committed);
    fixture_restart(f);
    fixture_shard(f, job, 1, 20, 1, 2);
    assert_true(f->reply.committed);
    fixture_restart(f);
    assert_int_equal(brain_job(f->brain, job)->committed_step, 20);
}

static void several_attempts_on_one_node_are_told_in_one_order(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 3);
    const char *jobs[3];
    for (int i = 0; i < 3; i++)
        jobs[i] = fixture_run(f, 1);
    fixture_restart(f);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fixture_desired(f, 'a', jobs[i], 1), 'r');
}

/* ---- rarer turns */

static void a_job_that_waits_again_stands_before_younger_ones(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const struct job_request request = fixture_request(1);
    const char *first = fixture_run(f, 1);
    f->wall_ms += 10;
    (void)fixture_submit(f, &request);
    f->wall_ms += 10;
    (void)fixture_submit(f, &request);
    const struct observed_rank lost = fixture_exit(first, 1, 0, 69);
    fixture_sync(f, 'a', &lost, 1);
    assert_job(f, first, JOB_STARTING);
}

static void without_a_free_port_nothing_is_placed(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 2);
    struct brain_input input = {.kind = INPUT_NODE_JOIN};
    input.join.node = *brain_node(f->brain, "node_a");
    input.join.node.labels = (char[]){"{}"}; /* the old ones belong to the brain */
    input.join.node.port_first = 40000;
    input.join.node.port_last = 40000;
    static const uint8_t sha256[32] = {9};
    input.join.node_token = "tok_again";
    input.join.node_token_sha256 = sha256;
    fixture_step(f, &input);
    const char *job = fixture_run(f, 1);
    assert_int_equal(brain_attempt(f->brain, job)->master_port, 40000);
    const struct job_request request = fixture_request(1);
    const char *second = fixture_submit(f, &request);
    assert_job(f, second, JOB_QUEUED);
    fixture_result(f, job, 1);
    const struct observed_rank done = fixture_exit(job, 1, 0, 0);
    fixture_sync(f, 'a', &done, 1);
    assert_job(f, second, JOB_STARTING);
}

static void a_blocker_that_is_cancelled_lets_the_next_one_through(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 2);
    (void)fixture_run(f, 1);
    struct job_request request = fixture_request(2);
    const char *wide = fixture_submit(f, &request);
    request.ranks = 1;
    const char *small = fixture_submit(f, &request);
    assert_job(f, small, JOB_QUEUED);
    fixture_cancel(f, wide);
    assert_job(f, small, JOB_STARTING);
}

static void of_two_kinds_of_nodes_the_larger_is_taken(void **state)
{
    struct fixture *f = *state;
    fixture_join_with(f, 'a', 1, "zen");
    fixture_join_with(f, 'b', 2, "haswell");
    const char *job = fixture_run(f, 1);
    assert_string_equal(brain_job(f->brain, job)->numerics, "haswell");
}

static void a_job_waits_for_its_former_ranks_to_settle(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 2);
    const char *job = fixture_run(f, 2);
    const struct observed_rank ranks[] = {fixture_exit(job, 1, 0, 69), fixture_alive(job, 1, 1)};
    fixture_sync(f, 'a', ranks, 2);
    assert_job(f, job, JOB_RECOVERING);
    struct explanation why;
    brain_explain(f->brain, job, f->boot_ms, &why);
    assert_int_equal(why.code, EXPLAIN_SETTLING);
    fixture_advance(f, 100);
    fixture_sync(f, 'a', &ranks[1], 1);
    assert_job(f, job, JOB_RECOVERING);
    fixture_advance(f, 150);
    assert_job(f, job, JOB_STARTING);
    brain_explain(f->brain, job, f->boot_ms, &why);
    assert_int_equal(why.code, EXPLAIN_RUNNING);
}

static void a_checkpoint_lag_is_told(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    struct brain_input input = {.kind = INPUT_SHARD_STORED, .at_wall_ms = f->wall_ms - 41};
    input.shard = (struct shard_row){.attempt = 1, .step = 5, .of = 1, .bytes = 10};
    (void)snprintf(input.shard.job, ID_BYTES_MAX, "%s", job);
    (void)snprintf(input.shard.node, ID_BYTES_MAX, "node_a");
    (void)snprintf(input.shard.sha256, BRAIN_SHA_BYTES, "%064d", 1);
    fixture_step(f, &input);
    assert_int_equal(fixture_effect(f, EFFECT_CHECKPOINT_INSERT, 0)->checkpoint.lag_ms, 41);
}

static void a_job_whose_only_checkpoint_is_corrupt_fails_and_says_so(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    fixture_shard(f, job, 1, 5, 0, 1);
    struct observed_rank end = fixture_exit(job, 1, 0, 69);
    fixture_sync(f, 'a', &end, 1);
    for (int64_t attempt = 2; attempt <= 3; attempt++) {
        end = fixture_exit(job, attempt, 0, 73);
        end.exit_reason = REASON_CHECKPOINT_CORRUPT;
        fixture_sync(f, 'a', &end, 1);
        if (attempt == 2)
            sync_for(f, "a", 3000, NULL);
    }
    assert_null(brain_job(f->brain, job));
    assert_int_equal(fixture_effect(f, EFFECT_JOB_UPDATE, 0)->job.reason,
                     REASON_CHECKPOINT_CORRUPT);
}

static void an_amend_window_without_a_silent_node_just_closes(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    const struct observed_rank lost = fixture_exit(job, 1, 0, 69);
    fixture_sync(f, 'a', &lost, 1);
    fixture_all_alive(f, job);
    const struct observed_rank alive = fixture_alive(job, 2, 0);
    sync_for(f, "a", 2200, &alive);
    assert_job(f, job, JOB_RUNNING);
    assert_int_equal(brain_attempt(f->brain, job)->cause, REASON_PEER_LOST);
}

static void a_refused_invariant_is_named(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    struct job_row *row = (struct job_row *)(uintptr_t)brain_job(f->brain, job);
    row->state = JOB_QUEUED;
    char why[256] = "";
    assert_false(brain_check(f->brain, why, sizeof(why)));
    assert_non_null(strstr(why, job));
    row->state = JOB_RUNNING;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup_stored, fixture_teardown)
        TEST(queued_jobs_keep_their_order),
        TEST(a_running_gang_is_not_disturbed),
        TEST(a_placed_gang_gets_a_new_start_limit),
        TEST(a_stopping_gang_is_still_bounded),
        TEST(a_recovering_job_backs_off_again),
        TEST(done_ranks_still_wait_for_their_result),
        TEST(a_time_limit_goes_on_counting),
        TEST(a_time_limit_over_a_drain_ends_it),
        TEST(a_lost_nodes_slot_and_port_stay_held),
        TEST(pending_shards_are_known_again),
        TEST(several_attempts_on_one_node_are_told_in_one_order),
        TEST(a_job_that_waits_again_stands_before_younger_ones),
        TEST(without_a_free_port_nothing_is_placed),
        TEST(a_blocker_that_is_cancelled_lets_the_next_one_through),
        TEST(of_two_kinds_of_nodes_the_larger_is_taken),
        TEST(a_job_waits_for_its_former_ranks_to_settle),
        TEST(a_checkpoint_lag_is_told),
        TEST(a_job_whose_only_checkpoint_is_corrupt_fails_and_says_so),
        TEST(an_amend_window_without_a_silent_node_just_closes),
        TEST(a_refused_invariant_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
