/*
 * Bad input harms nobody but its sender. Every route of both listeners is asked wrongly in every way
 * that its row in the table allows; each answer is the exact problem, the service's state stays the same and its
 * memory does not grow.
 */

#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fs.h"
#include "service/api/api.h"
#include "tests/integration/cluster.h"
#include "tests/integration/raw_http.h"

#define CHUNKED_MAX    (2 * (uint64_t)MIB) /* larger limits are tried with Content-Length alone */
#define ROUNDS_WARM    3
#define ROUNDS_MORE    6
#define GROWTH_KIB_MAX 2048

static struct cluster *cluster;
static char job[ID_BYTES_MAX];
static char tokens[ROLE_COUNT][AUTH_TOKEN_BYTES]; /* viewer and submitter: of project "other" */

/* ---------------------------------------------------------------- the cluster and its callers */

static void make_token(enum role role)
{
    json_t *answer = NULL;
    const long code = cluster_request(
        cluster, "POST", "/v1/tokens",
        json_pack("{s:s, s:s}", "role", role_names[role], "project", "other"), &answer);
    assert_int_equal(code, 201);
    snprintf(tokens[role], AUTH_TOKEN_BYTES, "%s",
             json_string_value(json_object_get(answer, "token")));
    json_decref(answer);
}

static uint16_t port_of(const struct http_route *table)
{
    return raw_port(table == api_routes ? cluster_api_url(cluster) : cluster_agents_url(cluster));
}

static void join_a_node(void)
{
    json_t *issued = NULL;
    assert_int_equal(cluster_request(cluster, "POST", "/v1/nodes/tokens", NULL, &issued), 201);
    CLEANUP(json_cleanup)
    json_t *body = json_pack("{s:s, s:s, s:s, s:s, s:s, s:[{s:s, s:s, s:i}], s:i, s:i, s:{}, s:s}",
                             "join_token", json_string_value(json_object_get(issued, "token")),
                             "hostname", "bad-input", "address", "127.0.0.1", "boot_id", "boot",
                             "numerics", "n", "slots", "slot", "cpu:0", "kind", "cpu", "index", 0,
                             "cpu_count", 1, "memory_bytes", 1 << 30, "labels", "version", "0.1.0");
    assert_non_null(body);
    CLEANUP(free_cleanup) char *text = json_dumps(body, JSON_COMPACT);
    CLEANUP(buf_clear) struct buf request;
    buf_init(&request, MIB);
    buf_printf(&request,
               "POST /v1/agent/join HTTP/1.1\r\nHost: localhost\r\n"
               "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
               strlen(text), text);
    CLEANUP(raw_answer_clear) struct raw_answer answer;
    raw_ask(port_of(agent_routes), request.data, request.size, &answer);
    json_decref(issued);
    if (answer.code != 201)
        fail_msg("join: %d %s", answer.code, answer.body.data);
    CLEANUP(json_cleanup) json_t *joined = json_loads(answer.body.data, 0, NULL);
    snprintf(tokens[ROLE_NODE], AUTH_TOKEN_BYTES, "%s",
             json_string_value(json_object_get(joined, "node_token")));
}

static int start(void **state)
{
    (void)state;
    const struct cluster_options options = {.nodes = 0};
    cluster = cluster_start(&options);
    snprintf(tokens[ROLE_OPERATOR], AUTH_TOKEN_BYTES, "%s", cluster_token(cluster));
    make_token(ROLE_VIEWER);
    make_token(ROLE_SUBMITTER);
    join_a_node();
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("waiting");
    cluster_spec_set(spec, "resources.ranks", json_integer(9)); /* never fits: it stays queued */
    cluster_submit(cluster, spec, job);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    cluster_stop(cluster);
    return 0;
}

/* ---------------------------------------------------------------- asking wrongly */

/* A path of this route with real things in it. */
static void path_of(const struct http_route *route, char *out, size_t out_bytes)
{
    static const char *const values[][2] = {{"{attempt}", "1"},
                                            {"{step}", "100"},
                                            {"{shard}", "0"},
                                            {"{name}", "model.safetensors"},
                                            {"{file}", "index.html"}};
    size_t used = 0;
    for (const char *from = route->path; *from != '\0' && used + ID_BYTES_MAX < out_bytes;) {
        if (*from != '{') {
            out[used++] = *from++;
            continue;
        }
        const size_t size = strcspn(from, "}") + 1;
        const char *value = job;
        for (size_t i = 0; i < COUNT_OF(values); i++) {
            if (strncmp(from, values[i][0], size) == 0)
                value = values[i][1];
        }
        used += (size_t)snprintf(out + used, out_bytes - used, "%s", value);
        from += size;
    }
    out[used] = '\0';
}

