/*
 * test_openapi_answers.c - real answers against the document: every route of both listeners is asked once
 * so that it succeeds and once so that it refuses. Its code must be declared, its type too, and its body
 * must be what the document's schema says, no field more.
 */

#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/hash.h"
#include "cli/cli.h"
#include "service/api/api.h"
#include "tests/integration/cluster.h"
#include "tests/integration/json_schema.h"
#include "tests/integration/raw_http.h"

#define ROUTES_MAX    64
#define REQUEST_BYTES (1 * MIB)
#define SYNCS_MAX     20
#define SHARD         "shard"
#define MODEL         "model"
#define TENSORS_SHA   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static struct cluster *cluster;
static json_t *document;

/* What the paths are filled with. */
static char id[ID_BYTES_MAX];  /* {id} */
static char job[ID_BYTES_MAX]; /* {job}: the one that our own node runs */
static char node[ID_BYTES_MAX];
static char node_token[AUTH_TOKEN_BYTES];

static bool succeeded[2][ROUTES_MAX]; /* by table and row */
static bool refused[2][ROUTES_MAX];

static int start(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, REQUEST_BYTES);
    assert_ok(fs_read_file("schema/openapi.yaml", &text, &err), &err);
    assert_ok(json_parse(text.data, text.size, &document, &err), &err);
    cluster = cluster_start(&(struct cluster_options){.nodes = 1, .profile = "default"});
    return 0;
}

static int stop(void **state)
{
    (void)state;
    cluster_stop(cluster);
    json_decref(document);
    return 0;
}

/* ---------------------------------------------------------------- one question */

struct question {
    const char *method;
    const char *path;  /* as the tables write it */
    const char *query; /* NULL: none */
    const char *type;  /* of the body; NULL: JSON */
    const char *header;
    json_t *json; /* stolen */
    const char *text;
    int code; /* expected */
};

static const struct http_route *find_route(const struct question *question, int *out_table)
{
    static const struct http_route *const tables[] = {api_routes, agent_routes};
    const int first = strncmp(question->path, "/v1/agent/", 10) == 0 ? 1 : 0;
    for (const struct http_route *route = tables[first]; route->path != NULL; route++) {
        if (strcmp(route->path, question->path) == 0 &&
            strcmp(http_method_names[route->method], question->method) == 0) {
            *out_table = first;
            assert_true(route - tables[first] < ROUTES_MAX);
            return route;
        }
    }
    fail_msg("no route %s %s", question->method, question->path);
    return NULL;
}

static void append_path(struct buf *out, const char *path)
{
    static const struct {
        const char *name;
        const char *value;
    } values[] = {{"{id}", id},         {"{job}", job},        {"{attempt}", "1"},
                  {"{step}", "100"},    {"{shard}", "0"},      {"{name}", "model.safetensors"},
                  {"{file}", "app.js"}, {"{dataset}", "other"}};
    while (*path != '\0') {
        size_t size = strcspn(path, "{");
        buf_append(out, path, size);
        path += size;
        if (*path == '\0')
            return;
        size = strcspn(path, "}") + 1;
        for (size_t i = 0; i < COUNT_OF(values); i++) {
            if (strncmp(path, values[i].name, size) == 0)
                buf_append_text(out, values[i].value);
        }
        path += size;
    }
}

static void send_question(const struct question *question, const struct http_route *route,
                          int table, struct raw_answer *answer)
{
    char *text = question->json != NULL ? json_dumps(question->json, JSON_COMPACT) : NULL;
    json_decref(question->json);
    const char *body = text != NULL ? text : question->text;
    CLEANUP(buf_clear) struct buf request;
    buf_init(&request, REQUEST_BYTES);
    buf_printf(&request, "%s ", question->method);
    append_path(&request, question->path);
    buf_printf(&request, "%s HTTP/1.1\r\nHost: localhost\r\n",
               question->query != NULL ? question->query : "");
    if (route->roles != ROLES_PUBLIC)
        buf_printf(&request, "Authorization: Bearer %s\r\n",
                   table == 1 ? node_token : cluster_token(cluster));
    if (question->header != NULL)
        buf_printf(&request, "%s\r\n", question->header);
    if (body != NULL)
        buf_printf(&request, "Content-Type: %s\r\nContent-Length: %zu\r\n",
                   question->type != NULL ? question->type : "application/json", strlen(body));
    buf_printf(&request, "\r\n%s", body != NULL ? body : "");
    raw_ask(raw_port(table == 1 ? cluster_agents_url(cluster) : cluster_api_url(cluster)),
            request.data, request.size, answer);
    free(text);
}

