#include "service/brain/job.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "service/brain/aftermath.h"
#include "service/brain/emit.h"
#include "service/brain/ending.h"
#include "service/brain/placement.h"
#include "service/brain/transition.h"
#include "service/brain/waiting.h"

static struct job *find_job(struct brain *brain, const char *id)
{
    struct job *job = state_job(brain, id);
    if (job == NULL) {
        reply_refuse(brain, STATUS_NOT_FOUND, "not_live", "job %s is not live", id);
        return NULL;
    }
    (void)text_copy(brain->reply->id, sizeof(brain->reply->id), job->row.id);
    brain->reply->revision = job->row.revision;
    return job;
}

/* ---- submit */

static bool answer_known_key(struct brain *brain, const struct input_submit *submit)
{
    struct brain_reply *reply = brain->reply;
    if (submit->existing_job[0] == '\0')
        return false;
    (void)text_copy(reply->id, sizeof(reply->id), submit->existing_job);
    if (strcmp(submit->existing_body_sha256, submit->job.body_sha256) == 0)
        reply->replayed = true;
    else
        reply_refuse(brain, STATUS_INVALID, "idempotency_mismatch",
                     "the key %.64s was used for job %s with another body",
                     submit->job.idempotency_key, submit->existing_job);
    return true;
}

static bool is_acceptable(struct brain *brain, const struct job_row *row)
{
    if (row->request.ranks < 1 || row->request.ranks > BRAIN_RANKS_MAX ||
        row->request.priority < 0 || row->request.priority > BRAIN_PRIORITY_MAX) {
        reply_refuse(brain, STATUS_INVALID, "bad_request",
                     "%" PRId64 " ranks at priority %" PRId64 " cannot be", row->request.ranks,
                     row->request.priority);
        return false;
    }
    if (brain->live_count >= brain->config.jobs_live_max) {
        reply_refuse(brain, STATUS_BUSY, "too_many_jobs",
                     "%" PRId64 " jobs are live, the most allowed", brain->live_count);
        return false;
    }
    return true;
}

void job_submit(struct brain *brain, const struct brain_input *input)
{
    const struct input_submit *submit = &input->submit;
    if (answer_known_key(brain, submit) || !is_acceptable(brain, &submit->job))
        return;
    assert(state_job(brain, submit->job.id) == NULL);
    struct job *job = state_add_job(brain, &submit->job);
    struct job_row *row = &job->row;
    row->state = JOB_QUEUED;
    row->reason = REASON_NONE;
    row->attempt = 0;
    row->bit_exact = !submit->inexact;
    row->crash_step = -1;
    row->created_at_ms = brain->wall_ms;
    row->revision = ++brain->revision;
    struct effect *effect = emit_effect(brain, EFFECT_JOB_INSERT);
    effect->job = *row;
    effect->spec = submit->spec;
    effect->labels = submit->labels;
    emit_event(brain, &(struct emit_event){
                          .kind = "state", .job = row->id, .to = job_state_names[JOB_QUEUED]});
    waiting_add(brain, job);
    placement_offer(brain, job);
    (void)text_copy(brain->reply->id, sizeof(brain->reply->id), row->id);
    brain->reply->revision = row->revision;
}

/* ---- cancel, checkpoint */

void job_cancel(struct brain *brain, const struct brain_input *input)
{
    struct job *job = find_job(brain, input->job);
    if (job == NULL || job_state_is_terminal(job->row.state) || job->row.state == JOB_CANCELLING)
        return;
    job->row.cancel_requested = true;
    transition_job(brain, job, JOB_EVENT_CANCEL, REASON_CANCELLED, "a user cancelled it");
    static const enum job_due dues[] = {DUE_BACKOFF, DUE_NUMERICS, DUE_TIME_LIMIT};
    for (size_t i = 0; i < COUNT_OF(dues); i++)
        state_set_due(brain, job, dues[i], TIMER_NEVER);
    struct attempt *attempt = state_live_attempt(job);
    if (attempt != NULL)
        ending_stop_attempt(brain, attempt, REASON_CANCELLED, "a user cancelled it");
    ending_check_gone(brain, job);
    brain->reply->revision = job->row.revision;
}

