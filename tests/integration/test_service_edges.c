/*
 * The service at its edges: told to end while hundreds wait, followed by clients that leave, asked
 * what only would be, and on a disk that is full.
 */

#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "tests/integration/cluster.h"
#include "tests/integration/raw_http.h"

#define POLLS         200
#define FOLLOWERS     300 /* more than are followed at once */
#define WAIT_MS       20000
#define SMALL_DISK    "size=48m"
#define REFUSED_ASKED 3

static struct cluster *start(void)
{
    const struct cluster_options options = {.nodes = 0};
    return cluster_start(&options);
}

static void cluster_cleanup(struct cluster **cluster)
{
    cluster_stop(*cluster);
}

/* A job that waits: nothing can run it. */
static void submit_waiting(struct cluster *cluster, char out_job[ID_BYTES_MAX])
{
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("waits");
    cluster_submit(cluster, spec, out_job);
}

static int dial(const struct cluster *cluster)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(raw_port(cluster_api_url(cluster))),
                                        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static int ask_as(const struct cluster *cluster, const char *token, const char *path)
{
    const int fd = dial(cluster);
    char text[512];
    const int size = snprintf(text, sizeof(text),
                              "GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
                              "\r\n",
                              path, token);
    assert_int_equal(send(fd, text, (size_t)size, MSG_NOSIGNAL), size);
    return fd;
}

static int ask_from(const struct cluster *cluster, const char *path)
{
    return ask_as(cluster, cluster_token(cluster), path);
}

/* Reads until the other side closes. */
static void read_all(int fd, struct buf *out)
{
    char piece[4096];
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    for (;;) {
        if (poll(&ready, 1, (int)process_patience(WAIT_MS)) != 1)
            fail_msg("neither an answer nor an end within %d ms", WAIT_MS);
        const ssize_t size = recv(fd, piece, sizeof(piece), 0);
        if (size <= 0)
            return;
        buf_append(out, piece, (size_t)size);
    }
}

static double metric(struct cluster *cluster, const char *name)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    struct raw_answer answer;
    raw_ask(raw_port(cluster_api_url(cluster)), request, sizeof(request) - 1, &answer);
    char line[96];
    snprintf(line, sizeof(line), "\nreprise_%s ", name);
    const char *at = strstr(answer.body.data, line);
    assert_non_null(at);
    const double value = strtod(at + strlen(line), NULL);
    raw_answer_clear(&answer);
    return value;
}

static void wait_for_metric(struct cluster *cluster, const char *name, double wanted)
{
    const int64_t deadline_ms = clock_mono_ms() + process_patience(WAIT_MS);
    double value = metric(cluster, name);
    while ((value < wanted || value > wanted) && clock_mono_ms() < deadline_ms)
        value = metric(cluster, name);
    assert_float_equal(value, wanted, 0);
}

static void who_waits_is_answered_when_the_service_ends(void **state)
{
    (void)state;
    CLEANUP(cluster_cleanup) struct cluster *cluster = start();
    char job[ID_BYTES_MAX];
    submit_waiting(cluster, job);
    CLEANUP(json_cleanup) json_t *view = cluster_get(cluster, "/v1/jobs/%s", job);
    char path[128];
    snprintf(path, sizeof(path), "/v1/jobs/%s?wait=30s&revision=%lld", job,
             (long long)json_integer_value(json_object_get(view, "revision")));
    int sockets[POLLS];
    for (int i = 0; i < POLLS; i++)
        sockets[i] = ask_from(cluster, path);
    wait_for_metric(cluster, "http_waiting{listener=\"api\"}", POLLS);
    const int status = cluster_service_kill(cluster, SIGTERM);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    int answered = 0;
    for (int i = 0; i < POLLS; i++) {
        CLEANUP(buf_clear) struct buf text;
        buf_init(&text, MIB);
        read_all(sockets[i], &text);
        answered += text.size > 0 && strstr(text.data, "HTTP/1.1 200") == text.data &&
                    text.data[text.size - 1] == '}';
        close(sockets[i]);
    }
    assert_int_equal(answered, POLLS);
}

static void who_stops_following_a_silent_job_makes_room(void **state)
{
    (void)state;
    CLEANUP(cluster_cleanup) struct cluster *cluster = start();
    char job[ID_BYTES_MAX];
    char path[128];
    submit_waiting(cluster, job);
    snprintf(path, sizeof(path), "/v1/jobs/%s/logs?follow=true", job);
    for (int i = 0; i < FOLLOWERS; i++) {
        const int fd = ask_from(cluster, path);
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&ready, 1, (int)process_patience(WAIT_MS)), 1); /* its headers */
        close(fd);
    }
    wait_for_metric(cluster, "streams", 0);
    wait_for_metric(cluster, "http_waiting{listener=\"api\"}", 0);
}