/* ---------------------------------------------------------------- its answer */

static const json_t *resolve(const json_t *schema)
{
    const char *reference = json_string_value(json_object_get(schema, "$ref"));
    return reference != NULL ? json_schema_find(document, reference) : schema;
}

/* What the document says of this code; a problem may be the default. */
static const json_t *declared_answer(const struct question *question, int code)
{
    const json_t *item = json_object_get(json_object_get(document, "paths"), question->path);
    const char *method = strcmp(question->method, "GET") == 0    ? "get"
                         : strcmp(question->method, "POST") == 0 ? "post"
                         : strcmp(question->method, "PUT") == 0  ? "put"
                                                                 : "delete";
    const json_t *answers = json_object_get(json_object_get(item, method), "responses");
    char word[16];
    snprintf(word, sizeof(word), "%d", code);
    const json_t *answer = json_object_get(answers, word);
    if (answer == NULL && code >= 400)
        answer = json_object_get(answers, "default");
    if (answer == NULL)
        fail_msg("%s %s: %d is not declared", question->method, question->path, code);
    return resolve(answer);
}

static void header_of(const struct raw_answer *answer, const char *name, char out[128])
{
    const char *at = strcasestr(answer->head.data, name);
    out[0] = '\0';
    if (at != NULL) {
        at += strlen(name);
        snprintf(out, 128, "%.*s", (int)strcspn(at, ";\r\n"), at);
    }
}

static const json_t *declared_schema(const struct question *question, const json_t *content,
                                     const char *type)
{
    const json_t *media = json_object_get(content, type);
    if (media == NULL)
        media = json_object_get(content, "*/*");
    if (media == NULL)
        fail_msg("%s %s: type \"%s\" is not declared", question->method, question->path, type);
    return json_object_get(media, "schema");
}

static void check_body(const struct question *question, const struct raw_answer *answer,
                       const json_t *schema)
{
    char problem[JSON_SCHEMA_PROBLEM_BYTES];
    CLEANUP(json_cleanup) json_t *body = json_loads(answer->body.data, JSON_DECODE_ANY, NULL);
    if (body == NULL)
        fail_msg("%s %s: no JSON: %s", question->method, question->path, answer->body.data);
    if (!json_schema_check(document, schema, body, problem))
        fail_msg("%s %s %d: %s in %s", question->method, question->path, answer->code, problem,
                 answer->body.data);
}

static void check_problem(const struct raw_answer *answer)
{
    char request_id[128];
    header_of(answer, "X-Request-Id: ", request_id);
    CLEANUP(json_cleanup) json_t *problem = json_loads(answer->body.data, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(problem, "status")), answer->code);
    assert_string_equal(json_string_value(json_object_get(problem, "request_id")), request_id);
}

static void check_answer(const struct question *question, const struct raw_answer *answer)
{
    char type[128];
    const json_t *declared = declared_answer(question, answer->code);
    const json_t *content = json_object_get(declared, "content");
    header_of(answer, "Content-Type: ", type);
    if (content == NULL) {
        if (answer->body.size > 0)
            fail_msg("%s %s %d: a body that is not declared: %s", question->method, question->path,
                     answer->code, answer->body.data);
        return;
    }
    const json_t *schema = declared_schema(question, content, type);
    if (strstr(type, "json") != NULL)
        check_body(question, answer, schema);
    if (answer->code >= 400)
        check_problem(answer);
}

