/* train_batch.c - one step: which records, what the device is told, what comes back. */
#include <math.h>

#include "base/clock.h"
#include "trainer/train.h"

/* Rows of the global batch that makes up this step (0-based); the last of an epoch may be smaller. */
static int64_t batch_rows(const struct train *train, int64_t step)
{
    const int64_t first = step % train->steps_per_epoch * train->spec.training.batch_size;
    const int64_t left = train->training.set.count - first;
    return left < train->spec.training.batch_size ? left : train->spec.training.batch_size;
}

/* This rank's records of the step: a pure function of (seed, epoch, position). */
static int64_t choose_records(struct train *train, int64_t step, int64_t rows)
{
    const int64_t epoch = step / train->steps_per_epoch;
    if (train->sampler_epoch != epoch) {
        sampler_init(&train->sampler, train->spec.training.seed, (uint64_t)epoch,
                     (uint64_t)train->training.set.count);
        train->sampler_epoch = epoch;
    }
    int64_t first = 0, count = 0;
    sampler_share(rows, train->contract->rank, train->contract->world_size, &first, &count);
    first += step % train->steps_per_epoch * train->spec.training.batch_size;
    for (int64_t i = 0; i < count; i++)
        train->feed->records[i] = (int32_t)sampler_at(&train->sampler, (uint64_t)(first + i));
    return count;
}

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

static void fill_feed(struct train *train, int64_t rows)
{
    struct train_feed *feed = train->feed;
    for (int i = 0; i < SYNC_TAIL; i++)
        feed->tail[i] = 0.0F;
    feed->tail[SYNC_TAIL_WANTS_CHECKPOINT] = wants_checkpoint(train) ? 1.0F : 0.0F;
    feed->tail[SYNC_TAIL_WANTS_STOP] = train_signal_stop() ? 1.0F : 0.0F;
    feed->loss_scale = 1.0F / (float)rows;
}

struct step_context {
    struct train *train;
    int rows; /* of this rank */
};

/* What the device does in a step. It depends on the number of rows alone, so it can be recorded. */
static enum status issue_step(void *context, struct error *err)
{
    const struct step_context *step = context;
    struct train *train = step->train;
    const struct compute_ops *ops = train->device.ops;
    struct compute *compute = train->device.compute;
    float *tail = train->gradients + train->parameter_count;
    TRY(ops->zero(compute, train->gradients, train->parameter_count * sizeof(float), err));
    TRY(ops->copy(compute, tail, train->device_feed->tail, SYNC_TAIL * sizeof(float), err));
    if (step->rows > 0) { /* the last batch may have fewer rows than there are ranks */
        const struct model_batch batch = {.rows = step->rows,
                                          .bytes = train->training.bytes,
                                          .scale = train->training.set.scale,
                                          .labels = train->training.labels,
                                          .records = train->device_feed->records,
                                          .loss_scale = &train->device_feed->loss_scale};
        TRY(train->model->ops->train_step(train->model, train->parameters, train->gradients,
                                          tail + SYNC_TAIL_SUMS, &batch, err));
    }
    return train->sync->ops->step(train->sync, err);
}

/* Reads the summed tail: the batch's loss, and what the ranks agreed on. */
static enum status read_tail(struct train *train, int64_t rows, struct error *err)
{
    float tail[SYNC_TAIL];
    TRY(train->device.ops->download(train->device.compute, tail,
                                    train->gradients + train->parameter_count, sizeof(tail), err));
    train->checkpoint_agreed = tail[SYNC_TAIL_WANTS_CHECKPOINT] > 0.0F;
    train->stop_agreed = tail[SYNC_TAIL_WANTS_STOP] > 0.0F;
    const float loss = tail[SYNC_TAIL_SUMS];
    if (!isfinite(loss))
        return error_set(err, STATUS_INVALID, "step %lld: the loss is %s",
                         (long long)train->step + 1, isnan(loss) ? "not a number" : "infinite");
    for (int i = 0; i < train->model->ops->sum_count; i++)
        train->window.sums[i] += (double)tail[SYNC_TAIL_SUMS + i];
    train->window.rows += rows;
    train->window.timed_rows += rows;
    return STATUS_OK;
}

enum status train_step(struct train *train, struct error *err)
{
    train->part = TRAIN_PART_STEP;
    const int64_t rows = batch_rows(train, train->step);
    const int64_t own_rows = choose_records(train, train->step, rows);
    fill_feed(train, rows);
    const size_t feed_bytes =
        sizeof(struct train_feed) + (size_t)own_rows * sizeof(train->feed->records[0]);
    TRY(train->device.ops->upload(train->device.compute, train->device_feed, train->feed,
                                  feed_bytes, err));
    TRY(train->sync->ops->prepare(train->sync, train->step + 1, 1.0, err));

    struct step_context context = {.train = train, .rows = (int)own_rows};
    TRY(train->device.ops->run(train->device.compute, (uint64_t)own_rows, issue_step, &context,
                               err));
    TRY(read_tail(train, rows, err));
    train->step++;
    train->step_rows = rows;
    progress_step(train->progress, train->step);
    return STATUS_OK;
}