static const char *allowed_token(const struct http_route *route)
{
    for (int role = ROLE_COUNT; role-- > 0;) {
        if (route->roles & ROLE_BIT(role) && role != ROLE_VIEWER && role != ROLE_SUBMITTER)
            return tokens[role];
    }
    return NULL;
}

struct wrong {
    const char *name;
    const char *method; /* NULL: the route's own */
    const char *token;  /* NULL: none */
    const char *suffix; /* after the path */
    const char *headers;
    const char *body;
    size_t body_bytes;
    int code;
    const char *word;
};

static void assert_problem(const struct http_route *route, const struct wrong *wrong,
                           const struct raw_answer *answer)
{
    const char *method = http_method_names[route->method];
    CLEANUP(json_cleanup) json_t *problem = json_loads(answer->body.data, 0, NULL);
    const char *word = json_string_value(json_object_get(problem, "code"));
    if (answer->code != wrong->code || word == NULL || strcmp(word, wrong->word) != 0)
        fail_msg("%s %s, %s: expected %d %s, got %d %s", method, route->path, wrong->name,
                 wrong->code, wrong->word, answer->code, answer->body.data);
    if (strstr(answer->head.data, "application/problem+json") == NULL ||
        json_integer_value(json_object_get(problem, "status")) != wrong->code ||
        json_object_get(problem, "request_id") == NULL ||
        json_object_get(problem, "type") == NULL || json_object_get(problem, "title") == NULL ||
        json_object_get(problem, "detail") == NULL)
        fail_msg("%s %s, %s: no whole problem: %s", method, route->path, wrong->name,
                 answer->body.data);
}

static void ask(const struct http_route *table, const struct http_route *route,
                const struct wrong *wrong)
{
    char path[512];
    path_of(route, path, sizeof(path));
    CLEANUP(buf_clear) struct buf request;
    buf_init(&request, 8 * MIB);
    buf_printf(&request, "%s %s%s HTTP/1.1\r\nHost: localhost\r\n",
               wrong->method != NULL ? wrong->method : http_method_names[route->method], path,
               wrong->suffix != NULL ? wrong->suffix : "");
    if (wrong->token != NULL)
        buf_printf(&request, "Authorization: Bearer %s\r\n", wrong->token);
    buf_append_text(&request, wrong->headers != NULL ? wrong->headers : "");
    if (wrong->body != NULL && wrong->headers == NULL)
        buf_printf(&request, "Content-Length: %zu\r\n", wrong->body_bytes);
    buf_append_text(&request, "\r\n");
    buf_append(&request, wrong->body, wrong->body != NULL ? wrong->body_bytes : 0);
    CLEANUP(raw_answer_clear) struct raw_answer answer;
    raw_ask(port_of(table), request.data, request.size, &answer);
    assert_problem(route, wrong, &answer);
}

typedef void route_fn(const struct http_route *table, const struct http_route *route);

static void each_route(route_fn *fn)
{
    const struct http_route *const tables[] = {api_routes, agent_routes};
    for (size_t i = 0; i < COUNT_OF(tables); i++) {
        for (const struct http_route *route = tables[i]; route->path != NULL; route++)
            fn(tables[i], route);
    }
}

static void ask_as_nobody(const struct http_route *table, const struct http_route *route)
{
    if (route->roles != ROLES_PUBLIC)
        ask(table, route, &(struct wrong){.name = "no token", .code = 401, .word = "unauthorized"});
}

static void ask_as_others(const struct http_route *table, const struct http_route *route)
{
    for (int role = ROLE_VIEWER; role < ROLE_COUNT; role++) {
        if (route->roles != ROLES_PUBLIC && (route->roles & ROLE_BIT(role)) == 0)
            ask(table, route,
                &(struct wrong){.name = role_names[role],
                                .token = tokens[role],
                                .code = 403,
                                .word = "forbidden"});
    }
}