/* Asks and checks; the answer's body as JSON (may be NULL), a new reference. */
static json_t *ask(struct question question)
{
    int table = 0;
    const struct http_route *route = find_route(&question, &table);
    CLEANUP(raw_answer_clear) struct raw_answer answer;
    send_question(&question, route, table, &answer);
    if (answer.code != question.code)
        fail_msg("%s %s%s: expected %d, got %d %s", question.method, question.path,
                 question.query != NULL ? question.query : "", question.code, answer.code,
                 answer.body.data);
    check_answer(&question, &answer);
    const size_t row = (size_t)(route - (table == 1 ? agent_routes : api_routes));
    (answer.code < 400 ? succeeded : refused)[table][row] = true;
    return json_loads(answer.body.data, 0, NULL);
}

#define ASK(...) json_decref(ask((struct question){__VA_ARGS__}))

static void take_text(const json_t *object, const char *key, char *out, size_t size)
{
    const char *text = json_string_value(json_object_get(object, key));
    assert_non_null(text);
    assert_true(strlen(text) < size);
    memcpy(out, text, strlen(text) + 1);
}

/* ---------------------------------------------------------------- people's questions */

static void submit(int64_t ranks, char out[ID_BYTES_MAX])
{
    json_t *spec = cluster_spec("answers");
    cluster_spec_set(spec, "resources.ranks", json_integer(ranks));
    CLEANUP(json_cleanup)
    json_t *made = ask((struct question){"POST", "/v1/jobs", .json = spec, .code = 201});
    take_text(made, "id", out, ID_BYTES_MAX);
}

static void what_is_said_of_a_finished_job_is_declared(void **state)
{
    (void)state;
    submit(1, id);
    json_decref(cluster_wait_state(cluster, id, "succeeded", 60000));
    ASK("GET", "/v1/jobs", "?state=succeeded", .code = 200);
    ASK("GET", "/v1/jobs/{id}", .code = 200);
    ASK("GET", "/v1/jobs/{id}/explain", .code = 200);
    ASK("GET", "/v1/jobs/{id}/attempts", .code = 200);
    ASK("GET", "/v1/jobs/{id}/metrics", .code = 200);
    ASK("GET", "/v1/jobs/{id}/logs", .code = 200);
    ASK("GET", "/v1/jobs/{id}/checkpoints", .code = 200);
    ASK("GET", "/v1/jobs/{id}/events", .code = 200);
    ASK("GET", "/v1/jobs/{id}/model", .code = 200);
    char tag[96];
    CLEANUP(json_cleanup) json_t *shown = cluster_get(cluster, "/v1/jobs/%s", id);
    const json_t *model = json_object_get(shown, "model");
    snprintf(tag, sizeof(tag), "If-None-Match: \"%s\"",
             json_string_value(json_object_get(model, "file_sha256")));
    ASK("GET", "/v1/jobs/{id}/model", .header = tag, .code = 304);
    ASK("POST", "/v1/jobs/{id}/checkpoint", .code = 202); /* it has ended: nothing happens */
    ASK("POST", "/v1/jobs/{id}/cancel", .code = 202);
    CLEANUP(json_cleanup)
    json_t *again = ask((struct question){"POST", "/v1/jobs/{id}/retry", .code = 201});
    char retried[ID_BYTES_MAX];
    take_text(again, "id", retried, sizeof(retried));
    json_decref(cluster_wait_state(cluster, retried, "succeeded", 60000));
}

static void what_is_said_of_a_waiting_job_is_declared(void **state)
{
    (void)state;
    submit(9, id); /* more than there are slots */
    ASK("GET", "/v1/jobs/{id}", .code = 200);
    CLEANUP(json_cleanup)
    json_t *why = ask((struct question){"GET", "/v1/jobs/{id}/explain", .code = 200});
    const json_t *first = json_array_get(json_object_get(why, "reasons"), 0);
    assert_string_equal(json_string_value(json_object_get(first, "code")), "too_large");
    assert_non_null(json_string_value(json_object_get(first, "detail")));
    assert_int_equal(json_integer_value(json_object_get(why, "position")), 1);
    ASK("GET", "/v1/jobs/{id}/attempts", .code = 200);
    ASK("POST", "/v1/jobs/{id}/checkpoint", .code = 409);
    ASK("POST", "/v1/jobs/{id}/pause", .code = 501);
    ASK("POST", "/v1/jobs/{id}/resume", .code = 501);
    ASK("GET", "/v1/jobs/{id}/model", .code = 404);
    ASK("POST", "/v1/jobs/{id}/retry", .code = 409);
    ASK("POST", "/v1/jobs/{id}/cancel", .header = "If-Match: \"1\"", .code = 412);
    ASK("POST", "/v1/jobs/{id}/cancel", .code = 202);
}

