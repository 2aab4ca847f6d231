#include "service/brain/sync.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "service/brain/emit.h"
#include "service/brain/ending.h"
#include "service/brain/lease.h"
#include "service/brain/node.h"
#include "service/brain/retry_policy.h"
#include "service/brain/starting.h"
#include "service/brain/transition.h"

/* ---- one rank */

/* Success, cancels and limits are ours to decide: a node that names one of them tells of a failure. */
static enum reason reason_told(const struct observed_rank *seen)
{
    if (seen->exit_reason != REASON_NONE)
        return retry_policy_of(seen->exit_reason)->of_a_rank ? seen->exit_reason : REASON_INTERNAL;
    if (!seen->exited)
        return REASON_RUNNER_LOST;
    return ending_reason_of(seen->exit_code, seen->exit_signal, seen->exit_oom);
}

static void hear_exit(struct brain *brain, struct rank *rank, const struct observed_rank *seen,
                      int64_t received_ms)
{
    const bool clean = seen->exited && seen->exit_code == 0 && seen->exit_signal == 0;
    ending_rank(brain, rank,
                &(struct rank_end){.code = seen->exited ? seen->exit_code : -1,
                                   .signal = seen->exit_signal,
                                   .oom = seen->exit_oom,
                                   .reason = clean ? REASON_NONE : reason_told(seen),
                                   .detail = seen->detail,
                                   .fault_boot_ms = received_ms - seen->exit_age_ms});
}

static void hear_alive(struct brain *brain, struct rank *rank, const struct observed_rank *seen)
{
    rank->alive = true;
    if (seen->pid != rank->row.pid) {
        rank->row.pid = seen->pid;
        emit_rank(brain, rank);
    }
    if (attempt_state_is_live(rank->attempt->row.state))
        starting_check(brain, rank->attempt);
}

/* A wait that a suspect node's attempt should be judged by. */
static void note_wait(struct brain *brain, const struct attempt *attempt)
{
    for (int64_t i = 0; i < attempt->row.world_size; i++) {
        if (!attempt->ranks[i].row.ended && attempt->ranks[i].node->suspect)
            lease_look_again(brain, brain->now_ms);
    }
}

static void hear_rank(struct brain *brain, struct node *node, const struct observed_rank *seen,
                      int64_t received_ms)
{
    const struct job *job = state_job(brain, seen->job);
    struct attempt *attempt = job == NULL ? NULL : state_attempt(job, seen->attempt);
    if (attempt == NULL || seen->rank < 0 || seen->rank >= attempt->row.world_size)
        return;
    struct rank *rank = &attempt->ranks[seen->rank];
    if (rank->row.ended || rank->node != node)
        return;
    rank->seen = brain->sync_number;
    rank->absent_since_ms = TIMER_NEVER;
    if (seen->step > rank->step) {
        rank->step = seen->step;
        rank->stepped_ms = received_ms;
    }
    if (seen->phase >= 0 && seen->phase < PROGRESS_PHASE_COUNT)
        rank->phase = (enum progress_phase)seen->phase;
    if (rank->step > attempt->highest_step)
        attempt->highest_step = rank->step;
    if (seen->collective > 0)
        rank->collective = seen->collective;
    rank->waiting_ms = seen->waiting_ms;
    if (seen->exited || seen->verdict == VERDICT_DEAD)
        hear_exit(brain, rank, seen, received_ms);
    else if (seen->verdict == VERDICT_ALIVE)
        hear_alive(brain, rank, seen);
    if (!rank->row.ended && rank->waiting_ms >= lease_witness_ms(brain))
        note_wait(brain, attempt);
}

/* ---- what is not said */

/*
 * An agent that has seen the newest desired set and says nothing of a rank has no such rank. Of an ended
 * attempt, and of one that is to stop and never started, that confirms the end; of a live one
 * it is a mistake that gets a limit, because the agent may still be starting it.
 */
