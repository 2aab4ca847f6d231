#include "tests/sim/sim.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/*
 * agent.c - an agent that follows the level-triggered protocol: it says what it observes, is told what
 * should be, and makes the host match. Its disk (locals, uploads) outlives it; the host's processes do, too.
 */

#define START_MS_MAX    300
#define UPLOAD_RETRY_MS 700
#define LEASE_CHECK_MS  50
#define ADOPT_MS_MAX    400

static void send_sync(struct world *world, int64_t host_index, bool news);

static struct host *living(struct world *world, int64_t host_index, uint64_t agent)
{
    struct host *host = &world->hosts[host_index];
    return host->up && host->agent_up && host->agent == agent ? host : NULL;
}

/* ---- saying what is */

static struct seen_rank see(const struct world *world, const struct host *host,
                            const struct local *local)
{
    struct seen_rank seen = {.attempt = local->attempt, .rank = local->rank, .pid = local->pid};
    memcpy(seen.job, local->job, sizeof(seen.job));
    seen.verdict = VERDICT_UNKNOWN;
    if (local->gang >= 0) {
        const struct gang *gang = &world->gangs[local->gang];
        seen.step = gang->step;
        if (local->state == LOCAL_RUNNING && gang->stepping) {
            seen.collective = gang->step + 1;
            if (!local->hung)
                seen.waiting_ms = world->now_ms - gang->last_step_ms;
        }
    }
    if (local->state == LOCAL_RUNNING && world->now_ms >= host->adopt_until_ms)
        seen.verdict = VERDICT_ALIVE;
    if (local->state == LOCAL_EXITED) {
        seen.verdict = VERDICT_DEAD;
        seen.exited = true;
        seen.exit_code = local->exit_code;
        seen.exit_signal = local->exit_signal;
        seen.exit_reason = local->exit_reason;
        seen.exit_age_ms = world->now_ms - local->exited_at_ms;
    }
    return seen;
}

static void sync_timed_out(struct world *world, int64_t host_index, int64_t seq, void *message)
{
    const uint64_t *agent = message;
    struct host *host = living(world, host_index, *agent);
    if (host != NULL && host->outstanding == seq)
        send_sync(world, host_index, false);
}

static void send_sync(struct world *world, int64_t host_index, bool news)
{
    struct host *host = &world->hosts[host_index];
    struct sync_message message = {.session = host->session,
                                   .seq = ++host->seq,
                                   .revision_seen = host->told.revision,
                                   .boot = host->boot,
                                   .agent = host->agent,
                                   .news = news};
    for (size_t i = 0; i < SIM_LOCALS_MAX; i++) {
        if (host->locals[i].state != LOCAL_NONE)
            message.ranks[message.count++] = see(world, host, &host->locals[i]);
    }
    host->outstanding = message.seq;
    host->sent_at_ms[0] = world->now_ms;
    network_to_controller(world, host_index, controller_hear_sync, 0, &message, sizeof(message));
    world_after(world, world->profile->heartbeat_ms * 2, sync_timed_out, host_index, message.seq,
                world_copy(&host->agent, sizeof(host->agent)));
}

void agent_news(struct world *world, int64_t host_index)
{
    const struct host *host = &world->hosts[host_index];
    if (host->up && host->agent_up)
        send_sync(world, host_index, true);
}

/* ---- making it so */

static const struct told_attempt *find_told(const struct host *host, const struct local *local)
{
    for (size_t i = 0; i < host->told.count; i++) {
        const struct told_attempt *told = &host->told.attempts[i];
        if (told->attempt == local->attempt && strcmp(told->job, local->job) == 0)
            return told;
    }
    return NULL;
}

static void term_is_over(struct world *world, int64_t host_index, int64_t local_index,
                         void *message)
{
    const uint64_t *serial = message;
    const struct local *local = &world->hosts[host_index].locals[local_index];
    if (local->serial == *serial && local->state == LOCAL_RUNNING)
        gang_kill(world, host_index, local_index, REASON_NONE);
}

static void stop_local(struct world *world, int64_t host_index, size_t index)
{
    struct local *local = &world->hosts[host_index].locals[index];
    if (local->state == LOCAL_STARTING) {
        gang_exit(world, host_index, (int64_t)index, 75, 0, REASON_NONE);
    } else if (local->state == LOCAL_RUNNING && local->term_at_ms < 0) {
        local->term_at_ms = world->now_ms;
        gang_stop(world, local->gang);
        world_after(world, world->config.grace_ms, term_is_over, host_index, (int64_t)index,
                    world_copy(&local->serial, sizeof(local->serial)));
    }
}

