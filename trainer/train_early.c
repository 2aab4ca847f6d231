/* train_early.c - which evaluation was best, and when to stop since none is better any more. */
#include <stdio.h>
#include <string.h>

#include "trainer/train.h"

static bool gains(int mode, double value, double best, double min_delta)
{
    return mode == METRIC_MIN ? value < best - min_delta : value > best + min_delta;
}

static enum status metric_of(const struct train *train, const char *field, const char *name,
                             double *out, struct error *err)
{
    if (train_results_get(&train->results, name, out))
        return STATUS_OK;
    return error_set(err, STATUS_INVALID,
                     "%s/metric: this evaluation part has no \"%s\": it needs records of both "
                     "classes",
                     field, name);
}

static enum status observe_best(struct train *train, struct error *err)
{
    struct train_best *best = &train->guard.best;
    const struct checkpoint_spec *spec = &train->spec.checkpoint;
    double value = 0.0;
    TRY(metric_of(train, "/checkpoint/best", spec->best_metric, &value, err));
    if (best->is_kept && !gains(spec->best_mode, value, best->value, 0.0))
        return STATUS_OK;
    best->is_kept = true;
    best->step = train->step;
    best->value = value;
    best->results = train->results;
    if (train->contract->rank != 0)
        return STATUS_OK;
    return train->device.ops->download(train->device.compute, best->values, train->parameters,
                                       train->parameter_count * sizeof(float), err);
}

static enum status stop(struct train *train, double value, struct error *err)
{
    struct train_guard *guard = &train->guard;
    const struct train_loop *loop = &guard->loop;
    const struct early_stopping_spec *spec = &train->spec.training.early_stopping;
    guard->stops_early = true;
    train->part = TRAIN_PART_WRITE;
    TRY(train_report_window(train, err)); /* no step comes that would do it */
    if (train->contract->rank != 0)
        return STATUS_OK;
    TRY(train_report_progress(train, err));
    return train_warn(train, err,
                      "early stopping after step %lld of %lld: %s is %.6g, and has not gained on "
                      "the %.6g of step %lld in %lld evaluations",
                      (long long)train->step, (long long)train->total_steps, spec->metric, value,
                      loop->early_value, (long long)loop->early_step,
                      (long long)loop->early_waited);
}

static enum status observe_early(struct train *train, struct error *err)
{
    struct train_loop *loop = &train->guard.loop;
    const struct early_stopping_spec *spec = &train->spec.training.early_stopping;
    double value = 0.0;
    TRY(metric_of(train, "/training/early_stopping", spec->metric, &value, err));
    const bool is_first = loop->early_evaluations++ == 0;
    if (is_first || gains(spec->mode, value, loop->early_value, spec->min_delta)) {
        loop->early_value = value;
        loop->early_step = train->step;
        loop->early_waited = 0;
        return STATUS_OK;
    }
    loop->early_waited++;
    if (loop->early_waited < spec->patience || train->step == train->total_steps)
        return STATUS_OK;
    return stop(train, value, err);
}

enum status train_early_observe(struct train *train, struct error *err)
{
    train->part = TRAIN_PART_SPEC;
    if (train->spec.checkpoint.best_metric[0] != '\0')
        TRY(observe_best(train, err));
    if (train->spec.training.early_stopping.metric[0] != '\0')
        TRY(observe_early(train, err));
    return STATUS_OK;
}

enum status train_early_finish(struct train *train, struct error *err)
{
    const struct train_guard *guard = &train->guard;
    const struct train_best *best = &guard->best;
    if (best->is_kept) {
        train->results = best->results;
        train_results_set(&train->results, "best_step", (double)best->step);
        if (train->contract->rank == 0)
            TRY(train->device.ops->upload(train->device.compute, train->parameters, best->values,
                                          train->parameter_count * sizeof(float), err));
    }
    if (guard->stops_early)
        train_results_set(&train->results, "stopped_early_step", (double)train->step);
    return STATUS_OK;
}
