#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"
#include "service/http/gate.h"
#include "service/http/pace.h"

#define STACK_BYTES     (256 * KIB)
#define BACKLOG         1024
#define CODES           600
#define THROW_BYTES_MAX (16 * MIB) /* of a refused body, read so that the sender sees the answer */

struct http_server {
    struct http_server_options options;
    char url[HTTP_ENDPOINT_BYTES];
    bool loopback;
    int listen_fd; /* until the daemon owns it; then -1 */
    _Atomic(struct MHD_Daemon *)
        daemon;        /* NULL until it serves: its threads begin before we have it */
    struct pace *pace; /* while it serves */
    uint64_t id_start;
    _Atomic uint64_t requests;
    _Atomic size_t suspended;
    atomic_bool is_leaving; /* set once, before the end */
    _Atomic size_t owed;    /* requests that were read whole and whose answer is not sent yet */
    _Atomic uint64_t replies[CODES];
};

/* ---------------------------------------------------------------- one connection */

static int socket_of(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

static void connection_moves(void *context, struct MHD_Connection *connection, void **peer,
                             enum MHD_ConnectionNotificationCode what)
{
    struct http_server *server = context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        *peer = pace_enter(server->pace, socket_of(connection));
    else
        pace_leave(server->pace, *peer);
}

static void expect(struct MHD_Connection *connection, enum pace_part part)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (info != NULL)
        pace_expect(info->socket_context, part);
}

/* ---------------------------------------------------------------- one request */

static void *request_begin(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct http_server *server = context;
    struct http_request *request = calloc(1, sizeof(*request));
    if (request == NULL)
        return NULL;
    request->connection = connection;
    request->server = server;
    buf_init(&request->body, 0);
    const uint64_t number = atomic_fetch_add_explicit(&server->requests, 1, memory_order_relaxed);
    snprintf(request->id, sizeof(request->id), "req_%016" PRIx64, server->id_start + number);
    request->target_too_long = !http_gate_target(request, uri);
    return request;
}

static void request_end(void *context, struct MHD_Connection *connection, void **request_slot,
                        enum MHD_RequestTerminationCode why)
{
    struct http_server *server = context;
    (void)why;
    struct http_request *request = *request_slot;
    expect(connection, PACE_HEAD);
    if (request != NULL && request->owed)
        atomic_fetch_sub(&server->owed, 1);
    http_request_free(request);
    *request_slot = NULL;
}

/* From here on until it is sent, or its client has left, we owe an answer. */
static void owe_answer(struct http_request *request)
{
    if (request->owed)
        return;
    request->owed = true;
    expect(request->connection, PACE_NOTHING);
    atomic_fetch_add(&request->server->owed, 1);
}

static enum MHD_Result queue_reply(struct http_request *request)
{
    assert(request->response != NULL && request->code < CODES);
    atomic_fetch_add_explicit(&request->server->replies[request->code], 1, memory_order_relaxed);
    http_reply_header(request, "X-Request-Id", request->id);
    http_reply_header(request, "X-Content-Type-Options", "nosniff");
    if (MHD_get_response_header(request->response, "Cache-Control") == NULL)
        http_reply_header(request, "Cache-Control", "no-store");
    if (request->close)
        http_reply_header(request, "Connection", "close");
    request->stage = HTTP_STAGE_DONE;
    const enum MHD_Result result =
        MHD_queue_response(request->connection, request->code, request->response);
    MHD_destroy_response(request->response);
    request->response = NULL;
    return result;
}

/* Runs a handler: it has replied, or has suspended the request. */
static enum MHD_Result run(struct http_request *request, http_handler_fn *handler)
{
    handler(request);
    if (request->response != NULL)
        return queue_reply(request);
    return MHD_YES; /* suspended: the request may belong to another thread by now */
}

/*
 * A problem is ready while the body may still be on its way. It is read first: most clients look for
 * an answer only once they have sent everything, and a connection closed before loses it for them.
 * We answer at once and close if the body is too large for that, or if the sender asked first.
 */