static void a_stream_ends_with_its_token(void **state)
{
    (void)state;
    CLEANUP(cluster_cleanup) struct cluster *cluster = start();
    char job[ID_BYTES_MAX];
    submit_waiting(cluster, job);
    json_t *issued = NULL;
    assert_int_equal(cluster_request(cluster, "POST", "/v1/tokens",
                                     json_pack("{s:s}", "role", "viewer"), &issued),
                     201);
    const char *token = json_string_value(json_object_get(issued, "token"));
    char path[128];
    snprintf(path, sizeof(path), "/v1/jobs/%s/logs?follow=true", job);
    const int follower = ask_as(cluster, token, path);
    const int stream = ask_as(cluster, token, "/v1/stream");
    wait_for_metric(cluster, "streams", 2);
    snprintf(path, sizeof(path), "/v1/tokens/%s", json_string_value(json_object_get(issued, "id")));
    assert_int_equal(cluster_request(cluster, "DELETE", path, NULL, NULL), 204);
    wait_for_metric(cluster, "streams", 0);
    wait_for_metric(cluster, "http_waiting{listener=\"api\"}", 0);
    close(follower);
    close(stream);
    json_decref(issued);
}

/* The library's own end of such a body would be taken for the next answer's beginning. */
static void the_head_of_a_stream_has_no_body(void **state)
{
    (void)state;
    CLEANUP(cluster_cleanup) struct cluster *cluster = start();
    CLEANUP(fd_cleanup) const int fd = dial(cluster);
    char text[512];
    const int size =
        snprintf(text, sizeof(text),
                 "HEAD /v1/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
                 "%s\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n"
                 "Connection: close\r\n\r\n",
                 cluster_token(cluster));
    assert_int_equal(send(fd, text, (size_t)size, MSG_NOSIGNAL), size);
    CLEANUP(buf_clear) struct buf answers;
    buf_init(&answers, MIB);
    read_all(fd, &answers);
    const char *end = strstr(answers.data, "\r\n\r\n");
    assert_non_null(end);
    assert_non_null(strstr(answers.data, "text/event-stream"));
    assert_int_equal(strncmp(end + 4, "HTTP/1.1 200", 12), 0);
}

static void a_dry_run_leaves_nothing_behind(void **state)
{
    (void)state;
    CLEANUP(cluster_cleanup) struct cluster *cluster = start();
    json_t *spec = cluster_spec("asks");
    cluster_spec_set(spec, "project", json_string("new-project"));
    assert_int_equal(
        cluster_request(cluster, "POST", "/v1/jobs?dry_run=true", json_incref(spec), NULL), 200);
    /* The project is not there yet: who may submit to it alone is told so. */
    CLEANUP(json_cleanup)
    json_t *members = json_pack("{s:s, s:s}", "role", "submitter", "project", "other-project");
    json_t *issued = NULL;
    assert_int_equal(cluster_request(cluster, "POST", "/v1/tokens", json_incref(members), &issued),
                     201);
    json_decref(issued);
    char file[1200];
    snprintf(file, sizeof(file), "%s/service/state.db", cluster_dir(cluster));
    assert_int_equal(cluster_service_kill(cluster, SIGTERM), 0);
    CLEANUP(buf_clear) struct buf bytes;
    buf_init(&bytes, 64 * MIB);
    assert_int_equal(fs_read_file(file, &bytes, NULL), STATUS_OK);
    assert_non_null(memmem(bytes.data, bytes.size, "other-project", 13));
    assert_null(memmem(bytes.data, bytes.size, "new-project", 11));
    json_decref(spec);
}

static long retry(struct cluster *cluster, const char *job)
{
    CLEANUP(http_client_cleanup) struct http_client *client = cluster_client_new(cluster);
    CLEANUP(buf_clear) struct buf answer;
    buf_init(&answer, MIB);
    static const char *const headers[] = {"Idempotency-Key: again", NULL};
    char path[96];
    snprintf(path, sizeof(path), "/v1/jobs/%s/retry", job);
    struct http_exchange exchange = {.method = "POST",
                                     .path = path,
                                     .headers = headers,
                                     .timeout_ms = process_patience(WAIT_MS),
                                     .out_body = &answer};
    struct error err = {0};
    assert_ok(http_client_send(client, &exchange, &err), &err);
    return exchange.out_code;
}

