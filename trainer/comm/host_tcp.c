/*
 * host_tcp.c - messages between ranks of different nodes: a head and its bytes on one TCP stream per
 * pair, both ways at once, so that two ranks that send each other much never wait for each other.
 */

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "trainer/comm/host_tcp.h"
#include "trainer/comm/net.h"

/* The way of one message through the socket: `done` bytes of head and payload are through. */
struct flow {
    bool active;
    struct host_head head;
    uint8_t *bytes;
    size_t size;
    size_t done;
    size_t staged; /* received floats in host->stage, not added yet */
    bool head_checked;
};

static bool is_complete(const struct flow *flow)
{
    return !flow->active || flow->done == sizeof(flow->head) + flow->size;
}

/* The rest of the head and of `bytes` (which starts at payload byte `at`) as vectors. */
static int vectors_of(struct flow *flow, uint8_t *bytes, size_t size, struct iovec out[2])
{
    int count = 0;
    if (flow->done < sizeof(flow->head))
        out[count++] = (struct iovec){.iov_base = (uint8_t *)&flow->head + flow->done,
                                      .iov_len = sizeof(flow->head) - flow->done};
    if (size > 0)
        out[count++] = (struct iovec){.iov_base = bytes, .iov_len = size};
    return count;
}

static size_t payload_done(const struct flow *flow)
{
    return flow->done < sizeof(flow->head) ? 0 : flow->done - sizeof(flow->head);
}

static enum status send_some(struct host *host, const struct host_peer *peer, struct flow *flow,
                             bool *out_moved, struct error *err)
{
    struct iovec vectors[2];
    const size_t at = payload_done(flow);
    struct msghdr message = {.msg_iov = vectors};
    message.msg_iovlen = (size_t)vectors_of(flow, flow->bytes + at, flow->size - at, vectors);

    const ssize_t sent = sendmsg(peer->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
        flow->done += (size_t)sent;
        *out_moved = true;
        return STATUS_OK;
    }
    if (errno == EAGAIN || errno == EINTR)
        return STATUS_OK;
    TRY(host_check(host, err));
    return host_error_lost(host, peer, strerror(errno), err);
}

/* Floats that have come whole are added; the bytes of one that hasn't stay staged. */
static void add_staged(struct host *host, struct flow *flow)
{
    const size_t whole = flow->staged / sizeof(float) * sizeof(float);
    const size_t first = payload_done(flow) - flow->staged;
    host_add((float *)(void *)(flow->bytes + first), (const float *)(void *)host->stage,
             whole / sizeof(float));
    memmove(host->stage, host->stage + whole, flow->staged - whole);
    flow->staged -= whole;
}

static enum status recv_some(struct host *host, const struct host_peer *peer, struct flow *flow,
                             bool add, bool *out_moved, struct error *err)
{
    struct iovec vectors[2];
    const size_t at = payload_done(flow);
    size_t room = flow->size - at;
    uint8_t *target = flow->bytes + at;
    if (add) {
        target = host->stage + flow->staged;
        room = room < HOST_STAGE_BYTES - flow->staged ? room : HOST_STAGE_BYTES - flow->staged;
    }
    struct msghdr message = {.msg_iov = vectors};
    message.msg_iovlen = (size_t)vectors_of(flow, target, room, vectors);

    const ssize_t got = recvmsg(peer->fd, &message, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return STATUS_OK;
    if (got <= 0) {
        const int failure = errno;
        TRY(host_check(host, err));
        return host_error_lost(host, peer,
                               got == 0 ? "it closed the connection" : strerror(failure), err);
    }
    flow->done += (size_t)got;
    *out_moved = true;
    if (!flow->head_checked && flow->done >= sizeof(flow->head)) {
        TRY(host_check_head(host, peer, &flow->head, flow->size, err));
        flow->head_checked = true;
    }
    if (add) {
        flow->staged += payload_done(flow) - at;
        add_staged(host, flow);
    }
    return STATUS_OK;
}

/*
 * Ranks of two nodes on one machine: bytes over the loopback are delivered on the sender's core.
 * Spinning there would keep it from sending more.
 */
static bool shares_core(const struct host_peer *peer)
{
    int cpu = -1;
    socklen_t bytes = sizeof(cpu);
    return getsockopt(peer->fd, SOL_SOCKET, SO_INCOMING_CPU, &cpu, &bytes) == 0 &&
           cpu == sched_getcpu();
}

/* Sleeps until the link can do what is wanted, there is trouble, or the deadline passes. */
static enum status wait_for_link(struct host *host, const struct host_peer *peer, bool sending,
                                 bool receiving, struct error *err)
{
    for (;;) {
        struct pollfd entries[] = {{.fd = peer->fd}, {.fd = host->wake_fd, .events = POLLIN}};
        entries[0].events = (short)((sending ? POLLOUT : 0) | (receiving ? POLLIN : 0));
        const int rc = poll(entries, COUNT_OF(entries), net_wait_ms(host->deadline_mono_ms));
        TRY(host_check(host, err));
        if (rc > 0)
            return STATUS_OK;
        if (net_wait_ms(host->deadline_mono_ms) == 0)
            return host_error_silent(host, peer, err);
    }
}

enum status tcp_exchange(struct host *host, struct host_peer *peer,
                         const struct host_exchange *what, struct error *err)
{
    /* The cast drops const for struct iovec; sendmsg does not write. */
    struct flow out = {.active = what->sends,
                       .head = host_make_head(host, what->send_bytes),
                       .bytes = (uint8_t *)(uintptr_t)what->send,
                       .size = what->send_bytes};
    struct flow in = {.active = what->receives, .bytes = what->recv, .size = what->recv_bytes};
    int64_t idle_since_ns = 0;

    while (!is_complete(&out) || !is_complete(&in)) {
        bool moved = false;
        if (!is_complete(&out))
            TRY(send_some(host, peer, &out, &moved, err));
        if (!is_complete(&in))
            TRY(recv_some(host, peer, &in, what->add, &moved, err));
        if (moved) {
            idle_since_ns = 0;
            continue;
        }
        const int64_t now_ns = clock_mono_ns();
        if (idle_since_ns == 0)
            idle_since_ns = now_ns;
        if (now_ns - idle_since_ns < host->spin_ns && !shares_core(peer))
            continue;
        TRY(wait_for_link(host, peer, !is_complete(&out), !is_complete(&in), err));
    }
    return STATUS_OK;
}
