#include "service/brain/brain.h"

#include <assert.h>
#include <string.h>

#include "service/brain/checkpoint.h"
#include "service/brain/emit.h"
#include "service/brain/ending.h"
#include "service/brain/job.h"
#include "service/brain/lease.h"
#include "service/brain/memory.h"
#include "service/brain/node.h"
#include "service/brain/placement.h"
#include "service/brain/port.h"
#include "service/brain/state.h"
#include "service/brain/sync.h"

enum status brain_new(const struct brain_config *config, struct brain **out, struct error *err)
{
    if (config->profile == NULL || config->profile->heartbeat_ms <= 0 ||
        config->profile->suspect_ms < 2 * config->profile->heartbeat_ms ||
        config->jobs_live_max <= 0)
        return error_set(err, STATUS_INVALID, "the brain's configuration has no usable profile");
    struct brain *brain = memory_new(1, sizeof(*brain));
    brain->config = *config;
    brain->profile = *config->profile;
    brain->config.profile = &brain->profile;
    brain->wait_ms = brain_profile_wait_ms(&brain->profile);
    brain->settle_ms = brain->profile.heartbeat_ms < BRAIN_SETTLE_MS_MAX
                           ? brain->profile.heartbeat_ms
                           : BRAIN_SETTLE_MS_MAX;
    brain->pools = memory_new(1, sizeof(*brain->pools));
    brain->random = config->seed;
    brain->nodes_due_ms = TIMER_NEVER;
    brain->hold_until_ms = TIMER_NEVER;
    *out = brain;
    return STATUS_OK;
}

void brain_free(struct brain *brain)
{
    if (brain == NULL)
        return;
    while (brain->jobs != NULL)
        state_free_job(brain, brain->jobs);
    for (size_t i = 0; i < brain->node_count; i++)
        state_free_node(brain->nodes[i]);
    map_clear(&brain->jobs_by_id);
    map_clear(&brain->nodes_by_id);
    timers_clear(&brain->timers);
    memory_free(brain->nodes);
    memory_free(brain->pools->items);
    memory_free(brain->pools);
    port_clear(brain);
    memory_free(brain->touched);
    memory_free(brain->told);
    memory_free(brain);
}

/* ---- one input */

/* Nodes first: a job's deadline must not be judged by a node that is lost already. */
static void tick(struct brain *brain, const struct brain_input *input)
{
    (void)input;
    lease_judge(brain);
    for (;;) {
        const struct timer *timer = timer_first(&brain->timers);
        if (timer == NULL || timer->at_ms > brain->now_ms)
            return;
        job_judge(brain, timer->owner);
    }
}

/* The checkpoint that a stopped attempt still waited for may be complete now. */
static void store_shard(struct brain *brain, const struct brain_input *input)
{
    struct attempt *attempt = checkpoint_record_shard(brain, input);
    if (attempt == NULL)
        return;
    if (brain->reply->committed)
        ending_check_stopped(brain, attempt);
    brain->reply->revision = attempt->job->row.revision;
}

typedef void input_fn(struct brain *brain, const struct brain_input *input);

static input_fn *const handlers[INPUT_KIND_COUNT] = {
    [INPUT_TICK] = tick,
    [INPUT_JOB_SUBMIT] = job_submit,
    [INPUT_JOB_CANCEL] = job_cancel,
    [INPUT_JOB_CHECKPOINT] = job_request_checkpoint,
    [INPUT_NODE_JOIN] = node_join,
    [INPUT_NODE_SYNC] = sync_hear,
    [INPUT_NODE_DISCONNECT] = node_disconnect,
    [INPUT_NODE_DRAIN] = node_drain,
    [INPUT_NODE_UNDRAIN] = node_undrain,
    [INPUT_NODE_FENCE] = node_fence,
    [INPUT_SHARD_STORED] = store_shard,
    [INPUT_RESULT] = job_take_result,
    [INPUT_FIRST_STEP] = job_note_first_step,
};

/* A time limit is counted from a wall time in a row; the first input after a start tells the wall time. */
static void learn_wall_time(struct brain *brain)
{
    if (brain->wall_known)
        return;
    brain->wall_known = true;
    for (struct job *job = brain->jobs; job != NULL; job = job->next) {
        const int64_t limit_ms = job->row.request.time_limit_ms;
        if (limit_ms == 0 || job->row.started_at_ms == 0 || job_state_is_terminal(job->row.state) ||
            job->row.state == JOB_CANCELLING)
            continue;
        int64_t left_ms = job->row.started_at_ms + limit_ms - brain->wall_ms;
        left_ms = left_ms < 0 ? 0 : left_ms;
        left_ms = left_ms > limit_ms ? limit_ms : left_ms;
        state_set_due(brain, job, DUE_TIME_LIMIT, brain->now_ms + left_ms);
    }
}

/* A node's revision is that of its desired set, so that both survive a restart together. */
static void publish_desired(struct brain *brain)
{
    for (size_t i = 0; i < brain->told_count; i++) {
        struct node *node = brain->told[i];
        node->desired_changed = false;
        emit_node(brain, node);
        emit_effect(brain, EFFECT_DESIRED)->node = node->row;
    }
    brain->told_count = 0;
}

void brain_step(struct brain *brain, const struct brain_input *input, struct effects *effects,
                struct brain_reply *reply)
{
    assert(input->kind < INPUT_KIND_COUNT);
    assert(input->stall_ms >= 0);
    effects->count = 0;
    memset(reply, 0, sizeof(*reply));
    brain->effects = effects;
    brain->reply = reply;
    brain->actor = input->actor;
    brain->stall_total_ms += input->stall_ms;
    brain->now_ms = input->boot_ms - brain->stall_total_ms; /* a pause takes it back */
    brain->wall_ms = input->wall_ms;
    learn_wall_time(brain);
    handlers[input->kind](brain, input);
    if (brain->capacity_changed)
        placement_run(brain);
    publish_desired(brain);
    state_drop_unneeded(brain);
    brain->effects = NULL;
    brain->reply = NULL;
}

int64_t brain_next_deadline_boot_ms(const struct brain *brain)
{
    const struct timer *timer = timer_first(&brain->timers);
    int64_t at_ms = brain->nodes_due_ms;
    if (timer != NULL && timer->at_ms < at_ms)
        at_ms = timer->at_ms;
    return at_ms == TIMER_NEVER ? TIMER_NEVER : at_ms + brain->stall_total_ms;
}

/* ---- views */

const struct job_row *brain_job(const struct brain *brain, const char *id)
{
    const struct job *job = state_job(brain, id);
    return job == NULL ? NULL : &job->row;
}

const struct attempt_row *brain_attempt(const struct brain *brain, const char *job_id)
{
    const struct job *job = state_job(brain, job_id);
    return job == NULL || job->newest == NULL ? NULL : &job->newest->row;
}

const struct node_row *brain_node(const struct brain *brain, const char *id)
{
    const struct node *node = state_node(brain, id);
    return node == NULL ? NULL : &node->row;
}

void brain_count(const struct brain *brain, struct brain_counts *out)
{
    memset(out, 0, sizeof(*out));
    memcpy(out->jobs, brain->jobs_in_state, sizeof(out->jobs));
    for (size_t i = 0; i < brain->node_count; i++) {
        const struct node *node = brain->nodes[i];
        out->nodes[node->row.state]++;
        out->nodes_suspect += node->suspect;
        out->slots_held += node->held_slots;
        for (int kind = DEVICE_CPU; kind < DEVICE_KINDS; kind++)
            out->slots += node->present_slots[kind];
    }
}
