/*
 * test_node_death.c - the demo as a test: a whole node dies in the middle of a job, and what people see
 * of it through the API and through `reprise watch`. That the weights are the same is test_same_bits.c.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/json.h"
#include "cli/cli.h"
#include "tests/integration/cluster.h"

#define TRAIN_TIMEOUT_MS 90000
#define STEPS            12000 /* long enough for the cause of a death to be known before the end */
#define STEPS_SANITIZED  2000  /* as long */
#define CHECKPOINT_STEPS 200
#define OUTPUT_BYTES_MAX (1 * MIB)

static int64_t all_steps(void)
{
    return getenv("SANITIZED") != NULL ? STEPS_SANITIZED : STEPS;
}

static void submit(struct cluster *cluster, const char *name, int64_t steps, char job[ID_BYTES_MAX])
{
    CLEANUP(json_cleanup) json_t *spec = cluster_spec(name);
    cluster_spec_set(spec, "training.steps", json_integer(steps));
    cluster_spec_set(spec, "checkpoint.every_steps", json_integer(CHECKPOINT_STEPS));
    cluster_spec_set(spec, "resources.ranks", json_integer(2));
    cluster_submit(cluster, spec, job);
}

static const char *text(const json_t *object, const char *key)
{
    const char *found = json_string_value(json_object_get(object, key));
    return found ? found : "";
}

/* ---------------------------------------------------------------- the API */

/* RFC 3339 in UTC sorts as text. */
static void check_order(const json_t *incident, const char *earlier, const char *later)
{
    if (strcmp(text(incident, earlier), text(incident, later)) > 0)
        fail_msg("%s %s is after %s %s", earlier, text(incident, earlier), later,
                 text(incident, later));
    assert_true(text(incident, earlier)[0] != 0);
}

static void check_incident(struct cluster *cluster, const char *job, int64_t checkpoint,
                           size_t dead)
{
    CLEANUP(json_cleanup) json_t *attempt = cluster_attempt(cluster, job);
    const json_t *incident = json_object_get(attempt, "incident");
    assert_int_equal(json_integer_value(json_object_get(attempt, "attempt")), 2);
    assert_true(json_integer_value(json_object_get(attempt, "resume_step")) >= checkpoint);
    assert_string_equal(text(incident, "cause"), "node_lost");
    check_order(incident, "fault_at", "detected_at");
    check_order(incident, "detected_at", "fenced_at");
    check_order(incident, "fenced_at", "placed_at");
    check_order(incident, "placed_at", "started_at");
    check_order(incident, "started_at", "first_step_at");
    size_t i = 0;
    json_t *rank = NULL;
    json_array_foreach(json_object_get(attempt, "ranks"), i, rank)
        assert_string_not_equal(text(rank, "node"), cluster_node_id(cluster, dead));
}

static json_int_t highest_step(const json_t *attempt)
{
    json_int_t highest = 0;
    size_t i = 0;
    json_t *rank = NULL;
    json_array_foreach(json_object_get(attempt, "ranks"), i, rank) {
        const json_int_t step = json_integer_value(json_object_get(rank, "step"));
        highest = step > highest ? step : highest;
    }
    return highest;
}

/* What was done and is done again: from the step that the new attempt began at to the highest seen. */
static void check_lost_steps(struct cluster *cluster, const char *job)
{
    CLEANUP(json_cleanup) json_t *list = cluster_get(cluster, "/v1/jobs/%s/attempts", job);
    const json_t *former = json_array_get(json_object_get(list, "items"), 0);
    const json_t *attempt = json_array_get(json_object_get(list, "items"), 1);
    CLEANUP(json_cleanup) json_t *shown = cluster_get(cluster, "/v1/jobs/%s", job);
    const json_t *resume = json_object_get(shown, "resume");
    const json_int_t resumed = json_integer_value(json_object_get(attempt, "resume_step"));
    assert_int_equal(json_integer_value(json_object_get(attempt, "lost_steps")),
                     highest_step(former) - resumed);
    assert_int_equal(json_integer_value(json_object_get(former, "lost_steps")), 0);
    assert_int_equal(json_integer_value(json_object_get(resume, "step")), resumed);
    assert_int_equal(highest_step(attempt), all_steps());
    assert_true(json_is_true(json_object_get(shown, "bit_exact")));
}

static void check_state_event(const json_t *event, const char *from, const char *to)
{
    assert_string_equal(text(event, "from"), from);
    assert_string_equal(text(event, "to"), to);
    if (strcmp(to, "queued") == 0)
        assert_int_equal(strncmp(text(event, "actor"), "tok_", 4), 0); /* who submitted it */
    if (strcmp(to, "recovering") == 0)
        assert_true(text(event, "reason")[0] != 0 && text(event, "detail")[0] != 0);
}

/* Each transition once, in order, by whom and why. */
static void check_events(struct cluster *cluster, const char *job)
{
    static const char *const states[] = {"",        "queued",     "starting",
                                         "running", "recovering", "starting",
                                         "running", "succeeded",  NULL};
    CLEANUP(json_cleanup) json_t *list = cluster_get(cluster, "/v1/jobs/%s/events?limit=1000", job);
    const char *const *at = states;
    const char *before = "";
    size_t i = 0;
    json_t *event = NULL;
    json_array_foreach(json_object_get(list, "items"), i, event) {
        assert_true(strcmp(before, text(event, "at")) <= 0);
        assert_true(text(event, "actor")[0] != 0);
        before = text(event, "at");
        if (strcmp(text(event, "kind"), "state") != 0)
            continue;
        assert_non_null(at[1]);
        check_state_event(event, at[0], at[1]);
        at++;
    }
    assert_null(at[1]);
}

