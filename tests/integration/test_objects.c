/* test_objects.c - jobs and nodes as people see them: waiting for a change, and their fields by name. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "tests/integration/cluster.h"

static json_int_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* ---------------------------------------------------------------- waiting for a node */

static json_t *node_after(struct cluster *cluster, const json_t *seen, const char *wait)
{
    return cluster_get(cluster, "/v1/nodes/%s?revision=%lld&wait=%s",
                       json_string_value(json_object_get(seen, "id")),
                       (long long)number(seen, "revision"), wait);
}

/* Of the node's slots, how many hold a rank. */
static size_t slots_held(const json_t *node)
{
    size_t held = 0;
    size_t i = 0;
    json_t *slot = NULL;
    json_array_foreach(json_object_get(node, "slots"), i, slot)
        held += json_is_string(json_object_get(slot, "job")) ? 1 : 0;
    return held;
}

/* The node, taken over and given back, once none of its slots is held. */
static json_t *until_free(struct cluster *cluster, json_t *node)
{
    while (slots_held(node) > 0) {
        json_t *next = node_after(cluster, node, "30s");
        assert_true(number(next, "revision") > number(node, "revision"));
        json_decref(node);
        node = next;
    }
    return node;
}

static void a_wait_for_a_node_ends_with_its_next_change(void **state)
{
    struct cluster *cluster = *state;
    char job[ID_BYTES_MAX];
    CLEANUP(json_cleanup)
    json_t *idle = cluster_get(cluster, "/v1/nodes/%s", cluster_node_id(cluster, 0));
    assert_int_equal(slots_held(idle), 0);
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("held");
    cluster_spec_set(spec, "resources.ranks", json_integer(3)); /* one on each node */
    cluster_submit(cluster, spec, job);
    CLEANUP(json_cleanup) json_t *busy = node_after(cluster, idle, "30s");
    assert_true(number(busy, "revision") > number(idle, "revision"));
    assert_int_equal(slots_held(busy), 1);
    json_decref(cluster_wait_state(cluster, job, "succeeded", 30000));
    json_decref(until_free(cluster, node_after(cluster, busy, "30s")));
}

static void a_wait_for_a_node_that_stays_as_it_is_ends_with_its_time(void **state)
{
    struct cluster *cluster = *state;
    CLEANUP(json_cleanup)
    json_t *idle =
        until_free(cluster, cluster_get(cluster, "/v1/nodes/%s", cluster_node_id(cluster, 1)));
    const int64_t before_ms = clock_mono_ms();
    CLEANUP(json_cleanup) json_t *same = node_after(cluster, idle, "700ms");
    assert_true(clock_mono_ms() - before_ms >= 700); /* some heartbeats: they move nothing */
    assert_int_equal(number(same, "revision"), number(idle, "revision"));
}

static void a_wait_for_a_node_hears_of_drain_and_loss(void **state)
{
    struct cluster *cluster = *state;
    const char *id = cluster_node_id(cluster, 2);
    CLEANUP(json_cleanup) json_t *ready = cluster_get(cluster, "/v1/nodes/%s", id);
    cluster_post(cluster, "/v1/nodes/%s/drain", id);
    CLEANUP(json_cleanup) json_t *draining = node_after(cluster, ready, "30s");
    assert_string_equal(json_string_value(json_object_get(draining, "state")), "draining");
    assert_true(json_is_true(json_object_get(draining, "drain")));
    cluster_node_signal(cluster, 2, SIGKILL);
    cluster_wait_node(cluster, 2, "lost", 20000);
    cluster_post(cluster, "/v1/nodes/%s/undrain", id);
    cluster_agent_start(cluster, 2);
    cluster_wait_node(cluster, 2, "ready", 20000);
}

/* ---------------------------------------------------------------- fields by name */

/* Every name of interface.md's examples, null or not, and nothing renamed. */
static void check_names(const json_t *object, const char *const *names)
{
    for (; *names; names++) {
        if (!json_object_get(object, *names))
            fail_msg("%s is not there", *names);
    }
}

