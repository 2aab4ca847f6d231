/* How attempts end, what that costs, and what an end turns out to have been. */

#include "tests/unit/brain_fixture.h"

#include <string.h>

static void end_rank(struct fixture *f, const char *job, int64_t rank, struct observed_rank seen)
{
    fixture_sync_seen(f, fixture_node_of(f, job, rank), &seen, 1, 0);
}

static const char *gang_of_two(struct fixture *f)
{
    fixture_join(f, 'a', 1);
    fixture_join(f, 'b', 1);
    return fixture_run(f, 2);
}

/* ---- cancel */

static void a_queued_job_is_cancelled_at_once(void **state)
{
    struct fixture *f = *state;
    const struct job_request request = fixture_request(1);
    const char *job = fixture_submit(f, &request);
    fixture_cancel(f, job);
    assert_int_equal(f->reply.status, STATUS_OK);
    assert_null(brain_job(f->brain, job));
    assert_int_equal(fixture_count(f, EFFECT_JOB_UPDATE), 2);
    fixture_cancel(f, job);
    assert_string_equal(f->reply.code, "not_live");
}

static void a_running_job_is_cancelled_when_every_rank_has_stopped(void **state)
{
    struct fixture *f = *state;
    const char *job = gang_of_two(f);
    fixture_cancel(f, job);
    assert_job(f, job, JOB_CANCELLING);
    assert_int_equal(fixture_desired(f, 'a', job, 1), 's');
    fixture_cancel(f, job);
    assert_int_equal(f->effects.count, 0);
    end_rank(f, job, 0, fixture_exit(job, 1, 0, 75));
    assert_job(f, job, JOB_CANCELLING);
    end_rank(f, job, 1, fixture_exit(job, 1, 1, 75));
    assert_null(brain_job(f->brain, job));
    assert_int_equal(fixture_effect(f, EFFECT_ATTEMPT_UPDATE, 0)->attempt.reason, REASON_CANCELLED);
}

static void a_cancelled_job_whose_ranks_do_not_stop_is_killed_after_the_grace(void **state)
{
    struct fixture *f = *state;
    const char *job = gang_of_two(f);
    fixture_cancel(f, job);
    const struct observed_rank alive[] = {fixture_alive(job, 1, 0), fixture_alive(job, 1, 1)};
    for (int i = 0; i < 320; i++) {
        fixture_advance(f, 100);
        fixture_sync(f, 'a', &alive[fixture_node_of(f, job, 0) == 'a' ? 0 : 1], 1);
        fixture_sync(f, 'b', &alive[fixture_node_of(f, job, 0) == 'b' ? 0 : 1], 1);
    }
    assert_job(f, job, JOB_CANCELLING);
    assert_int_equal(fixture_desired(f, 'a', job, 1), 'k');
    fixture_sync(f, 'a', NULL, 0);
    fixture_sync(f, 'b', NULL, 0);
    assert_null(brain_job(f->brain, job));
}

static void a_cancelled_job_is_gone_when_its_node_is_lost_but_the_slot_stays_held(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    fixture_cancel(f, job);
    fixture_advance(f, 2100);
    assert_job(f, job, JOB_CANCELLED);
    struct brain_counts counts;
    brain_count(f->brain, &counts);
    assert_int_equal(counts.slots_held, 1);
    fixture_sync(f, 'a', NULL, 0);
    assert_null(brain_job(f->brain, job));
    brain_count(f->brain, &counts);
    assert_int_equal(counts.slots_held, 0);
}

static void a_cancel_while_recovering_waits_for_nothing_that_has_ended(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    fixture_operate(f, INPUT_NODE_DRAIN, 'a');
    end_rank(f, job, 0, fixture_exit(job, 1, 0, 75));
    fixture_advance(f, 1000);
    fixture_sync(f, 'a', NULL, 0);
    assert_job(f, job, JOB_RECOVERING);
    fixture_cancel(f, job);
    assert_null(brain_job(f->brain, job));
}

static void a_cancel_of_ranks_that_never_started_needs_only_silence(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const struct job_request request = fixture_request(1);
    const char *job = fixture_submit(f, &request);
    fixture_cancel(f, job);
    fixture_sync_seen(f, 'a', NULL, 0, 0);
    assert_job(f, job, JOB_CANCELLING);
    fixture_sync(f, 'a', NULL, 0);
    assert_null(brain_job(f->brain, job));
}

/* ---- drain */