static void ask_with_wrong_words(const struct http_route *table, const struct http_route *route)
{
    const char *token = allowed_token(route);
    ask(table, route,
        &(struct wrong){.name = "unknown query",
                        .token = token,
                        .suffix = "?nonsense=1",
                        .code = 400,
                        .word = "unknown_query"});
    ask(table, route,
        &(struct wrong){.name = "unknown method",
                        .method = "PATCH",
                        .token = token,
                        .code = 405,
                        .word = "method_not_allowed"});
    ask(table, route,
        &(struct wrong){.name = "unknown path",
                        .token = token,
                        .suffix = "/and/further",
                        .code = 404,
                        .word = "no_such_path"});
}

static void ask_with_too_much(const struct http_route *table, const struct http_route *route)
{
    char headers[160];
    const char *token = allowed_token(route);
    snprintf(headers, sizeof(headers), "Content-Length: %llu\r\nExpect: 100-continue\r\n",
             (unsigned long long)route->body_bytes_max + 1);
    ask(table, route,
        &(struct wrong){.name = "too large",
                        .token = token,
                        .headers = headers,
                        .code = 413,
                        .word = "too_large"});
    if (route->body_bytes_max > CHUNKED_MAX)
        return;
    const size_t size = (size_t)route->body_bytes_max + 1;
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, 8 * MIB);
    for (size_t i = 0; i < size; i++)
        buf_append(&body, " ", 1);
    snprintf(headers, sizeof(headers), "Content-Length: %zu\r\n", size);
    ask(table, route,
        &(struct wrong){.name = "too large and sent",
                        .token = token,
                        .headers = headers,
                        .body = body.data,
                        .body_bytes = body.size,
                        .code = 413,
                        .word = "too_large"});
    CLEANUP(buf_clear) struct buf chunked;
    buf_init(&chunked, 8 * MIB);
    buf_printf(&chunked, "%zx\r\n", size);
    buf_append(&chunked, body.data, body.size);
    buf_append_text(&chunked, "\r\n0\r\n\r\n");
    ask(table, route,
        &(struct wrong){.name = "chunked too large",
                        .token = token,
                        .headers = "Transfer-Encoding: chunked\r\n",
                        .body = chunked.data,
                        .body_bytes = chunked.size,
                        .code = 413,
                        .word = "too_large"});
}

static void ask_with_no_json(const struct http_route *table, const struct http_route *route)
{
    if (route->body != HTTP_BODY_JSON)
        return;
    char deep[256];
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    const struct {
        const char *name, *body, *word;
        size_t size;
    } cases[] = {
        {"nothing", "", "bad_json", 0},
        {"cut short", "{\"name\":", "bad_json", 8},
        {"bytes after it", "{} {}", "bad_json", 5},
        {"a key twice", "{\"a\":1,\"a\":2}", "bad_json", 13},
        {"bad UTF-8", "{\"a\":\"\xff\"}", "bad_json", 9},
        {"a NUL", "{\"a\":\"\\u0000\"}", "bad_json", 14},
        {"too deep", deep, "bad_json", 200},
        {"a list", "[1]", "invalid", 3},
        {"a text", "\"x\"", "invalid", 3},
        {"an empty object", "{}", "invalid", 2},
    };
    const char *token = allowed_token(route);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        ask(table, route,
            &(struct wrong){.name = cases[i].name,
                            .token = token,
                            .body = cases[i].body,
                            .body_bytes = cases[i].size,
                            .code = 400,
                            .word = cases[i].word});
    ask(table, route,
        &(struct wrong){.name = "another type",
                        .token = token,
                        .headers = "Content-Type: text/plain\r\nContent-Length: 2\r\n",
                        .body = "{}",
                        .body_bytes = 2,
                        .code = 415,
                        .word = "unsupported_media_type"});
}

static void ask_about_others_jobs(const struct http_route *table, const struct http_route *route)
{
    static const char prefix[] = "/v1/jobs/{id}";
    const bool later =
        strstr(route->path, "/pause") != NULL || strstr(route->path, "/resume") != NULL;
    if (strncmp(route->path, prefix, sizeof(prefix) - 1) != 0 || later)
        return;
    const enum role role = route->method == HTTP_GET ? ROLE_VIEWER : ROLE_SUBMITTER;
    ask(table, route,
        &(struct wrong){.name = "a job of another project",
                        .token = tokens[role],
                        .code = 404,
                        .word = "not_found"});
}