static void objects_have_the_fields_of_the_contract(void **state)
{
    static const char *const job_names[] = {
        "id",        "revision",          "name",       "project",    "state",
        "reason",    "attempt",           "progress",   "metrics",    "resume",
        "bit_exact", "checkpoint_lag_ms", "created_at", "started_at", "ended_at",
        "spec",      "spec_sha256",       "model",      NULL};
    static const char *const progress_names[] = {"step", "of", "epoch", NULL};
    static const char *const model_names[] = {"sha256", "bytes", "href", "metrics", NULL};
    static const char *const attempt_names[] = {"attempt",     "state",      "reason",
                                                "resume_step", "lost_steps", "world_size",
                                                "ranks",       "incident",   NULL};
    static const char *const rank_names[] = {"rank",  "node", "slot", "pid",
                                             "phase", "step", "exit", NULL};
    static const char *const node_names[] = {"id",     "hostname",           "address", "state",
                                             "labels", "lease_remaining_ms", "slots",   NULL};
    static const char *const slot_names[] = {"slot", "kind", "job", "attempt", "rank", NULL};
    struct cluster *cluster = *state;
    char job[ID_BYTES_MAX];
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("fields");
    cluster_submit(cluster, spec, job);
    CLEANUP(json_cleanup) json_t *done = cluster_wait_state(cluster, job, "succeeded", 30000);
    check_names(done, job_names);
    check_names(json_object_get(done, "progress"), progress_names);
    check_names(json_object_get(done, "model"), model_names);
    CLEANUP(json_cleanup) json_t *attempt = cluster_attempt(cluster, job);
    check_names(attempt, attempt_names);
    check_names(json_array_get(json_object_get(attempt, "ranks"), 0), rank_names);
    CLEANUP(json_cleanup)
    json_t *node = cluster_get(cluster, "/v1/nodes/%s", cluster_node_id(cluster, 0));
    check_names(node, node_names);
    check_names(json_array_get(json_object_get(node, "slots"), 0), slot_names);
}

static void check_ended(const json_t *job, const json_t *attempt, json_int_t steps)
{
    const json_t *progress = json_object_get(job, "progress");
    size_t i = 0;
    json_t *rank = NULL;
    assert_int_equal(number(progress, "step"), steps);
    assert_int_equal(number(progress, "of"), steps);
    json_array_foreach(json_object_get(attempt, "ranks"), i, rank) {
        assert_int_equal(number(rank, "step"), steps);
        assert_string_equal(json_string_value(json_object_get(rank, "phase")), "done");
        assert_int_equal(number(json_object_get(rank, "exit"), "code"), 0);
    }
    assert_int_equal(i, 2);
}

static void the_end_of_a_job_shows_its_last_step_also_after_a_restart(void **state)
{
    struct cluster *cluster = *state;
    char job[ID_BYTES_MAX];
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("whole");
    cluster_spec_set(spec, "resources.ranks", json_integer(2));
    cluster_spec_set(spec, "training.steps", json_integer(1300));
    cluster_spec_set(spec, "checkpoint.every_steps", json_integer(100000));
    cluster_submit(cluster, spec, job);
    CLEANUP(json_cleanup) json_t *done = cluster_wait_state(cluster, job, "succeeded", 60000);
    CLEANUP(json_cleanup) json_t *attempt = cluster_attempt(cluster, job);
    check_ended(done, attempt, 1300);
    cluster_service_kill(cluster, SIGKILL);
    cluster_service_start(cluster);
    CLEANUP(json_cleanup) json_t *later = cluster_get(cluster, "/v1/jobs/%s", job);
    CLEANUP(json_cleanup) json_t *last = cluster_attempt(cluster, job);
    check_ended(later, last, 1300);
}