static void a_drained_job_keeps_its_last_checkpoint_and_pays_nothing(void **state)
{
    struct fixture *f = *state;
    const char *job = gang_of_two(f);
    fixture_operate(f, INPUT_NODE_DRAIN, 'a');
    assert_int_equal(fixture_desired(f, 'b', job, 1), 's');
    struct observed_rank stopped = fixture_exit(job, 1, 0, 75);
    stopped.step = 40;
    end_rank(f, job, 0, stopped);
    end_rank(f, job, 1, fixture_exit(job, 1, 1, 75));
    assert_job(f, job, JOB_RUNNING);
    fixture_shard(f, job, 1, 40, 0, 1);
    assert_true(f->reply.committed);
    assert_job(f, job, JOB_RECOVERING);
    const struct job_row *row = brain_job(f->brain, job);
    assert_int_equal(row->committed_step, 40);
    assert_int_equal(row->lost_steps, 0);
    assert_int_equal(row->restarts + row->infra_restarts + row->ends_without_checkpoint, 0);
    assert_int_equal(row->reason, REASON_DRAINED);
    fixture_operate(f, INPUT_NODE_UNDRAIN, 'a');
    assert_job(f, job, JOB_STARTING);
    assert_int_equal(brain_attempt(f->brain, job)->resume_step, 40);
}

static void a_drain_does_not_wait_for_ever_for_the_last_checkpoint(void **state)
{
    struct fixture *f = *state;
    const char *job = gang_of_two(f);
    fixture_operate(f, INPUT_NODE_DRAIN, 'a');
    struct observed_rank stopped = fixture_exit(job, 1, 0, 75);
    stopped.step = 40;
    end_rank(f, job, 0, stopped);
    end_rank(f, job, 1, fixture_exit(job, 1, 1, 75));
    fixture_advance(f, 30000);
    assert_job(f, job, JOB_RECOVERING);
}

static void a_job_that_finishes_while_drained_has_succeeded(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    fixture_operate(f, INPUT_NODE_DRAIN, 'a');
    fixture_result(f, job, 1);
    end_rank(f, job, 0, fixture_exit(job, 1, 0, 0));
    assert_null(brain_job(f->brain, job));
    assert_int_equal(fixture_effect(f, EFFECT_JOB_UPDATE, 0)->job.state, JOB_SUCCEEDED);
}

static void a_failure_while_stopping_is_a_failure(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    fixture_operate(f, INPUT_NODE_DRAIN, 'a');
    end_rank(f, job, 0, fixture_exit(job, 1, 0, 70));
    assert_int_equal(brain_job(f->brain, job)->reason, REASON_INTERNAL);
    assert_int_equal(brain_job(f->brain, job)->restarts, 1);
}

/* ---- limits */

static void a_job_over_its_time_limit_is_stopped_and_fails(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    struct job_request request = fixture_request(1);
    request.time_limit_ms = 1000;
    const char *job = fixture_submit(f, &request);
    fixture_all_alive(f, job);
    fixture_advance(f, 999);
    assert_int_equal(fixture_desired(f, 'a', job, 1), 'r');
    fixture_advance(f, 1);
    assert_int_equal(fixture_desired(f, 'a', job, 1), 's');
    end_rank(f, job, 0, fixture_exit(job, 1, 0, 70));
    assert_null(brain_job(f->brain, job));
    const struct effect *last = fixture_effect(f, EFFECT_JOB_UPDATE, 0);
    assert_int_equal(last->job.state, JOB_FAILED);
    assert_int_equal(last->job.reason, REASON_TIME_LIMIT);
}

static void a_time_limit_ends_a_recovering_job_at_once(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    struct job_request request = fixture_request(1);
    request.time_limit_ms = 1500;
    const char *job = fixture_submit(f, &request);
    fixture_all_alive(f, job);
    fixture_operate(f, INPUT_NODE_DRAIN, 'a');
    end_rank(f, job, 0, fixture_exit(job, 1, 0, 70));
    fixture_advance(f, 1500);
    assert_null(brain_job(f->brain, job));
}

static void exits_without_a_result_end_as_no_result(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    end_rank(f, job, 0, fixture_exit(job, 1, 0, 0));
    assert_job(f, job, JOB_RUNNING);
    for (int i = 0; i < 601; i++) {
        fixture_advance(f, 100);
        fixture_sync(f, 'a', NULL, 0);
    }
    const struct job_row *row = brain_job(f->brain, job);
    assert_int_equal(row->restarts, 1);
    assert_int_equal(brain_attempt(f->brain, job)->cause, REASON_NO_RESULT);
}

