/* What must hold between any two inputs. The simulator asks after every event. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "service/brain/state.h"

struct check {
    char *why;
    size_t why_bytes;
    bool fine;
};

static bool expect(struct check *check, bool holds, const char *object, const char *rule)
{
    if (!holds && check->fine) {
        check->fine = false;
        (void)snprintf(check->why, check->why_bytes, "%s: %s", object, rule);
    }
    return holds;
}

static void check_rank(struct check *check, const struct rank *rank)
{
    const struct attempt *attempt = rank->attempt;
    const char *id = attempt->row.job;
    const bool live = attempt_state_is_live(attempt->row.state);
    if (!expect(check, rank->node != NULL, id, "a rank has no node"))
        return;
    expect(check, !live || rank->slot != NULL, id, "a rank of a live attempt holds no slot");
    expect(check, live || !rank->row.ended || rank->slot == NULL, id,
           "a rank that ended with its attempt holds a slot");
    expect(check,
           !live || rank->row.ended || rank->node->row.state != NODE_LOST ||
               attempt->job->row.request.fenced,
           id, "a live attempt that nothing fences has a rank on a lost node");
    if (rank->slot != NULL)
        expect(check,
               strcmp(rank->slot->row.job, id) == 0 &&
                   rank->slot->row.attempt == attempt->row.attempt &&
                   rank->slot->row.rank == rank->row.rank,
               id, "a slot does not know its holder");
}

static void check_attempt(struct check *check, const struct attempt *attempt)
{
    int64_t unended = 0;
    for (int64_t i = 0; i < attempt->row.world_size; i++) {
        check_rank(check, &attempt->ranks[i]);
        unended += !attempt->ranks[i].row.ended;
    }
    const bool live = attempt_state_is_live(attempt->row.state);
    const char *id = attempt->row.job;
    expect(check, unended == attempt->unended, id, "the ranks that have not ended are miscounted");
    expect(check, attempt->holds_port == (live || unended > 0), id,
           "a port is held exactly while a rank may use it");
    expect(check, !live || attempt == attempt->job->newest, id, "an older attempt is live");
    expect(check,
           attempt != attempt->job->newest || attempt->row.attempt == attempt->job->row.attempt, id,
           "the newest attempt is not the job's");
    expect(check, attempt == attempt->job->newest || unended > 0, id,
           "an attempt is held for nothing");
}

static void check_states(struct check *check, const struct job *job)
{
    static const bool has_live[JOB_STATE_COUNT] = {[JOB_STARTING] = true, [JOB_RUNNING] = true};
    const struct attempt *live = state_live_attempt(job);
    const char *id = job->row.id;
    if (job->row.state != JOB_CANCELLING)
        expect(check, has_live[job->row.state] == (live != NULL), id,
               "job and attempt disagree on whether it is live");
    if (job->row.state == JOB_RUNNING && live != NULL)
        expect(check, live->row.state != ATTEMPT_PLACED, id, "a running job's attempt is not up");
    const bool waits = job->row.state == JOB_QUEUED || (job->row.state == JOB_RECOVERING &&
                                                        job->due_ms[DUE_BACKOFF] == TIMER_NEVER);
    expect(check, job->waiting == waits, id, "it is on the waiting list if and only if it waits");
}

static void check_job(struct check *check, const struct job *job)
{
    int64_t unended = 0;
    check_states(check, job);
    for (const struct attempt *attempt = job->newest; attempt != NULL; attempt = attempt->older) {
        check_attempt(check, attempt);
        unended += attempt->unended;
    }
    const char *id = job->row.id;
    expect(check, !job_state_is_terminal(job->row.state) || unended > 0, id,
           "a finished job is held for nothing");
    if (job->checkpoint_count > 0)
        expect(check, job->checkpoints[job->checkpoint_count - 1].step == job->row.committed_step,
               id, "the committed step is not that of the newest checkpoint");
    for (size_t i = 0; i < job->shard_count; i++)
        expect(check,
               job->shards[i].step > job->row.committed_step &&
                   job->shards[i].attempt == job->row.attempt,
               id, "a shard is kept that can never be committed");
}

static void check_node(struct check *check, const struct brain *brain, const struct node *node)
{
    struct node counted = *node;
    state_count_slots(&counted);
    expect(check, memcmp(counted.free_slots, node->free_slots, sizeof(node->free_slots)) == 0,
           node->row.id, "its free slots are miscounted");
    for (size_t i = 0; i < node->slot_count; i++) {
        const struct slot *slot = node->slots[i];
        if (slot->row.job[0] == '\0')
            continue;
        const struct job *job = state_job(brain, slot->row.job);
        const struct attempt *attempt = job == NULL ? NULL : state_attempt(job, slot->row.attempt);
        if (expect(check, attempt != NULL && slot->row.rank < attempt->row.world_size, node->row.id,
                   "a slot is held by nobody that is known"))
            expect(check, attempt->ranks[slot->row.rank].slot == slot, node->row.id,
                   "a slot's holder does not know it");
    }
    for (const struct rank *rank = node->ranks; rank != NULL; rank = rank->node_next)
        expect(check, rank->node == node && !rank->row.ended, node->row.id,
               "the list of its ranks is wrong");
    expect(check, node->row.state != NODE_DRAINING || node->row.drain, node->row.id,
           "it drains although nobody wishes it");
}

bool brain_check(const struct brain *brain, char *why, size_t why_bytes)
{
    struct check check = {.why = why, .why_bytes = why_bytes, .fine = true};
    int64_t jobs = 0;
    int64_t live = 0;
    int64_t waiting = 0;
    int64_t in_state[JOB_STATE_COUNT] = {0};
    for (const struct job *job = brain->jobs; job != NULL; job = job->next) {
        check_job(&check, job);
        jobs++;
        live += !job_state_is_terminal(job->row.state);
        in_state[job->row.state] += !job_state_is_terminal(job->row.state);
        waiting += job->waiting;
    }
    for (size_t i = 0; i < brain->node_count; i++)
        check_node(&check, brain, brain->nodes[i]);
    expect(&check, jobs == brain->job_count && live == brain->live_count, "jobs", "miscounted");
    expect(&check, memcmp(in_state, brain->jobs_in_state, sizeof(in_state)) == 0, "states",
           "miscounted");
    expect(&check, waiting == brain->waiting_count, "waiting jobs", "miscounted");
    expect(&check, !brain->capacity_changed || brain->start_ms == brain->now_ms, "placement",
           "capacity changed and nobody looked");
    return check.fine;
}
