/*
 * An agent that is killed and started again disturbs no trainer: the same processes, the same
 * attempt, no gap in the metrics. In the fast and in the default profile, after 0.1 s, 1 s and 5 s.
 */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/integration/cluster.h"

#define WAIT_MS       180000
#define METRICS_EVERY 20

static void submit(struct cluster *cluster, char out_job[ID_BYTES_MAX])
{
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("agent-restart");
    cluster_spec_set(spec, "resources.ranks", json_integer(2));
    cluster_spec_set(spec, "training.steps", json_integer(getenv("SANITIZED") ? 3000 : 30000));
    cluster_spec_set(spec, "training.metrics_every_steps", json_integer(METRICS_EVERY));
    cluster_spec_set(spec, "checkpoint.every_steps", json_integer(200));
    cluster_submit(cluster, spec, out_job);
}

/* Every window of METRICS_EVERY steps is there, in order, from one attempt. */
static void expect_no_gap(struct cluster *cluster, const char *job)
{
    CLEANUP(json_cleanup)
    json_t *metrics = cluster_get(cluster, "/v1/jobs/%s/metrics?names=loss&points=10000", job);
    const json_t *steps = json_object_get(json_object_get(metrics, "loss"), "step");
    const size_t count = json_array_size(steps);
    assert_true(count > 100);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(json_integer_value(json_array_get(steps, i)), (i + 1) * METRICS_EVERY);
}

static void restart_agents_under(struct cluster *cluster)
{
    static const int64_t pauses_ms[] = {100, 1000, 5000};
    char job[ID_BYTES_MAX];
    submit(cluster, job);
    json_decref(cluster_wait_step(cluster, job, 1, 200, WAIT_MS));
    size_t node[2] = {0};
    pid_t pid[2] = {0};
    for (int rank = 0; rank < 2; rank++)
        pid[rank] = cluster_rank_pid(cluster, job, rank, &node[rank]);

    for (size_t i = 0; i < COUNT_OF(pauses_ms); i++) {
        (void)cluster_agent_kill(cluster, node[i % 2], SIGKILL);
        clock_sleep_ms(pauses_ms[i]); /* the length of the outage is what is tested */
        cluster_agent_start(cluster, node[i % 2]);
        cluster_wait_node(cluster, node[i % 2], "ready", WAIT_MS);
        for (int rank = 0; rank < 2; rank++) {
            size_t now_on = 0;
            assert_int_equal(cluster_rank_pid(cluster, job, rank, &now_on), pid[rank]);
            assert_int_equal(now_on, node[rank]);
            assert_int_equal(kill(pid[rank], 0), 0);
        }
    }

    CLEANUP(json_cleanup) json_t *done = cluster_wait_state(cluster, job, "succeeded", WAIT_MS);
    assert_int_equal(json_integer_value(json_object_get(done, "attempt")), 1);
    expect_no_gap(cluster, job);
}

static void under_profile(const char *profile)
{
    struct cluster *cluster = cluster_start(
        &(struct cluster_options){.nodes = 2, .slots_per_node = 1, .profile = profile});
    restart_agents_under(cluster);
    cluster_stop(cluster);
}

static void restarting_an_agent_disturbs_no_trainer_in_the_fast_profile(void **state)
{
    (void)state;
    under_profile("fast");
}

static void restarting_an_agent_disturbs_no_trainer_in_the_default_profile(void **state)
{
    (void)state;
    under_profile("default");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(restarting_an_agent_disturbs_no_trainer_in_the_fast_profile),
        cmocka_unit_test(restarting_an_agent_disturbs_no_trainer_in_the_default_profile),
    };
    return cmocka_run_group_tests_name("agent_restart", tests, NULL, NULL);
}