static void a_gang_that_is_not_up_in_time_ends_as_start_timeout(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    fixture_join(f, 'b', 1);
    const struct job_request request = fixture_request(2);
    const char *job = fixture_submit(f, &request);
    const struct observed_rank alive = fixture_alive(job, 1, 0);
    const char up = fixture_node_of(f, job, 0);
    for (int i = 0; i < 600; i++) {
        fixture_advance(f, 100);
        fixture_sync(f, up, &alive, 1);
        fixture_sync(f, up == 'a' ? 'b' : 'a', NULL, 0);
    }
    assert_int_equal(brain_job(f->brain, job)->reason, REASON_START_TIMEOUT);
    assert_int_equal(brain_job(f->brain, job)->infra_restarts, 1);
}

static void a_rank_that_is_done_before_it_was_seen_alive_counts_as_started(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const struct job_request request = fixture_request(1);
    const char *job = fixture_submit(f, &request);
    end_rank(f, job, 0, fixture_exit(job, 1, 0, 0));
    assert_job(f, job, JOB_RUNNING);
    fixture_result(f, job, 1);
    assert_null(brain_job(f->brain, job));
}

static void a_running_rank_that_its_agent_never_mentions_is_lost_after_a_limit(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    for (int i = 0; i < 599; i++) {
        fixture_advance(f, 100);
        fixture_sync(f, 'a', NULL, 0);
    }
    assert_job(f, job, JOB_RUNNING);
    for (int i = 0; i < 3; i++) {
        fixture_advance(f, 100);
        fixture_sync(f, 'a', NULL, 0);
    }
    assert_int_equal(brain_job(f->brain, job)->infra_restarts, 1);
}

static void an_unknown_verdict_ends_nothing(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    struct observed_rank unknown = fixture_alive(job, 1, 0);
    unknown.verdict = VERDICT_UNKNOWN;
    for (int i = 0; i < 1200; i++) {
        fixture_advance(f, 100);
        fixture_sync(f, 'a', &unknown, 1);
    }
    assert_job(f, job, JOB_RUNNING);
    unknown.verdict = VERDICT_DEAD;
    fixture_sync(f, 'a', &unknown, 1);
    assert_int_equal(brain_attempt(f->brain, job)->cause, REASON_RUNNER_LOST);
}

/* ---- causes */

static void a_cause_within_two_seconds_amends_a_lost_peer(void **state)
{
    struct fixture *f = *state;
    const char *job = gang_of_two(f);
    end_rank(f, job, 0, fixture_exit(job, 1, 0, 69));
    assert_int_equal(brain_job(f->brain, job)->infra_restarts, 1);
    end_rank(f, job, 1, fixture_exit(job, 1, 1, 70));
    const struct job_row *row = brain_job(f->brain, job);
    assert_int_equal(row->infra_restarts, 0);
    assert_int_equal(row->restarts, 1);
    assert_job(f, job, JOB_STARTING);
    assert_int_equal(brain_attempt(f->brain, job)->cause, REASON_INTERNAL);
}

static void a_cause_that_comes_when_the_next_attempt_is_placed_amends_it_in_place(void **state)
{
    struct fixture *f = *state;
    const char *job = gang_of_two(f);
    fixture_join(f, 'c', 2);
    const char late = fixture_node_of(f, job, 1);
    end_rank(f, job, 0, fixture_exit(job, 1, 0, 69));
    assert_int_equal(brain_attempt(f->brain, job)->attempt, 2);
    assert_int_equal(brain_attempt(f->brain, job)->cause, REASON_PEER_LOST);
    const struct observed_rank cause = fixture_exit(job, 1, 1, 71);
    fixture_sync(f, late, &cause, 1);
    assert_int_equal(brain_attempt(f->brain, job)->cause, REASON_DEVICE_FAULT);
}

/* A dead runner is found out after its peers have missed it. */
static void a_fault_is_not_later_than_the_end_that_it_explains(void **state)
{
    struct fixture *f = *state;
    const char *job = gang_of_two(f);
    fixture_join(f, 'c', 2);
    const char late = fixture_node_of(f, job, 1);
    end_rank(f, job, 0, fixture_exit(job, 1, 0, 69));
    fixture_advance(f, 40);
    const struct observed_rank cause = fixture_exit(job, 1, 1, 71);
    fixture_sync(f, late, &cause, 1);
    const struct attempt_row *next = brain_attempt(f->brain, job);
    assert_int_equal(next->cause, REASON_DEVICE_FAULT);
    assert_true(next->fault_at_ms <= next->detected_at_ms);
}