static void check_dry_run(int64_t ranks, bool would_run, const char *code)
{
    json_t *spec = cluster_spec("dry");
    cluster_spec_set(spec, "resources.ranks", json_integer(ranks));
    CLEANUP(json_cleanup)
    json_t *answer =
        ask((struct question){"POST", "/v1/jobs", "?dry_run=true", .json = spec, .code = 200});
    const json_t *placement = json_object_get(answer, "placement");
    const json_t *place = json_array_get(placement, 0);
    assert_int_equal(json_is_true(json_object_get(answer, "would_run")), would_run);
    assert_string_equal(json_string_value(json_object_get(answer, "code")), code);
    assert_int_equal(json_array_size(placement), would_run ? 1 : 0);
    if (would_run)
        assert_string_equal(json_string_value(json_object_get(place, "node")),
                            cluster_node_id(cluster, 0));
    else
        assert_non_null(json_string_value(json_object_get(answer, "detail")));
}

static void a_dry_run_says_where_or_why_not(void **state)
{
    (void)state;
    check_dry_run(1, true, "would_run");
    check_dry_run(9, false, "too_large");
    ASK("POST", "/v1/jobs", .json = json_pack("{s:i}", "no_such_field", 1), .code = 400);
}

static void what_is_said_of_the_rest_is_declared(void **state)
{
    (void)state;
    ASK("POST", "/v1/datasets", .code = 201,
        .json = json_pack("{s:s, s:s}", "name", "other", "path",
                          cluster_dataset_dir(cluster, "mnist-small")));
    ASK("GET", "/v1/datasets", .code = 200);
    ASK("GET", "/v1/datasets/{dataset}", .code = 200);
    CLEANUP(json_cleanup)
    json_t *token = ask((struct question){
        "POST", "/v1/tokens", .json = json_pack("{s:s}", "role", "viewer"), .code = 201});
    take_text(token, "id", id, sizeof(id));
    ASK("GET", "/v1/tokens", .code = 200);
    ASK("GET", "/v1/tokens/{id}", .code = 200);
    ASK("DELETE", "/v1/tokens/{id}", .code = 204);
    ASK("GET", "/v1/stream", "?topics=nodes", .code = 200);
    ASK("GET", "/v1/version", .code = 200);
    ASK("GET", "/healthz", .code = 200);
    ASK("GET", "/readyz", .code = 200);
    ASK("GET", "/metrics", .code = 200);
    ASK("GET", "/openapi.json", .code = 200);
    ASK("GET", "/", .code = 200);
    ASK("GET", "/{file}", .code = 200);
}

/* ---------------------------------------------------------------- nodes and their own questions */

/* A node of this test's own, as an agent would join. */
static void join(char out_node[ID_BYTES_MAX])
{
    CLEANUP(json_cleanup)
    json_t *issued = ask((struct question){"POST", "/v1/nodes/tokens", .code = 201});
    json_t *body = json_pack("{s:s, s:s, s:s, s:s, s:s, s:[{s:s, s:s, s:i}], s:i, s:i, s:{}, s:s}",
                             "join_token", json_string_value(json_object_get(issued, "token")),
                             "hostname", "own", "address", "127.0.0.2", "boot_id", "boot",
                             "numerics", "n", "slots", "slot", "cpu:0", "kind", "cpu", "index", 0,
                             "cpu_count", 1, "memory_bytes", 1 << 30, "labels", "version", "0.1.0");
    CLEANUP(json_cleanup)
    json_t *joined = ask((struct question){"POST", "/v1/agent/join", .json = body, .code = 201});
    take_text(joined, "node_id", out_node, ID_BYTES_MAX);
    take_text(joined, "node_token", node_token, sizeof(node_token));
}

