/*
 * bench_service - what the controller costs and how fast it answers: durable submits and reads at 64
 * connections, from a submit to the trainer's first instruction and first step, telemetry, memory.
 *
 *     bench_service [submit|get|start|ingest|memory]
 *
 * Slurm 22.05 on two cores of this kind: about 1,100 submits/s in memory with 8 clients, srun 28 ms to
 * the first instruction, sbatch 0.6-1.0 s.
 */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "schema/wire_event.h"
#include "tests/bench/bench.h"
#include "tests/bench/load.h"
#include "tests/bench/probe_submit_sql.h"
#include "tests/integration/cluster.h"

#define CONNECTIONS   64
#define WAIT_MS       60000
#define REQUEST_BYTES 8192
#define PAIRS         5 /* of probe and load, one after the other */

static const char *only;

static bool is_wanted(const char *part)
{
    return only == NULL || strcmp(only, part) == 0;
}

static int64_t round_ms(void)
{
    return bench_is_short() ? 200 : 2000;
}

/* ---- requests */

static size_t render(char out[REQUEST_BYTES], const struct cluster *cluster, const char *method,
                     const char *path, const char *body)
{
    const int n = snprintf(out, REQUEST_BYTES,
                           "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
                           "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                           method, path, cluster_token(cluster), strlen(body), body);
    assert_in_range(n, 1, REQUEST_BYTES - 1);
    return (size_t)n;
}

/* One round of load: its rate goes to `rates`, its latencies to load->latency_us. */
static void load_round(struct load *load, struct bench_samples *rates)
{
    load->answers = 0;
    load_run(load);
    assert_int_equal(load->unexpected, 0);
    bench_add(rates, (double)load->answers / load->seconds);
}

static void report_load(const char *name, struct load *load, struct bench_samples *rates,
                        double probe)
{
    bench_report(name, "requests/s", rates, probe);
    char latency[96];
    (void)snprintf(latency, sizeof(latency), "%s_latency", name);
    bench_report(latency, "us", &load->latency_us, 0);
    (void)snprintf(latency, sizeof(latency), "%s_p99", name);
    bench_report_value(latency, "us", bench_quantile(&load->latency_us, 0.99), 0);
    bench_clear(&load->latency_us);
    bench_clear(rates);
}

/* A job that no cluster here can hold: it stays queued. */
static char *queued_body(void)
{
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("bench");
    cluster_spec_set(spec, "resources.ranks", json_integer(100));
    cluster_spec_set(spec, "training.batch_size", json_integer(128));
    char *body = json_dumps(spec, JSON_COMPACT);
    assert_non_null(body);
    return body;
}

/* Rows/s of the SQL alone, with the bytes that the service stores for the same body. */
static double raw_probe(struct cluster *cluster, const char *body, int round)
{
    CLEANUP(json_cleanup) json_t *spec = json_loads(body, 0, NULL);
    char job[ID_BYTES_MAX];
    cluster_submit(cluster, spec, job);
    CLEANUP(json_cleanup) json_t *shown = cluster_get(cluster, "/v1/jobs/%s", job);
    CLEANUP(free_cleanup) char *stored = json_canonical(json_object_get(shown, "spec"));
    char folder[600];
    struct error err = {0};
    assert_int_equal(
        fs_path(folder, sizeof(folder), &err, "%s/probe-%d", cluster_dir(cluster), round),
        STATUS_OK);
    assert_int_equal(fs_make_dirs(folder, 0700, &err), STATUS_OK);
    double rate = 0;
    const struct probe_submit_sql probe = {.folder = folder,
                                           .spec = stored,
                                           .labels = "{}",
                                           .batch = CONNECTIONS,
                                           .duration_ms = round_ms()};
    assert_int_equal(probe_submit_sql(&probe, &rate, &err), STATUS_OK);
    return rate;
}

static void writes(void)
{
    struct cluster *cluster = cluster_start(&(struct cluster_options){.nodes = 0});
    CLEANUP(free_cleanup) char *body = queued_body();
    char request[REQUEST_BYTES];
    struct load load = {.url = cluster_api_url(cluster),
                        .request = request,
                        .request_bytes = render(request, cluster, "POST", "/v1/jobs", body),
                        .connections = CONNECTIONS,
                        .duration_ms = round_ms(),
                        .expected_code = 201};
    struct bench_samples rates = {0};
    struct bench_samples probes = {0};
    bench_load_start();
    for (int pair = 0; pair < PAIRS; pair++) {
        bench_add(&probes, raw_probe(cluster, body, pair));
        load_round(&load, &rates);
    }
    report_load("submit_durable_64", &load, &rates, bench_quantile(&probes, 0.5));
    bench_clear(&probes);
    cluster_stop(cluster);
}

static void reads(void)
{
    struct cluster *cluster = cluster_start(&(struct cluster_options){.nodes = 0});
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("bench");
    cluster_spec_set(spec, "resources.ranks", json_integer(100));
    char job[ID_BYTES_MAX];
    cluster_submit(cluster, spec, job);
    char path[96];
    (void)snprintf(path, sizeof(path), "/v1/jobs/%s", job);
    char request[REQUEST_BYTES];
    struct load load = {.url = cluster_api_url(cluster),
                        .request = request,
                        .request_bytes = render(request, cluster, "GET", path, ""),
                        .connections = CONNECTIONS,
                        .duration_ms = round_ms(),
                        .expected_code = 200};
    struct bench_samples rates = {0};
    bench_load_start();
    for (int round = 0; round < PAIRS; round++)
        load_round(&load, &rates);
    report_load("get_job_64", &load, &rates, 0);
    cluster_stop(cluster);
}

/* ---- start */

static bool has_first_step(struct cluster *cluster, const json_t *job, void *context)
{
    (void)context;
    if (json_integer_value(json_object_get(job, "attempt")) == 0)
        return false;
    CLEANUP(json_cleanup)
    json_t *attempt = cluster_attempt(cluster, json_string_value(json_object_get(job, "id")));
    return json_is_string(json_object_get(attempt, "first_step_at"));
}

/* The first event of a kind in the node's own file of rank 0. */
static void read_event(struct cluster *cluster, const char *job, enum event_kind kind,
                       struct wire_event *out)
{
    char path[1400];
    (void)snprintf(path, sizeof(path), "%s/attempts/%s/1/rank-0/events.jsonl",
                   cluster_node_dir(cluster, 0), job);
    CLEANUP(file_cleanup) FILE *file = fopen(path, "re");
    assert_non_null(file);
    char line[EVENT_LINE_BYTES_MAX];
    struct error err = {0};
    while (fgets(line, sizeof(line), file) != NULL) {
        assert_int_equal(wire_event_decode(line, strlen(line), out, &err), STATUS_OK);
        if (out->kind == kind)
            return;
    }
    fail_msg("%s has no such event", path);
}

static void starts(void)
{
    struct cluster *cluster =
        cluster_start(&(struct cluster_options){.nodes = 1, .profile = "default"});
    struct bench_samples instruction = {0};
    struct bench_samples step = {0};
    const int n = bench_is_short() ? 5 : 100;
    bench_load_start();
    for (int i = 0; i < n + 1; i++) {
        CLEANUP(json_cleanup) json_t *spec = cluster_spec("start");
        cluster_spec_set(spec, "training.steps", json_integer(100000000));
        char job[ID_BYTES_MAX];
        const int64_t boot_ms = clock_boot_ms();
        cluster_submit(cluster, spec, job);
        json_decref(cluster_wait(cluster, job, "the first step", has_first_step, NULL, WAIT_MS));
        struct wire_event started;
        struct wire_event progress;
        read_event(cluster, job, EVENT_STARTED, &started);
        read_event(cluster, job, EVENT_PROGRESS, &progress);
        if (i > 0) { /* the first one decodes the data */
            bench_add(&instruction, (double)(started.process_boot_ms - boot_ms));
            bench_add(&step, (double)(progress.boot_ms - boot_ms));
        }
        cluster_post(cluster, "/v1/jobs/%s/cancel", job);
        json_decref(cluster_wait_state(cluster, job, "cancelled", WAIT_MS));
    }
    bench_report("start_first_instruction", "ms", &instruction, 0);
    bench_report("start_first_step", "ms", &step, 0);
    bench_clear(&instruction);
    bench_clear(&step);
    cluster_stop(cluster);
}

/* ---- telemetry */

#define LINES_A_BATCH 100
#define VALUES_A_LINE 5

static void node_credential(struct cluster *cluster, char out[256])
{
    char path[1200];
    (void)snprintf(path, sizeof(path), "%s/credential.json", cluster_node_dir(cluster, 0));
    CLEANUP(json_cleanup) json_t *credential = json_load_file(path, 0, NULL);
    const char *token = json_string_value(json_object_get(credential, "node_token"));
    assert_non_null(token);
    (void)snprintf(out, 256, "%s", token);
}

/* The real trainer speaks for rank 0; the batches come from an imagined rank of the same attempt. */
static void append_batch(struct buf *out, const char *job, int64_t first_seq)
{
    buf_reset(out);
    for (int64_t seq = first_seq; seq < first_seq + LINES_A_BATCH; seq++) {
        buf_printf(out,
                   "{\"job\":\"%s\",\"attempt\":1,\"rank\":1,\"seq\":%lld,\"event\":\"metric\","
                   "\"step\":%lld,\"epoch\":0,\"values\":{\"loss\":%.6f,\"accuracy\":0.5,"
                   "\"samples_per_second\":81234.5,\"gradient_norm\":1.25,\"lr\":0.001}}\n",
                   job, (long long)seq, (long long)seq, 1.0 / (double)seq);
    }
}

static void ingest(void)
{
    struct cluster *cluster =
        cluster_start(&(struct cluster_options){.nodes = 1, .slots_per_node = 2});
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("ingest");
    cluster_spec_set(spec, "resources.ranks", json_integer(2));
    cluster_spec_set(spec, "training.steps", json_integer(100000000));
    char job[ID_BYTES_MAX];
    cluster_submit(cluster, spec, job);
    json_decref(cluster_wait(cluster, job, "the first step", has_first_step, NULL, WAIT_MS));
    /* The trainers rest, so that the machine measures the controller. */
    cluster_node_signal(cluster, 0, SIGSTOP);

    char token[256];
    node_credential(cluster, token);
    CLEANUP(http_client_cleanup) struct http_client *client = NULL;
    struct error err = {0};
    const struct http_client_options options = {
        .base_url = cluster_agents_url(cluster), .token = token, .connect_timeout_ms = 5000};
    assert_int_equal(http_client_new(&options, &client, &err), STATUS_OK);
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, 4 * MIB);
    const int64_t limit_ms = bench_is_short() ? 400 : 4000;
    bench_load_start();
    const int64_t start_ns = clock_mono_ns();
    int64_t seq = 1000000;
    while (clock_mono_ns() - start_ns < limit_ms * 1000000) {
        append_batch(&body, job, seq);
        struct http_exchange exchange = {.method = "POST",
                                         .path = "/v1/agent/telemetry",
                                         .content_type = "application/x-ndjson",
                                         .body = body.data,
                                         .body_bytes = body.size,
                                         .timeout_ms = 10000};
        assert_int_equal(http_client_send(client, &exchange, &err), STATUS_OK);
        assert_int_equal(exchange.out_code, 200);
        seq += LINES_A_BATCH;
    }
    const double seconds = (double)(clock_mono_ns() - start_ns) / 1e9;
    bench_report_value("ingest_metric_points", "points/s",
                       (double)((seq - 1000000) * VALUES_A_LINE) / seconds, 0);
    cluster_node_signal(cluster, 0, SIGCONT);
    cluster_stop(cluster);
}

