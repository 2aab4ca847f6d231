/* train_onnx.c - model.onnx beside model.safetensors: the model with its normaliser, for other programs. */
#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/json.h"
#include "trainer/export/onnx_model.h"
#include "trainer/train.h"

#define ONNX_FILE      "model.onnx"
#define PROPERTIES_MAX 4

struct normaliser {
    double means[DATA_COLUMNS_MAX];
    double stds[DATA_COLUMNS_MAX];
    size_t count;
};

static struct normaliser normaliser_of(const struct data_fit *fit)
{
    struct normaliser out = {.count = 0};
    for (size_t i = 0; i < fit->column_count; i++) {
        if (fit->columns[i].kind != COLUMN_NUMERIC)
            continue;
        out.means[out.count] = fit->columns[i].mean;
        out.stds[out.count++] = fit->columns[i].std;
    }
    return out;
}

/* ["age", "income"]: the columns of this kind in their order. */
static char *name_columns(const struct data_fit *fit, int kind)
{
    CLEANUP(json_cleanup) json_t *names = json_array();
    for (size_t i = 0; i < fit->column_count; i++) {
        if (fit->columns[i].kind == kind)
            (void)json_array_append_new(names, json_string(fit->columns[i].name));
    }
    return json_text(names);
}

/* One that cannot be written because it is too large is told in a warning: the job has its model. */
static enum status export_or_warn(struct train *train, const struct onnx_source *source,
                                  struct error *err)
{
    char path[PATH_BYTES_MAX];
    TRY(fs_path(path, sizeof(path), err, "%s/" ONNX_FILE, train->contract->output_dir));
    struct error cause = {.status = STATUS_OK};
    const enum status status = onnx_export(path, source, &cause);
    if (status == STATUS_TOO_LARGE)
        return train_warn(train, err, "%s", cause.text);
    return status == STATUS_OK ? STATUS_OK : error_set(err, status, "%s", cause.text);
}

enum status train_export_onnx(struct train *train, const struct safetensors_tensor *tensors,
                              size_t count, const struct data_fit *fit, struct error *err)
{
    if (!onnx_allows(&train->spec))
        return STATUS_OK;
    struct onnx_property properties[PROPERTIES_MAX] = {{"spec_sha256", train->spec_sha256},
                                                       {"sha256", train->model_sha256}};
    struct onnx_source source = {
        .spec = &train->spec,
        .tensors = tensors,
        .tensor_count = count,
        .bytes_scale = train->training.kind == DATA_KIND_BYTES ? train->training.scale : 0.0F,
        .properties = properties,
        .property_count = 2};
    if (fit == NULL || fit->kind != FIT_TABLE)
        return export_or_warn(train, &source, err);
    const struct normaliser normaliser = normaliser_of(fit);
    CLEANUP(free_cleanup) char *numeric = name_columns(fit, COLUMN_NUMERIC);
    CLEANUP(free_cleanup) char *category = name_columns(fit, COLUMN_CATEGORY);
    if (numeric == NULL || category == NULL)
        return error_set(err, STATUS_NO_MEMORY, "export the model");
    properties[source.property_count++] = (struct onnx_property){"numeric_columns", numeric};
    properties[source.property_count++] = (struct onnx_property){"category_columns", category};
    source.numeric_count = normaliser.count;
    source.means = normaliser.means;
    source.stds = fit->normalize == NORMALIZE_STANDARD ? normaliser.stds : NULL;
    return export_or_warn(train, &source, err);
}