static void a_bad_spec_that_turns_out_later_fails_the_job_and_ends_the_next_attempt(void **state)
{
    struct fixture *f = *state;
    const char *job = gang_of_two(f);
    fixture_join(f, 'c', 2);
    const char late = fixture_node_of(f, job, 1);
    end_rank(f, job, 0, fixture_exit(job, 1, 0, 69));
    assert_job(f, job, JOB_STARTING);
    const struct observed_rank cause = fixture_exit(job, 1, 1, 64);
    fixture_sync(f, late, &cause, 1);
    assert_job(f, job, JOB_FAILED);
    assert_int_equal(brain_job(f->brain, job)->reason, REASON_BAD_SPEC);
    assert_int_equal(fixture_desired(f, 'c', job, 2), 'k');
    fixture_sync(f, 'c', NULL, 0);
    assert_null(brain_job(f->brain, job));
}

/* Whatever word a node gives for it: what ended with a code is a failure of that rank. */
static void a_node_does_not_decide_over_the_job(void **state)
{
    struct fixture *f = *state;
    static const enum reason ours[] = {
        REASON_DONE,       REASON_NODE_FENCED,       REASON_START_TIMEOUT, REASON_NO_RESULT,
        REASON_DRAINED,    REASON_PREEMPTED,         REASON_CANCELLED,     REASON_TIME_LIMIT,
        REASON_CRASH_LOOP, REASON_RESTARTS_EXHAUSTED};
    fixture_join(f, 'a', 1);
    for (size_t i = 0; i < COUNT_OF(ours); i++) {
        const char *job = fixture_run(f, 1);
        struct observed_rank failed = fixture_exit(job, 1, 0, 1);
        failed.exit_reason = ours[i];
        end_rank(f, job, 0, failed);
        assert_job(f, job, JOB_STARTING);
        assert_int_equal(brain_attempt(f->brain, job)->cause, REASON_INTERNAL);
        fixture_cancel(f, job);
        fixture_sync(f, 'a', NULL, 0);
        assert_null(brain_job(f->brain, job));
    }
}

static void a_fault_is_not_older_than_its_attempt(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    const int64_t placed_at_ms = brain_attempt(f->brain, job)->placed_at_ms;
    fixture_advance(f, 100);
    struct observed_rank failed = fixture_exit(job, 1, 0, 70);
    failed.exit_age_ms = INT64_C(1000000000000000); /* of a node whose clock is wrong */
    end_rank(f, job, 0, failed);
    assert_int_equal(brain_attempt(f->brain, job)->attempt, 2);
    assert_int_equal(brain_attempt(f->brain, job)->fault_at_ms, placed_at_ms);
}

static void our_own_kill_is_no_cause_but_an_earlier_signal_is(void **state)
{
    struct fixture *f = *state;
    const char *job = gang_of_two(f);
    fixture_advance(f, 100);
    end_rank(f, job, 0, fixture_exit(job, 1, 0, 69));
    fixture_advance(f, 10);
    struct observed_rank killed = fixture_signal(job, 1, 1, 9);
    killed.exit_age_ms = 5;
    end_rank(f, job, 1, killed);
    assert_int_equal(brain_attempt(f->brain, job)->cause, REASON_PEER_LOST);

    const char *second = NULL;
    fixture_all_alive(f, job);
    fixture_shard(f, job, 2, 10, 0, 1);
    fixture_advance(f, 100);
    second = job;
    end_rank(f, second, 0, fixture_exit(job, 2, 0, 69));
    fixture_advance(f, 10);
    killed = fixture_signal(job, 2, 1, 9);
    killed.exit_age_ms = 15;
    end_rank(f, second, 1, killed);
    assert_int_equal(brain_attempt(f->brain, job)->cause, REASON_KILLED);
}

static void a_lost_peer_whose_node_went_silent_was_a_lost_node(void **state)
{
    struct fixture *f = *state;
    const char *job = gang_of_two(f);
    fixture_join(f, 'c', 2);
    const char dead = fixture_node_of(f, job, 1);
    fixture_disconnect(f, dead);
    end_rank(f, job, 0, fixture_exit(job, 1, 0, 69));
    assert_int_equal(brain_attempt(f->brain, job)->attempt, 2);
    assert_int_equal(fixture_node_of(f, job, 0), 'c');
    fixture_advance(f, 2000);
    assert_int_equal(brain_attempt(f->brain, job)->cause, REASON_NODE_LOST);
}