/* ---- memory */

/* Kilobytes of a field of /proc/PID/smaps_rollup. */
static double memory_kib(pid_t pid, const char *field)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    CLEANUP(file_cleanup) FILE *file = fopen(path, "re");
    assert_non_null(file);
    char line[256];
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, field, strlen(field)) == 0)
            return strtod(line + strlen(field), NULL);
    }
    fail_msg("%s has no %s", path, field);
    return 0;
}

static void memory(void)
{
    struct cluster *cluster =
        cluster_start(&(struct cluster_options){.nodes = 1, .profile = "default"});
    bench_load_start();
    bench_report_value("memory_service_idle_pss", "MiB",
                       memory_kib(cluster_service_pid(cluster), "Pss:") / 1024, 0);
    bench_report_value("memory_agent_idle_pss", "MiB",
                       memory_kib(cluster_agent_pid(cluster, 0), "Pss:") / 1024, 0);
    CLEANUP(json_cleanup) json_t *spec = cluster_spec("memory");
    cluster_spec_set(spec, "training.steps", json_integer(100000000));
    char job[ID_BYTES_MAX];
    cluster_submit(cluster, spec, job);
    json_decref(cluster_wait(cluster, job, "the first step", has_first_step, NULL, WAIT_MS));
    pid_t runner = 0;
    assert_int_equal(cluster_node_pids(cluster, 0, "reprise-runner", &runner, 1), 1);
    bench_report_value("memory_runner_rss", "MiB", memory_kib(runner, "Rss:") / 1024, 0);
    bench_report_value("memory_agent_busy_pss", "MiB",
                       memory_kib(cluster_agent_pid(cluster, 0), "Pss:") / 1024, 0);
    cluster_stop(cluster);
}

static void service(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        void (*run)(void);
    } parts[] = {{"submit", writes},
                 {"get", reads},
                 {"start", starts},
                 {"ingest", ingest},
                 {"memory", memory}};
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        if (is_wanted(parts[i].name))
            parts[i].run();
    }
}

int main(int argc, char **argv)
{
    only = argc > 1 ? argv[1] : NULL;
    /* The harness fails through cmocka, so the bench runs as its one test. */
    const struct CMUnitTest tests[] = {cmocka_unit_test(service)};
    return cmocka_run_group_tests_name("service", tests, NULL, NULL);
}
