/* The life of a job from submit to its end, as the brain decides it. */

#include "tests/unit/brain_fixture.h"

#include <stdio.h>
#include <string.h>

static void a_gang_succeeds_when_result_and_every_exit_are_known(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    fixture_join(f, 'b', 1);
    const char *job = fixture_run(f, 2);
    assert_int_equal(fixture_desired(f, 'a', job, 1), 'r');
    assert_int_equal(fixture_desired(f, 'b', job, 1), 'r');
    fixture_shard(f, job, 1, 100, 0, 1);
    assert_true(f->reply.committed);
    assert_int_equal(brain_job(f->brain, job)->committed_step, 100);
    fixture_all_exit(f, job, 0);
    assert_job(f, job, JOB_RUNNING);
    fixture_result(f, job, 1);
    assert_null(brain_job(f->brain, job));
    assert_int_equal(fixture_count(f, EFFECT_JOB_RESULT), 1);
    assert_int_equal(fixture_effect(f, EFFECT_JOB_UPDATE, 0)->job.state, JOB_SUCCEEDED);
    assert_int_equal(fixture_desired(f, 'a', job, 1), '-');
}

static void a_result_before_the_exits_succeeds_with_the_last_exit(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 2);
    const char *job = fixture_run(f, 2);
    fixture_result(f, job, 1);
    const struct observed_rank first[] = {fixture_exit(job, 1, 0, 0), fixture_alive(job, 1, 1)};
    fixture_sync(f, 'a', first, 2);
    assert_job(f, job, JOB_RUNNING);
    const struct observed_rank both[] = {fixture_exit(job, 1, 0, 0), fixture_exit(job, 1, 1, 0)};
    fixture_sync(f, 'a', both, 2);
    assert_null(brain_job(f->brain, job));
}

static void a_failed_rank_starts_a_new_attempt_from_the_newest_checkpoint(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    fixture_join(f, 'b', 1);
    const char *job = fixture_run(f, 2);
    fixture_shard(f, job, 1, 200, 0, 1);
    const char loser = fixture_node_of(f, job, 0);
    const char other = fixture_node_of(f, job, 1);
    struct observed_rank dead = fixture_signal(job, 1, 0, 9);
    dead.step = 237;
    fixture_sync(f, loser, &dead, 1);
    assert_job(f, job, JOB_RECOVERING);
    assert_int_equal(fixture_desired(f, other, job, 1), 'k');
    assert_int_equal(fixture_desired(f, loser, job, 1), '-');
    struct observed_rank killed = fixture_signal(job, 1, 1, 9);
    fixture_sync(f, other, &killed, 1);
    assert_job(f, job, JOB_STARTING);
    const struct attempt_row *attempt = brain_attempt(f->brain, job);
    assert_int_equal(attempt->attempt, 2);
    assert_int_equal(attempt->resume_step, 200);
    assert_int_equal(attempt->lost_steps, 37);
    assert_int_equal(attempt->cause, REASON_KILLED);
    assert_int_equal(brain_job(f->brain, job)->restarts, 1);
    fixture_all_alive(f, job);
    assert_job(f, job, JOB_RUNNING);
}

static void nothing_of_an_ended_attempt_is_committed(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    const struct observed_rank dead = fixture_exit(job, 1, 0, 70);
    fixture_sync(f, 'a', &dead, 1);
    assert_int_equal(brain_attempt(f->brain, job)->attempt, 2);
    fixture_shard(f, job, 1, 300, 0, 1);
    assert_int_equal(f->reply.status, STATUS_CONFLICT);
    assert_string_equal(f->reply.code, "stale_attempt");
    assert_int_equal(f->effects.count, 0);
    fixture_result(f, job, 1);
    assert_string_equal(f->reply.code, "stale_attempt");
}

static void a_queued_job_waits_until_slots_come(void **state)
{
    struct fixture *f = *state;
    const struct job_request request = fixture_request(2);
    const char *job = fixture_submit(f, &request);
    assert_job(f, job, JOB_QUEUED);
    fixture_join(f, 'a', 1);
    assert_job(f, job, JOB_QUEUED);
    fixture_join(f, 'b', 1);
    assert_job(f, job, JOB_STARTING);
}

/* Whoever waits for a node's next revision hears of each change that an answer shows. */
static void a_nodes_revision_moves_with_state_slots_and_wish_but_not_with_syncs(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 2);
    const struct node_row *node = brain_node(f->brain, fixture_node_id('a'));
    int64_t seen = node->revision;
    fixture_sync(f, 'a', NULL, 0);
    assert_int_equal(node->revision, seen);
    const char *job = fixture_run(f, 2);
    assert_true(node->revision > seen);
    seen = node->revision;
    fixture_result(f, job, 1);
    fixture_all_exit(f, job, 0);
    assert_true(node->revision > seen);
    seen = node->revision;
    fixture_operate(f, INPUT_NODE_DRAIN, 'a');
    assert_true(node->revision > seen);
    seen = node->revision;
    fixture_advance(f, 10000);
    assert_int_equal(node->state, NODE_LOST);
    assert_true(node->revision > seen);
}

/* Else it would take silence about a rank for an agent that has not read its orders yet. */
static void every_revision_of_a_node_reaches_its_agent(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    fixture_operate(f, INPUT_NODE_DRAIN, 'a');
    const struct node_row *node = brain_node(f->brain, fixture_node_id('a'));
    assert_int_equal(fixture_count(f, EFFECT_DESIRED), 1);
    assert_int_equal(fixture_effect(f, EFFECT_DESIRED, 0)->node.revision, node->revision);
}

/* As with bounded staleness: where the sums fall depends on who is late. */
static void a_job_whose_spec_gives_the_same_bits_up_says_so(void **state)
{
    struct fixture *f = *state;
    struct brain_input input = {.kind = INPUT_JOB_SUBMIT};
    (void)snprintf(input.submit.job.id, ID_BYTES_MAX, "job_stale");
    input.submit.job.request = fixture_request(1);
    input.submit.spec = "{}";
    input.submit.labels = "{}";
    input.submit.inexact = true;
    fixture_step(f, &input);
    assert_false(brain_job(f->brain, "job_stale")->bit_exact);
    const struct job_request request = fixture_request(1);
    assert_true(brain_job(f->brain, fixture_submit(f, &request))->bit_exact);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(a_gang_succeeds_when_result_and_every_exit_are_known),
        TEST(a_result_before_the_exits_succeeds_with_the_last_exit),
        TEST(a_failed_rank_starts_a_new_attempt_from_the_newest_checkpoint),
        TEST(nothing_of_an_ended_attempt_is_committed),
        TEST(a_queued_job_waits_until_slots_come),
        TEST(a_nodes_revision_moves_with_state_slots_and_wish_but_not_with_syncs),
        TEST(every_revision_of_a_node_reaches_its_agent),
        TEST(a_job_whose_spec_gives_the_same_bits_up_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
