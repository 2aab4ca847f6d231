#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "service/http/request_own.h"

#define JSON_TYPE "application/json"

const struct http_caller *http_caller(const struct http_request *request)
{
    return &request->caller;
}

const char *http_param(const struct http_request *request, size_t index)
{
    assert(index < request->param_count);
    return request->params[index];
}

size_t http_param_count(const struct http_request *request)
{
    return request->param_count;
}

const char *http_query(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < request->query_count; i++) {
        if (strcmp(request->queries[i].name, name) == 0)
            return request->queries[i].value;
    }
    return NULL;
}

const char *http_header(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *http_body(const struct http_request *request, size_t *out_size)
{
    *out_size = request->body.size;
    return request->body.data;
}

uint64_t http_body_bytes(const struct http_request *request)
{
    return request->body_bytes;
}

int64_t http_content_length(const struct http_request *request)
{
    return request->content_length;
}

int64_t http_received_boot_ms(const struct http_request *request)
{
    return request->received_boot_ms;
}

int http_socket(const struct http_request *request)
{
    return MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD)
        ->connect_fd;
}

void http_set_context(struct http_request *request, void *context, void (*free)(void *context))
{
    assert(request->context == NULL);
    request->context = context;
    request->context_free = free;
}

void *http_context(const struct http_request *request)
{
    return request->context;
}

bool http_query_int(struct http_request *request, const char *name, int64_t min, int64_t max,
                    int64_t *out)
{
    const char *text = http_query(request, name);
    if (text == NULL)
        return true;
    char *end = NULL;
    errno = 0;
    const long long number = strtoll(text, &end, 10);
    const bool digits = (text[0] >= '0' && text[0] <= '9') || text[0] == '-';
    if (!digits || errno != 0 || *end != '\0' || number < min || number > max) {
        http_reply_problem(request, 400, "bad_query",
                           "query %s: expected integer %lld..%lld, got \"%.64s\"", name,
                           (long long)min, (long long)max, text);
        return false;
    }
    *out = number;
    return true;
}

bool http_query_bool(struct http_request *request, const char *name, bool *out)
{
    const char *text = http_query(request, name);
    if (text == NULL)
        return true;
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
        http_reply_problem(request, 400, "bad_query",
                           "query %s: expected true or false, got \"%.64s\"", name, text);
        return false;
    }
    *out = text[0] == 't';
    return true;
}

bool http_query_duration(struct http_request *request, const char *name, int64_t max_ms,
                         int64_t *out_ms)
{
    const char *text = http_query(request, name);
    if (text == NULL)
        return true;
    int64_t duration_ms = 0;
    if (!duration_parse(text, &duration_ms) || duration_ms < 0) {
        http_reply_problem(request, 400, "bad_query",
                           "query %s: expected a duration such as 30s, got \"%.64s\"", name, text);
        return false;
    }
    *out_ms = duration_ms < max_ms ? duration_ms : max_ms;
    return true;
}

bool http_body_json(struct http_request *request, json_t **out)
{
    struct error err = {0};
    if (json_parse(request->body.data, request->body.size, out, &err) == STATUS_OK)
        return true;
    http_reply_problem_at(request, "bad_json", "", err.text, "");
    return false;
}

/* ---------------------------------------------------------------- answers */

static void reply(struct http_request *request, unsigned code, const char *type,
                  struct MHD_Response *response)
{
    assert(request->response == NULL);
    assert(response != NULL); /* libmicrohttpd found no memory for a few hundred bytes */
    request->code = code;
    request->response = response;
    if (type != NULL)
        http_reply_header(request, "Content-Type", type);
}

void http_reply_json(struct http_request *request, unsigned code, json_t *body)
{
    CLEANUP(json_cleanup) json_t *owned = body;
    char *text = owned == NULL ? NULL : json_dumps(owned, JSON_COMPACT);
    if (text == NULL) {
        http_reply_problem(request, 503, "no_memory", "out of memory while writing the answer");
        return;
    }
    reply(request, code, JSON_TYPE,
          MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE));
}

