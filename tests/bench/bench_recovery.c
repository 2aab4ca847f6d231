/*
 * bench_recovery - from a fault to the first step that the next attempt does, with its parts.
 *
 * A gang of two ranks on two nodes, a third node spare, data decoded on all. Faults come at random
 * moments with a committed checkpoint between them. torchrun on two cores of this kind: 2.5-3.5 s
 * tuned for a dead worker (3.6-7.6 s by default), 12-17 s for a dead agent.
 *
 *     bench_recovery [trainer|node|silent] [profile] [n]
 */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/bench/bench.h"
#include "tests/integration/cluster.h"

#define WAIT_MS         120000
#define RANDOM_DELAY_MS 300
#define OUTLIER_MS      200

struct figures {
    struct bench_samples detect, place, start, first_step;
};

struct fault {
    const char *name;
    /* Hits rank 1's node; what must be undone before the next fault is undone by heal(). */
    void (*hit)(struct cluster *cluster, size_t node, pid_t trainer);
    void (*heal)(struct cluster *cluster, size_t node);
};

static void hit_trainer(struct cluster *cluster, size_t node, pid_t trainer)
{
    (void)cluster;
    (void)node;
    (void)kill(trainer, SIGKILL);
}

static void heal_nothing(struct cluster *cluster, size_t node)
{
    (void)cluster;
    (void)node;
}

static void hit_node(struct cluster *cluster, size_t node, pid_t trainer)
{
    (void)trainer;
    cluster_node_signal(cluster, node, SIGKILL);
}

static void heal_node(struct cluster *cluster, size_t node)
{
    cluster_agent_start(cluster, node);
    cluster_wait_node(cluster, node, "ready", WAIT_MS);
}

static void hit_silent(struct cluster *cluster, size_t node, pid_t trainer)
{
    (void)trainer;
    cluster_node_signal(cluster, node, SIGSTOP);
}

static void heal_silent(struct cluster *cluster, size_t node)
{
    cluster_node_signal(cluster, node, SIGCONT);
    cluster_wait_node(cluster, node, "ready", WAIT_MS);
}

static const struct fault faults[] = {
    {"trainer", hit_trainer, heal_nothing},
    {"node", hit_node, heal_node},
    {"silent", hit_silent, heal_silent},
};

static void submit(struct cluster *cluster, char out_job[ID_BYTES_MAX])
{
    json_t *spec = cluster_spec("recovery");
    cluster_spec_set(spec, "resources.ranks", json_integer(2));
    cluster_spec_set(spec, "training.steps", json_integer(100000000));
    cluster_spec_set(spec, "training.batch_size", json_integer(128));
    cluster_spec_set(spec, "training.metrics_every_steps", json_integer(1000));
    cluster_spec_set(spec, "checkpoint.every_steps", json_integer(100));
    cluster_spec_set(spec, "retry.max_restarts", json_integer(1000));
    cluster_spec_set(spec, "retry.max_infra_restarts", json_integer(1000));
    cluster_submit(cluster, spec, out_job);
    json_decref(spec);
}

static bool has_own_checkpoint(struct cluster *cluster, const json_t *job, void *context)
{
    const int64_t attempt = *(const int64_t *)context;
    const char *id = json_string_value(json_object_get(job, "id"));
    CLEANUP(json_cleanup)
    json_t *page = cluster_get(cluster, "/v1/jobs/%s/checkpoints?limit=1000", id);
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(json_object_get(page, "items"), i, item) {
        if (json_integer_value(json_object_get(item, "attempt")) == attempt)
            return true;
    }
    return false;
}

/* RFC 3339 with milliseconds, UTC, to wall milliseconds of the day: enough for differences. */
static double day_ms(const json_t *incident, const char *key)
{
    const char *text = json_string_value(json_object_get(incident, key));
    int hour = 0, minute = 0;
    double second = 0;
    if (text == NULL || sscanf(text, "%*d-%*d-%*dT%d:%d:%lf", &hour, &minute, &second) != 3)
        return -1;
    return ((hour * 60 + minute) * 60 + second) * 1000;
}

static bool incident_complete(struct cluster *cluster, const json_t *job, void *context)
{
    json_t **out = context;
    const char *id = json_string_value(json_object_get(job, "id"));
    json_t *attempt = cluster_attempt(cluster, id);
    const json_t *incident = json_object_get(attempt, "incident");
    if (json_is_string(json_object_get(incident, "first_step_at"))) {
        *out = attempt;
        return true;
    }
    json_decref(attempt);
    return false;
}

static void add_difference(struct bench_samples *samples, double later, double earlier)
{
    if (later >= 0 && later >= earlier)
        bench_add(samples, later - earlier);
}

