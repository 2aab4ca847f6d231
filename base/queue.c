#include "base/queue.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define MS_PER_S  INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)

struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* on the monotonic clock */
    bool closed;
    bool waiting; /* the consumer sleeps: a push has to wake it */
    size_t capacity;
    size_t head; /* index of the oldest item */
    size_t count;
    void *items[]; /* ring */
};

enum status queue_new(size_t capacity, struct queue **out, struct error *err)
{
    assert(capacity > 0);
    struct queue *queue = calloc(1, sizeof(*queue) + capacity * sizeof(queue->items[0]));
    if (queue == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a queue of %zu items", capacity);
    queue->capacity = capacity;
    pthread_mutex_init(&queue->mutex, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    *out = queue;
    return STATUS_OK;
}

void queue_free(struct queue *queue)
{
    if (queue == NULL)
        return;
    assert(queue->count == 0);
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->mutex);
    free(queue);
}

bool queue_push(struct queue *queue, void *item)
{
    pthread_mutex_lock(&queue->mutex);
    const bool fits = !queue->closed && queue->count < queue->capacity;
    if (fits) {
        queue->items[(queue->head + queue->count) % queue->capacity] = item;
        queue->count++;
        if (queue->waiting)
            pthread_cond_signal(&queue->changed);
    }
    pthread_mutex_unlock(&queue->mutex);
    return fits;
}

size_t queue_take(struct queue *queue, void **out, size_t max, int64_t deadline_mono_ms)
{
    const struct timespec deadline = {
        .tv_sec = (time_t)(deadline_mono_ms / MS_PER_S),
        .tv_nsec = (long)(deadline_mono_ms % MS_PER_S * NS_PER_MS),
    };
    pthread_mutex_lock(&queue->mutex);
    queue->waiting = true;
    int rc = 0;
    while (queue->count == 0 && !queue->closed && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&queue->changed, &queue->mutex, &deadline);
    queue->waiting = false;
    const size_t taken = queue->count < max ? queue->count : max;
    for (size_t i = 0; i < taken; i++) {
        out[i] = queue->items[queue->head];
        queue->head = (queue->head + 1) % queue->capacity;
    }
    queue->count -= taken;
    pthread_mutex_unlock(&queue->mutex);
    return taken;
}

void queue_close(struct queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    queue->closed = true;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->mutex);
}

bool queue_is_closed(struct queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    const bool closed = queue->closed;
    pthread_mutex_unlock(&queue->mutex);
    return closed;
}

size_t queue_length(struct queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    const size_t count = queue->count;
    pthread_mutex_unlock(&queue->mutex);
    return count;
}
