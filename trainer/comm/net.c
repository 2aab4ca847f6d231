#include "trainer/comm/net.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"

enum {
    CONNECT_TRY_MS = 1000, /* a lost SYN is sent anew then, sooner than the kernel would */
    BACKOFF_MIN_MS = 1,
    BACKOFF_MAX_MS = 20,
    /* A machine that vanished without closing its connections is noticed after about 5 s. */
    KEEPALIVE_IDLE_S = 2,
    KEEPALIVE_INTERVAL_S = 1,
    KEEPALIVE_PROBES = 3,
};

static void addresses_cleanup(struct addrinfo *const *addresses)
{
    if (*addresses != NULL)
        freeaddrinfo(*addresses);
}

/* Numbers first: looking up a name costs files, sockets and, at worst, somebody else's server. */
static enum status resolve(const char *address, int port, struct addrinfo **out, struct error *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICSERV | AI_NUMERICHOST};
    char service[16];
    snprintf(service, sizeof(service), "%d", port);
    int rc = getaddrinfo(address, service, &hints, out);
    if (rc == EAI_NONAME) {
        hints.ai_flags = AI_NUMERICSERV;
        rc = getaddrinfo(address, service, &hints, out);
    }
    if (rc != 0)
        return error_set(err, rc == EAI_AGAIN ? STATUS_UNAVAILABLE : STATUS_INVALID,
                         "address %s, port %d: %s", address, port, gai_strerror(rc));
    return STATUS_OK;
}

