#include "tests/unit/http_peer.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/unit.h"

struct http_peer {
    int listener;
    char url[64];
    http_peer_fn *speak;
    void *context;
    atomic_int connections;
    pthread_t thread;
};

static void *serve(void *context)
{
    struct http_peer *peer = context;
    for (;;) {
        const int fd = accept(peer->listener, NULL, NULL);
        if (fd < 0)
            return NULL; /* http_peer_stop() has shut the listener down */
        atomic_fetch_add(&peer->connections, 1);
        peer->speak(fd, peer->context);
        (void)close(fd);
    }
}

struct http_peer *http_peer_start(http_peer_fn *speak, void *context)
{
    struct http_peer *peer = calloc(1, sizeof(*peer));
    assert_non_null(peer);
    peer->speak = speak;
    peer->context = context;
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(peer->listener >= 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(peer->listener, 16), 0);
    assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(peer->url, sizeof(peer->url), "http://127.0.0.1:%u",
                   (unsigned)ntohs(address.sin_port));
    assert_int_equal(pthread_create(&peer->thread, NULL, serve, peer), 0);
    return peer;
}

void http_peer_stop(struct http_peer *peer)
{
    (void)shutdown(peer->listener, SHUT_RDWR);
    assert_int_equal(pthread_join(peer->thread, NULL), 0);
    (void)close(peer->listener);
    free(peer);
}

const char *http_peer_url(const struct http_peer *peer)
{
    return peer->url;
}

int http_peer_connections(struct http_peer *peer)
{
    return atomic_load(&peer->connections);
}

/* Bytes that the header says will follow it. */
static size_t body_bytes(const char *request)
{
    const char *length = strcasestr(request, "\r\nContent-Length:");
    return length == NULL ? 0 : strtoul(length + strlen("\r\nContent-Length:"), NULL, 10);
}

bool http_peer_read(int fd, struct buf *out)
{
    buf_reset(out);
    for (;;) {
        const char *end = strstr(out->data, "\r\n\r\n");
        if (end != NULL && out->size >= (size_t)(end + 4 - out->data) + body_bytes(out->data))
            return true;
        char bytes[4096];
        const ssize_t got = recv(fd, bytes, sizeof(bytes), 0);
        if (got <= 0)
            return false;
        buf_append(out, bytes, (size_t)got);
        if (out->failed != STATUS_OK)
            return false;
    }
}

void http_peer_write(int fd, const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        const ssize_t sent = send(fd, text, left, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* the client has gone away, which some tests want */
        text += sent;
        left -= (size_t)sent;
    }
}
