#include "tests/unit/unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/http_client.h"
#include "tests/unit/http_peer.h"

/* What most tests need: an answer for each request, and the request as it came. */
struct script {
    const char *answer;
    pthread_mutex_t mutex;
    struct buf request; /* the last one */
};

static void answer_each(int fd, void *context)
{
    struct script *script = context;
    CLEANUP(buf_clear) struct buf request;
    buf_init(&request, 4 * MIB);
    while (http_peer_read(fd, &request)) {
        pthread_mutex_lock(&script->mutex);
        buf_reset(&script->request);
        buf_append(&script->request, request.data, request.size);
        pthread_mutex_unlock(&script->mutex);
        http_peer_write(fd, script->answer);
    }
}

/* A peer with a script and a client of it. */
struct pair {
    struct script script;
    struct http_peer *peer;
    struct http_client *client;
};

static struct http_client *client_of(const char *url, const char *token)
{
    struct error err = {.status = STATUS_OK};
    struct http_client *client = NULL;
    const struct http_client_options options = {
        .base_url = url, .token = token, .connect_timeout_ms = 5000};
    assert_ok(http_client_new(&options, &client, &err), &err);
    return client;
}

static void pair_open(struct pair *pair, const char *answer)
{
    pair->script.answer = answer;
    pthread_mutex_init(&pair->script.mutex, NULL);
    buf_init(&pair->script.request, 4 * MIB);
    pair->peer = http_peer_start(answer_each, &pair->script);
    pair->client = client_of(http_peer_url(pair->peer), "rp_operator_1_secret");
}

static void pair_clear(struct pair *pair)
{
    http_client_free(pair->client);
    http_peer_stop(pair->peer);
    buf_clear(&pair->script.request);
    pthread_mutex_destroy(&pair->script.mutex);
}

static void an_answer_arrives_with_code_headers_and_body(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    CLEANUP(pair_clear) struct pair pair;
    pair_open(&pair, "HTTP/1.1 201 Created\r\nContent-Length: 2\r\nLocation: /v1/jobs/job_1\r\n"
                     "etag:  \"abc\" \r\nRetry-After: 7\r\nIdempotency-Replayed: true\r\n\r\n{}");
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, 100);
    const char *const headers[] = {"Idempotency-Key: k", NULL};
    struct http_exchange exchange = {.method = "POST",
                                     .path = "/v1/jobs?dry_run=true",
                                     .headers = headers,
                                     .body = "{\"a\":1}",
                                     .body_bytes = 7,
                                     .timeout_ms = 5000,
                                     .out_body = &body};
    assert_ok(http_client_send(pair.client, &exchange, &err), &err);
    assert_int_equal(exchange.out_code, 201);
    assert_string_equal(exchange.out_location, "/v1/jobs/job_1");
    assert_string_equal(exchange.out_etag, "\"abc\"");
    assert_int_equal(exchange.out_retry_after_s, 7);
    assert_true(exchange.out_replayed);
    assert_string_equal(body.data, "{}");
    const char *request = pair.script.request.data;
    assert_int_equal(strncmp(request, "POST /v1/jobs?dry_run=true HTTP/1.1\r\n", 37), 0);
    assert_non_null(strstr(request, "\r\nAuthorization: Bearer rp_operator_1_secret\r\n"));
    assert_non_null(strstr(request, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(request, "\r\nContent-Length: 7\r\n"));
    assert_non_null(strstr(request, "\r\nIdempotency-Key: k\r\n"));
    assert_non_null(strstr(request, "\r\nUser-Agent: reprise/"));
    assert_null(strstr(request, "Expect:"));
    assert_non_null(strstr(request, "\r\n\r\n{\"a\":1}"));
}

static void one_connection_serves_many_exchanges(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    CLEANUP(pair_clear) struct pair pair;
    pair_open(&pair, "HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nproblem");
    for (int i = 0; i < 20; i++) {
        CLEANUP(buf_clear) struct buf body;
        buf_init(&body, 100);
        struct http_exchange exchange = {.method = i % 2 == 0 ? "GET" : "POST",
                                         .path = "/x",
                                         .timeout_ms = 5000,
                                         .out_body = &body};
        assert_ok(http_client_send(pair.client, &exchange, &err), &err);
        assert_int_equal(exchange.out_code, 404); /* a code of any kind is an answer */
        assert_string_equal(body.data, "problem");
        assert_int_equal(exchange.out_retry_after_s, 0);
        assert_string_equal(exchange.out_location, "");
    }
    assert_int_equal(http_peer_connections(pair.peer), 1);
    assert_non_null(strstr(pair.script.request.data, "\r\nContent-Length: 0\r\n"));
}

