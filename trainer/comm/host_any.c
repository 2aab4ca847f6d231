/*
 * host_any.c - who of several ranks has sent something.
 *
 * Ranks of this node ring the doorbell, links are polled. No call waits for both, so a rank with both
 * kinds of peers sleeps in slices of a millisecond and looks at its links in between.
 */

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "trainer/comm/host_any.h"
#include "trainer/comm/host_shared.h"
#include "trainer/comm/net.h"

#define SLICE_MS 1

/* What a link has for us next. */
enum link_next {
    LINK_NOTHING,
    LINK_SEND, /* or its end: reading will say so */
    LINK_OTHER /* a message of another operation */
};

static enum link_next look(const struct host_peer *peer)
{
    struct host_head head;
    const ssize_t got = recv(peer->fd, &head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return LINK_NOTHING;
    if (got <= 0)
        return LINK_SEND;
    if ((size_t)got < sizeof(head))
        return LINK_NOTHING;
    return head.operation == HOST_SEND ? LINK_SEND : LINK_OTHER;
}

static bool has_sent(const struct host *host, const struct host_peer *peer)
{
    return peer->local_rank >= 0 ? shared_has_send(host, peer) : look(peer) == LINK_SEND;
}

/* From the one whose turn it is. */
static bool find(struct host *host, int first, int count, int *out_rank)
{
    for (int i = 0; i < count; i++) {
        const int rank = first + (host->any_next + i) % count;
        if (!has_sent(host, &host->peers[rank]))
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
    for (int i = first; i < first + count; i++) {
        /* What will not be read does not wake us either. */
        const int fd = look(&host->peers[i]) == LINK_OTHER ? -1 : host->peers[i].fd;
        entries[used++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
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
