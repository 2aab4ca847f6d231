/*
 * A real listener with routes of its own, spoken to in raw bytes: what is wrong on the level of HTTP is
 * answered as a problem, limits hold, and who waits is let go.
 */

#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "service/http/server.h"
#include "service/http/stream.h"

#define ECHO_BYTES_MAX 64
#define SINK_BYTES_MAX 1000
#define HOLD_MS        100
#define ANSWER_BYTES   (1 * MIB)
#define ARRIVAL_MS     400 /* where that is what is tested */
#define PATIENT_MS     60000
#define DRIP_MS        20
#define WAIT_MS        20000
#define IDLE_S         60 /* longer than a test waits */

struct fixture {
    struct http_server *server;
    struct http_holds *holds;
    struct auth *auth;
    uint16_t port;
    char operator_token[AUTH_TOKEN_BYTES];
    char viewer_token[AUTH_TOKEN_BYTES];
    atomic_uint_fast64_t hold; /* 0: none was made yet */
    atomic_int hold_end;       /* enum http_hold_end of the last one; -1: none yet */
    struct http_stream *stream;
    size_t sunk;
};

/* ---------------------------------------------------------------- the handlers */

static void get_plain(struct http_request *request)
{
    http_reply_json(request, 200, json_pack("{s:s}", "hello", "world"));
}

static void post_echo(struct http_request *request)
{
    json_t *body = NULL;
    if (http_body_json(request, &body))
        http_reply_json(request, 201, body);
}

static bool sink_piece(struct http_request *request, const char *bytes, size_t size)
{
    struct fixture *fixture = http_world(request);
    fixture->sunk = bytes == NULL ? 0 : fixture->sunk + size;
    const char *refuse = http_query(request, "refuse");
    if (bytes != NULL || refuse == NULL)
        return true;
    http_reply_problem(request, 409, "stale_attempt", "refused before the first byte");
    return false;
}

static void put_sink(struct http_request *request)
{
    const struct fixture *fixture = http_world(request);
    http_reply_json(request, 202, json_pack("{s:I}", "bytes", (json_int_t)fixture->sunk));
}

static void get_thing(struct http_request *request)
{
    int64_t limit = 50;
    if (http_query_int(request, "limit", 1, 1000, &limit))
        http_reply_json(
            request, 200,
            json_pack("{s:s, s:I}", "id", http_param(request, 0), "limit", (json_int_t)limit));
}

static void hold_ended(struct http_request *request)
{
    struct fixture *fixture = http_world(request);
    atomic_store(&fixture->hold_end, (int)http_hold_end_of(request));
    get_plain(request);
}

static void get_hold(struct http_request *request)
{
    struct fixture *fixture = http_world(request);
    int64_t wait_ms = HOLD_MS;
    if (http_query_duration(request, "wait", 60000, &wait_ms))
        atomic_store(&fixture->hold,
                     http_hold(fixture->holds, request, clock_mono_ms() + wait_ms, hold_ended));
}

static void get_stream(struct http_request *request)
{
    struct fixture *fixture = http_world(request);
    fixture->stream = http_reply_stream(request, "text/plain");
}

static const char *const thing_queries[] = {"limit", NULL};
static const char *const sink_queries[] = {"refuse", NULL};
static const char *const hold_queries[] = {"wait", NULL};

#define OPERATOR ROLE_BIT(ROLE_OPERATOR)
#define READ     (OPERATOR | ROLE_BIT(ROLE_VIEWER))

static const struct http_route routes[] = {
    {HTTP_GET, "/plain", ROLES_PUBLIC, HTTP_BODY_NONE, ECHO_BYTES_MAX, get_plain, NULL, NULL},
    {HTTP_POST, "/plain", ROLES_PUBLIC, HTTP_BODY_NONE, ECHO_BYTES_MAX, get_plain, NULL, NULL},
    {HTTP_POST, "/echo", ROLES_PUBLIC, HTTP_BODY_JSON, ECHO_BYTES_MAX, post_echo, NULL, NULL},
    {HTTP_PUT, "/sink", ROLES_PUBLIC, HTTP_BODY_BYTES, SINK_BYTES_MAX, put_sink, sink_piece,
     sink_queries},
    {HTTP_GET, "/things/{id}", READ, HTTP_BODY_NONE, ECHO_BYTES_MAX, get_thing, NULL,
     thing_queries},
    {HTTP_GET, "/operators", OPERATOR, HTTP_BODY_NONE, ECHO_BYTES_MAX, get_plain, NULL, NULL},
    {HTTP_GET, "/hold", ROLES_PUBLIC, HTTP_BODY_NONE, ECHO_BYTES_MAX, get_hold, NULL, hold_queries},
    {HTTP_GET, "/stream", ROLES_PUBLIC, HTTP_BODY_NONE, ECHO_BYTES_MAX, get_stream, NULL, NULL},
    {.path = NULL},
};