static void a_chunked_answer_is_put_together(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    CLEANUP(pair_clear) struct pair pair;
    pair_open(&pair, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, 7);
    struct http_exchange exchange = {
        .method = "GET", .path = "/", .timeout_ms = 5000, .out_body = &body};
    assert_ok(http_client_send(pair.client, &exchange, &err), &err);
    assert_string_equal(body.data, "abcdefg");
}

static void an_answer_over_the_limit_is_refused(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    CLEANUP(pair_clear) struct pair pair;
    pair_open(&pair, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nabcdefg");
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, 6);
    struct http_exchange exchange = {
        .method = "GET", .path = "/v1", .timeout_ms = 5000, .out_body = &body};
    char message[160];
    (void)snprintf(message, sizeof(message), "GET %s/v1: answer is over 6 bytes",
                   http_peer_url(pair.peer));
    assert_fails(http_client_send(pair.client, &exchange, &err), &err, STATUS_TOO_LARGE, message);
}

static int temporary_file(void)
{
    char path[] = "/tmp/reprise-http-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)unlink(path);
    return fd;
}

static void an_answer_can_go_to_a_file_with_a_limit(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    CLEANUP(pair_clear) struct pair pair;
    pair_open(&pair, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nshard");
    CLEANUP(fd_cleanup) const int fd = temporary_file();
    struct http_exchange exchange = {
        .method = "GET", .path = "/s", .timeout_ms = 5000, .out_fd = fd, .out_fd_bytes_max = 5};
    assert_ok(http_client_send(pair.client, &exchange, &err), &err);
    char bytes[5];
    assert_ok(fs_pread_all(fd, bytes, 5, 0, &err), &err);
    assert_memory_equal(bytes, "shard", 5);
    exchange.out_fd_bytes_max = 4;
    assert_int_equal(http_client_send(pair.client, &exchange, &err), STATUS_TOO_LARGE);
}

static void a_problem_never_goes_to_the_file(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    CLEANUP(pair_clear) struct pair pair;
    pair_open(&pair, "HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nproblem");
    CLEANUP(fd_cleanup) const int fd = temporary_file();
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, 100);
    struct http_exchange exchange = {.method = "GET",
                                     .path = "/s",
                                     .timeout_ms = 5000,
                                     .out_fd = fd,
                                     .out_fd_bytes_max = 100,
                                     .out_body = &body};
    assert_ok(http_client_send(pair.client, &exchange, &err), &err);
    assert_string_equal(body.data, "problem");
    assert_int_equal(lseek(fd, 0, SEEK_END), 0);
}

