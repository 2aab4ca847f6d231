/*
 * train_eval.c - the model against the evaluation set. Each rank takes its share of the records, and
 * the sums are added over the ranks, so that all of them know the same figures.
 */
#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "trainer/train.h"

#define EVAL_KEY (UINT64_C(1) << 32) /* keys of training steps are row counts, far below */

bool train_evaluation_is_due(const struct train *train)
{
    if (train->evaluation.set.count == 0)
        return false;
    if (train->step == train->total_steps)
        return true;
    const int64_t every = train->spec.training.eval_every_epochs * train->steps_per_epoch;
    return every > 0 && train->step > 0 && train->step % every == 0;
}

struct eval_context {
    struct train *train;
    int rows;
};

/* Depends on the number of rows alone, so it can be recorded. */
static enum status issue_evaluation(void *context, struct error *err)
{
    const struct eval_context *call = context;
    struct train *train = call->train;
    TRY(train->device.ops->zero(train->device.compute, train->eval_sums,
                                MODEL_METRICS_MAX * sizeof(float), err));
    const struct model_batch batch = {.rows = call->rows,
                                      .bytes = train->evaluation.bytes,
                                      .scale = train->evaluation.set.scale,
                                      .labels = train->evaluation.labels,
                                      .records = train->device_feed->records};
    return train->model->ops->evaluate(train->model, train->parameters, train->eval_sums, &batch,
                                       err);
}

/* Adds the sums over records first..first+rows-1. */
static enum status evaluate_rows(struct train *train, int64_t first, int64_t rows,
                                 double sums[MODEL_METRICS_MAX], struct error *err)
{
    const struct device *device = &train->device;
    for (int64_t i = 0; i < rows; i++)
        train->feed->records[i] = (int32_t)(first + i);
    TRY(device->ops->upload(device->compute, train->device_feed->records, train->feed->records,
                            (size_t)rows * sizeof(train->feed->records[0]), err));
    struct eval_context context = {.train = train, .rows = (int)rows};
    TRY(device->ops->run(device->compute, EVAL_KEY | (uint64_t)rows, issue_evaluation, &context,
                         err));
    float own[MODEL_METRICS_MAX];
    TRY(device->ops->download(device->compute, own, train->eval_sums, sizeof(own), err));
    for (int i = 0; i < train->model->ops->sum_count; i++)
        sums[i] += (double)own[i];
    return STATUS_OK;
}

static enum status sum_over_ranks(struct train *train, double sums[MODEL_METRICS_MAX],
                                  struct error *err)
{
    const struct device *device = &train->device;
    float values[MODEL_METRICS_MAX];
    for (int i = 0; i < MODEL_METRICS_MAX; i++)
        values[i] = (float)sums[i];
    TRY(device->ops->upload(device->compute, train->eval_sums, values, sizeof(values), err));
    train->part = TRAIN_PART_GANG;
    TRY(train->comm->ops->all_reduce_sum(train->comm, train->eval_sums, MODEL_METRICS_MAX, err));
    train->part = TRAIN_PART_STEP;
    TRY(device->ops->download(device->compute, values, train->eval_sums, sizeof(values), err));
    for (int i = 0; i < MODEL_METRICS_MAX; i++)
        sums[i] = (double)values[i];
    return STATUS_OK;
}

static enum status report_evaluation(struct train *train, const double sums[MODEL_METRICS_MAX],
                                     struct error *err)
{
    const char *names[MODEL_METRICS_MAX];
    double values[MODEL_METRICS_MAX];
    const int count =
        train->model->ops->metrics(sums, (double)train->evaluation.set.count, names, values);
    struct wire_event event = {.kind = EVENT_METRIC, .step = train->step};
    event.epoch = train->step == 0 ? 0 : (train->step - 1) / train->steps_per_epoch;
    for (int i = 0; i < count; i++) {
        struct event_value *value = &event.values[event.value_count++];
        (void)snprintf(value->name, sizeof(value->name), "eval_%s", names[i]);
        value->value = values[i];
        if (!isfinite(values[i]))
            return error_set(err, STATUS_INVALID, "step %lld: %s is not finite",
                             (long long)train->step, value->name);
        train_results_set(&train->results, value->name, values[i]);
    }
    train->part = TRAIN_PART_WRITE;
    return train_report_values(train, &event, err);
}

enum status train_evaluate(struct train *train, struct error *err)
{
    train->part = TRAIN_PART_STEP;
    progress_enter(train->progress, PROGRESS_EVAL);
    const int64_t began_ns = clock_mono_ns();
    int64_t first = 0, count = 0;
    sampler_share(train->evaluation.set.count, train->contract->rank, train->contract->world_size,
                  &first, &count);
    double sums[MODEL_METRICS_MAX] = {0.0};
    for (int64_t done = 0; done < count;) {
        const int64_t left = count - done;
        const int64_t rows = left < train->rows_max ? left : train->rows_max;
        TRY(evaluate_rows(train, first + done, rows, sums, err));
        done += rows;
    }
    TRY(sum_over_ranks(train, sums, err));
    TRY(report_evaluation(train, sums, err));
    const int64_t paused_ns = clock_mono_ns() - began_ns; /* not training */
    train->window.started_ns += paused_ns;
    train->training_started_ns += paused_ns;
    progress_enter(train->progress, PROGRESS_STEP);
    return STATUS_OK;
}
