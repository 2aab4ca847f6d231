/* train_exported.c - the model files: the parameters, and from what and how they were made. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/version.h"
#include "trainer/data/fit.h"
#include "trainer/export/safetensors.h"
#include "trainer/train.h"

#define MODEL_FILE "model.safetensors"

#define NUMBER_BYTES 24

/* target (columns, rows) = the transpose of source (rows, columns). */
static void transpose(float *target, const float *source, int64_t rows, int64_t columns)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++)
            target[j * rows + i] = source[i * columns + j];
    }
}

/* Floats of the largest parameter that files hold transposed. */
static size_t largest_transposed(const struct parameter *parameters, size_t count)
{
    size_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        if (parameters[i].transposed && parameters[i].count > largest)
            largest = parameters[i].count;
    }
    return largest;
}

/*
 * Brings the parameters to the host in the form that files have: `values` has the layout's order. One
 * after the other, so that there is one whole copy of them and not two.
 */
static enum status collect(const struct train *train, float *values,
                           struct safetensors_tensor *tensors, struct error *err)
{
    size_t count = 0;
    const struct parameter *parameters = train->model->ops->parameters(train->model, &count);
    const struct device device = train->device;
    const size_t raw_bytes = largest_transposed(parameters, count) * sizeof(float);
    CLEANUP(free_cleanup) float *raw = malloc(raw_bytes > 0 ? raw_bytes : 1);
    if (raw == NULL)
        return error_set(err, STATUS_NO_MEMORY, "export %zu bytes", raw_bytes);
    for (size_t i = 0; i < count; i++) {
        const struct parameter *parameter = &parameters[i];
        struct safetensors_tensor *tensor = &tensors[i];
        float *target = values + parameter->offset;
        tensor->dims = parameter->dims;
        tensor->count = parameter->count;
        tensor->values = target;
        (void)snprintf(tensor->name, sizeof(tensor->name), "%s", parameter->name);
        memcpy(tensor->shape, parameter->shape, sizeof(tensor->shape));
        TRY(device.ops->download(device.compute, parameter->transposed ? raw : target,
                                 train->parameters + parameter->offset,
                                 parameter->count * sizeof(float), err));
        if (!parameter->transposed)
            continue;
        transpose(target, raw, parameter->shape[0], parameter->shape[1]);
        tensor->shape[0] = parameter->shape[1];
        tensor->shape[1] = parameter->shape[0];
    }
    return STATUS_OK;
}

/* {"eval_accuracy": 0.97, ...}; NULL only when out of memory. */
static char *encode_results(const struct train_results *results)
{
    CLEANUP(json_cleanup) json_t *json = json_object();
    for (size_t i = 0; i < results->count; i++)
        (void)json_object_set_new(json, results->names[i], json_real(results->values[i]));
    return json_canonical(json);
}

/* The bytes that the spec's hash is of; NULL only when out of memory. */
static char *encode_spec(const struct job_spec *spec)
{
    CLEANUP(json_cleanup) json_t *json = job_spec_encode(spec);
    return json == NULL ? NULL : json_canonical(json);
}

/* Records that were trained on, each as often as it came up; every epoch ends with a smaller batch. */
static int64_t samples_of_steps(const struct train *train)
{
    const int64_t epochs = train->step / train->steps_per_epoch;
    const int64_t rest = (train->step % train->steps_per_epoch) * train->spec.training.batch_size;
    return epochs * train->plan.records + rest;
}

/*
 * What was fitted, for the model: without the malformed records that were passed over, whose texts name
 * the folder that the data lay in.
 */
static enum status take_fit(const struct train *train, struct data_fit **out, struct buf *out_text,
                            struct error *err)
{
    const struct dataset *set = &train->training;
    if (set->fit_bytes == 0)
        return STATUS_OK;
    TRY(data_fit_parse(set->fit, set->fit_bytes, out, err));
    (*out)->skipped = (struct records_skipped){.count = 0};
    data_fit_write(*out, out_text);
    return buf_status(out_text, "what was fitted on the data", err);
}