static enum MHD_Result refuse(struct http_request *request)
{
    if (request->content_length > THROW_BYTES_MAX || http_header(request, "Expect") != NULL) {
        owe_answer(request);
        return queue_reply(request);
    }
    request->stage = HTTP_STAGE_THROW;
    return MHD_YES;
}

/* The length of a body that no route has judged. */
static int64_t announced_length(const struct http_request *request)
{
    const char *length = http_header(request, "Content-Length");
    const char *transfer = http_header(request, "Transfer-Encoding");
    if (transfer != NULL) /* what is not chunked ends with the connection alone */
        return strcasecmp(transfer, "chunked") == 0 ? -1 : INT64_MAX;
    return length != NULL ? strtoll(length, NULL, 10) : 0;
}

static enum MHD_Result headers_are_here(struct http_request *request, const char *method)
{
    struct http_server *server = request->server;
    request->received_boot_ms = clock_boot_ms();
    request->received_mono_ms = clock_mono_ms();
    request->is_head = strcmp(method, "HEAD") == 0;
    expect(request->connection, PACE_BODY);
    if (atomic_load(&server->is_leaving)) {
        http_reply_problem(request, 503, "stopping", "the server is about to stop");
        http_reply_header(request, "Connection", "close");
        request->content_length = announced_length(request);
        return refuse(request);
    }
    if (!http_gate_pass(request, server->options.routes, server->options.auth, server->loopback,
                        method)) {
        request->content_length = announced_length(request);
        return refuse(request);
    }
    if (request->route->sink != NULL && !request->route->sink(request, NULL, 0))
        return refuse(request);
    request->body.bytes_max = request->route->body_bytes_max;
    request->stage = HTTP_STAGE_BODY;
    return MHD_YES;
}

static bool thrown_too_much(const struct http_request *request)
{
    const uint64_t allowed = request->route != NULL ? request->route->body_bytes_max : 0;
    return request->body_bytes > allowed + THROW_BYTES_MAX;
}

/* Takes a piece of the body; from a problem on, the rest is thrown away. */
static enum MHD_Result body_piece(struct http_request *request, const char *bytes, size_t size)
{
    request->body_bytes += size;
    if (request->stage == HTTP_STAGE_THROW)
        return thrown_too_much(request) ? MHD_NO : MHD_YES;
    const struct http_route *route = request->route;
    if (request->body_bytes > route->body_bytes_max) {
        http_reply_problem(request, 413, "too_large", "the body is over %llu bytes",
                           (unsigned long long)route->body_bytes_max);
        request->close = true;
        request->stage = HTTP_STAGE_THROW;
        return MHD_YES;
    }
    if (route->sink != NULL) {
        if (!route->sink(request, bytes, size))
            request->stage = HTTP_STAGE_THROW;
        return MHD_YES;
    }
    if (clock_mono_ms() - request->received_mono_ms > request->server->options.arrival_timeout_ms) {
        http_reply_problem(request, 408, "too_slow", "the body took over %lld ms",
                           (long long)request->server->options.arrival_timeout_ms);
        request->close = true;
        request->stage = HTTP_STAGE_THROW;
        return MHD_YES;
    }
    buf_append(&request->body, bytes, size);
    return MHD_YES;
}

/* Nothing or "{}": some clients can't POST without a body. */
static bool body_says_nothing(const struct buf *body)
{
    const char *text = body->data + strspn(body->data, " \t\r\n");
    return *text == '\0' ||
           (strncmp(text, "{}", 2) == 0 && text[2 + strspn(text + 2, " \t\r\n")] == '\0');
}