static void match_locals(struct world *world, int64_t host_index)
{
    struct host *host = &world->hosts[host_index];
    for (size_t i = 0; i < SIM_LOCALS_MAX; i++) {
        struct local *local = &host->locals[i];
        if (local->state == LOCAL_NONE)
            continue;
        const struct told_attempt *told = find_told(host, local);
        if (told == NULL && local->state == LOCAL_EXITED)
            local->state = LOCAL_NONE;
        else if (told == NULL || told->kill)
            gang_kill(world, host_index, (int64_t)i, REASON_NONE);
        else if (told->stop)
            stop_local(world, host_index, i);
    }
}

static bool slot_is_busy(const struct host *host, const char *slot)
{
    for (size_t i = 0; i < SIM_LOCALS_MAX; i++) {
        const struct local *local = &host->locals[i];
        if ((local->state == LOCAL_STARTING || local->state == LOCAL_RUNNING) &&
            strcmp(local->slot, slot) == 0)
            return true;
    }
    return false;
}

/* A rank is never started twice in one attempt, not even after a reboot. */
static bool is_known(const struct world *world, const struct host *host,
                     const struct told_attempt *told, int64_t rank)
{
    return host->started[world_client_of(world, told->job)][rank] >= told->attempt;
}

static void rank_is_up(struct world *world, int64_t host_index, int64_t local_index, void *message)
{
    const uint64_t *serial = message;
    struct host *host = &world->hosts[host_index];
    struct local *local = &host->locals[local_index];
    if (local->serial != *serial || local->state != LOCAL_STARTING)
        return;
    const struct told_attempt *told = find_told(host, local);
    if (!host->agent_up) { /* the intent is on disk, and nothing else: the next agent says so */
        gang_exit(world, host_index, local_index, -1, 0, REASON_RUNNER_LOST);
        return;
    }
    if (told == NULL || told->stop) {
        local->state = LOCAL_NONE;
        return;
    }
    local->state = LOCAL_RUNNING;
    local->pid = (int64_t)*serial;
    local->gang = gang_join(world, host_index, local_index, told);
    agent_news(world, host_index);
}

static void start_rank(struct world *world, int64_t host_index, const struct told_attempt *told,
                       const struct told_rank *rank)
{
    struct host *host = &world->hosts[host_index];
    for (int64_t i = 0; i < SIM_LOCALS_MAX; i++) {
        struct local *local = &host->locals[i];
        if (local->state != LOCAL_NONE)
            continue;
        *local = (struct local){.state = LOCAL_STARTING,
                                .attempt = told->attempt,
                                .rank = rank->rank,
                                .gang = -1,
                                .serial = ++world->serials,
                                .term_at_ms = -1};
        memcpy(local->job, told->job, sizeof(local->job));
        memcpy(local->slot, rank->slot, sizeof(local->slot));
        const int64_t client = world_client_of(world, told->job);
        local->fenced_job = world->clients[client].request.fenced;
        host->started[client][rank->rank] = told->attempt;
        world_after(world, world_draw(world, STREAM_HOST, 1, START_MS_MAX), rank_is_up, host_index,
                    i, world_copy(&local->serial, sizeof(local->serial)));
        return;
    }
    world_violate(world, "%s: no room for another rank", host->id);
}

/* A rank starts only when its slot's former rank is gone: asked again with each change. */
static void start_wanted(struct world *world, int64_t host_index)
{
    struct host *host = &world->hosts[host_index];
    for (size_t i = 0; i < host->told.count; i++) {
        const struct told_attempt *told = &host->told.attempts[i];
        for (size_t r = 0; r < told->rank_count && !told->stop; r++) {
            if (!is_known(world, host, told, told->ranks[r].rank) &&
                !slot_is_busy(host, told->ranks[r].slot))
                start_rank(world, host_index, told, &told->ranks[r]);
        }
    }
}

static void sync_again(struct world *world, int64_t host_index, int64_t seq, void *message)
{
    const uint64_t *agent = message;
    const struct host *host = living(world, host_index, *agent);
    if (host != NULL && host->outstanding == seq)
        send_sync(world, host_index, false);
}

