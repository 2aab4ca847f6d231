#ifndef SERVICE_HTTP_STREAM_H
#define SERVICE_HTTP_STREAM_H

/*
 * stream.h - an answer that goes on: server-sent events, lines, a log that is followed.
 *
 * Two sides share it: the connection, which sends what is in the stream's buffer and sleeps
 * (suspended) while it is empty, and a producer, which writes. The buffer is bounded: a client that
 * does not read loses its stream, never our memory.
 *
 * Threads: write, end, closed and release from any one producer at a time.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "service/http/request.h"

#define HTTP_STREAM_BYTES_MAX (512 * KIB)

struct http_stream;

/* Replies 200 with a stream; the reference is the producer's. NULL: replied with a problem. */
struct http_stream *http_reply_stream(struct http_request *request, const char *type);
/* False when the client has left or its buffer is full (the stream ends after what it holds). */
MUST_CHECK bool http_stream_write(struct http_stream *stream, const char *bytes, size_t size);
/* Nothing more comes: the answer ends after what is in the buffer. */
void http_stream_end(struct http_stream *stream);
/* The client has left, or the stream has ended: nobody will read what is written from here on. */
bool http_stream_closed(struct http_stream *stream);
size_t http_stream_pending(struct http_stream *stream);
void http_stream_release(struct http_stream *stream); /* the producer's reference; ends it */

#endif