static void set_option(int fd, int level, int name, int value)
{
    /* All of these only tune; a socket without them still works. */
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

static void tune(int fd)
{
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
}

int net_wait_ms(int64_t deadline_mono_ms)
{
    const int64_t left_ms = deadline_mono_ms - clock_mono_ms();
    if (left_ms <= 0)
        return 0;
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

/* True when one of `events` or an error is there, false when the deadline passed. */
static bool wait_for(int fd, short events, int64_t deadline_mono_ms)
{
    for (;;) {
        struct pollfd entry = {.fd = fd, .events = events};
        const int wait_ms = net_wait_ms(deadline_mono_ms);
        const int rc = poll(&entry, 1, wait_ms);
        if (rc > 0)
            return true;
        if (rc == 0 && net_wait_ms(deadline_mono_ms) == 0)
            return false;
    }
}

enum status net_listen(const char *address, int port, int backlog, int *out_fd, struct error *err)
{
    CLEANUP(addresses_cleanup) struct addrinfo *addresses = NULL;

    TRY(resolve(address, port, &addresses, err));
    CLEANUP(fd_cleanup)
    int fd = socket(addresses->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set_errno(err, STATUS_INTERNAL, errno, "socket for port %d", port);
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (bind(fd, addresses->ai_addr, addresses->ai_addrlen) != 0 || listen(fd, backlog) != 0) {
        if (errno == EADDRINUSE)
            return error_set(err, STATUS_UNAVAILABLE, "port %d of %s is in use", port, address);
        return error_set_errno(err, STATUS_UNAVAILABLE, errno, "listen on port %d of %s", port,
                               address);
    }
    *out_fd = fd;
    fd = -1;
    return STATUS_OK;
}

/* A connect() to a free port of this machine may by chance meet itself (simultaneous open). */
static bool met_itself(int fd)
{
    struct sockaddr_storage here = {0};
    struct sockaddr_storage there = {0};
    socklen_t here_bytes = sizeof(here);
    socklen_t there_bytes = sizeof(there);

    return getsockname(fd, (struct sockaddr *)&here, &here_bytes) == 0 &&
           getpeername(fd, (struct sockaddr *)&there, &there_bytes) == 0 &&
           here_bytes == there_bytes && memcmp(&here, &there, here_bytes) == 0;
}

/* One try; returns the connected socket, or -1 with errno. */
static int connect_once(const struct addrinfo *target, int64_t deadline_mono_ms)
{
    CLEANUP(fd_cleanup)
    int fd = socket(target->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    tune(fd);
    if (connect(fd, target->ai_addr, target->ai_addrlen) != 0) {
        if (errno != EINPROGRESS)
            return -1;
        int64_t try_until_ms = clock_mono_ms() + CONNECT_TRY_MS;
        if (try_until_ms > deadline_mono_ms)
            try_until_ms = deadline_mono_ms;
        int failure = ETIMEDOUT;
        socklen_t bytes = sizeof(failure);
        if (wait_for(fd, POLLOUT, try_until_ms))
            (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &bytes);
        if (failure != 0) {
            errno = failure;
            return -1;
        }
    }
    if (met_itself(fd)) {
        errno = ECONNREFUSED;
        return -1;
    }
    const int connected = fd;
    fd = -1;
    return connected;
}

static bool may_pass_by_waiting(int errnum)
{
    return errnum == ECONNREFUSED || errnum == ETIMEDOUT || errnum == ECONNRESET ||
           errnum == EHOSTUNREACH || errnum == ENETUNREACH || errnum == EINTR ||
           errnum == EADDRNOTAVAIL || errnum == EAGAIN;
}

enum status net_connect(const char *address, int port, int64_t deadline_mono_ms, int *out_fd,
                        struct error *err)
{
    CLEANUP(addresses_cleanup) struct addrinfo *addresses = NULL;
    int64_t backoff_ms = BACKOFF_MIN_MS;

    TRY(resolve(address, port, &addresses, err));
    for (;;) {
        for (const struct addrinfo *target = addresses; target != NULL; target = target->ai_next) {
            const int fd = connect_once(target, deadline_mono_ms);
            if (fd >= 0) {
                *out_fd = fd;
                return STATUS_OK;
            }
        }
        const int failure = errno;
        if (!may_pass_by_waiting(failure) || net_wait_ms(deadline_mono_ms) == 0)
            return error_set_errno(err, STATUS_UNAVAILABLE, failure, "connect to port %d of %s",
                                   port, address);
        clock_sleep_ms(backoff_ms);
        backoff_ms = backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : backoff_ms * 2;
    }
}

int net_accept_now(int listener)
{
    const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        tune(fd);
    return fd;
}

enum status net_accept(int listener, int watch_fd, int64_t deadline_mono_ms, int *out_fd,
                       struct error *err)
{
    for (;;) {
        struct pollfd entries[] = {{.fd = listener, .events = POLLIN},
                                   {.fd = watch_fd, .events = POLLIN}};
        const int rc = poll(entries, COUNT_OF(entries), net_wait_ms(deadline_mono_ms));
        if (rc > 0 && entries[1].revents != 0)
            return error_set(err, STATUS_UNAVAILABLE, "a rank left before all were connected");
        if (rc > 0) {
            const int fd = net_accept_now(listener);
            if (fd >= 0) {
                *out_fd = fd;
                return STATUS_OK;
            }
        }
        if (net_wait_ms(deadline_mono_ms) == 0)
            return error_set(err, STATUS_UNAVAILABLE, "nobody connected to port %d in time",
                             net_port(listener));
    }
}

enum status net_send_all(int fd, const void *bytes, size_t size, int64_t deadline_mono_ms,
                         const char *peer, struct error *err)
{
    const char *from = bytes;
    while (size > 0) {
        const ssize_t sent = send(fd, from, size, MSG_NOSIGNAL);
        if (sent >= 0) {
            from += sent;
            size -= (size_t)sent;
        } else if (errno == EAGAIN) {
            if (!wait_for(fd, POLLOUT, deadline_mono_ms))
                return error_set(err, STATUS_UNAVAILABLE, "%s did not read in time", peer);
        } else if (errno != EINTR) {
            return error_set_errno(err, STATUS_UNAVAILABLE, errno, "send to %s", peer);
        }
    }
    return STATUS_OK;
}

enum status net_recv_all(int fd, void *bytes, size_t size, int64_t deadline_mono_ms,
                         const char *peer, struct error *err)
{
    char *to = bytes;
    while (size > 0) {
        const ssize_t got = recv(fd, to, size, 0);
        if (got > 0) {
            to += got;
            size -= (size_t)got;
        } else if (got == 0) {
            return error_set(err, STATUS_UNAVAILABLE, "%s closed the connection", peer);
        } else if (errno == EAGAIN) {
            if (!wait_for(fd, POLLIN, deadline_mono_ms))
                return error_set(err, STATUS_UNAVAILABLE, "%s did not answer in time", peer);
        } else if (errno != EINTR) {
            return error_set_errno(err, STATUS_UNAVAILABLE, errno, "receive from %s", peer);
        }
    }
    return STATUS_OK;
}

int net_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } address = {.six = {.sin6_family = AF_UNSPEC}};
    socklen_t bytes = sizeof(address);

    if (getsockname(fd, &address.any, &bytes) != 0)
        return -1;
    return ntohs(address.any.sa_family == AF_INET6 ? address.six.sin6_port : address.four.sin_port);
}

enum status net_local_address(int fd, char out[NET_ADDRESS_BYTES], struct error *err)
{
    struct sockaddr_storage address = {0};
    socklen_t bytes = sizeof(address);

    if (getsockname(fd, (struct sockaddr *)&address, &bytes) != 0)
        return error_set_errno(err, STATUS_INTERNAL, errno, "own address of a connection");
    const int rc = getnameinfo((const struct sockaddr *)&address, bytes, out, NET_ADDRESS_BYTES,
                               NULL, 0, NI_NUMERICHOST);
    if (rc != 0)
        return error_set(err, STATUS_INTERNAL, "own address of a connection: %s", gai_strerror(rc));
    return STATUS_OK;
}
