#include "service/worker.h"

#include <assert.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/queue.h"

#define STACK_BYTES (512 * KIB)

struct worker {
    struct worker_options options;
    struct queue *queue;
    pthread_t thread;
    bool runs;
};

static void *worker_thread(void *argument)
{
    struct worker *worker = argument;
    void *items[WORKER_BATCH_MAX];
    pthread_setname_np(pthread_self(), worker->options.name);
    for (;;) {
        const size_t count = queue_take(worker->queue, items, worker->options.batch_max, INT64_MAX);
        if (count > 0)
            worker->options.fn(worker->options.context, items, count);
        else if (queue_is_closed(worker->queue))
            return NULL;
    }
}

enum status worker_new(const struct worker_options *options, struct worker **out, struct error *err)
{
    assert(options->batch_max > 0 && options->batch_max <= WORKER_BATCH_MAX);
    struct worker *worker = calloc(1, sizeof(*worker));
    if (worker == NULL)
        return error_set(err, STATUS_NO_MEMORY, "worker %s: out of memory", options->name);
    worker->options = *options;
    enum status status = queue_new(options->queue_max, &worker->queue, err);
    if (status == STATUS_OK) {
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, STACK_BYTES);
        const int failed = pthread_create(&worker->thread, &attributes, worker_thread, worker);
        pthread_attr_destroy(&attributes);
        worker->runs = failed == 0;
        if (failed != 0)
            status = error_set_errno(err, STATUS_INTERNAL, failed, "thread %s", options->name);
    }
    if (status != STATUS_OK) {
        worker_free(worker);
        return status;
    }
    *out = worker;
    return STATUS_OK;
}

bool worker_push(struct worker *worker, void *item)
{
    return queue_push(worker->queue, item);
}

void worker_stop(struct worker *worker)
{
    if (worker == NULL)
        return;
    queue_close(worker->queue);
    if (worker->runs)
        pthread_join(worker->thread, NULL);
    worker->runs = false;
}

void worker_free(struct worker *worker)
{
    if (worker == NULL)
        return;
    assert(!worker->runs);
    queue_free(worker->queue);
    free(worker);
}
