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
    json_t *freed = node_after(cluster, busy, "30s");
    while (slots_held(freed) > 0) {
        json_t *next = node_after(cluster, freed, "30s");
        assert_true(number(next, "revision") > number(freed, "revision"));
        json_decref(freed);
        freed = next;
    }
    json_decref(freed);
}

static void a_wait_for_a_node_that_stays_as_it_is_ends_with_its_time(void **state)
{
    struct cluster *cluster = *state;
    CLEANUP(json_cleanup)
    json_t *idle = cluster_get(cluster, "/v1/nodes/%s", cluster_node_id(cluster, 1));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wait_for_a_node_ends_with_its_next_change),
        cmocka_unit_test(a_wait_for_a_node_that_stays_as_it_is_ends_with_its_time),
        cmocka_unit_test(a_wait_for_a_node_hears_of_drain_and_loss),
    };
    return cmocka_run_group_tests(tests, cluster_setup, cluster_teardown);
}