/* From the copy of the state to the commit: with the write, the upload and both syncs in between. */
static void a_checkpoint_shows_how_old_its_state_was_when_it_was_committed(void **state)
{
    struct cluster *cluster = *state;
    char job[ID_BYTES_MAX];
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("lag");
    cluster_submit(cluster, spec, job);
    CLEANUP(json_cleanup) json_t *done = cluster_wait_state(cluster, job, "succeeded", 30000);
    CLEANUP(json_cleanup) json_t *list = cluster_get(cluster, "/v1/jobs/%s/checkpoints", job);
    const json_t *items = json_object_get(list, "items");
    const size_t count = json_array_size(items);
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++)
        assert_in_range(number(json_array_get(items, i), "lag_ms"), 1, 30000);
    assert_int_equal(number(done, "checkpoint_lag_ms"),
                     number(json_array_get(items, count - 1), "lag_ms"));
}

/* ---------------------------------------------------------------- changing what one has seen */

static long act_if(struct cluster *cluster, const char *path, const char *if_match)
{
    char header[128];
    CLEANUP(buf_clear) struct buf answer;
    buf_init(&answer, MIB);
    snprintf(header, sizeof(header), "If-Match: %s", if_match);
    const char *const headers[] = {header, NULL};
    struct http_exchange exchange = {
        .method = "POST", .path = path, .headers = headers, .out_body = &answer};
    return cluster_request_raw(cluster, cluster_token(cluster), &exchange);
}

/* Asks once with each form of an outdated tag, then with the right one among others. */
static void check_if_match(struct cluster *cluster, const char *object, const char *action)
{
    char path[128];
    char tags[128];
    snprintf(path, sizeof(path), "%s/%s", object, action);
    CLEANUP(json_cleanup) json_t *shown = cluster_get(cluster, "%s", object);
    const long long revision = number(shown, "revision");
    assert_int_equal(act_if(cluster, path, "41"), 400);
    assert_int_equal(act_if(cluster, path, "\"1\" \"2\""), 400);
    assert_int_equal(act_if(cluster, path, "\"1\""), 412);
    assert_int_equal(act_if(cluster, path, "\"1\", \"no revision\""), 412);
    snprintf(tags, sizeof(tags), "W/\"%lld\"", revision);
    assert_int_equal(act_if(cluster, path, tags), 412);
    CLEANUP(json_cleanup) json_t *same = cluster_get(cluster, "%s", object);
    assert_int_equal(number(same, "revision"), revision);
    snprintf(tags, sizeof(tags), "\"1\", \"%lld\"", revision);
    assert_int_equal(act_if(cluster, path, tags), 202);
    assert_int_equal(act_if(cluster, path, "*"), 202);
}

static void a_change_of_another_revision_is_refused(void **state)
{
    struct cluster *cluster = *state;
    char job[ID_BYTES_MAX];
    char object[96];
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("waits");
    cluster_spec_set(spec, "resources.ranks", json_integer(9)); /* it stays queued */
    cluster_submit(cluster, spec, job);
    snprintf(object, sizeof(object), "/v1/jobs/%s", job);
    check_if_match(cluster, object, "cancel");
    check_if_match(cluster, object, "cancel"); /* it has ended */
    snprintf(object, sizeof(object), "/v1/nodes/%s", cluster_node_id(cluster, 2));
    json_decref(
        until_free(cluster, cluster_get(cluster, "/v1/nodes/%s", cluster_node_id(cluster, 2))));
    check_if_match(cluster, object, "drain");
    check_if_match(cluster, object, "undrain");
    cluster_wait_node(cluster, 2, "ready", 20000);
}