static void one_key_does_not_retry_two_jobs(void **state)
{
    (void)state;
    CLEANUP(cluster_cleanup) struct cluster *cluster = start();
    char jobs[2][ID_BYTES_MAX];
    for (int i = 0; i < 2; i++) {
        submit_waiting(cluster, jobs[i]);
        cluster_post(cluster, "/v1/jobs/%s/cancel", jobs[i]);
    }
    assert_int_equal(retry(cluster, jobs[0]), 201);
    assert_int_equal(retry(cluster, jobs[0]), 201); /* a replay */
    assert_int_equal(retry(cluster, jobs[1]), 422);
}

/* ---------------------------------------------------------------- a node that oversteps */

/* As a node, or with a join token inside the body as nobody yet (token NULL). */
static long ask_agents(struct cluster *cluster, const char *token, const char *path, json_t *body,
                       json_t **out_json)
{
    CLEANUP(free_cleanup) char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    CLEANUP(buf_clear) struct buf answer;
    buf_init(&answer, MIB);
    CLEANUP(http_client_cleanup) struct http_client *client = NULL;
    const struct http_client_options options = {
        .base_url = cluster_agents_url(cluster), .token = token, .connect_timeout_ms = 5000};
    struct error err = {0};
    assert_ok(http_client_new(&options, &client, &err), &err);
    struct http_exchange exchange = {.method = "POST",
                                     .path = path,
                                     .body = text,
                                     .body_bytes = strlen(text),
                                     .timeout_ms = process_patience(WAIT_MS),
                                     .out_body = &answer};
    assert_ok(http_client_send(client, &exchange, &err), &err);
    if (out_json != NULL)
        *out_json = json_loads(answer.data, 0, NULL);
    return exchange.out_code;
}

/* A node without slots: a stranger to every attempt. */
static void join_stranger(struct cluster *cluster, char out_token[256])
{
    json_t *issued = NULL;
    json_t *joined = NULL;
    assert_int_equal(cluster_request(cluster, "POST", "/v1/nodes/tokens", NULL, &issued), 201);
    json_t *body = json_pack("{s:O, s:s, s:s, s:s, s:s, s:[], s:i, s:i, s:{}, s:s}", "join_token",
                             json_object_get(issued, "token"), "hostname", "stranger", "address",
                             "127.0.0.1", "boot_id", "boot", "numerics", "n", "slots", "cpu_count",
                             1, "memory_bytes", 1 << 30, "labels", "version", "0.1.0");
    assert_int_equal(ask_agents(cluster, NULL, "/v1/agent/join", body, &joined), 201);
    snprintf(out_token, 256, "%s", json_string_value(json_object_get(joined, "node_token")));
    json_decref(issued);
    json_decref(joined);
}

static bool rank_is_shown(struct cluster *cluster, const char *job)
{
    CLEANUP(json_cleanup) json_t *attempt = cluster_attempt(cluster, job);
    const json_t *rank = json_array_get(json_object_get(attempt, "ranks"), 0);
    return json_is_integer(json_object_get(rank, "step")) &&
           json_integer_value(json_object_get(rank, "step")) < 1000000;
}

static void a_node_says_nothing_of_ranks_that_are_not_on_it(void **state)
{
    (void)state;
    const struct cluster_options options = {.nodes = 1};
    CLEANUP(cluster_cleanup) struct cluster *cluster = cluster_start(&options);
    char token[256];
    join_stranger(cluster, token);
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("others");
    cluster_spec_set(spec, "training.steps", json_integer(10000000));
    char job[ID_BYTES_MAX];
    cluster_submit(cluster, spec, job);
    json_decref(cluster_wait_step(cluster, job, 1, 1, WAIT_MS));

    char path[160];
    snprintf(path, sizeof(path), "/v1/agent/logs?job=%s&attempt=1&rank=0&stream=stdout&offset=0",
             job);
    assert_int_equal(ask_agents(cluster, token, path, json_object(), NULL), 404);
    json_t *claim = json_pack(
        "{s:i, s:s, s:i, s:b, s:[{s:s, s:i, s:[{s:i, s:s, s:s, s:i}]}], s:[]}", "session", 0,
        "boot_id", "boot", "seq", 1, "news", 1, "observed", "job", job, "attempt", 99, "ranks",
        "rank", 0, "verdict", "alive", "phase", "step", "step", 1000000, "slots");
    assert_non_null(claim);
    assert_int_equal(ask_agents(cluster, token, "/v1/agent/sync", claim, NULL), 200);
    /* Through the loop behind the sync, so that it was heard. */
    json_decref(cluster_get(cluster, "/v1/jobs/%s/explain", job));
    const int64_t deadline_ms = clock_mono_ms() + process_patience(WAIT_MS);
    while (!rank_is_shown(cluster, job) && clock_mono_ms() < deadline_ms)
        continue;
    assert_true(rank_is_shown(cluster, job));
}

