#include "trainer/comm/rendezvous_server.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "trainer/comm/net.h"
#include "trainer/comm/rendezvous_store.h"

enum {
    STRANGER_MS = 2000, /* a connection must prove itself within this time */
    FLUSH_MS = 1000,    /* at the end, for ranks that are slow to read their last answer */
    READ_BYTES = 4096,
    ADMITTED_MAX = 4,  /* connections between two looks at those that are there */
    BACKLOG = 256,     /* connections that wait for that */
    FIXED_ENTRIES = 2, /* listener and quit event come first in the poll array */
};

struct rendezvous_server {
    struct store store;
    int listener;
    int quit_fd;
    int *sockets; /* (store.visitor_count): -1 where the visitor is not open */
    struct pollfd *entries;
    pthread_t thread;
    bool thread_runs;
};

static void drop(struct rendezvous_server *server, ptrdiff_t i)
{
    (void)close(server->sockets[i]);
    server->sockets[i] = -1;
    store_visitor_leave(&server->store, &server->store.visitors[i]);
}

/* A few at a time, so that each gets its chance to be read before it is the oldest stranger. */
static void admit(struct rendezvous_server *server)
{
    for (int i = 0; i < ADMITTED_MAX; i++) {
        const int fd = net_accept_now(server->listener);
        if (fd < 0)
            return;
        const int64_t now_mono_ms = clock_mono_ms();
        struct store_visitor *visitor = store_visitor_enter(&server->store, now_mono_ms);
        if (visitor == NULL) {
            drop(server, store_oldest_stranger(&server->store) - server->store.visitors);
            visitor = store_visitor_enter(&server->store, now_mono_ms);
            assert(visitor != NULL);
        }
        server->sockets[visitor - server->store.visitors] = fd;
    }
}

/* False: the connection is over. */
static bool read_from(struct rendezvous_server *server, size_t i)
{
    uint8_t bytes[READ_BYTES];
    const ssize_t got = recv(server->sockets[i], bytes, sizeof(bytes), 0);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    /* What is wrong with the bytes is told to the sender by closing; the others are told by us. */
    return got > 0 && store_visitor_input(&server->store, &server->store.visitors[i], bytes,
                                          (size_t)got, NULL) == STATUS_OK;
}

