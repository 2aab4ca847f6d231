#include "trainer/comm/host.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fs.h"

const char *host_operation_name(enum host_operation operation)
{
    switch (operation) {
    case HOST_ALL_REDUCE:
        return "all_reduce";
    case HOST_REDUCE_SCATTER:
        return "reduce_scatter";
    case HOST_ALL_GATHER:
        return "all_gather";
    case HOST_ALL_TO_ALL:
        return "all_to_all";
    case HOST_BROADCAST:
        return "broadcast";
    case HOST_SEND:
        return "send";
    case HOST_BARRIER:
        return "barrier";
    case HOST_WINDOW:
        return "window";
    }
    return "unknown operation";
}

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

enum status host_check(struct host *host, struct error *err)
{
    const char *operation = host_operation_name(host->operation);
    switch ((enum host_trouble)atomic_load(&host->trouble)) {
    case HOST_FINE:
        return STATUS_OK;
    case HOST_ABORTED:
        return error_set(err, STATUS_UNAVAILABLE, "rank %d: %s aborted", host->comm.rank,
                         operation);
    case HOST_PEER_DIED:
        return error_set(err, STATUS_UNAVAILABLE, "rank %d died, seen by rank %d in %s",
                         atomic_load(&host->died_rank), host->comm.rank, operation);
    case HOST_FAILED:
        break;
    }
    return error_set(err, STATUS_UNAVAILABLE, "rank %d: %s after the communicator failed",
                     host->comm.rank, operation);
}

enum status host_error_silent(const struct host *host, const struct host_peer *peer,
                              struct error *err)
{
    return error_set(err, STATUS_UNAVAILABLE, "rank %d is silent: rank %d waited %lld ms in %s",
                     peer->rank, host->comm.rank, (long long)host->timeout_ms,
                     host_operation_name(host->operation));
}

enum status host_error_lost(const struct host *host, const struct host_peer *peer, const char *how,
                            struct error *err)
{
    return error_set(err, STATUS_UNAVAILABLE, "rank %d is lost to rank %d in %s: %s", peer->rank,
                     host->comm.rank, host_operation_name(host->operation), how);
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

/* ---- what the parts share */

enum status host_scratch(struct host *host, size_t bytes, void **out, struct error *err)
{
    if (bytes > host->scratch_bytes) {
        free(host->scratch);
        host->scratch_bytes = 0;
        host->scratch = malloc(bytes);
        if (host->scratch == NULL)
            return error_set(err, STATUS_NO_MEMORY, "%s: no memory for %zu bytes",
                             host_operation_name(host->operation), bytes);
        host->scratch_bytes = bytes;
    }
    *out = host->scratch;
    return STATUS_OK;
}

struct host_head host_make_head(const struct host *host, size_t bytes)
{
    return (struct host_head){.magic = HOST_MESSAGE_MAGIC,
                              .operation = (uint16_t)host->operation,
                              .from = (uint16_t)host->comm.rank,
                              .bytes = bytes};
}

enum status host_check_head(const struct host *host, const struct host_peer *peer,
                            const struct host_head *head, size_t bytes, struct error *err)
{
    if (head->magic != HOST_MESSAGE_MAGIC || head->from != peer->rank)
        return error_set(err, STATUS_CORRUPT,
                         "rank %d speaks another protocol: magic %08x, rank %u", peer->rank,
                         head->magic, head->from);
    if (head->operation != host->operation || head->bytes != bytes)
        return error_set(err, STATUS_CORRUPT,
                         "rank %d is in %s with %llu bytes, rank %d in %s with %zu", peer->rank,
                         host_operation_name((enum host_operation)head->operation),
                         (unsigned long long)head->bytes, host->comm.rank,
                         host_operation_name(host->operation), bytes);
    return STATUS_OK;
}

enum status host_exchange(struct host *host, int rank, const struct host_exchange *what,
                          struct error *err)
{
    struct host_peer *peer = &host->peers[rank];
    assert(rank >= 0 && rank < host->comm.world_size && rank != host->comm.rank);
    if (peer->local_rank >= 0)
        return shared_exchange(host, peer, what, err);
    return tcp_exchange(host, peer, what, err);
}

void host_add(float *restrict target, const float *restrict source, size_t count)
{
    enum { LANES = 16 }; /* a known inner length is what the compiler vectorises */
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (size_t lane = 0; lane < LANES; lane++)
            target[i + lane] += source[i + lane];
    }
    for (; i < count; i++)
        target[i] += source[i];
}

void host_close(struct comm *comm)
{
    struct host *host = (struct host *)comm;
    if (host == NULL)
        return;
    if (atomic_load(&host->trouble) == HOST_FINE)
        shared_announce(host, false);
    if (host->watcher_runs) {
        signal_fd(host->watcher_quit_fd);
        (void)pthread_join(host->watcher, NULL);
    }
    for (int i = 0; host->peers != NULL && i < host->comm.world_size; i++) {
        fd_cleanup(&host->peers[i].fd);
        fd_cleanup(&host->peers[i].pidfd);
    }
    host_window_close_all(host);
    shared_unmap(host);
    fd_cleanup(&host->shared_fd);
    fd_cleanup(&host->wake_fd);
    fd_cleanup(&host->watcher_quit_fd);
    free(host->peers);
    free(host->scratch);
    free(host->stage);
    free(host);
}