/* ---------------------------------------------------------------- the fixture */

static void add_token(struct fixture *fixture, enum role role, char text[AUTH_TOKEN_BYTES])
{
    struct error err = {.status = STATUS_OK};
    struct auth_token token = {.role = role};
    auth_text_new(role_names[role], clock_wall_ms(), text, token.id, token.secret_sha256);
    assert_ok(auth_put(fixture->auth, &token, &err), &err);
}

static char hurried[] = ""; /* the state before: a listener that waits for ARRIVAL_MS only */

static int setup(void **state)
{
    struct error err = {.status = STATUS_OK};
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    atomic_store(&fixture->hold_end, -1);
    assert_ok(auth_new(&fixture->auth, &err), &err);
    assert_ok(http_holds_new(&fixture->holds, &err), &err);
    add_token(fixture, ROLE_OPERATOR, fixture->operator_token);
    add_token(fixture, ROLE_VIEWER, fixture->viewer_token);
    const struct http_server_options options = {
        .name = "test",
        .listen = "127.0.0.1:0",
        .routes = routes,
        .world = fixture,
        .auth = fixture->auth,
        .threads = 2,
        .connections_max = 64,
        .connections_per_address_max = 32,
        .idle_timeout_s = IDLE_S,
        .arrival_timeout_ms = *state == hurried ? ARRIVAL_MS : PATIENT_MS,
        .connection_bytes = 32 * KIB,
    };
    assert_ok(http_server_open(&options, &fixture->server, &err), &err);
    assert_ok(http_server_start(fixture->server, &err), &err);
    fixture->port = (uint16_t)atol(strrchr(http_server_url(fixture->server), ':') + 1);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    http_server_quiesce(fixture->server);
    http_holds_stop(fixture->holds);
    if (fixture->stream != NULL)
        http_stream_release(fixture->stream);
    while (http_server_suspended(fixture->server) > 0)
        clock_sleep_ms(1);
    http_server_close(fixture->server);
    http_holds_free(fixture->holds);
    auth_free(fixture->auth);
    free(fixture);
    return 0;
}

/* ---------------------------------------------------------------- a client of bytes */

static int dial(const struct fixture *fixture)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(fixture->port),
                                        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void send_bytes(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        const ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* the server has seen enough */
        bytes += sent;
        size -= (size_t)sent;
    }
}

static bool receive_some(int fd, struct buf *out)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    char piece[4096];
    if (poll(&ready, 1, WAIT_MS) != 1)
        fail_msg("no answer within %d ms; so far: %s", WAIT_MS, out->data);
    const ssize_t size = recv(fd, piece, sizeof(piece), 0);
    if (size > 0)
        buf_append(out, piece, (size_t)size);
    return size > 0;
}

struct answer {
    int code; /* 0: the connection was closed without one */
    struct buf head;
    struct buf body;
};

static void answer_clear(struct answer *answer)
{
    buf_clear(&answer->head);
    buf_clear(&answer->body);
}

/* Reads one answer with Content-Length; `rest` keeps what comes after it. */
static void receive(int fd, struct buf *rest, struct answer *out)
{
    *out = (struct answer){0};
    buf_init(&out->head, ANSWER_BYTES);
    buf_init(&out->body, ANSWER_BYTES);
    char *end = NULL;
    while ((end = strstr(rest->data, "\r\n\r\n")) == NULL) {
        if (!receive_some(fd, rest))
            return;
    }
    buf_append(&out->head, rest->data, (size_t)(end - rest->data) + 2);
    buf_consume(rest, (size_t)(end - rest->data) + 4);
    out->code = (int)strtol(out->head.data + strlen("HTTP/1.1 "), NULL, 10);
    const char *length = strcasestr(out->head.data, "Content-Length: ");
    const size_t wanted = length != NULL ? (size_t)atol(length + 16) : 0;
    while (rest->size < wanted && receive_some(fd, rest))
        continue;
    const size_t taken = rest->size < wanted ? rest->size : wanted;
    buf_append(&out->body, rest->data, taken);
    buf_consume(rest, taken);
}

