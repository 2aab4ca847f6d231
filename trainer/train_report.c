/*
 * train_report.c - the metric window and what is said in events. All ranks know the sums, so rank 0
 * alone speaks of metrics and progress. Windows start at multiples of metrics_every_steps, whatever
 * step an attempt began at: a resumed job reports the same figures as an uninterrupted one.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "trainer/train.h"

#define PROGRESS_EVERY_MS 100

static void add_value(struct wire_event *event, const char *prefix, const char *name, double value)
{
    if (event->value_count == EVENT_VALUES_MAX)
        return;
    struct event_value *slot = &event->values[event->value_count++];
    (void)snprintf(slot->name, sizeof(slot->name), "%s%s", prefix, name);
    slot->value = value;
}

/* The epoch that the newest step belongs to. */
static int64_t epoch_of_step(const struct train *train)
{
    return (train->step - 1) / train->steps_per_epoch;
}

enum status train_report_window(struct train *train, struct error *err)
{
    struct train_window *window = &train->window;
    if (window->rows == 0)
        return STATUS_OK;
    const char *names[MODEL_METRICS_MAX];
    double values[MODEL_METRICS_MAX];
    const int count =
        train->model->ops->metrics(train->model, window->sums, (double)window->rows, names, values);
    const int64_t now_ns = clock_mono_ns();
    const double seconds = (double)(now_ns - window->started_ns) * 1e-9;
    struct wire_event event = {.kind = EVENT_METRIC, .step = train->step};
    event.epoch = epoch_of_step(train);
    for (int i = 0; i < count; i++) {
        add_value(&event, "", names[i], values[i]);
        train_results_set(&train->results, names[i], values[i]);
    }
    if (seconds > 0.0)
        add_value(&event, "", "samples_per_second", (double)window->timed_rows / seconds);
    *window = (struct train_window){.started_ns = now_ns};
    return train_report_values(train, &event, err);
}

enum status train_report_progress(struct train *train, struct error *err)
{
    train->progress_reported_ms = clock_mono_ms();
    struct wire_event event = {.kind = EVENT_PROGRESS,
                               .step = train->step,
                               .of = train->guard.stops_early ? train->step : train->total_steps};
    event.epoch = epoch_of_step(train);
    return events_emit(train->events, &event, err);
}

enum status train_report_step(struct train *train, struct error *err)
{
    train->part = TRAIN_PART_WRITE;
    const bool is_last = train->step == train->total_steps || train->stop_agreed;
    const bool is_first = train->trained_rows == 0;
    train->trained_rows += train->step_rows;
    if (train->step % train->spec.training.metrics_every_steps == 0 ||
        train->step == train->total_steps)
        TRY(train_report_window(train, err));
    if (train->contract->rank != 0)
        return STATUS_OK;
    if (is_first || is_last || clock_mono_ms() - train->progress_reported_ms >= PROGRESS_EVERY_MS)
        return train_report_progress(train, err);
    return STATUS_OK;
}

enum status train_report_started(struct train *train, struct error *err)
{
    train->part = TRAIN_PART_WRITE;
    struct wire_event event = {.kind = EVENT_STARTED,
                               .world_size = train->contract->world_size,
                               .resume_step = train->step,
                               .process_boot_ms = train->contract->process_boot_ms};
    return events_emit(train->events, &event, err);
}

enum status train_report_finished(struct train *train, const char *status, const char *text,
                                  struct error *err)
{
    struct wire_event event = {.kind = EVENT_FINISHED, .step = train->step};
    (void)text_copy(event.status, sizeof(event.status), status);
    if (text != NULL)
        (void)text_copy(event.text, sizeof(event.text), text);
    if (train->model_sha256[0] != '\0' && train->contract->rank == 0) {
        (void)text_copy(event.path, sizeof(event.path), train->model_path);
        event.bytes = (int64_t)train->model_bytes;
        (void)text_copy(event.sha256, sizeof(event.sha256), train->model_sha256);
        for (size_t i = 0; i < train->results.count; i++)
            add_value(&event, "", train->results.names[i], train->results.values[i]);
        if (train->samples_per_second > 0.0) /* nothing was left to train: no speed */
            add_value(&event, "", "samples_per_second", train->samples_per_second);
        add_value(&event, "", "memory_plan_bytes", (double)train->memory.total);
        add_value(&event, "", "memory_peak_bytes", (double)train->memory.peak);
    }
    return events_emit(train->events, &event, err);
}

enum status train_warn(struct train *train, struct error *err, const char *fmt, ...)
{
    struct wire_event event = {.kind = EVENT_WARNING, .step = train->step};
    va_list arguments;
    va_start(arguments, fmt);
    (void)vsnprintf(event.text, sizeof(event.text), fmt, arguments);
    va_end(arguments);
    log_write(LOG_WARN, "warning", event.text, NULL);
    return events_emit(train->events, &event, err);
}
