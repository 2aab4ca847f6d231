/*
 * bench_store.c - what the database alone can do: durable submits by batch, jobs read by id, opening in
 * memory (the simulator does it once a seed), metric points stored.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "service/store/store.h"
#include "service/store/telemetry.h"
#include "tests/bench/bench.h"
#include "tests/bench/probe_submit_sql.h"

#define ROUNDS        5
#define SPEC_BYTES    1200
#define POINTS_LINES  100
#define POINTS_VALUES 5

static void check(enum status status, const struct error *err)
{
    if (status != STATUS_OK) {
        (void)fprintf(stderr, "bench_store: %s\n", err->text);
        exit(1);
    }
}

static void make_folder(char out[64], struct error *err)
{
    const char *parent = bench_build_dir();
    (void)snprintf(out, 64, "%s/bench-store-XXXXXX", parent);
    check(fs_make_dirs(parent, 0755, err), err);
    if (mkdtemp(out) == NULL)
        check(error_set(err, STATUS_INTERNAL, "mkdtemp %s", out), err);
}

static void submits(size_t batch, const char *name, struct error *err)
{
    char spec[SPEC_BYTES + 1];
    memset(spec, 'x', SPEC_BYTES);
    spec[SPEC_BYTES] = '\0';
    struct bench_samples samples = {.count = 0};
    for (int round = 0; round < ROUNDS; round++) {
        char folder[64];
        double rows_per_second = 0;
        make_folder(folder, err);
        const struct probe_submit_sql probe = {.folder = folder,
                                               .spec = spec,
                                               .labels = "{\"owner\":\"risk-models\"}",
                                               .batch = batch,
                                               .duration_ms = bench_is_short() ? 300 : 2000};
        check(probe_submit_sql(&probe, &rows_per_second, err), err);
        bench_add(&samples, rows_per_second);
        check(fs_remove_tree(folder, err), err);
    }
    bench_report(name, "jobs/s", &samples, 0);
    bench_clear(&samples);
}

static void job_reads(struct error *err)
{
    enum { JOBS = 20000 };
    char folder[64];
    make_folder(folder, err);
    struct store *store = NULL;
    struct reader *reader = NULL;
    check(store_open(folder, &store, err), err);
    check(store_begin(store, err), err);
    struct effect effect = {.kind = EFFECT_JOB_INSERT,
                            .job = {.project = "default", .request = {.ranks = 1}},
                            .spec = "{\"name\":\"digits\"}",
                            .labels = "{}"};
    const struct effects effects = {.items = &effect, .count = 1};
    for (int i = 0; i < JOBS; i++) {
        (void)snprintf(effect.job.id, sizeof effect.job.id, "job_%022d", i);
        check(store_apply(store, &effects, err), err);
    }
    check(store_commit(store, err), err);
    check(reader_open(folder, &reader, err), err);
    struct bench_samples samples = {.count = 0};
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t start_ns = clock_mono_ns();
        for (int i = 0; i < JOBS; i++) {
            struct job_view view;
            char id[ID_BYTES_MAX];
            (void)snprintf(id, sizeof id, "job_%022d", (i * 7919) % JOBS);
            check(reader_job(reader, id, &view, err), err);
        }
        bench_add(&samples, JOBS * 1e9 / (double)(clock_mono_ns() - start_ns));
    }
    bench_report("store_get_job", "gets/s", &samples, 0);
    bench_clear(&samples);
    reader_close(reader);
    store_close(store);
    check(fs_remove_tree(folder, err), err);
}

static void opens(struct error *err)
{
    struct bench_samples samples = {.count = 0};
    for (int round = 0; round < 40; round++) {
        struct store *store = NULL;
        const int64_t start_ns = clock_mono_ns();
        check(store_open(STORE_MEMORY, &store, err), err);
        bench_add(&samples, (double)(clock_mono_ns() - start_ns) / 1000);
        store_close(store);
    }
    bench_report("store_open_memory", "us", &samples, 0);
    bench_clear(&samples);
}

static void append_batch(struct telemetry *telemetry, int64_t first_step, struct error *err)
{
    static const char *const names[POINTS_VALUES] = {"loss", "samples_per_second", "lr", "grad",
                                                     "step_ms"};
    struct telemetry_line lines[POINTS_LINES];
    struct telemetry_value values[POINTS_LINES][POINTS_VALUES];
    for (int i = 0; i < POINTS_LINES; i++) {
        for (int k = 0; k < POINTS_VALUES; k++)
            values[i][k] = (struct telemetry_value){names[k], (double)(first_step + i) / (k + 1)};
        lines[i] = (struct telemetry_line){.kind = TELEMETRY_METRIC,
                                           .job = "job_1",
                                           .attempt = 1,
                                           .seq = first_step + i + 1,
                                           .step = first_step + i,
                                           .value_count = POINTS_VALUES,
                                           .values = values[i]};
    }
    check(telemetry_append(telemetry, lines, POINTS_LINES, 1, err), err);
}

static void points(struct error *err)
{
    char folder[64];
    make_folder(folder, err);
    struct telemetry *telemetry = NULL;
    check(telemetry_open(folder, &telemetry, err), err);
    struct bench_samples samples = {.count = 0};
    const int batches = bench_is_short() ? 100 : 1000;
    int64_t step = 0;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t start_ns = clock_mono_ns();
        for (int i = 0; i < batches; i++, step += POINTS_LINES)
            append_batch(telemetry, step, err);
        bench_add(&samples, (double)batches * POINTS_LINES * POINTS_VALUES * 1e9 /
                                (double)(clock_mono_ns() - start_ns));
    }
    bench_report("telemetry_append", "points/s", &samples, 0);
    bench_clear(&samples);
    telemetry_close(telemetry);
    check(fs_remove_tree(folder, err), err);
}

int main(void)
{
    struct error err = {0};
    bench_load_start();
    submits(1, "store_submit_sql_1", &err);
    submits(64, "store_submit_sql_64", &err);
    submits(1000, "store_submit_sql_1000", &err);
    job_reads(&err);
    opens(&err);
    points(&err);
    return 0;
}
