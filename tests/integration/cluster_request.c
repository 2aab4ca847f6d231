/* cluster_request.c - requests, jobs and waiting; the life of the programs is in cluster.c. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "tests/integration/cluster.h"
#include "tests/integration/cluster_private.h"

#define ANSWER_BYTES_MAX   (64 * MIB)
#define REQUEST_TIMEOUT_MS 30000
#define CONNECT_TIMEOUT_MS 30000
#define MODEL_BYTES_MAX    (1024LL * MIB)
#define POLL_ROUND         "200ms"

struct http_client *cluster_client_new(const struct cluster *cluster)
{
    const struct http_client_options options = {.base_url = cluster->api_url,
                                                .token = cluster->token,
                                                .connect_timeout_ms = CONNECT_TIMEOUT_MS};
    struct http_client *client = NULL;
    struct error err = {0};
    if (http_client_new(&options, &client, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    return client;
}

/* A service that is gone says by its log alone what it wanted to say, not that it was killed. */
static void tell_end(struct cluster *cluster)
{
    int status = 0;
    if (cluster->service == 0 || !process_wait(cluster->service, 0, &status))
        return;
    cluster->service = 0;
    if (WIFSIGNALED(status))
        print_error("the service was ended by signal %d\n", WTERMSIG(status));
    else
        print_error("the service ended with code %d\n", WEXITSTATUS(status));
}

static long send_exchange(struct cluster *cluster, struct http_exchange *exchange)
{
    struct error err = {0};
    if (exchange->timeout_ms == 0)
        exchange->timeout_ms = process_patience(REQUEST_TIMEOUT_MS);
    if (http_client_send(cluster->client, exchange, &err) != STATUS_OK) {
        process_hold_if_ending();
        tell_end(cluster);
        cluster_show_log(cluster, "service");
        fail_msg("%s %s: %s", exchange->method, exchange->path, err.text);
    }
    return exchange->out_code;
}

long cluster_request_raw(struct cluster *cluster, const char *token, struct http_exchange *exchange)
{
    http_client_set_token(cluster->client, token);
    const long code = send_exchange(cluster, exchange);
    http_client_set_token(cluster->client, cluster->token);
    return code;
}

long cluster_request(struct cluster *cluster, const char *method, const char *path, json_t *body,
                     json_t **out_json)
{
    CLEANUP(buf_clear) struct buf answer;
    buf_init(&answer, ANSWER_BYTES_MAX);
    CLEANUP(free_cleanup) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    struct http_exchange exchange = {.method = method,
                                     .path = path,
                                     .body = text,
                                     .body_bytes = text ? strlen(text) : 0,
                                     .out_body = &answer};
    const long code = send_exchange(cluster, &exchange);
    if (out_json)
        *out_json = json_loadb(answer.data, answer.size, JSON_DECODE_ANY, NULL);
    return code;
}

