#include "trainer/scorer.h"

#include <assert.h>
#include <stdlib.h>

#include "base/fs.h"

struct scorer {
    const struct dataset *set;
    struct device device;
    struct model *model;
    uint64_t seed;
    int64_t rows;
    float *parameters;    /* device */
    float *sums;          /* device (MODEL_METRICS_MAX); nobody reads them */
    float *scores;        /* device (SCORER_ROWS, width) */
    uint8_t *feed;        /* host: a model's head, which is zero, and what fill() makes */
    uint8_t *device_feed; /* device */
};

void scorer_close(struct scorer *scorer)
{
    if (scorer == NULL)
        return;
    const struct device device = scorer->device;
    if (scorer->model != NULL)
        scorer->model->ops->close(scorer->model);
    if (device.compute != NULL) {
        device.ops->release(device.compute, scorer->parameters);
        device.ops->release(device.compute, scorer->sums);
        device.ops->release(device.compute, scorer->scores);
        device.ops->release(device.compute, scorer->device_feed);
        device.ops->close(device.compute);
    }
    free(scorer->feed);
    free(scorer);
}

void scorer_cleanup(struct scorer *const *scorer)
{
    scorer_close(*scorer);
}

static size_t feed_bytes(const struct scorer *scorer)
{
    return sizeof(struct model_feed_head) +
           scorer->model->ops->feed_bytes(scorer->model, SCORER_ROWS);
}

static enum status allocate(struct scorer *scorer, struct error *err)
{
    const struct device *device = &scorer->device;
    const size_t score_floats = (size_t)SCORER_ROWS * (size_t)scorer->model->score_width;
    void *memory = NULL;
    TRY(device->ops->alloc(device->compute, model_parameter_count(scorer->model) * sizeof(float),
                           &memory, err));
    scorer->parameters = memory;
    TRY(device->ops->alloc(device->compute, MODEL_METRICS_MAX * sizeof(float), &memory, err));
    scorer->sums = memory;
    TRY(device->ops->alloc(device->compute, score_floats * sizeof(float), &memory, err));
    scorer->scores = memory;
    TRY(device->ops->alloc(device->compute, feed_bytes(scorer), &memory, err));
    scorer->device_feed = memory;
    scorer->feed = calloc(1, feed_bytes(scorer));
    if (scorer->feed == NULL)
        return error_set(err, STATUS_NO_MEMORY, "feed of %zu bytes", feed_bytes(scorer));
    return STATUS_OK;
}

enum status scorer_open(const struct model_file *file, const struct dataset *like_training,
                        const struct dataset *set, struct scorer **out, struct error *err)
{
    CLEANUP(scorer_cleanup) struct scorer *scorer = calloc(1, sizeof(*scorer));
    if (scorer == NULL)
        return error_set(err, STATUS_NO_MEMORY, "open a model for scoring");
    scorer->set = set;
    scorer->seed = file->spec.training.seed;
    const char *name = file->spec.resources.device == JOB_DEVICE_CUDA ? "cuda" : "cpu";
    TRY(compute_find(name, &scorer->device.ops, err));
    TRY(scorer->device.ops->open(0, (int)file->spec.training.threads_per_rank,
                                 &scorer->device.compute, err));
    const struct model_input input = {.train = like_training, .eval = set, .rows_max = SCORER_ROWS};
    TRY(model_registry[file->spec.model.type]->open(&file->spec, &input, scorer->device,
                                                    &scorer->model, err));
    scorer->rows = scorer->model->ops->records(scorer->model, set, false);
    TRY(allocate(scorer, err));
    TRY(model_file_load(file, scorer->model, scorer->device, scorer->parameters, err));
    *out = TAKE(scorer);
    return STATUS_OK;
}

int scorer_width(const struct scorer *scorer)
{
    return scorer->model->score_width;
}

int64_t scorer_rows(const struct scorer *scorer)
{
    return scorer->rows;
}

struct call_context {
    struct scorer *scorer;
    struct model_shape shape;
};

/* Depends on the call's shape alone, so it can be recorded. */
static enum status issue(void *context, struct error *err)
{
    const struct call_context *at = context;
    struct scorer *scorer = at->scorer;
    const uint8_t *feed = scorer->device_feed;
    const struct model_call call = {.shape = at->shape,
                                    .set = scorer->set,
                                    .head = (const void *)feed,
                                    .feed = feed + sizeof(struct model_feed_head)};
    return scorer->model->ops->evaluate(scorer->model, scorer->parameters, scorer->sums,
                                        scorer->scores, &call, err);
}

enum status scorer_score(struct scorer *scorer, int64_t first, int count, float *out,
                         struct error *err)
{
    assert(count >= 1 && count <= SCORER_ROWS && first + count <= scorer->rows);
    const struct device *device = &scorer->device;
    int32_t records[SCORER_ROWS];
    for (int i = 0; i < count; i++)
        records[i] = (int32_t)(first + i);
    const struct model_rows rows = {
        .set = scorer->set, .records = records, .count = count, .seed = scorer->seed};
    struct call_context context = {.scorer = scorer};
    size_t bytes = 0;
    TRY(scorer->model->ops->fill(scorer->model, &rows, false,
                                 scorer->feed + sizeof(struct model_feed_head), &bytes,
                                 &context.shape, err));
    TRY(device->ops->upload(device->compute, scorer->device_feed, scorer->feed,
                            sizeof(struct model_feed_head) + bytes, err));
    TRY(device->ops->run(device->compute, model_shape_key(0, &context.shape), issue, &context,
                         err));
    return device->ops->download(device->compute, out, scorer->scores,
                                 (size_t)count * (size_t)scorer->model->score_width * sizeof(float),
                                 err);
}
