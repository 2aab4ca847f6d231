#include "tests/bench/probe_submit_sql.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "service/store/store.h"

/* A job as the brain inserts it, with an id and a key of its own. */
static struct job_row next_job(int64_t now_wall_ms)
{
    struct job_row job = {
        .name = "digits-nightly",
        .project = "default",
        .dataset = "mnist",
        .state = JOB_QUEUED,
        .request = {.ranks = 2, .priority = 50, .max_restarts = 5, .fenced = true},
        .bit_exact = true,
        .crash_step = -1,
        .created_at_ms = now_wall_ms,
        .submitted_by = "tok_01jdxq7m5n0000000000"};
    id_format(job.id, "job", now_wall_ms, random_u64());
    (void)snprintf(job.idempotency_key, sizeof job.idempotency_key, "%016llx%016llx",
                   (unsigned long long)random_u64(), (unsigned long long)random_u64());
    memset(job.body_sha256, 'a', sizeof job.body_sha256 - 1);
    memset(job.spec_sha256, 'b', sizeof job.spec_sha256 - 1);
    return job;
}

static enum status submit(struct store *store, const struct probe_submit_sql *probe,
                          int64_t revision, struct error *err)
{
    char existing[ID_BYTES_MAX];
    char sha256[BRAIN_SHA_BYTES];
    struct effect items[2] = {{.kind = EFFECT_JOB_INSERT, .job = next_job(clock_wall_ms())},
                              {.kind = EFFECT_EVENT}};
    items[0].job.revision = revision;
    items[0].spec = probe->spec;
    items[0].labels = probe->labels;
    items[1].event = (struct event_row){.at_ms = items[0].job.created_at_ms,
                                        .actor = "tok_01jdxq7m5n0000000000",
                                        .kind = "state",
                                        .to = "queued"};
    memcpy(items[1].event.job, items[0].job.id, ID_BYTES_MAX);
    const enum status status =
        store_find_key(store, "default", items[0].job.idempotency_key, 0, existing, sha256, NULL);
    if (status != STATUS_NOT_FOUND)
        return error_set(err, STATUS_INTERNAL, "a random key is taken");
    const struct effects effects = {.items = items, .count = COUNT_OF(items)};
    return store_apply(store, &effects, err);
}

enum status probe_submit_sql(const struct probe_submit_sql *probe, double *out_rows_per_second,
                             struct error *err)
{
    CLEANUP(store_cleanup) struct store *store = NULL;
    TRY(store_open(probe->folder, &store, err));
    const int64_t start_ns = clock_mono_ns();
    const int64_t end_ns = start_ns + probe->duration_ms * 1000000;
    int64_t rows = 0;
    int64_t now_ns = start_ns;
    for (; now_ns < end_ns; now_ns = clock_mono_ns()) {
        TRY(store_begin(store, err));
        for (size_t i = 0; i < probe->batch; i++)
            TRY(submit(store, probe, ++rows, err));
        TRY(store_commit(store, err));
        TRY(store_maintain(store, false, err));
    }
    *out_rows_per_second = (double)rows * 1e9 / (double)(now_ns - start_ns);
    return STATUS_OK;
}