static void the_same_failure_at_the_same_step_twice_is_a_crash_loop(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    struct observed_rank failed = fixture_exit(job, 1, 0, 70);
    failed.step = 12;
    end_rank(f, job, 0, failed);
    assert_job(f, job, JOB_STARTING);
    failed = fixture_exit(job, 2, 0, 70);
    failed.step = 12;
    end_rank(f, job, 0, failed);
    assert_null(brain_job(f->brain, job));
    assert_int_equal(fixture_effect(f, EFFECT_JOB_UPDATE, 0)->job.reason, REASON_CRASH_LOOP);
}

static void restarts_run_out(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    struct job_request request = fixture_request(1);
    request.max_restarts = 1;
    const char *job = fixture_submit(f, &request);
    fixture_all_alive(f, job);
    end_rank(f, job, 0, fixture_signal(job, 1, 0, 11));
    assert_job(f, job, JOB_STARTING);
    end_rank(f, job, 0, fixture_signal(job, 2, 0, 11));
    assert_null(brain_job(f->brain, job));
    assert_int_equal(fixture_effect(f, EFFECT_JOB_UPDATE, 0)->job.reason,
                     REASON_RESTARTS_EXHAUSTED);
}

static void a_second_end_without_a_checkpoint_backs_off(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    end_rank(f, job, 0, fixture_exit(job, 1, 0, 69));
    assert_job(f, job, JOB_STARTING);
    end_rank(f, job, 0, fixture_exit(job, 2, 0, 69));
    assert_job(f, job, JOB_RECOVERING);
    struct explanation why;
    brain_explain(f->brain, job, f->boot_ms, &why);
    assert_int_equal(why.code, EXPLAIN_BACKOFF);
    fixture_advance(f, 700);
    fixture_sync(f, 'a', NULL, 0);
    assert_job(f, job, JOB_RECOVERING);
    fixture_advance(f, 600);
    assert_job(f, job, JOB_STARTING);
    fixture_shard(f, job, 3, 5, 0, 1);
    assert_int_equal(brain_job(f->brain, job)->ends_without_checkpoint, 0);
}

static void a_hang_names_the_rank_with_the_lowest_collective(void **state)
{
    struct fixture *f = *state;
    const char *job = gang_of_two(f);
    struct observed_rank waits = fixture_alive(job, 1, 0);
    waits.collective = 9;
    end_rank(f, job, 0, waits);
    struct observed_rank hung = fixture_signal(job, 1, 1, 9);
    hung.collective = 8;
    hung.exit_reason = REASON_HANG;
    end_rank(f, job, 1, hung);
    assert_int_equal(brain_job(f->brain, job)->reason, REASON_HANG);
    assert_non_null(strstr(brain_job(f->brain, job)->detail, "rank 1"));
}

/* ---- evidence */

static void a_changed_boot_id_confirms_that_everything_there_has_ended(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    fixture_sync_boot(f, 'a', "boot-2");
    assert_int_equal(brain_attempt(f->brain, job)->attempt, 2);
    assert_int_equal(brain_attempt(f->brain, job)->cause, REASON_NODE_REBOOTED);
    assert_string_equal(brain_node(f->brain, "node_a")->boot_id, "boot-2");
}

static void an_operator_may_vouch_for_a_dead_node_but_not_for_a_living_one(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    fixture_operate(f, INPUT_NODE_FENCE, 'a');
    assert_int_equal(f->reply.status, STATUS_CONFLICT);
    fixture_join(f, 'b', 1);
    fixture_disconnect(f, 'a');
    fixture_operate(f, INPUT_NODE_FENCE, 'a');
    assert_int_equal(f->reply.status, STATUS_OK);
    assert_int_equal(brain_node(f->brain, "node_a")->state, NODE_LOST);
    assert_job(f, job, JOB_STARTING);
    assert_int_equal(fixture_node_of(f, job, 0), 'b');
    struct brain_counts counts;
    brain_count(f->brain, &counts);
    assert_int_equal(counts.slots_held, 1);
}

