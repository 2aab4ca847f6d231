#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/fs.h"
#include "trainer/checkpoint.h"
#include "trainer/checkpoint_folder.h"
#include "trainer/export/safetensors.h"

/* A decimal number of the metadata; STATUS_CORRUPT names the key. */
static enum status read_number(const struct safetensors *file, const char *key, int64_t *out,
                               struct error *err)
{
    const char *text = safetensors_metadata(file, key);
    char *end = NULL;
    errno = 0;
    const long long value = text == NULL ? -1 : strtoll(text, &end, 10);
    if (text == NULL || errno != 0 || end == text || *end != '\0' || value < 0)
        return error_set(err, STATUS_CORRUPT, "its metadata has no number %s", key);
    *out = value;
    return STATUS_OK;
}

static enum status read_record(const struct safetensors *file, struct checkpoint_record *out,
                               struct error *err)
{
    TRY(read_number(file, "step", &out->step, err));
    TRY(read_number(file, "epoch", &out->epoch, err));
    TRY(read_number(file, "window_rows", &out->window_rows, err));
    const char *text = safetensors_metadata(file, "window_sums");
    for (int i = 0; i < MODEL_METRICS_MAX; i++) {
        char *end = NULL;
        out->window_sums[i] = text == NULL ? 0.0 : strtod(text, &end);
        if (text == NULL || end == text)
            return error_set(err, STATUS_CORRUPT, "its metadata has no %d numbers window_sums",
                             MODEL_METRICS_MAX);
        text = end;
    }
    const char *state = safetensors_metadata(file, "state");
    if (state == NULL || strlen(state) >= sizeof(out->state))
        return error_set(err, STATUS_CORRUPT, "its metadata has no state of at most %d bytes",
                         CHECKPOINT_STATE_BYTES - 1);
    (void)snprintf(out->state, sizeof(out->state), "%s", state);
    return STATUS_OK;
}

/* Which of the extras the file has: by the name of the first parameter in each. */
static uint32_t find_extras(const struct safetensors *file, const struct checkpoint_state *state)
{
    size_t count = 0, parameters = 0;
    const struct safetensors_tensor *tensors = safetensors_tensors(file, &count);
    const struct parameter *first = state->model->ops->parameters(state->model, &parameters);
    uint32_t extras = 0;
    for (size_t i = 0; i < state->extra_count; i++) {
        char name[sizeof(tensors[0].name)];
        (void)snprintf(name, sizeof(name), "%s.%s", state->extras[i].name, first->name);
        for (size_t j = 0; j < count; j++) {
            if (strcmp(tensors[j].name, name) == 0)
                extras |= UINT32_C(1) << i;
        }
    }
    return extras;
}

/* The tensors must be the expected ones, in one piece and in order, with the checksum they had. */
static enum status check_tensors(const struct safetensors *file,
                                 const struct checkpoint_state *state, uint32_t extras,
                                 const float **out_values, struct error *err)
{
    const size_t expected_count = checkpoint_tensor_count(state, extras);
    CLEANUP(free_cleanup)
    struct safetensors_tensor *expected = calloc(expected_count, sizeof(*expected));
    if (expected == NULL)
        return error_set(err, STATUS_NO_MEMORY, "restore a checkpoint");
    size_t count = 0;
    const struct safetensors_tensor *tensors = safetensors_tensors(file, &count);
    if (count != expected_count)
        return error_set(err, STATUS_CORRUPT, "it has %zu tensors, expected %zu", count,
                         expected_count);
    checkpoint_tensors(state, extras, tensors[0].values, expected);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(tensors[i].name, expected[i].name) != 0 ||
            tensors[i].count != expected[i].count ||
            memcmp(tensors[i].shape, expected[i].shape, sizeof(tensors[i].shape)) != 0 ||
            tensors[i].values != expected[i].values)
            return error_set(err, STATUS_CORRUPT, "tensor %zu is %s, expected %s of %zu elements",
                             i, tensors[i].name, expected[i].name, expected[i].count);
    }
    const size_t floats = checkpoint_vectors(state, extras) * model_parameter_count(state->model);
    const XXH128_hash_t hash = XXH3_128bits(tensors[0].values, floats * sizeof(float));
    char checksum[40];
    (void)snprintf(checksum, sizeof(checksum), "%016llx%016llx", (unsigned long long)hash.high64,
                   (unsigned long long)hash.low64);
    const char *stored = safetensors_metadata(file, "xxh3_128");
    if (stored == NULL || strcmp(stored, checksum) != 0)
        return error_set(err, STATUS_CORRUPT, "XXH3 of its tensors is %s, expected %s", checksum,
                         stored == NULL ? "one in the metadata" : stored);
    *out_values = tensors[0].values;
    return STATUS_OK;
}

static enum status check_identity(const struct safetensors *file, const char *spec_sha256,
                                  int64_t step, const struct checkpoint_record *record,
                                  struct error *err)
{
    const char *spec = safetensors_metadata(file, "spec_sha256");
    if (spec == NULL || strcmp(spec, spec_sha256) != 0)
        return error_set(err, STATUS_CONFLICT, "it is of another spec: %s, not %s",
                         spec == NULL ? "none" : spec, spec_sha256);
    if (step >= 0 && record->step != step)
        return error_set(err, STATUS_CONFLICT, "it is of step %lld, expected step %lld",
                         (long long)record->step, (long long)step);
    return STATUS_OK;
}

/* Parameters and this rank's part of the optimizer's state to the device, extras to the host. */
static enum status take_vectors(const struct checkpoint_state *state, uint32_t extras,
                                const float *values, struct error *err)
{
    const size_t floats = model_parameter_count(state->model);
    const size_t bytes = floats * sizeof(float);
    TRY(state->device.ops->upload(state->device.compute, state->parameters, values, bytes, err));
    for (int i = 0; i < state->sync->optim->state_count; i++)
        TRY(state->sync->ops->put_state(state->sync, i, values += floats, err));
    for (size_t i = 0; i < state->extra_count; i++) {
        if ((extras >> i & 1) == 0)
            continue;
        values += floats;
        if (state->extras[i].values != NULL)
            memcpy(state->extras[i].values, values, bytes);
    }
    return STATUS_OK;
}

static enum status restore_from(const char *path, const char *spec_sha256, int64_t step,
                                const struct checkpoint_state *state, struct checkpoint_record *out,
                                uint32_t *out_extras, struct error *err)
{
    CLEANUP(safetensors_cleanup) struct safetensors *file = NULL;
    TRY(safetensors_open(path, &file, err));
    struct checkpoint_record record = {.step = 0};
    const float *values = NULL;
    TRY(read_record(file, &record, err));
    TRY(check_identity(file, spec_sha256, step, &record, err));
    const uint32_t extras = find_extras(file, state);
    TRY(check_tensors(file, state, extras, &values, err));
    TRY(take_vectors(state, extras, values, err));
    *out = record;
    *out_extras = extras;
    return STATUS_OK;
}

enum status checkpoint_restore(const char *folder, const char *spec_sha256, int64_t step,
                               const struct checkpoint_state *state, struct checkpoint_record *out,
                               uint32_t *out_extras, struct error *err)
{
    char path[PATH_BYTES_MAX];
    TRY(fs_path(path, sizeof(path), err, "%s/%s", folder, CHECKPOINT_SHARD_NAME));
    struct error cause = {.status = STATUS_OK};
    const enum status status =
        restore_from(path, spec_sha256, step, state, out, out_extras, &cause);
    if (status != STATUS_OK)
        return error_set(err, status, "checkpoint %s: %s", path, cause.text);
    return STATUS_OK;
}