/* One request on a connection of its own. */
static void ask(const struct fixture *fixture, const char *bytes, size_t size, struct answer *out)
{
    CLEANUP(fd_cleanup) const int fd = dial(fixture);
    CLEANUP(buf_clear) struct buf rest;
    buf_init(&rest, ANSWER_BYTES);
    send_bytes(fd, bytes, size);
    receive(fd, &rest, out);
}

static void assert_problem(const struct answer *answer, const char *name, int code,
                           const char *word)
{
    if (answer->code != code)
        fail_msg("%s: expected %d, got %d %s", name, code, answer->code, answer->body.data);
    if (strstr(answer->head.data, "Content-Type: application/problem+json") == NULL)
        fail_msg("%s: no problem document: %s", name, answer->head.data);
    json_error_t error;
    CLEANUP(json_cleanup) json_t *problem = json_loads(answer->body.data, 0, &error);
    const char *got = json_string_value(json_object_get(problem, "code"));
    const char *id = json_string_value(json_object_get(problem, "request_id"));
    if (got == NULL || strcmp(got, word) != 0)
        fail_msg("%s: expected code %s, got %s", name, word, answer->body.data);
    if (json_integer_value(json_object_get(problem, "status")) != code || id == NULL ||
        strstr(answer->head.data, id) == NULL)
        fail_msg("%s: status or request_id do not agree: %s", name, answer->body.data);
}

/* ---------------------------------------------------------------- what is refused, and how */

#define HOST "Host: localhost\r\n"

