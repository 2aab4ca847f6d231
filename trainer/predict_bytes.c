/* predict_bytes.c - images and arrays: the whole file is decoded into the scratch folder and mapped from there. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/text.h"
#include "trainer/predict.h"
#include "trainer/scorer.h"

/* PATH as a folder and a part of a data set whose labels nobody knows. */
static enum status describe_part(const char *path, struct data_spec *spec, char folder[PATH_MAX],
                                 struct error *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    TRY(fs_path(folder, PATH_MAX, err, "%.*s", slash == NULL ? 1 : (int)(slash - path) + 1,
                slash == NULL ? "." : path));
    spec->eval = (struct data_part){.format = spec->train.format};
    spec->split.by = SPLIT_NONE;
    if (!text_copy(spec->eval.features, sizeof(spec->eval.features), name))
        return error_set(err, STATUS_INVALID, "%s: a name of over %zu bytes", path,
                         sizeof(spec->eval.features) - 1);
    return STATUS_OK;
}

static enum status check_width(const struct predict *predict, const struct dataset *set,
                               struct error *err)
{
    size_t count = 0;
    const struct safetensors_tensor *tensors = safetensors_tensors(predict->file.tensors, &count);
    const struct data_array *bytes = dataset_array(set, "features");
    const struct data_array *features = bytes != NULL ? bytes : dataset_array(set, "numeric");
    for (size_t i = 0; i < count && features != NULL; i++) {
        if (strcmp(tensors[i].name, "layer0.weight") == 0 && tensors[i].shape[1] != features->width)
            return error_set(err, STATUS_INVALID, "%s has %lld features a record, the model %lld",
                             predict->request->data, (long long)features->width,
                             (long long)tensors[i].shape[1]);
    }
    return STATUS_OK;
}

static enum status score_set(struct predict *predict, const struct dataset *set, struct error *err)
{
    CLEANUP(scorer_cleanup) struct scorer *scorer = NULL;
    TRY(scorer_open(&predict->file, set, set, &scorer, err));
    const int width = scorer_width(scorer);
    CLEANUP(free_cleanup)
    float *scores = calloc((size_t)SCORER_ROWS * (size_t)width, sizeof(*scores));
    if (scores == NULL)
        return error_set(err, STATUS_NO_MEMORY, "scores of %d rows", SCORER_ROWS);
    TRY(predict_write_header(&predict->writer, err));
    const int64_t rows = scorer_rows(scorer);
    for (int64_t first = 0; first < rows; first += SCORER_ROWS) {
        const int count = rows - first < SCORER_ROWS ? (int)(rows - first) : SCORER_ROWS;
        TRY(scorer_score(scorer, first, count, scores, err));
        for (int i = 0; i < count; i++)
            TRY(predict_write_row(&predict->writer, scores + (int64_t)i * width, NULL, 0, err));
    }
    return STATUS_OK;
}

enum status predict_bytes(struct predict *predict, struct error *err)
{
    char folder[PATH_MAX];
    struct data_spec *spec = &predict->file.spec.data;
    TRY(describe_part(predict->request->data, spec, folder, err));
    const struct data_request request = {.spec = spec, .role = DATA_EVAL, .root = folder};
    CLEANUP(dataset_close) struct dataset set = {.mapping = NULL};
    const char *scratch = NULL;
    TRY(predict_scratch(predict, &scratch, err));
    TRY(dataset_open(&request, scratch, &set, err));
    TRY(check_width(predict, &set, err));
    return score_set(predict, &set, err);
}
