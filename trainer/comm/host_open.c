/*
 * host_open.c - how a host communicator comes up:
 *
 *     local rank 0 prepares the shared memory
 *     rendezvous: listen for links; every rank leaves its card, and reads all cards once all have come
 *     map the shared memory, open the pidfds, connect to lower ranks, accept higher ones
 *     rendezvous: barrier, so that no rank trains before all can
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/pidfd.h"
#include "trainer/comm/host_collectives.h"
#include "trainer/comm/host_link.h"
#include "trainer/comm/host_shared.h"
#include "trainer/comm/net.h"
#include "trainer/comm/rendezvous.h"

enum { LINK_PROOF_MS = 1000 }; /* who connects to a rank must prove itself within this time */

/* What a rank tells the others about itself. */
struct card {
    int32_t group_rank;
    int32_t local_rank;
    int32_t local_world_size;
    int32_t has_shared_memory;
    int32_t pid;
    int32_t port; /* it listens there for links */
    char address[NET_ADDRESS_BYTES];
};

static_assert(sizeof(struct card) <= RENDEZVOUS_VALUE_MAX, "a card travels as one value");

/* What opening needs besides the communicator. */
struct opening {
    const struct comm_place *place;
    struct host *host;
    struct rendezvous *rendezvous;
    int listener;
    int64_t deadline_mono_ms;
    struct card *cards; /* (world_size) */
};

static void opening_clear(struct opening *opening)
{
    rendezvous_close(opening->rendezvous);
    fd_cleanup(&opening->listener);
    free(opening->cards);
    if (opening->host != NULL)
        host_ops.close(&opening->host->comm);
}

static enum status check_place(const struct comm_place *place, struct error *err)
{
    if (place->world_size < 1 || place->world_size > RENDEZVOUS_WORLD_MAX || place->rank < 0 ||
        place->rank >= place->world_size)
        return error_set(err, STATUS_INVALID, "rank %d of %d (at most %d)", place->rank,
                         place->world_size, RENDEZVOUS_WORLD_MAX);
    if (place->local_world_size < 1 || place->local_world_size > HOST_LOCAL_RANK_MAX ||
        place->local_rank < 0 || place->local_rank >= place->local_world_size)
        return error_set(err, STATUS_INVALID, "local rank %d of %d (at most %d)", place->local_rank,
                         place->local_world_size, HOST_LOCAL_RANK_MAX);
    if (place->timeout_ms <= 0)
        return error_set(err, STATUS_INVALID, "timeout of %lld ms", (long long)place->timeout_ms);
    if (place->secret_bytes > COMM_SECRET_BYTES_MAX)
        return error_set(err, STATUS_INVALID, "rendezvous secret of %zu bytes, over %d",
                         place->secret_bytes, COMM_SECRET_BYTES_MAX);
    return STATUS_OK;
}

/* Spinning while more ranks than cores are here only keeps the awaited rank from running. */
static int64_t spin_for(int local_world_size)
{
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof(cores), &cores) != 0 || CPU_COUNT(&cores) < local_world_size)
        return 0;
    return HOST_SPIN_NS;
}

static enum status host_new(const struct comm_place *place, struct host **out, struct error *err)
{
    struct host *host = calloc(1, sizeof(*host));
    if (host == NULL)
        return error_set(err, STATUS_NO_MEMORY, "communicator: out of memory");
    host->peers = calloc((size_t)place->world_size, sizeof(*host->peers));
    if (host->peers == NULL) {
        free(host);
        return error_set(err, STATUS_NO_MEMORY, "communicator of %d ranks: out of memory",
                         place->world_size);
    }
    for (int i = 0; i < place->world_size; i++)
        host->peers[i] = (struct host_peer){.rank = i, .fd = -1, .pidfd = -1, .local_rank = -1};
    host->comm =
        (struct comm){.ops = &host_ops, .rank = place->rank, .world_size = place->world_size};
    host->timeout_ms = place->timeout_ms;
    host->spin_ns = spin_for(place->local_world_size);
    host->progress = place->progress;
    host->local_rank = place->local_rank;
    host->local_world_size = place->local_world_size;
    atomic_init(&host->trouble, HOST_FINE);
    atomic_init(&host->died_rank, -1);
    host->watcher_quit_fd = -1;
    host->shared_fd = -1;
    host->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (host->wake_fd < 0) {
        const int failure = errno;
        host_ops.close(&host->comm);
        return error_set_errno(err, STATUS_INTERNAL, failure, "communicator: eventfd");
    }
    *out = host;
    return STATUS_OK;
}

/* ---- cards */