/* ---------------------------------------------------------------- what nobody names any more */

static long put_artifact(struct cluster *cluster, const char *job)
{
    char path[1200];
    snprintf(path, sizeof(path), "%s/credential.json", cluster_node_dir(cluster, 0));
    CLEANUP(json_cleanup) json_t *credential = json_load_file(path, 0, NULL);
    assert_non_null(credential);
    CLEANUP(http_client_cleanup) struct http_client *client = NULL;
    const struct http_client_options options = {
        .base_url = cluster_agents_url(cluster),
        .token = json_string_value(json_object_get(credential, "node_token")),
        .connect_timeout_ms = 5000};
    struct error err = {0};
    assert_ok(http_client_new(&options, &client, &err), &err);
    CLEANUP(buf_clear) struct buf answer;
    buf_init(&answer, MIB);
    snprintf(path, sizeof(path), "/v1/agent/artifacts/%s/1/model.safetensors", job);
    static const char *const headers[] = {
        "Content-Digest: sha-256=:t//ExXYcMACM+DIwNtjkaY22L4l0Khg6NmFsxhBi7nc=:", NULL};
    struct http_exchange exchange = {.method = "PUT",
                                     .path = path,
                                     .content_type = "application/octet-stream",
                                     .headers = headers,
                                     .body = "half a model",
                                     .body_bytes = 12,
                                     .timeout_ms = process_patience(WAIT_MS),
                                     .out_body = &answer};
    assert_ok(http_client_send(client, &exchange, &err), &err);
    return exchange.out_code;
}

static void a_model_without_a_result_goes_when_its_job_ends(void **state)
{
    (void)state;
    const struct cluster_options options = {.nodes = 1};
    CLEANUP(cluster_cleanup) struct cluster *cluster = cluster_start(&options);
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("half");
    cluster_spec_set(spec, "training.steps", json_integer(10000000));
    char job[ID_BYTES_MAX];
    cluster_submit(cluster, spec, job);
    json_decref(cluster_wait_step(cluster, job, 1, 1, WAIT_MS));
    const int64_t step = cluster_wait_checkpoint(cluster, job, 1, WAIT_MS);
    assert_true(step > 0);
    assert_int_equal(put_artifact(cluster, job), 201);
    char artifacts[1200];
    char checkpoints[1200];
    snprintf(artifacts, sizeof(artifacts), "%s/service/blobs/artifacts/%s", cluster_dir(cluster),
             job);
    snprintf(checkpoints, sizeof(checkpoints), "%s/service/blobs/checkpoints/%s",
             cluster_dir(cluster), job);
    assert_true(fs_exists(artifacts));

    cluster_post(cluster, "/v1/jobs/%s/cancel", job);
    json_decref(cluster_wait_state(cluster, job, "cancelled", WAIT_MS));
    const int64_t deadline_ms = clock_mono_ms() + process_patience(WAIT_MS);
    while (fs_exists(artifacts) && clock_mono_ms() < deadline_ms)
        (void)metric(cluster, "uptime_seconds");
    assert_false(fs_exists(artifacts));
    assert_true(fs_exists(checkpoints)); /* these have rows */
    assert_int_equal(put_artifact(cluster, job), 409);
}

/* ---------------------------------------------------------------- a full disk */

/* Leaves no byte free. */
static void fill(const char *path)
{
    CLEANUP(fd_cleanup) const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    char piece[4096];
    memset(piece, 'x', sizeof(piece));
    while (write(fd, piece, sizeof(piece)) > 0)
        continue;
}

static long submit_code(struct cluster *cluster)
{
    return cluster_request(cluster, "POST", "/v1/jobs", cluster_spec("more"), NULL);
}

