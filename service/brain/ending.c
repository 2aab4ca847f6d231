#include "service/brain/ending.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "schema/exit_code.h"
#include "service/brain/aftermath.h"
#include "service/brain/emit.h"
#include "service/brain/launch.h"
#include "service/brain/port.h"
#include "service/brain/starting.h"
#include "service/brain/transition.h"

static const struct {
    int64_t code;
    enum reason reason;
} exit_reasons[] = {
    {TRAINER_EXIT_DONE, REASON_NONE},
    {TRAINER_EXIT_BAD_SPEC, REASON_BAD_SPEC},
    {TRAINER_EXIT_BAD_DATA, REASON_BAD_DATA},
    {TRAINER_EXIT_PEER_LOST, REASON_PEER_LOST},
    {TRAINER_EXIT_INTERNAL, REASON_INTERNAL},
    {TRAINER_EXIT_DEVICE_FAULT, REASON_DEVICE_FAULT},
    {TRAINER_EXIT_CANNOT_WRITE, REASON_CANNOT_WRITE},
    {TRAINER_EXIT_STOPPED, REASON_STOPPED},
    {TRAINER_EXIT_FENCED, REASON_FENCED},
};

enum reason ending_reason_of(int64_t code, int64_t signal, bool oom)
{
    if (oom)
        return REASON_OOM;
    if (signal != 0 || code < 0)
        return REASON_KILLED;
    for (size_t i = 0; i < COUNT_OF(exit_reasons); i++) {
        if (exit_reasons[i].code == code)
            return exit_reasons[i].reason;
    }
    return REASON_INTERNAL;
}

/* ---- desired sets */

static void tell_nodes(struct brain *brain, struct attempt *attempt)
{
    for (int64_t i = 0; i < attempt->row.world_size; i++)
        state_tell_node(brain, attempt->ranks[i].node);
}

/* ---- an attempt ends */

static void blame(struct job *job, const struct node *node)
{
    (void)text_copy(job->avoid[job->avoid_count % BRAIN_AVOID_MAX], ID_BYTES_MAX, node->row.id);
    job->avoid_count++;
}

/* Uncommitted shards can never be committed any more. */
static void drop_shards(struct brain *brain, struct attempt *attempt)
{
    attempt->job->shard_count = 0;
    if (!attempt->shards_recorded)
        return;
    attempt->shards_recorded = false;
    struct effect *effect = emit_effect(brain, EFFECT_SHARDS_DROP);
    (void)text_copy(effect->drop_job, sizeof(effect->drop_job), attempt->row.job);
    effect->drop_attempt = attempt->row.attempt;
}

static void release_ended_slots(struct brain *brain, struct attempt *attempt)
{
    for (int64_t i = 0; i < attempt->row.world_size; i++) {
        if (attempt->ranks[i].row.ended)
            launch_release_slot(brain, &attempt->ranks[i]);
    }
    if (attempt->unended == 0)
        port_release(brain, attempt);
    else
        state_set_due(brain, attempt->job, DUE_SETTLE, brain->now_ms + brain->settle_ms);
}

static void clear_attempt_dues(struct brain *brain, struct job *job)
{
    static const enum job_due dues[] = {DUE_START, DUE_ABSENT, DUE_NO_RESULT, DUE_STOP, DUE_UPLOAD};
    for (size_t i = 0; i < COUNT_OF(dues); i++)
        state_set_due(brain, job, dues[i], TIMER_NEVER);
}

void ending_attempt(struct brain *brain, struct attempt *attempt, enum reason reason,
                    const char *detail, const struct rank *rank)
{
    assert(attempt_state_is_live(attempt->row.state));
    struct job *job = attempt->job;
    attempt->detected_at_ms = brain->wall_ms;
    transition_attempt(brain, attempt, ATTEMPT_EVENT_END, reason, detail);
    if (rank != NULL && retry_policy_of(reason)->blames_node)
        blame(job, rank->node);
    drop_shards(brain, attempt);
    tell_nodes(brain, attempt);
    clear_attempt_dues(brain, job);
    aftermath_decide(brain, job, attempt, rank);
    release_ended_slots(brain, attempt);
    brain->capacity_changed = true;
    ending_check_gone(brain, job);
    state_touch(brain, job);
}

void ending_fail_job(struct brain *brain, struct job *job, enum reason reason, const char *detail)
{
    struct attempt *attempt = state_live_attempt(job);
    transition_job(brain, job, JOB_EVENT_FAIL, reason, detail);
    if (attempt != NULL)
        ending_attempt(brain, attempt, reason, detail, NULL);
}

/* ---- a better cause */

static void amend(struct brain *brain, struct job *job, struct attempt *attempt, enum reason reason,
                  const char *detail, const struct rank *rank)
{
    struct verdict_on_job verdict;
    aftermath_amend(brain, job, attempt, reason, detail, rank, &verdict);
    if (verdict.fails)
        ending_fail_job(brain, job, verdict.reason, verdict.detail);
}