static void ask_everything(void)
{
    each_route(ask_as_nobody);
    each_route(ask_as_others);
    each_route(ask_with_wrong_words);
    each_route(ask_with_too_much);
    each_route(ask_with_no_json);
    each_route(ask_about_others_jobs);
}

/* ---------------------------------------------------------------- what must stay as it is */

static char *snapshot(void)
{
    static const char *const lists[] = {"/v1/jobs", "/v1/datasets", "/v1/tokens", "/v1/nodes"};
    CLEANUP(json_cleanup) json_t *all = json_object();
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        json_object_set_new(all, lists[i], cluster_get(cluster, "%s", lists[i]));
    json_object_set_new(all, "events", cluster_get(cluster, "/v1/jobs/%s/events", job));
    /* Time passes for the node, which nobody runs. */
    json_t *nodes = json_object_get(json_object_get(all, "/v1/nodes"), "items");
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        json_t *node = json_array_get(nodes, i);
        json_object_del(node, "lease_remaining_ms");
        json_object_del(node, "state");
        json_object_del(node, "lost_at");
        json_object_del(node, "revision");
    }
    return json_dumps(all, JSON_SORT_KEYS);
}

static long resident_kib(void)
{
    char path[64];
    struct error err = {.status = STATUS_OK};
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, 64 * KIB);
    snprintf(path, sizeof(path), "/proc/%d/status", (int)cluster_service_pid(cluster));
    assert_ok(fs_read_file(path, &text, &err), &err);
    const char *line = strstr(text.data, "VmRSS:");
    assert_non_null(line);
    return strtol(line + 6, NULL, 10);
}

static void bad_requests_change_nothing_and_leave_nothing(void **state)
{
    (void)state;
    CLEANUP(free_cleanup) char *before = snapshot();
    for (int i = 0; i < ROUNDS_WARM; i++)
        ask_everything();
    const long warm_kib = resident_kib();
    for (int i = 0; i < ROUNDS_MORE; i++)
        ask_everything();
    const long growth_kib = resident_kib() - warm_kib;
    CLEANUP(free_cleanup) char *after = snapshot();
    assert_string_equal(before, after);
    if (growth_kib > GROWTH_KIB_MAX && getenv("SANITIZED") == NULL)
        fail_msg("the service grew by %ld KiB", growth_kib);
}

/* ---------------------------------------------------------------- exact problems */

struct exact {
    const char *method, *path; /* %s: the job */
    const char *body;          /* with ' for "; NULL: none */
    int code;
    const char *word;
    const char *pointer;  /* of the first error; NULL: none is listed */
    const char *expected; /* stands in the first error's `expected` or in `detail` */
};

