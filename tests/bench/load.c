#include "tests/bench/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define ANSWER_BYTES_MAX (64 * 1024)

struct connection {
    int fd;
    int64_t sent_ns;
    size_t used;
    size_t expected; /* bytes of the whole answer; 0: header not complete */
    char answer[ANSWER_BYTES_MAX];
};

static void die(const char *what)
{
    perror(what);
    abort();
}

static int open_connection(const char *url)
{
    char host[64];
    int port = 0;
    if (sscanf(url, "http://%63[^:]:%d", host, &port) != 2)
        die(url);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        die(host);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int one = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        die("connect");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static void send_request(const struct load *load, struct connection *connection)
{
    connection->used = 0;
    connection->expected = 0;
    connection->sent_ns = clock_mono_ns();
    size_t done = 0;
    while (done < load->request_bytes) {
        const ssize_t n =
            send(connection->fd, load->request + done, load->request_bytes - done, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return; /* shows as a closed connection on the next read */
        done += n > 0 ? (size_t)n : 0;
    }
}

/* Whole length of the answer once its header is there. */
static size_t answer_length(const struct connection *connection)
{
    const char *end = memmem(connection->answer, connection->used, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    const size_t header = (size_t)(end - connection->answer) + 4;
    for (const char *line = connection->answer; line < end; line++) {
        if (strncasecmp(line, "\ncontent-length:", 16) == 0)
            return header + strtoul(line + 16, NULL, 10);
    }
    return header;
}

static void count_answer(struct load *load, const struct connection *connection)
{
    load->answers++;
    if (strtol(connection->answer + 9, NULL, 10) != load->expected_code)
        load->unexpected++;
    bench_add(&load->latency_us, (double)(clock_mono_ns() - connection->sent_ns) / 1000);
}

static void serve(struct load *load, int epoll_fd, struct connection *connection)
{
    const ssize_t n = recv(connection->fd, connection->answer + connection->used,
                           ANSWER_BYTES_MAX - 1 - connection->used, 0);
    if (n <= 0) {
        load->unexpected++;
        (void)close(connection->fd);
        connection->fd = open_connection(load->url);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) != 0)
            die("epoll_ctl");
        send_request(load, connection);
        return;
    }
    connection->used += (size_t)n;
    connection->answer[connection->used] = '\0';
    if (connection->expected == 0)
        connection->expected = answer_length(connection);
    if (connection->expected == 0 || connection->used < connection->expected)
        return;
    count_answer(load, connection);
    send_request(load, connection);
}

void load_run(struct load *load)
{
    const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct connection *connections = calloc((size_t)load->connections, sizeof(*connections));
    if (epoll_fd < 0 || connections == NULL)
        die("load");
    for (int i = 0; i < load->connections; i++) {
        connections[i].fd = open_connection(load->url);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connections[i].fd, &event) != 0)
            die("epoll_ctl");
        send_request(load, &connections[i]);
    }
    const int64_t start_ns = clock_mono_ns();
    const int64_t end_ns = start_ns + load->duration_ms * 1000000;
    while (clock_mono_ns() < end_ns) {
        struct epoll_event events[128];
        const int n = epoll_wait(epoll_fd, events, 128, 100);
        for (int i = 0; i < n; i++)
            serve(load, epoll_fd, events[i].data.ptr);
    }
    load->seconds = (double)(clock_mono_ns() - start_ns) / 1e9;
    for (int i = 0; i < load->connections; i++)
        (void)close(connections[i].fd);
    free(connections);
    (void)close(epoll_fd);
}