/* What the controller says about a fault that took much longer to see than the others. */
static void tell_outlier(struct cluster *cluster, const char *job, int64_t attempt,
                         double detect_ms, const struct bench_samples *detect)
{
    if (detect->count < 5 || detect_ms < 1.5 * bench_quantile(detect, 0.5) + OUTLIER_MS)
        return;
    CLEANUP(json_cleanup)
    json_t *list = cluster_get(cluster, "/v1/jobs/%s/attempts?limit=1000", job);
    const json_t *ended = json_array_get(json_object_get(list, "items"), (size_t)(attempt - 1));
    const char *detail = json_string_value(json_object_get(ended, "detail"));
    print_message("attempt %lld, detected after %.0f ms: %s\n", (long long)attempt, detect_ms,
                  detail != NULL ? detail : "");
}

static void one_fault(struct cluster *cluster, const struct fault *fault, const char *job,
                      int64_t attempt, uint64_t *random, struct figures *figures)
{
    json_decref(cluster_wait(cluster, job, "a checkpoint of this attempt", has_own_checkpoint,
                             &attempt, WAIT_MS));
    size_t node = 0;
    const pid_t trainer = cluster_rank_pid(cluster, job, attempt % 2, &node);
    clock_sleep_ms((int64_t)(splitmix64_next(random) % RANDOM_DELAY_MS));

    const double at = (double)(clock_wall_ms() % (24LL * 3600 * 1000));
    fault->hit(cluster, node, trainer);
    json_decref(cluster_wait_step(cluster, job, attempt + 1, 1, WAIT_MS));
    json_t *now = NULL;
    json_decref(cluster_wait(cluster, job, "the first step", incident_complete, &now, WAIT_MS));
    const json_t *incident = json_object_get(now, "incident");
    const double detected = day_ms(incident, "detected_at");
    const double placed = day_ms(incident, "placed_at");
    const double started = day_ms(incident, "started_at");
    add_difference(&figures->detect, detected, at);
    tell_outlier(cluster, job, attempt, detected - at, &figures->detect);
    add_difference(&figures->place, placed, detected);
    add_difference(&figures->start, started, placed);
    add_difference(&figures->first_step, day_ms(incident, "first_step_at"), at);
    json_decref(now);
    fault->heal(cluster, node);
}

static void report(const struct fault *fault, const char *profile, const struct figures *figures)
{
    const struct {
        const char *part;
        const struct bench_samples *samples;
    } parts[] = {{"detect", &figures->detect},
                 {"place", &figures->place},
                 {"start", &figures->start},
                 {"first_step", &figures->first_step}};
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        char name[96];
        (void)snprintf(name, sizeof(name), "recovery_%s_%s_%s", fault->name, profile,
                       parts[i].part);
        bench_report(name, "ms", parts[i].samples, 0);
    }
}

static void measure(const struct fault *fault, const char *profile, int n)
{
    struct figures figures = {0};
    struct cluster *cluster = cluster_start(
        &(struct cluster_options){.nodes = 3, .slots_per_node = 1, .profile = profile});
    char job[ID_BYTES_MAX];
    submit(cluster, job);
    if (fault->hit == hit_silent) /* a controller that starts suspects nobody before W */
        clock_sleep_ms(strcmp(profile, "fast") == 0 ? 3000 : 20000);
    uint64_t random = 42;
    bench_load_start();
    for (int i = 0; i < n; i++)
        one_fault(cluster, fault, job, i + 1, &random, &figures);
    report(fault, profile, &figures);
    cluster_stop(cluster);
    bench_clear(&figures.detect);
    bench_clear(&figures.place);
    bench_clear(&figures.start);
    bench_clear(&figures.first_step);
}

static struct {
    const char *fault;
    const char *profile;
    int n;
} only;

static void recovery(void **state)
{
    (void)state;
    static const struct {
        int fault;
        const char *profile;
        int n;
    } plan[] = {{0, "fast", 200},    {0, "default", 200}, {0, "relaxed", 200}, {1, "fast", 200},
                {1, "default", 200}, {2, "fast", 200},    {2, "default", 200}};
    for (size_t i = 0; i < COUNT_OF(plan); i++) {
        const struct fault *fault = &faults[plan[i].fault];
        if (only.fault != NULL && strcmp(only.fault, fault->name) != 0)
            continue;
        if (only.profile != NULL && strcmp(only.profile, plan[i].profile) != 0)
            continue;
        const int n = only.n > 0 ? only.n : bench_is_short() ? 3 : plan[i].n;
        measure(fault, plan[i].profile, n);
    }
}

int main(int argc, char **argv)
{
    only.fault = argc > 1 ? argv[1] : NULL;
    only.profile = argc > 2 ? argv[2] : NULL;
    only.n = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0;
    /* The harness fails through cmocka, so the bench runs as its one test. */
    const struct CMUnitTest tests[] = {cmocka_unit_test(recovery)};
    return cmocka_run_group_tests_name("recovery", tests, NULL, NULL);
}
