#include "tests/sim/sim.h"

#include <inttypes.h>
#include <string.h>

/*
 * oracle.c - what must be true, judged by what was committed and by what really runs, not by what the brain
 * believes. S1, S2, S4, S9 also stand in the database as triggers: a refused write is a violation, too.
 */

#define SLACK_MS       1500
#define VOUCHED_MS     30000 /* an operator's word may wait that long in a paused loop */
#define DOWN_TERMS_MAX 8     /* W, and 2 W more each time that the brake holds */

struct oracle_job *oracle_job(struct world *world, const char *id)
{
    for (size_t i = 0; i < world->oracle.job_count; i++) {
        if (strcmp(world->oracle.jobs[i].id, id) == 0)
            return &world->oracle.jobs[i];
    }
    return NULL;
}

/* ---- what a commit may contain */

static void note_job_insert(struct world *world, const struct job_row *row)
{
    const int64_t client = world_client_of(world, row->id);
    for (size_t i = 0; i < world->oracle.job_count; i++) {
        if (world->oracle.jobs[i].client == client)
            world_violate(world, "S8: %s and %s under one key", world->oracle.jobs[i].id, row->id);
    }
    struct oracle_job *job = &world->oracle.jobs[world->oracle.job_count++];
    *job =
        (struct oracle_job){.client = client, .attempt_ended = true, .fenced = row->request.fenced};
    memcpy(job->id, row->id, sizeof(job->id));
    world_trace(world, "%s is queued: %" PRId64 " ranks", row->id, row->request.ranks);
}

/* A job is cancelled when each rank has ended, or its node is lost. */
static void check_cancelled(struct world *world, const struct job_row *row)
{
    for (size_t h = 0; h < world->host_count; h++) {
        const struct host *host = &world->hosts[h];
        for (size_t i = 0; i < SIM_LOCALS_MAX; i++) {
            const struct local *local = &host->locals[i];
            if (local->state == LOCAL_RUNNING && strcmp(local->job, row->id) == 0 &&
                brain_node(world->controller.brain, host->id)->state != NODE_LOST)
                world_violate(world, "S18: %s is cancelled, rank %" PRId64 " still runs on %s",
                              row->id, local->rank, host->id);
        }
    }
}

static void note_job(struct world *world, const struct job_row *row)
{
    struct oracle_job *job = oracle_job(world, row->id);
    if (job == NULL) {
        world_violate(world, "%s is changed before it exists", row->id);
        return;
    }
    if (job_state_is_terminal(job->state) && row->state != job->state)
        world_violate(world, "S9: %s leaves %s", row->id, job_state_names[job->state]);
    if (row->restarts > world->clients[job->client].charged_faults)
        world_violate(world, "S13: %s pays for %" PRId64 " restarts, at fault for %" PRId64,
                      row->id, row->restarts, world->clients[job->client].charged_faults);
    if (job->state != row->state && row->state == JOB_CANCELLED)
        check_cancelled(world, row);
    if (job->state != row->state)
        world_trace(world, "%s: %s -> %s (%s) %s", row->id, job_state_names[job->state],
                    job_state_names[row->state], reason_names[row->reason], row->detail);
    job->state = row->state;
    job->reason = row->reason;
    job->restarts = row->restarts;
}

/* S3, for jobs whose effects cannot be fenced: nothing of a former attempt may still run. */
static void check_exclusive(struct world *world, const struct attempt_row *row)
{
    for (size_t h = 0; h < world->host_count; h++) {
        for (size_t i = 0; i < SIM_LOCALS_MAX; i++) {
            const struct local *local = &world->hosts[h].locals[i];
            if (local->state == LOCAL_RUNNING && local->attempt < row->attempt &&
                strcmp(local->job, row->job) == 0)
                world_violate(world,
                              "S3: %s attempt %" PRId64 " is placed, %" PRId64 " still runs on %s",
                              row->job, row->attempt, local->attempt, world->hosts[h].id);
        }
    }
}

void oracle_rank_up(struct world *world, const char *id, int64_t attempt)
{
    const struct oracle_job *job = oracle_job(world, id);
    if (job != NULL && !job->fenced && attempt < job->attempt)
        world_violate(world, "S3: %s attempt %" PRId64 " starts a rank, %" PRId64 " is placed", id,
                      attempt, job->attempt);
}

static void note_attempt_insert(struct world *world, const struct attempt_row *row)
{
    struct oracle_job *job = oracle_job(world, row->job);
    if (row->attempt != job->attempt + 1)
        world_violate(world, "S14: %s attempt %" PRId64 " after %" PRId64, row->job, row->attempt,
                      job->attempt);
    if (!job->attempt_ended)
        world_violate(world, "S2: %s attempt %" PRId64 " while the former is live", row->job,
                      row->attempt);
    if (row->resume_step != job->committed_step || row->resume_step < job->acknowledged_step)
        world_violate(world,
                      "S6: %s resumes at %" PRId64 ", committed %" PRId64 ", acknowledged %" PRId64,
                      row->job, row->resume_step, job->committed_step, job->acknowledged_step);
    if (!job->fenced)
        check_exclusive(world, row);
    job->attempt = row->attempt;
    job->attempt_ended = false;
    job->attempt_state = ATTEMPT_PLACED;
    job->placed_at_ms = world->now_ms;
    job->resume_step = row->resume_step;
    world->oracle.attempts++;
    world_trace(world, "%s: attempt %" PRId64 " is placed, from step %" PRId64, row->job,
                row->attempt, row->resume_step);
}

