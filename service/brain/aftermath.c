#include "service/brain/aftermath.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "service/brain/checkpoint.h"
#include "service/brain/emit.h"
#include "service/brain/transition.h"
#include "service/brain/waiting.h"

static void charge(struct job *job, enum retry_charge what, int64_t count)
{
    job->charged = count > 0 ? what : CHARGE_FREE;
    if (what == CHARGE_JOB)
        job->row.restarts += count;
    else if (what == CHARGE_INFRA)
        job->row.infra_restarts += count;
}

/*
 * The same failure of its own at the same step twice: a third would be no different. Signals do not count, they
 * may come from outside.
 */
static bool is_crash_loop(struct job *job, enum reason reason, const struct rank *rank)
{
    if (rank == NULL || !retry_policy_of(reason)->repeats)
        return false;
    const bool same = job->row.crash_step == rank->step && job->row.crash_reason == reason;
    job->row.crash_step = rank->step;
    job->row.crash_reason = reason;
    return same;
}

static void judge(struct brain *brain, struct job *job, enum reason reason, const char *cause,
                  const struct rank *rank, struct verdict_on_job *out)
{
    const struct retry_policy *policy = retry_policy_of(reason);
    out->reason = reason;
    (void)text_copy(out->detail, sizeof(out->detail), cause);
    out->fails = !policy->retry;
    if (out->fails)
        return;
    charge(job, policy->charge, 1);
    if (reason == REASON_CHECKPOINT_CORRUPT && !checkpoint_doubt(brain, job)) {
        out->fails = true;
    } else if (is_crash_loop(job, reason, rank)) {
        out->fails = true;
        out->reason = REASON_CRASH_LOOP;
        (void)snprintf(out->detail, sizeof(out->detail), "%s at step %" PRId64 " twice: %.160s",
                       reason_names[reason], rank->step, cause);
    } else if (job->row.restarts > job->row.request.max_restarts ||
               job->row.infra_restarts > job->row.request.max_infra_restarts) {
        const bool own = job->row.restarts > job->row.request.max_restarts;
        out->fails = true;
        out->reason = REASON_RESTARTS_EXHAUSTED;
        (void)snprintf(out->detail, sizeof(out->detail), "%s %" PRId64 " used up; last: %.160s",
                       own ? "max_restarts" : "max_infra_restarts",
                       own ? job->row.request.max_restarts : job->row.request.max_infra_restarts,
                       cause);
    }
}

void aftermath_wait_again(struct brain *brain, struct job *job)
{
    assert(job->row.state == JOB_RECOVERING);
    state_set_due(brain, job, DUE_BACKOFF, TIMER_NEVER);
    waiting_add(brain, job);
    brain->capacity_changed = true;
}

static void wait_out_backoff(struct brain *brain, struct job *job)
{
    const int64_t wait_ms =
        retry_backoff_ms(job->row.ends_without_checkpoint, splitmix64_next(&brain->random));
    if (wait_ms == 0)
        aftermath_wait_again(brain, job);
    else
        state_set_due(brain, job, DUE_BACKOFF, brain->now_ms + wait_ms);
}

void aftermath_decide(struct brain *brain, struct job *job, struct attempt *attempt,
                      const struct rank *rank)
{
    const enum reason reason = attempt->row.reason;
    job->row.lost_steps = attempt->highest_step > job->row.committed_step
                              ? attempt->highest_step - job->row.committed_step
                              : 0;
    if (job_state_is_terminal(job->row.state))
        return;
    if (job->row.state == JOB_CANCELLING) {
        emit_job(brain, job);
        return;
    }
    if (reason == REASON_DONE) {
        job->row.lost_steps = 0;
        transition_job(brain, job, JOB_EVENT_SUCCEED, reason, "");
        return;
    }
    struct verdict_on_job verdict;
    judge(brain, job, reason, attempt->row.detail, rank, &verdict);
    if (retry_policy_of(reason)->charge != CHARGE_FREE)
        job->row.ends_without_checkpoint++;
    if (verdict.fails) {
        transition_job(brain, job, JOB_EVENT_FAIL, verdict.reason, verdict.detail);
        return;
    }
    transition_job(brain, job, JOB_EVENT_INTERRUPT, reason, attempt->row.detail);
    state_set_due(brain, job, DUE_AMEND, brain->now_ms + brain->config.amend_ms);
    wait_out_backoff(brain, job);
}

/* ---- a better cause */

static const struct attempt *last_ended(const struct job *job)
{
    const struct attempt *attempt = job->newest;
    while (attempt != NULL && attempt_state_is_live(attempt->row.state))
        attempt = attempt->older;
    return attempt;
}

bool aftermath_may_amend(const struct job *job, const struct attempt *attempt)
{
    assert(attempt != NULL);
    return job->due_ms[DUE_AMEND] != TIMER_NEVER && last_ended(job) == attempt &&
           attempt->row.reason == REASON_PEER_LOST &&
           (job->row.state == JOB_RECOVERING || job->row.state == JOB_STARTING ||
            job->row.state == JOB_RUNNING);
}

static void name_cause(struct brain *brain, struct job *job, struct attempt *attempt)
{
    emit_attempt(brain, EFFECT_ATTEMPT_UPDATE, attempt);
    emit_event(brain, &(struct emit_event){.kind = "cause",
                                           .job = job->row.id,
                                           .attempt = attempt->row.attempt,
                                           .from = reason_names[REASON_PEER_LOST],
                                           .reason = attempt->row.reason,
                                           .detail = attempt->row.detail});
    if (job->newest != attempt) {
        job->newest->row.cause = attempt->row.reason;
        job->newest->row.fault_at_ms = attempt->fault_at_ms;
        emit_attempt(brain, EFFECT_ATTEMPT_UPDATE, job->newest);
    } else {
        job->row.reason = attempt->row.reason;
        (void)text_copy(job->row.detail, sizeof(job->row.detail), attempt->row.detail);
    }
}

void aftermath_amend(struct brain *brain, struct job *job, struct attempt *attempt,
                     enum reason reason, const char *detail, const struct rank *rank,
                     struct verdict_on_job *out)
{
    assert(aftermath_may_amend(job, attempt));
    assert(reason != REASON_PEER_LOST);
    state_set_due(brain, job, DUE_AMEND, TIMER_NEVER);
    attempt->row.reason = reason;
    (void)text_copy(attempt->row.detail, sizeof(attempt->row.detail), detail);
    if (retry_policy_of(reason)->blames_node && rank != NULL) {
        (void)text_copy(job->avoid[job->avoid_count % BRAIN_AVOID_MAX], ID_BYTES_MAX,
                        rank->row.node);
        job->avoid_count++;
    }
    name_cause(brain, job, attempt);
    charge(job, job->charged, -1);
    judge(brain, job, reason, detail, rank, out);
    if (!out->fails)
        emit_job(brain, job);
}