void http_reply_buf(struct http_request *request, unsigned code, const char *type, struct buf *body)
{
    struct error err = {0};
    if (buf_status(body, "answer", &err) != STATUS_OK) {
        http_reply_error(request, &err);
        return;
    }
    if (body->size == 0) {
        reply(request, code, type,
              MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
        return;
    }
    const size_t size = body->size;
    reply(request, code, type,
          MHD_create_response_from_buffer(size, buf_take(body), MHD_RESPMEM_MUST_FREE));
}

void http_reply_static(struct http_request *request, unsigned code, const char *type,
                       const void *bytes, size_t size)
{
    /* Persistent memory is only read; the library's parameter is not const. */
    union {
        const void *in;
        void *out;
    } cast = {.in = bytes};
    reply(request, code, type,
          MHD_create_response_from_buffer(size, cast.out, MHD_RESPMEM_PERSISTENT));
}

void http_reply_file(struct http_request *request, unsigned code, const char *type, int fd,
                     uint64_t size)
{
    reply(request, code, type, MHD_create_response_from_fd64(size, fd));
}

void http_reply_empty(struct http_request *request, unsigned code)
{
    reply(request, code, NULL, MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
}

void http_reply_header(struct http_request *request, const char *name, const char *value)
{
    assert(request->response != NULL);
    if (MHD_add_response_header(request->response, name, value) != MHD_YES)
        assert(strpbrk(value, "\r\n") == NULL); /* else only out of memory: the header is missing */
}

bool http_replied(const struct http_request *request)
{
    return request->response != NULL;
}

/* ---------------------------------------------------------------- problems */

static const char *title_of(unsigned code)
{
    static const struct {
        unsigned code;
        const char *title;
    } titles[] = {
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < COUNT_OF(titles); i++) {
        if (titles[i].code == code)
            return titles[i].title;
    }
    return "Error";
}

static json_t *problem_new(const struct http_request *request, unsigned code, const char *word,
                           const char *detail)
{
    char type[96];
    snprintf(type, sizeof(type), "urn:reprise:problem:%s", word);
    return json_pack("{s:s, s:s, s:i, s:s, s:s, s:s}", "type", type, "title", title_of(code),
                     "status", (int)code, "detail", detail, "code", word, "request_id",
                     request->id);
}

static void reply_problem_json(struct http_request *request, unsigned code, json_t *problem)
{
    CLEANUP(json_cleanup) json_t *owned = problem;
    char *text = owned == NULL ? NULL : json_dumps(owned, JSON_COMPACT);
    if (text == NULL) {
        static const char last[] = "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\","
                                   "\"status\":503,\"code\":\"no_memory\"}";
        http_reply_static(request, 503, "application/problem+json", last, sizeof(last) - 1);
        return;
    }
    reply(request, code, "application/problem+json",
          MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE));
    if (code == 429 || code == 503 || code == 507)
        http_reply_header(request, "Retry-After", code == 503 ? "1" : "60");
    if (code == 401)
        http_reply_header(request, "WWW-Authenticate", "Bearer realm=\"reprise\"");
}

/* Text from a request may hold anything: what is no UTF-8 can't stand in JSON. */
static void make_printable(char *text)
{
    for (char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
            *c = '?';
    }
}

void http_reply_problem(struct http_request *request, unsigned code, const char *word,
                        const char *fmt, ...)
{
    char detail[ERROR_TEXT_BYTES_MAX];
    va_list arguments;
    va_start(arguments, fmt);
    vsnprintf(detail, sizeof(detail), fmt, arguments);
    va_end(arguments);
    json_t *problem = problem_new(request, code, word, detail);
    if (problem == NULL) {
        make_printable(detail);
        problem = problem_new(request, code, word, detail);
    }
    reply_problem_json(request, code, problem);
}

unsigned http_code_of_status(enum status status)
{
    static const unsigned codes[STATUS_COUNT] = {
        [STATUS_OK] = 200,          [STATUS_INVALID] = 400,   [STATUS_DENIED] = 401,
        [STATUS_FORBIDDEN] = 403,   [STATUS_NOT_FOUND] = 404, [STATUS_CONFLICT] = 409,
        [STATUS_TOO_LARGE] = 413,   [STATUS_BUSY] = 429,      [STATUS_UNAVAILABLE] = 503,
        [STATUS_NO_MEMORY] = 503,   [STATUS_NO_SPACE] = 507,  [STATUS_CORRUPT] = 500,
        [STATUS_UNSUPPORTED] = 501, [STATUS_INTERNAL] = 500,
    };
    return status < STATUS_COUNT ? codes[status] : 500;
}

void http_reply_error(struct http_request *request, const struct error *error)
{
    http_reply_problem(request, http_code_of_status(error->status), status_name(error->status),
                       "%s", error->text);
}

static void reply_bad_body(struct http_request *request, const char *word, char *detail,
                           json_t *errors)
{
    json_t *problem = problem_new(request, 400, word, detail);
    if (problem == NULL) {
        make_printable(detail);
        problem = problem_new(request, 400, word, detail);
    }
    if (problem != NULL)
        json_object_set_new(problem, "errors", errors);
    else
        json_decref(errors);
    reply_problem_json(request, 400, problem);
}

void http_reply_problems(struct http_request *request, const struct json_problems *problems)
{
    struct error err = {0};
    if (json_problems_status(problems, &err) == STATUS_OK)
        error_set(&err, STATUS_INVALID, "the body is not valid");
    reply_bad_body(request, "invalid", err.text, json_problems_encode(problems));
}

void http_reply_problem_at(struct http_request *request, const char *word, const char *pointer,
                           const char *expected, const char *got)
{
    char detail[ERROR_TEXT_BYTES_MAX];
    char wanted[ERROR_TEXT_BYTES_MAX];
    char given[ERROR_TEXT_BYTES_MAX];
    snprintf(wanted, sizeof(wanted), "%s", expected);
    snprintf(given, sizeof(given), "%s", got);
    if (got[0] != '\0')
        snprintf(detail, sizeof(detail), "%s: expected %s, got %s", pointer, expected, got);
    else
        snprintf(detail, sizeof(detail), "%s", expected);
    json_t *error =
        json_pack("{s:s, s:s, s:s}", "pointer", pointer, "expected", wanted, "got", given);
    if (error == NULL) { /* a piece of the body that is no UTF-8 */
        make_printable(wanted);
        make_printable(given);
        error = json_pack("{s:s, s:s, s:s}", "pointer", pointer, "expected", wanted, "got", given);
    }
    reply_bad_body(request, word, detail, json_pack("[o*]", error));
}

/* ---------------------------------------------------------------- life */

void http_request_free(struct http_request *request)
{
    if (request == NULL)
        return;
    if (request->context_free != NULL)
        request->context_free(request->context);
    if (request->response != NULL)
        MHD_destroy_response(request->response);
    buf_clear(&request->body);
    free(request->target);
    free(request->text);
    free(request);
}
