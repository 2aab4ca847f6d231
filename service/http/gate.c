#include "service/http/gate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

bool http_gate_target(struct http_request *request, const char *raw)
{
    const size_t size = strnlen(raw, HTTP_TARGET_BYTES_MAX + 1);
    if (size > HTTP_TARGET_BYTES_MAX)
        return false;
    request->target = strdup(raw);
    return request->target != NULL;
}

static enum MHD_Result add_header_bytes(void *context, enum MHD_ValueKind kind, const char *name,
                                        const char *value)
{
    (void)kind;
    size_t *total = context;
    *total += strlen(name) + (value != NULL ? strlen(value) : 0) + 4; /* ": " and CRLF */
    return MHD_YES;
}

static bool sizes_pass(struct http_request *request)
{
    if (request->target_too_long || request->target == NULL) {
        http_reply_problem(request, 414, "uri_too_long", "the target is over %d bytes",
                           HTTP_TARGET_BYTES_MAX);
        return false;
    }
    size_t header_bytes = 0;
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, add_header_bytes,
                              &header_bytes);
    if (header_bytes > HTTP_HEADERS_MAX) {
        http_reply_problem(request, 431, "headers_too_large", "the headers are over %d bytes",
                           HTTP_HEADERS_MAX);
        return false;
    }
    return true;
}

struct header_count {
    const char *name;
    int count;
};

static enum MHD_Result count_header(void *context, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    (void)kind;
    (void)value;
    struct header_count *wanted = context;
    wanted->count += strcasecmp(name, wanted->name) == 0 ? 1 : 0;
    return MHD_YES;
}

static bool stands_once(struct http_request *request, const char *name)
{
    struct header_count header = {.name = name};
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, count_header, &header);
    if (header.count < 2)
        return true;
    http_reply_problem(request, 400, "bad_request", "header %s stands there %d times", name,
                       header.count);
    return false;
}

/* A proxy before us could take one for the body's end, or its host, and we the other. */
static bool framing_passes(struct http_request *request)
{
    const char *transfer = http_header(request, "Transfer-Encoding");
    bool passes = stands_once(request, "Host") && stands_once(request, "Content-Length");
    if (passes && transfer != NULL && http_header(request, "Content-Length") != NULL) {
        http_reply_problem(request, 400, "bad_length",
                           "expected Content-Length or Transfer-Encoding, got both");
        passes = false;
    } else if (passes && transfer != NULL && strcasecmp(transfer, "chunked") != 0) {
        http_reply_problem(request, 501, "unsupported_encoding",
                           "expected Transfer-Encoding chunked, got \"%.64s\"", transfer);
        passes = false;
    }
    request->close = request->close || !passes;
    return passes;
}

/*
 * On loopback a browser can be led here by a name that an attacker's DNS answers with 127.0.0.1; its
 * Host header tells.
 */
static bool host_passes(struct http_request *request)
{
    static const char *const allowed[] = {"localhost", "127.0.0.1", "[::1]"};
    const char *host = http_header(request, "Host");
    if (host == NULL)
        return true; /* HTTP/1.0: no browser */
    const char *end = host[0] == '[' ? strchr(host, ']') : NULL;
    const size_t size = end != NULL ? (size_t)(end - host) + 1 : strcspn(host, ":");
    for (size_t i = 0; i < COUNT_OF(allowed); i++) {
        if (strlen(allowed[i]) == size && strncasecmp(allowed[i], host, size) == 0)
            return true;
    }
    http_reply_problem(request, 421, "wrong_host",
                       "this server listens on loopback and does not answer for host \"%.100s\"",
                       host);
    return false;
}

static bool caller_passes(struct http_request *request, struct auth *auth)
{
    struct error err = {0};
    struct auth_token token = {0};
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const enum status status = auth_check(auth, http_header(request, "Authorization"),
                                          info != NULL ? info->client_addr : NULL, clock_wall_ms(),
                                          request->received_mono_ms, &token, &err);
    if (status != STATUS_OK) {
        http_reply_problem(request, http_code_of_status(status),
                           status == STATUS_BUSY ? "too_many_failures" : "unauthorized", "%s",
                           err.text);
        return false;
    }
    memcpy(request->caller.token, token.id, sizeof(request->caller.token));
    memcpy(request->caller.project, token.project, sizeof(request->caller.project));
    memcpy(request->caller.node, token.node, sizeof(request->caller.node));
    request->caller.role = token.role;
    if ((request->route->roles & ROLE_BIT(token.role)) == 0) {
        http_reply_problem(request, 403, "forbidden", "a token of role %s may not %s %s",
                           role_names[token.role], http_method_names[request->route->method],
                           request->route->path);
        return false;
    }
    return true;
}

static const char *keep_text(struct http_request *request, const char *text, size_t size, bool plus)
{
    char *place = request->text + request->text_used;
    if (!http_unescape(text, size, plus, place, size + 1))
        return NULL;
    request->text_used += strlen(place) + 1;
    return place;
}

static bool params_pass(struct http_request *request, const struct http_match *match)
{
    for (size_t i = 0; i < match->param_count; i++) {
        const struct http_segment *raw = &match->params[i];
        const char *text = raw->size <= HTTP_PARAM_BYTES_MAX
                               ? keep_text(request, raw->text, raw->size, false)
                               : NULL;
        if (text == NULL) {
            http_reply_problem(request, 400, "bad_path",
                               "path segment %zu of %s is not valid or over %d bytes", i + 1,
                               request->route->path, HTTP_PARAM_BYTES_MAX);
            return false;
        }
        request->params[request->param_count++] = text;
    }
    return true;
}