static void a_body_can_come_from_a_file(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    CLEANUP(pair_clear) struct pair pair;
    pair_open(&pair, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    CLEANUP(fd_cleanup) const int fd = temporary_file();
    const size_t size = MIB;
    char *bytes = malloc(size);
    assert_non_null(bytes);
    memset(bytes, 's', size);
    assert_ok(fs_write_all(fd, bytes, size, &err), &err);
    free(bytes);
    struct http_exchange exchange = {.method = "PUT",
                                     .path = "/v1/agent/checkpoints/j/1/100/0?of=1",
                                     .content_type = "application/octet-stream",
                                     .timeout_ms = 5000,
                                     .body_fd = fd,
                                     .body_fd_bytes = size};
    for (int i = 0; i < 2; i++) {
        assert_ok(http_client_send(pair.client, &exchange, &err), &err);
        assert_int_equal(exchange.out_code, 202);
        const struct buf *request = &pair.script.request;
        assert_int_equal(strncmp(request->data, "PUT /v1/agent/checkpoints/", 26), 0);
        assert_non_null(strstr(request->data, "\r\nContent-Type: application/octet-stream\r\n"));
        assert_non_null(strstr(request->data, "\r\nContent-Length: 1048576\r\n"));
        assert_memory_equal(request->data + request->size - 3, "sss", 3);
    }
}

static void a_file_shorter_than_promised_fails_by_name(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    CLEANUP(pair_clear) struct pair pair;
    pair_open(&pair, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    CLEANUP(fd_cleanup) const int fd = temporary_file();
    assert_ok(fs_write_all(fd, "abc", 3, &err), &err);
    struct http_exchange exchange = {
        .method = "PUT", .path = "/s", .timeout_ms = 5000, .body_fd = fd, .body_fd_bytes = 5};
    char message[160];
    (void)snprintf(message, sizeof(message), "PUT %s/s: file ends at 3, 2 bytes too early",
                   http_peer_url(pair.peer));
    assert_fails(http_client_send(pair.client, &exchange, &err), &err, STATUS_CORRUPT, message);
}

/* ------------------------------------------------------------------ no answer */

static void a_refused_connection_is_unavailable(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    CLEANUP(pair_clear) struct pair pair;
    pair_open(&pair, "");
    struct http_peer *gone = http_peer_start(answer_each, &pair.script);
    char url[64];
    (void)snprintf(url, sizeof(url), "%s", http_peer_url(gone));
    http_peer_stop(gone);
    CLEANUP(http_client_cleanup) struct http_client *client = client_of(url, NULL);
    struct http_exchange exchange = {.method = "GET", .path = "/healthz", .timeout_ms = 5000};
    assert_int_equal(http_client_send(client, &exchange, &err), STATUS_UNAVAILABLE);
    assert_int_equal(strncmp(err.text, "GET http://127.0.0.1:", 21), 0);
    assert_non_null(strstr(err.text, "/healthz: Failed to connect"));
}

static void stay_silent(int fd, void *context)
{
    (void)context;
    CLEANUP(buf_clear) struct buf request;
    buf_init(&request, MIB);
    (void)http_peer_read(fd, &request);
    (void)http_peer_read(fd, &request); /* until the client gives up */
}

static void a_silent_peer_runs_into_the_deadline(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    struct http_peer *peer = http_peer_start(stay_silent, NULL);
    struct http_client *client = client_of(http_peer_url(peer), NULL);
    struct http_exchange exchange = {.method = "GET", .path = "/", .timeout_ms = 50};
    const int64_t start_ms = clock_mono_ms();
    assert_int_equal(http_client_send(client, &exchange, &err), STATUS_UNAVAILABLE);
    assert_true(clock_mono_ms() - start_ms >= 49);
    assert_non_null(strstr(err.text, "timed out after"));
    http_client_free(client);
    http_peer_stop(peer);
}

static void cut_off(int fd, void *context)
{
    CLEANUP(buf_clear) struct buf request;
    buf_init(&request, MIB);
    (void)http_peer_read(fd, &request);
    http_peer_write(fd, context);
}

static void an_answer_that_is_cut_off_is_unavailable(void **state)
{
    (void)state;
    char part[] = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    char chunk[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    char nothing[] = "";
    char garbage[] = "no HTTP at all\r\n\r\n";
    char *const answers[] = {part, chunk, nothing, garbage};
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        struct error err = {.status = STATUS_OK};
        struct http_peer *peer = http_peer_start(cut_off, answers[i]);
        struct http_client *client = client_of(http_peer_url(peer), NULL);
        CLEANUP(buf_clear) struct buf body;
        buf_init(&body, 1000);
        struct http_exchange exchange = {
            .method = "GET", .path = "/", .timeout_ms = 5000, .out_body = &body};
        assert_int_equal(http_client_send(client, &exchange, &err), STATUS_UNAVAILABLE);
        http_client_free(client);
        http_peer_stop(peer);
    }
}

static void answer_once(int fd, void *context)
{
    struct script *script = context;
    CLEANUP(buf_clear) struct buf request;
    buf_init(&request, MIB);
    if (http_peer_read(fd, &request))
        http_peer_write(fd, script->answer);
}

static void a_connection_closed_while_idle_is_opened_again(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    struct script script = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
    struct http_peer *peer = http_peer_start(answer_once, &script);
    struct http_client *client = client_of(http_peer_url(peer), NULL);
    CLEANUP(fd_cleanup) const int fd = temporary_file();
    assert_ok(fs_write_all(fd, "shard", 5, &err), &err);
    for (int i = 0; i < 5; i++) {
        struct http_exchange exchange = {
            .method = "PUT", .path = "/", .timeout_ms = 5000, .body_fd = fd, .body_fd_bytes = 5};
        assert_ok(http_client_send(client, &exchange, &err), &err);
        assert_int_equal(exchange.out_code, 200);
    }
    assert_int_equal(http_peer_connections(peer), 5);
    http_client_free(client);
    http_peer_stop(peer);
}

/* ------------------------------------------------------------------ abort */

static void *abort_soon(void *context)
{
    clock_sleep_ms(30);
    http_client_abort(context);
    return NULL;
}

static void another_thread_can_end_an_exchange_at_once(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    struct http_peer *peer = http_peer_start(stay_silent, NULL);
    struct http_client *client = client_of(http_peer_url(peer), NULL);
    pthread_t thread;
    const int64_t start_ms = clock_mono_ms();
    assert_int_equal(pthread_create(&thread, NULL, abort_soon, client), 0);
    struct http_exchange exchange = {.method = "POST", .path = "/v1/agent/sync"};
    char message[160];
    (void)snprintf(message, sizeof(message), "POST %s/v1/agent/sync: aborted", http_peer_url(peer));
    assert_fails(http_client_send(client, &exchange, &err), &err, STATUS_UNAVAILABLE, message);
    assert_true(clock_mono_ms() - start_ms >= 29);
    assert_int_equal(pthread_join(thread, NULL), 0);
    /* Every later one ends as well, until the client is armed again. */
    assert_fails(http_client_send(client, &exchange, &err), &err, STATUS_UNAVAILABLE, message);
    http_client_free(client);
    http_peer_stop(peer);
}

static void an_armed_client_goes_on_after_an_abort(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    CLEANUP(pair_clear) struct pair pair;
    pair_open(&pair, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    struct http_exchange exchange = {.method = "GET", .path = "/", .timeout_ms = 5000};
    http_client_abort(pair.client);
    assert_int_equal(http_client_send(pair.client, &exchange, NULL), STATUS_UNAVAILABLE);
    http_client_arm(pair.client);
    assert_ok(http_client_send(pair.client, &exchange, &err), &err);
    http_client_set_token(pair.client, "rp_node_2_other");
    assert_ok(http_client_send(pair.client, &exchange, &err), &err);
    assert_non_null(strstr(pair.script.request.data, "Bearer rp_node_2_other\r\n"));
}

/* ------------------------------------------------------------------ streams */

struct received {
    struct buf text;
    size_t stop_after;
};

static bool receive(void *context, const char *bytes, size_t size)
{
    struct received *received = context;
    buf_append(&received->text, bytes, size);
    return received->text.size < received->stop_after;
}

static void a_streamed_answer_arrives_in_pieces_and_can_be_stopped(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    CLEANUP(pair_clear) struct pair pair;
    pair_open(&pair, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
    struct received received = {.stop_after = 100};
    buf_init(&received.text, 100);
    struct http_exchange exchange = {.method = "GET",
                                     .path = "/v1/stream",
                                     .timeout_ms = 5000,
                                     .chunk = receive,
                                     .chunk_context = &received};
    assert_ok(http_client_send(pair.client, &exchange, &err), &err);
    assert_string_equal(received.text.data, "abcdefg");
    buf_reset(&received.text);
    received.stop_after = 1;
    char message[160];
    (void)snprintf(message, sizeof(message), "GET %s/v1/stream: stopped by the receiver",
                   http_peer_url(pair.peer));
    assert_fails(http_client_send(pair.client, &exchange, &err), &err, STATUS_UNAVAILABLE, message);
    buf_clear(&received.text);
}

/* ------------------------------------------------------------------ addresses */

static void only_addresses_of_this_release_are_taken(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    struct http_client *client = NULL;
    struct http_client_options options = {.base_url = "https://reprise:8484"};
    assert_fails(http_client_new(&options, &client, &err), &err, STATUS_UNSUPPORTED,
                 "https://reprise:8484: TLS comes in a later release, use http://");
    options.base_url = "reprise:8484";
    assert_fails(http_client_new(&options, &client, &err), &err, STATUS_INVALID,
                 "reprise:8484: expected http://HOST:PORT");
    options.base_url = "file:///etc/passwd";
    assert_fails(http_client_new(&options, &client, &err), &err, STATUS_INVALID,
                 "file:///etc/passwd: expected http://HOST:PORT");
    options.base_url = "http://";
    assert_int_equal(http_client_new(&options, &client, NULL), STATUS_INVALID);
    assert_null(client);
    http_client_free(NULL);
}

static void an_escaped_segment_has_no_separators(void **state)
{
    (void)state;
    CLEANUP(buf_clear) struct buf url;
    buf_init(&url, 100);
    url_append_escaped(&url, "a-b_c.d~e f/g?h&i=j%\xc3\xa9");
    assert_string_equal(url.data, "a-b_c.d~e%20f%2Fg%3Fh%26i%3Dj%25%C3%A9");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_arrives_with_code_headers_and_body),
        cmocka_unit_test(one_connection_serves_many_exchanges),
        cmocka_unit_test(a_chunked_answer_is_put_together),
        cmocka_unit_test(an_answer_over_the_limit_is_refused),
        cmocka_unit_test(an_answer_can_go_to_a_file_with_a_limit),
        cmocka_unit_test(a_problem_never_goes_to_the_file),
        cmocka_unit_test(a_body_can_come_from_a_file),
        cmocka_unit_test(a_file_shorter_than_promised_fails_by_name),
        cmocka_unit_test(a_refused_connection_is_unavailable),
        cmocka_unit_test(a_silent_peer_runs_into_the_deadline),
        cmocka_unit_test(an_answer_that_is_cut_off_is_unavailable),
        cmocka_unit_test(a_connection_closed_while_idle_is_opened_again),
        cmocka_unit_test(another_thread_can_end_an_exchange_at_once),
        cmocka_unit_test(an_armed_client_goes_on_after_an_abort),
        cmocka_unit_test(a_streamed_answer_arrives_in_pieces_and_can_be_stopped),
        cmocka_unit_test(only_addresses_of_this_release_are_taken),
        cmocka_unit_test(an_escaped_segment_has_no_separators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
