/* test_node_death.c - what dies, and that the model does not show it. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "tests/integration/cluster.h"

#define TRAIN_TIMEOUT_MS 90000
#define STEPS            4000
#define CHECKPOINT_STEPS 200

static void submit_long(struct cluster *cluster, const char *name, char job[ID_BYTES_MAX])
{
    CLEANUP(json_cleanup) json_t *spec = cluster_spec(name);
    cluster_spec_set(spec, "training.steps", json_integer(STEPS));
    cluster_spec_set(spec, "checkpoint.every_steps", json_integer(CHECKPOINT_STEPS));
    cluster_spec_set(spec, "resources.ranks", json_integer(2));
    cluster_submit(cluster, spec, job);
}

/* Weights of the job undisturbed: what every disturbed one must come to. Trained once. */
static const char *undisturbed(struct cluster *cluster)
{
    static char sha256[65];
    if (sha256[0])
        return sha256;
    char job[ID_BYTES_MAX], file[65];
    submit_long(cluster, "undisturbed", job);
    json_decref(cluster_wait_state(cluster, job, "succeeded", TRAIN_TIMEOUT_MS));
    cluster_model(cluster, job, sha256, file);
    return sha256;
}

/* The job has succeeded in a later attempt that resumed at a checkpoint, with the same weights. */
static void check_recovered(struct cluster *cluster, const char *job, int64_t resumed_at_least)
{
    char tensors[65], file[65];
    CLEANUP(json_cleanup)
    json_t *done = cluster_wait_state(cluster, job, "succeeded", TRAIN_TIMEOUT_MS);
    assert_true(json_integer_value(json_object_get(done, "attempt")) >= 2);
    const json_t *resume = json_object_get(done, "resume");
    assert_true(json_integer_value(json_object_get(resume, "step")) >= resumed_at_least);
    cluster_model(cluster, job, tensors, file);
    assert_string_equal(tensors, undisturbed(cluster));
}

static void a_job_survives_the_death_of_a_trainer(void **state)
{
    struct cluster *cluster = *state;
    char job[ID_BYTES_MAX];
    undisturbed(cluster);
    submit_long(cluster, "trainer-killed", job);
    const int64_t step = cluster_wait_checkpoint(cluster, job, CHECKPOINT_STEPS, TRAIN_TIMEOUT_MS);
    kill(cluster_rank_pid(cluster, job, 1, NULL), SIGKILL);
    check_recovered(cluster, job, step);
}

static void a_job_survives_the_death_of_a_whole_node(void **state)
{
    struct cluster *cluster = *state;
    char job[ID_BYTES_MAX];
    size_t node = 0;
    undisturbed(cluster);
    submit_long(cluster, "node-killed", job);
    const int64_t step =
        cluster_wait_checkpoint(cluster, job, 2 * CHECKPOINT_STEPS, TRAIN_TIMEOUT_MS);
    cluster_rank_pid(cluster, job, 0, &node);
    cluster_node_signal(cluster, node, SIGKILL);
    check_recovered(cluster, job, step);

    CLEANUP(json_cleanup) json_t *attempt = cluster_attempt(cluster, job);
    size_t i = 0;
    json_t *rank = NULL;
    json_array_foreach(json_object_get(attempt, "ranks"), i, rank)
        assert_string_not_equal(json_string_value(json_object_get(rank, "node")),
                                cluster_node_id(cluster, node));
    cluster_agent_start(cluster, node);
    cluster_wait_node(cluster, node, "ready", 10000);
}

static void a_job_does_not_notice_the_death_of_an_agent(void **state)
{
    struct cluster *cluster = *state;
    char job[ID_BYTES_MAX], tensors[65], file[65];
    size_t node = 0;
    undisturbed(cluster);
    submit_long(cluster, "agent-killed", job);
    cluster_wait_checkpoint(cluster, job, CHECKPOINT_STEPS, TRAIN_TIMEOUT_MS);
    const pid_t before = cluster_rank_pid(cluster, job, 0, &node);
    cluster_agent_kill(cluster, node, SIGKILL);
    cluster_agent_start(cluster, node);
    cluster_wait_node(cluster, node, "ready", 10000);
    CLEANUP(json_cleanup)
    json_t *done = cluster_wait_state(cluster, job, "succeeded", TRAIN_TIMEOUT_MS);
    assert_int_equal(json_integer_value(json_object_get(done, "attempt")), 1);
    assert_int_equal(cluster_rank_pid(cluster, job, 0, NULL), before);
    cluster_model(cluster, job, tensors, file);
    assert_string_equal(tensors, undisturbed(cluster));
}

static void a_job_does_not_notice_the_death_of_the_controller(void **state)
{
    struct cluster *cluster = *state;
    char job[ID_BYTES_MAX], tensors[65], file[65];
    undisturbed(cluster);
    submit_long(cluster, "controller-killed", job);
    cluster_wait_checkpoint(cluster, job, CHECKPOINT_STEPS, TRAIN_TIMEOUT_MS);
    cluster_service_kill(cluster, SIGKILL);
    cluster_service_start(cluster);
    CLEANUP(json_cleanup)
    json_t *done = cluster_wait_state(cluster, job, "succeeded", TRAIN_TIMEOUT_MS);
    assert_int_equal(json_integer_value(json_object_get(done, "attempt")), 1);
    cluster_model(cluster, job, tensors, file);
    assert_string_equal(tensors, undisturbed(cluster));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_survives_the_death_of_a_trainer),
        cmocka_unit_test(a_job_survives_the_death_of_a_whole_node),
        cmocka_unit_test(a_job_does_not_notice_the_death_of_an_agent),
        cmocka_unit_test(a_job_does_not_notice_the_death_of_the_controller),
    };
    return cmocka_run_group_tests(tests, cluster_setup, cluster_teardown);
}
