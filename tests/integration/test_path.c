/* test_path.c - the whole path: a POST becomes a model file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "tests/integration/cluster.h"

#define TRAIN_TIMEOUT_MS 60000

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* Submits a job of so many ranks and waits for its success. */
static json_t *train(struct cluster *cluster, const char *name, int ranks, char job[ID_BYTES_MAX])
{
    CLEANUP(json_cleanup) json_t *spec = cluster_spec(name);
    cluster_spec_set(spec, "resources.ranks", json_integer(ranks));
    cluster_submit(cluster, spec, job);
    return cluster_wait_state(cluster, job, "succeeded", TRAIN_TIMEOUT_MS);
}

static void check_result(struct cluster *cluster, const char *job, const json_t *done)
{
    char tensors[65], file[65];
    const json_t *model = json_object_get(done, "model");
    const json_t *metrics = json_object_get(model, "metrics");
    assert_int_equal(json_integer_value(json_object_get(done, "attempt")), 1);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(done, "progress"), "step")),
                     200);
    assert_true(number(metrics, "eval_accuracy") > 0.85);
    cluster_model(cluster, job, tensors, file);
    assert_string_equal(json_string_value(json_object_get(model, "file_sha256")), file);
    assert_string_equal(json_string_value(json_object_get(model, "sha256")), tensors);
}

static void a_posted_job_of_one_rank_becomes_a_model(void **state)
{
    char job[ID_BYTES_MAX];
    CLEANUP(json_cleanup) json_t *done = train(*state, "one", 1, job);
    check_result(*state, job, done);
}

static void a_posted_job_of_two_ranks_on_two_nodes_becomes_one_model(void **state)
{
    char job[ID_BYTES_MAX];
    CLEANUP(json_cleanup) json_t *done = train(*state, "two", 2, job);
    check_result(*state, job, done);
    CLEANUP(json_cleanup) json_t *attempt = cluster_attempt(*state, job);
    const json_t *ranks = json_object_get(attempt, "ranks");
    assert_int_equal(json_array_size(ranks), 2);
    const char *first = json_string_value(json_object_get(json_array_get(ranks, 0), "node"));
    const char *second = json_string_value(json_object_get(json_array_get(ranks, 1), "node"));
    assert_string_not_equal(first, second);
}

static void the_same_spec_gives_the_same_weights(void **state)
{
    char first[ID_BYTES_MAX], second[ID_BYTES_MAX];
    char first_sha[65], second_sha[65], file[65];
    json_decref(train(*state, "same", 2, first));
    json_decref(train(*state, "same", 2, second));
    cluster_model(*state, first, first_sha, file);
    cluster_model(*state, second, second_sha, file);
    assert_string_equal(first_sha, second_sha);
}

static void the_metrics_of_a_job_come_back_whole(void **state)
{
    char job[ID_BYTES_MAX];
    json_decref(train(*state, "metrics", 2, job));
    CLEANUP(json_cleanup) json_t *metrics = cluster_get(*state, "/v1/jobs/%s/metrics", job);
    const json_t *loss = json_object_get(metrics, "loss");
    const json_t *steps = json_object_get(loss, "step");
    const json_t *values = json_object_get(loss, "value");
    assert_int_equal(json_array_size(steps), 10); /* 200 steps, one metric every 20 */
    assert_int_equal(json_array_size(values), 10);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(json_integer_value(json_array_get(steps, i)), 20 * (i + 1));
    assert_true(json_number_value(json_array_get(values, 9)) <
                json_number_value(json_array_get(values, 0)));
}

static void only_the_newest_checkpoints_are_kept(void **state)
{
    char job[ID_BYTES_MAX];
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("kept");
    cluster_spec_set(spec, "checkpoint.keep_last", json_integer(2));
    cluster_submit(*state, spec, job);
    json_decref(cluster_wait_state(*state, job, "succeeded", TRAIN_TIMEOUT_MS));
    CLEANUP(json_cleanup) json_t *list = cluster_get(*state, "/v1/jobs/%s/checkpoints", job);
    assert_true(json_array_size(json_object_get(list, "items")) <= 2);
    assert_true(json_array_size(json_object_get(list, "items")) >= 1);
}

static void a_job_with_more_ranks_than_slots_waits_and_says_why(void **state)
{
    char job[ID_BYTES_MAX];
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("large");
    cluster_spec_set(spec, "resources.ranks", json_integer(4));
    cluster_submit(*state, spec, job);
    json_decref(cluster_wait_state(*state, job, "queued", 5000));
    CLEANUP(json_cleanup) json_t *why = cluster_get(*state, "/v1/jobs/%s/explain", job);
    assert_true(json_object_size(why) > 0);
    cluster_post(*state, "/v1/jobs/%s/cancel", job);
    json_decref(cluster_wait_state(*state, job, "cancelled", 5000));
}

static void a_cancelled_job_stops_its_ranks(void **state)
{
    struct cluster *cluster = *state;
    char job[ID_BYTES_MAX];
    pid_t pids[8];
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("endless");
    cluster_spec_set(spec, "training.steps", json_integer(1000000));
    cluster_spec_set(spec, "resources.ranks", json_integer(2));
    cluster_submit(cluster, spec, job);
    json_decref(cluster_wait_step(cluster, job, 1, 10, TRAIN_TIMEOUT_MS));
    cluster_post(cluster, "/v1/jobs/%s/cancel", job);
    json_decref(cluster_wait_state(cluster, job, "cancelled", 20000));
    for (size_t node = 0; node < 3; node++)
        assert_int_equal(cluster_node_pids(cluster, node, "reprise-trainer", pids, 8), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_posted_job_of_one_rank_becomes_a_model),
        cmocka_unit_test(a_posted_job_of_two_ranks_on_two_nodes_becomes_one_model),
        cmocka_unit_test(the_same_spec_gives_the_same_weights),
        cmocka_unit_test(the_metrics_of_a_job_come_back_whole),
        cmocka_unit_test(only_the_newest_checkpoints_are_kept),
        cmocka_unit_test(a_job_with_more_ranks_than_slots_waits_and_says_why),
        cmocka_unit_test(a_cancelled_job_stops_its_ranks),
    };
    return cmocka_run_group_tests(tests, cluster_setup, cluster_teardown);
}