/* One history: each step of the metrics once, whatever the first attempt had done beyond. */
static void check_history(struct cluster *cluster, const char *job)
{
    CLEANUP(json_cleanup) json_t *metrics = cluster_get(cluster, "/v1/jobs/%s/metrics", job);
    const json_t *steps = json_object_get(json_object_get(metrics, "loss"), "step");
    assert_int_equal(json_array_size(steps), all_steps() / 20);
    for (size_t i = 0; i < json_array_size(steps); i++)
        assert_int_equal(json_integer_value(json_array_get(steps, i)), 20 * (i + 1));
}

static void a_job_survives_the_death_of_a_whole_node(void **state)
{
    struct cluster *cluster = *state;
    char job[ID_BYTES_MAX];
    size_t node = 0;
    submit(cluster, "node-killed", all_steps(), job);
    const int64_t step =
        cluster_wait_checkpoint(cluster, job, 2 * CHECKPOINT_STEPS, TRAIN_TIMEOUT_MS);
    cluster_rank_pid(cluster, job, 0, &node);
    cluster_node_signal(cluster, node, SIGKILL);
    json_decref(cluster_wait_state(cluster, job, "succeeded", TRAIN_TIMEOUT_MS));
    cluster_wait_node(cluster, node, "lost", 10000); /* by now the cause is known */
    check_incident(cluster, job, step, node);
    check_lost_steps(cluster, job);
    check_events(cluster, job);
    check_history(cluster, job);
    cluster_agent_start(cluster, node);
    cluster_wait_node(cluster, node, "ready", 10000);
}

/* ---------------------------------------------------------------- reprise watch */

static pid_t start_watch(struct cluster *cluster, const char *job, char path[256])
{
    const char *const args[] = {"watch", job, NULL};
    snprintf(path, 256, "%s/watch-%s.log", cluster_dir(cluster), job);
    return cluster_cli_start(cluster, args, path);
}

/* Waits for its end; its exit code and what it wrote, to be cleared by the caller. */
static int end_watch(pid_t pid, const char *path, struct buf *out)
{
    int status = 0;
    struct error err = {0};
    buf_init(out, OUTPUT_BYTES_MAX);
    assert_true(process_wait(pid, process_patience(TRAIN_TIMEOUT_MS), &status));
    assert_int_equal(fs_read_file(path, out, &err), STATUS_OK);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void check_said(const struct buf *out, const char *words)
{
    if (!strstr(out->data, words))
        fail_msg("\"%s\" was not said:\n%s", words, out->data);
}

static void a_watch_tells_of_a_death_and_of_the_recovery(void **state)
{
    struct cluster *cluster = *state;
    char job[ID_BYTES_MAX], path[256];
    submit(cluster, "watched", all_steps(), job);
    const pid_t watch = start_watch(cluster, job, path);
    cluster_wait_checkpoint(cluster, job, CHECKPOINT_STEPS, TRAIN_TIMEOUT_MS);
    kill(cluster_rank_pid(cluster, job, 1, NULL), SIGKILL);
    CLEANUP(buf_clear) struct buf out;
    assert_int_equal(end_watch(watch, path, &out), EXIT_DONE);
    check_said(&out, "attempt 1 ended");
    check_said(&out, "attempt 2 placed on");
    check_said(&out, "recovered from killed_by_signal");
    check_said(&out, "steps lost");
    check_said(&out, "succeeded");
}

static void a_watch_goes_on_through_a_restart_of_the_controller(void **state)
{
    struct cluster *cluster = *state;
    char job[ID_BYTES_MAX], path[256];
    submit(cluster, "through-restart", all_steps(), job);
    const pid_t watch = start_watch(cluster, job, path);
    cluster_wait_checkpoint(cluster, job, CHECKPOINT_STEPS, TRAIN_TIMEOUT_MS);
    cluster_service_kill(cluster, SIGKILL);
    cluster_service_start(cluster);
    CLEANUP(buf_clear) struct buf out;
    assert_int_equal(end_watch(watch, path, &out), EXIT_DONE);
    check_said(&out, "succeeded");
}

static void an_interrupted_watch_leaves_the_job_alone(void **state)
{
    struct cluster *cluster = *state;
    char job[ID_BYTES_MAX], path[256];
    submit(cluster, "detached", 1000000, job);
    const pid_t watch = start_watch(cluster, job, path);
    cluster_wait_checkpoint(cluster, job, CHECKPOINT_STEPS, TRAIN_TIMEOUT_MS);
    kill(watch, SIGINT);
    CLEANUP(buf_clear) struct buf out;
    assert_int_equal(end_watch(watch, path, &out), EXIT_INTERRUPTED);
    check_said(&out, "detached");
    check_said(&out, "reprise cancel");
    json_decref(cluster_wait_state(cluster, job, "running", 10000));
    cluster_post(cluster, "/v1/jobs/%s/cancel", job);
    json_decref(cluster_wait_state(cluster, job, "cancelled", 20000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_survives_the_death_of_a_whole_node),
        cmocka_unit_test(a_watch_tells_of_a_death_and_of_the_recovery),
        cmocka_unit_test(a_watch_goes_on_through_a_restart_of_the_controller),
        cmocka_unit_test(an_interrupted_watch_leaves_the_job_alone),
    };
    return cmocka_run_group_tests(tests, cluster_setup, cluster_teardown);
}
