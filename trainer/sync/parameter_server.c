/*
 * parameter_server.c - the last ranks serve slices of the parameters, the others work (Li et al. 2014),
 * in step: workers push gradients, servers add them in worker order, update, and workers pull.
 *
 * Flags and tail are summed over all ranks, servers too: their words count, and every server must know
 * which rows were touched.
 */

#include <stdlib.h>

#include "trainer/sync/servers.h"

/* Who sends how much to whom: one all_to_all. */
struct plan {
    size_t *send_offset, *send_bytes, *recv_offset, *recv_bytes; /* (world_size) each */
};

struct parameter_server {
    struct servers servers;
    struct plan push, pull;
    size_t *words; /* what the plans are made of */
};

static void parameter_server_close(struct sync *sync)
{
    struct parameter_server *server = (struct parameter_server *)sync;
    if (server == NULL)
        return;
    servers_close(&server->servers);
    free(server->words);
    free(server);
}

static void parameter_server_cleanup(struct parameter_server **server)
{
    parameter_server_close(*server == NULL ? NULL : &(*server)->servers.base.sync);
}

static struct plan take_plan(size_t **words, size_t world)
{
    const struct plan plan = {.send_offset = *words,
                              .send_bytes = *words + world,
                              .recv_offset = *words + 2 * world,
                              .recv_bytes = *words + 3 * world};
    *words += 4 * world;
    return plan;
}

static void plan_worker(struct parameter_server *server)
{
    const struct servers *servers = &server->servers;
    for (int s = 0; s < servers->servers; s++) {
        const size_t first = servers->begins[s] * sizeof(float);
        const size_t bytes = servers->begins[s + 1] * sizeof(float) - first;
        const int rank = servers->workers + s;
        server->push.send_offset[rank] = server->pull.recv_offset[rank] = first;
        server->push.send_bytes[rank] = server->pull.recv_bytes[rank] = bytes;
    }
}

static void plan_server(struct parameter_server *server)
{
    const struct servers *servers = &server->servers;
    const size_t first = servers->base.slices[0].first * sizeof(float);
    const size_t bytes = servers_slice(servers) * sizeof(float);
    for (size_t worker = 0; worker < (size_t)servers->workers; worker++) {
        server->push.recv_offset[worker] = worker * bytes;
        server->push.recv_bytes[worker] = bytes;
        server->pull.send_offset[worker] = first;
        server->pull.send_bytes[worker] = bytes;
    }
}

static enum status parameter_server_open(const struct sync_parts *parts, struct sync **out,
                                         struct error *err)
{
    if (parts->training->staleness > 0)
        return sync_stale_server.open(parts, out, err);
    CLEANUP(parameter_server_cleanup)
    struct parameter_server *server = calloc(1, sizeof(*server));
    if (server == NULL)
        return error_set(err, STATUS_NO_MEMORY, "sync parameter_server: out of memory");
    const size_t world = (size_t)parts->comm->world_size;
    TRY(servers_open(&server->servers, &sync_parameter_server, parts,
                     world - (size_t)parts->training->servers, err));
    server->words = calloc(8 * world, sizeof(*server->words));
    if (server->words == NULL)
        return error_set(err, STATUS_NO_MEMORY, "sync parameter_server: out of memory");
    size_t *words = server->words;
    server->push = take_plan(&words, world);
    server->pull = take_plan(&words, world);
    if (server->servers.serves)
        plan_server(server);
    else
        plan_worker(server);
    *out = &TAKE(server)->servers.base.sync;
    return STATUS_OK;
}

static enum status carry_out(struct comm *comm, const struct plan *plan, void *out,
                             const void *data, struct error *err)
{
    return comm->ops->all_to_all(comm, out, plan->recv_offset, plan->recv_bytes, data,
                                 plan->send_offset, plan->send_bytes, err);
}

/* On a server: from the workers' gradients to new parameters. */
static enum status serve(struct parameter_server *server, struct error *err)
{
    struct servers *servers = &server->servers;
    const struct device *device = &servers->base.parts.device;
    const size_t slice = servers_slice(servers);
    for (size_t worker = 1; worker < (size_t)servers->workers; worker++)
        TRY(device->ops->add(device->compute, servers->inbox, servers->inbox + worker * slice,
                             slice, err));
    TRY(servers_clip(servers, err));
    return sync_base_update(&servers->base, err);
}

static enum status parameter_server_step(struct sync *sync, struct error *err)
{
    struct parameter_server *server = (struct parameter_server *)sync;
    const struct servers *servers = &server->servers;
    const struct sync_parts *parts = &servers->base.parts;
    struct comm *comm = parts->comm;
    TRY(carry_out(comm, &server->push, servers->inbox, parts->gradients, err));
    TRY(comm->ops->all_reduce_sum(comm, parts->gradients + parts->count,
                                  parts->flag_count + SYNC_TAIL, err));
    if (servers->serves)
        TRY(serve(server, err));
    return carry_out(comm, &server->pull, parts->parameters, parts->parameters, err);
}

static enum status parameter_server_settle(struct sync *sync, struct error *err)
{
    struct servers *servers = (struct servers *)sync;
    if (servers->servers == 1)
        return STATUS_OK; /* it has served all there is */
    return servers_spread_parameters(servers, err);
}

const struct sync_ops sync_parameter_server = {
    .mode = "parameter_server",
    .open = parameter_server_open,
    .close = parameter_server_close,
    .prepare = sync_base_prepare,
    .ready = sync_base_ready,
    .step = parameter_server_step,
    .settle = parameter_server_settle,
    .gather_state = servers_gather_state,
    .put_state = sync_base_put_state,
};
