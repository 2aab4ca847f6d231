/*
 * The service under everything at once: submits, reads, cancels, long polls, streams, tokens, a node
 * that says what is not its business, and jobs that train on real nodes; then SIGTERM in the middle
 * of it. A sanitizer that finds something ends the program with its own exit code, so each program's
 * end is what these tests look at (`make test-asan`, with leaks at exit, and `make test-tsan`).
 *
 * Workers are threads with a client each. They never fail a test themselves, since cmocka's failures
 * belong to its thread: the first complaint is kept and shown at the end.
 */

#include "tests/unit/unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fs.h"
#include "tests/integration/cluster.h"

#define LOAD_MS           2500
#define LOAD_MS_SANITIZED 15000
#define JOB_WAIT_MS       60000
#define REQUEST_MS        30000
#define STREAM_MS         400 /* how long one stream is read before it is cut off */
#define JOBS_KEPT         8
#define ANSWER_BYTES_MAX  (16 * MIB)
#define RUN_EVERY         16 /* every so many submits of a worker, one that nodes can run */
#define WORKERS_MAX       24

struct load {
    struct cluster *cluster;
    atomic_bool may_refuse; /* the service was told to end */
    atomic_bool over;
    atomic_ullong answers;
    atomic_ullong streamed_bytes;
    pthread_mutex_t lock;
    char failure[512];                  /* under lock; "": none */
    char jobs[JOBS_KEPT][ID_BYTES_MAX]; /* under lock: newest ones, in no order; "": none yet */
};

struct worker {
    struct load *load;
    const char *name;
    void (*turn)(struct worker *);
    unsigned number;
    unsigned turns;
    struct http_client *client;
    pthread_t thread;
    char last_job[ID_BYTES_MAX];
    int64_t session, seq; /* of the stray node */
};

/* ---------------------------------------------------------------- asking */