static const struct exact exact_cases[] = {
    {"POST", "/v1/tokens", "{'role': 'root'}", 400, "invalid", "/role", "viewer"},
    {"POST", "/v1/tokens", "{'role': 7}", 400, "invalid", "/role", "viewer"},
    {"POST", "/v1/tokens", "{'role': 'viewer', 'rolle': 1}", 400, "invalid", "/rolle", "role"},
    {"POST", "/v1/tokens", "{'role': 'operator', 'project': 'a'}", 400, "invalid", "/project",
     "nothing"},
    {"POST", "/v1/tokens", "{'role': 'viewer', 'project': 'A B'}", 400, "invalid", "/project",
     "name"},
    {"POST", "/v1/tokens", "{'role': 'viewer', 'expires_in': 'soon'}", 400, "invalid",
     "/expires_in", ""},
    {"POST", "/v1/datasets", "{'name': 'x'}", 400, "invalid", "/path", "string"},
    {"POST", "/v1/datasets", "{'name': 'A B', 'path': '/x'}", 400, "invalid", "/name", "name"},
    {"POST", "/v1/datasets", "{'name': 'x', 'path': 'rel'}", 400, "invalid", "/path", "absolute"},
    {"POST", "/v1/datasets", "{'name': 'x', 'path': '/a/../b'}", 400, "invalid", "/path",
     "absolute"},
    {"GET", "/v1/jobs?limit=0", NULL, 400, "bad_query", NULL, "limit: expected integer 1..1000"},
    {"GET", "/v1/jobs?limit=1001", NULL, 400, "bad_query", NULL, "1..1000"},
    {"GET", "/v1/jobs?state=dead", NULL, 400, "bad_query", NULL, "state"},
    {"GET", "/v1/jobs?cursor=", NULL, 400, "bad_query", NULL, "cursor"},
    {"GET", "/v1/jobs?cursor=zzz", NULL, 400, "bad_query", NULL, "cursor"},
    {"GET", "/v1/jobs/%s?revision=x", NULL, 400, "bad_query", NULL, "revision"},
    {"GET", "/v1/jobs/%s?revision=1&wait=never", NULL, 400, "bad_query", NULL, "wait"},
    {"GET", "/v1/jobs/%s/attempts?cursor=x", NULL, 400, "bad_query", NULL, "cursor"},
    {"GET", "/v1/jobs/%s/metrics?points=0", NULL, 400, "bad_query", NULL, "points"},
    {"GET", "/v1/jobs/%s/metrics?lineage=some", NULL, 400, "bad_query", NULL, "effective or all"},
    {"POST", "/v1/tokens", "{'role': ", 400, "bad_json", "", "line 1"},
    {"POST", "/v1/datasets", "{'name': 'a', 'name': 'b'}", 400, "bad_json", "", "duplicate"},
    {"GET", "/v1/jobs/%s/logs?attempt=1", NULL, 404, "not_found", NULL, "no attempt 1"},
    {"GET", "/v1/jobs/%s/logs?rank=9", NULL, 404, "not_found", NULL, "none is 9"},
    {"GET", "/v1/jobs/%s/logs?rank=9&follow=true", NULL, 404, "not_found", NULL, "none is 9"},
    {"GET", "/v1/datasets/atlantis", NULL, 404, "not_found", NULL, "atlantis"},
    {"GET", "/v1/tokens/tok_nope", NULL, 404, "not_found", NULL, "tok_nope"},
    {"GET", "/v1/jobs/%s/logs?tail=-1", NULL, 400, "bad_query", NULL, "tail"},
    {"GET", "/v1/jobs/%s/logs?stream=x", NULL, 400, "bad_query", NULL, "stdout or stderr"},
    {"GET", "/v1/jobs/%s/logs?follow=yes", NULL, 400, "bad_query", NULL, "true or false"},
    {"GET", "/v1/jobs/%s/model", NULL, 404, "no_model", NULL, "queued"},
    {"GET", "/v1/stream?topics=weather", NULL, 400, "bad_query", NULL, "topics"},
    {"GET", "/v1/stream?topics=job:job_x", NULL, 404, "not_found", NULL, "job_x"},
    {"GET", "/v1/jobs/nope", NULL, 404, "not_found", NULL, "no job nope"},
    {"GET", "/v1/nodes/nope", NULL, 404, "not_found", NULL, "nope"},
    {"POST", "/v1/nodes/nope/drain", NULL, 404, "unknown_node", NULL, "nope"},
    {"POST", "/v1/nodes/nope/fence", NULL, 404, "unknown_node", NULL, "nope"},
    {"POST", "/v1/jobs/nope/cancel", NULL, 404, "not_found", NULL, "no job nope"},
    {"POST", "/v1/jobs/%s/cancel", "{'force': true}", 400, "unexpected_body", NULL, "no body"},
    {"POST", "/v1/jobs/%s/retry", NULL, 409, "not_finished", NULL, "queued"},
    {"POST", "/v1/jobs/%s/pause", NULL, 501, "not_in_this_release", NULL, "later release"},
    {"POST", "/v1/jobs/%s/resume", NULL, 501, "not_in_this_release", NULL, "later release"},
    {"DELETE", "/v1/tokens/tok_nope", NULL, 404, "not_found", NULL, "tok_nope"},
};

