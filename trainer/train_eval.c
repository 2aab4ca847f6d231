/*
 * train_eval.c - the model against the evaluation set. The records are cut into groups and each group
 * into calls of TRAIN_EVAL_ROWS, by their number alone; each rank takes consecutive groups, and the sums
 * are added in the order of the groups: so all ranks know the same figures, and another number of ranks
 * gets the same ones.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "trainer/metrics.h"
#include "trainer/train.h"

#define EVAL_KEY        (UINT64_C(1) << 63) /* keys of training steps are below */
#define EVAL_GROUPS_MAX 1024

bool train_evaluation_is_due(const struct train *train)
{
    if (train->evaluation.count == 0)
        return false;
    if (train->step == train->total_steps)
        return true;
    const int64_t every = train->spec.training.eval_every_epochs * train->steps_per_epoch;
    return every > 0 && train->step > 0 && train->step % every == 0;
}

struct eval_context {
    struct train *train;
    struct model_shape shape;
};

/* Depends on the call's shape alone, so it can be recorded. */
static enum status issue_evaluation(void *context, struct error *err)
{
    const struct eval_context *eval = context;
    struct train *train = eval->train;
    TRY(train->device.ops->zero(train->device.compute, train->eval_sums,
                                MODEL_METRICS_MAX * sizeof(float), err));
    const uint8_t *block = train->device_feed;
    const struct model_call call = {
        .shape = eval->shape,
        .set = &train->evaluation,
        .head = (const struct model_feed_head *)(const void *)(block + FEED_FRONT_BYTES),
        .feed = block + FEED_BLOCK_BYTES};
    return train->model->ops->evaluate(train->model, train->parameters, train->eval_sums,
                                       train->eval_scores, &call, err);
}

/* Adds the sums over records first..first+rows-1; their scores go to `scores` unless it is NULL. */
static enum status evaluate_rows(struct train *train, int64_t first, int64_t rows,
                                 double sums[MODEL_METRICS_MAX], float *scores, struct error *err)
{
    const struct device *device = &train->device;
    int32_t records[TRAIN_EVAL_ROWS];
    for (int64_t i = 0; i < rows; i++)
        records[i] = (int32_t)(first + i);
    const struct model_rows asked = {.set = &train->evaluation,
                                     .records = records,
                                     .count = (int)rows,
                                     .seed = train->spec.training.seed};
    struct eval_context context = {.train = train};
    size_t bytes = 0;
    TRY(train->model->ops->fill(train->model, &asked, false, train->eval_feed + FEED_BLOCK_BYTES,
                                &bytes, &context.shape, err));
    TRY(device->ops->upload(device->compute, train->device_feed, train->eval_feed,
                            FEED_BLOCK_BYTES + bytes, err));
    const uint64_t key = model_shape_key(0, &context.shape) | EVAL_KEY;
    TRY(device->ops->run(device->compute, key, issue_evaluation, &context, err));
    float own[MODEL_METRICS_MAX];
    TRY(device->ops->download(device->compute, own, train->eval_sums, sizeof(own), err));
    for (int i = 0; i < train->model->ops->sum_count; i++)
        sums[i] += (double)own[i];
    if (scores == NULL)
        return STATUS_OK;
    return device->ops->download(device->compute, scores, train->eval_scores,
                                 (size_t)rows * sizeof(float), err);
}

/* The records of group g of `groups`, in calls of TRAIN_EVAL_ROWS. */
static enum status evaluate_group(struct train *train, int64_t g, int64_t groups,
                                  double sums[MODEL_METRICS_MAX], float *scores, struct error *err)
{
    int64_t first = 0, count = 0;
    sampler_share(train->eval_records, (int)g, (int)groups, &first, &count);
    for (int64_t done = 0; done < count; done += TRAIN_EVAL_ROWS) {
        const int64_t rows = count - done < TRAIN_EVAL_ROWS ? count - done : TRAIN_EVAL_ROWS;
        TRY(evaluate_rows(train, first + done, rows, sums,
                          scores == NULL ? NULL : scores + first + done, err));
    }
    return STATUS_OK;
}

/* Each rank has filled its own part of `all`; parts may differ in size, so they go one by one. */
static enum status share_parts(struct train *train, void *all, const size_t *ends, size_t unit,
                               struct error *err)
{
    const struct comm_ops *ops = train->comm->ops;
    train->part = TRAIN_PART_GANG;
    for (int r = 0; r < train->contract->world_size; r++) {
        const size_t begin = r == 0 ? 0 : ends[r - 1];
        if (ends[r] > begin)
            TRY(ops->broadcast(train->comm, (uint8_t *)all + begin * unit, (ends[r] - begin) * unit,
                               r, err));
    }
    train->part = TRAIN_PART_STEP;
    return STATUS_OK;
}

