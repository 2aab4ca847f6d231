#ifndef SERVICE_HTTP_SERVER_H
#define SERVICE_HTTP_SERVER_H

/*
 * server.h - a listener with its own limits and its pool of threads. The only module that knows
 * libmicrohttpd.
 *
 * Each request passes the same gates in the same order: length of the target and the headers, host,
 * route and method, credential and role, escapes and names of the query, length and type of the
 * body. Then its handler runs.
 *
 * Threads: open and close from one thread; the rest from any.
 * Errors:  what is wrong on the level of HTTP (404, 405, 413, ...) is answered here, as a problem.
 *          Bytes that libmicrohttpd itself can't read as HTTP get its own short answer (README.md).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "service/http/auth.h"
#include "service/http/hold.h"
#include "service/http/route.h"

#define HTTP_ENDPOINT_BYTES 128

struct http_server;

struct http_server_options {
    const char *name;   /* for threads and messages: "api", "agents" */
    const char *listen; /* "127.0.0.1:8484", "[::1]:0" */
    const struct http_route *routes;
    void *world; /* handed to handlers */
    struct auth *auth;
    unsigned threads;
    unsigned connections_max;
    unsigned connections_per_address_max;
    unsigned idle_timeout_s;
    int64_t arrival_timeout_ms; /* a head, and then a body, must be here by then (pace.h) */
    size_t connection_bytes;    /* memory of each connection: also bounds its headers */
};

/* Binds the address; whoever connects from now on is answered after http_server_start(). */
MUST_CHECK enum status http_server_open(const struct http_server_options *options,
                                        struct http_server **out, struct error *err);
MUST_CHECK enum status http_server_start(struct http_server *server, struct error *err);
/* "http://127.0.0.1:8484", with the port that was really bound. */
const char *http_server_url(const struct http_server *server);
/* New requests are answered 503 "stopping"; what is under way goes on. */
void http_server_quiesce(struct http_server *server);
/* Requests that are suspended now: whoever holds them lets them go before close. */
size_t http_server_suspended(const struct http_server *server);
/* Requests that were read whole and whose answer is not sent yet: closing would cut it off. */
size_t http_server_owed(const struct http_server *server);
void http_server_close(struct http_server *server); /* accepts NULL */

/* Counts since the start, for /metrics. `code` 100..599. */
uint64_t http_server_replies(const struct http_server *server, unsigned code);
uint64_t http_server_requests(const struct http_server *server);
int64_t http_server_connections(const struct http_server *server);

#endif
