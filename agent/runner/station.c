#include "agent/runner/station.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static bool watch_fd(struct station *station, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(station->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

bool station_open(struct station *station, int epoll_fd, int listen_fd, const struct rank *ranks,
                  size_t rank_count)
{
    *station = (struct station){
        .epoll_fd = epoll_fd, .listen_fd = listen_fd, .ranks = ranks, .rank_count = rank_count};
    for (int i = 0; i < STATION_PEERS_MAX; i++)
        station->peers[i] = -1;
    const int flags = fcntl(listen_fd, F_GETFL);
    return flags >= 0 && fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
           watch_fd(station, listen_fd);
}

static void drop_peer(struct station *station, int peer)
{
    if (station->peers[peer] >= 0)
        (void)close(station->peers[peer]);
    station->peers[peer] = -1;
}

static void send_news(struct station *station, int peer, const struct runner_news *news,
                      int page_fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = {.iov_base = (void *)(uintptr_t)news, .iov_len = sizeof(*news)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (page_fd >= 0) {
        memset(&control, 0, sizeof(control));
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &page_fd, sizeof(int));
    }
    if (station->peers[peer] < 0)
        return;
    if (sendmsg(station->peers[peer], &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        (void)fprintf(stderr, "told an agent nothing: %s\n", strerror(errno));
        drop_peer(station, peer);
    }
}

static void describe(const struct rank *rank, struct runner_news *out)
{
    *out = (struct runner_news){
        .version = RUNNER_PROTOCOL_VERSION,
        .kind = RUNNER_RANK,
        .pid = rank->pid,
        .start_time = rank->start_time,
        .rank = rank->orders->rank,
        .ended = rank->ended,
        .exit_code = rank->exit_code,
        .exit_signal = rank->exit_signal,
        .oom = rank->oom,
        .reason = rank->reason,
        .end_boot_ms = rank->end_boot_ms,
    };
    memcpy(out->detail, rank->detail, sizeof(out->detail));
}

void station_tell_all(struct station *station, int peer, bool with_pages)
{
    const struct runner_news hello = {
        .version = RUNNER_PROTOCOL_VERSION,
        .kind = RUNNER_HELLO,
        .pid = getpid(),
        .start_time = process_start_time(getpid()),
        .rank = (int64_t)station->rank_count,
    };
    send_news(station, peer, &hello, -1);
    for (size_t i = 0; i < station->rank_count; i++) {
        struct runner_news news;
        describe(&station->ranks[i], &news);
        send_news(station, peer, &news, with_pages ? station->ranks[i].page_fd : -1);
    }
}

void station_tell_rank(struct station *station, const struct rank *rank)
{
    struct runner_news news;
    describe(rank, &news);
    for (int peer = 0; peer < STATION_PEERS_MAX; peer++)
        send_news(station, peer, &news, -1);
}

void station_accept(struct station *station)
{
    const int fd = accept4(station->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    int peer = 0;
    while (peer < STATION_PEERS_MAX && station->peers[peer] >= 0)
        peer++;
    if (peer == STATION_PEERS_MAX) {
        drop_peer(station, 0);
        memmove(&station->peers[0], &station->peers[1],
                (STATION_PEERS_MAX - 1) * sizeof(station->peers[0]));
        peer = STATION_PEERS_MAX - 1;
    }
    station->peers[peer] = fd;
    if (!watch_fd(station, fd)) {
        drop_peer(station, peer);
        return;
    }
    station_tell_all(station, peer, true);
}

int station_find(const struct station *station, int fd)
{
    for (int peer = 0; peer < STATION_PEERS_MAX; peer++) {
        if (station->peers[peer] == fd)
            return peer;
    }
    return -1;
}

bool station_receive(struct station *station, int peer, struct runner_command *out)
{
    const ssize_t got = recv(station->peers[peer], out, sizeof(*out), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got <= 0) {
        drop_peer(station, peer);
        return false;
    }
    if (got != (ssize_t)sizeof(*out) || out->version != RUNNER_PROTOCOL_VERSION) {
        (void)fprintf(stderr, "ignored a message of %zd bytes, version %u\n", got,
                      got >= (ssize_t)sizeof(out->version) ? out->version : 0);
        return false;
    }
    return true;
}
