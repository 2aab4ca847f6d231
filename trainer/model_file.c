#include "trainer/model_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/hash.h"
#include "base/json.h"

static enum status metadata(const struct model_file *file, const char *path, const char *key,
                            const char **out, struct error *err)
{
    *out = safetensors_metadata(file->tensors, key);
    if (*out == NULL)
        return error_set(err, STATUS_UNSUPPORTED,
                         "%s: the metadata has no \"%s\": no model of this trainer, or an old one",
                         path, key);
    return STATUS_OK;
}

/* Decodes the spec after a look at its hash, so that a spec that was edited is not taken for the job's. */
static enum status read_spec(struct model_file *file, const char *path, struct error *err)
{
    const char *text = NULL;
    TRY(metadata(file, path, "spec", &text, err));
    TRY(metadata(file, path, "spec_sha256", &file->spec_sha256, err));
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES];
    sha256_of(text, strlen(text), digest);
    sha256_hex(digest, hex);
    if (strcmp(hex, file->spec_sha256) != 0)
        return error_set(err, STATUS_CORRUPT, "%s: the spec has SHA-256 %s, not spec_sha256 %s",
                         path, hex, file->spec_sha256);
    CLEANUP(json_cleanup) json_t *document = NULL;
    TRY(json_parse(text, strlen(text), &document, err));
    CLEANUP(free_cleanup) struct json_problems *problems = calloc(1, sizeof(*problems));
    if (problems == NULL)
        return error_set(err, STATUS_NO_MEMORY, "read %s", path);
    const struct json_at root = json_at_root(document, problems);
    job_spec_decode(&root, &file->spec);
    struct error cause = {.status = STATUS_OK};
    if (json_problems_status(problems, &cause) != STATUS_OK)
        return error_set(err, STATUS_UNSUPPORTED, "%s: spec: %s", path, cause.text);
    return STATUS_OK;
}

enum status model_file_open(const char *path, struct model_file *out, struct error *err)
{
    *out = (struct model_file){.tensors = NULL};
    TRY(safetensors_open(path, &out->tensors, err));
    TRY(read_spec(out, path, err));
    return metadata(out, path, "fit", &out->fit, err);
}

void model_file_close(struct model_file *file)
{
    safetensors_close(file->tensors);
    *file = (struct model_file){.tensors = NULL};
}

/* As the layout has it: `target` (rows, columns) from the file's (columns, rows). */
static void transpose_back(float *target, const float *source, int64_t rows, int64_t columns)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++)
            target[i * columns + j] = source[j * rows + i];
    }
}

enum status model_file_load(const struct model_file *file, const struct model *model,
                            struct device device, float *parameters, struct error *err)
{
    size_t count = 0;
    const struct parameter *table = model->ops->parameters(model, &count);
    const size_t bytes = model_parameter_count(model) * sizeof(float);
    CLEANUP(free_cleanup) float *values = malloc(bytes);
    if (values == NULL)
        return error_set(err, STATUS_NO_MEMORY, "load %zu bytes of parameters", bytes);
    for (size_t i = 0; i < count; i++) {
        const struct parameter *parameter = &table[i];
        const float *stored = NULL;
        TRY(safetensors_find(file->tensors, parameter->name, parameter->count, &stored, err));
        if (parameter->transposed)
            transpose_back(values + parameter->offset, stored, parameter->shape[0],
                           parameter->shape[1]);
        else
            memcpy(values + parameter->offset, stored, parameter->count * sizeof(float));
    }
    return device.ops->upload(device.compute, parameters, values, bytes, err);
}
