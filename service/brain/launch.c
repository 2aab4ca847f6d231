#include "service/brain/launch.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "service/brain/emit.h"
#include "service/brain/port.h"
#include "service/brain/transition.h"
#include "service/brain/waiting.h"

static void make_secret(struct brain *brain, char out[BRAIN_SHA_BYTES])
{
    if (brain->config.secret != NULL) {
        brain->config.secret(brain->config.secret_context, out);
        return;
    }
    for (size_t at = 0; at + 16 < BRAIN_SHA_BYTES; at += 16)
        (void)snprintf(out + at, BRAIN_SHA_BYTES - at, "%016" PRIx64,
                       splitmix64_next(&brain->random));
}

/* The first placement fixes device and arithmetic; a later one on other arithmetic says so. */
static void fix_arithmetic(struct brain *brain, struct job *job, const struct placement *placement)
{
    const bool differs =
        job->row.numerics[0] != '\0' && strcmp(job->row.numerics, placement->numerics) != 0;
    job->row.device = placement->kind;
    (void)text_copy(job->row.numerics, sizeof(job->row.numerics), placement->numerics);
    job->numerics_free = false;
    state_set_due(brain, job, DUE_NUMERICS, TIMER_NEVER);
    if (!differs)
        return;
    job->row.bit_exact = false;
    emit_event(brain,
               &(struct emit_event){
                   .kind = "warning",
                   .job = job->row.id,
                   .attempt = job->row.attempt,
                   .detail = "no node with the same arithmetic was ready: the result will not "
                             "be bit for bit that of an uninterrupted run"});
}

static struct attempt_row attempt_row_of(struct brain *brain, const struct job *job,
                                         const struct node *first, int64_t port)
{
    struct attempt_row row = {.attempt = job->row.attempt,
                              .state = ATTEMPT_PLACED,
                              .resume_step = job->row.resume_step,
                              .lost_steps = job->row.lost_steps,
                              .world_size = job->row.request.ranks,
                              .master_port = port,
                              .placed_at_ms = brain->wall_ms};
    (void)text_copy(row.job, sizeof(row.job), job->row.id);
    (void)text_copy(row.master_address, sizeof(row.master_address), first->row.address);
    make_secret(brain, row.secret);
    const struct attempt *former = job->newest;
    if (former != NULL) {
        row.cause = former->row.reason;
        row.fault_at_ms = former->fault_at_ms;
        row.detected_at_ms =
            former->detected_at_ms != 0 ? former->detected_at_ms : former->row.ended_at_ms;
        row.fenced_at_ms = former->row.ended_at_ms;
    }
    return row;
}

static struct slot *next_free_slot(const struct node *node, enum device_kind kind)
{
    for (size_t i = 0; i < node->slot_count; i++) {
        struct slot *slot = node->slots[i];
        if (slot->row.kind == kind && slot->row.present && slot->row.job[0] == '\0')
            return slot;
    }
    return NULL;
}

static void take_slot(struct brain *brain, struct rank *rank, struct node *node, struct slot *slot,
                      int64_t number)
{
    struct attempt *attempt = rank->attempt;
    rank->row = (struct rank_row){
        .attempt = attempt->row.attempt, .rank = number, .exit_reason = REASON_NONE};
    (void)text_copy(rank->row.job, sizeof(rank->row.job), attempt->row.job);
    (void)text_copy(rank->row.node, sizeof(rank->row.node), node->row.id);
    (void)text_copy(rank->row.slot, sizeof(rank->row.slot), slot->row.slot);
    rank->slot = slot;
    state_link_rank(rank, node);
    emit_rank(brain, rank);
    (void)text_copy(slot->row.job, sizeof(slot->row.job), attempt->row.job);
    slot->row.attempt = attempt->row.attempt;
    slot->row.rank = number;
    state_count_slots(node);
    emit_slot(brain, slot);
    state_tell_node(brain, node);
}

void launch_release_slot(struct brain *brain, struct rank *rank)
{
    struct slot *slot = rank->slot;
    if (slot == NULL)
        return;
    rank->slot = NULL;
    slot->row.job[0] = '\0';
    slot->row.attempt = 0;
    slot->row.rank = 0;
    state_count_slots(slot->node);
    emit_slot(brain, slot);
    brain->capacity_changed = true;
}

static void take_slots(struct brain *brain, struct attempt *attempt,
                       const struct placement *placement)
{
    int64_t number = 0;
    for (size_t i = 0; i < placement->count; i++) {
        struct node *node = placement->picks[i].node;
        for (int64_t taken = 0; taken < placement->picks[i].ranks; taken++, number++) {
            struct slot *slot = next_free_slot(node, placement->kind);
            assert(slot != NULL);
            take_slot(brain, &attempt->ranks[number], node, slot, number);
        }
    }
    assert(number == attempt->row.world_size);
}

/* Once more at the last moment: an exit that came later told of further steps, or a checkpoint was doubted. */
static void count_lost_steps(struct job *job)
{
    const int64_t lost = job->newest == NULL ? 0 : job->newest->highest_step - job->row.resume_step;
    if (lost > job->row.lost_steps)
        job->row.lost_steps = lost;
}

bool launch_attempt(struct brain *brain, struct job *job, const struct placement *placement)
{
    assert(state_live_attempt(job) == NULL);
    struct node *first = placement->picks[0].node;
    const int64_t port = port_find(brain, first);
    if (port == 0)
        return false;
    job->row.attempt++;
    job->row.resume_step = job->row.committed_step;
    count_lost_steps(job);
    fix_arithmetic(brain, job, placement);
    const struct attempt_row row = attempt_row_of(brain, job, first, port);
    transition_job(brain, job, JOB_EVENT_PLACE, REASON_NONE, "");
    struct attempt *attempt = state_add_attempt(brain, job, &row);
    emit_attempt(brain, EFFECT_ATTEMPT_INSERT, attempt);
    take_slots(brain, attempt, placement);
    port_take(brain, attempt);
    char detail[BRAIN_DETAIL_BYTES];
    (void)snprintf(detail, sizeof(detail),
                   "%" PRId64 " ranks on %zu nodes, from step %" PRId64 ", rank 0 on %s",
                   row.world_size, placement->count, row.resume_step, first->row.id);
    emit_event(brain, &(struct emit_event){.kind = "attempt",
                                           .job = job->row.id,
                                           .attempt = row.attempt,
                                           .to = attempt_state_names[ATTEMPT_PLACED],
                                           .reason = row.cause,
                                           .detail = detail});
    state_set_due(brain, job, DUE_START, brain->now_ms + brain->config.start_limit_ms);
    state_touch(brain, job);
    return true;
}