static void check_exact(const struct exact *exact)
{
    char path[256];
    char body[512] = "";
    snprintf(path, sizeof(path), "%s", exact->path);
    char *mark = strstr(path, "%s");
    if (mark != NULL) {
        char rest[128];
        snprintf(rest, sizeof(rest), "%s", mark + 2);
        snprintf(mark, sizeof(path) - (size_t)(mark - path), "%s%s", job, rest);
    }
    for (size_t i = 0; exact->body != NULL && exact->body[i] != '\0'; i++)
        body[i] = (char)(exact->body[i] == '\'' ? '"' : exact->body[i]);
    CLEANUP(buf_clear) struct buf answer;
    buf_init(&answer, MIB);
    struct http_exchange exchange = {.method = exact->method,
                                     .path = path,
                                     .body = exact->body != NULL ? body : NULL,
                                     .body_bytes = strlen(body),
                                     .out_body = &answer};
    const long code = cluster_request_raw(cluster, cluster_token(cluster), &exchange);
    CLEANUP(json_cleanup) json_t *problem = json_loads(answer.data, 0, NULL);
    const char *word = json_string_value(json_object_get(problem, "code"));
    if (code != exact->code || word == NULL || strcmp(word, exact->word) != 0)
        fail_msg("%s %s: expected %d %s, got %ld %s", exact->method, path, exact->code, exact->word,
                 code, answer.data);
    const json_t *first = json_array_get(json_object_get(problem, "errors"), 0);
    const char *pointer = json_string_value(json_object_get(first, "pointer"));
    const char *text = exact->pointer != NULL
                           ? json_string_value(json_object_get(first, "expected"))
                           : json_string_value(json_object_get(problem, "detail"));
    if (exact->pointer != NULL && (pointer == NULL || strcmp(pointer, exact->pointer) != 0))
        fail_msg("%s %s %s: expected an error at %s, got %s", exact->method, path, body,
                 exact->pointer, answer.data);
    if (text == NULL || strstr(text, exact->expected) == NULL)
        fail_msg("%s %s %s: nothing says \"%s\" in %s", exact->method, path, body, exact->expected,
                 answer.data);
}

static void each_mistake_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(exact_cases); i++)
        check_exact(&exact_cases[i]);
}

static void assert_spec_problem(const char *path, json_t *value, const char *pointer,
                                const char *expected)
{
    json_t *spec = cluster_spec("wrong");
    cluster_spec_set(spec, path, value);
    CLEANUP(json_cleanup) json_t *problem = NULL;
    const long code = cluster_request(cluster, "POST", "/v1/jobs", spec, &problem);
    const json_t *first = json_array_get(json_object_get(problem, "errors"), 0);
    const char *got = json_string_value(json_object_get(first, "pointer"));
    const char *text = json_string_value(json_object_get(first, "expected"));
    if (code != 400 || got == NULL || strcmp(got, pointer) != 0 || strstr(text, expected) == NULL) {
        CLEANUP(free_cleanup) char *dump = json_dumps(problem, 0);
        fail_msg("%s: expected 400 at %s with \"%s\", got %ld %s", path, pointer, expected, code,
                 dump);
    }
}

static void a_wrong_spec_is_told_where(void **state)
{
    (void)state;
    assert_spec_problem("training.batch_size", json_string("big"), "/training/batch_size",
                        "integer");
    assert_spec_problem("training.batch_size", json_integer(0), "/training/batch_size", "1..");
    assert_spec_problem("resources.ranks", json_integer(100000), "/resources/ranks", "1..1024");
    assert_spec_problem("resources.rank", json_integer(1), "/resources/rank", "ranks");
    assert_spec_problem("model", NULL, "/model", "object");
    assert_spec_problem("model.type", json_string("magic"), "/model/type", "mlp");
    assert_spec_problem("name", json_string("Not A Name"), "/name", "");
    assert_spec_problem("data.train.features", json_string("../../etc/passwd"),
                        "/data/train/features", "");
    assert_spec_problem("trainer", json_pack("{s:s}", "kind", "command"), "/trainer/kind", "later");
    assert_spec_problem("optimizer.lr", json_string("fast"), "/optimizer/lr", "");
}

static void a_data_set_that_nobody_registered_is_refused(void **state)
{
    (void)state;
    static const char *const paths[] = {"/v1/jobs", "/v1/jobs?dry_run=true"};
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        json_t *spec = cluster_spec("wrong");
        cluster_spec_set(spec, "data.root", json_string("atlantis"));
        CLEANUP(json_cleanup) json_t *problem = NULL;
        assert_int_equal(cluster_request(cluster, "POST", paths[i], spec, &problem), 400);
        assert_non_null(strstr(json_string_value(json_object_get(problem, "detail")), "atlantis"));
        const json_t *first = json_array_get(json_object_get(problem, "errors"), 0);
        assert_string_equal(json_string_value(json_object_get(first, "pointer")), "/data/root");
    }
}

