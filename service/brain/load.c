/* Rebuilding the brain from the database's rows. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "service/brain/checkpoint.h"
#include "service/brain/lease.h"
#include "service/brain/memory.h"
#include "service/brain/port.h"
#include "service/brain/state.h"
#include "service/brain/waiting.h"

void brain_load_node(struct brain *brain, const struct node_row *row)
{
    assert(state_node(brain, row->id) == NULL);
    (void)state_add_node(brain, row);
}

void brain_load_slot(struct brain *brain, const struct slot_row *row)
{
    struct node *node = state_node(brain, row->node);
    assert(node != NULL);
    (void)state_add_slot(node, row);
}

void brain_load_job(struct brain *brain, const struct job_row *row)
{
    assert(state_job(brain, row->id) == NULL);
    (void)state_add_job(brain, row);
}

void brain_load_attempt(struct brain *brain, const struct attempt_row *row)
{
    struct job *job = state_job(brain, row->job);
    assert(job != NULL);
    (void)state_add_attempt(brain, job, row);
}

void brain_load_rank(struct brain *brain, const struct rank_row *row)
{
    const struct job *job = state_job(brain, row->job);
    assert(job != NULL);
    struct attempt *attempt = state_attempt(job, row->attempt);
    struct node *node = state_node(brain, row->node);
    assert(attempt != NULL && node != NULL);
    assert(row->rank >= 0 && row->rank < attempt->row.world_size);
    struct rank *rank = &attempt->ranks[row->rank];
    rank->row = *row;
    rank->step = row->step;
    rank->phase = row->phase;
    rank->node = node;
    if (rank->step > attempt->highest_step)
        attempt->highest_step = rank->step;
    if (!row->ended)
        state_link_rank(rank, node);
    struct slot *slot = state_slot(node, row->slot);
    if (slot != NULL && slot->row.attempt == row->attempt && slot->row.rank == row->rank &&
        strcmp(slot->row.job, row->job) == 0)
        rank->slot = slot;
}

void brain_load_port(struct brain *brain, const struct port_row *row)
{
    const struct job *job = state_job(brain, row->job);
    struct attempt *attempt = job == NULL ? NULL : state_attempt(job, row->attempt);
    assert(attempt != NULL);
    assert(attempt->row.master_port == row->port);
    port_load(brain, attempt);
}

void brain_load_shard(struct brain *brain, const struct shard_row *row)
{
    checkpoint_load_shard(brain, row);
}

void brain_load_checkpoint(struct brain *brain, const struct checkpoint_row *row)
{
    checkpoint_load(brain, row);
}

/* ---- start */

static int compare_age(const void *a, const void *b)
{
    const struct job *left = *(struct job *const *)a;
    const struct job *right = *(struct job *const *)b;
    if (left->row.created_at_ms != right->row.created_at_ms)
        return left->row.created_at_ms < right->row.created_at_ms ? -1 : 1;
    return strcmp(left->row.id, right->row.id);
}

static bool every_rank_has_ended(const struct attempt *attempt)
{
    return attempt->unended == 0;
}

/* Terms begin anew: what an attempt waits for is counted from the start. */
static void resume_attempt(struct brain *brain, struct job *job, const struct attempt *attempt)
{
    const int64_t now_ms = brain->now_ms;
    if (attempt->row.state == ATTEMPT_PLACED)
        state_set_due(brain, job, DUE_START, now_ms + brain->config.start_limit_ms);
    if (attempt->row.state == ATTEMPT_STOPPING)
        state_set_due(brain, job, DUE_STOP,
                      now_ms + brain->config.grace_ms + brain->profile.kill_budget_ms +
                          2 * brain->profile.heartbeat_ms);
    else if (attempt_state_is_live(attempt->row.state) && every_rank_has_ended(attempt))
        state_set_due(brain, job, DUE_NO_RESULT, now_ms + brain->config.no_result_ms);
}

static void resume_job(struct brain *brain, struct job *job)
{
    if (job_state_is_terminal(job->row.state))
        return;
    if (job->newest != NULL)
        resume_attempt(brain, job, job->newest);
    if (job->row.state == JOB_QUEUED)
        waiting_add(brain, job);
    if (job->row.state == JOB_RECOVERING) {
        const int64_t wait_ms =
            retry_backoff_ms(job->row.ends_without_checkpoint, splitmix64_next(&brain->random));
        state_set_due(brain, job, DUE_BACKOFF, brain->now_ms + wait_ms);
    }
}

void brain_start(struct brain *brain, int64_t boot_ms, int64_t revision)
{
    brain->revision = revision;
    brain->now_ms = boot_ms;
    brain->start_ms = boot_ms;
    for (size_t i = 0; i < brain->node_count; i++)
        brain->nodes[i]->heard_ms = boot_ms;
    struct job **jobs = memory_new((size_t)brain->job_count + 1, sizeof(struct job *));
    size_t count = 0;
    for (struct job *job = brain->jobs; job != NULL; job = job->next)
        jobs[count++] = job;
    qsort(jobs, count, sizeof(struct job *), compare_age);
    for (size_t i = 0; i < count; i++)
        resume_job(brain, jobs[i]);
    memory_free(jobs);
    brain->nodes_due_ms = boot_ms + brain->wait_ms;
    brain->capacity_changed = true;
}