static bool write_to(struct rendezvous_server *server, size_t i)
{
    struct buf *output = &server->store.visitors[i].output;
    while (output->size > 0) {
        const ssize_t sent = send(server->sockets[i], output->data, output->size, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        buf_consume(output, (size_t)sent);
    }
    return true;
}

static void serve_visitors(struct rendezvous_server *server)
{
    const int64_t now_mono_ms = clock_mono_ms();
    for (size_t i = 0; i < server->store.visitor_count; i++) {
        const struct store_visitor *visitor = &server->store.visitors[i];
        const struct pollfd *entry = &server->entries[FIXED_ENTRIES + i];
        if (server->sockets[i] < 0 || entry->fd != server->sockets[i])
            continue;
        if ((entry->revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !read_from(server, i))
            drop(server, (ptrdiff_t)i);
        else if (!visitor->member && now_mono_ms - visitor->since_mono_ms >= STRANGER_MS)
            drop(server, (ptrdiff_t)i);
    }
    for (size_t i = 0; i < server->store.visitor_count; i++) {
        if (server->sockets[i] >= 0 && !write_to(server, i))
            drop(server, (ptrdiff_t)i);
    }
}

/* Fills the poll array; returns whether anything is still to be sent, and to a stranger's limit. */
static bool arm(struct rendezvous_server *server, int *out_timeout_ms)
{
    bool pending = false;
    *out_timeout_ms = -1;
    for (size_t i = 0; i < server->store.visitor_count; i++) {
        struct pollfd *entry = &server->entries[FIXED_ENTRIES + i];
        *entry = (struct pollfd){.fd = server->sockets[i], .events = POLLIN};
        if (server->sockets[i] < 0)
            continue;
        if (server->store.visitors[i].output.size > 0) {
            entry->events |= POLLOUT;
            pending = true;
        }
        if (!server->store.visitors[i].member)
            *out_timeout_ms = STRANGER_MS;
    }
    return pending;
}

static void *server_main(void *argument)
{
    struct rendezvous_server *server = argument;
    int64_t flush_until_ms = INT64_MAX;

    for (;;) {
        int timeout_ms = 0;
        const bool quitting = flush_until_ms != INT64_MAX;
        const bool pending = arm(server, &timeout_ms);
        if (quitting && (!pending || clock_mono_ms() >= flush_until_ms))
            return NULL;
        server->entries[0] =
            (struct pollfd){.fd = quitting ? -1 : server->listener, .events = POLLIN};
        server->entries[1] =
            (struct pollfd){.fd = quitting ? -1 : server->quit_fd, .events = POLLIN};
        if (quitting)
            timeout_ms = net_wait_ms(flush_until_ms);
        if (poll(server->entries, FIXED_ENTRIES + server->store.visitor_count, timeout_ms) < 0)
            continue; /* EINTR */
        serve_visitors(server);
        if (server->entries[0].revents != 0) {
            admit(server);
            for (size_t i = 0; i < server->store.visitor_count; i++)
                (void)(server->sockets[i] >= 0 && write_to(server, i)); /* HELLO goes out at once */
        }
        if (server->entries[1].revents != 0)
            flush_until_ms = clock_mono_ms() + FLUSH_MS;
    }
}

static enum status allocate(struct rendezvous_server *server, struct error *err)
{
    const size_t count = server->store.visitor_count;
    server->sockets = malloc(count * sizeof(*server->sockets));
    server->entries = calloc(FIXED_ENTRIES + count, sizeof(*server->entries));
    if (server->sockets == NULL || server->entries == NULL)
        return error_set(err, STATUS_NO_MEMORY, "rendezvous: out of memory for %zu connections",
                         count);
    for (size_t i = 0; i < count; i++)
        server->sockets[i] = -1;
    return STATUS_OK;
}

enum status rendezvous_server_start(const struct rendezvous_place *place,
                                    struct rendezvous_server **out, struct error *err)
{
    CLEANUP(rendezvous_server_cleanup)
    struct rendezvous_server *server = calloc(1, sizeof(*server));
    if (server == NULL)
        return error_set(err, STATUS_NO_MEMORY, "rendezvous: out of memory");
    server->listener = -1;
    server->quit_fd = -1;
    TRY(store_init(&server->store, place, err));
    TRY(allocate(server, err));
    TRY(net_listen(place->address, place->port, place->world_size + BACKLOG, &server->listener,
                   err));
    server->quit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->quit_fd < 0)
        return error_set_errno(err, STATUS_INTERNAL, errno, "rendezvous: eventfd");
    const int rc = pthread_create(&server->thread, NULL, server_main, server);
    if (rc != 0)
        return error_set_errno(err, STATUS_INTERNAL, rc, "rendezvous: thread");
    server->thread_runs = true;
    (void)pthread_setname_np(server->thread, "rendezvous");
    *out = TAKE(server);
    return STATUS_OK;
}

void rendezvous_server_stop(struct rendezvous_server *server)
{
    if (server == NULL)
        return;
    if (server->thread_runs) {
        const uint64_t one = 1;
        (void)!write(server->quit_fd, &one, sizeof(one)); /* cannot be full: written once */
        (void)pthread_join(server->thread, NULL);
    }
    for (size_t i = 0; server->sockets != NULL && i < server->store.visitor_count; i++)
        fd_cleanup(&server->sockets[i]);
    fd_cleanup(&server->listener);
    fd_cleanup(&server->quit_fd);
    store_clear(&server->store);
    free(server->sockets);
    free(server->entries);
    free(server);
}

void rendezvous_server_cleanup(struct rendezvous_server **server)
{
    rendezvous_server_stop(*server);
}
