#include "tests/sim/sim.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * gang.c - what really runs: gangs that step together while all their ranks live and reach each other, ranks that
 * die, hosts that go down and boot.
 */

#define KILL_MS_MAX    20
#define PEER_MS_MAX    20
#define STALL_CHECK_MS 40

int64_t gang_find(struct world *world, const char *job, int64_t attempt)
{
    for (size_t i = world->gang_count; i > 0; i--) {
        const struct gang *gang = &world->gangs[i - 1];
        if (gang->attempt == attempt && strcmp(gang->job, job) == 0)
            return (int64_t)(i - 1);
    }
    return -1;
}

static struct local *member(struct world *world, const struct gang *gang, int64_t rank)
{
    if (gang->host[rank] < 0)
        return NULL;
    struct local *local = &world->hosts[gang->host[rank]].locals[gang->local[rank]];
    const bool same = local->state != LOCAL_NONE && local->attempt == gang->attempt &&
                      local->rank == rank && strcmp(local->job, gang->job) == 0;
    return same ? local : NULL;
}

/* ---- ends */

static void peer_notices(struct world *world, int64_t host_index, int64_t local_index,
                         void *message)
{
    const uint64_t *serial = message;
    const struct local *local = &world->hosts[host_index].locals[local_index];
    if (local->serial == *serial && local->state == LOCAL_RUNNING && !local->hung)
        gang_exit(world, host_index, local_index, 69, 0, REASON_NONE);
}

/* A process that ends closes its sockets: peers that can be reached end with 69. */
static void tell_peers(struct world *world, const struct gang *gang, int64_t from_host)
{
    for (int64_t rank = 0; rank < gang->world_size; rank++) {
        const struct local *local = member(world, gang, rank);
        if (local == NULL || local->state != LOCAL_RUNNING ||
            world->peers_cut[from_host][gang->host[rank]])
            continue;
        world_after(world, world_draw(world, STREAM_HOST, 1, PEER_MS_MAX), peer_notices,
                    gang->host[rank], gang->local[rank],
                    world_copy(&local->serial, sizeof(local->serial)));
    }
}

void gang_exit(struct world *world, int64_t host_index, int64_t local_index, int64_t code,
               int64_t signal, enum reason reason)
{
    struct local *local = &world->hosts[host_index].locals[local_index];
    if (local->state != LOCAL_RUNNING && local->state != LOCAL_STARTING)
        return;
    local->state = LOCAL_EXITED;
    local->exit_code = signal != 0 ? -1 : code;
    local->exit_signal = signal;
    local->exit_reason = reason;
    local->exited_at_ms = world->now_ms;
    world_trace(
        world, "%s: %s attempt %" PRId64 " rank %" PRId64 " ends: code %" PRId64 " signal %" PRId64,
        world->hosts[host_index].id, local->job, local->attempt, local->rank, code, signal);
    if (local->gang >= 0 && code != 0 && code != 75)
        tell_peers(world, &world->gangs[local->gang], host_index);
    agent_news(world, host_index);
}

static void is_killed(struct world *world, int64_t host_index, int64_t local_index, void *message)
{
    const uint64_t *serial = message;
    const struct local *local = &world->hosts[host_index].locals[local_index];
    if (local->serial == *serial)
        gang_exit(world, host_index, local_index, -1, 9, local->dying_of);
}

void gang_kill(struct world *world, int64_t host_index, int64_t local_index, enum reason reason)
{
    struct local *local = &world->hosts[host_index].locals[local_index];
    if (local->dying || (local->state != LOCAL_RUNNING && local->state != LOCAL_STARTING))
        return;
    local->dying = true;
    local->dying_of = reason;
    world_after(world, world_draw(world, STREAM_HOST, 1, KILL_MS_MAX), is_killed, host_index,
                local_index, world_copy(&local->serial, sizeof(local->serial)));
}

/* ---- stepping together */

