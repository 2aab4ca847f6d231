#include "service/brain/transition.h"

#include <assert.h>

#include "base/text.h"
#include "service/brain/emit.h"
#include "service/brain/waiting.h"

void transition_job(struct brain *brain, struct job *job, enum job_event event, enum reason reason,
                    const char *detail)
{
    const enum job_state from = job->row.state;
    const enum job_state to = job_machine_next(from, event);
    assert(to != JOB_STATE_COUNT);
    if (to == from)
        return;
    brain->jobs_in_state[from]--;
    if (!job_state_is_terminal(to))
        brain->jobs_in_state[to]++;
    job->row.state = to;
    job->row.reason = reason;
    (void)text_copy(job->row.detail, sizeof(job->row.detail), detail);
    if (job->waiting && to != JOB_QUEUED && to != JOB_RECOVERING)
        waiting_remove(brain, job);
    if (to == JOB_RUNNING && job->row.started_at_ms == 0)
        job->row.started_at_ms = brain->wall_ms;
    if (job_state_is_terminal(to)) {
        job->row.ended_at_ms = brain->wall_ms;
        brain->live_count--;
        for (int due = 0; due < DUE_COUNT; due++) {
            if (due != DUE_SETTLE && due != DUE_AMEND)
                state_set_due(brain, job, (enum job_due)due, TIMER_NEVER);
        }
    }
    state_touch(brain, job);
    emit_job(brain, job);
    emit_event(brain, &(struct emit_event){.kind = "state",
                                           .job = job->row.id,
                                           .attempt = job->row.attempt,
                                           .from = job_state_names[from],
                                           .to = job_state_names[to],
                                           .reason = reason,
                                           .detail = detail});
}

void transition_attempt(struct brain *brain, struct attempt *attempt, enum attempt_event event,
                        enum reason reason, const char *detail)
{
    const enum attempt_state from = attempt->row.state;
    const enum attempt_state to = attempt_machine_next(from, event);
    assert(to != ATTEMPT_STATE_COUNT);
    if (to == from)
        return;
    attempt->row.state = to;
    attempt->row.reason = reason;
    (void)text_copy(attempt->row.detail, sizeof(attempt->row.detail), detail);
    if (to == ATTEMPT_ENDED) {
        attempt->row.ended_at_ms = brain->wall_ms;
        attempt->ended_ms = brain->now_ms;
    }
    emit_attempt(brain, EFFECT_ATTEMPT_UPDATE, attempt);
    emit_event(brain, &(struct emit_event){.kind = "attempt",
                                           .job = attempt->row.job,
                                           .attempt = attempt->row.attempt,
                                           .from = attempt_state_names[from],
                                           .to = attempt_state_names[to],
                                           .reason = reason,
                                           .detail = detail});
}

void transition_node(struct brain *brain, struct node *node, enum node_event event,
                     enum reason reason, const char *detail)
{
    const enum node_state from = node->row.state;
    const enum node_state to = node_machine_next(from, event);
    if (to == from)
        return;
    node->row.state = to;
    if (to == NODE_LOST)
        node->row.lost_at_ms = brain->wall_ms;
    brain->capacity_changed = true;
    emit_node(brain, node);
    state_tell_node(brain, node);
    emit_event(brain, &(struct emit_event){.kind = "node",
                                           .node = node->row.id,
                                           .from = node_state_names[from],
                                           .to = node_state_names[to],
                                           .reason = reason,
                                           .detail = detail});
}
