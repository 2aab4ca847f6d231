#include "tests/sim/sim.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

void world_after(struct world *world, int64_t delay_ms, event_fn *fn, int64_t a, int64_t b,
                 void *message)
{
    assert(delay_ms >= 0);
    if (world->heap_count == world->heap_capacity) {
        world->heap_capacity = world->heap_capacity == 0 ? 256 : world->heap_capacity * 2;
        world->heap = reallocarray(world->heap, world->heap_capacity, sizeof(*world->heap));
        assert(world->heap != NULL);
    }
    struct event event = {.at_ms = world->now_ms + delay_ms,
                          .order = ++world->orders,
                          .fn = fn,
                          .a = a,
                          .b = b,
                          .message = message};
    size_t at = world->heap_count++;
    while (at > 0 && is_before(&event, &world->heap[(at - 1) / 2])) {
        world->heap[at] = world->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    world->heap[at] = event;
}

static struct event take_first(struct world *world)
{
    const struct event first = world->heap[0];
    const struct event last = world->heap[--world->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= world->heap_count)
            break;
        if (child + 1 < world->heap_count &&
            is_before(&world->heap[child + 1], &world->heap[child]))
            child++;
        if (!is_before(&world->heap[child], &last))
            break;
        world->heap[at] = world->heap[child];
        at = child;
    }
    world->heap[at] = last;
    return first;
}

void *world_copy(const void *message, size_t size)
{
    void *copy = malloc(size);
    assert(copy != NULL);
    memcpy(copy, message, size);
    return copy;
}

int64_t world_draw(struct world *world, enum stream stream, int64_t low, int64_t high)
{
    assert(low <= high);
    const uint64_t random = splitmix64_next(&world->streams[stream]);
    return low + (int64_t)(random % (uint64_t)(high - low + 1));
}

bool world_chance(struct world *world, enum stream stream, int64_t per_mille)
{
    return world_draw(world, stream, 0, 999) < per_mille;
}

/* The trace is hashed even when nobody reads it: two runs of a seed must not differ in a word. */
void world_trace(struct world *world, const char *fmt, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, arguments);
    va_end(arguments);
    world->digest ^= (uint64_t)world->now_ms;
    for (const char *c = line; *c != '\0'; c++)
        world->digest = (world->digest ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
    if (world->trace)
        printf("%8" PRId64 "  %s\n", world->now_ms, line);
}

void world_violate(struct world *world, const char *fmt, ...)
{
    if (world->failed)
        return;
    world->failed = true;
    va_list arguments;
    va_start(arguments, fmt);
    (void)vsnprintf(world->why, sizeof(world->why), fmt, arguments);
    va_end(arguments);
    world_trace(world, "VIOLATION %s", world->why);
}

int64_t world_client_of(const struct world *world, const char *job)
{
    for (size_t i = 0; i < world->id_count; i++) {
        if (strcmp(world->ids[i].id, job) == 0)
            return world->ids[i].client;
    }
    return -1;
}

bool world_run(struct world *world, int64_t until_ms)
{
    while (!world->failed && world->heap_count > 0 && world->heap[0].at_ms <= until_ms) {
        const struct event event = take_first(world);
        world->now_ms = event.at_ms;
        event.fn(world, event.a, event.b, event.message);
        free(event.message);
        if (!world->failed)
            oracle_check(world);
    }
    if (!world->failed && world->now_ms < until_ms)
        world->now_ms = until_ms;
    return !world->failed;
}

/* ---- what a seed means */

static void plan_hosts(struct world *world)
{
    world->host_count = (size_t)world_draw(world, STREAM_WORK, 1, SIM_NODES_MAX);
    const bool mixed = world_chance(world, STREAM_WORK, 200);
    for (size_t i = 0; i < world->host_count; i++) {
        struct host *host = &world->hosts[i];
        (void)snprintf(host->id, sizeof(host->id), "node_%zu", i);
        const bool other = mixed && world_chance(world, STREAM_WORK, 400);
        (void)snprintf(host->numerics, sizeof(host->numerics), "%s", other ? "zen" : "sky");
        host->slots = world_draw(world, STREAM_WORK, 1, SIM_SLOTS_MAX);
        host->up = true;
        host->boot = 1;
        host->lease_until_ms = -1;
    }
}

void world_init(struct world *world, uint64_t seed, bool trace)
{
    memset(world, 0, sizeof(*world));
    world->seed = seed;
    world->trace = trace;
    for (int i = 0; i < STREAM_COUNT; i++) {
        uint64_t mix = seed * 1000003 + (uint64_t)i;
        world->streams[i] = splitmix64_next(&mix);
    }
    world->now_ms = 1000;
    world->digest = seed;
    world->gangs = calloc(SIM_GANGS_MAX, sizeof(*world->gangs));
    assert(world->gangs != NULL);
    world->profile = &brain_profiles[world_chance(world, STREAM_WORK, 800) ? 1 : 0];
    world->wait_ms = brain_profile_wait_ms(world->profile);
    world->config = (struct brain_config){.profile = world->profile,
                                          .seed = seed,
                                          .start_limit_ms = 10000,
                                          .no_result_ms = 10000,
                                          .numerics_wait_ms = 8000,
                                          .grace_ms = 3000,
                                          .amend_ms = 2000,
                                          .jobs_live_max = 100};
    plan_hosts(world);
    client_plan(world);
    controller_open(world);
    for (size_t i = 0; i < world->host_count; i++)
        agent_start(world, (int64_t)i);
    faults_plan(world);
}

void world_clear(struct world *world)
{
    controller_close(world);
    for (size_t i = 0; i < world->heap_count; i++)
        free(world->heap[i].message);
    free(world->heap);
    free(world->gangs);
}