bool gang_is_stalled(const struct world *world, const struct gang *gang)
{
    for (int64_t a = 0; a < gang->world_size; a++) {
        if (gang->host[a] < 0)
            return true;
        const struct local *local = &world->hosts[gang->host[a]].locals[gang->local[a]];
        if (local->state != LOCAL_RUNNING || local->attempt != gang->attempt || local->rank != a ||
            strcmp(local->job, gang->job) != 0 || local->hung)
            return true;
        for (int64_t b = 0; b < a; b++) {
            if (world->peers_cut[gang->host[a]][gang->host[b]])
                return true;
        }
    }
    return false;
}

static void take_snapshot(struct world *world, int64_t index)
{
    struct gang *gang = &world->gangs[index];
    const int64_t of = world->clients[gang->client].shards < gang->world_size
                           ? world->clients[gang->client].shards
                           : gang->world_size;
    gang->uploading = of;
    gang->snapshot_step = gang->step;
    for (int64_t shard = 0; shard < of; shard++) {
        struct upload upload = {.kind = UPLOAD_SHARD,
                                .attempt = gang->attempt,
                                .step = gang->step,
                                .shard = shard,
                                .of = of,
                                .gang = index};
        memcpy(upload.job, gang->job, sizeof(upload.job));
        agent_add_upload(world, gang->host[shard], &upload);
    }
}

void gang_ack_shard(struct world *world, int64_t index, int64_t step)
{
    struct gang *gang = &world->gangs[index];
    if (step != gang->snapshot_step || gang->uploading == 0 || --gang->uploading > 0)
        return;
    gang->acked_at_step = gang->step;
    gang->acked_snapshot = gang->snapshot_step;
}

void gang_stop(struct world *world, int64_t index)
{
    if (index >= 0)
        world->gangs[index].stop = true;
}

static void end_all(struct world *world, struct gang *gang, int64_t code)
{
    gang->finished = true;
    for (int64_t rank = 0; rank < gang->world_size; rank++)
        gang_exit(world, gang->host[rank], gang->local[rank], code, 0, REASON_NONE);
}

static void finish(struct world *world, int64_t index)
{
    struct gang *gang = &world->gangs[index];
    struct upload upload = {.kind = UPLOAD_RESULT, .attempt = gang->attempt, .gang = index};
    memcpy(upload.job, gang->job, sizeof(upload.job));
    agent_add_upload(world, gang->host[0], &upload);
    end_all(world, gang, 0);
}

static void do_step(struct world *world, int64_t index)
{
    struct gang *gang = &world->gangs[index];
    const struct client_job *client = &world->clients[gang->client];
    if (world->now_ms - gang->last_step_ms > gang->longest_wait_ms)
        gang->longest_wait_ms = world->now_ms - gang->last_step_ms;
    gang->step++;
    gang->last_step_ms = world->now_ms;
    if (!gang->first_step_told) {
        gang->first_step_told = true;
        network_to_controller(world, gang->host[0], controller_hear_first_step, gang->attempt,
                              gang->job, sizeof(gang->job));
    }
    if (gang->step >= client->total_steps) {
        finish(world, index);
    } else if (gang->stop) {
        take_snapshot(world, index);
        end_all(world, gang, 75);
    } else if (gang->step % client->every_steps == 0 && gang->uploading == 0) {
        take_snapshot(world, index);
    }
}

/* Waiting longer than the hang limit: the stuck rank's runner names it; else the collective gives up. */
static void give_up(struct world *world, struct gang *gang)
{
    bool named = false;
    for (int64_t rank = 0; rank < gang->world_size; rank++) {
        const struct local *local = member(world, gang, rank);
        if (local != NULL && local->state == LOCAL_RUNNING && local->hung) {
            named = true;
            world->clients[gang->client].charged_faults++;
            gang_exit(world, gang->host[rank], gang->local[rank], -1, 9, REASON_HANG);
        }
    }
    for (int64_t rank = 0; rank < gang->world_size && !named; rank++) {
        const struct local *local = member(world, gang, rank);
        if (local != NULL && local->state == LOCAL_RUNNING)
            gang_exit(world, gang->host[rank], gang->local[rank], 69, 0, REASON_NONE);
    }
}

