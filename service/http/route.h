#ifndef SERVICE_HTTP_ROUTE_H
#define SERVICE_HTTP_ROUTE_H

/*
 * route.h - what a path leads to: one row for each (method, path), with everything that is checked
 * before a handler runs. A table ends with a row whose path is NULL.
 *
 * A pattern's segments are literal or {names}; the first row that fits wins, so literal segments
 * stand before names. HEAD is answered as GET without a body.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/names.h"

struct http_request;

#define HTTP_PARAMS_MAX      5
#define HTTP_PARAM_BYTES_MAX 128
#define HTTP_ALLOW_BYTES     64

enum http_method { HTTP_GET, HTTP_POST, HTTP_PUT, HTTP_DELETE, HTTP_METHOD_COUNT };
extern const char *const http_method_names[]; /* ends with NULL */

/* What a request's body must be. */
enum http_body {
    HTTP_BODY_NONE,   /* none; `{}` or nothing */
    HTTP_BODY_JSON,   /* application/json, collected */
    HTTP_BODY_NDJSON, /* application/x-ndjson, collected */
    HTTP_BODY_BYTES,  /* any bytes, handed to the route's sink as they come */
};

/*
 * Answers a request: calls exactly one http_reply_...() or http_suspend(). Runs on a thread of the
 * server's pool, so it never waits.
 */
typedef void http_handler_fn(struct http_request *request);

/*
 * Takes a piece of a streamed body (HTTP_BODY_BYTES); the first call has size 0 and comes before any
 * byte. False: it has replied with a problem; the rest of the body is thrown away.
 */
typedef bool http_sink_fn(struct http_request *request, const char *bytes, size_t size);

#define ROLE_BIT(role) (1u << (role))
#define ROLES_PUBLIC   0u

struct http_route {
    enum http_method method;
    const char *path; /* "/v1/jobs/{id}/cancel" */
    unsigned roles;   /* ROLE_BIT()s; ROLES_PUBLIC: no credential is asked for */
    enum http_body body;
    uint64_t body_bytes_max;
    http_handler_fn *handler;
    http_sink_fn *sink;         /* HTTP_BODY_BYTES only */
    const char *const *queries; /* query parameters it knows, ends with NULL; NULL: none */
};

/* A raw (still escaped) segment of the path. */
struct http_segment {
    const char *text;
    size_t size;
};

struct http_match {
    const struct http_route *route; /* NULL: nothing fits */
    size_t param_count;
    struct http_segment params[HTTP_PARAMS_MAX];
    char allow[HTTP_ALLOW_BYTES]; /* methods that the path has, for 405; "": unknown path */
};

/* `method` is the request's own word; "HEAD" counts as "GET". */
void http_route_match(const struct http_route *table, const char *method, const char *path,
                      struct http_match *out);

/*
 * Decodes %XX into `out`; `plus` also turns + into a space (queries). False for a bad escape, a NUL, bytes that
 * are no UTF-8, or a result that does not fit.
 */
bool http_unescape(const char *text, size_t size, bool plus, char *out, size_t out_bytes);

#endif
