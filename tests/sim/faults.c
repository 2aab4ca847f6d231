#include "tests/sim/sim.h"

#include <string.h>

/*
 * faults.c - what goes wrong, and how often. Each seed switches a random half of the kinds on (a swarm), so
 * that rare combinations are reached; at the end of the safety phase everything is healed.
 */

#define FAULT_MAP(X)                                     \
    X(RANK_KILLED) /* a rank by a signal from outside */ \
    X(RANK_FAILS)  /* a rank by exit 70 */               \
    X(RANK_FAULT)  /* 71, 73 */                          \
    X(RANK_HANGS)                                        \
    X(HOST_DIES)   /* its connections close */           \
    X(HOST_SILENT) /* power loss */                      \
    X(AGENT_DIES)                                        \
    X(CONTROLLER_DIES)                                   \
    X(LOOP_PAUSES)                                       \
    X(CUT_BOTH) /* agent from controller */              \
    X(CUT_UP)                                            \
    X(CUT_DOWN)                                          \
    X(CUT_PEERS) /* two hosts from one another */        \
    X(CUT_ALL)   /* the controller's own network */      \
    X(ISOLATED)  /* a host from everybody */             \
    X(DRAIN)                                             \
    X(OPERATOR_FENCES)

enum fault {
#define X(name) FAULT_##name,
    FAULT_MAP(X) FAULT_COUNT
#undef X
};

typedef void fault_fn(struct world *world, int64_t host);

static int64_t pick_ms(struct world *world, int64_t low_ms, int64_t high_ms)
{
    return world_draw(world, STREAM_FAULTS, low_ms, high_ms);
}

/* A running rank of the host, or -1. */
static int64_t pick_rank(struct world *world, int64_t host)
{
    const int64_t first = pick_ms(world, 0, SIM_LOCALS_MAX - 1);
    for (int64_t i = 0; i < SIM_LOCALS_MAX; i++) {
        const int64_t at = (first + i) % SIM_LOCALS_MAX;
        if (world->hosts[host].locals[at].state == LOCAL_RUNNING)
            return at;
    }
    return -1;
}

static void charge(struct world *world, int64_t host, int64_t local)
{
    const int64_t client = world_client_of(world, world->hosts[host].locals[local].job);
    world->clients[client].charged_faults++;
}

static void rank_killed(struct world *world, int64_t host)
{
    const int64_t local = pick_rank(world, host);
    if (local < 0)
        return;
    charge(world, host, local);
    gang_exit(world, host, local, -1, 9, REASON_NONE);
}

static void rank_fails(struct world *world, int64_t host)
{
    const int64_t local = pick_rank(world, host);
    if (local < 0)
        return;
    charge(world, host, local);
    gang_exit(world, host, local, 70, 0, REASON_NONE);
}

static void rank_fault(struct world *world, int64_t host)
{
    const int64_t local = pick_rank(world, host);
    if (local >= 0)
        gang_exit(world, host, local, world_chance(world, STREAM_FAULTS, 500) ? 71 : 73, 0,
                  REASON_NONE);
}

static void rank_hangs(struct world *world, int64_t host)
{
    const int64_t local = pick_rank(world, host);
    if (local >= 0)
        world->hosts[host].locals[local].hung = true;
}

static void boot(struct world *world, int64_t host, int64_t b, void *message)
{
    (void)b;
    (void)message;
    if (!world->hosts[host].vouched)
        host_boot(world, host);
}

static void host_dies(struct world *world, int64_t host)
{
    host_crash(world, host, false);
    world_after(world, pick_ms(world, 500, 60000), boot, host, 0, NULL);
}

static void host_silent(struct world *world, int64_t host)
{
    host_crash(world, host, true);
    world_after(world, pick_ms(world, 500, 60000), boot, host, 0, NULL);
}

static void agent_again(struct world *world, int64_t host, int64_t b, void *message)
{
    (void)b;
    (void)message;
    agent_start(world, host);
}

static void agent_dies(struct world *world, int64_t host)
{
    agent_crash(world, host);
    world_after(world, pick_ms(world, 50, 20000), agent_again, host, 0, NULL);
}

static void controller_again(struct world *world, int64_t a, int64_t b, void *message)
{
    (void)a;
    (void)b;
    (void)message;
    controller_start(world);
}

static void controller_dies(struct world *world, int64_t host)
{
    (void)host;
    controller_crash(world, "at rest");
    world_after(world, pick_ms(world, 200, 30000), controller_again, 0, 0, NULL);
}

static void loop_pauses(struct world *world, int64_t host)
{
    (void)host;
    struct controller *controller = &world->controller;
    if (!controller->up || world->now_ms < controller->stalled_until_ms)
        return;
    const int64_t pause_ms = pick_ms(world, 100, 10000);
    world_trace(world, "the loop pauses");
    controller->stall_ms += pause_ms;
    controller->stalled_until_ms = world->now_ms + pause_ms;
}

static void mend_network(struct world *world, int64_t host, int64_t b, void *message)
{
    (void)b;
    (void)message;
    world->hosts[host].cut_up = false;
    world->hosts[host].cut_down = false;
    for (size_t i = 0; i < world->host_count; i++) {
        world->peers_cut[host][i] = false;
        world->peers_cut[i][host] = false;
    }
}

static void cut(struct world *world, int64_t host, bool up, bool down)
{
    world->hosts[host].cut_up |= up;
    world->hosts[host].cut_down |= down;
    world_trace(world, "%s: cut%s%s", world->hosts[host].id, up ? " up" : "", down ? " down" : "");
    world_after(world, pick_ms(world, 200, 40000), mend_network, host, 0, NULL);
}