/* Promise 5: suspicion alone ends nothing. The gang was seen waiting, or the node is lost. */
static void check_node_lost(struct world *world, const struct attempt_row *row)
{
    const int64_t index = gang_find(world, row->job, row->attempt);
    if (index < 0)
        return;
    const struct gang *gang = &world->gangs[index];
    for (int64_t rank = 0; rank < gang->world_size; rank++) {
        if (gang->host[rank] < 0)
            continue;
        const struct node_row *node =
            brain_node(world->controller.brain, world->hosts[gang->host[rank]].id);
        if (node->state == NODE_LOST)
            return;
    }
    const int64_t waits_ms = world->now_ms - gang->last_step_ms > gang->longest_wait_ms
                                 ? world->now_ms - gang->last_step_ms
                                 : gang->longest_wait_ms;
    world->oracle.witnessed++;
    if (waits_ms < world->profile->suspect_ms - world->profile->heartbeat_ms)
        world_violate(
            world, "P5: %s attempt %" PRId64 " ended by suspicion, it waited only %" PRId64 " ms",
            row->job, row->attempt, waits_ms);
}

/*
 * Promise 4: lost are at most one interval, the time from snapshot to commit, and one step; and what
 * an agent was told is committed is committed.
 */
static void check_lost_work(struct world *world, const struct oracle_job *job,
                            const struct attempt_row *row)
{
    const int64_t index = gang_find(world, row->job, row->attempt);
    if (index < 0)
        return;
    const struct gang *gang = &world->gangs[index];
    const int64_t every = world->clients[job->client].every_steps;
    const int64_t reached = gang->uploading > 0 ? gang->snapshot_step : gang->step;
    if (job->committed_step < gang->acked_snapshot)
        world_violate(world, "S6: %s: step %" PRId64 " was acknowledged, %" PRId64 " is committed",
                      row->job, gang->acked_snapshot, job->committed_step);
    if (!gang->stop && reached - gang->acked_at_step > every + 1)
        world_violate(world, "S6: %s loses %" PRId64 " steps, its interval is %" PRId64, row->job,
                      reached - gang->acked_at_step, every);
}

static void note_attempt(struct world *world, const struct attempt_row *row)
{
    struct oracle_job *job = oracle_job(world, row->job);
    if (row->attempt != job->attempt) {
        if (row->state != ATTEMPT_ENDED)
            world_violate(world, "S2: %s: old attempt %" PRId64 " lives", row->job, row->attempt);
        return;
    }
    if (job->attempt_ended && row->state != ATTEMPT_ENDED)
        world_violate(world, "S9: %s attempt %" PRId64 " is revived", row->job, row->attempt);
    if (!job->attempt_ended && row->state == ATTEMPT_ENDED) {
        world->oracle.failovers += row->reason != REASON_DONE;
        if (row->reason == REASON_NO_RESULT)
            world->clients[job->client].charged_faults++;
        if (row->reason == REASON_NODE_LOST && job->fenced)
            check_node_lost(world, row);
        check_lost_work(world, job, row);
        world_trace(world, "%s: attempt %" PRId64 " ends (%s) %s", row->job, row->attempt,
                    reason_names[row->reason], row->detail);
    }
    job->attempt_ended = row->state == ATTEMPT_ENDED;
    job->attempt_state = row->state;
}

static void note_checkpoint(struct world *world, const struct checkpoint_row *row)
{
    struct oracle_job *job = oracle_job(world, row->job);
    if (row->attempt != job->attempt || job->attempt_ended)
        world_violate(
            world, "S1: %s: attempt %" PRId64 " commits step %" PRId64 ", current is %" PRId64 "%s",
            row->job, row->attempt, row->step, job->attempt, job->attempt_ended ? ", ended" : "");
    if (row->step <= job->committed_step)
        world_violate(world, "S6: %s commits step %" PRId64 " after %" PRId64, row->job, row->step,
                      job->committed_step);
    job->committed_step = row->step;
    world->oracle.checkpoints++;
    world_trace(world, "%s: step %" PRId64 " is committed by attempt %" PRId64, row->job, row->step,
                row->attempt);
}

/* A node is lost when nothing was heard of it for W, however the loop paused, or by an operator's word. */
static void note_node(struct world *world, const struct node_row *row)
{
    if (row->state != NODE_LOST)
        return;
    for (size_t i = 0; i < world->host_count; i++) {
        const struct host *host = &world->hosts[i];
        const bool vouched = host->vouched || (host->vouched_ms > 0 &&
                                               world->now_ms < host->vouched_ms + VOUCHED_MS);
        if (strcmp(host->id, row->id) != 0 || vouched)
            continue;
        int64_t since_ms = host->last_received_ms;
        if (since_ms < world->controller.started_ms)
            since_ms = world->controller.started_ms;
        if (row->lost_at_ms == SIM_WALL_ZERO_MS + world->now_ms &&
            world->now_ms - since_ms < world->wait_ms)
            world_violate(world, "S16: %s is lost %" PRId64 " ms after its last sync", host->id,
                          world->now_ms - since_ms);
    }
}

