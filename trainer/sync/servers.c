/* servers.c - slices of parameter servers; what is exchanged outside of steps. */
#include "trainer/sync/servers.h"

#include <stdlib.h>

static enum status check_world(const struct sync_parts *parts, struct error *err)
{
    const int64_t servers = parts->training->servers;
    if (servers < 1 || servers >= parts->comm->world_size)
        return error_set(err, STATUS_INVALID,
                         "parameter_server: %lld servers leave no worker or no server of %d ranks",
                         (long long)servers, parts->comm->world_size);
    return STATUS_OK;
}

enum status servers_open(struct servers *servers, const struct sync_ops *ops,
                         const struct sync_parts *parts, size_t inbox_slices, struct error *err)
{
    TRY(check_world(parts, err));
    TRY(sync_base_open(&servers->base, ops, parts, err));
    servers->servers = (int)parts->training->servers;
    servers->workers = parts->comm->world_size - servers->servers;
    servers->serves = parts->comm->rank >= servers->workers;
    servers->begins = calloc((size_t)servers->servers + 1, sizeof(*servers->begins));
    if (servers->begins == NULL)
        return error_set(err, STATUS_NO_MEMORY, "parameter_server: out of memory");
    const size_t lines = parts->count / SYNC_SLICE_FLOATS;
    for (size_t s = 0; s < (size_t)servers->servers; s++)
        servers->begins[s] = lines * s / (size_t)servers->servers * SYNC_SLICE_FLOATS;
    servers->begins[servers->servers] = parts->count;
    servers->base.partial_count = 0;
    for (int s = 0; s < servers->servers; s++)
        servers->base.partial_count += sync_blocks(servers->begins[s + 1] - servers->begins[s]);
    if (!servers->serves)
        return STATUS_OK;
    TRY(sync_base_add_slice(&servers->base, servers->begins[parts->comm->rank - servers->workers],
                            servers_slice(servers), err));
    void *memory = NULL;
    TRY(parts->device.ops->alloc(parts->device.compute,
                                 inbox_slices * servers_slice(servers) * sizeof(float), &memory,
                                 err));
    servers->inbox = memory;
    servers->base.slices[0].gradients = servers->inbox;
    return STATUS_OK;
}

void servers_close(struct servers *servers)
{
    const struct device *device = &servers->base.parts.device;
    if (device->compute != NULL)
        device->ops->release(device->compute, servers->inbox);
    free(servers->begins);
    sync_base_close(&servers->base);
}

size_t servers_slice(const struct servers *servers)
{
    const int index = servers->base.parts.comm->rank - servers->workers;
    return servers->begins[index + 1] - servers->begins[index];
}

/* Each pair of servers, the lower one first: no pair waits for another that waits for it. */
static enum status swap_partials(struct servers *servers, int other, size_t mine, size_t theirs,
                                 struct error *err)
{
    struct comm *comm = servers->base.parts.comm;
    double *partials = servers->base.partials;
    const int index = other - servers->workers;
    const size_t bytes = sync_blocks(servers_slice(servers)) * sizeof(double);
    const size_t their_bytes =
        sync_blocks(servers->begins[index + 1] - servers->begins[index]) * sizeof(double);
    if (comm->rank < other)
        TRY(comm->ops->send(comm, partials + mine, bytes, other, err));
    TRY(comm->ops->recv(comm, partials + theirs, their_bytes, other, err));
    if (comm->rank > other)
        TRY(comm->ops->send(comm, partials + mine, bytes, other, err));
    return STATUS_OK;
}

static size_t partials_before(const struct servers *servers, int index)
{
    size_t before = 0;
    for (int s = 0; s < index; s++)
        before += sync_blocks(servers->begins[s + 1] - servers->begins[s]);
    return before;
}

enum status servers_clip(struct servers *servers, struct error *err)
{
    struct sync_base *base = &servers->base;
    const int own = base->parts.comm->rank - servers->workers;
    const size_t mine = partials_before(servers, own);
    if (base->scale == NULL)
        return STATUS_OK;
    TRY(sync_square_sums(base, &base->slices[0], mine, err));
    for (int s = 0; s < servers->servers; s++) {
        if (s != own)
            TRY(swap_partials(servers, servers->workers + s, mine, partials_before(servers, s),
                              err));
    }
    return sync_clip(base, err);
}

enum status servers_spread_parameters(struct servers *servers, struct error *err)
{
    const struct sync_parts *parts = &servers->base.parts;
    for (int s = 0; s < servers->servers; s++) {
        const size_t first = servers->begins[s];
        TRY(parts->comm->ops->broadcast(parts->comm, parts->parameters + first,
                                        (servers->begins[s + 1] - first) * sizeof(float),
                                        servers->workers + s, err));
    }
    return STATUS_OK;
}

enum status servers_gather_state(struct sync *sync, int index, float *out, struct error *err)
{
    struct servers *servers = (struct servers *)sync;
    struct sync_base *base = &servers->base;
    if (servers->serves)
        return sync_send_state(base, &base->slices[0], index, err);
    if (base->parts.comm->rank != 0)
        return STATUS_OK;
    for (int s = 0; s < servers->servers; s++)
        TRY(sync_receive_state(base, servers->workers + s, servers->begins[s],
                               servers->begins[s + 1] - servers->begins[s], err));
    return sync_download_state(base, out, err);
}