static void every_refusal_is_a_problem_with_its_code(void **state)
{
    static const struct {
        const char *name, *request;
        int code;
        const char *word;
        const char *header; /* must stand in the answer; NULL: any */
    } cases[] = {
        {"unknown path", "GET /nope HTTP/1.1\r\n" HOST "\r\n", 404, "no_such_path", NULL},
        {"unknown method", "BREW /plain HTTP/1.1\r\n" HOST "\r\n", 405, "method_not_allowed",
         "Allow: HEAD, GET, POST"},
        {"known method elsewhere", "DELETE /echo HTTP/1.1\r\n" HOST "\r\n", 405,
         "method_not_allowed", "Allow: POST"},
        {"no token", "GET /operators HTTP/1.1\r\n" HOST "\r\n", 401, "unauthorized",
         "WWW-Authenticate: Bearer"},
        {"no bearer", "GET /operators HTTP/1.1\r\n" HOST "Authorization: Basic eDp5\r\n\r\n", 401,
         "unauthorized", NULL},
        {"a name that is not ours", "GET /plain HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421,
         "wrong_host", NULL},
        {"a name that begins like ours",
         "GET /plain HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 421, "wrong_host", NULL},
        {"wrong type",
         "POST /echo HTTP/1.1\r\n" HOST "Content-Type: text/xml\r\nContent-Length: 2\r\n\r\n{}",
         415, "unsupported_media_type", NULL},
        {"type that only begins like JSON",
         "POST /echo HTTP/1.1\r\n" HOST
         "Content-Type: application/jsonp\r\nContent-Length: 2\r\n\r\n{}",
         415, "unsupported_media_type", NULL},
        {"encoded body",
         "POST /echo HTTP/1.1\r\n" HOST
         "Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
         415, "unsupported_encoding", NULL},
        {"no JSON",
         "POST /echo HTTP/1.1\r\n" HOST
         "Content-Type: application/json\r\nContent-Length: 1\r\n\r\n{",
         400, "bad_json", NULL},
        {"empty JSON", "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 400, "bad_json",
         NULL},
        {"a key twice",
         "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 13\r\n\r\n{\"a\":1,\"a\":2}", 400,
         "bad_json", NULL},
        {"bad UTF-8", "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n[\"\xff\"]", 400,
         "bad_json", NULL},
        {"unknown query", "GET /plain?x=1 HTTP/1.1\r\n" HOST "\r\n", 400, "unknown_query", NULL},
        {"a body where there is none",
         "POST /plain HTTP/1.1\r\n" HOST "Content-Length: 7\r\n\r\n{\"a\":1}", 400,
         "unexpected_body", NULL},
        {"announced too large", "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 65\r\n\r\n", 413,
         "too_large", "Connection: close"},
        {"huge and announced", "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 99999999999\r\n\r\n",
         413, "too_large", NULL},
        {"two lengths",
         "POST /echo HTTP/1.1\r\n" HOST
         "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400, "bad_length", "Connection: close"},
        {"a length twice",
         "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400,
         "bad_request", "Connection: close"},
        {"a host twice", "GET /plain HTTP/1.1\r\n" HOST "Host: evil.example\r\n\r\n", 400,
         "bad_request", "Connection: close"},
        {"a length that only the connection's end tells",
         "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n{}", 501,
         "unsupported_encoding", "Connection: close"},
        {"chunked too large",
         "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
         "30\r\n012345678901234567890123456789012345678901234567\r\n"
         "30\r\n012345678901234567890123456789012345678901234567\r\n0\r\n\r\n",
         413, "too_large", "Connection: close"},
        {"refused by the sink",
         "PUT /sink?refuse=1 HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nabcde", 409,
         "stale_attempt", NULL},
    };
    const struct fixture *fixture = *state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CLEANUP(answer_clear) struct answer answer;
        char request[2048];
        snprintf(request, sizeof(request), "%s", cases[i].request);
        /* An announced body that never comes would be waited for: small ones are sent. */
        const bool announced = strstr(request, "Content-Length: 65") != NULL;
        size_t size = strlen(request);
        if (announced) {
            memset(request + size, 'x', 65);
            size += 65;
        }
        ask(fixture, request, size, &answer);
        assert_problem(&answer, cases[i].name, cases[i].code, cases[i].word);
        if (cases[i].header != NULL && strstr(answer.head.data, cases[i].header) == NULL)
            fail_msg("%s: no \"%s\" in %s", cases[i].name, cases[i].header, answer.head.data);
    }
}

static void long_targets_and_headers_are_refused(void **state)
{
    const struct fixture *fixture = *state;
    CLEANUP(buf_clear) struct buf request;
    buf_init(&request, MIB);
    buf_append_text(&request, "GET /plain?");
    for (int i = 0; i < 5000; i++)
        buf_append_text(&request, "x");
    buf_append_text(&request, " HTTP/1.1\r\n" HOST "\r\n");
    {
        CLEANUP(answer_clear) struct answer answer;
        ask(fixture, request.data, request.size, &answer);
        assert_problem(&answer, "long target", 414, "uri_too_long");
    }
    buf_reset(&request);
    buf_append_text(&request, "GET /plain HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 40; i++) {
        buf_printf(&request, "X-Filler-%d: ", i);
        for (int j = 0; j < 500; j++)
            buf_append_text(&request, "y");
        buf_append_text(&request, "\r\n");
    }
    buf_append_text(&request, "\r\n");
    CLEANUP(answer_clear) struct answer answer;
    ask(fixture, request.data, request.size, &answer);
    assert_problem(&answer, "large headers", 431, "headers_too_large");
}

static void ask_as(const struct fixture *fixture, const char *token, const char *path,
                   struct answer *out)
{
    char request[1024];
    const int size =
        snprintf(request, sizeof(request),
                 "GET %s HTTP/1.1\r\n" HOST "Authorization: Bearer %s\r\n\r\n", path, token);
    ask(fixture, request, (size_t)size, out);
}

static void a_role_may_what_its_rows_say(void **state)
{
    const struct fixture *fixture = *state;
    {
        CLEANUP(answer_clear) struct answer answer;
        ask_as(fixture, fixture->operator_token, "/operators", &answer);
        assert_int_equal(answer.code, 200);
    }
    {
        CLEANUP(answer_clear) struct answer answer;
        ask_as(fixture, fixture->viewer_token, "/operators", &answer);
        assert_problem(&answer, "viewer", 403, "forbidden");
    }
    CLEANUP(answer_clear) struct answer answer;
    ask_as(fixture, fixture->viewer_token, "/things/a%20b?limit=7", &answer);
    assert_int_equal(answer.code, 200);
    assert_string_equal(answer.body.data, "{\"id\":\"a b\",\"limit\":7}");
}

static void paths_and_queries_are_taken_strictly(void **state)
{
    static const struct {
        const char *path, *word;
    } cases[] = {
        {"/things/a%00b", "bad_path"},
        {"/things/%zz", "bad_path"},
        {"/things/%ff", "bad_path"},
        {"/things/a?limit=0", "bad_query"},
        {"/things/a?limit=1001", "bad_query"},
        {"/things/a?limit=", "bad_query"},
        {"/things/a?limit=1e3", "bad_query"},
        {"/things/a?limit=%31%00", "bad_query"},
        {"/things/a?limit=99999999999999999999", "bad_query"},
        {"/things/a?limit=1&limit=2", "bad_query"},
        {"/things/a?Limit=1", "unknown_query"},
        {"/things/a?=1", "unknown_query"},
    };
    const struct fixture *fixture = *state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CLEANUP(answer_clear) struct answer answer;
        ask_as(fixture, fixture->viewer_token, cases[i].path, &answer);
        assert_problem(&answer, cases[i].path, 400, cases[i].word);
    }
}