static void nodes_are_shown_drained_and_fenced_as_declared(void **state)
{
    (void)state;
    join(id);
    ASK("GET", "/v1/nodes", .code = 200);
    ASK("GET", "/v1/nodes/{id}", "?revision=0&wait=1s", .code = 200);
    ASK("POST", "/v1/nodes/{id}/drain", .code = 202);
    ASK("POST", "/v1/nodes/{id}/undrain", .code = 202);
    ASK("POST", "/v1/nodes/{id}/fence", .code = 202); /* it has never synced */
    snprintf(id, sizeof(id), "%s", cluster_node_id(cluster, 0));
    ASK("POST", "/v1/nodes/{id}/fence", .code = 409); /* it lives */
    ASK("POST", "/v1/nodes/{id}/drain", .code = 202); /* the next job is our own node's */
}

static void check_drain(bool drains)
{
    CLEANUP(json_cleanup) json_t *shown = cluster_get(cluster, "/v1/nodes/%s", id);
    assert_int_equal(json_is_true(json_object_get(shown, "drain")), drains);
}

/* People name a node by its host; the CLI finds the id. */
static void a_node_is_also_known_by_its_host_name(void **state)
{
    (void)state;
    static const char *const verbs[] = {"drain", "undrain", "fence"};
    join(id);
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        const char *const args[] = {"node", verbs[i], "own", NULL};
        const char *const unknown[] = {"node", verbs[i], "no-such-host", NULL};
        CLEANUP(process_result_clear) struct process_result done, refusal;
        cluster_cli(cluster, args, NULL, &done);
        cluster_cli(cluster, unknown, NULL, &refusal);
        assert_int_equal(done.exit_code, EXIT_DONE);
        assert_int_equal(refusal.exit_code, EXIT_NOT_FOUND);
        check_drain(i == 0);
    }
    CLEANUP(json_cleanup) json_t *shown = cluster_get(cluster, "/v1/nodes/%s", id);
    assert_string_equal(json_string_value(json_object_get(shown, "state")), "lost");
}

/* Syncs until something is desired: its first job. */
static void sync_until_desired(void)
{
    json_int_t session = 0;
    json_int_t seen = 0;
    for (int seq = 1; seq <= SYNCS_MAX; seq++) {
        json_t *body = json_pack("{s:I, s:s, s:i, s:I, s:[], s:[{s:s, s:s, s:i}]}", "session",
                                 session, "boot_id", "boot", "seq", seq, "revision_seen", seen,
                                 "observed", "slots", "slot", "cpu:0", "kind", "cpu", "index", 0);
        CLEANUP(json_cleanup)
        json_t *answer =
            ask((struct question){"POST", "/v1/agent/sync", .json = body, .code = 200});
        session = json_integer_value(json_object_get(answer, "session"));
        seen = json_integer_value(json_object_get(answer, "revision"));
        if (json_array_size(json_object_get(answer, "desired")) > 0)
            return;
    }
    fail_msg("nothing was desired of node %s", node);
}

static void post_result(void)
{
    uint8_t digest[SHA256_BYTES];
    char file_sha256[SHA256_HEX_BYTES];
    sha256_of(MODEL, strlen(MODEL), digest);
    sha256_hex(digest, file_sha256);
    ASK("POST", "/v1/agent/results", .code = 201,
        .json = json_pack("{s:s, s:i, s:{s:s, s:s, s:i}, s:{s:f}}", "job", job, "attempt", 1,
                          "model", "sha256", TENSORS_SHA, "file_sha256", file_sha256, "bytes",
                          (int)strlen(MODEL), "metrics", "loss", 0.5));
}

/* The Content-Digest header of these bytes; of the caller's own memory. */
static const char *digest_header(const char *bytes, char out[128])
{
    uint8_t digest[SHA256_BYTES];
    char text[64];
    sha256_of(bytes, strlen(bytes), digest);
    base64_encode(digest, sizeof(digest), text);
    snprintf(out, 128, "Content-Digest: sha-256=:%s:", text);
    return out;
}

