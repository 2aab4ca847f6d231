#ifndef BASE_HTTP_CLIENT_H
#define BASE_HTTP_CLIENT_H

/*
 * http_client.h - HTTP/1.1 requests, kept-alive. The only module that knows libcurl.
 *
 * Threads: a client belongs to one thread; http_client_abort() alone may come from another.
 * Errors:  a response of any code is STATUS_OK; STATUS_UNAVAILABLE when there is none (refused,
 *          timed out, cut off, aborted); STATUS_TOO_LARGE when a body passes its limit.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

struct http_client;

struct http_client_options {
    const char *base_url; /* "http://127.0.0.1:8484"; copied */
    const char *token;    /* bearer token or NULL; copied */
    int64_t connect_timeout_ms;
    const char *user_agent; /* NULL: "reprise/<version>" */
};

/* Called with pieces of a streamed answer; false stops the transfer (STATUS_UNAVAILABLE). */
typedef bool http_chunk_fn(void *context, const char *bytes, size_t size);

struct http_exchange {
    const char *method;         /* "GET", "POST", "PUT", "DELETE" */
    const char *path;           /* with query, from the root: "/v1/jobs?limit=5" */
    const char *content_type;   /* NULL: application/json when there is a body */
    const char *const *headers; /* "Name: value", ends with NULL; may be NULL */
    const void *body;           /* NULL: none */
    size_t body_bytes;
    int body_fd; /* used instead of `body` when body_fd_bytes > 0: sent from offset 0 */
    uint64_t body_fd_bytes;
    int64_t timeout_ms; /* whole exchange; 0: none */
    /*
     * The body of a 2xx answer goes to: a chunk function, else a file descriptor, else `out_body`;
     * that of any other, which is a problem to read, to `out_body`.
     */
    http_chunk_fn *chunk;
    void *chunk_context;
    int out_fd; /* used when out_fd_bytes_max > 0 */
    uint64_t out_fd_bytes_max;
    struct buf *out_body; /* initialised by the caller, whose maximum bounds it; may be NULL */
    long out_code;        /* set on STATUS_OK */
    char out_etag[80];
    char out_location[160];
    int64_t out_retry_after_s; /* 0: none */
    bool out_replayed;         /* Idempotency-Replayed: true */
};

MUST_CHECK enum status http_client_new(const struct http_client_options *options,
                                       struct http_client **out, struct error *err);
void http_client_free(struct http_client *client); /* accepts NULL */
void http_client_cleanup(struct http_client **client);
void http_client_set_token(struct http_client *client, const char *token);
MUST_CHECK enum status http_client_send(struct http_client *client, struct http_exchange *exchange,
                                        struct error *err);
/* Makes the exchange in progress, and every later one until http_client_arm(), end at once. */
void http_client_abort(struct http_client *client);
void http_client_arm(struct http_client *client);

/* Percent-encodes one path segment or query value into `out`. */
void url_append_escaped(struct buf *out, const char *text);

#endif
