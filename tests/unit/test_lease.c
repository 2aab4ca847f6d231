/* Suspicion, witnesses, leases, the brake. Fast profile: heartbeat 200, suspect 600, W 2036 ms. */

#include "tests/unit/brain_fixture.h"

#include <string.h>

#define W_MS 2036

/* Lets time go on while these nodes go on syncing that their ranks of the job are alive. */
static void go_on(struct fixture *f, int64_t duration_ms, const char *nodes,
                  const struct observed_rank *ranks)
{
    for (int64_t gone_ms = 0; gone_ms < duration_ms; gone_ms += 100) {
        fixture_advance(f, 100);
        for (size_t i = 0; nodes[i] != '\0'; i++)
            fixture_sync(f, nodes[i], ranks == NULL ? NULL : &ranks[i], ranks != NULL);
    }
}

static const char *two_node_job(struct fixture *f, struct observed_rank ranks[2])
{
    fixture_join(f, 'a', 1);
    fixture_join(f, 'b', 1);
    const char *job = fixture_run(f, 2);
    for (int64_t i = 0; i < 2; i++) {
        const char node = fixture_node_of(f, job, i);
        ranks[node - 'a'] = fixture_alive(job, 1, i);
    }
    go_on(f, 3000, "ab", ranks);
    return job;
}

static void w_follows_from_the_formula(void **state)
{
    (void)state;
    assert_int_equal(brain_profile_wait_ms(&brain_profiles[0]), 18334);
    assert_int_equal(brain_profile_wait_ms(&brain_profiles[1]), W_MS);
    assert_int_equal(brain_profile_wait_ms(&brain_profiles[2]), 71313);
}

static void a_silent_node_is_suspect_and_then_lost_at_w(void **state)
{
    struct fixture *f = *state;
    struct observed_rank ranks[2];
    const char *job = two_node_job(f, ranks);
    struct brain_counts counts;
    go_on(f, 500, "a", ranks);
    brain_count(f->brain, &counts);
    assert_int_equal(counts.nodes_suspect, 0);
    go_on(f, 200, "a", ranks);
    brain_count(f->brain, &counts);
    assert_int_equal(counts.nodes_suspect, 1);
    assert_job(f, job, JOB_RUNNING);
    go_on(f, 1200, "a", ranks);
    assert_job(f, job, JOB_RUNNING);
    go_on(f, 300, "a", ranks);
    assert_job(f, job, JOB_RECOVERING);
    assert_int_equal(brain_node(f->brain, "node_b")->state, NODE_LOST);
    go_on(f, 400, "a", ranks); /* node_a still syncs: its slot may move after the settle time */
    brain_count(f->brain, &counts);
    assert_int_equal(counts.slots_held, 1);
}

static void a_witness_ends_a_fenced_attempt_of_a_suspect_node(void **state)
{
    struct fixture *f = *state;
    struct observed_rank ranks[2];
    const char *job = two_node_job(f, ranks);
    ranks[0].collective = 17;
    for (int64_t waits_ms = 100; waits_ms <= 700; waits_ms += 100) {
        ranks[0].waiting_ms = waits_ms;
        go_on(f, 100, "a", ranks);
    }
    assert_job(f, job, JOB_RECOVERING);
    assert_int_equal(brain_attempt(f->brain, job)->reason, REASON_NODE_LOST);
    assert_int_equal(brain_node(f->brain, "node_b")->state, NODE_READY);
}

static void a_gang_that_steps_proves_that_its_ranks_live(void **state)
{
    struct fixture *f = *state;
    struct observed_rank ranks[2];
    const char *job = two_node_job(f, ranks);
    ranks[0].collective = 17;
    ranks[0].waiting_ms = 50;
    go_on(f, 1500, "a", ranks);
    assert_job(f, job, JOB_RUNNING);
    fixture_sync(f, 'b', &ranks[1], 1);
    go_on(f, 1000, "ab", ranks);
    assert_job(f, job, JOB_RUNNING);
}

/* The agent of node b is away for longer than W, and rank by rank the gang trains on. */
static void a_gang_that_steps_outlives_its_agents_lease(void **state)
{
    struct fixture *f = *state;
    struct observed_rank ranks[2];
    const char *job = two_node_job(f, ranks);
    for (int i = 0; i < 3 * W_MS / 100; i++) {
        ranks[0].step++;
        go_on(f, 100, "a", ranks);
    }
    assert_int_equal(brain_node(f->brain, "node_b")->state, NODE_LOST);
    assert_job(f, job, JOB_RUNNING);

    fixture_sync(f, 'b', &ranks[1], 1);
    assert_int_equal(brain_node(f->brain, "node_b")->state, NODE_READY);
    assert_job(f, job, JOB_RUNNING);
    assert_int_equal(brain_job(f->brain, job)->attempt, 1);
}

