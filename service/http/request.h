#ifndef SERVICE_HTTP_REQUEST_H
#define SERVICE_HTTP_REQUEST_H

/*
 * request.h - one request, as a handler sees it: who asks, for what, and the ways to answer.
 *
 * Before a handler runs the server has checked: method and path, host, credential, role, length and
 * type of the body, escapes and names of the query. So a handler decodes, hands over, answers.
 *
 *     handler ──▶ http_reply_...()                              at once
 *             └─▶ http_suspend(next) ─ ─ http_resume() ──▶ next()    later, on a pool thread again
 *
 * Threads:   everything here belongs to the thread that runs the handler, except http_resume(), which
 *            any thread may call, once for each http_suspend(). Between the two the thread that will
 *            resume owns the request's context.
 * Errors:    http_reply_error() and its kin write application/problem+json (RFC 9457); no other error
 *            shape leaves the service.
 * Ownership: texts are borrowed until the request ends.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/id.h"
#include "base/json.h"
#include "schema/names.h"
#include "service/http/route.h"

#define HTTP_REQUEST_ID_BYTES 24
#define HTTP_CODE_BYTES       48

struct http_caller {
    char token[ID_BYTES_MAX]; /* id of the token; "": nobody (public route) */
    enum role role;
    char project[64];        /* "": all projects */
    char node[ID_BYTES_MAX]; /* role node: which one */
};

/* What was asked */
const struct http_caller *http_caller(const struct http_request *request);
const char *http_param(const struct http_request *request, size_t index); /* unescaped */
size_t http_param_count(const struct http_request *request);
const char *http_query(const struct http_request *request, const char *name);  /* NULL: absent */
const char *http_header(const struct http_request *request, const char *name); /* NULL: absent */
const char *http_body(const struct http_request *request, size_t *out_size);
uint64_t http_body_bytes(const struct http_request *request); /* so far, also of a streamed one */
int64_t http_content_length(const struct http_request *request); /* -1: not said */
/* When its headers were here: the listener's stamp, CLOCK_BOOTTIME. */
int64_t http_received_boot_ms(const struct http_request *request);
int http_socket(const struct http_request *request);
/* What the server was opened with: the world of the handlers. */
void *http_world(const struct http_request *request);

/*
 * A query parameter as an integer; absent leaves *out alone. False: out of range or no number, and
 * the problem has been replied.
 */
MUST_CHECK bool http_query_int(struct http_request *request, const char *name, int64_t min,
                               int64_t max, int64_t *out);
/* The same for "true" and "false", and for durations such as "30s". */
MUST_CHECK bool http_query_bool(struct http_request *request, const char *name, bool *out);
MUST_CHECK bool http_query_duration(struct http_request *request, const char *name, int64_t max_ms,
                                    int64_t *out_ms);
/* The body as a JSON document (a new reference); false: the problem has been replied. */
MUST_CHECK bool http_body_json(struct http_request *request, json_t **out);

/* A handler's own data; `free` is called when the request ends. At most one. */
void http_set_context(struct http_request *request, void *context, void (*free)(void *context));
void *http_context(const struct http_request *request);

/* Answers. Each takes over what it is given. */
void http_reply_json(struct http_request *request, unsigned code, json_t *body);
/* Takes the buffer's bytes; `type` is static text. A failed buffer becomes 503. */
void http_reply_buf(struct http_request *request, unsigned code, const char *type,
                    struct buf *body);
/* Bytes that live as long as the program. */
void http_reply_static(struct http_request *request, unsigned code, const char *type,
                       const void *bytes, size_t size);
void http_reply_file(struct http_request *request, unsigned code, const char *type, int fd,
                     uint64_t size);
void http_reply_empty(struct http_request *request, unsigned code);
/* After a reply: adds a header to it. */
void http_reply_header(struct http_request *request, const char *name, const char *value);
bool http_replied(const struct http_request *request);

/* Problems */
void http_reply_problem(struct http_request *request, unsigned code, const char *word,
                        const char *fmt, ...) PRINTF_LIKE(4, 5);
void http_reply_error(struct http_request *request, const struct error *error);
/* 400 with every problem that the decoder found. */
void http_reply_problems(struct http_request *request, const struct json_problems *problems);
/* 400 about one place of the body; `got` "": `expected` is the whole message. */
void http_reply_problem_at(struct http_request *request, const char *word, const char *pointer,
                           const char *expected, const char *got);
/* The HTTP code of a status. */
unsigned http_code_of_status(enum status status);

/* Waiting */
void http_suspend(struct http_request *request, http_handler_fn *next);
void http_resume(struct http_request *request);

#endif