/* Listens for links where other ranks reach this one: by default where rank 0 does. */
static enum status listen_for_links(struct opening *opening, char address[NET_ADDRESS_BYTES],
                                    struct error *err)
{
    const char *given = opening->place->bind_address;
    if (given == NULL)
        TRY(net_local_address(rendezvous_fd(opening->rendezvous), address, err));
    else if (strlen(given) >= NET_ADDRESS_BYTES)
        return error_set(err, STATUS_INVALID, "bind address of %zu characters", strlen(given));
    else
        snprintf(address, NET_ADDRESS_BYTES, "%s", given);
    return net_listen(address, 0, opening->place->world_size, &opening->listener, err);
}

static enum status make_card(struct opening *opening, struct card *out, struct error *err)
{
    const struct comm_place *place = opening->place;
    *out = (struct card){.group_rank = place->group_rank,
                         .local_rank = place->local_rank,
                         .local_world_size = place->local_world_size,
                         .has_shared_memory = place->shared_memory_fd >= 0,
                         .pid = getpid()};
    TRY(listen_for_links(opening, out->address, err));
    out->port = net_port(opening->listener);
    return STATUS_OK;
}

static enum status check_cards(const struct opening *opening, struct error *err)
{
    const int world = opening->host->comm.world_size;
    for (int i = 0; i < world; i++) {
        struct card *card = &opening->cards[i];
        card->address[sizeof(card->address) - 1] = '\0';
        if (card->local_world_size < 1 || card->local_rank < 0 ||
            card->local_rank >= card->local_world_size)
            return error_set(err, STATUS_CORRUPT, "rank %d says it is local rank %d of %d", i,
                             card->local_rank, card->local_world_size);
        for (int j = 0; j < i; j++) {
            const struct card *other = &opening->cards[j];
            if (other->group_rank != card->group_rank)
                continue;
            if (other->local_world_size != card->local_world_size ||
                other->local_rank == card->local_rank)
                return error_set(err, STATUS_CORRUPT,
                                 "ranks %d and %d are local ranks %d of %d and %d of %d of node %d",
                                 j, i, other->local_rank, other->local_world_size, card->local_rank,
                                 card->local_world_size, card->group_rank);
        }
    }
    return STATUS_OK;
}

/* The ranks of this node use shared memory if all of them have it; all see the same cards. */
static bool node_shares_memory(const struct opening *opening)
{
    const struct card *mine = &opening->cards[opening->host->comm.rank];
    int sharing = 0;
    for (int i = 0; i < opening->host->comm.world_size; i++) {
        const struct card *card = &opening->cards[i];
        if (card->group_rank == mine->group_rank && card->has_shared_memory)
            sharing++;
    }
    return sharing == mine->local_world_size && sharing > 1;
}

/* ---- peers on this node */

static enum status join_node(struct opening *opening, struct error *err)
{
    struct host *host = opening->host;
    const struct card *mine = &opening->cards[host->comm.rank];

    TRY(shared_map(host, opening->place->shared_memory_fd, err));
    if (mine->local_world_size == host->comm.world_size) {
        host->shared_fd = fcntl(opening->place->shared_memory_fd, F_DUPFD_CLOEXEC, 0);
        if (host->shared_fd < 0)
            return error_set_errno(err, STATUS_INTERNAL, errno, "keep the shared memory open");
    }
    for (int i = 0; i < host->comm.world_size; i++) {
        const struct card *card = &opening->cards[i];
        struct host_peer *peer = &host->peers[i];
        if (i == host->comm.rank || card->group_rank != mine->group_rank)
            continue;
        /* The process lives until the last barrier, or opening fails: the pid is its own. */
        peer->pidfd = pidfd_of(card->pid);
        if (peer->pidfd < 0)
            return error_set_errno(err, STATUS_UNAVAILABLE, errno, "watch rank %d, process %d", i,
                                   card->pid);
        peer->local_rank = card->local_rank;
        shared_link_peer(host, peer);
    }
    return STATUS_OK;
}

/* ---- links to peers elsewhere */

static bool needs_link(const struct opening *opening, int rank)
{
    return rank != opening->host->comm.rank && opening->host->peers[rank].local_rank < 0;
}

static struct handshake link_handshake(const struct comm_place *place)
{
    return (struct handshake){.use = HANDSHAKE_LINK,
                              .secret = place->secret,
                              .secret_bytes = place->secret_bytes,
                              .rank = (uint32_t)place->rank,
                              .world_size = (uint32_t)place->world_size};
}