void oracle_note(struct world *world, const struct effects *effects)
{
    for (size_t i = 0; i < effects->count && !world->failed; i++) {
        const struct effect *effect = &effects->items[i];
        if (effect->kind == EFFECT_JOB_INSERT)
            note_job_insert(world, &effect->job);
        else if (effect->kind == EFFECT_JOB_UPDATE || effect->kind == EFFECT_JOB_RESULT)
            note_job(world, &effect->job);
        else if (effect->kind == EFFECT_ATTEMPT_INSERT)
            note_attempt_insert(world, &effect->attempt);
        else if (effect->kind == EFFECT_ATTEMPT_UPDATE)
            note_attempt(world, &effect->attempt);
        else if (effect->kind == EFFECT_CHECKPOINT_INSERT)
            note_checkpoint(world, &effect->checkpoint);
        else if (effect->kind == EFFECT_NODE_PUT)
            note_node(world, &effect->node);
    }
}

/* ---- what an agent may be told */

static uint64_t hash_told(const struct told *told)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    const uint8_t *bytes = (const uint8_t *)told->attempts;
    for (size_t i = 0; i < told->count * sizeof(told->attempts[0]); i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* One revision has one content, also after a restart: an agent that has seen it never misses a change. */
void oracle_desired(struct world *world, int64_t host, const struct told *told)
{
    const uint64_t hash = hash_told(told);
    if (told->revision == world->oracle.desired[host].revision &&
        hash != world->oracle.desired[host].hash)
        world_violate(world, "%s: two desired sets with revision %" PRId64, world->hosts[host].id,
                      told->revision);
    if (told->revision < world->oracle.desired[host].revision)
        world_violate(world, "%s: revision %" PRId64 " after %" PRId64, world->hosts[host].id,
                      told->revision, world->oracle.desired[host].revision);
    world->oracle.desired[host].revision = told->revision;
    world->oracle.desired[host].hash = hash;
}

/* ---- after every event */

static int64_t undisturbed_ms(const struct world *world, int64_t since_ms)
{
    if (since_ms < world->oracle.disturbed_ms)
        since_ms = world->oracle.disturbed_ms;
    return world->now_ms - since_ms;
}

void oracle_check(struct world *world)
{
    const struct controller *controller = &world->controller;
    if (!controller->up || world->now_ms < controller->stalled_until_ms) {
        world->oracle.disturbed_ms = world->now_ms;
        return;
    }
    for (size_t i = 0; i < world->oracle.job_count; i++) {
        const struct oracle_job *job = &world->oracle.jobs[i];
        if (!job->attempt_ended && job->attempt_state == ATTEMPT_PLACED &&
            undisturbed_ms(world, job->placed_at_ms) > world->config.start_limit_ms + SLACK_MS)
            world_violate(world, "S5: %s attempt %" PRId64 " is a partial gang for too long",
                          job->id, job->attempt);
    }
    for (size_t i = 0; i < world->host_count; i++) {
        const struct host *host = &world->hosts[i];
        if (!host->up &&
            undisturbed_ms(world, host->down_since_ms) > DOWN_TERMS_MAX * world->wait_ms &&
            brain_node(controller->brain, host->id)->state != NODE_LOST)
            world_violate(world, "L: %s is down and not lost", host->id);
    }
}

/* ---- at the end */

void oracle_check_end(struct world *world)
{
    struct error err = {.status = STATUS_OK};
    for (size_t i = 0; i < world->client_count; i++) {
        const struct client_job *client = &world->clients[i];
        if (!client->acknowledged) {
            world_violate(world, "L1: client %zu got no answer", i);
            return;
        }
        struct job_view view;
        if (reader_job(store_reader(world->controller.store), client->id, &view, &err) !=
            STATUS_OK) {
            world_violate(world, "S7: acknowledged job %s is missing: %s", client->id, err.text);
            return;
        }
        if (!job_state_is_terminal(view.row.state))
            world_violate(world, "L1: %s is still %s (%s): %s", client->id,
                          job_state_names[view.row.state], reason_names[view.row.reason],
                          view.row.detail);
        if (view.row.state == JOB_SUCCEEDED && view.row.result_attempt != view.row.attempt)
            world_violate(world, "S1: %s succeeded without its own result", client->id);
    }
    struct brain_counts counts;
    brain_count(world->controller.brain, &counts);
    if (counts.slots_held != 0)
        world_violate(world, "L1: %" PRId64 " slots are still held", counts.slots_held);
    if (counts.nodes[NODE_READY] != (int64_t)world->host_count)
        world_violate(world, "L3: only %" PRId64 " of %zu nodes are ready",
                      counts.nodes[NODE_READY], world->host_count);
}
