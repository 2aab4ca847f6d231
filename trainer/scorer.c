#include "trainer/scorer.h"

#include <stdlib.h>

#include "base/fs.h"

struct scorer {
    struct device device;
    struct model *model;
    float *parameters; /* device */
    struct evaluator *evaluator;
};

void scorer_close(struct scorer *scorer)
{
    if (scorer == NULL)
        return;
    const struct device device = scorer->device;
    evaluator_close(scorer->evaluator);
    if (scorer->model != NULL)
        scorer->model->ops->close(scorer->model);
    if (device.compute != NULL) {
        device.ops->release(device.compute, scorer->parameters);
        device.ops->close(device.compute);
    }
    free(scorer);
}

void scorer_cleanup(struct scorer *const *scorer)
{
    scorer_close(*scorer);
}

enum status scorer_open(const struct model_file *file, const struct dataset *like_training,
                        const struct dataset *set, struct scorer **out, struct error *err)
{
    CLEANUP(scorer_cleanup) struct scorer *scorer = calloc(1, sizeof(*scorer));
    if (scorer == NULL)
        return error_set(err, STATUS_NO_MEMORY, "open a model for scoring");
    const char *name = file->spec.resources.device == JOB_DEVICE_CUDA ? "cuda" : "cpu";
    TRY(compute_find(name, &scorer->device.ops, err));
    TRY(scorer->device.ops->open(0, (int)file->spec.training.threads_per_rank,
                                 &scorer->device.compute, err));
    const struct model_input input = {.train = like_training, .eval = set, .rows_max = SCORER_ROWS};
    TRY(model_registry[file->spec.model.type]->open(&file->spec, &input, scorer->device,
                                                    &scorer->model, err));
    void *memory = NULL;
    TRY(scorer->device.ops->alloc(scorer->device.compute,
                                  model_parameter_count(scorer->model) * sizeof(float), &memory,
                                  err));
    scorer->parameters = memory;
    TRY(model_file_load(file, scorer->model, scorer->device, scorer->parameters, err));
    const struct evaluator_parts parts = {.device = scorer->device,
                                          .model = scorer->model,
                                          .set = set,
                                          .parameters = scorer->parameters,
                                          .seed = file->spec.training.seed,
                                          .gives_scores = true};
    TRY(evaluator_open(&parts, &scorer->evaluator, err));
    *out = TAKE(scorer);
    return STATUS_OK;
}

int scorer_width(const struct scorer *scorer)
{
    return scorer->model->score_width;
}

int64_t scorer_rows(const struct scorer *scorer)
{
    return evaluator_rows(scorer->evaluator);
}

enum status scorer_score(struct scorer *scorer, int64_t first, int count, float *out,
                         struct error *err)
{
    return evaluator_run(scorer->evaluator, first, count, NULL, out, err);
}