static void a_full_disk_refuses_new_jobs_until_there_is_room(void **state)
{
    (void)state;
    char folder[] = "/tmp/reprise-full-XXXXXX";
    assert_non_null(mkdtemp(folder));
    if (mount("none", folder, "tmpfs", 0, SMALL_DISK) != 0) {
        rmdir(folder);
        skip(); /* only root makes small disks */
    }
    const struct cluster_options options = {.nodes = 0, .parent = folder};
    struct cluster *cluster = cluster_start(&options);
    char job[ID_BYTES_MAX];
    submit_waiting(cluster, job);

    char filler[64];
    snprintf(filler, sizeof(filler), "%s/filler", folder);
    fill(filler);
    for (int i = 0; i < REFUSED_ASKED; i++)
        assert_int_equal(submit_code(cluster), 507);
    cluster_post(cluster, "/v1/jobs/%s/cancel", job); /* what is there goes on */
    json_decref(cluster_wait_state(cluster, job, "cancelled", WAIT_MS));
    cluster_service_kill(cluster, SIGKILL);
    cluster_service_start(cluster); /* also from a full disk */
    assert_int_equal(submit_code(cluster), 507);

    assert_int_equal(unlink(filler), 0);
    const int64_t deadline_ms = clock_mono_ms() + process_patience(WAIT_MS);
    long code = submit_code(cluster);
    while (code == 507 && clock_mono_ms() < deadline_ms)
        code = submit_code(cluster);
    assert_int_equal(code, 201);

    cluster_stop(cluster);
    assert_int_equal(umount2(folder, MNT_DETACH), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* ---------------------------------------------------------------- how the programs are started */

static void an_agent_that_may_not_join_says_why_and_leaves(void **state)
{
    (void)state;
    CLEANUP(cluster_cleanup) struct cluster *cluster = start();
    char program[512];
    char folder[1200];
    cluster_program("reprise-agent", program);
    snprintf(folder, sizeof(folder), "%s/stranger", cluster_dir(cluster));
    const char *const argv[] = {
        program, "--controller", cluster_agents_url(cluster), "--data", folder, "--slots", "cpu:1",
        NULL};
    CLEANUP(process_result_clear) struct process_result result;
    process_run(argv, NULL, NULL, process_patience(WAIT_MS), &result);
    assert_int_equal(result.exit_code, 64);
    assert_non_null(strstr(result.err.data, "has not joined yet: give --join-token-file"));
}

static int page(struct cluster *cluster, const char *path, const char *said)
{
    char request[256];
    CLEANUP(raw_answer_clear) struct raw_answer answer;
    const int size =
        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    raw_ask(raw_port(cluster_api_url(cluster)), request, (size_t)size, &answer);
    assert_non_null(strstr(answer.body.data, said));
    return answer.code;
}

static void the_status_page_is_served_from_the_folder_of_web_dir(void **state)
{
    (void)state;
    char folder[] = "/tmp/reprise-web-XXXXXX";
    char path[256];
    struct error err = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/index.html", folder);
    assert_ok(fs_replace_file(path, "a page of mine", 14, 0600, &err), &err);
    snprintf(path, sizeof(path), "%s/.hidden", folder);
    assert_ok(fs_replace_file(path, "a secret", 8, 0600, &err), &err);
    snprintf(path, sizeof(path), "%s/link.js", folder);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    {
        const char *const args[] = {"--web-dir", folder, NULL};
        const struct cluster_options options = {.nodes = 0, .service_args = args};
        CLEANUP(cluster_cleanup) struct cluster *cluster = cluster_start(&options);
        assert_int_equal(page(cluster, "/", "a page of mine"), 200);
        assert_int_equal(page(cluster, "/index.html", "a page of mine"), 200);
        assert_int_equal(page(cluster, "/app.js", "there is no file app.js"), 404);
        assert_int_equal(page(cluster, "/.hidden", "there is no file .hidden"), 404);
        assert_int_equal(page(cluster, "/link.js", "there is no file link.js"), 404);
        assert_int_equal(page(cluster, "/..%2f..%2fetc%2fpasswd", "there is no file"), 404);
    }
    assert_ok(fs_remove_tree(folder, &err), &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_waits_is_answered_when_the_service_ends),
        cmocka_unit_test(who_stops_following_a_silent_job_makes_room),
        cmocka_unit_test(a_stream_ends_with_its_token),
        cmocka_unit_test(the_head_of_a_stream_has_no_body),
        cmocka_unit_test(a_dry_run_leaves_nothing_behind),
        cmocka_unit_test(one_key_does_not_retry_two_jobs),
        cmocka_unit_test(a_node_says_nothing_of_ranks_that_are_not_on_it),
        cmocka_unit_test(a_model_without_a_result_goes_when_its_job_ends),
        cmocka_unit_test(a_full_disk_refuses_new_jobs_until_there_is_room),
        cmocka_unit_test(an_agent_that_may_not_join_says_why_and_leaves),
        cmocka_unit_test(the_status_page_is_served_from_the_folder_of_web_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