/* Sums of all groups and, where asked for, all scores, on every rank. */
static enum status evaluate_all(struct train *train, double (*sums)[MODEL_METRICS_MAX],
                                int64_t groups, float *scores, struct error *err)
{
    const int world_size = train->contract->world_size;
    CLEANUP(free_cleanup) size_t *group_ends = calloc((size_t)world_size, sizeof(*group_ends));
    CLEANUP(free_cleanup) size_t *record_ends = calloc((size_t)world_size, sizeof(*record_ends));
    if (group_ends == NULL || record_ends == NULL)
        return error_set(err, STATUS_NO_MEMORY, "evaluate");
    for (int r = 0; r < world_size; r++) {
        int64_t first = 0, count = 0, record = 0, records = 0;
        sampler_share(groups, r, world_size, &first, &count);
        group_ends[r] = (size_t)(first + count);
        if (first + count > 0)
            sampler_share(train->eval_records, (int)(first + count - 1), (int)groups, &record,
                          &records);
        record_ends[r] = (size_t)(record + records);
    }
    const int rank = train->contract->rank;
    for (size_t g = rank == 0 ? 0 : group_ends[rank - 1]; g < group_ends[rank]; g++)
        TRY(evaluate_group(train, (int64_t)g, groups, sums[g], scores, err));
    TRY(share_parts(train, sums, group_ends, sizeof(sums[0]), err));
    return scores == NULL ? STATUS_OK
                          : share_parts(train, scores, record_ends, sizeof(scores[0]), err);
}

/* Sets and reports eval_<name>. */
static enum status add_figure(struct train *train, struct wire_event *event, const char *name,
                              double figure, struct error *err)
{
    struct event_value *value = &event->values[event->value_count++];
    (void)snprintf(value->name, sizeof(value->name), "eval_%s", name);
    value->value = figure;
    if (!isfinite(figure))
        return train_guard_figure(train, value->name, err);
    train_results_set(&train->results, value->name, figure);
    return STATUS_OK;
}

static enum status report_evaluation(struct train *train, const double sums[MODEL_METRICS_MAX],
                                     const float *scores, struct error *err)
{
    const char *names[MODEL_METRICS_MAX];
    double values[MODEL_METRICS_MAX];
    const int count =
        train->model->ops->metrics(train->model, sums, (double)train->eval_records, names, values);
    struct wire_event event = {.kind = EVENT_METRIC, .step = train->step};
    event.epoch = train->step == 0 ? 0 : (train->step - 1) / train->steps_per_epoch;
    for (int i = 0; i < count; i++)
        TRY(add_figure(train, &event, names[i], values[i], err));
    double auc = 0.0;
    if (scores != NULL) {
        bool defined = false;
        TRY(metrics_auc(scores, dataset_array(&train->evaluation, "label")->values,
                        (size_t)train->eval_records, &auc, &defined, err));
        if (defined)
            TRY(add_figure(train, &event, "auc", auc, err));
    }
    if (train->guard.must_go_back)
        return STATUS_OK;
    train->part = TRAIN_PART_WRITE;
    return train_report_values(train, &event, err);
}

enum status train_evaluate(struct train *train, struct error *err)
{
    train->part = TRAIN_PART_STEP;
    progress_enter(train->progress, PROGRESS_EVAL);
    const int64_t began_ns = clock_mono_ns();
    const int64_t calls = (train->eval_records + TRAIN_EVAL_ROWS - 1) / TRAIN_EVAL_ROWS;
    const int64_t groups = calls < EVAL_GROUPS_MAX ? calls : EVAL_GROUPS_MAX;
    CLEANUP(free_cleanup) double(*sums)[MODEL_METRICS_MAX] = calloc((size_t)groups, sizeof(*sums));
    CLEANUP(free_cleanup)
    float *scores =
        train->eval_scores == NULL ? NULL : calloc((size_t)train->eval_records, sizeof(*scores));
    if (sums == NULL || (scores == NULL && train->eval_scores != NULL))
        return error_set(err, STATUS_NO_MEMORY, "evaluate %lld records",
                         (long long)train->eval_records);
    if (train->sync != NULL)
        TRY(train->sync->ops->settle(train->sync, err)); /* servers too evaluate */
    TRY(evaluate_all(train, sums, groups, scores, err));
    for (int64_t g = 1; g < groups; g++) {
        for (int i = 0; i < MODEL_METRICS_MAX; i++)
            sums[0][i] += sums[g][i];
    }
    TRY(report_evaluation(train, sums[0], scores, err));
    const int64_t paused_ns = clock_mono_ns() - began_ns; /* not training */
    train->window.started_ns += paused_ns;
    train->training_started_ns += paused_ns;
    progress_enter(train->progress, PROGRESS_STEP);
    return STATUS_OK;
}