void job_request_checkpoint(struct brain *brain, const struct brain_input *input)
{
    struct job *job = find_job(brain, input->job);
    if (job == NULL)
        return;
    struct attempt *attempt = state_live_attempt(job);
    if (attempt == NULL || attempt->row.state == ATTEMPT_STOPPING) {
        reply_refuse(brain, STATUS_CONFLICT, "not_running", "job %s is %s: nothing to checkpoint",
                     job->row.id, job_state_names[job->row.state]);
        return;
    }
    job->row.checkpoint_request++;
    emit_job(brain, job);
    emit_event(brain, &(struct emit_event){.kind = "request",
                                           .job = job->row.id,
                                           .attempt = attempt->row.attempt,
                                           .detail = "a checkpoint now"});
    for (int64_t i = 0; i < attempt->row.world_size; i++)
        state_tell_node(brain, attempt->ranks[i].node);
    brain->reply->revision = job->row.revision;
}

/* ---- results */

void job_take_result(struct brain *brain, const struct brain_input *input)
{
    const struct input_result *result = &input->result;
    struct job *job = state_job(brain, result->job);
    struct attempt *attempt = job == NULL ? NULL : state_live_attempt(job);
    const bool known = job != NULL && job->row.result_attempt == result->attempt &&
                       strcmp(job->row.model_sha256, result->model_sha256) == 0;
    if (known) {
        brain->reply->duplicate = true;
    } else if (attempt == NULL || attempt->row.attempt != result->attempt) {
        reply_refuse(brain, STATUS_CONFLICT, "stale_attempt",
                     "job %s: attempt %" PRId64 " is over, its result does not count", result->job,
                     result->attempt);
        return;
    } else if (job->row.result_attempt == result->attempt) {
        reply_refuse(brain, STATUS_CONFLICT, "result_differs",
                     "job %s attempt %" PRId64 " has posted another result", result->job,
                     result->attempt);
        return;
    } else {
        struct job_row *row = &job->row;
        row->result_attempt = result->attempt;
        row->model_bytes = result->model_bytes;
        (void)text_copy(row->model_sha256, sizeof(row->model_sha256), result->model_sha256);
        (void)text_copy(row->model_file_sha256, sizeof(row->model_file_sha256),
                        result->model_file_sha256);
        row->revision = ++brain->revision;
        struct effect *effect = emit_effect(brain, EFFECT_JOB_RESULT);
        effect->job = *row;
        effect->metrics = result->metrics;
        emit_event(brain, &(struct emit_event){.kind = "result",
                                               .job = row->id,
                                               .attempt = result->attempt,
                                               .detail = row->model_sha256});
        ending_check_done(brain, attempt);
    }
    (void)text_copy(brain->reply->id, sizeof(brain->reply->id), job->row.id);
    brain->reply->revision = job->row.revision;
}

void job_note_first_step(struct brain *brain, const struct brain_input *input)
{
    struct job *job = find_job(brain, input->job);
    struct attempt *attempt = job == NULL ? NULL : state_attempt(job, input->attempt);
    if (attempt == NULL || attempt != job->newest || attempt->row.first_step_at_ms != 0)
        return;
    if (attempt->row.started_at_ms == 0) /* its line came before its agent's word */
        attempt->row.started_at_ms = input->at_wall_ms;
    attempt->row.first_step_at_ms = input->at_wall_ms > attempt->row.started_at_ms
                                        ? input->at_wall_ms
                                        : attempt->row.started_at_ms; /* two clocks */
    emit_attempt(brain, EFFECT_ATTEMPT_UPDATE, attempt);
}

/* ---- deadlines */

static void judge_start(struct brain *brain, struct job *job, struct attempt *attempt)
{
    if (attempt == NULL || attempt->row.state != ATTEMPT_PLACED)
        return;
    const struct rank *missing = NULL;
    for (int64_t i = 0; i < attempt->row.world_size && missing == NULL; i++) {
        if (!attempt->ranks[i].alive && !attempt->ranks[i].row.ended)
            missing = &attempt->ranks[i];
    }
    assert(missing != NULL);
    char detail[BRAIN_DETAIL_BYTES];
    (void)snprintf(detail, sizeof(detail), "rank %" PRId64 " on %s was not up after %" PRId64 " ms",
                   missing->row.rank, missing->row.node, brain->config.start_limit_ms);
    ending_attempt(brain, attempt, REASON_START_TIMEOUT, detail, missing);
    (void)job;
}