static void what_an_agent_hears_is_declared(void **state)
{
    (void)state;
    char header[128];
    char query[160];
    char line[256];
    join(node);
    submit(1, job);
    sync_until_desired();
    snprintf(line, sizeof(line),
             "{\"job\":\"%s\",\"attempt\":1,\"event\":\"progress\",\"seq\":1,\"rank\":0,"
             "\"step\":1,\"of\":200}\n",
             job);
    ASK("POST", "/v1/agent/telemetry", .type = "application/x-ndjson", .text = line, .code = 200);
    snprintf(query, sizeof(query), "?job=%s&attempt=1&rank=0&stream=stdout&offset=0", job);
    ASK("POST", "/v1/agent/logs", query, "application/octet-stream", .text = "hello\n",
        .code = 200);
    static const char shard[] = "/v1/agent/checkpoints/{job}/{attempt}/{step}/{shard}";
    ASK("PUT", shard, "?of=1", "application/octet-stream", .text = SHARD, .code = 400);
    ASK("PUT", shard, "?of=1", "application/octet-stream", digest_header("other bytes", header),
        .text = SHARD, .code = 400);
    ASK("PUT", shard, "?of=1", "application/octet-stream", digest_header(SHARD, header),
        .text = SHARD, .code = 201);
    ASK("GET", shard, "?of=1", .code = 200);
    ASK("PUT", "/v1/agent/artifacts/{job}/{attempt}/{name}", NULL, "application/octet-stream",
        .text = MODEL, .code = 400);
    ASK("PUT", "/v1/agent/artifacts/{job}/{attempt}/{name}", NULL, "application/octet-stream",
        digest_header(MODEL, header), .text = MODEL, .code = 201);
    post_result();
    ASK("POST", "/v1/agent/sync", .code = 409,
        .json = json_pack("{s:i, s:s, s:i, s:[], s:[]}", "session", 1, "boot_id", "boot", "seq", 1,
                          "observed", "slots"));
}

static void the_first_of_two_shards_is_accepted_as_declared(void **state)
{
    (void)state;
    static const char shard[] = "/v1/agent/checkpoints/{job}/{attempt}/{step}/{shard}";
    cluster_post(cluster, "/v1/jobs/%s/cancel", job);
    join(node);
    submit(1, job);
    sync_until_desired();
    char header[128];
    ASK("PUT", shard, "?of=2", "application/octet-stream", digest_header(SHARD, header),
        .text = SHARD, .code = 202);
}

/* ---------------------------------------------------------------- problems, and that none was left out */

static void refuse_each(const struct http_route *table)
{
    for (const struct http_route *route = table; route->path != NULL; route++) {
        if (table == agent_routes && strncmp(route->path, "/v1/agent/", 10) != 0)
            continue; /* the same as the other listener's */
        ASK(http_method_names[route->method], route->path, "?no_such=1", .code = 400);
    }
}

static void every_route_refuses_as_declared(void **state)
{
    (void)state;
    refuse_each(api_routes);
    refuse_each(agent_routes);
}

static void every_route_was_asked(void **state)
{
    (void)state;
    static const struct http_route *const tables[] = {api_routes, agent_routes};
    for (size_t table = 0; table < COUNT_OF(tables); table++) {
        for (size_t row = 0; tables[table][row].path != NULL; row++) {
            const char *path = tables[table][row].path;
            const bool later = strstr(path, "/pause") != NULL || strstr(path, "/resume") != NULL;
            if (table == 1 && strncmp(path, "/v1/agent/", 10) != 0)
                continue;
            if (!refused[table][row] || (!succeeded[table][row] && !later))
                fail_msg("%s %s was not asked both ways",
                         http_method_names[tables[table][row].method], path);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_said_of_a_finished_job_is_declared),
        cmocka_unit_test(what_is_said_of_a_waiting_job_is_declared),
        cmocka_unit_test(a_dry_run_says_where_or_why_not),
        cmocka_unit_test(what_is_said_of_the_rest_is_declared),
        cmocka_unit_test(a_node_is_also_known_by_its_host_name),
        cmocka_unit_test(nodes_are_shown_drained_and_fenced_as_declared),
        cmocka_unit_test(what_an_agent_hears_is_declared),
        cmocka_unit_test(the_first_of_two_shards_is_accepted_as_declared),
        cmocka_unit_test(every_route_refuses_as_declared),
        cmocka_unit_test(every_route_was_asked),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