static bool query_is_known(const struct http_route *route, const char *name)
{
    for (const char *const *known = route->queries; known != NULL && *known != NULL; known++) {
        if (strcmp(*known, name) == 0)
            return true;
    }
    return false;
}

static bool query_pair_passes(struct http_request *request, const char *text, size_t size)
{
    const char *equals = memchr(text, '=', size);
    const size_t name_size = equals != NULL ? (size_t)(equals - text) : size;
    const char *name = keep_text(request, text, name_size, true);
    const char *value =
        equals == NULL ? "" : keep_text(request, equals + 1, size - name_size - 1, true);
    if (name == NULL || value == NULL || strlen(value) > HTTP_QUERY_BYTES_MAX) {
        http_reply_problem(request, 400, "bad_query",
                           "the query has a parameter that is not valid or over %d bytes",
                           HTTP_QUERY_BYTES_MAX);
        return false;
    }
    if (!query_is_known(request->route, name)) {
        http_reply_problem(request, 400, "unknown_query", "%s %s has no query parameter \"%.64s\"",
                           http_method_names[request->route->method], request->route->path, name);
        return false;
    }
    if (http_query(request, name) != NULL || request->query_count == HTTP_QUERIES_MAX) {
        http_reply_problem(request, 400, "bad_query", "query %s stands there twice", name);
        return false;
    }
    request->queries[request->query_count++] = (struct http_query_pair){name, value};
    return true;
}

static bool queries_pass(struct http_request *request, const char *query)
{
    while (query != NULL && *query != '\0') {
        const size_t size = strcspn(query, "&");
        if (size > 0 && !query_pair_passes(request, query, size))
            return false;
        query += size + (query[size] == '&' ? 1 : 0);
    }
    return true;
}

static bool type_is(const char *header, const char *type)
{
    const size_t size = strlen(type);
    return strncasecmp(header, type, size) == 0 &&
           (header[size] == '\0' || header[size] == ';' || header[size] == ' ');
}

static bool type_passes(struct http_request *request)
{
    static const char *const expected[] = {
        [HTTP_BODY_JSON] = "application/json",
        [HTTP_BODY_NDJSON] = "application/x-ndjson",
    };
    const char *encoding = http_header(request, "Content-Encoding");
    if (encoding != NULL && strcasecmp(encoding, "identity") != 0) {
        http_reply_problem(request, 415, "unsupported_encoding",
                           "expected Content-Encoding identity, got \"%.64s\"", encoding);
        return false;
    }
    const enum http_body body = request->route->body;
    const char *type = http_header(request, "Content-Type");
    if (type == NULL || (body != HTTP_BODY_JSON && body != HTTP_BODY_NDJSON))
        return true;
    if (type_is(type, expected[body]) ||
        (body == HTTP_BODY_NDJSON && type_is(type, "application/json")))
        return true;
    http_reply_problem(request, 415, "unsupported_media_type",
                       "expected Content-Type %s, got \"%.64s\"", expected[body], type);
    return false;
}

static bool length_passes(struct http_request *request)
{
    const char *text = http_header(request, "Content-Length");
    const char *transfer = http_header(request, "Transfer-Encoding");
    request->content_length = transfer == NULL ? 0 : -1;
    if (text != NULL && transfer == NULL) {
        char *end = NULL;
        errno = 0;
        const long long length = strtoll(text, &end, 10);
        if (errno != 0 || end == text || *end != '\0' || length < 0) {
            http_reply_problem(request, 400, "bad_length", "Content-Length \"%.32s\" is no length",
                               text);
            return false;
        }
        request->content_length = length;
    }
    const uint64_t max = request->route->body_bytes_max;
    if (request->content_length > 0 && (uint64_t)request->content_length > max) {
        http_reply_problem(
            request, 413, "too_large", "the body has %lld bytes, %s %s takes at most %llu",
            (long long)request->content_length, http_method_names[request->route->method],
            request->route->path, (unsigned long long)max);
        request->close = true;
        return false;
    }
    return true;
}

static bool route_passes(struct http_request *request, const struct http_route *routes,
                         const char *method, struct http_match *match)
{
    http_route_match(routes, method, request->target, match);
    if (match->route != NULL) {
        request->route = match->route;
        return true;
    }
    if (match->allow[0] == '\0') {
        http_reply_problem(request, 404, "no_such_path", "there is no %.200s", request->target);
        return false;
    }
    http_reply_problem(request, 405, "method_not_allowed", "%.200s takes %s, got %.16s",
                       request->target, match->allow, method);
    http_reply_header(request, "Allow", match->allow);
    return false;
}

bool http_gate_pass(struct http_request *request, const struct http_route *routes,
                    struct auth *auth, bool loopback_only, const char *method)
{
    if (!sizes_pass(request) || !framing_passes(request) ||
        (loopback_only && !host_passes(request)))
        return false;
    char *query = strchr(request->target, '?');
    if (query != NULL)
        *query++ = '\0';
    struct http_match match;
    if (!route_passes(request, routes, method, &match))
        return false;
    if (request->route->roles != ROLES_PUBLIC && !caller_passes(request, auth))
        return false;
    /* Each text is at most as long as its raw form, and has one NUL. */
    const size_t query_bytes = query != NULL ? strlen(query) : 0;
    request->text = malloc(strlen(request->target) + query_bytes + HTTP_TARGET_BYTES_MAX);
    if (request->text == NULL) {
        http_reply_problem(request, 503, "no_memory", "out of memory");
        return false;
    }
    return params_pass(request, &match) && queries_pass(request, query) && length_passes(request) &&
           type_passes(request);
}
