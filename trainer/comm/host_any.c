/*
 * host_any.c - who of several ranks has sent something.
 *
 * Ranks of this node ring the doorbell, links are polled. No call waits for both, so a rank with both
 * kinds of peers sleeps in slices of a millisecond and looks at its links in between.
 */

#include <poll.h>

#include "base/clock.h"
#include "trainer/comm/host.h"
#include "trainer/comm/net.h"

#define SLICE_MS 1

static bool link_has_data(const struct host_peer *peer)
{
    struct pollfd entry = {.fd = peer->fd, .events = POLLIN};
    return poll(&entry, 1, 0) > 0; /* also when it is closed: reading says so */
}

static bool has_data(const struct host_peer *peer)
{
    return peer->local_rank >= 0 ? shared_has_data(peer) : link_has_data(peer);
}

/* From the one whose turn it is. */
static bool find(struct host *host, int first, int count, int *out_rank)
{
    for (int i = 0; i < count; i++) {
        const int rank = first + (host->any_next + i) % count;
        if (!has_data(&host->peers[rank]))
            continue;
        host->any_next = (rank - first + 1) % count;
        *out_rank = rank;
        return true;
    }
    return false;
}

static int count_links(const struct host *host, int first, int count)
{
    int links = 0;
    for (int i = first; i < first + count; i++)
        links += host->peers[i].local_rank < 0 ? 1 : 0;
    return links;
}

/* Until a link has something, there is trouble, or the deadline passes. */
static enum status wait_for_links(struct host *host, int first, int count, struct error *err)
{
    struct pollfd entries[HOST_LOCAL_RANK_MAX + 1];
    nfds_t used = 0;
    entries[used++] = (struct pollfd){.fd = host->wake_fd, .events = POLLIN};
    for (int i = first; i < first + count; i++)
        entries[used++] = (struct pollfd){.fd = host->peers[i].fd, .events = POLLIN};
    (void)poll(entries, used, net_wait_ms(host->deadline_mono_ms));
    return host_check(host, err);
}

enum status host_wait_any(struct host *host, int first, int count, int *out_rank, struct error *err)
{
    const int links = count_links(host, first, count);
    if (count > HOST_LOCAL_RANK_MAX)
        return error_set(err, STATUS_UNSUPPORTED, "receive from any of %d ranks: at most %d", count,
                         HOST_LOCAL_RANK_MAX);
    while (!find(host, first, count, out_rank)) {
        const int64_t now_ms = clock_mono_ms();
        const int64_t slice_ms = now_ms + SLICE_MS;
        TRY(host_check(host, err));
        if (now_ms >= host->deadline_mono_ms)
            return error_set(err, STATUS_UNAVAILABLE,
                             "ranks %d..%d are silent: rank %d waited %lld ms for any of them",
                             first, first + count - 1, host->comm.rank,
                             (long long)host->timeout_ms);
        if (links == count)
            TRY(wait_for_links(host, first, count, err));
        else
            TRY(shared_wait_any(host, first, count, links > 0 ? slice_ms : host->deadline_mono_ms,
                                err));
    }
    return STATUS_OK;
}