/* ---------------------------------------------------------------- what goes on */

static void a_refused_request_leaves_the_connection_usable(void **state)
{
    static const char *const requests[] = {
        "POST /nope HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nabcde",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Type: text/xml\r\nContent-Length: 2\r\n\r\n{}",
        "PUT /sink?refuse=1 HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nabcde",
        "POST /plain HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n",
        "HEAD /plain HTTP/1.1\r\n" HOST "X-Last: no\r\n\r\n",
        "GET /plain HTTP/1.1\r\n" HOST "\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 7\r\n\r\n{\"a\":1}",
    };
    static const int codes[] = {404, 415, 409, 200, 200, 200, 201};
    const struct fixture *fixture = *state;
    CLEANUP(fd_cleanup) const int fd = dial(fixture);
    CLEANUP(buf_clear) struct buf rest;
    buf_init(&rest, ANSWER_BYTES);
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        if (strncmp(requests[i], "HEAD", 4) == 0)
            continue; /* its Content-Length has no body behind it */
        CLEANUP(answer_clear) struct answer answer;
        send_bytes(fd, requests[i], strlen(requests[i]));
        receive(fd, &rest, &answer);
        if (answer.code != codes[i])
            fail_msg("request %zu: expected %d, got %d", i, codes[i], answer.code);
    }
}

static void a_streamed_body_arrives_whole(void **state)
{
    const struct fixture *fixture = *state;
    CLEANUP(buf_clear) struct buf request;
    buf_init(&request, MIB);
    buf_printf(&request, "PUT /sink HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n",
               SINK_BYTES_MAX);
    for (int i = 0; i < SINK_BYTES_MAX; i++)
        buf_append_text(&request, "z");
    CLEANUP(answer_clear) struct answer answer;
    ask(fixture, request.data, request.size, &answer);
    assert_int_equal(answer.code, 202);
    assert_string_equal(answer.body.data, "{\"bytes\":1000}");
}

