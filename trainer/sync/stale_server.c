/*
 * stale_server.c - parameter servers with bounded asynchrony (Ho et al. 2013): a worker may be up to
 * `staleness` steps ahead of the slowest.
 *
 * A clock is one step of all workers. A server applies a clock when every worker has pushed it, the
 * gradients added in worker order: so there are as many updates as steps, whatever the staleness, and
 * what depends on timing is only how old the parameters are that a gradient was computed from. At the
 * end of step t a worker gets the newest parameters there are, once clock t - staleness is among them.
 *
 * On the wire. For each step and server a worker sends an empty message and then its gradients; when
 * all servers have them, for each server an empty message, upon which parameters come. A server
 * receives empty messages from any worker; what follows is known from that worker's last one.
 *
 * Nobody waits in a circle. A server sends only to a worker that waits for it; servers wait for each
 * other at a clock which all workers have pushed to the first of them, and workers push to the next
 * server before they want anything. At most staleness + 1 pushes of a worker are not applied.
 */

#include <assert.h>
#include <stdlib.h>

#include "trainer/sync/servers.h"

#define STALENESS_MAX 64

/* What a server knows of a worker. */
struct worker {
    int64_t pushed; /* clocks */
    int64_t pulled; /* clocks after which it got parameters */
    bool waits;     /* wants parameters, of an update that is still to come */
};

struct stale_server {
    struct servers servers;
    int64_t staleness;
    int64_t clock;          /* steps done by this rank; on a server: clocks applied */
    struct worker *workers; /* (workers) */
    float *sides;           /* device (workers, staleness + 1, side): flags and tail of each push */
    float *tails;           /* device (staleness + 1, SYNC_TAIL): sums of the last clocks */
    float *theirs;          /* device (SYNC_TAIL): another server's words */
};

static void stale_server_close(struct sync *sync)
{
    struct stale_server *server = (struct stale_server *)sync;
    if (server == NULL)
        return;
    const struct device *device = &server->servers.base.parts.device;
    if (device->compute != NULL) {
        device->ops->release(device->compute, server->sides);
        device->ops->release(device->compute, server->tails);
        device->ops->release(device->compute, server->theirs);
    }
    servers_close(&server->servers);
    free(server->workers);
    free(server);
}

static void stale_server_cleanup(struct stale_server **server)
{
    stale_server_close(*server == NULL ? NULL : &(*server)->servers.base.sync);
}

static size_t side_floats(const struct stale_server *server)
{
    return server->servers.base.parts.flag_count + SYNC_TAIL;
}

static enum status allocate(const struct stale_server *server, size_t floats, float **out,
                            struct error *err)
{
    const struct device *device = &server->servers.base.parts.device;
    void *memory = NULL;
    TRY(device->ops->alloc(device->compute, floats * sizeof(float), &memory, err));
    *out = memory;
    return STATUS_OK;
}

static enum status stale_server_open(const struct sync_parts *parts, struct sync **out,
                                     struct error *err)
{
    const int64_t staleness = parts->training->staleness;
    if (staleness < 1 || staleness > STALENESS_MAX)
        return error_set(err, STATUS_INVALID, "parameter_server: staleness %lld, expected 0..%d",
                         (long long)staleness, STALENESS_MAX);
    CLEANUP(stale_server_cleanup) struct stale_server *server = calloc(1, sizeof(*server));
    if (server == NULL)
        return error_set(err, STATUS_NO_MEMORY, "sync parameter_server: out of memory");
    const size_t slots = (size_t)staleness + 1;
    const size_t workers = (size_t)sync_workers(parts->training, parts->comm->world_size);
    struct servers *servers = &server->servers;
    TRY(servers_open(servers, &sync_stale_server, parts, workers * slots, err));
    servers->base.sync.is_reproducible = false;
    server->staleness = staleness;
    if (servers->serves) {
        server->workers = calloc(workers, sizeof(*server->workers));
        if (server->workers == NULL)
            return error_set(err, STATUS_NO_MEMORY, "sync parameter_server: out of memory");
        TRY(allocate(server, workers * slots * side_floats(server), &server->sides, err));
        TRY(allocate(server, slots * SYNC_TAIL, &server->tails, err));
        TRY(allocate(server, SYNC_TAIL, &server->theirs, err));
    }
    *out = &TAKE(server)->servers.base.sync;
    return STATUS_OK;
}

