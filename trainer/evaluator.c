#include "trainer/evaluator.h"

#include <assert.h>
#include <stdlib.h>

#include "base/fs.h"

struct evaluator {
    struct evaluator_parts parts;
    int64_t rows;
    float *sums;          /* device (MODEL_METRICS_MAX) */
    float *scores;        /* device (EVALUATOR_ROWS, score_width); NULL: none are given */
    uint8_t *feed;        /* host: a model's head, which is zero, and what fill() makes */
    uint8_t *device_feed; /* device */
};

void evaluator_close(struct evaluator *evaluator)
{
    if (evaluator == NULL)
        return;
    const struct device *device = &evaluator->parts.device;
    device->ops->release(device->compute, evaluator->sums);
    device->ops->release(device->compute, evaluator->scores);
    device->ops->release(device->compute, evaluator->device_feed);
    free(evaluator->feed);
    free(evaluator);
}

static void evaluator_cleanup(struct evaluator *const *evaluator)
{
    evaluator_close(*evaluator);
}

static enum status allocate(struct evaluator *evaluator, struct error *err)
{
    const struct device *device = &evaluator->parts.device;
    const struct model *model = evaluator->parts.model;
    const size_t feed_bytes =
        sizeof(struct model_feed_head) + model->ops->feed_bytes(model, EVALUATOR_ROWS);
    const size_t score_floats = (size_t)EVALUATOR_ROWS * (size_t)model->score_width;
    void *memory = NULL;
    TRY(device->ops->alloc(device->compute, MODEL_METRICS_MAX * sizeof(float), &memory, err));
    evaluator->sums = memory;
    if (evaluator->parts.gives_scores) {
        TRY(device->ops->alloc(device->compute, score_floats * sizeof(float), &memory, err));
        evaluator->scores = memory;
    }
    TRY(device->ops->alloc(device->compute, feed_bytes, &memory, err));
    evaluator->device_feed = memory;
    evaluator->feed = calloc(1, feed_bytes);
    if (evaluator->feed == NULL)
        return error_set(err, STATUS_NO_MEMORY, "feed of %zu bytes", feed_bytes);
    return STATUS_OK;
}

enum status evaluator_open(const struct evaluator_parts *parts, struct evaluator **out,
                           struct error *err)
{
    CLEANUP(evaluator_cleanup) struct evaluator *evaluator = calloc(1, sizeof(*evaluator));
    if (evaluator == NULL)
        return error_set(err, STATUS_NO_MEMORY, "open a model for evaluation");
    evaluator->parts = *parts;
    evaluator->rows = parts->model->ops->records(parts->model, parts->set, false);
    TRY(allocate(evaluator, err));
    *out = TAKE(evaluator);
    return STATUS_OK;
}

int64_t evaluator_rows(const struct evaluator *evaluator)
{
    return evaluator->rows;
}

struct call_context {
    struct evaluator *evaluator;
    struct model_shape shape;
};

/* Depends on the call's shape alone, so it can be recorded. */
static enum status issue(void *context, struct error *err)
{
    const struct call_context *at = context;
    const struct evaluator *evaluator = at->evaluator;
    const struct evaluator_parts *parts = &evaluator->parts;
    const uint8_t *feed = evaluator->device_feed;
    const struct model_call call = {.shape = at->shape,
                                    .set = parts->set,
                                    .head = (const void *)feed,
                                    .feed = feed + sizeof(struct model_feed_head)};
    TRY(parts->device.ops->zero(parts->device.compute, evaluator->sums,
                                MODEL_METRICS_MAX * sizeof(float), err));
    return parts->model->ops->evaluate(parts->model, parts->parameters, evaluator->sums,
                                       evaluator->scores, &call, err);
}

static enum status add_sums(const struct evaluator *evaluator, double sums[MODEL_METRICS_MAX],
                            struct error *err)
{
    const struct device *device = &evaluator->parts.device;
    float own[MODEL_METRICS_MAX];
    TRY(device->ops->download(device->compute, own, evaluator->sums, sizeof(own), err));
    for (int i = 0; i < evaluator->parts.model->ops->sum_count; i++)
        sums[i] += (double)own[i];
    return STATUS_OK;
}

enum status evaluator_run(struct evaluator *evaluator, int64_t first, int count,
                          double sums[MODEL_METRICS_MAX], float *scores, struct error *err)
{
    assert(count >= 1 && count <= EVALUATOR_ROWS && first + count <= evaluator->rows);
    const struct evaluator_parts *parts = &evaluator->parts;
    const struct device *device = &parts->device;
    int32_t records[EVALUATOR_ROWS];
    for (int i = 0; i < count; i++)
        records[i] = (int32_t)(first + i);
    const struct model_rows rows = {
        .set = parts->set, .records = records, .count = count, .seed = parts->seed};
    struct call_context context = {.evaluator = evaluator};
    size_t bytes = 0;
    TRY(parts->model->ops->fill(parts->model, &rows, false,
                                evaluator->feed + sizeof(struct model_feed_head), &bytes,
                                &context.shape, err));
    TRY(device->ops->upload(device->compute, evaluator->device_feed, evaluator->feed,
                            sizeof(struct model_feed_head) + bytes, err));
    TRY(device->ops->run(device->compute, model_shape_key(0, &context.shape) | EVALUATOR_KEY, issue,
                         &context, err));
    if (sums != NULL)
        TRY(add_sums(evaluator, sums, err));
    if (evaluator->scores == NULL)
        return STATUS_OK;
    return device->ops->download(device->compute, scores, evaluator->scores,
                                 (size_t)count * (size_t)parts->model->score_width * sizeof(float),
                                 err);
}