static enum status connect_link(struct opening *opening, int rank, struct error *err)
{
    const struct card *card = &opening->cards[rank];
    const struct handshake self = link_handshake(opening->place);
    char name[32];
    uint32_t found = 0;
    CLEANUP(fd_cleanup) int fd = -1;

    snprintf(name, sizeof(name), "rank %d", rank);
    TRY(net_connect(card->address, card->port, opening->deadline_mono_ms, &fd, err));
    TRY(handshake_connect(&self, fd, opening->deadline_mono_ms, name, &found, err));
    if (found != (uint32_t)rank)
        return error_set(err, STATUS_CORRUPT, "rank %u answers at port %d of %s instead of rank %d",
                         found, card->port, card->address, rank);
    opening->host->peers[rank].fd = fd;
    fd = -1;
    return STATUS_OK;
}

/* Takes one connection; one that proves nothing, or is not awaited, is dropped without failure. */
static enum status accept_link(struct opening *opening, int *missing, struct error *err)
{
    struct host *host = opening->host;
    const struct handshake self = link_handshake(opening->place);
    uint32_t rank = 0;
    CLEANUP(fd_cleanup) int fd = -1;

    TRY(net_accept(opening->listener, rendezvous_fd(opening->rendezvous), opening->deadline_mono_ms,
                   &fd, err));
    int64_t proof_until_ms = clock_mono_ms() + LINK_PROOF_MS;
    if (proof_until_ms > opening->deadline_mono_ms)
        proof_until_ms = opening->deadline_mono_ms;
    if (handshake_accept(&self, fd, proof_until_ms, "a caller", &rank, NULL) != STATUS_OK)
        return STATUS_OK;
    if ((int)rank <= host->comm.rank || !needs_link(opening, (int)rank) ||
        host->peers[rank].fd >= 0)
        return STATUS_OK;
    host->peers[rank].fd = fd;
    fd = -1;
    (*missing)--;
    return STATUS_OK;
}

static enum status make_links(struct opening *opening, struct error *err)
{
    struct host *host = opening->host;
    int links = 0;
    int missing = 0;

    for (int rank = 0; rank < host->comm.world_size; rank++) {
        if (!needs_link(opening, rank))
            continue;
        links++;
        if (rank > host->comm.rank)
            missing++;
        else
            TRY(connect_link(opening, rank, err));
    }
    while (missing > 0)
        TRY(accept_link(opening, &missing, err));
    if (links == 0)
        return STATUS_OK;
    host->stage = malloc(HOST_STAGE_BYTES);
    if (host->stage == NULL)
        return error_set(err, STATUS_NO_MEMORY, "communicator: no memory for links");
    return STATUS_OK;
}

/* ---- all together */

static enum status meet(struct opening *opening, struct error *err)
{
    const struct comm_place *place = opening->place;
    const struct rendezvous_place meeting = {.rank = place->rank,
                                             .world_size = place->world_size,
                                             .address = place->master_address,
                                             .port = place->master_port,
                                             .secret = place->secret,
                                             .secret_bytes = place->secret_bytes,
                                             .timeout_ms = place->setup_timeout_ms};
    struct card card;

    TRY(rendezvous_open(&meeting, &opening->rendezvous, err));
    TRY(make_card(opening, &card, err));
    TRY(rendezvous_gather(opening->rendezvous, "cards", &card, sizeof(card), opening->cards, err));
    return check_cards(opening, err);
}

enum status comm_host_open(const struct comm_place *place, struct comm **out, struct error *err)
{
    TRY(comm_check(&host_ops, err));
    TRY(check_place(place, err));
    CLEANUP(opening_clear)
    struct opening opening = {
        .place = place,
        .listener = -1,
        .deadline_mono_ms = clock_mono_ms() + place->setup_timeout_ms,
    };
    TRY(host_new(place, &opening.host, err));
    opening.cards = calloc((size_t)place->world_size, sizeof(*opening.cards));
    if (opening.cards == NULL)
        return error_set(err, STATUS_NO_MEMORY, "communicator: out of memory");

    if (place->shared_memory_fd >= 0 && place->local_rank == 0 && place->local_world_size > 1)
        TRY(shared_create(place->shared_memory_fd, place->local_world_size, err));
    TRY(meet(&opening, err));
    if (node_shares_memory(&opening))
        TRY(join_node(&opening, err));
    TRY(make_links(&opening, err));
    if (opening.host->shared != NULL)
        TRY(host_start_watcher(opening.host, err)); /* last: it reads all peers */
    TRY(rendezvous_barrier(opening.rendezvous, "ready", err));
    *out = &TAKE(opening.host)->comm;
    return STATUS_OK;
}
