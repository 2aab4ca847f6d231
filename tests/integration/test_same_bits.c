/*
 * A job's weights are a function of its spec and its data alone: the same SHA-256 whether it ran in
 * one piece or lost its trainer, a node, an agent or the controller on the way.
 *
 * Each run takes its faults at three moments (a fifth, a half and four fifths of its steps). By
 * default all three hit one run; THOROUGH=1 gives each moment a run of its own.
 */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/integration/cluster.h"

#define STEPS           26000 /* over 10 s with two ranks on two idle cores */
#define STEPS_SANITIZED 1500
#define RUN_MS          120000
#define MOMENTS         3

typedef void fault_fn(struct cluster *cluster, const char *job);

static char reference_sha256[65];

static int64_t total_steps(void)
{
    return getenv("SANITIZED") != NULL ? STEPS_SANITIZED : STEPS;
}

static void submit(struct cluster *cluster, char out_job[ID_BYTES_MAX])
{
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("same-bits");
    cluster_spec_set(spec, "resources.ranks", json_integer(2));
    cluster_spec_set(spec, "training.steps", json_integer(total_steps()));
    cluster_spec_set(spec, "training.batch_size", json_integer(128));
    cluster_spec_set(spec, "training.seed", json_integer(7));
    cluster_spec_set(spec, "checkpoint.every_steps", json_integer(100));
    cluster_submit(cluster, spec, out_job);
}

static int64_t attempt_of(struct cluster *cluster, const char *job)
{
    CLEANUP(json_cleanup) json_t *object = cluster_get(cluster, "/v1/jobs/%s", job);
    return json_integer_value(json_object_get(object, "attempt"));
}

/* Runs the job with the fault at each of the moments; the weights' hash of the finished job. */
static void run_with_faults(struct cluster *cluster, fault_fn *fault, const double *moments,
                            size_t count, char out_sha256[65])
{
    char job[ID_BYTES_MAX];
    submit(cluster, job);
    for (size_t i = 0; i < count; i++) {
        const int64_t step = (int64_t)(moments[i] * (double)total_steps());
        json_decref(cluster_wait_step(cluster, job, attempt_of(cluster, job), step, RUN_MS));
        fault(cluster, job);
    }
    CLEANUP(json_cleanup) json_t *done = cluster_wait_state(cluster, job, "succeeded", RUN_MS);
    assert_true(json_is_true(json_object_get(done, "bit_exact")));
    char file_sha256[65];
    cluster_model(cluster, job, out_sha256, file_sha256);
}

static void expect_same_bits(struct cluster *cluster, fault_fn *fault)
{
    static const double moments[MOMENTS] = {0.2, 0.5, 0.8};
    const bool thorough = getenv("THOROUGH") != NULL;
    char sha256[65];
    assert_string_not_equal(reference_sha256, "");
    for (size_t i = 0; thorough && i < MOMENTS; i++) {
        run_with_faults(cluster, fault, &moments[i], 1, sha256);
        assert_string_equal(sha256, reference_sha256);
    }
    if (!thorough) {
        run_with_faults(cluster, fault, moments, MOMENTS, sha256);
        assert_string_equal(sha256, reference_sha256);
    }
}

static void wait_attempt(struct cluster *cluster, const char *job, int64_t attempt)
{
    json_decref(cluster_wait_step(cluster, job, attempt, 1, RUN_MS));
}

static void kill_trainer(struct cluster *cluster, const char *job)
{
    const int64_t attempt = attempt_of(cluster, job);
    size_t node = 0;
    assert_int_equal(kill(cluster_rank_pid(cluster, job, attempt % 2, &node), SIGKILL), 0);
    wait_attempt(cluster, job, attempt + 1);
}

static void kill_node(struct cluster *cluster, const char *job)
{
    const int64_t attempt = attempt_of(cluster, job);
    size_t node = 0;
    (void)cluster_rank_pid(cluster, job, attempt % 2, &node);
    cluster_node_signal(cluster, node, SIGKILL);
    wait_attempt(cluster, job, attempt + 1);
    cluster_agent_start(cluster, node);
    cluster_wait_node(cluster, node, "ready", RUN_MS);
}

static void restart_agent(struct cluster *cluster, const char *job)
{
    const int64_t attempt = attempt_of(cluster, job);
    size_t node = 0;
    (void)cluster_rank_pid(cluster, job, 0, &node);
    (void)cluster_agent_kill(cluster, node, SIGKILL);
    cluster_agent_start(cluster, node);
    cluster_wait_node(cluster, node, "ready", RUN_MS);
    assert_int_equal(attempt_of(cluster, job), attempt);
}

static void restart_controller(struct cluster *cluster, const char *job)
{
    const int64_t attempt = attempt_of(cluster, job);
    (void)cluster_service_kill(cluster, SIGKILL);
    cluster_service_start(cluster);
    assert_int_equal(attempt_of(cluster, job), attempt);
}

static void an_uninterrupted_run_gives_the_same_weights_twice(void **state)
{
    char again[65];
    run_with_faults(*state, NULL, NULL, 0, reference_sha256);
    run_with_faults(*state, NULL, NULL, 0, again);
    assert_string_equal(again, reference_sha256);
}

static void killing_a_trainer_does_not_change_the_weights(void **state)
{
    expect_same_bits(*state, kill_trainer);
}

static void killing_a_node_does_not_change_the_weights(void **state)
{
    expect_same_bits(*state, kill_node);
}

static void restarting_an_agent_does_not_change_the_weights(void **state)
{
    expect_same_bits(*state, restart_agent);
}

static void restarting_the_controller_does_not_change_the_weights(void **state)
{
    expect_same_bits(*state, restart_controller);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_uninterrupted_run_gives_the_same_weights_twice),
        cmocka_unit_test(killing_a_trainer_does_not_change_the_weights),
        cmocka_unit_test(killing_a_node_does_not_change_the_weights),
        cmocka_unit_test(restarting_an_agent_does_not_change_the_weights),
        cmocka_unit_test(restarting_the_controller_does_not_change_the_weights),
    };
    return cmocka_run_group_tests_name("same_bits", tests, cluster_setup, cluster_teardown);
}