static void a_submitter_reaches_its_own_project_alone(void **state)
{
    (void)state;
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("mine");
    for (int named = 0; named < 2; named++) {
        if (named)
            cluster_spec_set(spec, "project", json_string("default"));
        CLEANUP(free_cleanup) char *text = json_dumps(spec, 0);
        CLEANUP(buf_clear) struct buf answer;
        buf_init(&answer, MIB);
        struct http_exchange exchange = {.method = "POST",
                                         .path = "/v1/jobs?dry_run=true",
                                         .body = text,
                                         .body_bytes = strlen(text),
                                         .out_body = &answer};
        const long code = cluster_request_raw(cluster, tokens[ROLE_SUBMITTER], &exchange);
        assert_int_equal(code, named ? 404 : 200);
        if (!named)
            assert_non_null(strstr(answer.data, "\"project\":\"other\""));
    }
    CLEANUP(buf_clear) struct buf list;
    buf_init(&list, MIB);
    struct http_exchange exchange = {.method = "GET", .path = "/v1/jobs", .out_body = &list};
    assert_int_equal(cluster_request_raw(cluster, tokens[ROLE_VIEWER], &exchange), 200);
    assert_non_null(strstr(list.data, "\"items\":[]"));
}

static long submit_with_key(const char *key, const json_t *spec, char out_job[ID_BYTES_MAX],
                            bool *out_replayed)
{
    char header[256];
    snprintf(header, sizeof(header), "Idempotency-Key: %s", key);
    const char *const headers[] = {header, NULL};
    CLEANUP(free_cleanup) char *text = json_dumps(spec, JSON_SORT_KEYS);
    CLEANUP(buf_clear) struct buf answer;
    buf_init(&answer, MIB);
    struct http_exchange exchange = {.method = "POST",
                                     .path = "/v1/jobs",
                                     .headers = headers,
                                     .body = text,
                                     .body_bytes = strlen(text),
                                     .out_body = &answer};
    const long code = cluster_request_raw(cluster, cluster_token(cluster), &exchange);
    CLEANUP(json_cleanup) json_t *document = json_loads(answer.data, 0, NULL);
    const char *id = json_string_value(json_object_get(document, "id"));
    snprintf(out_job, ID_BYTES_MAX, "%s", id != NULL ? id : "");
    *out_replayed = exchange.out_replayed;
    return code;
}

static void a_key_makes_one_job_of_one_body(void **state)
{
    (void)state;
    char first[ID_BYTES_MAX];
    char again[ID_BYTES_MAX];
    bool replayed = false;
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("keyed");
    cluster_spec_set(spec, "resources.ranks", json_integer(9));
    assert_int_equal(submit_with_key("k-1", spec, first, &replayed), 201);
    assert_false(replayed);
    cluster_post(cluster, "/v1/jobs/%s/cancel", first);
    assert_int_equal(submit_with_key("k-1", spec, again, &replayed), 201);
    assert_true(replayed);
    assert_string_equal(first, again);
    cluster_spec_set(spec, "training.seed", json_integer(2));
    assert_int_equal(submit_with_key("k-1", spec, again, &replayed), 422);
    assert_int_equal(submit_with_key("k 2", spec, again, &replayed), 400);
}

static void guessing_is_slowed_down_and_others_are_not(void **state)
{
    (void)state;
    char guess[AUTH_TOKEN_BYTES];
    snprintf(guess, sizeof(guess), "%s", cluster_token(cluster));
    char *last = &guess[strlen(guess) - 1];
    *last = *last == '0' ? '1' : '0';
    long code = 0;
    for (int i = 0; i <= AUTH_FAILURES_MAX; i++) {
        struct http_exchange exchange = {.method = "GET", .path = "/v1/jobs"};
        code = cluster_request_raw(cluster, guess, &exchange);
        assert_true(code == 401 || code == 429);
    }
    assert_int_equal(code, 429);
    json_decref(cluster_get(cluster, "/v1/jobs"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_requests_change_nothing_and_leave_nothing),
        cmocka_unit_test(each_mistake_is_named),
        cmocka_unit_test(a_wrong_spec_is_told_where),
        cmocka_unit_test(a_data_set_that_nobody_registered_is_refused),
        cmocka_unit_test(a_submitter_reaches_its_own_project_alone),
        cmocka_unit_test(a_key_makes_one_job_of_one_body),
        cmocka_unit_test(guessing_is_slowed_down_and_others_are_not),
    };
    return cmocka_run_group_tests_name("bad_input", tests, start, stop);
}
