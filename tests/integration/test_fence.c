/*
 * A node that is cut off and comes back finds its attempt fenced: what it publishes late is refused
 * and shows up nowhere.
 *
 * The cut is SIGSTOP for every process of the node: its connections stay open and nothing moves, as
 * in a network that swallows packets. SIGCONT heals it.
 */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "tests/integration/cluster.h"

#define WAIT_MS 90000

static void submit(struct cluster *cluster, char out_job[ID_BYTES_MAX])
{
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("fence");
    cluster_spec_set(spec, "resources.ranks", json_integer(2));
    cluster_spec_set(spec, "training.steps", json_integer(getenv("SANITIZED") ? 2000 : 12000));
    cluster_spec_set(spec, "checkpoint.every_steps", json_integer(50));
    cluster_submit(cluster, spec, out_job);
}

/* The credential with which the node speaks to the controller. */
static void node_token(struct cluster *cluster, size_t node, char out[256])
{
    char path[1200];
    (void)snprintf(path, sizeof(path), "%s/credential.json", cluster_node_dir(cluster, node));
    json_error_t error;
    json_t *credential = json_load_file(path, 0, &error);
    assert_non_null(credential);
    const char *token = json_string_value(json_object_get(credential, "node_token"));
    if (token == NULL)
        token = json_string_value(json_object_get(credential, "token"));
    assert_non_null(token);
    (void)snprintf(out, 256, "%s", token);
    json_decref(credential);
}

/* PUTs a shard of `step` as the node would, for `attempt`; the code and the problem's code. */
static long put_shard(struct cluster *cluster, size_t node, const char *job, int64_t attempt,
                      int64_t step, char out_code[64])
{
    static const char bytes[] = "a late checkpoint";
    uint8_t digest[SHA256_BYTES];
    char digest_text[64];
    sha256_of(bytes, sizeof(bytes), digest);
    base64_encode(digest, sizeof(digest), digest_text);
    char header[128];
    (void)snprintf(header, sizeof(header), "Content-Digest: sha-256=:%s:", digest_text);
    const char *const headers[] = {header, NULL};
    char token[256];
    node_token(cluster, node, token);
    char path[256];
    (void)snprintf(path, sizeof(path), "/v1/agent/checkpoints/%s/%lld/%lld/0?of=1", job,
                   (long long)attempt, (long long)step);

    CLEANUP(http_client_cleanup) struct http_client *client = NULL;
    const struct http_client_options options = {
        .base_url = cluster_agents_url(cluster), .token = token, .connect_timeout_ms = 5000};
    struct error err = {0};
    assert_int_equal(http_client_new(&options, &client, &err), STATUS_OK);
    CLEANUP(buf_clear) struct buf answer;
    buf_init(&answer, MIB);
    struct http_exchange exchange = {.method = "PUT",
                                     .path = path,
                                     .content_type = "application/octet-stream",
                                     .headers = headers,
                                     .body = bytes,
                                     .body_bytes = sizeof(bytes),
                                     .timeout_ms = 10000,
                                     .out_body = &answer};
    assert_int_equal(http_client_send(client, &exchange, &err), STATUS_OK);
    CLEANUP(json_cleanup) json_t *problem = json_loads(answer.data, 0, NULL);
    const char *code = json_string_value(json_object_get(problem, "code"));
    (void)snprintf(out_code, 64, "%s", code != NULL ? code : "");
    return exchange.out_code;
}

/* No checkpoint of attempt 1 above the step from which attempt 2 went on. */
static void expect_no_late_checkpoint(struct cluster *cluster, const char *job, int64_t resume_step)
{
    CLEANUP(json_cleanup)
    json_t *page = cluster_get(cluster, "/v1/jobs/%s/checkpoints?limit=1000", job);
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(json_object_get(page, "items"), i, item) {
        const int64_t attempt = json_integer_value(json_object_get(item, "attempt"));
        const int64_t step = json_integer_value(json_object_get(item, "step"));
        assert_true(attempt != 1 || step <= resume_step);
    }
}

/* The effective history takes no step of attempt 1 above the resume step, and has no step twice. */
static void expect_one_history(struct cluster *cluster, const char *job, int64_t resume_step)
{
    CLEANUP(json_cleanup)
    json_t *metrics =
        cluster_get(cluster, "/v1/jobs/%s/metrics?names=loss&points=10000&lineage=effective", job);
    const json_t *loss = json_object_get(metrics, "loss");
    const json_t *steps = json_object_get(loss, "step");
    const json_t *attempts = json_object_get(loss, "attempt");
    assert_true(json_array_size(steps) > 10);
    int64_t previous = 0;
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const int64_t step = json_integer_value(json_array_get(steps, i));
        assert_true(step > previous);
        previous = step;
        if (json_integer_value(json_array_get(attempts, i)) == 1)
            assert_true(step <= resume_step);
    }
}

static void a_node_that_was_cut_off_finds_its_attempt_fenced(void **state)
{
    struct cluster *cluster = *state;
    char job[ID_BYTES_MAX];
    submit(cluster, job);
    (void)cluster_wait_checkpoint(cluster, job, 100, WAIT_MS);
    size_t node = 0;
    (void)cluster_rank_pid(cluster, job, 1, &node);

    cluster_node_signal(cluster, node, SIGSTOP);
    json_decref(cluster_wait_step(cluster, job, 2, 1, WAIT_MS));
    CLEANUP(json_cleanup) json_t *attempt = cluster_attempt(cluster, job);
    const int64_t resume_step = json_integer_value(json_object_get(attempt, "resume_step"));
    assert_true(resume_step >= 100);
    cluster_node_signal(cluster, node, SIGCONT);

    cluster_wait_node(cluster, node, "ready", WAIT_MS);
    char code[64];
    assert_int_equal(put_shard(cluster, node, job, 1, resume_step + 50, code), 409);
    assert_string_equal(code, "stale_attempt");

    CLEANUP(json_cleanup) json_t *done = cluster_wait_state(cluster, job, "succeeded", WAIT_MS);
    assert_int_equal(json_integer_value(json_object_get(done, "attempt")), 2);
    expect_no_late_checkpoint(cluster, job, resume_step);
    expect_one_history(cluster, job, resume_step);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_that_was_cut_off_finds_its_attempt_fenced),
    };
    return cmocka_run_group_tests_name("fence", tests, cluster_setup, cluster_teardown);
}