static void complain(struct load *load, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void complain(struct load *load, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    pthread_mutex_lock(&load->lock);
    if (load->failure[0] == '\0')
        vsnprintf(load->failure, sizeof(load->failure), fmt, args);
    pthread_mutex_unlock(&load->lock);
    va_end(args);
}

/* Ends of others' races: gone, already so, too many at once. */
static bool is_fair(long code)
{
    return code / 100 == 2 || code == 304 || code == 404 || code == 409 || code == 429;
}

/* Sends and parses; NULL without an answer worth reading. The service may go only when told to. */
static json_t *ask(struct worker *worker, struct http_exchange *exchange)
{
    struct load *load = worker->load;
    CLEANUP(buf_clear) struct buf answer;
    buf_init(&answer, ANSWER_BYTES_MAX);
    exchange->out_body = &answer;
    if (exchange->timeout_ms == 0)
        exchange->timeout_ms = process_patience(REQUEST_MS);
    struct error err = {0};
    const enum status status = http_client_send(worker->client, exchange, &err);
    if (status != STATUS_OK) {
        if (!atomic_load(&load->may_refuse))
            complain(load, "%s: %s %s: %s", worker->name, exchange->method, exchange->path,
                     err.text);
        return NULL;
    }
    atomic_fetch_add(&load->answers, 1);
    if (!is_fair(exchange->out_code) && !atomic_load(&load->may_refuse))
        complain(load, "%s: %s %s: %ld %.200s", worker->name, exchange->method, exchange->path,
                 exchange->out_code, answer.size > 0 ? answer.data : "");
    return json_loadb(answer.data, answer.size, JSON_DECODE_ANY, NULL);
}

static json_t *ask_json(struct worker *worker, const char *method, const char *path, json_t *body)
{
    CLEANUP(free_cleanup) char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    struct http_exchange exchange = {
        .method = method, .path = path, .body = text, .body_bytes = text ? strlen(text) : 0};
    return ask(worker, &exchange);
}

static void get(struct worker *worker, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void get(struct worker *worker, const char *fmt, ...)
{
    char path[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(path, sizeof(path), fmt, args);
    va_end(args);
    json_decref(ask_json(worker, "GET", path, NULL));
}

static void keep_job(struct load *load, unsigned number, const char *job)
{
    pthread_mutex_lock(&load->lock);
    snprintf(load->jobs[number % JOBS_KEPT], ID_BYTES_MAX, "%s", job);
    pthread_mutex_unlock(&load->lock);
}

/* One of the newest jobs; "" when there is none yet. */
static void some_job(struct worker *worker, char out[ID_BYTES_MAX])
{
    pthread_mutex_lock(&worker->load->lock);
    memcpy(out, worker->load->jobs[(worker->number + worker->turns) % JOBS_KEPT], ID_BYTES_MAX);
    pthread_mutex_unlock(&worker->load->lock);
}

/* ---------------------------------------------------------------- what workers do */

static void submit_and_cancel(struct worker *worker)
{
    const bool fits = worker->turns % RUN_EVERY == RUN_EVERY - 1;
    json_t *spec = cluster_spec(fits ? "runs" : "waits");
    cluster_spec_set(spec, "resources.ranks", json_integer(fits ? 1 : 16));
    cluster_spec_set(spec, "labels.worker", json_string(worker->name));
    CLEANUP(free_cleanup) char *body = json_dumps(spec, JSON_COMPACT);
    json_decref(spec);
    char key[80];
    snprintf(key, sizeof(key), "Idempotency-Key: load-%u-%u", worker->number, worker->turns);
    const char *const headers[] = {key, NULL};
    for (int again = 0; again < 2; again++) { /* the second is a replay */
        struct http_exchange exchange = {.method = "POST",
                                         .path = "/v1/jobs",
                                         .headers = headers,
                                         .body = body,
                                         .body_bytes = strlen(body)};
        CLEANUP(json_cleanup) json_t *answer = ask(worker, &exchange);
        const char *id = json_string_value(json_object_get(answer, "id"));
        if (id == NULL)
            return;
        snprintf(worker->last_job, sizeof(worker->last_job), "%s", id);
    }
    keep_job(worker->load, worker->number, worker->last_job);
    get(worker, "/v1/jobs/%s", worker->last_job);
    get(worker, "/v1/jobs/%s/explain", worker->last_job);
    char path[96];
    snprintf(path, sizeof(path), "/v1/jobs/%s/cancel", worker->last_job);
    json_decref(ask_json(worker, "POST", path, NULL));
    if (worker->turns % 4 == 0) {
        snprintf(path, sizeof(path), "/v1/jobs/%s/retry", worker->last_job);
        json_decref(ask_json(worker, "POST", path, NULL));
        snprintf(path, sizeof(path), "/v1/jobs/%s/cancel", worker->last_job);
        json_decref(ask_json(worker, "POST", path, NULL));
    }
}

static void read_everything(struct worker *worker)
{
    static const char *const lists[] = {"/v1/jobs?limit=100",
                                        "/v1/jobs?state=running",
                                        "/v1/jobs?q=waits&limit=5",
                                        "/v1/nodes",
                                        "/v1/datasets",
                                        "/v1/tokens",
                                        "/v1/version",
                                        "/healthz",
                                        "/readyz",
                                        "/metrics",
                                        "/openapi.json",
                                        "/"};
    static const char *const of_job[] = {"",
                                         "/attempts",
                                         "/metrics?points=50",
                                         "/metrics?lineage=all&rank=0",
                                         "/logs?tail=50",
                                         "/checkpoints",
                                         "/events",
                                         "/explain"};
    get(worker, "%s", lists[worker->turns % COUNT_OF(lists)]);
    char job[ID_BYTES_MAX];
    some_job(worker, job);
    if (job[0] != '\0')
        get(worker, "/v1/jobs/%s%s", job, of_job[worker->turns % COUNT_OF(of_job)]);
}

static void poll_long(struct worker *worker)
{
    char job[ID_BYTES_MAX], path[160];
    some_job(worker, job);
    if (job[0] == '\0')
        return;
    snprintf(path, sizeof(path), "/v1/jobs/%s", job);
    CLEANUP(json_cleanup) json_t *now = ask_json(worker, "GET", path, NULL);
    const long long revision = json_integer_value(json_object_get(now, "revision"));
    get(worker, "/v1/jobs/%s?revision=%lld&wait=300ms", job, revision);
}

static bool count_chunk(void *context, const char *bytes, size_t size)
{
    struct load *load = context;
    (void)bytes;
    atomic_fetch_add(&load->streamed_bytes, size);
    return true;
}

/* Read for a while and cut off in the middle: as browsers do. */
static void stream(struct worker *worker)
{
    static const char *const accepts[] = {"Accept: text/event-stream",
                                          "Accept: application/x-ndjson"};
    char job[ID_BYTES_MAX], path[200] = "/v1/stream?topics=queue,nodes";
    some_job(worker, job);
    if (job[0] != '\0' && worker->turns % 3 == 1)
        snprintf(path, sizeof(path), "/v1/stream?topics=queue,job:%s", job);
    if (job[0] != '\0' && worker->turns % 3 == 2)
        snprintf(path, sizeof(path), "/v1/jobs/%s/logs?follow=true", job);
    const char *const headers[] = {accepts[worker->turns % 2], NULL};
    struct http_exchange exchange = {.method = "GET",
                                     .path = path,
                                     .headers = headers,
                                     .timeout_ms = STREAM_MS,
                                     .chunk = count_chunk,
                                     .chunk_context = worker->load};
    struct error err = {0};
    if (http_client_send(worker->client, &exchange, &err) == STATUS_OK)
        atomic_fetch_add(&worker->load->answers, 1); /* else the deadline ended it, as meant */
}

static void make_and_revoke_tokens(struct worker *worker)
{
    CLEANUP(json_cleanup)
    json_t *made = ask_json(worker, "POST", "/v1/tokens",
                            json_pack("{s:s, s:s}", "role", "viewer", "project", "other"));
    const char *token = json_string_value(json_object_get(made, "token"));
    const char *id = json_string_value(json_object_get(made, "id"));
    if (token == NULL || id == NULL)
        return;
    http_client_set_token(worker->client, token);
    get(worker, "/v1/jobs?limit=5");
    http_client_set_token(worker->client, cluster_token(worker->load->cluster));
    char path[96];
    snprintf(path, sizeof(path), "/v1/tokens/%s", id);
    json_decref(ask_json(worker, "DELETE", path, NULL));
    json_decref(ask_json(worker, "POST", "/v1/nodes/tokens", NULL));
}

/* A node that syncs as it should and otherwise speaks for jobs that it does not have. */
static void stray(struct worker *worker)
{
    CLEANUP(json_cleanup)
    json_t *answer = ask_json(worker, "POST", "/v1/agent/sync",
                              json_pack("{s:I, s:s, s:I, s:I, s:b, s:[], s:[{s:s, s:s, s:i}]}",
                                        "session", (json_int_t)worker->session, "boot_id", "stray",
                                        "seq", (json_int_t)++worker->seq, "revision_seen",
                                        (json_int_t)0, "news", worker->turns % 2, "observed",
                                        "slots", "slot", "cpu:0", "kind", "cpu", "index", 0));
    const json_int_t session = json_integer_value(json_object_get(answer, "session"));
    worker->session = session > 0 ? session : worker->session;
    char job[ID_BYTES_MAX], path[200], line[400];
    some_job(worker, job);
    if (job[0] == '\0')
        return;
    snprintf(line, sizeof(line),
             "{\"job\":\"%s\",\"attempt\":1,\"rank\":0,\"seq\":%u,\"event\":\"metric\",\"step\":1,"
             "\"epoch\":0,\"values\":{\"loss\":1.0}}\n",
             job, worker->turns + 1);
    struct http_exchange telemetry = {.method = "POST",
                                      .path = "/v1/agent/telemetry",
                                      .content_type = "application/x-ndjson",
                                      .body = line,
                                      .body_bytes = strlen(line)};
    json_decref(ask(worker, &telemetry));
    static const char *const headers[] = {
        "Content-Digest: sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:", NULL};
    snprintf(path, sizeof(path), "/v1/agent/checkpoints/%s/1/10/0?of=1", job);
    struct http_exchange shard = {.method = "PUT",
                                  .path = path,
                                  .content_type = "application/octet-stream",
                                  .headers = headers,
                                  .body = "x",
                                  .body_bytes = 1};
    json_decref(ask(worker, &shard));
}

static void *work(void *context)
{
    struct worker *worker = context;
    while (!atomic_load(&worker->load->over)) {
        worker->turn(worker);
        worker->turns++;
    }
    return NULL;
}

/* ---------------------------------------------------------------- the run */

static struct load load = {.lock = PTHREAD_MUTEX_INITIALIZER};
static struct worker workers[WORKERS_MAX];
static size_t worker_count;

/* Joins as a node that is drained at once: real jobs go to real nodes. */
static void join_stray(struct worker *worker)
{
    struct cluster *cluster = load.cluster;
    CLEANUP(json_cleanup) json_t *issued = NULL;
    assert_int_equal(cluster_request(cluster, "POST", "/v1/nodes/tokens", NULL, &issued), 201);
    const struct http_client_options options = {.base_url = cluster_agents_url(cluster),
                                                .connect_timeout_ms = 5000};
    struct error err = {0};
    assert_ok(http_client_new(&options, &worker->client, &err), &err);
    CLEANUP(json_cleanup)
    json_t *joined =
        ask_json(worker, "POST", "/v1/agent/join",
                 json_pack("{s:s, s:s, s:s, s:s, s:s, s:[{s:s, s:s, s:i}], s:i, s:i, s:{}, s:s}",
                           "join_token", json_string_value(json_object_get(issued, "token")),
                           "hostname", "stray", "address", "127.0.0.1", "boot_id", "stray",
                           "numerics", "n", "slots", "slot", "cpu:0", "kind", "cpu", "index", 0,
                           "cpu_count", 1, "memory_bytes", 1 << 30, "labels", "version", "0.1.0"));
    const char *token = json_string_value(json_object_get(joined, "node_token"));
    if (token == NULL)
        fail_msg("join: %s", load.failure);
    http_client_set_token(worker->client, token);
    cluster_post(cluster, "/v1/nodes/%s/drain",
                 json_string_value(json_object_get(joined, "node_id")));
}

static void start_workers(void)
{
    static const struct {
        const char *name;
        void (*turn)(struct worker *);
        unsigned count;
    } kinds[] = {{"submitter", submit_and_cancel, 3},
                 {"reader", read_everything, 3},
                 {"poller", poll_long, 3},
                 {"stream", stream, 4},
                 {"tokens", make_and_revoke_tokens, 1},
                 {"stray", stray, 1}};
    for (size_t kind = 0; kind < COUNT_OF(kinds); kind++) {
        for (unsigned i = 0; i < kinds[kind].count; i++) {
            assert_true(worker_count < WORKERS_MAX);
            struct worker *worker = &workers[worker_count];
            *worker = (struct worker){.load = &load,
                                      .name = kinds[kind].name,
                                      .turn = kinds[kind].turn,
                                      .number = (unsigned)worker_count};
            if (worker->turn == stray)
                join_stray(worker);
            else
                worker->client = cluster_client_new(load.cluster);
            assert_int_equal(pthread_create(&worker->thread, NULL, work, worker), 0);
            worker_count++;
        }
    }
}

static void stop_workers(void)
{
    atomic_store(&load.may_refuse, true);
    atomic_store(&load.over, true);
    for (size_t i = 0; i < worker_count; i++) {
        pthread_join(workers[i].thread, NULL);
        http_client_free(workers[i].client);
        if (workers[i].turns == 0)
            complain(&load, "%s did nothing", workers[i].name);
    }
    worker_count = 0;
}

/* Jobs of two ranks, one after the other, through all of it: telemetry, shards, logs, a model. */
static void train_until(int64_t end_ms)
{
    for (unsigned round = 0; round == 0 || clock_mono_ms() < end_ms; round++) {
        char job[ID_BYTES_MAX];
        CLEANUP(json_cleanup) json_t *spec = cluster_spec("trains");
        cluster_spec_set(spec, "resources.ranks", json_integer(2));
        cluster_spec_set(spec, "priority", json_integer(100));
        cluster_spec_set(spec, "training.steps", json_integer(120));
        cluster_spec_set(spec, "checkpoint.every_steps", json_integer(20));
        cluster_submit(load.cluster, spec, job);
        keep_job(&load, JOBS_KEPT - 1, job);
        json_decref(cluster_wait_state(load.cluster, job, "succeeded", JOB_WAIT_MS));
        char tensors[65], file[65];
        cluster_model(load.cluster, job, tensors, file);
    }
}

static void expect_clean_end(struct cluster *cluster, const char *name, int status)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    cluster_show_log(cluster, name);
    fail_msg("%s ended with status 0x%x", name, (unsigned)status);
}

static void the_service_bears_everything_at_once_and_ends_cleanly_in_its_midst(void **state)
{
    (void)state;
    const int64_t duration_ms = getenv("SANITIZED") != NULL ? LOAD_MS_SANITIZED : LOAD_MS;
    const struct cluster_options options = {.nodes = 2, .slots_per_node = 2};
    load.cluster = cluster_start(&options);
    start_workers();

    train_until(clock_mono_ms() + duration_ms);
    atomic_store(&load.may_refuse, true);
    const int status = cluster_service_kill(load.cluster, SIGTERM);
    stop_workers();

    expect_clean_end(load.cluster, "service", status);
    for (size_t node = 0; node < options.nodes; node++) {
        char name[32];
        snprintf(name, sizeof(name), "node-%zu", node);
        expect_clean_end(load.cluster, name, cluster_agent_kill(load.cluster, node, SIGTERM));
    }
    if (load.failure[0] != '\0') {
        cluster_show_log(load.cluster, "service");
        fail_msg("%s", load.failure);
    }
    assert_true(atomic_load(&load.streamed_bytes) > 0);
    print_message("%llu answers, %llu bytes streamed\n",
                  (unsigned long long)atomic_load(&load.answers),
                  (unsigned long long)atomic_load(&load.streamed_bytes));
}

/* A failure leaves the test in the midst of the load, too. */
static int teardown(void **state)
{
    (void)state;
    stop_workers();
    cluster_stop(load.cluster);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(
            the_service_bears_everything_at_once_and_ends_cleanly_in_its_midst, teardown),
    };
    return cmocka_run_group_tests_name("service_load", tests, NULL, NULL);
}