static void a_refused_body_is_read_before_the_answer(void **state)
{
    const struct fixture *fixture = *state;
    CLEANUP(answer_clear) struct answer answer;
    CLEANUP(buf_clear) struct buf request;
    buf_init(&request, 8 * MIB);
    buf_append_text(&request, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 4194304\r\n\r\n");
    static const char piece[MIB] = {0};
    for (int i = 0; i < 4; i++)
        buf_append(&request, piece, sizeof(piece));
    ask(fixture, request.data, request.size, &answer); /* all of it goes out */
    assert_problem(&answer, "refused", 413, "too_large");
}

static void a_sender_that_asks_first_is_refused_at_once(void **state)
{
    const struct fixture *fixture = *state;
    CLEANUP(answer_clear) struct answer answer;
    static const char head[] =
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 4194304\r\nExpect: 100-continue\r\n\r\n";
    ask(fixture, head, sizeof(head) - 1, &answer);
    assert_problem(&answer, "refused", 413, "too_large");
}

static void an_endless_body_is_cut_off(void **state)
{
    const struct fixture *fixture = *state;
    CLEANUP(fd_cleanup) const int fd = dial(fixture);
    static const char head[] = "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n";
    send_bytes(fd, head, sizeof(head) - 1);
    CLEANUP(free_cleanup) char *chunk = malloc(64 * KIB + 16);
    assert_non_null(chunk);
    memcpy(chunk, "10000\r\n", 7);
    memset(chunk + 7, 'x', 64 * KIB);
    memcpy(chunk + 7 + 64 * KIB, "\r\n", 2);
    size_t sent = 0;
    while (sent < 64 * MIB && send(fd, chunk, 64 * KIB + 9, MSG_NOSIGNAL) > 0)
        sent += 64 * KIB;
    assert_true(sent < 64 * MIB);
}

/* Sends the text again and again, a byte at a time; how long until the server closed, -1: never. */
static int64_t drip(const struct fixture *fixture, const char *head, const char *text)
{
    CLEANUP(fd_cleanup) const int fd = dial(fixture);
    const int64_t began_ms = clock_mono_ms();
    send_bytes(fd, head, strlen(head));
    for (size_t at = 0; clock_mono_ms() - began_ms < WAIT_MS; at++) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (poll(&ready, 1, DRIP_MS) == 1 ||
            send(fd, text + at % strlen(text), 1, MSG_NOSIGNAL) != 1)
            return clock_mono_ms() - began_ms;
    }
    return -1;
}

/* Each byte would begin the library's own wait anew. */
static void a_request_that_drips_in_is_closed(void **state)
{
    const struct fixture *fixture = *state;
    static const char *const heads[] = {
        "GET /pl",
        "GET /plain HTTP/1.1\r\n" HOST,
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 900\r\n\r\n",
        "PUT /sink HTTP/1.1\r\n" HOST "Content-Length: 900\r\n\r\n",
        "POST /no/such HTTP/1.1\r\n" HOST "Content-Length: 900\r\n\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(heads); i++) {
        const int64_t took_ms = drip(fixture, heads[i], "x");
        if (took_ms < ARRIVAL_MS)
            fail_msg("%s: closed after %lld ms", heads[i], (long long)took_ms);
    }
}

/* The end comes in one piece with the last bytes, so that the library has no reason to read on. */
static void who_leaves_within_a_request_or_behind_it_makes_room(void **state)
{
    const struct fixture *fixture = *state;
    static const char *const lasts[] = {"GET /pl", "GET /plain HTTP/1.1\r\n" HOST "\r\n",
                                        "POST /echo HTTP/1.1\r\n" HOST
                                        "Content-Length: 900\r\n\r\n{"};
    int fds[COUNT_OF(lasts)];
    for (size_t i = 0; i < COUNT_OF(lasts); i++) {
        fds[i] = dial(fixture);
        const size_t size = strlen(lasts[i]);
        assert_int_equal(send(fds[i], lasts[i], size, MSG_NOSIGNAL | MSG_MORE), size);
        assert_int_equal(shutdown(fds[i], SHUT_WR), 0);
    }
    const int64_t deadline_ms = clock_mono_ms() + WAIT_MS;
    while (http_server_requests(fixture->server) < 1 && clock_mono_ms() < deadline_ms)
        clock_sleep_ms(1);
    while (http_server_connections(fixture->server) > 0 && clock_mono_ms() < deadline_ms)
        clock_sleep_ms(1);
    assert_int_equal(http_server_connections(fixture->server), 0);
    for (size_t i = 0; i < COUNT_OF(lasts); i++)
        close(fds[i]);
}

static void a_connection_may_rest_between_requests(void **state)
{
    const struct fixture *fixture = *state;
    CLEANUP(fd_cleanup) const int fd = dial(fixture);
    CLEANUP(buf_clear) struct buf rest;
    buf_init(&rest, MIB);
    static const char request[] = "GET /plain HTTP/1.1\r\n" HOST "\r\n";
    for (int i = 0; i < 2; i++) {
        clock_sleep_ms(2 * ARRIVAL_MS);
        CLEANUP(answer_clear) struct answer answer;
        send_bytes(fd, request, sizeof(request) - 1);
        receive(fd, &rest, &answer);
        assert_int_equal(answer.code, 200);
    }
}

