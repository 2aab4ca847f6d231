/*
 * host_link.c - messages with any rank, whatever way they go, and what ends every wait for one: a failure
 * that is passed on, and the watcher of the peers on this node.
 */
#include "trainer/comm/host_link.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "trainer/comm/host_shared.h"
#include "trainer/comm/host_tcp.h"

/* ---- failing */

static void signal_fd(int fd)
{
    const uint64_t one = 1;
    if (fd >= 0)
        (void)!write(fd, &one, sizeof(one)); /* full means that it is readable already */
}

void host_break(struct host *host, enum host_trouble trouble)
{
    int fine = HOST_FINE;
    if (!atomic_compare_exchange_strong(&host->trouble, &fine, trouble))
        return;
    signal_fd(host->wake_fd);
    shared_announce(host, true); /* our own doorbell too */
    for (int i = 0; i < host->comm.world_size; i++) {
        if (host->peers[i].fd >= 0)
            (void)shutdown(host->peers[i].fd, SHUT_RDWR);
    }
}

/* ---- the watcher: a peer on this node that dies can't tell anyone, but its pidfd can */

static void *watcher_main(void *argument)
{
    struct host *host = argument;
    struct pollfd entries[HOST_LOCAL_RANK_MAX + 1];
    int ranks[HOST_LOCAL_RANK_MAX + 1] = {0};
    nfds_t count = 0;

    entries[count++] = (struct pollfd){.fd = host->watcher_quit_fd, .events = POLLIN};
    for (int i = 0; i < host->comm.world_size; i++) {
        if (host->peers[i].pidfd < 0)
            continue;
        ranks[count] = i;
        entries[count++] = (struct pollfd){.fd = host->peers[i].pidfd, .events = POLLIN};
    }
    for (;;) {
        if (poll(entries, count, -1) < 0)
            continue; /* EINTR */
        if (entries[0].revents != 0)
            return NULL;
        for (nfds_t i = 1; i < count; i++) {
            if (entries[i].revents == 0)
                continue;
            entries[i].fd = -1;
            if (shared_has_left(host, host->peers[ranks[i]].local_rank))
                continue;
            atomic_store(&host->died_rank, ranks[i]);
            host_break(host, HOST_PEER_DIED);
        }
    }
}

enum status host_start_watcher(struct host *host, struct error *err)
{
    host->watcher_quit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (host->watcher_quit_fd < 0)
        return error_set_errno(err, STATUS_INTERNAL, errno, "communicator: eventfd");
    const int rc = pthread_create(&host->watcher, NULL, watcher_main, host);
    if (rc != 0)
        return error_set_errno(err, STATUS_INTERNAL, rc, "communicator: watcher thread");
    host->watcher_runs = true;
    (void)pthread_setname_np(host->watcher, "comm-watcher");
    return STATUS_OK;
}

void host_stop_watcher(struct host *host)
{
    if (!host->watcher_runs)
        return;
    signal_fd(host->watcher_quit_fd);
    (void)pthread_join(host->watcher, NULL);
    host->watcher_runs = false;
}

/* ---- messages */

enum status host_exchange(struct host *host, int rank, const struct host_exchange *what,
                          struct error *err)
{
    struct host_peer *peer = &host->peers[rank];
    assert(rank >= 0 && rank < host->comm.world_size && rank != host->comm.rank);
    if (peer->local_rank >= 0)
        return shared_exchange(host, peer, what, err);
    return tcp_exchange(host, peer, what, err);
}

enum status host_send_to(struct host *host, int rank, const void *data, size_t bytes,
                         struct error *err)
{
    const struct host_exchange what = {.sends = true, .send = data, .send_bytes = bytes};
    return host_exchange(host, rank, &what, err);
}

enum status host_recv_from(struct host *host, int rank, void *data, size_t bytes, bool add,
                           struct error *err)
{
    const struct host_exchange what = {
        .receives = true, .recv = data, .recv_bytes = bytes, .add = add};
    return host_exchange(host, rank, &what, err);
}

enum status host_meet(struct host *host, uint64_t first, uint64_t second, struct error *err)
{
    const int world = host->comm.world_size;
    const uint64_t mine[2] = {first, second};
    for (int distance = 1; distance < world; distance *= 2) {
        const int source = (host->comm.rank - distance + world) % world;
        uint64_t theirs[2] = {0, 0};
        TRY(host_send_to(host, (host->comm.rank + distance) % world, mine, sizeof(mine), err));
        TRY(host_recv_from(host, source, theirs, sizeof(theirs), false, err));
        if (memcmp(mine, theirs, sizeof(mine)) != 0)
            return error_set(err, STATUS_CORRUPT,
                             "rank %d is in %s with %llu at %llu, rank %d with %llu at %llu",
                             source, host_operation_name(host->operation),
                             (unsigned long long)theirs[1], (unsigned long long)theirs[0],
                             host->comm.rank, (unsigned long long)second,
                             (unsigned long long)first);
    }
    return STATUS_OK;
}
