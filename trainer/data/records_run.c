/*
 * records_run.c - a pass by several threads. Each takes the next chunk (one at a time), reads its records
 * by itself, and waits until the chunks before it are merged. There is no queue: what is in memory is one
 * chunk a thread.
 */
#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "trainer/data/records_private.h"

struct run {
    const struct records *records;
    const struct records_pass *pass;
    void *context;
    const struct records_policy *policy;
    pthread_mutex_t source_lock;
    struct chunker *chunker; /* under source_lock, with the next two */
    int64_t taken;           /* chunks, counting one that could not be read */
    bool source_ended;
    pthread_mutex_t merge_lock;
    pthread_cond_t merged_more;
    int64_t merged; /* under merge_lock, with all below */
    bool stopped;
    enum status status;
    struct error error;
    struct records_skipped skipped;
};

/* One thread's own. */
struct worker {
    struct run *run;
    struct chunk chunk;
    struct records_reader reader;
    void *part;
    /* Of the chunk in hand. */
    int64_t number;
    enum status status;
    struct error error;
    int64_t malformed;
    size_t kept; /* texts of malformed records */
    char malformed_texts[RECORDS_WARNINGS_MAX][ERROR_TEXT_BYTES_MAX];
    pthread_t thread;
};

void records_begin_nothing(void *context, void *part, int64_t chunk)
{
    (void)context;
    (void)part;
    (void)chunk;
}

void records_end_nothing(void *part)
{
    (void)part;
}

/* False when there is none. A chunk that cannot be read is one whose status says so. */
static bool take_chunk(struct worker *worker)
{
    struct run *run = worker->run;
    worker->error = (struct error){.status = STATUS_OK};
    worker->status = STATUS_OK;
    worker->chunk.size = 0;
    (void)pthread_mutex_lock(&run->source_lock);
    if (!run->source_ended) {
        worker->status = chunker_next(run->chunker, &worker->chunk, &worker->error);
        run->source_ended = worker->status != STATUS_OK || worker->chunk.size == 0;
        worker->number = run->taken;
    }
    const bool has = worker->status != STATUS_OK || worker->chunk.size > 0;
    run->taken += has;
    (void)pthread_mutex_unlock(&run->source_lock);
    return has;
}

/* A malformed record: true if the pass goes on. */
static bool pass_over(struct worker *worker)
{
    if (worker->error.status != STATUS_INVALID || !worker->run->policy->skip)
        return false;
    if (worker->kept < RECORDS_WARNINGS_MAX)
        memcpy(worker->malformed_texts[worker->kept++], worker->error.text, ERROR_TEXT_BYTES_MAX);
    worker->malformed++;
    error_clear(&worker->error);
    return worker->malformed <= worker->run->policy->errors_max;
}

static enum status read_chunk(struct worker *worker)
{
    const struct records_pass *pass = worker->run->pass;
    void *const context = worker->run->context;
    worker->malformed = 0;
    worker->kept = 0;
    pass->begin(context, worker->part, worker->number);
    records_reader_begin(&worker->reader, worker->run->records, &worker->chunk);
    for (;;) {
        const struct record *record = NULL;
        enum status status = records_reader_next(&worker->reader, &record, &worker->error);
        if (status == STATUS_OK && record == NULL)
            return STATUS_OK;
        if (status == STATUS_OK)
            status = pass->record(context, worker->part, record, &worker->error);
        if (status != STATUS_OK && !pass_over(worker))
            return worker->error.status != STATUS_OK ? status : STATUS_OK; /* merging says it */
    }
}

static enum status merge_skipped(struct run *run, const struct worker *worker, struct error *err)
{
    struct records_skipped *skipped = &run->skipped;
    for (size_t i = 0; i < worker->kept && skipped->count + (int64_t)i < RECORDS_WARNINGS_MAX; i++)
        memcpy(skipped->first[skipped->count + (int64_t)i], worker->malformed_texts[i],
               ERROR_TEXT_BYTES_MAX);
    skipped->count += worker->malformed;
    if (skipped->count > run->policy->errors_max)
        return error_set(
            err, STATUS_INVALID,
            "%s: more malformed records than max_errors %lld allows; the first: %.200s",
            run->records->path, (long long)run->policy->errors_max, skipped->first[0]);
    return STATUS_OK;
}

