#include "tests/sim/sim.h"

#define DELAY_MS_MAX      5
#define DELAY_LONG_MS_MAX 4000

/* Lost, repeated, late and therefore reordered: as the seed's swarm says. */
static void carry(struct world *world, event_fn *fn, int64_t a, int64_t b, const void *message,
                  size_t size)
{
    const int64_t copies = world_chance(world, STREAM_NETWORK, world->swarm.repeat) ? 2 : 1;
    const bool lost = world_chance(world, STREAM_NETWORK, world->swarm.loss);
    for (int64_t i = 0; i < copies; i++) {
        const bool slow = world_chance(world, STREAM_NETWORK, world->swarm.delay_long);
        const int64_t delay_ms =
            world_draw(world, STREAM_NETWORK, 0, slow ? DELAY_LONG_MS_MAX : DELAY_MS_MAX);
        if (!lost)
            world_after(world, delay_ms, fn, a, b, world_copy(message, size));
    }
}

void network_to_controller(struct world *world, int64_t host, event_fn *fn, int64_t b,
                           const void *message, size_t size)
{
    if (host < 0 || !world->hosts[host].cut_up)
        carry(world, fn, host, b, message, size);
}

void network_to_host(struct world *world, int64_t host, event_fn *fn, int64_t b,
                     const void *message, size_t size)
{
    if (host < 0 || !world->hosts[host].cut_down)
        carry(world, fn, host, b, message, size);
}