void ending_close_amend(struct brain *brain, struct job *job)
{
    struct attempt *attempt = job->newest;
    while (attempt != NULL && attempt_state_is_live(attempt->row.state))
        attempt = attempt->older;
    if (attempt == NULL || !aftermath_may_amend(job, attempt)) {
        state_set_due(brain, job, DUE_AMEND, TIMER_NEVER);
        return;
    }
    for (int64_t i = 0; i < attempt->row.world_size; i++) {
        const struct rank *rank = &attempt->ranks[i];
        const struct node *node = rank->node;
        if (rank->row.ended || (node->connected && !node->suspect))
            continue;
        char detail[BRAIN_DETAIL_BYTES];
        (void)snprintf(detail, sizeof(detail), "node %s of rank %" PRId64 " has gone silent",
                       node->row.id, rank->row.rank);
        amend(brain, job, attempt, REASON_NODE_LOST, detail, rank);
        return;
    }
    state_set_due(brain, job, DUE_AMEND, TIMER_NEVER);
}

/* ---- success, and stopping on request */

static bool all_exited(const struct attempt *attempt, int64_t code)
{
    for (int64_t i = 0; i < attempt->row.world_size; i++) {
        const struct rank_row *row = &attempt->ranks[i].row;
        if (!row->ended || row->exit_code != code || row->exit_signal != 0)
            return false;
    }
    return true;
}

void ending_check_done(struct brain *brain, struct attempt *attempt)
{
    struct job *job = attempt->job;
    if (!attempt_state_is_live(attempt->row.state) || !all_exited(attempt, TRAINER_EXIT_DONE))
        return;
    if (job->row.result_attempt == attempt->row.attempt)
        ending_attempt(brain, attempt, REASON_DONE, "", NULL);
    else if (job->due_ms[DUE_NO_RESULT] == TIMER_NEVER)
        state_set_due(brain, job, DUE_NO_RESULT, brain->now_ms + brain->config.no_result_ms);
}

static bool none_was_killed(const struct attempt *attempt)
{
    for (int64_t i = 0; i < attempt->row.world_size; i++) {
        if (attempt->ranks[i].row.exit_code < 0)
            return false;
    }
    return true;
}

/*
 * Once every rank has stopped, the attempt stays a moment longer if its last checkpoint may still be on its
 * way: a drain then loses nothing.
 */
void ending_check_stopped(struct brain *brain, struct attempt *attempt)
{
    struct job *job = attempt->job;
    if (attempt->row.state != ATTEMPT_STOPPING || attempt->unended > 0 ||
        all_exited(attempt, TRAINER_EXIT_DONE))
        return;
    const bool uploading = attempt->row.reason == REASON_DRAINED && none_was_killed(attempt) &&
                           job->row.committed_step < attempt->highest_step;
    if (!uploading)
        ending_attempt(brain, attempt, attempt->row.reason, attempt->row.detail, NULL);
    else if (job->due_ms[DUE_UPLOAD] == TIMER_NEVER)
        state_set_due(brain, job, DUE_UPLOAD, brain->now_ms + brain->config.grace_ms);
}

void ending_stop_attempt(struct brain *brain, struct attempt *attempt, enum reason reason,
                         const char *detail)
{
    if (attempt->row.state == ATTEMPT_STOPPING)
        return;
    transition_attempt(brain, attempt, ATTEMPT_EVENT_STOP, reason, detail);
    tell_nodes(brain, attempt);
    const int64_t limit_ms =
        brain->config.grace_ms + brain->profile.kill_budget_ms + 2 * brain->profile.heartbeat_ms;
    state_set_due(brain, attempt->job, DUE_STOP, brain->now_ms + limit_ms);
    ending_check_stopped(brain, attempt);
}

/* ---- a rank ends */

/* In an attempt that was asked to stop, these ends are the answer and no fault. */
static bool is_answer_to_stop(enum reason asked, enum reason end)
{
    if (asked == REASON_CANCELLED || asked == REASON_TIME_LIMIT)
        return true;
    return end == REASON_STOPPED || end == REASON_KILLED || end == REASON_PEER_LOST ||
           end == REASON_FENCED;
}

static void note_hang(const struct attempt *attempt, char *detail, size_t size)
{
    const struct rank *lowest = &attempt->ranks[0];
    for (int64_t i = 1; i < attempt->row.world_size; i++) {
        if (attempt->ranks[i].collective < lowest->collective)
            lowest = &attempt->ranks[i];
    }
    (void)snprintf(detail, size,
                   "rank %" PRId64 " on %s made no progress (lowest collective, %" PRId64 ")",
                   lowest->row.rank, lowest->row.node, lowest->collective);
}

static void describe_end(const struct rank *rank, const struct rank_end *end, char *detail,
                         size_t size)
{
    const char *more = end->detail == NULL ? "" : end->detail;
    const char *gap = more[0] == '\0' ? "" : ": ";
    if (end->reason == REASON_HANG)
        note_hang(rank->attempt, detail, size);
    else if (end->signal != 0)
        (void)snprintf(detail, size, "rank %" PRId64 " on %s ended by signal %" PRId64 "%s%s",
                       rank->row.rank, rank->row.node, end->signal, gap, more);
    else if (end->code >= 0)
        (void)snprintf(detail, size, "rank %" PRId64 " on %s ended with code %" PRId64 "%s%s",
                       rank->row.rank, rank->row.node, end->code, gap, more);
    else
        (void)snprintf(detail, size, "rank %" PRId64 " on %s is gone%s%s", rank->row.rank,
                       rank->row.node, gap, more);
}