static void cut_both(struct world *world, int64_t host)
{
    cut(world, host, true, true);
}

static void cut_up(struct world *world, int64_t host)
{
    cut(world, host, true, false);
}

static void cut_down(struct world *world, int64_t host)
{
    cut(world, host, false, true);
}

static void cut_pair(struct world *world, int64_t a, int64_t b)
{
    if (a == b)
        return;
    world->peers_cut[a][b] = true;
    world->peers_cut[b][a] = true;
}

static void cut_peers(struct world *world, int64_t host)
{
    cut_pair(world, host, pick_ms(world, 0, (int64_t)world->host_count - 1));
    world_after(world, pick_ms(world, 200, 40000), mend_network, host, 0, NULL);
}

static void cut_all(struct world *world, int64_t host)
{
    (void)host;
    for (size_t i = 0; i < world->host_count; i++)
        cut(world, (int64_t)i, true, true);
}

static void isolated(struct world *world, int64_t host)
{
    for (size_t i = 0; i < world->host_count; i++)
        cut_pair(world, host, (int64_t)i);
    cut(world, host, true, true);
}

static void drain(struct world *world, int64_t host)
{
    const bool drains = world_chance(world, STREAM_FAULTS, 500);
    controller_operate(world, drains ? INPUT_NODE_DRAIN : INPUT_NODE_UNDRAIN, host);
}

/* The operator has pulled the plug and says so; it stays out until the heal. */
static void operator_fences(struct world *world, int64_t host)
{
    if (world->hosts[host].up)
        host_crash(world, host, true);
    world->hosts[host].vouched = true;
    world->hosts[host].vouched_ms = world->now_ms;
    controller_operate(world, INPUT_NODE_FENCE, host);
}

static const struct {
    fault_fn *fn;
    int64_t weight;
} faults[FAULT_COUNT] = {
    [FAULT_RANK_KILLED] = {rank_killed, 6},
    [FAULT_RANK_FAILS] = {rank_fails, 2},
    [FAULT_RANK_FAULT] = {rank_fault, 3},
    [FAULT_RANK_HANGS] = {rank_hangs, 1},
    [FAULT_HOST_DIES] = {host_dies, 4},
    [FAULT_HOST_SILENT] = {host_silent, 4},
    [FAULT_AGENT_DIES] = {agent_dies, 5},
    [FAULT_CONTROLLER_DIES] = {controller_dies, 3},
    [FAULT_LOOP_PAUSES] = {loop_pauses, 2},
    [FAULT_CUT_BOTH] = {cut_both, 4},
    [FAULT_CUT_UP] = {cut_up, 2},
    [FAULT_CUT_DOWN] = {cut_down, 2},
    [FAULT_CUT_PEERS] = {cut_peers, 3},
    [FAULT_CUT_ALL] = {cut_all, 1},
    [FAULT_ISOLATED] = {isolated, 3},
    [FAULT_DRAIN] = {drain, 3},
    [FAULT_OPERATOR_FENCES] = {operator_fences, 1},
};

static void next_fault(struct world *world, int64_t pause_ms, int64_t b, void *message)
{
    (void)b;
    (void)message;
    if (world->healed)
        return;
    int64_t total = 0;
    for (int i = 0; i < FAULT_COUNT; i++)
        total += world->swarm.enabled[i] ? faults[i].weight : 0;
    const int64_t host = pick_ms(world, 0, (int64_t)world->host_count - 1);
    int64_t draw = total == 0 ? 0 : pick_ms(world, 0, total - 1);
    for (int i = 0; i < FAULT_COUNT && total > 0; i++) {
        if (!world->swarm.enabled[i])
            continue;
        if (draw < faults[i].weight) {
            faults[i].fn(world, host);
            break;
        }
        draw -= faults[i].weight;
    }
    world_after(world, pick_ms(world, pause_ms / 10, pause_ms), next_fault, pause_ms, 0, NULL);
}

void faults_plan(struct world *world)
{
    struct swarm *swarm = &world->swarm;
    for (int i = 0; i < FAULT_COUNT; i++)
        swarm->enabled[i] = world_chance(world, STREAM_FAULTS, 500);
    const bool bad_network = world_chance(world, STREAM_FAULTS, 500);
    swarm->loss = bad_network ? pick_ms(world, 0, 100) : 0;
    swarm->repeat = bad_network ? pick_ms(world, 0, 100) : 0;
    swarm->delay_long = bad_network ? pick_ms(world, 0, 50) : 0;
    swarm->crash_commit = world_chance(world, STREAM_FAULTS, 400) ? pick_ms(world, 1, 40) : 0;
    swarm->upload_ms_max = world_chance(world, STREAM_FAULTS, 250) ? 8000 : 200;
    world_after(world, pick_ms(world, 0, 5000), next_fault, pick_ms(world, 500, 20000), 0, NULL);
}

void faults_heal(struct world *world)
{
    world->healed = true;
    memset(&world->swarm, 0, sizeof(world->swarm));
    world->swarm.upload_ms_max = 100;
    memset(world->peers_cut, 0, sizeof(world->peers_cut));
    world->controller.stalled_until_ms = 0;
    controller_start(world);
    for (size_t i = 0; i < world->host_count && !world->failed; i++) {
        struct host *host = &world->hosts[i];
        host->cut_up = false;
        host->cut_down = false;
        host->vouched = false;
        host_boot(world, (int64_t)i);
        agent_start(world, (int64_t)i);
        for (size_t l = 0; l < SIM_LOCALS_MAX; l++)
            host->locals[l].hung = false;
        controller_operate(world, INPUT_NODE_UNDRAIN, (int64_t)i);
    }
    world_trace(world, "everything is healed");
}