static void a_spared_gang_that_stops_stepping_ends(void **state)
{
    struct fixture *f = *state;
    struct observed_rank ranks[2];
    const char *job = two_node_job(f, ranks);
    for (int i = 0; i < 2 * W_MS / 100; i++) {
        ranks[0].step++;
        go_on(f, 100, "a", ranks);
    }
    assert_job(f, job, JOB_RUNNING);
    go_on(f, W_MS + 400, "a", ranks);
    assert_job(f, job, JOB_RECOVERING);
}

static void an_unfenced_attempt_waits_for_w_in_every_case(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    fixture_join(f, 'b', 1);
    struct job_request request = fixture_request(2);
    request.fenced = false;
    const char *job = fixture_submit(f, &request);
    fixture_all_alive(f, job);
    struct observed_rank ranks[2];
    for (int64_t i = 0; i < 2; i++)
        ranks[fixture_node_of(f, job, i) - 'a'] = fixture_alive(job, 1, i);
    go_on(f, 3000, "ab", ranks);
    ranks[0].collective = 3;
    ranks[0].waiting_ms = 5000;
    go_on(f, 1800, "a", ranks);
    assert_job(f, job, JOB_RUNNING);
    fixture_join(f, 'c', 2);
    /* One rank's exit ends the attempt, but nothing new starts while the other may run. */
    const struct observed_rank dead = fixture_exit(job, 1, ranks[0].rank, 69);
    fixture_sync(f, 'a', &dead, 1);
    assert_job(f, job, JOB_RECOVERING);
    go_on(f, 400, "ac", NULL);
    assert_int_equal(brain_node(f->brain, "node_b")->state, NODE_LOST);
    assert_job(f, job, JOB_STARTING);
}

static void a_closed_connection_makes_suspect_after_one_heartbeat(void **state)
{
    struct fixture *f = *state;
    struct observed_rank ranks[2];
    (void)two_node_job(f, ranks);
    fixture_disconnect(f, 'b');
    struct brain_counts counts;
    fixture_advance(f, 199);
    brain_count(f->brain, &counts);
    assert_int_equal(counts.nodes_suspect, 0);
    fixture_advance(f, 1);
    brain_count(f->brain, &counts);
    assert_int_equal(counts.nodes_suspect, 1);
    fixture_sync(f, 'b', &ranks[1], 1);
    brain_count(f->brain, &counts);
    assert_int_equal(counts.nodes_suspect, 0);
}

static void after_a_start_nobody_is_suspect_for_w(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    struct brain_counts counts;
    fixture_advance(f, W_MS - 1);
    brain_count(f->brain, &counts);
    assert_int_equal(counts.nodes_suspect, 0);
    fixture_advance(f, 1);
    brain_count(f->brain, &counts);
    assert_int_equal(counts.nodes[NODE_LOST], 1);
}

static void most_nodes_gone_at_once_holds_judgement_for_two_w(void **state)
{
    struct fixture *f = *state;
    for (char node = 'a'; node <= 'd'; node++)
        fixture_join(f, node, 1);
    go_on(f, 3000, "abcd", NULL);
    struct brain_counts counts;
    go_on(f, 600 + 2 * W_MS - 100, "a", NULL);
    brain_count(f->brain, &counts);
    assert_int_equal(counts.nodes[NODE_LOST], 0);
    assert_int_equal(counts.nodes_suspect, 3);
    go_on(f, 300, "a", NULL);
    brain_count(f->brain, &counts);
    assert_int_equal(counts.nodes[NODE_LOST], 3);
}

static void nodes_that_come_back_release_the_brake(void **state)
{
    struct fixture *f = *state;
    for (char node = 'a'; node <= 'd'; node++)
        fixture_join(f, node, 1);
    go_on(f, 3000, "abcd", NULL);
    go_on(f, 1000, "a", NULL);
    go_on(f, 400, "abc", NULL);
    struct brain_counts counts;
    brain_count(f->brain, &counts);
    assert_int_equal(counts.nodes_suspect, 1);
    go_on(f, 1000, "abc", NULL);
    brain_count(f->brain, &counts);
    assert_int_equal(counts.nodes[NODE_LOST], 1);
}

