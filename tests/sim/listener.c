#include "tests/sim/sim.h"

#include <assert.h>
#include <string.h>

/*
 * listener.c - the agents' listener: sessions, receipt times, and syncs that are held until the desired
 * revision moves or the heartbeat is due. All of it is memory; a restart forgets it.
 */

static void answer(struct world *world, int64_t host, int64_t seq, uint64_t agent, int64_t seen)
{
    const struct listener *listener = &world->controller.listeners[host];
    struct answer_message message = {.session = listener->session, .seq = seq, .agent = agent};
    message.has_desired = listener->told.revision != seen;
    message.told = listener->told;
    network_to_host(world, host, agent_hear_answer, 0, &message, sizeof(message));
}

static void release(struct world *world, int64_t host)
{
    struct listener *listener = &world->controller.listeners[host];
    if (!listener->held)
        return;
    listener->held = false;
    answer(world, host, listener->held_seq, listener->held_agent, listener->held_seen);
}

static void hold_is_over(struct world *world, int64_t host, int64_t hold, void *message)
{
    (void)message;
    const struct controller *controller = &world->controller;
    if (controller->up && controller->listeners[host].hold == (uint64_t)hold)
        release(world, host);
}

static void hold(struct world *world, int64_t host, const struct sync_message *message)
{
    struct listener *listener = &world->controller.listeners[host];
    release(world, host);
    listener->held = true;
    listener->hold = ++world->controller.holds;
    listener->held_seq = message->seq;
    listener->held_seen = message->revision_seen;
    listener->held_agent = message->agent;
    world_after(world, world->profile->heartbeat_ms, hold_is_over, host, (int64_t)listener->hold,
                NULL);
}

struct telling {
    struct told *told;
};

static void tell(void *context, const struct desired_attempt *desired)
{
    struct told *told = ((struct telling *)context)->told;
    assert(told->count < SIM_DESIRED_MAX);
    struct told_attempt *out = &told->attempts[told->count++];
    memcpy(out->job, desired->job->id, sizeof(out->job));
    out->attempt = desired->attempt->attempt;
    out->world_size = desired->attempt->world_size;
    out->resume_step = desired->attempt->resume_step;
    out->stop = desired->stop;
    out->kill = desired->kill;
    for (size_t i = 0; i < desired->rank_count; i++) {
        out->ranks[out->rank_count].rank = desired->ranks[i]->rank;
        memcpy(out->ranks[out->rank_count].slot, desired->ranks[i]->slot, BRAIN_SLOT_BYTES);
        out->rank_count++;
    }
}

void listener_publish(struct world *world, int64_t host)
{
    struct listener *listener = &world->controller.listeners[host];
    memset(&listener->told, 0, sizeof(listener->told));
    struct telling telling = {.told = &listener->told};
    listener->told.revision =
        brain_desired(world->controller.brain, world->hosts[host].id, tell, &telling);
    oracle_desired(world, host, &listener->told);
    if (listener->held && listener->held_seen != listener->told.revision)
        release(world, host);
}

void listener_hear(struct world *world, int64_t host, const struct sync_message *message)
{
    struct listener *listener = &world->controller.listeners[host];
    int64_t session = message->session;
    if (session == 0)
        session = listener->session + 1 > world->now_ms + SIM_WALL_ZERO_MS
                      ? listener->session + 1
                      : world->now_ms + SIM_WALL_ZERO_MS;
    if (session < listener->session) {
        struct answer_message stale = {
            .session = session, .seq = message->seq, .agent = message->agent, .stale = true};
        network_to_host(world, host, agent_hear_answer, 0, &stale, sizeof(stale));
        return;
    }
    if (session > listener->session) {
        listener->session = session;
        listener->seq = 0;
    }
    if (message->seq > listener->seq)
        world->hosts[host].last_received_ms = world->now_ms;
    struct queued item = {.input = {.kind = INPUT_NODE_SYNC}, .origin = host};
    item.sync = world_copy(message, sizeof(*message));
    item.sync->session = session;
    item.input.sync.received_boot_ms = world->now_ms;
    controller_enqueue(world, &item);
    if (message->seq <= listener->seq)
        return;
    listener->seq = message->seq;
    if (message->news || message->revision_seen != listener->told.revision) {
        release(world, host);
        answer(world, host, message->seq, message->agent, message->revision_seen);
    } else {
        hold(world, host, message);
    }
}