void agent_hear_answer(struct world *world, int64_t host_index, int64_t b, void *message)
{
    (void)b;
    const struct answer_message *answer = message;
    struct host *host = living(world, host_index, answer->agent);
    if (host == NULL || answer->seq != host->outstanding)
        return;
    host->outstanding = 0; /* a request has one answer: copies of it say nothing */
    if (answer->stale) {
        host->session = 0;
    } else {
        host->session = answer->session;
        host->lease_until_ms = host->sent_at_ms[0] + world->profile->ttl_ms;
        if (answer->has_desired)
            host->told = answer->told;
        match_locals(world, host_index);
        start_wanted(world, host_index);
    }
    if (host->outstanding == 0)
        world_after(world, 1, sync_again, host_index, 0,
                    world_copy(&host->agent, sizeof(host->agent)));
}

/* ---- uploads */

static void try_upload(struct world *world, int64_t host_index, int64_t index, void *message)
{
    const uint64_t *number = message;
    struct host *host = &world->hosts[host_index];
    const struct upload *upload = &host->uploads[index];
    if (!upload->used || upload->number != *number)
        return;
    if (host->up && host->agent_up)
        network_to_controller(world, host_index, controller_hear_upload, 0, upload,
                              sizeof(*upload));
    world_after(world, UPLOAD_RETRY_MS, try_upload, host_index, index,
                world_copy(number, sizeof(*number)));
}

void agent_add_upload(struct world *world, int64_t host_index, const struct upload *wanted)
{
    struct host *host = &world->hosts[host_index];
    for (int64_t i = 0; i < SIM_UPLOADS_MAX; i++) {
        struct upload *upload = &host->uploads[i];
        if (upload->used)
            continue;
        *upload = *wanted;
        upload->used = true;
        upload->number = ++world->serials;
        world_after(world, world_draw(world, STREAM_HOST, 1, world->swarm.upload_ms_max),
                    try_upload, host_index, i, world_copy(&upload->number, sizeof(upload->number)));
        return;
    }
    world_violate(world, "%s: no room for another upload", host->id);
}

void agent_hear_upload(struct world *world, int64_t host_index, int64_t b, void *message)
{
    (void)b;
    const struct upload_reply *reply = message;
    struct host *host = &world->hosts[host_index];
    for (size_t i = 0; i < SIM_UPLOADS_MAX; i++) {
        struct upload *upload = &host->uploads[i];
        if (!upload->used || upload->number != reply->number || !host->up || !host->agent_up)
            continue;
        if (reply->status != STATUS_OK && reply->status != STATUS_CONFLICT &&
            reply->status != STATUS_NOT_FOUND)
            return;
        upload->used = false;
        if (upload->kind == UPLOAD_SHARD && reply->status == STATUS_OK)
            gang_ack_shard(world, upload->gang, upload->step);
    }
}

/* ---- life */

/* The lease timer is the runner's: it works without an agent. */
static void check_lease(struct world *world, int64_t host_index, int64_t boot, void *message)
{
    (void)message;
    struct host *host = &world->hosts[host_index];
    if (!host->up || host->boot != boot)
        return;
    for (size_t i = 0; i < SIM_LOCALS_MAX && world->now_ms >= host->lease_until_ms; i++) {
        const struct local *local = &host->locals[i];
        if (local->state == LOCAL_RUNNING && !local->fenced_job)
            gang_kill(world, host_index, (int64_t)i, REASON_NODE_LOST);
    }
    world_after(world, LEASE_CHECK_MS, check_lease, host_index, boot, NULL);
}

void agent_start(struct world *world, int64_t host_index)
{
    struct host *host = &world->hosts[host_index];
    if (!host->up || host->agent_up)
        return;
    const bool booted = host->lease_until_ms < 0;
    host->agent_up = true;
    host->agent = ++world->serials;
    host->session = 0;
    host->seq = 0;
    memset(&host->told, 0, sizeof(host->told));
    host->adopt_until_ms = world->now_ms + world_draw(world, STREAM_HOST, 0, ADOPT_MS_MAX);
    if (booted) {
        host->lease_until_ms = world->now_ms;
        check_lease(world, host_index, host->boot, NULL);
    }
    send_sync(world, host_index, false);
}

void agent_crash(struct world *world, int64_t host_index)
{
    struct host *host = &world->hosts[host_index];
    if (!host->agent_up)
        return;
    host->agent_up = false;
    world_trace(world, "%s: agent dies", host->id);
    /* Its kernel closes the connection; what it had not forked yet never starts. */
    const char nothing = 0;
    if (host->up)
        network_to_controller(world, host_index, controller_hear_disconnect, host->session,
                              &nothing, sizeof(nothing));
}