/*
 * As its node tells it, whatever that node's clock says: not before there was such a rank, and not after
 * the end that it explains.
 */
static void note_fault(const struct brain *brain, struct attempt *attempt, int64_t fault_boot_ms)
{
    if (fault_boot_ms == TIMER_NEVER)
        return;
    const int64_t told_ms = brain->wall_ms - (brain->now_ms - fault_boot_ms);
    const int64_t ended_ms = attempt->row.ended_at_ms;
    const int64_t at_ms = ended_ms != 0 && told_ms > ended_ms ? ended_ms : told_ms;
    const int64_t placed_ms = attempt->row.placed_at_ms;
    attempt->fault_at_ms = at_ms > placed_ms ? at_ms : placed_ms;
}

static void conclude_live(struct brain *brain, struct rank *rank, const struct rank_end *end)
{
    struct attempt *attempt = rank->attempt;
    if (end->reason == REASON_NONE) {
        starting_check(brain, attempt);
        ending_check_done(brain, attempt);
        ending_check_stopped(brain, attempt);
        return;
    }
    if (attempt->row.state == ATTEMPT_STOPPING &&
        is_answer_to_stop(attempt->row.reason, end->reason)) {
        ending_check_stopped(brain, attempt);
        return;
    }
    char detail[BRAIN_DETAIL_BYTES];
    describe_end(rank, end, detail, sizeof(detail));
    note_fault(brain, attempt, end->fault_boot_ms);
    ending_attempt(brain, attempt, end->reason, detail, rank);
}

/* What follows from another end explains nothing. */
static bool is_cause(enum reason reason)
{
    return reason != REASON_NONE && reason != REASON_STOPPED && reason != REASON_FENCED &&
           reason != REASON_PEER_LOST;
}

static void conclude_ended(struct brain *brain, struct rank *rank, const struct rank_end *end)
{
    struct attempt *attempt = rank->attempt;
    struct job *job = attempt->job;
    /* What ended after our decision may have ended by our own signal. */
    const bool by_us = end->signal != 0 && (end->fault_boot_ms == TIMER_NEVER ||
                                            end->fault_boot_ms > attempt->ended_ms);
    if (is_cause(end->reason) && !by_us && aftermath_may_amend(job, attempt)) {
        char detail[BRAIN_DETAIL_BYTES];
        describe_end(rank, end, detail, sizeof(detail));
        note_fault(brain, attempt, end->fault_boot_ms);
        amend(brain, job, attempt, end->reason, detail, rank);
    }
    launch_release_slot(brain, rank);
    state_tell_node(brain, rank->node);
    brain->capacity_changed = true;
    if (attempt->unended == 0)
        port_release(brain, attempt);
    ending_check_gone(brain, job);
}

void ending_rank(struct brain *brain, struct rank *rank, const struct rank_end *end)
{
    if (rank->row.ended)
        return;
    rank->row.ended = true;
    rank->row.exit_code = end->code;
    rank->row.exit_signal = end->signal;
    rank->row.exit_oom = end->oom;
    rank->row.exit_reason = end->reason;
    rank->row.step = rank->step;
    rank->row.phase = rank->phase;
    rank->waiting_ms = 0;
    rank->absent_since_ms = TIMER_NEVER;
    state_unlink_rank(rank);
    emit_rank(brain, rank);
    state_touch(brain, rank->attempt->job);
    if (attempt_state_is_live(rank->attempt->row.state))
        conclude_live(brain, rank, end);
    else
        conclude_ended(brain, rank, end);
}

/* ---- after the end */

void ending_check_gone(struct brain *brain, struct job *job)
{
    if (job->row.state != JOB_CANCELLING || state_live_attempt(job) != NULL)
        return;
    for (const struct attempt *attempt = job->newest; attempt != NULL; attempt = attempt->older) {
        for (int64_t i = 0; i < attempt->row.world_size; i++) {
            const struct rank *rank = &attempt->ranks[i];
            if (!rank->row.ended && rank->node->row.state != NODE_LOST)
                return;
        }
    }
    transition_job(brain, job, JOB_EVENT_GONE, job->row.reason, job->row.detail);
}

static bool node_still_syncs(const struct node *node, const struct attempt *attempt)
{
    return node->row.state != NODE_LOST && node->connected && !node->suspect &&
           node->heard_ms >= attempt->ended_ms;
}

void ending_settle(struct brain *brain, struct job *job)
{
    for (struct attempt *attempt = job->newest; attempt != NULL; attempt = attempt->older) {
        if (attempt_state_is_live(attempt->row.state))
            continue;
        for (int64_t i = 0; i < attempt->row.world_size; i++) {
            struct rank *rank = &attempt->ranks[i];
            if (rank->slot != NULL && node_still_syncs(rank->node, attempt))
                launch_release_slot(brain, rank);
        }
    }
}
