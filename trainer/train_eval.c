/*
 * train_eval.c - the model against the evaluation set. The records are cut into groups and each group
 * into calls of EVALUATOR_ROWS, by their number alone; each rank takes consecutive groups, and the sums
 * are added in the order of the groups: so all ranks know the same figures, and another number of ranks
 * gets the same ones.
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "trainer/metrics.h"
#include "trainer/train.h"

#define EVAL_GROUPS_MAX   1024
#define BINARY_SCORES_MAX 2 /* a row: a sigmoid's one, a softmax's two */

bool train_evaluation_is_due(const struct train *train)
{
    if (train->evaluation.count == 0)
        return false;
    if (train->step == train->total_steps)
        return true;
    const int64_t every = train->spec.training.eval_every_epochs * train->steps_per_epoch;
    return every > 0 && train->step > 0 && train->step % every == 0;
}

/* Of each row's scores the last: the probability of label 1. */
static void take_positive(const float *scores, int width, int64_t rows, float *out)
{
    for (int64_t i = 0; i < rows; i++)
        out[i] = scores[i * width + width - 1];
}

/* The records of group g of `groups`, in calls of EVALUATOR_ROWS; probabilities go to `positive`, unless it is NULL. */
static enum status evaluate_group(struct train *train, int64_t g, int64_t groups,
                                  double sums[MODEL_METRICS_MAX], float *positive,
                                  struct error *err)
{
    const int width = train->model->score_width;
    float scores[EVALUATOR_ROWS * BINARY_SCORES_MAX];
    int64_t first = 0, count = 0;
    assert(positive == NULL || width <= BINARY_SCORES_MAX);
    sampler_share(train->eval_records, (int)g, (int)groups, &first, &count);
    for (int64_t done = 0; done < count; done += EVALUATOR_ROWS) {
        const int64_t rows = count - done < EVALUATOR_ROWS ? count - done : EVALUATOR_ROWS;
        TRY(evaluator_run(train->evaluator, first + done, (int)rows, sums, scores, err));
        if (positive != NULL)
            take_positive(scores, width, rows, positive + first + done);
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

/* Sums of all groups and, where asked for, all probabilities of label 1, on every rank. */
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
    const int64_t calls = (train->eval_records + EVALUATOR_ROWS - 1) / EVALUATOR_ROWS;
    const int64_t groups = calls < EVAL_GROUPS_MAX ? calls : EVAL_GROUPS_MAX;
    CLEANUP(free_cleanup) double(*sums)[MODEL_METRICS_MAX] = calloc((size_t)groups, sizeof(*sums));
    CLEANUP(free_cleanup)
    float *scores =
        train->model->is_binary ? calloc((size_t)train->eval_records, sizeof(*scores)) : NULL;
    if (sums == NULL || (scores == NULL && train->model->is_binary))
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
