#include "trainer/train_feed.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/data/data.h"

struct feeder {
    struct feed_plan plan;
    int steps;               /* of the ring */
    struct feed_step *ring;  /* (steps) */
    struct feed_call *calls; /* (steps, calls) */
    uint8_t *blocks;         /* (steps, calls, block_bytes) */
    int32_t *records;        /* of the call being filled */
    struct sampler sampler;
    int64_t sampler_epoch; /* that the sampler is of; -1: none yet */

    pthread_t thread;
    bool has_thread;
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t made;   /* `next` moved, or the thread failed */
    pthread_cond_t taken;  /* `oldest` moved, or something is asked of the thread */
    int64_t next;          /* the step that is made next */
    int64_t oldest;        /* the step that is being used; older blocks are free */
    bool is_filling;
    bool must_stop;
    bool is_waiting; /* the thread waits for room: wake it in bulk, not at each step */
    struct error failure;
};

int64_t feed_batch_rows(const struct feed_plan *plan, int64_t step)
{
    const int64_t first = step % plan->steps_per_epoch * plan->batch_size;
    const int64_t left = plan->records - first;
    return left < plan->batch_size ? left : plan->batch_size;
}

/* The records of rows first..first+count-1 of the step's batch: a pure function of (seed, epoch). */
static void choose_records(struct feeder *feeder, int64_t step, int64_t first, int64_t count)
{
    const struct feed_plan *plan = &feeder->plan;
    const int64_t epoch = step / plan->steps_per_epoch;
    if (feeder->sampler_epoch != epoch) {
        sampler_init(&feeder->sampler, plan->seed, (uint64_t)epoch, (uint64_t)plan->records);
        feeder->sampler_epoch = epoch;
    }
    const int64_t begin = step % plan->steps_per_epoch * plan->batch_size + first;
    sampler_range(&feeder->sampler, (uint64_t)begin, count, feeder->records);
}

static enum status fill_call(struct feeder *feeder, const struct feed_step *step, int c,
                             struct error *err)
{
    const struct feed_plan *plan = &feeder->plan;
    struct feed_call *call = &step->calls[c];
    int64_t first = 0, count = 0;
    if (c < plan->calls)
        sampler_share(step->rows, plan->first_shard + c, plan->shards, &first, &count);
    call->shape = (struct model_shape){.rows = 0};
    call->bytes = FEED_BLOCK_BYTES;
    memset(call->block, 0, FEED_FRONT_BYTES);
    const struct model_feed_head head = {
        .loss_scale = 1.0F / (float)step->rows,
        .step = {(uint32_t)step->step, (uint32_t)((uint64_t)step->step >> 32)},
        .first_row = (uint32_t)first};
    memcpy(call->block + FEED_FRONT_BYTES, &head, sizeof(head));
    if (count == 0) /* a small last batch may have fewer rows than there are shards */
        return STATUS_OK;
    choose_records(feeder, step->step, first, count);
    const struct model_rows rows = {.set = plan->set,
                                    .records = feeder->records,
                                    .count = (int)count,
                                    .seed = plan->seed,
                                    .epoch = step->step / plan->steps_per_epoch,
                                    .step = step->step,
                                    .first_row = first};
    size_t bytes = 0;
    TRY(plan->model->ops->fill(plan->model, &rows, true, call->block + FEED_BLOCK_BYTES, &bytes,
                               &call->shape, err));
    assert(FEED_BLOCK_BYTES + bytes <= plan->block_bytes);
    call->bytes = FEED_BLOCK_BYTES + bytes;
    return STATUS_OK;
}

static enum status fill_step(struct feeder *feeder, struct feed_step *slot, int64_t step,
                             struct error *err)
{
    slot->step = step;
    slot->rows = feed_batch_rows(&feeder->plan, step);
    const int calls = feeder->plan.calls > 0 ? feeder->plan.calls : 1;
    for (int c = 0; c < calls; c++)
        TRY(fill_call(feeder, slot, c, err));
    return STATUS_OK;
}

static struct feed_step *slot_of(const struct feeder *feeder, int64_t step)
{
    return &feeder->ring[step % feeder->steps];
}

static bool has_work(const struct feeder *feeder)
{
    return feeder->failure.status == STATUS_OK && feeder->next < feeder->plan.total_steps &&
           feeder->next < feeder->oldest + feeder->steps;
}

static void *feed_steps(void *context)
{
    struct feeder *feeder = context;
    (void)pthread_mutex_lock(&feeder->mutex);
    while (!feeder->must_stop) {
        if (!has_work(feeder)) {
            feeder->is_waiting = true;
            (void)pthread_cond_wait(&feeder->taken, &feeder->mutex);
            continue;
        }
        feeder->is_waiting = false;
        const int64_t step = feeder->next;
        feeder->is_filling = true;
        (void)pthread_mutex_unlock(&feeder->mutex);
        struct error err = {.status = STATUS_OK};
        const enum status status = fill_step(feeder, slot_of(feeder, step), step, &err);
        (void)pthread_mutex_lock(&feeder->mutex);
        feeder->is_filling = false;
        if (status != STATUS_OK)
            feeder->failure = err;
        else if (feeder->next == step) /* else it was told to begin anew */
            feeder->next = step + 1;
        (void)pthread_cond_broadcast(&feeder->made);
    }
    (void)pthread_mutex_unlock(&feeder->mutex);
    return NULL;
}