/* ---- a worker's step */

static enum status push(const struct stale_server *server, int index, struct error *err)
{
    const struct servers *servers = &server->servers;
    const struct sync_parts *parts = &servers->base.parts;
    struct comm *comm = parts->comm;
    const int rank = servers->workers + index;
    const size_t first = servers->begins[index];
    TRY(comm->ops->send(comm, NULL, 0, rank, err));
    TRY(comm->ops->send(comm, parts->gradients + first,
                        (servers->begins[index + 1] - first) * sizeof(float), rank, err));
    return comm->ops->send(comm, parts->gradients + parts->count,
                           side_floats(server) * sizeof(float), rank, err);
}

static enum status pull(const struct stale_server *server, int index, struct error *err)
{
    const struct servers *servers = &server->servers;
    const struct sync_parts *parts = &servers->base.parts;
    struct comm *comm = parts->comm;
    const int rank = servers->workers + index;
    const size_t first = servers->begins[index];
    TRY(comm->ops->send(comm, NULL, 0, rank, err));
    TRY(comm->ops->recv(comm, parts->parameters + first,
                        (servers->begins[index + 1] - first) * sizeof(float), rank, err));
    if (index > 0)
        return STATUS_OK;
    return comm->ops->recv(comm, parts->gradients + parts->count + parts->flag_count,
                           SYNC_TAIL * sizeof(float), rank, err);
}

static enum status work(struct stale_server *server, struct error *err)
{
    for (int s = 0; s < server->servers.servers; s++)
        TRY(push(server, s, err));
    for (int s = 0; s < server->servers.servers; s++)
        TRY(pull(server, s, err));
    server->clock++;
    return STATUS_OK;
}

/* ---- a server's step */

static size_t slot_of(const struct stale_server *server, size_t worker, int64_t clock)
{
    const size_t slots = (size_t)server->staleness + 1;
    return worker * slots + (size_t)clock % slots;
}

static float *gradients_of(const struct stale_server *server, size_t worker, int64_t clock)
{
    return server->servers.inbox + slot_of(server, worker, clock) * servers_slice(&server->servers);
}

static float *side_of(const struct stale_server *server, size_t worker, int64_t clock)
{
    return server->sides + slot_of(server, worker, clock) * side_floats(server);
}

static float *tail_of(const struct stale_server *server, int64_t clock)
{
    return server->tails + (size_t)(clock % (server->staleness + 1)) * SYNC_TAIL;
}

/* The tail of `staleness` clocks ago to `target` (SYNC_TAIL); zeros before there was one. */
static enum status copy_old_tail(const struct stale_server *server, int64_t clock, float *target,
                                 struct error *err)
{
    const struct device *device = &server->servers.base.parts.device;
    const int64_t old = clock - server->staleness;
    if (old < 0)
        return device->ops->zero(device->compute, target, SYNC_TAIL * sizeof(float), err);
    return device->ops->copy(device->compute, target, tail_of(server, old),
                             SYNC_TAIL * sizeof(float), err);
}

/* Gives a worker what it waits for, if it is there by now. */
static enum status answer(struct stale_server *server, int rank, struct error *err)
{
    const struct servers *servers = &server->servers;
    const struct sync_parts *parts = &servers->base.parts;
    const struct sync_slice *slice = &servers->base.slices[0];
    struct comm *comm = parts->comm;
    struct worker *worker = &server->workers[rank];
    if (!worker->waits || server->clock < worker->pushed - server->staleness)
        return STATUS_OK;
    TRY(comm->ops->send(comm, parts->parameters + slice->first, slice->count * sizeof(float), rank,
                        err));
    if (comm->rank == servers->workers) {
        TRY(copy_old_tail(server, worker->pushed - 1, server->theirs, err));
        TRY(comm->ops->send(comm, server->theirs, SYNC_TAIL * sizeof(float), rank, err));
    }
    worker->waits = false;
    worker->pulled = worker->pushed;
    return STATUS_OK;
}

