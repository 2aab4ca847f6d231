#include "tests/sim/sim.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* client.c - users that submit, repeat themselves under one key until they are answered, and cancel. */

#define RETRY_MS         2000
#define SUBMIT_MS_MAX    40000
#define CANCEL_MS_MAX    60000
#define CANCEL_PER_MILLE 150

static void submit(struct world *world, int64_t index, int64_t b, void *message)
{
    (void)b;
    (void)message;
    struct client_job *client = &world->clients[index];
    if (client->acknowledged)
        return;
    assert(world->id_count < SIM_IDS_MAX);
    struct client_request request = {.id = ""};
    (void)snprintf(request.id, sizeof(request.id), "job_%04zu", world->id_count);
    memcpy(request.key, client->key, sizeof(request.key));
    memcpy(world->ids[world->id_count].id, request.id, sizeof(request.id));
    world->ids[world->id_count++].client = index;
    network_to_controller(world, -1, controller_hear_submit, index, &request, sizeof(request));
    world_after(world, RETRY_MS, submit, index, 0, NULL);
}

static void cancel(struct world *world, int64_t index, int64_t b, void *message)
{
    (void)b;
    (void)message;
    const struct client_job *client = &world->clients[index];
    if (client->cancel_acknowledged)
        return;
    const char nothing = 0;
    if (client->acknowledged)
        network_to_controller(world, -1, controller_hear_cancel, index, &nothing, sizeof(nothing));
    world_after(world, RETRY_MS, cancel, index, 0, NULL);
}

void client_hear_submit(struct world *world, int64_t host, int64_t index, void *message)
{
    (void)host;
    const struct client_reply *reply = message;
    struct client_job *client = &world->clients[index];
    if (reply->status != STATUS_OK) {
        world_violate(world, "a submit was refused: %s", status_name(reply->status));
        return;
    }
    if (client->acknowledged && strcmp(client->id, reply->id) != 0)
        world_violate(world, "S8: key %s has two jobs: %s and %s", client->key, client->id,
                      reply->id);
    client->acknowledged = true;
    memcpy(client->id, reply->id, sizeof(client->id));
}

/* A job that is not live any more is finished: that answers a cancel, too. */
void client_hear_cancel(struct world *world, int64_t host, int64_t index, void *message)
{
    (void)host;
    const struct client_reply *reply = message;
    if (reply->status == STATUS_OK || reply->status == STATUS_NOT_FOUND)
        world->clients[index].cancel_acknowledged = true;
}

/* No job is larger than the slots with one arithmetic: each can finish once everything is healed. */
static int64_t largest_gang(const struct world *world)
{
    int64_t sky = 0;
    int64_t zen = 0;
    for (size_t i = 0; i < world->host_count; i++) {
        if (world->hosts[i].numerics[0] == 's')
            sky += world->hosts[i].slots;
        else
            zen += world->hosts[i].slots;
    }
    const int64_t most = sky > zen ? sky : zen;
    return most < SIM_RANKS_MAX ? most : SIM_RANKS_MAX;
}

void client_plan(struct world *world)
{
    world->client_count = (size_t)world_draw(world, STREAM_WORK, 1, SIM_JOBS_MAX);
    const int64_t ranks_max = largest_gang(world);
    for (size_t i = 0; i < world->client_count; i++) {
        struct client_job *client = &world->clients[i];
        client->request =
            (struct job_request){.ranks = world_draw(world, STREAM_WORK, 1, ranks_max),
                                 .priority = world_draw(world, STREAM_WORK, 49, 51),
                                 .max_restarts = world_draw(world, STREAM_WORK, 3, 8),
                                 .max_infra_restarts = 200,
                                 .keep_last = world_draw(world, STREAM_WORK, 1, 3),
                                 .fenced = !world_chance(world, STREAM_WORK, 200)};
        if (world_chance(world, STREAM_WORK, 100))
            client->request.time_limit_ms = world_draw(world, STREAM_WORK, 2000, 60000);
        client->request.stop_on_controller_loss = !client->request.fenced;
        client->total_steps = world_draw(world, STREAM_WORK, 10, 300);
        client->every_steps = world_draw(world, STREAM_WORK, 3, 40);
        client->step_ms = world_draw(world, STREAM_WORK, 20, 200);
        client->shards = world_chance(world, STREAM_WORK, 500) ? 1 : SIM_RANKS_MAX;
        (void)snprintf(client->key, sizeof(client->key), "key-%zu", i);
        world_after(world, world_draw(world, STREAM_WORK, 0, SUBMIT_MS_MAX), submit, (int64_t)i, 0,
                    NULL);
        client->wants_cancel = world_chance(world, STREAM_WORK, CANCEL_PER_MILLE);
        if (client->wants_cancel)
            world_after(world, world_draw(world, STREAM_WORK, 0, CANCEL_MS_MAX), cancel, (int64_t)i,
                        0, NULL);
    }
}