/* What is written: named tensors on the host, and all texts beside them. */
struct exported {
    float *values;
    struct safetensors_tensor *tensors;
    size_t count;
    char *results, *spec;
    struct data_fit *fit; /* NULL: nothing was fitted */
    struct buf fit_text;
};

static void exported_clear(struct exported *exported)
{
    free(exported->values);
    free(exported->tensors);
    free(exported->results);
    free(exported->spec);
    data_fit_free(exported->fit);
    buf_clear(&exported->fit_text);
}

static enum status prepare(struct train *train, struct exported *out, struct error *err)
{
    buf_init(&out->fit_text, DATA_FIT_MAX);
    (void)train->model->ops->parameters(train->model, &out->count);
    out->values = malloc(train->parameter_count * sizeof(float));
    out->tensors = calloc(out->count, sizeof(*out->tensors));
    out->results = encode_results(&train->results);
    out->spec = encode_spec(&train->spec);
    if (out->values == NULL || out->tensors == NULL || out->results == NULL || out->spec == NULL)
        return error_set(err, STATUS_NO_MEMORY, "export the model");
    TRY(take_fit(train, &out->fit, &out->fit_text, err));
    return collect(train, out->values, out->tensors, err);
}

static enum status write_model(struct train *train, struct error *err)
{
    CLEANUP(exported_clear) struct exported exported = {.count = 0};
    TRY(prepare(train, &exported, err));
    const struct training_spec *training = &train->spec.training;
    char seed[NUMBER_BYTES], steps[NUMBER_BYTES], samples[NUMBER_BYTES];
    (void)snprintf(seed, sizeof(seed), "%llu", (unsigned long long)training->seed);
    (void)snprintf(steps, sizeof(steps), "%lld", (long long)train->step);
    (void)snprintf(samples, sizeof(samples), "%lld", (long long)samples_of_steps(train));
    /* Only what spec and data decide: the same job gives the same file, however often interrupted. */
    const struct safetensors_metadata metadata[] = {
        {"format", "pt"},
        {"model", train->model->ops->type},
        {"spec", exported.spec},
        {"spec_sha256", train->spec_sha256},
        {"fit", exported.fit_text.data},
        {"data_train_sha256", train->training.sha256},
        {"data_eval_sha256", train->evaluation.sha256},
        {"seed", seed},
        {"steps", steps},
        {"samples", samples},
        {"metrics", exported.results},
        {"sync", sync_registry[training->sync]->mode},
        {"reproducible", train->sync->is_reproducible ? "yes" : "no"},
        {"reprise_version", REPRISE_VERSION},
        {"numerics", train->device.ops->describe(train->device.compute)},
    };
    const struct safetensors_content content = {.tensors = exported.tensors,
                                                .tensor_count = exported.count,
                                                .metadata = metadata,
                                                .metadata_count = COUNT_OF(metadata)};
    struct safetensors_written written;
    TRY(fs_path(train->model_path, sizeof(train->model_path), err, "%s/" MODEL_FILE,
                train->contract->output_dir));
    TRY(safetensors_write(train->model_path, &content, &written, err));
    train->model_bytes = written.bytes;
    safetensors_digest(exported.tensors, exported.count, train->model_sha256);
    return train_export_onnx(train, exported.tensors, exported.count, exported.fit, err);
}

enum status train_export(struct train *train, struct error *err)
{
    progress_enter(train->progress, PROGRESS_EXPORT);
    if (train->contract->rank == 0) {
        /* The file will say that it came from this data: so look whether the mapping still is it. */
        train->part = TRAIN_PART_DATA;
        TRY(dataset_verify(&train->training, err));
        train->part = TRAIN_PART_WRITE;
        TRY(write_model(train, err));
    }
    train->part = TRAIN_PART_GANG;
    return train->comm->ops->barrier(train->comm, err);
}