/* ---------------------------------------------------------------- waiting */

static void assert_hold(const struct fixture *fixture, int end)
{
    const int64_t deadline_ms = clock_mono_ms() + WAIT_MS;
    while (atomic_load(&fixture->hold_end) < 0 && clock_mono_ms() < deadline_ms)
        clock_sleep_ms(1);
    assert_int_equal(atomic_load(&fixture->hold_end), end);
}

static void wait_until_held(const struct fixture *fixture)
{
    const int64_t deadline_ms = clock_mono_ms() + WAIT_MS;
    while (atomic_load(&fixture->hold) == 0 && clock_mono_ms() < deadline_ms)
        clock_sleep_ms(1);
    assert_int_equal(http_server_suspended(fixture->server), 1);
}

static void a_hold_ends_at_its_deadline(void **state)
{
    struct fixture *fixture = *state;
    static const char request[] = "GET /hold HTTP/1.1\r\n" HOST "\r\n";
    const int64_t start_ms = clock_mono_ms();
    CLEANUP(answer_clear) struct answer answer;
    ask(fixture, request, sizeof(request) - 1, &answer);
    assert_int_equal(answer.code, 200);
    assert_true(clock_mono_ms() - start_ms >= HOLD_MS - 1);
    assert_hold(fixture, HTTP_HOLD_DEADLINE);
    assert_false(http_hold_wake(fixture->holds, atomic_load(&fixture->hold))); /* it has ended */
}

static void a_hold_ends_when_it_is_woken(void **state)
{
    struct fixture *fixture = *state;
    static const char request[] = "GET /hold?wait=50s HTTP/1.1\r\n" HOST "\r\n";
    CLEANUP(fd_cleanup) const int fd = dial(fixture);
    send_bytes(fd, request, sizeof(request) - 1);
    wait_until_held(fixture);
    assert_true(http_hold_wake(fixture->holds, atomic_load(&fixture->hold)));
    assert_false(http_hold_wake(fixture->holds, atomic_load(&fixture->hold)));
    CLEANUP(buf_clear) struct buf rest;
    buf_init(&rest, ANSWER_BYTES);
    CLEANUP(answer_clear) struct answer answer;
    receive(fd, &rest, &answer);
    assert_int_equal(answer.code, 200);
    assert_hold(fixture, HTTP_HOLD_WOKEN);
}

static void a_server_that_is_about_to_stop_refuses_what_is_new_and_ends_what_is_held(void **state)
{
    struct fixture *fixture = *state;
    static const char held[] = "GET /hold?wait=50s HTTP/1.1\r\n" HOST "\r\n";
    static const char late[] = "GET /plain HTTP/1.1\r\n" HOST "\r\n";
    CLEANUP(fd_cleanup) const int fd = dial(fixture);
    send_bytes(fd, held, sizeof(held) - 1);
    wait_until_held(fixture);
    http_server_quiesce(fixture->server);
    CLEANUP(answer_clear) struct answer refused;
    ask(fixture, late, sizeof(late) - 1, &refused);
    assert_problem(&refused, "late", 503, "stopping");
    assert_true(http_hold_wake(fixture->holds, atomic_load(&fixture->hold)));
    CLEANUP(buf_clear) struct buf rest;
    buf_init(&rest, ANSWER_BYTES);
    CLEANUP(answer_clear) struct answer answer;
    receive(fd, &rest, &answer);
    assert_int_equal(answer.code, 200);
}

static void a_hold_ends_when_its_client_leaves(void **state)
{
    struct fixture *fixture = *state;
    static const char request[] = "GET /hold?wait=50s HTTP/1.1\r\n" HOST "\r\n";
    const int fd = dial(fixture);
    send_bytes(fd, request, sizeof(request) - 1);
    wait_until_held(fixture);
    close(fd);
    assert_hold(fixture, HTTP_HOLD_GONE);
}