static void a_pause_of_the_loop_is_added_to_each_deadline(void **state)
{
    struct fixture *f = *state;
    struct observed_rank ranks[2];
    const char *job = two_node_job(f, ranks);
    f->boot_ms += 10000;
    f->wall_ms += 10000;
    fixture_step(f, &(struct brain_input){.kind = INPUT_TICK, .stall_ms = 10000});
    assert_job(f, job, JOB_RUNNING);
    assert_int_equal(brain_node(f->brain, "node_a")->state, NODE_READY);
    fixture_advance(f, W_MS);
    assert_int_equal(brain_node(f->brain, "node_a")->state, NODE_LOST);
}

static void a_lost_node_that_returns_is_ready_and_told_to_kill_what_is_over(void **state)
{
    struct fixture *f = *state;
    struct observed_rank ranks[2];
    const char *job = two_node_job(f, ranks);
    go_on(f, 2500, "a", ranks);
    assert_int_equal(brain_node(f->brain, "node_b")->state, NODE_LOST);
    assert_int_equal(fixture_desired(f, 'b', job, 1), 'k');
    fixture_sync(f, 'b', &ranks[1], 1);
    assert_int_equal(brain_node(f->brain, "node_b")->state, NODE_READY);
    assert_int_equal(fixture_desired(f, 'b', job, 1), 'k');
    assert_job(f, job, JOB_RECOVERING);
    const struct observed_rank killed = fixture_signal(job, 1, ranks[1].rank, 9);
    fixture_sync(f, 'b', &killed, 1);
    assert_int_equal(fixture_desired(f, 'b', job, 1), '-');
    assert_job(f, job, JOB_STARTING);
}

static void a_draining_node_that_was_lost_comes_back_draining(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    fixture_operate(f, INPUT_NODE_DRAIN, 'a');
    fixture_advance(f, 3000);
    assert_int_equal(brain_node(f->brain, "node_a")->state, NODE_LOST);
    fixture_sync(f, 'a', NULL, 0);
    assert_int_equal(brain_node(f->brain, "node_a")->state, NODE_DRAINING);
}

static void an_older_session_and_an_older_message_say_nothing(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    f->sessions = 5;
    fixture_sync(f, 'a', NULL, 0);
    const int64_t seq = f->seq;
    f->sessions = 4;
    fixture_sync(f, 'a', NULL, 0);
    assert_int_equal(f->reply.status, STATUS_CONFLICT);
    assert_string_equal(f->reply.code, "stale_session");
    f->sessions = 5;
    f->seq = seq - 1;
    fixture_advance(f, 1500);
    fixture_sync(f, 'a', NULL, 0);
    fixture_advance(f, 600);
    assert_int_equal(brain_node(f->brain, "node_a")->state, NODE_LOST);
}

static void an_unknown_node_is_refused(void **state)
{
    struct fixture *f = *state;
    fixture_sync(f, 'q', NULL, 0);
    assert_int_equal(f->reply.status, STATUS_NOT_FOUND);
    fixture_operate(f, INPUT_NODE_DRAIN, 'q');
    assert_string_equal(f->reply.code, "unknown_node");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(w_follows_from_the_formula),
        TEST(a_silent_node_is_suspect_and_then_lost_at_w),
        TEST(a_witness_ends_a_fenced_attempt_of_a_suspect_node),
        TEST(a_gang_that_steps_proves_that_its_ranks_live),
        TEST(a_gang_that_steps_outlives_its_agents_lease),
        TEST(a_spared_gang_that_stops_stepping_ends),
        TEST(an_unfenced_attempt_waits_for_w_in_every_case),
        TEST(a_closed_connection_makes_suspect_after_one_heartbeat),
        TEST(after_a_start_nobody_is_suspect_for_w),
        TEST(most_nodes_gone_at_once_holds_judgement_for_two_w),
        TEST(nodes_that_come_back_release_the_brake),
        TEST(a_pause_of_the_loop_is_added_to_each_deadline),
        TEST(a_lost_node_that_returns_is_ready_and_told_to_kill_what_is_over),
        TEST(a_draining_node_that_was_lost_comes_back_draining),
        TEST(an_older_session_and_an_older_message_say_nothing),
        TEST(an_unknown_node_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
