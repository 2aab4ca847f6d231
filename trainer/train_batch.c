/* train_batch.c - one step: which records, what the device is told, what comes back. */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "trainer/train.h"

/*
 * Whether this rank asks for a checkpoint after the coming step. Rank 0 alone knows of due times, so
 * that clocks need not agree. One that falls due while its predecessor is being written is owed: it
 * comes at the first step boundary after that, and training does not wait for the disk.
 */
static bool wants_checkpoint(struct train *train)
{
    if (train_signal_take_checkpoint())
        return true;
    if (train->contract->rank != 0)
        return false;
    const struct checkpoint_spec *spec = &train->spec.checkpoint;
    const bool due =
        (spec->every_steps > 0 && (train->step + 1) % spec->every_steps == 0) ||
        (spec->every_ms > 0 && clock_mono_ms() - train->checkpoint_mono_ms >= spec->every_ms);
    if (!due && !train->checkpoint_owed)
        return false;
    train->checkpoint_owed = checkpoints_is_writing(train->checkpoints);
    return !train->checkpoint_owed;
}

/* The control words of the step go in front of its first call. */
static void fill_front(struct train *train, const struct feed_step *step)
{
    float tail[SYNC_TAIL] = {0.0F};
    for (int c = 0; c < train->plan.calls; c++)
        tail[SYNC_TAIL_ROWS] += (float)step->calls[c].shape.rows;
    tail[SYNC_TAIL_WANTS_CHECKPOINT] = wants_checkpoint(train) ? 1.0F : 0.0F;
    tail[SYNC_TAIL_WANTS_STOP] = train_signal_stop() ? 1.0F : 0.0F;
    memcpy(step->calls[0].block, tail, sizeof(tail));
}

static size_t block_offset(const struct train *train, int call)
{
    return (size_t)call * train->plan.block_bytes;
}

static int calls_of(const struct train *train)
{
    return train->plan.calls > 0 ? train->plan.calls : 1;
}

/* What run() may tell steps apart by: the shapes of all calls. */
static uint64_t step_key(const struct train *train, const struct feed_step *step)
{
    uint64_t key = 0;
    for (int c = 0; c < calls_of(train); c++)
        key = model_shape_key(key, &step->calls[c].shape);
    return key >> 1; /* the upper half is evaluation's */
}

struct step_context {
    struct train *train;
    const struct feed_step *step;
};

static enum status tell_ready(void *context, size_t offset, struct error *err)
{
    const struct train *train = context;
    return train->sync->ops->ready(train->sync, offset, err);
}

/*
 * One call of the step, which adds to `gradients`. Its flags and tail come behind them; what the tail
 * begins with stands in front of the call's block.
 */
static enum status issue_call(struct train *train, int c, const struct model_shape *shape,
                              float *gradients, bool is_last, struct error *err)
{
    const uint8_t *block = train->device_feed + block_offset(train, c);
    float *flags = gradients + train->parameter_count;
    const struct model_listener listener = {tell_ready, train};
    const struct model_call call = {
        .shape = *shape,
        .set = &train->training,
        .head = (const struct model_feed_head *)(const void *)(block + FEED_FRONT_BYTES),
        .feed = block + FEED_BLOCK_BYTES,
        .flags = train->flag_count > 0 ? flags : NULL,
        .listener = is_last ? &listener : NULL};
    if (shape->rows == 0) /* the last batch may have fewer rows than there are shards */
        return STATUS_OK;
    return train->model->ops->train_step(train->model, train->parameters, gradients,
                                         flags + train->flag_count + SYNC_TAIL_SUMS, &call, err);
}

/* Gradients (unless they are known to be zero), flags and tail before call `c` adds to them. */
static enum status begin_sums(const struct train *train, int c, float *gradients, bool are_zero,
                              struct error *err)
{
    const struct compute_ops *ops = train->device.ops;
    float *flags = gradients + train->parameter_count;
    float *first = are_zero ? flags : gradients;
    TRY(ops->zero(train->device.compute, first,
                  (size_t)(flags + train->flag_count - first) * sizeof(float), err));
    return ops->copy(train->device.compute, flags + train->flag_count,
                     train->device_feed + block_offset(train, c), FEED_FRONT_BYTES, err);
}

/* What the device does in a step. It depends on the calls' shapes alone, so it can be recorded. */
static enum status issue_step(void *context, struct error *err)
{
    const struct step_context *context_of_step = context;
    struct train *train = context_of_step->train;
    const struct feed_call *calls = context_of_step->step->calls;
    if (train->tree == NULL)
        TRY(begin_sums(train, 0, train->gradients, train->sync->clears_gradients, err));
    for (int c = 0; c < train->plan.calls; c++) {
        float *gradients = train->gradients;
        if (train->tree != NULL) {
            gradients = grad_tree_target(train->tree, c);
            TRY(begin_sums(train, c, gradients, false, err));
        }
        const bool is_last = train->tree == NULL && c == train->plan.calls - 1;
        TRY(issue_call(train, c, &calls[c].shape, gradients, is_last, err));
        if (train->tree != NULL)
            TRY(grad_tree_fold(train->tree, c, err));
    }
    const float *tail = train->gradients + train->parameter_count + train->flag_count;
    TRY(train->device.ops->copy(train->device.compute, train->guard.own_loss, tail + SYNC_TAIL_SUMS,
                                sizeof(float), err));
    return train->sync->ops->step(train->sync, err);
}

/* Reads the summed tail: the batch's loss, and what the ranks agreed on. */
static enum status read_tail(struct train *train, struct error *err)
{
    float tail[SYNC_TAIL];
    TRY(train->device.ops->download(train->device.compute, tail,
                                    train->gradients + train->parameter_count + train->flag_count,
                                    sizeof(tail), err));
    train->checkpoint_agreed = tail[SYNC_TAIL_WANTS_CHECKPOINT] > 0.0F;
    train->stop_agreed = tail[SYNC_TAIL_WANTS_STOP] > 0.0F;
    const int64_t rows = (int64_t)tail[SYNC_TAIL_ROWS]; /* with staleness, of an older step */
    if (rows > 0)
        TRY(train_guard_loss(train, (double)tail[SYNC_TAIL_SUMS] / (double)rows, err));
    if (train->guard.must_go_back)
        return STATUS_OK;
    for (int i = 0; i < train->model->ops->sum_count; i++)
        train->window.sums[i] += (double)tail[SYNC_TAIL_SUMS + i];
    train->window.rows += rows;
    train->window.timed_rows += rows;
    return STATUS_OK;
}

enum status train_step(struct train *train, struct error *err)
{
    train->part = TRAIN_PART_STEP;
    const struct device *device = &train->device;
    struct feed_step *step = NULL;
    TRY(feeder_step(train->feeder, train->step, &step, err));
    fill_front(train, step);
    for (int c = 0; c < calls_of(train); c++)
        TRY(device->ops->upload(device->compute, train->device_feed + block_offset(train, c),
                                step->calls[c].block, step->calls[c].bytes, err));
    TRY(train->sync->ops->prepare(train->sync, train->step + 1, train_guard_lr_factor(train), err));

    struct step_context context = {.train = train, .step = step};
    TRY(device->ops->run(device->compute, step_key(train, step), issue_step, &context, err));
    TRY(read_tail(train, err));
    if (train->guard.must_go_back)
        return STATUS_OK;
    train->step++;
    train->step_rows = step->rows;
    progress_step(train->progress, train->step);
    return STATUS_OK;
}