static enum status reserve(struct feeder *feeder, struct error *err)
{
    const struct feed_plan *plan = &feeder->plan;
    const size_t calls = (size_t)(plan->calls > 0 ? plan->calls : 1);
    const size_t step_bytes = calls * plan->block_bytes;
    size_t steps = FEED_RING_BYTES / step_bytes;
    steps = steps > FEED_STEPS_MAX ? FEED_STEPS_MAX : steps < 2 ? 2 : steps;
    feeder->steps = (int)steps;
    feeder->ring = calloc(steps, sizeof(*feeder->ring));
    feeder->calls = calloc(steps * calls, sizeof(*feeder->calls));
    feeder->blocks = calloc(steps, step_bytes);
    feeder->records = calloc((size_t)plan->rows_max, sizeof(*feeder->records));
    if (feeder->ring == NULL || feeder->calls == NULL || feeder->blocks == NULL ||
        feeder->records == NULL)
        return error_set(err, STATUS_NO_MEMORY, "feed of %zu steps of %zu bytes", steps,
                         step_bytes);
    for (size_t i = 0; i < steps; i++)
        feeder->ring[i].calls = feeder->calls + i * calls;
    for (size_t i = 0; i < steps * calls; i++)
        feeder->calls[i].block = feeder->blocks + i * plan->block_bytes;
    return STATUS_OK;
}

static void feeder_cleanup(struct feeder **feeder)
{
    feeder_close(*feeder);
}

enum status feeder_open(const struct feed_plan *plan, int64_t first_step, struct feeder **out,
                        struct error *err)
{
    CLEANUP(feeder_cleanup) struct feeder *feeder = calloc(1, sizeof(*feeder));
    if (feeder == NULL)
        return error_set(err, STATUS_NO_MEMORY, "open feeder");
    feeder->plan = *plan;
    feeder->sampler_epoch = -1;
    feeder->next = first_step;
    feeder->oldest = first_step;
    (void)pthread_mutex_init(&feeder->mutex, NULL);
    (void)pthread_cond_init(&feeder->made, NULL);
    (void)pthread_cond_init(&feeder->taken, NULL);
    TRY(reserve(feeder, err));
    const int failure = pthread_create(&feeder->thread, NULL, feed_steps, feeder);
    if (failure != 0)
        return error_set_errno(err, STATUS_NO_MEMORY, failure, "start the feeder's thread");
    feeder->has_thread = true;
    (void)pthread_setname_np(feeder->thread, "feeder");
    *out = TAKE(feeder);
    return STATUS_OK;
}

void feeder_close(struct feeder *feeder)
{
    if (feeder == NULL)
        return;
    if (feeder->has_thread) {
        (void)pthread_mutex_lock(&feeder->mutex);
        feeder->must_stop = true;
        (void)pthread_cond_broadcast(&feeder->taken);
        (void)pthread_mutex_unlock(&feeder->mutex);
        (void)pthread_join(feeder->thread, NULL);
    }
    (void)pthread_cond_destroy(&feeder->made);
    (void)pthread_cond_destroy(&feeder->taken);
    (void)pthread_mutex_destroy(&feeder->mutex);
    free(feeder->ring);
    free(feeder->calls);
    free(feeder->blocks);
    free(feeder->records);
    free(feeder);
}

size_t feeder_bytes(const struct feeder *feeder)
{
    const struct feed_plan *plan = &feeder->plan;
    return (size_t)feeder->steps * (size_t)(plan->calls > 0 ? plan->calls : 1) * plan->block_bytes;
}

/* With the mutex held: drops what was made ahead and begins at `step`. */
static void begin_anew(struct feeder *feeder, int64_t step)
{
    while (feeder->is_filling)
        (void)pthread_cond_wait(&feeder->made, &feeder->mutex);
    feeder->next = step;
    feeder->oldest = step;
    (void)pthread_cond_signal(&feeder->taken);
}

enum status feeder_step(struct feeder *feeder, int64_t step, struct feed_step **out,
                        struct error *err)
{
    (void)pthread_mutex_lock(&feeder->mutex);
    if (step < feeder->oldest || step > feeder->oldest + 1)
        begin_anew(feeder, step);
    feeder->oldest = step;
    /* Half of the ring at once: a wake-up costs about as much as a small step. */
    if (feeder->is_waiting && feeder->next - step <= feeder->steps / 2)
        (void)pthread_cond_signal(&feeder->taken);
    while (feeder->next <= step && feeder->failure.status == STATUS_OK)
        (void)pthread_cond_wait(&feeder->made, &feeder->mutex);
    const bool is_made = feeder->next > step; /* a failure counts at its own step */
    const struct error failure = feeder->failure;
    (void)pthread_mutex_unlock(&feeder->mutex);
    if (!is_made)
        return error_set(err, failure.status, "%s", failure.text);
    *out = slot_of(feeder, step);
    return STATUS_OK;
}