/* POSTs and gets what the answer's Location names: the same object, under the same tag if it has one. */
static void check_made(struct cluster *cluster, const char *path, json_t *body, const char *key)
{
    CLEANUP(buf_clear) struct buf made_text;
    CLEANUP(buf_clear) struct buf got_text;
    buf_init(&made_text, MIB);
    buf_init(&got_text, MIB);
    CLEANUP(free_cleanup) char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    struct http_exchange exchange = {.method = "POST",
                                     .path = path,
                                     .body = text,
                                     .body_bytes = strlen(text),
                                     .out_body = &made_text};
    assert_int_equal(cluster_request_raw(cluster, cluster_token(cluster), &exchange), 201);
    struct http_exchange again = {
        .method = "GET", .path = exchange.out_location, .out_body = &got_text};
    assert_int_equal(cluster_request_raw(cluster, cluster_token(cluster), &again), 200);
    CLEANUP(json_cleanup) json_t *made = json_loads(made_text.data, 0, NULL);
    CLEANUP(json_cleanup) json_t *got = json_loads(got_text.data, 0, NULL);
    assert_non_null(json_object_get(made, key));
    assert_true(json_equal(json_object_get(made, key), json_object_get(got, key)));
    assert_null(json_object_get(got, "token")); /* a secret is told once */
    assert_string_equal(exchange.out_etag, again.out_etag);
}

static void what_was_made_is_found_at_its_location(void **state)
{
    struct cluster *cluster = *state;
    json_t *spec = cluster_spec("found");
    cluster_spec_set(spec, "resources.ranks", json_integer(9));
    check_made(cluster, "/v1/jobs", spec, "id");
    check_made(cluster, "/v1/tokens", json_pack("{s:s}", "role", "viewer"), "id");
    check_made(cluster, "/v1/datasets", json_pack("{s:s, s:s}", "name", "found", "path", "/tmp"),
               "path");
}

static void a_job_of_stale_gradients_promises_no_same_bits(void **state)
{
    struct cluster *cluster = *state;
    for (int staleness = 0; staleness < 2; staleness++) {
        char job[ID_BYTES_MAX];
        CLEANUP(json_cleanup) json_t *spec = cluster_spec("stale");
        cluster_spec_set(spec, "resources.ranks", json_integer(9));
        cluster_spec_set(spec, "training.sync", json_string("parameter_server"));
        cluster_spec_set(spec, "training.staleness", json_integer(staleness));
        cluster_submit(cluster, spec, job);
        CLEANUP(json_cleanup) json_t *shown = cluster_get(cluster, "/v1/jobs/%s", job);
        assert_int_equal(json_is_true(json_object_get(shown, "bit_exact")), staleness == 0);
        cluster_post(cluster, "/v1/jobs/%s/cancel", job);
    }
}

static void metrics_up_to_step_0_are_none(void **state)
{
    struct cluster *cluster = *state;
    char job[ID_BYTES_MAX];
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("steps");
    cluster_submit(cluster, spec, job);
    json_decref(cluster_wait_state(cluster, job, "succeeded", 30000));
    CLEANUP(json_cleanup) json_t *all = cluster_get(cluster, "/v1/jobs/%s/metrics", job);
    CLEANUP(json_cleanup) json_t *none = cluster_get(cluster, "/v1/jobs/%s/metrics?to_step=0", job);
    assert_true(json_object_size(all) > 0);
    assert_int_equal(json_object_size(none), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wait_for_a_node_ends_with_its_next_change),
        cmocka_unit_test(a_wait_for_a_node_that_stays_as_it_is_ends_with_its_time),
        cmocka_unit_test(a_wait_for_a_node_hears_of_drain_and_loss),
        cmocka_unit_test(objects_have_the_fields_of_the_contract),
        cmocka_unit_test(the_end_of_a_job_shows_its_last_step_also_after_a_restart),
        cmocka_unit_test(a_checkpoint_shows_how_old_its_state_was_when_it_was_committed),
        cmocka_unit_test(a_change_of_another_revision_is_refused),
        cmocka_unit_test(what_was_made_is_found_at_its_location),
        cmocka_unit_test(a_job_of_stale_gradients_promises_no_same_bits),
        cmocka_unit_test(metrics_up_to_step_0_are_none),
    };
    return cmocka_run_group_tests(tests, cluster_setup, cluster_teardown);
}