static enum MHD_Result body_is_here(struct http_request *request)
{
    owe_answer(request);
    if (request->stage == HTTP_STAGE_THROW)
        return queue_reply(request);
    struct error err = {0};
    if (request->route->body == HTTP_BODY_NONE && !body_says_nothing(&request->body)) {
        http_reply_problem(request, 400, "unexpected_body", "%s %s takes no body",
                           http_method_names[request->route->method], request->route->path);
        return queue_reply(request);
    }
    if (buf_status(&request->body, "body", &err) != STATUS_OK) {
        http_reply_error(request, &err);
        return queue_reply(request);
    }
    return run(request, request->route->handler);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **request_slot)
{
    (void)context;
    (void)connection;
    (void)url;
    (void)version;
    struct http_request *request = *request_slot;
    if (request == NULL)
        return MHD_NO; /* no memory for it */
    switch (request->stage) {
    case HTTP_STAGE_NEW:
        return headers_are_here(request, method);
    case HTTP_STAGE_BODY:
    case HTTP_STAGE_THROW: {
        if (*upload_size == 0)
            return body_is_here(request);
        const enum MHD_Result result = body_piece(request, upload, *upload_size);
        *upload_size = 0;
        return result;
    }
    case HTTP_STAGE_SUSPENDED:
        request->stage = HTTP_STAGE_BODY;
        return run(request, request->next);
    case HTTP_STAGE_DONE:
        return MHD_YES;
    }
    return MHD_NO;
}

void http_server_note_suspended(struct http_server *server, int change)
{
    atomic_fetch_add(&server->suspended, (size_t)change);
}

void http_suspend(struct http_request *request, http_handler_fn *next)
{
    assert(request->response == NULL);
    request->next = next;
    request->stage = HTTP_STAGE_SUSPENDED;
    http_server_note_suspended(request->server, +1);
    MHD_suspend_connection(request->connection);
}

void http_resume(struct http_request *request)
{
    assert(request->stage == HTTP_STAGE_SUSPENDED);
    struct http_server *server = request->server;
    MHD_resume_connection(request->connection); /* from here on it may be gone */
    http_server_note_suspended(server, -1);
}

void *http_world(const struct http_request *request)
{
    return request->server->options.world;
}

/* ---------------------------------------------------------------- the listener */

/* The library would decode the path before we have split it. */
static size_t leave_escaped(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context;
    (void)connection;
    return strlen(text);
}

/* What the library says is of clients that left; nobody needs it. */
static void ignore_log(void *context, const char *fmt, va_list arguments)
{
    (void)context;
    (void)fmt;
    (void)arguments;
}

static enum status split_listen(const char *listen, char host[64], char port[16], struct error *err)
{
    const char *colon = strrchr(listen, ':');
    if (colon == NULL || (size_t)(colon - listen) >= 64 || strlen(colon + 1) >= 16 ||
        colon == listen)
        return error_set(err, STATUS_INVALID, "listen \"%s\": expected ADDRESS:PORT", listen);
    const bool bracketed = listen[0] == '[' && colon[-1] == ']';
    const size_t size = (size_t)(colon - listen) - (bracketed ? 2 : 0);
    memcpy(host, listen + (bracketed ? 1 : 0), size);
    host[size] = '\0';
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    return STATUS_OK;
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24 ==
               127;
    return address->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

static void addrinfo_cleanup(struct addrinfo **info)
{
    if (*info != NULL)
        freeaddrinfo(*info);
}

static enum status bind_listener(struct http_server *server, int *out_fd, struct error *err)
{
    const char *listen_text = server->options.listen;
    char host[64];
    char port[16];
    TRY(split_listen(listen_text, host, port, err));
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    CLEANUP(addrinfo_cleanup) struct addrinfo *info = NULL;
    const int failed = getaddrinfo(host, port, &hints, &info);
    if (failed != 0)
        return error_set(err, STATUS_INVALID, "listen \"%s\": %s", listen_text,
                         gai_strerror(failed));
    CLEANUP(fd_cleanup)
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0)
        return error_set_errno(err, STATUS_UNAVAILABLE, errno, "listen on %s", listen_text);
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } bound = {.six = {.sin6_family = AF_UNSPEC}};
    socklen_t bound_size = sizeof(bound);
    if (getsockname(fd, &bound.any, &bound_size) != 0)
        return error_set_errno(err, STATUS_INTERNAL, errno, "address of listener %s", listen_text);
    const bool six = bound.any.sa_family == AF_INET6;
    const unsigned bound_port = ntohs(six ? bound.six.sin6_port : bound.four.sin_port);
    snprintf(server->url, sizeof(server->url), six ? "http://[%s]:%u" : "http://%s:%u", host,
             bound_port);
    server->loopback = is_loopback(&bound.any);
    *out_fd = fd;
    fd = -1;
    return STATUS_OK;
}