static void judge_absent(struct brain *brain, struct job *job, struct attempt *attempt)
{
    if (attempt == NULL)
        return;
    int64_t next_ms = TIMER_NEVER;
    for (int64_t i = 0; i < attempt->row.world_size; i++) {
        const struct rank *rank = &attempt->ranks[i];
        if (rank->absent_since_ms == TIMER_NEVER || rank->row.ended)
            continue;
        const int64_t at_ms = rank->absent_since_ms + brain->config.start_limit_ms;
        if (at_ms <= brain->now_ms) {
            char detail[BRAIN_DETAIL_BYTES];
            (void)snprintf(detail, sizeof(detail), "rank %" PRId64 ": node %s does not report it",
                           rank->row.rank, rank->row.node);
            ending_attempt(brain, attempt, REASON_RUNNER_LOST, detail, rank);
            return;
        }
        next_ms = at_ms < next_ms ? at_ms : next_ms;
    }
    state_set_due(brain, job, DUE_ABSENT, next_ms);
}

static void judge_no_result(struct brain *brain, struct job *job, struct attempt *attempt)
{
    (void)job;
    if (attempt != NULL)
        ending_attempt(brain, attempt, REASON_NO_RESULT, "every rank is done, but no result came",
                       NULL);
}

static void judge_stop(struct brain *brain, struct job *job, struct attempt *attempt)
{
    (void)job;
    if (attempt != NULL && attempt->row.state == ATTEMPT_STOPPING)
        ending_attempt(brain, attempt, attempt->row.reason, attempt->row.detail, NULL);
}

static void judge_time_limit(struct brain *brain, struct job *job, struct attempt *attempt)
{
    char detail[BRAIN_DETAIL_BYTES];
    (void)snprintf(detail, sizeof(detail), "it ran longer than %" PRId64 " ms",
                   job->row.request.time_limit_ms);
    if (attempt == NULL)
        ending_fail_job(brain, job, REASON_TIME_LIMIT, detail);
    else if (attempt->row.state == ATTEMPT_STOPPING)
        ending_attempt(brain, attempt, REASON_TIME_LIMIT, detail, NULL);
    else
        ending_stop_attempt(brain, attempt, REASON_TIME_LIMIT, detail);
}

static void judge_amend(struct brain *brain, struct job *job, struct attempt *attempt)
{
    (void)attempt;
    ending_close_amend(brain, job);
}

static void judge_settle(struct brain *brain, struct job *job, struct attempt *attempt)
{
    (void)attempt;
    ending_settle(brain, job);
}

static void judge_backoff(struct brain *brain, struct job *job, struct attempt *attempt)
{
    (void)attempt;
    aftermath_wait_again(brain, job);
}

static void judge_numerics(struct brain *brain, struct job *job, struct attempt *attempt)
{
    (void)attempt;
    job->numerics_free = true;
    brain->capacity_changed = true;
}

typedef void due_fn(struct brain *brain, struct job *job, struct attempt *attempt);

static due_fn *const due_judges[DUE_COUNT] = {
    [DUE_START] = judge_start,         [DUE_ABSENT] = judge_absent,
    [DUE_NO_RESULT] = judge_no_result, [DUE_STOP] = judge_stop,
    [DUE_UPLOAD] = judge_stop,         [DUE_TIME_LIMIT] = judge_time_limit,
    [DUE_AMEND] = judge_amend,         [DUE_SETTLE] = judge_settle,
    [DUE_BACKOFF] = judge_backoff,     [DUE_NUMERICS] = judge_numerics,
};

void job_judge(struct brain *brain, struct job *job)
{
    for (int due = 0; due < DUE_COUNT; due++) {
        if (job->due_ms[due] > brain->now_ms)
            continue;
        if (due != DUE_AMEND) /* closing the window is judged while it is open */
            state_set_due(brain, job, (enum job_due)due, TIMER_NEVER);
        due_judges[due](brain, job, state_live_attempt(job));
    }
}