static void hear_silence(struct brain *brain, struct rank *rank)
{
    const struct attempt *attempt = rank->attempt;
    const bool never_started = !rank->alive && rank->row.pid == 0;
    if (!attempt_state_is_live(attempt->row.state) ||
        (attempt->row.state == ATTEMPT_STOPPING && never_started)) {
        ending_rank(
            brain, rank,
            &(struct rank_end){
                .code = -1, .reason = REASON_STOPPED, .detail = "", .fault_boot_ms = TIMER_NEVER});
    } else if (attempt->row.state == ATTEMPT_RUNNING && rank->absent_since_ms == TIMER_NEVER) {
        rank->absent_since_ms = brain->now_ms;
        struct job *job = attempt->job;
        if (job->due_ms[DUE_ABSENT] == TIMER_NEVER)
            state_set_due(brain, job, DUE_ABSENT, brain->now_ms + brain->config.start_limit_ms);
    }
}

static void hear_silences(struct brain *brain, struct node *node)
{
    struct rank *next = NULL;
    for (struct rank *rank = node->ranks; rank != NULL; rank = next) {
        next = rank->node_next;
        if (rank->seen != brain->sync_number)
            hear_silence(brain, rank);
    }
}

/* Former ranks on a node that is back: their slots move when they are confirmed, or settled. */
static void watch_settling(struct brain *brain, const struct node *node)
{
    for (const struct rank *rank = node->ranks; rank != NULL; rank = rank->node_next) {
        struct job *job = rank->attempt->job;
        if (rank->slot != NULL && !attempt_state_is_live(rank->attempt->row.state) &&
            job->due_ms[DUE_SETTLE] == TIMER_NEVER)
            state_set_due(brain, job, DUE_SETTLE, brain->now_ms + brain->settle_ms);
    }
}

/* ---- the node */

static bool is_news(struct brain *brain, struct node *node, const struct input_sync *sync,
                    int64_t received_ms)
{
    if (sync->session < node->session) {
        reply_refuse(brain, STATUS_CONFLICT, "stale_session",
                     "node %s: session %" PRId64 " was replaced by %" PRId64, node->row.id,
                     sync->session, node->session);
        return false;
    }
    if (sync->session == node->session && sync->seq <= node->seq)
        return false;
    /* What was received before the node was taken for lost does not bring it back. */
    return node->row.state != NODE_LOST || node->gone_ms == TIMER_NEVER ||
           received_ms >= node->gone_ms;
}

static void note_alive(struct brain *brain, struct node *node, const struct input_sync *sync,
                       int64_t received_ms)
{
    const bool was_usable = node->connected && !node->suspect;
    node->session = sync->session;
    node->seq = sync->seq;
    node->synced = true;
    node->connected = true;
    node->suspect = false;
    node->disconnected_ms = TIMER_NEVER;
    node->gone_ms = TIMER_NEVER;
    if (received_ms > node->heard_ms)
        node->heard_ms = received_ms;
    if (!was_usable)
        brain->capacity_changed = true;
    if (strcmp(node->row.boot_id, sync->boot_id) != 0) {
        node_confirm_all(brain, node, REASON_NODE_REBOOTED, "the node has rebooted");
        (void)text_copy(node->row.boot_id, sizeof(node->row.boot_id), sync->boot_id);
        emit_node(brain, node);
        state_tell_node(brain, node);
    }
    if (node->row.state == NODE_LOST) {
        transition_node(brain, node, NODE_EVENT_RETURN, REASON_NONE, "");
        if (node->row.drain)
            transition_node(brain, node, NODE_EVENT_DRAIN, REASON_NONE, "");
        lease_look_again(brain, lease_suspect_at(brain, node));
    }
}

void sync_hear(struct brain *brain, const struct brain_input *input)
{
    const struct input_sync *sync = &input->sync;
    struct node *node = state_node(brain, sync->node);
    if (node == NULL) {
        reply_refuse(brain, STATUS_NOT_FOUND, "unknown_node", "node %s is not known", sync->node);
        return;
    }
    (void)text_copy(brain->reply->id, sizeof(brain->reply->id), node->row.id);
    const int64_t received_ms = sync->received_boot_ms - brain->stall_total_ms;
    if (!is_news(brain, node, sync, received_ms))
        return;
    const bool has_seen_newest = sync->revision_seen >= node->row.revision;
    note_alive(brain, node, sync, received_ms);
    node_update_slots(brain, node, sync->slots, sync->slot_count);
    brain->sync_number++;
    for (size_t i = 0; i < sync->rank_count; i++)
        hear_rank(brain, node, &sync->ranks[i], received_ms);
    if (has_seen_newest)
        hear_silences(brain, node);
    watch_settling(brain, node);
    brain->reply->revision = node->row.revision;
}