static void many_holds_end_each_at_its_own_deadline(void **state)
{
    const struct fixture *fixture = *state;
    int fds[24];
    char request[128];
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        fds[i] = dial(fixture);
        /* Later ones first, so that the heap has something to do. */
        const int size =
            snprintf(request, sizeof(request), "GET /hold?wait=%zums HTTP/1.1\r\n" HOST "\r\n",
                     (COUNT_OF(fds) - i) * 10);
        send_bytes(fds[i], request, (size_t)size);
    }
    for (size_t i = COUNT_OF(fds); i-- > 0;) {
        CLEANUP(buf_clear) struct buf rest;
        buf_init(&rest, ANSWER_BYTES);
        CLEANUP(answer_clear) struct answer answer;
        receive(fds[i], &rest, &answer);
        assert_int_equal(answer.code, 200);
        close(fds[i]);
    }
}

static int open_stream(struct fixture *fixture, struct buf *rest)
{
    static const char request[] = "GET /stream HTTP/1.1\r\n" HOST "\r\n";
    const int fd = dial(fixture);
    buf_init(rest, ANSWER_BYTES);
    send_bytes(fd, request, sizeof(request) - 1);
    while (strstr(rest->data, "\r\n\r\n") == NULL)
        assert_true(receive_some(fd, rest));
    return fd;
}

static void a_stream_brings_what_is_written_until_it_ends(void **state)
{
    struct fixture *fixture = *state;
    struct buf rest;
    CLEANUP(fd_cleanup) const int fd = open_stream(fixture, &rest);
    for (int i = 0; i < 3; i++) {
        assert_true(http_stream_write(fixture->stream, "tick\n", 5));
        while (strstr(rest.data, "tick\n") == NULL)
            assert_true(receive_some(fd, &rest));
        buf_reset(&rest);
        clock_sleep_ms(5);
    }
    http_stream_end(fixture->stream);
    while (strstr(rest.data, "0\r\n\r\n") == NULL) /* the last chunk */
        assert_true(receive_some(fd, &rest));
    assert_false(http_stream_write(fixture->stream, "late\n", 5));
    buf_clear(&rest);
}

static void a_stream_that_nobody_reads_ends_itself(void **state)
{
    struct fixture *fixture = *state;
    struct buf rest;
    const int fd = open_stream(fixture, &rest);
    static const char block[4096] = {'b'};
    size_t written = 0;
    while (written < 64 * MIB && http_stream_write(fixture->stream, block, sizeof(block)))
        written += sizeof(block);
    assert_true(written < 64 * MIB); /* the socket's buffers and HTTP_STREAM_BYTES_MAX */
    close(fd);
    const int64_t deadline_ms = clock_mono_ms() + WAIT_MS;
    while (!http_stream_closed(fixture->stream) && clock_mono_ms() < deadline_ms)
        clock_sleep_ms(1);
    assert_true(http_stream_closed(fixture->stream));
    buf_clear(&rest);
}

#define case_of(name)    cmocka_unit_test_setup_teardown(name, setup, teardown)
#define hurried_of(name) cmocka_unit_test_prestate_setup_teardown(name, setup, teardown, hurried)

int main(void)
{
    const struct CMUnitTest tests[] = {
        case_of(every_refusal_is_a_problem_with_its_code),
        case_of(long_targets_and_headers_are_refused),
        case_of(a_role_may_what_its_rows_say),
        case_of(paths_and_queries_are_taken_strictly),
        case_of(a_refused_request_leaves_the_connection_usable),
        case_of(a_streamed_body_arrives_whole),
        case_of(a_sender_that_asks_first_is_refused_at_once),
        case_of(a_refused_body_is_read_before_the_answer),
        case_of(an_endless_body_is_cut_off),
        hurried_of(a_request_that_drips_in_is_closed),
        hurried_of(who_leaves_within_a_request_or_behind_it_makes_room),
        hurried_of(a_connection_may_rest_between_requests),
        case_of(a_hold_ends_at_its_deadline),
        case_of(a_hold_ends_when_it_is_woken),
        case_of(a_server_that_is_about_to_stop_refuses_what_is_new_and_ends_what_is_held),
        case_of(a_hold_ends_when_its_client_leaves),
        case_of(many_holds_end_each_at_its_own_deadline),
        case_of(a_stream_brings_what_is_written_until_it_ends),
        case_of(a_stream_that_nobody_reads_ends_itself),
    };
    return cmocka_run_group_tests_name("http_server", tests, NULL, NULL);
}
