#include "service/http/stream.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "service/http/request_own.h"

#define BLOCK_BYTES 4096

struct http_stream {
    pthread_mutex_t lock; /* guards everything below */
    struct MHD_Connection *connection;
    struct http_server *server;
    int fd; /* the connection's socket: open as long as it is suspended */
    struct buf pending;
    bool sleeping; /* the connection is suspended */
    bool ended;    /* no more will be written */
    bool closed;   /* the client has left */
    int references;
};

/* Drops a reference; frees with the last one. The caller holds the lock and loses it. */
static void unlock_and_drop(struct http_stream *stream)
{
    const bool last = --stream->references == 0;
    pthread_mutex_unlock(&stream->lock);
    if (!last)
        return;
    buf_clear(&stream->pending);
    pthread_mutex_destroy(&stream->lock);
    free(stream);
}

static ssize_t send_pending(void *context, uint64_t position, char *out, size_t size)
{
    (void)position;
    struct http_stream *stream = context;
    ssize_t result = MHD_CONTENT_READER_END_OF_STREAM;
    pthread_mutex_lock(&stream->lock);
    if (stream->pending.size > 0) {
        const size_t piece = size < stream->pending.size ? size : stream->pending.size;
        memcpy(out, stream->pending.data, piece);
        buf_consume(&stream->pending, piece);
        result = (ssize_t)piece;
    } else if (!stream->ended) {
        stream->sleeping = true;
        http_server_note_suspended(stream->server, +1);
        MHD_suspend_connection(stream->connection);
        result = 0;
    }
    pthread_mutex_unlock(&stream->lock);
    return result;
}

static void connection_done(void *context)
{
    struct http_stream *stream = context;
    pthread_mutex_lock(&stream->lock);
    stream->closed = true;
    unlock_and_drop(stream);
}

/* The caller holds the lock. */
static void wake(struct http_stream *stream)
{
    if (!stream->sleeping)
        return;
    stream->sleeping = false;
    MHD_resume_connection(stream->connection);
    http_server_note_suspended(stream->server, -1);
}

struct http_stream *http_reply_stream(struct http_request *request, const char *type)
{
    if (request->is_head) { /* the library would end a body that it must not begin */
        http_reply_empty(request, 200);
        http_reply_header(request, "Content-Type", type);
        return NULL;
    }
    struct http_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL) {
        http_reply_problem(request, 503, "no_memory", "out of memory");
        return NULL;
    }
    pthread_mutex_init(&stream->lock, NULL);
    stream->connection = request->connection;
    stream->server = request->server;
    stream->fd = http_socket(request);
    stream->references = 2;
    buf_init(&stream->pending, HTTP_STREAM_BYTES_MAX);
    request->response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES,
                                                          send_pending, stream, connection_done);
    assert(request->response != NULL);
    request->code = 200;
    http_reply_header(request, "Content-Type", type);
    http_reply_header(request, "X-Accel-Buffering", "no");
    return stream;
}

bool http_stream_write(struct http_stream *stream, const char *bytes, size_t size)
{
    pthread_mutex_lock(&stream->lock);
    bool taken = !stream->closed && !stream->ended;
    if (taken && stream->pending.size + size > HTTP_STREAM_BYTES_MAX) {
        stream->ended = true;
        taken = false;
    }
    if (taken)
        buf_append(&stream->pending, bytes, size);
    wake(stream);
    pthread_mutex_unlock(&stream->lock);
    return taken;
}

void http_stream_end(struct http_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    stream->ended = true;
    wake(stream);
    pthread_mutex_unlock(&stream->lock);
}

/* The library does not watch a suspended connection's socket. The caller holds the lock. */
static bool client_left(const struct http_stream *stream)
{
    struct pollfd socket = {.fd = stream->fd, .events = POLLRDHUP};
    return stream->sleeping && poll(&socket, 1, 0) == 1;
}

bool http_stream_closed(struct http_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    if (!stream->closed && client_left(stream)) {
        stream->ended = true;
        wake(stream); /* the library finds out, and lets go of its connection */
    }
    const bool closed = stream->closed || stream->ended;
    pthread_mutex_unlock(&stream->lock);
    return closed;
}

size_t http_stream_pending(struct http_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    const size_t size = stream->pending.size;
    pthread_mutex_unlock(&stream->lock);
    return size;
}

void http_stream_release(struct http_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    stream->ended = true;
    wake(stream);
    unlock_and_drop(stream);
}