/* Takes one message of any worker: a push, or the wish for parameters. */
static enum status attend(struct stale_server *server, struct error *err)
{
    const struct servers *servers = &server->servers;
    struct comm *comm = servers->base.parts.comm;
    int rank = 0;
    TRY(comm->ops->recv_any(comm, NULL, 0, 0, servers->workers, &rank, err));
    struct worker *worker = &server->workers[rank];
    if (worker->pushed > worker->pulled) {
        worker->waits = true;
        return answer(server, rank, err);
    }
    assert(worker->pushed <= server->clock + server->staleness);
    const size_t index = (size_t)rank;
    TRY(comm->ops->recv(comm, gradients_of(server, index, worker->pushed),
                        servers_slice(servers) * sizeof(float), rank, err));
    TRY(comm->ops->recv(comm, side_of(server, index, worker->pushed),
                        side_floats(server) * sizeof(float), rank, err));
    worker->pushed++;
    return STATUS_OK;
}

static bool all_pushed(const struct stale_server *server)
{
    for (int w = 0; w < server->servers.workers; w++) {
        if (server->workers[w].pushed <= server->clock)
            return false;
    }
    return true;
}

static bool all_pulled(const struct stale_server *server)
{
    for (int w = 0; w < server->servers.workers; w++) {
        if (server->workers[w].pulled < server->clock)
            return false;
    }
    return true;
}

/* Adds the words of the other servers to ours: each pair, the lower one first. */
static enum status add_words_of_servers(struct stale_server *server, float *tail, struct error *err)
{
    const struct servers *servers = &server->servers;
    const struct device *device = &servers->base.parts.device;
    struct comm *comm = servers->base.parts.comm;
    float *own = tail_of(server, server->clock); /* the oldest is not needed any more */
    const size_t bytes = SYNC_TAIL * sizeof(float);
    TRY(device->ops->copy(device->compute, own, tail, bytes, err));
    for (int rank = servers->workers; rank < comm->world_size; rank++) {
        if (rank == comm->rank)
            continue;
        if (comm->rank < rank)
            TRY(comm->ops->send(comm, own, bytes, rank, err));
        TRY(comm->ops->recv(comm, server->theirs, bytes, rank, err));
        if (comm->rank > rank)
            TRY(comm->ops->send(comm, own, bytes, rank, err));
        TRY(device->ops->add(device->compute, tail, server->theirs, SYNC_TAIL, err));
    }
    return STATUS_OK;
}

/* All have pushed this clock: sums in worker order, update, and what came of it for who waits. */
static enum status apply_clock(struct stale_server *server, struct error *err)
{
    struct servers *servers = &server->servers;
    struct sync_base *base = &servers->base;
    const struct device *device = &base->parts.device;
    float *side = base->parts.gradients + base->parts.count; /* ours: no flags, our words */
    float *tail = side + base->parts.flag_count;
    TRY(add_words_of_servers(server, tail, err));
    for (size_t w = 0; w < (size_t)servers->workers; w++) {
        TRY(device->ops->add(device->compute, side, side_of(server, w, server->clock),
                             side_floats(server), err));
        if (w > 0)
            TRY(device->ops->add(device->compute, gradients_of(server, 0, server->clock),
                                 gradients_of(server, w, server->clock), servers_slice(servers),
                                 err));
    }
    TRY(device->ops->copy(device->compute, tail_of(server, server->clock), tail,
                          SYNC_TAIL * sizeof(float), err));
    base->slices[0].gradients = gradients_of(server, 0, server->clock);
    TRY(servers_clip(servers, err));
    TRY(sync_base_update(base, err));
    TRY(copy_old_tail(server, server->clock, tail, err));
    server->clock++;
    for (int w = 0; w < servers->workers; w++)
        TRY(answer(server, w, err));
    return STATUS_OK;
}

static enum status stale_server_step(struct sync *sync, struct error *err)
{
    struct stale_server *server = (struct stale_server *)sync;
    if (!server->servers.serves)
        return work(server, err);
    while (!all_pushed(server))
        TRY(attend(server, err));
    return apply_clock(server, err);
}

static enum status stale_server_settle(struct sync *sync, struct error *err)
{
    struct stale_server *server = (struct stale_server *)sync;
    while (server->servers.serves && !all_pulled(server))
        TRY(attend(server, err));
    return servers_spread_parameters(&server->servers, err);
}

const struct sync_ops sync_stale_server = {
    .mode = "parameter_server",
    .open = stale_server_open,
    .close = stale_server_close,
    .prepare = sync_base_prepare,
    .ready = sync_base_ready,
    .step = stale_server_step,
    .settle = stale_server_settle,
    .gather_state = servers_gather_state,
    .put_state = sync_base_put_state,
};