static bool anybody_runs(struct world *world, const struct gang *gang)
{
    for (int64_t rank = 0; rank < gang->world_size; rank++) {
        const struct local *local = member(world, gang, rank);
        if (local != NULL && local->state == LOCAL_RUNNING)
            return true;
    }
    return false;
}

static void step_together(struct world *world, int64_t index, int64_t b, void *message)
{
    (void)b;
    (void)message;
    struct gang *gang = &world->gangs[index];
    if (gang->finished || !anybody_runs(world, gang)) {
        gang->stepping = false;
        return;
    }
    int64_t next_ms = world->clients[gang->client].step_ms;
    if (!gang_is_stalled(world, gang)) {
        do_step(world, index);
    } else {
        next_ms = STALL_CHECK_MS;
        if (world->now_ms - gang->last_step_ms > SIM_HANG_MS)
            give_up(world, gang);
    }
    world_after(world, next_ms, step_together, index, 0, NULL);
}

static bool all_joined(const struct gang *gang)
{
    for (int64_t rank = 0; rank < gang->world_size; rank++) {
        if (gang->host[rank] < 0)
            return false;
    }
    return true;
}

int64_t gang_join(struct world *world, int64_t host_index, int64_t local_index,
                  const struct told_attempt *told)
{
    int64_t index = gang_find(world, told->job, told->attempt);
    if (index < 0) {
        assert(world->gang_count < SIM_GANGS_MAX);
        index = (int64_t)world->gang_count++;
        struct gang *fresh = &world->gangs[index];
        memcpy(fresh->job, told->job, sizeof(fresh->job));
        fresh->attempt = told->attempt;
        fresh->client = world_client_of(world, told->job);
        fresh->world_size = told->world_size;
        fresh->step = told->resume_step;
        fresh->resume_step = told->resume_step;
        fresh->acked_at_step = told->resume_step;
        fresh->acked_snapshot = told->resume_step;
        for (int64_t i = 0; i < SIM_RANKS_MAX; i++)
            fresh->host[i] = -1;
    }
    struct gang *gang = &world->gangs[index];
    const int64_t rank = world->hosts[host_index].locals[local_index].rank;
    gang->host[rank] = host_index;
    gang->local[rank] = local_index;
    world_trace(world, "%s: %s attempt %" PRId64 " rank %" PRId64 " is up, from step %" PRId64,
                world->hosts[host_index].id, told->job, told->attempt, rank, gang->resume_step);
    oracle_rank_up(world, told->job, told->attempt);
    if (!gang->stepping && !gang->finished && all_joined(gang)) {
        gang->stepping = true; /* the rendezvous is complete */
        gang->last_step_ms = world->now_ms;
        world_after(world, world->clients[gang->client].step_ms, step_together, index, 0, NULL);
    }
    return index;
}

/* ---- hosts */

void host_crash(struct world *world, int64_t host_index, bool silent)
{
    struct host *host = &world->hosts[host_index];
    if (!host->up)
        return;
    world_trace(world, "%s: host dies%s", host->id, silent ? " silently" : "");
    if (!silent)
        agent_crash(world, host_index);
    host->up = false;
    host->agent_up = false;
    host->down_since_ms = world->now_ms;
    host->lease_until_ms = -1;
    memset(host->uploads, 0, sizeof(host->uploads));
    for (size_t i = 0; i < SIM_LOCALS_MAX; i++) {
        struct local *local = &host->locals[i];
        const bool ran = local->state == LOCAL_RUNNING && local->gang >= 0;
        const int64_t gang = local->gang;
        local->state = LOCAL_NONE;
        local->serial = 0;
        if (ran && !silent)
            tell_peers(world, &world->gangs[gang], host_index);
    }
}

void host_boot(struct world *world, int64_t host_index)
{
    struct host *host = &world->hosts[host_index];
    if (host->up)
        return;
    host->up = true;
    host->boot++;
    world_trace(world, "%s: host boots", host->id);
    agent_start(world, host_index);
}