json_t *cluster_get(struct cluster *cluster, const char *fmt, ...)
{
    char path[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(path, sizeof path, fmt, args);
    va_end(args);
    json_t *answer = NULL;
    const long code = cluster_request(cluster, "GET", path, NULL, &answer);
    if (code != 200 || !answer) {
        process_hold_if_ending();
        CLEANUP(free_cleanup) char *text = answer ? json_dumps(answer, 0) : NULL;
        fail_msg("GET %s: %ld %s", path, code, text ? text : "");
    }
    return answer;
}

void cluster_post(struct cluster *cluster, const char *fmt, ...)
{
    char path[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(path, sizeof path, fmt, args);
    va_end(args);
    CLEANUP(json_cleanup) json_t *answer = NULL;
    const long code = cluster_request(cluster, "POST", path, NULL, &answer);
    if (code / 100 != 2) {
        CLEANUP(free_cleanup) char *text = answer ? json_dumps(answer, 0) : NULL;
        fail_msg("POST %s: %ld %s", path, code, text ? text : "");
    }
}

/* ---------------------------------------------------------------- jobs */

static const char small_spec[] =
    "{'model': {'type': 'mlp', 'hidden': [128], 'activation': 'relu', 'classes': 10},"
    " 'data': {'root': 'mnist-small',"
    "  'train': {'format': 'idx', 'features': 'train-images-idx3-ubyte.gz',"
    "            'labels': 'train-labels-idx1-ubyte.gz'},"
    "  'eval': {'format': 'idx', 'features': 't10k-images-idx3-ubyte.gz',"
    "           'labels': 't10k-labels-idx1-ubyte.gz'}},"
    " 'optimizer': {'type': 'adam', 'lr': 0.001},"
    " 'training': {'steps': 200, 'batch_size': 128, 'seed': 1, 'metrics_every_steps': 20},"
    " 'resources': {'ranks': 1, 'device': 'cpu'},"
    " 'checkpoint': {'every_steps': 50}}";

json_t *cluster_spec(const char *name)
{
    char text[sizeof small_spec];
    for (size_t i = 0; i < sizeof text; i++) /* JSON's quotes, unreadable in C */
        text[i] = (char)(small_spec[i] == '\'' ? '"' : small_spec[i]);
    json_t *spec = json_loads(text, 0, NULL);
    assert_non_null(spec);
    json_object_set_new(spec, "name", json_string(name));
    return spec;
}

void cluster_spec_set(json_t *spec, const char *path, json_t *value)
{
    char key[64];
    const char *dot = strchr(path, '.');
    if (!dot) {
        if (value)
            json_object_set_new(spec, path, value);
        else
            json_object_del(spec, path);
        return;
    }
    snprintf(key, sizeof key, "%.*s", (int)(dot - path), path);
    if (!json_is_object(json_object_get(spec, key)))
        json_object_set_new(spec, key, json_object());
    cluster_spec_set(json_object_get(spec, key), dot + 1, value);
}

void cluster_submit(struct cluster *cluster, const json_t *spec, char out_job[ID_BYTES_MAX])
{
    CLEANUP(json_cleanup) json_t *answer = NULL;
    const long code = cluster_request(cluster, "POST", "/v1/jobs", json_deep_copy(spec), &answer);
    const char *id = json_string_value(json_object_get(answer, "id"));
    if (code != 201 || !id) {
        CLEANUP(free_cleanup) char *text = answer ? json_dumps(answer, 0) : NULL;
        fail_msg("submit: %ld %s", code, text ? text : "");
        return;
    }
    snprintf(out_job, ID_BYTES_MAX, "%s", id);
}

/* ---------------------------------------------------------------- waiting */

static void fail_with_job(const char *what, const json_t *job)
{
    CLEANUP(free_cleanup) char *text = job ? json_dumps(job, 0) : NULL;
    fail_msg("waited in vain for %s: %s", what, text ? text : "no job");
}

json_t *cluster_wait(struct cluster *cluster, const char *job, const char *what,
                     cluster_predicate_fn *predicate, void *context, int64_t timeout_ms)
{
    const int64_t deadline = clock_mono_ms() + process_patience(timeout_ms);
    json_t *now = cluster_get(cluster, "/v1/jobs/%s", job);
    while (!predicate(cluster, now, context)) {
        if (clock_mono_ms() > deadline)
            fail_with_job(what, now);
        const json_int_t revision = json_integer_value(json_object_get(now, "revision"));
        json_decref(now);
        now = cluster_get(cluster, "/v1/jobs/%s?revision=%lld&wait=" POLL_ROUND, job,
                          (long long)revision);
    }
    return now;
}

static bool has_ended(const json_t *job)
{
    const char *state = json_string_value(json_object_get(job, "state"));
    return state &&
           (!strcmp(state, "succeeded") || !strcmp(state, "failed") || !strcmp(state, "cancelled"));
}

static bool state_is(struct cluster *cluster, const json_t *job, void *context)
{
    (void)cluster;
    const char *state = json_string_value(json_object_get(job, "state"));
    if (state && strcmp(state, context) == 0)
        return true;
    if (has_ended(job))
        fail_with_job(context, job);
    return false;
}

json_t *cluster_wait_state(struct cluster *cluster, const char *job, const char *state,
                           int64_t timeout_ms)
{
    char wanted[32];
    snprintf(wanted, sizeof wanted, "%s", state);
    return cluster_wait(cluster, job, wanted, state_is, wanted, timeout_ms);
}

struct step_goal {
    int64_t attempt, step;
};

static bool step_reached(struct cluster *cluster, const json_t *job, void *context)
{
    (void)cluster;
    const struct step_goal *goal = context;
    const json_t *progress = json_object_get(job, "progress");
    if (json_integer_value(json_object_get(job, "attempt")) >= goal->attempt &&
        json_integer_value(json_object_get(progress, "step")) >= goal->step)
        return true;
    if (has_ended(job))
        fail_with_job("a step", job);
    return false;
}

json_t *cluster_wait_step(struct cluster *cluster, const char *job, int64_t attempt, int64_t step,
                          int64_t timeout_ms)
{
    struct step_goal goal = {.attempt = attempt, .step = step};
    char what[64];
    snprintf(what, sizeof what, "step %lld of attempt %lld", (long long)step, (long long)attempt);
    return cluster_wait(cluster, job, what, step_reached, &goal, timeout_ms);
}

struct checkpoint_goal {
    int64_t step, reached;
};

static bool checkpoint_reached(struct cluster *cluster, const json_t *job, void *context)
{
    struct checkpoint_goal *goal = context;
    const char *id = json_string_value(json_object_get(job, "id"));
    CLEANUP(json_cleanup) json_t *list = cluster_get(cluster, "/v1/jobs/%s/checkpoints", id);
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(json_object_get(list, "items"), i, item) {
        const int64_t step = json_integer_value(json_object_get(item, "step"));
        goal->reached = step > goal->reached ? step : goal->reached;
    }
    return goal->reached >= goal->step || has_ended(job);
}

int64_t cluster_wait_checkpoint(struct cluster *cluster, const char *job, int64_t step,
                                int64_t timeout_ms)
{
    struct checkpoint_goal goal = {.step = step};
    char what[64];
    snprintf(what, sizeof what, "a checkpoint at step %lld", (long long)step);
    json_decref(cluster_wait(cluster, job, what, checkpoint_reached, &goal, timeout_ms));
    return goal.reached;
}

void cluster_wait_node(struct cluster *cluster, size_t node, const char *state, int64_t timeout_ms)
{
    const int64_t deadline = clock_mono_ms() + process_patience(timeout_ms);
    const char *id = cluster->nodes[node].id;
    json_t *now = cluster_get(cluster, "/v1/nodes/%s", id);
    for (;;) {
        const char *shown = json_string_value(json_object_get(now, "state"));
        const json_int_t revision = json_integer_value(json_object_get(now, "revision"));
        const bool reached = shown && strcmp(shown, state) == 0;
        if (!reached && clock_mono_ms() > deadline)
            fail_msg("node %zu is %s, not %s", node, shown ? shown : "nothing", state);
        json_decref(now);
        if (reached)
            return;
        now = cluster_get(cluster, "/v1/nodes/%s?revision=%lld&wait=" POLL_ROUND, id,
                          (long long)revision);
    }
}

/* ---------------------------------------------------------------- looking */

json_t *cluster_attempt(struct cluster *cluster, const char *job)
{
    CLEANUP(json_cleanup)
    json_t *list = cluster_get(cluster, "/v1/jobs/%s/attempts?limit=1000", job);
    const json_t *items = json_object_get(list, "items");
    if (json_array_size(items) == 0)
        fail_msg("job %s has no attempt", job);
    return json_incref(json_array_get(items, json_array_size(items) - 1));
}

pid_t cluster_rank_pid(struct cluster *cluster, const char *job, int64_t rank, size_t *out_node)
{
    CLEANUP(json_cleanup) json_t *attempt = cluster_attempt(cluster, job);
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(json_object_get(attempt, "ranks"), i, item) {
        if (json_integer_value(json_object_get(item, "rank")) != rank)
            continue;
        const char *node = json_string_value(json_object_get(item, "node"));
        if (out_node && node)
            *out_node = cluster_node_index(cluster, node);
        const pid_t pid = (pid_t)json_integer_value(json_object_get(item, "pid"));
        if (pid > 0)
            return pid;
    }
    fail_msg("rank %lld of job %s has no process", (long long)rank, job);
    return 0;
}

void cluster_model(struct cluster *cluster, const char *job, char out_sha256[65],
                   char out_file_sha256[65])
{
    CLEANUP(json_cleanup) json_t *shown = cluster_get(cluster, "/v1/jobs/%s", job);
    const json_t *model = json_object_get(shown, "model");
    const char *tensors = json_string_value(json_object_get(model, "sha256"));
    if (!tensors)
        fail_msg("job %s shows no model", job);
    snprintf(out_sha256, 65, "%s", tensors);

    char path[128], file[CLUSTER_DIR_BYTES + 64];
    snprintf(path, sizeof path, "/v1/jobs/%s/model", job);
    snprintf(file, sizeof file, "%s/%s.safetensors", cluster->dir, job);
    CLEANUP(fd_cleanup)
    const int fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct http_exchange exchange = {
        .method = "GET", .path = path, .out_fd = fd, .out_fd_bytes_max = MODEL_BYTES_MAX};
    const long code = send_exchange(cluster, &exchange);
    uint8_t digest[SHA256_BYTES];
    uint64_t bytes = 0;
    struct error err = {0};
    if (code != 200 || sha256_file(file, digest, &bytes, &err) != STATUS_OK)
        fail_msg("model of %s: %ld %s", job, code, err.text);
    sha256_hex(digest, out_file_sha256);
}