enum status http_server_open(const struct http_server_options *options, struct http_server **out,
                             struct error *err)
{
    struct http_server *server = calloc(1, sizeof(*server));
    if (server == NULL)
        return error_set(err, STATUS_NO_MEMORY, "listener %s: out of memory", options->name);
    server->options = *options;
    server->id_start = random_u64();
    server->listen_fd = -1;
    const enum status status = bind_listener(server, &server->listen_fd, err);
    if (status != STATUS_OK) {
        http_server_close(server);
        return status;
    }
    *out = server;
    return STATUS_OK;
}

enum status http_server_start(struct http_server *server, struct error *err)
{
    const struct http_server_options *options = &server->options;
    TRY(pace_new(options->arrival_timeout_ms, &server->pace, err));
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        on_request, server, MHD_OPTION_EXTERNAL_LOGGER, ignore_log, NULL, MHD_OPTION_LISTEN_SOCKET,
        server->listen_fd, MHD_OPTION_THREAD_POOL_SIZE, options->threads,
        MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_BYTES, MHD_OPTION_CONNECTION_LIMIT,
        options->connections_max, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        options->connections_per_address_max, MHD_OPTION_CONNECTION_TIMEOUT,
        options->idle_timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, options->connection_bytes,
        MHD_OPTION_NOTIFY_COMPLETED, request_end, server, MHD_OPTION_URI_LOG_CALLBACK,
        request_begin, server, MHD_OPTION_NOTIFY_CONNECTION, connection_moves, server,
        MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
        MHD_OPTION_END);
    if (daemon == NULL)
        return error_set(err, STATUS_INTERNAL, "listener %s could not start", options->name);
    server->listen_fd = -1;
    atomic_store(&server->daemon, daemon);
    return STATUS_OK;
}

const char *http_server_url(const struct http_server *server)
{
    return server->url;
}

/*
 * Not by MHD_quiesce_daemon(): it takes the listening socket out of the epoll sets of the pool's threads
 * while they may do the same, and whoever comes second ends the process (seen with 0.9.75).
 */
void http_server_quiesce(struct http_server *server)
{
    atomic_store(&server->is_leaving, true);
}

size_t http_server_suspended(const struct http_server *server)
{
    return atomic_load(&server->suspended);
}

size_t http_server_owed(const struct http_server *server)
{
    return atomic_load(&server->owed);
}

void http_server_close(struct http_server *server)
{
    if (server == NULL)
        return;
    if (atomic_load(&server->daemon) != NULL)
        MHD_stop_daemon(atomic_load(&server->daemon));
    pace_free(server->pace);
    fd_cleanup(&server->listen_fd);
    free(server);
}

uint64_t http_server_replies(const struct http_server *server, unsigned code)
{
    return code < CODES ? atomic_load_explicit(&server->replies[code], memory_order_relaxed) : 0;
}

uint64_t http_server_requests(const struct http_server *server)
{
    return atomic_load_explicit(&server->requests, memory_order_relaxed);
}

int64_t http_server_connections(const struct http_server *server)
{
    struct MHD_Daemon *daemon = atomic_load(&server->daemon);
    const union MHD_DaemonInfo *info =
        daemon != NULL ? MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS) : NULL;
    return info != NULL ? (int64_t)info->num_connections : 0;
}