/* In its turn; false when the pass has ended early. */
static bool merge_chunk(struct worker *worker)
{
    struct run *run = worker->run;
    (void)pthread_mutex_lock(&run->merge_lock);
    while (run->merged != worker->number && !run->stopped)
        (void)pthread_cond_wait(&run->merged_more, &run->merge_lock);
    if (!run->stopped) {
        enum status status = worker->status;
        if (status == STATUS_OK)
            status = merge_skipped(run, worker, &worker->error);
        if (status == STATUS_OK)
            status = run->pass->merge(run->context, worker->part, worker->number, &worker->error);
        if (status != STATUS_OK) {
            run->stopped = true;
            run->status = status;
            run->error = worker->error;
        }
        run->merged++;
        (void)pthread_cond_broadcast(&run->merged_more);
    }
    const bool goes_on = !run->stopped;
    (void)pthread_mutex_unlock(&run->merge_lock);
    return goes_on;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    while (take_chunk(worker)) {
        if (worker->status == STATUS_OK)
            worker->status = read_chunk(worker);
        else
            worker->malformed = 0;
        if (!merge_chunk(worker))
            break;
    }
    return NULL;
}

/* ------------------------------------------------------------------ threads */

static int processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1;
    const int count = CPU_COUNT(&set);
    return count < RECORDS_THREADS_MAX ? count : RECORDS_THREADS_MAX;
}

struct workers {
    const struct records_pass *pass;
    int count;
    struct worker *all[RECORDS_THREADS_MAX];
};

static void workers_clear(struct workers *workers)
{
    for (int i = 0; i < workers->count; i++) {
        struct worker *worker = workers->all[i];
        if (worker->part != NULL)
            workers->pass->end(worker->part);
        free(worker->part);
        chunk_clear(&worker->chunk);
        free(worker);
    }
}

static enum status workers_add(struct workers *workers, struct run *run, struct error *err)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    if (worker == NULL)
        return error_set(err, STATUS_NO_MEMORY, "read %s", run->records->path);
    workers->all[workers->count++] = worker;
    worker->run = run;
    worker->part = calloc(1, run->pass->part_bytes);
    if (worker->part == NULL)
        return error_set(err, STATUS_NO_MEMORY, "read %s", run->records->path);
    return STATUS_OK;
}

/* The first worker is this thread. One that cannot be started is not missed: the others do its work. */
static void run_workers(struct workers *workers)
{
    int started = 1;
    assert(workers->count >= 1);
    for (int i = 1; i < workers->count; i++) {
        if (pthread_create(&workers->all[i]->thread, NULL, work, workers->all[i]) != 0)
            break;
        started++;
    }
    assert(workers->all[0] != NULL);
    (void)work(workers->all[0]);
    for (int i = 1; i < started; i++)
        (void)pthread_join(workers->all[i]->thread, NULL);
}

static void run_clear(struct run *run)
{
    chunker_close(run->chunker);
    (void)pthread_mutex_destroy(&run->source_lock);
    (void)pthread_mutex_destroy(&run->merge_lock);
    (void)pthread_cond_destroy(&run->merged_more);
}

static enum status skip_header(struct run *run, struct error *err)
{
    CLEANUP(chunk_clear) struct chunk header = {.bytes = NULL};
    const struct records_layout *layout = &run->records->layout;
    if (!layout->header || layout->format == DATA_JSONL)
        return STATUS_OK;
    return chunker_first(run->chunker, &header, err);
}

/*
 * What was passed over goes into the fit, and so into the model: it names the file, not the folder that
 * this node has the data in, or the same job would give other bytes on another node.
 */
static void forget_folder(struct run *run)
{
    const char *path = run->records->path;
    const char *name = strrchr(path, '/');
    const size_t folder = name == NULL ? 0 : (size_t)(name + 1 - path);
    for (int64_t i = 0; i < run->skipped.count && i < RECORDS_WARNINGS_MAX; i++) {
        char *text = run->skipped.first[i];
        if (strncmp(text, path, folder) == 0)
            memmove(text, text + folder, strlen(text + folder) + 1);
    }
}

enum status records_run(const struct records *records, const struct records_pass *pass,
                        void *context, const struct records_policy *policy, int threads,
                        struct records_skipped *out_skipped, struct error *err)
{
    assert(pass->part_bytes > 0);
    CLEANUP(run_clear)
    struct run run = {.records = records,
                      .pass = pass,
                      .context = context,
                      .policy = policy,
                      .source_lock = PTHREAD_MUTEX_INITIALIZER,
                      .merge_lock = PTHREAD_MUTEX_INITIALIZER,
                      .merged_more = PTHREAD_COND_INITIALIZER,
                      .error = {.status = STATUS_OK}};
    CLEANUP(workers_clear) struct workers workers = {.pass = pass};
    TRY(chunker_open(records->path, &records->dialect, &run.chunker, err));
    TRY(skip_header(&run, err));
    const int wanted = threads > 0 ? threads : processors();
    const int64_t chunks = source_bytes_max(chunker_source(run.chunker)) / CHUNK_BYTES + 1;
    for (int i = 0; i < wanted && i < RECORDS_THREADS_MAX && i < chunks; i++)
        TRY(workers_add(&workers, &run, err));
    run_workers(&workers);
    if (run.stopped)
        return error_set(err, run.status, "%s", run.error.text);
    forget_folder(&run);
    *out_skipped = run.skipped;
    return STATUS_OK;
}