static void an_agent_that_has_not_seen_the_end_confirms_nothing_by_silence(void **state)
{
    struct fixture *f = *state;
    const char *job = gang_of_two(f);
    const char other = fixture_node_of(f, job, 1);
    const int64_t before = brain_node(f->brain, fixture_node_id(other))->revision;
    end_rank(f, job, 0, fixture_exit(job, 1, 0, 69));
    fixture_sync_seen(f, other, NULL, 0, before);
    assert_int_equal(fixture_desired(f, other, job, 1), 'k');
    assert_job(f, job, JOB_RECOVERING);
    fixture_sync(f, other, NULL, 0);
    assert_job(f, job, JOB_STARTING);
    assert_int_equal(brain_attempt(f->brain, job)->cause, REASON_PEER_LOST);
}

static void a_checkpoint_that_does_not_load_twice_is_given_up_for_the_one_before(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    fixture_shard(f, job, 1, 10, 0, 1);
    fixture_shard(f, job, 1, 20, 0, 1);
    end_rank(f, job, 0, fixture_exit(job, 1, 0, 69));
    for (int64_t attempt = 2; attempt <= 3; attempt++) {
        assert_int_equal(brain_attempt(f->brain, job)->attempt, attempt);
        assert_int_equal(brain_attempt(f->brain, job)->resume_step, 20);
        struct observed_rank corrupt = fixture_exit(job, attempt, 0, 73);
        corrupt.exit_reason = REASON_CHECKPOINT_CORRUPT;
        end_rank(f, job, 0, corrupt);
        if (attempt == 3)
            assert_int_equal(fixture_count(f, EFFECT_CHECKPOINT_DELETE), 1);
        for (int i = 0; i < 30; i++) {
            fixture_advance(f, 100);
            fixture_sync(f, 'a', NULL, 0);
        }
    }
    assert_int_equal(brain_attempt(f->brain, job)->resume_step, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(a_queued_job_is_cancelled_at_once),
        TEST(a_running_job_is_cancelled_when_every_rank_has_stopped),
        TEST(a_cancelled_job_whose_ranks_do_not_stop_is_killed_after_the_grace),
        TEST(a_cancelled_job_is_gone_when_its_node_is_lost_but_the_slot_stays_held),
        TEST(a_cancel_while_recovering_waits_for_nothing_that_has_ended),
        TEST(a_cancel_of_ranks_that_never_started_needs_only_silence),
        TEST(a_drained_job_keeps_its_last_checkpoint_and_pays_nothing),
        TEST(a_drain_does_not_wait_for_ever_for_the_last_checkpoint),
        TEST(a_job_that_finishes_while_drained_has_succeeded),
        TEST(a_failure_while_stopping_is_a_failure),
        TEST(a_job_over_its_time_limit_is_stopped_and_fails),
        TEST(a_time_limit_ends_a_recovering_job_at_once),
        TEST(exits_without_a_result_end_as_no_result),
        TEST(a_gang_that_is_not_up_in_time_ends_as_start_timeout),
        TEST(a_rank_that_is_done_before_it_was_seen_alive_counts_as_started),
        TEST(a_running_rank_that_its_agent_never_mentions_is_lost_after_a_limit),
        TEST(an_unknown_verdict_ends_nothing),
        TEST(a_cause_within_two_seconds_amends_a_lost_peer),
        TEST(a_cause_that_comes_when_the_next_attempt_is_placed_amends_it_in_place),
        TEST(a_fault_is_not_later_than_the_end_that_it_explains),
        TEST(a_bad_spec_that_turns_out_later_fails_the_job_and_ends_the_next_attempt),
        TEST(a_node_does_not_decide_over_the_job),
        TEST(a_fault_is_not_older_than_its_attempt),
        TEST(our_own_kill_is_no_cause_but_an_earlier_signal_is),
        TEST(a_lost_peer_whose_node_went_silent_was_a_lost_node),
        TEST(the_same_failure_at_the_same_step_twice_is_a_crash_loop),
        TEST(restarts_run_out),
        TEST(a_second_end_without_a_checkpoint_backs_off),
        TEST(a_hang_names_the_rank_with_the_lowest_collective),
        TEST(a_changed_boot_id_confirms_that_everything_there_has_ended),
        TEST(an_operator_may_vouch_for_a_dead_node_but_not_for_a_living_one),
        TEST(an_agent_that_has_not_seen_the_end_confirms_nothing_by_silence),
        TEST(a_checkpoint_that_does_not_load_twice_is_given_up_for_the_one_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
