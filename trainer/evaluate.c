#include "trainer/evaluate.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/text.h"
#include "trainer/places.h"
#include "trainer/train.h"

/* Puts the file in place of the spec's evaluation part. */
static enum status take_file(struct data_spec *spec, const struct evaluate_request *request,
                             struct error *err)
{
    struct data_part *part = &spec->eval;
    const bool has_labels = spec->train.features[0] != '\0';
    *part = (struct data_part){.format = spec->train.format};
    spec->split.by = SPLIT_NONE;
    if (has_labels && request->labels == NULL)
        return error_set(err, STATUS_INVALID, "%s: its labels are in a file of their own: --labels",
                         request->file);
    if (!text_copy(has_labels ? part->features : part->file, DATA_FILE_BYTES, request->file) ||
        (has_labels && !text_copy(part->labels, DATA_FILE_BYTES, request->labels)))
        return error_set(err, STATUS_INVALID, "%s: a name of at most %d bytes, within the folder",
                         request->file, DATA_FILE_BYTES - 1);
    return STATUS_OK;
}

static enum status append_figures(const struct train *train, const struct model_file *file,
                                  struct buf *out, struct error *err)
{
    const char *own = safetensors_metadata(file->tensors, "data_eval_sha256");
    const bool is_same = own != NULL && strcmp(own, train->evaluation.sha256) == 0;
    CLEANUP(json_cleanup) json_t *line = json_object();
    for (size_t i = 0; i < train->results.count; i++)
        (void)json_object_set_new(line, train->results.names[i],
                                  json_real(train->results.values[i]));
    (void)json_object_set_new(line, "records", json_integer(train->evaluation.count));
    (void)json_object_set_new(line, "data_sha256", json_string(train->evaluation.sha256));
    (void)json_object_set_new(line, "same_data", json_boolean(is_same));
    json_append(out, line);
    buf_append_text(out, "\n");
    return buf_status(out, "metrics", err);
}

static enum status evaluate(struct train *train, const struct contract *contract,
                            const struct model_file *file, struct buf *out, struct error *err)
{
    TRY(train_open_saved(train, contract, file, err));
    TRY(train_evaluate(train, err));
    return append_figures(train, file, out, err);
}

enum trainer_exit evaluate_run(const struct evaluate_request *request, struct buf *out,
                               struct error *err)
{
    CLEANUP(free_cleanup) struct train *train = calloc(1, sizeof(*train));
    CLEANUP(model_file_close) struct model_file file = {.tensors = NULL};
    CLEANUP(places_cache_close) struct places_cache cache = {.path = ""};
    if (train == NULL)
        return train_exit_of(TRAIN_PART_STEP,
                             error_set(err, STATUS_NO_MEMORY, "evaluate %s", request->model));
    char folder[PATH_MAX];
    enum status status = model_file_open(request->model, &file, err);
    if (status == STATUS_OK)
        status = places_find_data(request->data, file.spec.data.root, folder, err);
    if (status == STATUS_OK && request->file != NULL)
        status = take_file(&file.spec.data, request, err);
    if (status != STATUS_OK)
        return TRAINER_EXIT_BAD_DATA;
    if (places_cache_open(&cache, err) != STATUS_OK)
        return TRAINER_EXIT_CANNOT_WRITE;
    const struct contract contract = {
        .standalone = true,
        .world_size = 1,
        .local_world_size = 1,
        .group_world_size = 1,
        .job_id = "",
        .data_dir = folder,
        .data_cache = cache.path,
    };
    status = evaluate(train, &contract, &file, out, err);
    const enum trainer_exit code =
        status == STATUS_OK ? TRAINER_EXIT_DONE : train_exit_of(train->part, status);
    train_close(train);
    return code;
}
