#include "trainer/sync/overlap.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct overlap {
    overlap_sum_fn *sum;
    void *context;
    size_t count;
    size_t buckets;

    pthread_t thread;
    bool thread_runs;
    pthread_mutex_t mutex; /* guards the rest */
    pthread_cond_t changed;
    size_t ready; /* buckets that may be summed */
    size_t done;
    bool busy; /* the thread sums bucket `done` */
    bool stopping;
    struct error failure; /* the thread's first */
};

/* Bucket 0 is the last of the vector. */
static enum status sum_bucket(const struct overlap *overlap, size_t bucket, struct error *err)
{
    const size_t end = overlap->count - bucket * SYNC_BUCKET_FLOATS;
    const size_t first = end > SYNC_BUCKET_FLOATS ? end - SYNC_BUCKET_FLOATS : 0;
    return overlap->sum(overlap->context, first, end - first, err);
}

static void *thread_main(void *argument)
{
    struct overlap *overlap = argument;
    (void)pthread_mutex_lock(&overlap->mutex);
    while (!overlap->stopping) {
        if (overlap->done == overlap->ready || overlap->failure.status != STATUS_OK) {
            (void)pthread_cond_wait(&overlap->changed, &overlap->mutex);
            continue;
        }
        overlap->busy = true;
        (void)pthread_mutex_unlock(&overlap->mutex); /* `done` stands still while we are busy */
        struct error failure = {.status = STATUS_OK};
        const enum status status = sum_bucket(overlap, overlap->done, &failure);
        (void)pthread_mutex_lock(&overlap->mutex);
        overlap->busy = false;
        if (status == STATUS_OK)
            overlap->done++;
        else
            overlap->failure = failure;
        (void)pthread_cond_broadcast(&overlap->changed);
    }
    (void)pthread_mutex_unlock(&overlap->mutex);
    return NULL;
}

enum status overlap_open(overlap_sum_fn *sum, void *context, size_t count, struct overlap **out,
                         struct error *err)
{
    struct overlap *overlap = calloc(1, sizeof(*overlap));
    if (overlap == NULL)
        return error_set(err, STATUS_NO_MEMORY, "sync: out of memory");
    overlap->sum = sum;
    overlap->context = context;
    overlap->count = count;
    overlap->buckets = (count + SYNC_BUCKET_FLOATS - 1) / SYNC_BUCKET_FLOATS;
    (void)pthread_mutex_init(&overlap->mutex, NULL); /* neither fails with default attributes */
    (void)pthread_cond_init(&overlap->changed, NULL);
    const int failure = pthread_create(&overlap->thread, NULL, thread_main, overlap);
    if (failure != 0) {
        overlap_close(overlap);
        return error_set_errno(err, STATUS_NO_MEMORY, failure, "start the thread that sums");
    }
    overlap->thread_runs = true;
    (void)pthread_setname_np(overlap->thread, "sync");
    *out = overlap;
    return STATUS_OK;
}

void overlap_close(struct overlap *overlap)
{
    if (overlap == NULL)
        return;
    if (overlap->thread_runs) {
        (void)pthread_mutex_lock(&overlap->mutex);
        overlap->stopping = true;
        (void)pthread_cond_broadcast(&overlap->changed);
        (void)pthread_mutex_unlock(&overlap->mutex);
        (void)pthread_join(overlap->thread, NULL);
    }
    (void)pthread_cond_destroy(&overlap->changed);
    (void)pthread_mutex_destroy(&overlap->mutex);
    free(overlap);
}

bool overlap_is_busy(struct overlap *overlap)
{
    (void)pthread_mutex_lock(&overlap->mutex);
    const bool is_busy = overlap->busy || overlap->done < overlap->ready;
    (void)pthread_mutex_unlock(&overlap->mutex);
    return is_busy;
}

void overlap_ready(struct overlap *overlap, size_t offset)
{
    assert(offset <= overlap->count);
    /* The first bucket of the vector may be short: it is ready when all is. */
    const size_t ready =
        offset == 0 ? overlap->buckets : (overlap->count - offset) / SYNC_BUCKET_FLOATS;
    (void)pthread_mutex_lock(&overlap->mutex);
    if (ready > overlap->ready) {
        overlap->ready = ready;
        (void)pthread_cond_broadcast(&overlap->changed);
    }
    (void)pthread_mutex_unlock(&overlap->mutex);
}

enum status overlap_finish(struct overlap *overlap, struct error *err)
{
    (void)pthread_mutex_lock(&overlap->mutex);
    overlap->ready = overlap->done + (overlap->busy ? 1 : 0); /* the thread starts no other one */
    while (overlap->busy)
        (void)pthread_cond_wait(&overlap->changed, &overlap->mutex);
    const struct error failure = overlap->failure;
    const size_t done = overlap->done;
    overlap->ready = overlap->done = 0;
    (void)pthread_mutex_unlock(&overlap->mutex);
    if (failure.status != STATUS_OK)
        return error_set(err, failure.status, "%s", failure.text);
    for (size_t bucket = done; bucket < overlap->buckets; bucket++)
        TRY(sum_bucket(overlap, bucket, err));
    return STATUS_OK;
}
