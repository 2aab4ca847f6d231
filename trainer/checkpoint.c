#include "trainer/checkpoint.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/clock.h"
#include "base/fs.h"
#include "trainer/checkpoint_folder.h"
#include "trainer/export/safetensors.h"

#define CHECKPOINT_NUMBER_BYTES 32
#define CHECKPOINT_SUMS_BYTES   256

struct checkpoints {
    struct checkpoint_options options;
    struct checkpoint_state state;
    float *snapshot; /* parameters, each optimizer state, the extras that are there */
    struct safetensors_tensor *tensors; /* over the snapshot */
    uint32_t extras;                    /* in the snapshot */
    struct checkpoint_record record;    /* of the snapshot */
    int64_t snapshot_wall_ms;

    pthread_t thread;
    bool thread_runs;
    pthread_mutex_t mutex; /* guards the rest */
    pthread_cond_t changed;
    bool writing;
    bool stopping;
    struct error failure; /* the writer's first */
};

uint32_t checkpoint_extras_present(const struct checkpoint_state *state)
{
    uint32_t extras = 0;
    for (size_t i = 0; i < state->extra_count; i++) {
        const bool *is_present = state->extras[i].is_present;
        if (is_present == NULL || *is_present)
            extras |= UINT32_C(1) << i;
    }
    return extras;
}

size_t checkpoint_vectors(const struct checkpoint_state *state, uint32_t extras)
{
    return 1 + (size_t)state->sync->optim->state_count + (size_t)__builtin_popcount(extras);
}

size_t checkpoint_tensor_count(const struct checkpoint_state *state, uint32_t extras)
{
    size_t parameters = 0;
    (void)state->model->ops->parameters(state->model, &parameters);
    return parameters * checkpoint_vectors(state, extras);
}

/* The tensors of one vector; `prefix` NULL: the parameters themselves. */
static void describe_vector(const struct model *model, const char *prefix, const float *values,
                            struct safetensors_tensor *out)
{
    size_t count = 0;
    const struct parameter *parameters = model->ops->parameters(model, &count);
    for (size_t i = 0; i < count; i++, out++) {
        const struct parameter *parameter = &parameters[i];
        *out = (struct safetensors_tensor){.dims = parameter->dims, .count = parameter->count};
        (void)snprintf(out->name, sizeof(out->name), "%s%s%s", prefix == NULL ? "" : prefix,
                       prefix == NULL ? "" : ".", parameter->name);
        memcpy(out->shape, parameter->shape, sizeof(out->shape));
        out->values = values + parameter->offset;
    }
}

void checkpoint_tensors(const struct checkpoint_state *state, uint32_t extras, const float *values,
                        struct safetensors_tensor *out)
{
    size_t count = 0;
    (void)state->model->ops->parameters(state->model, &count);
    const size_t floats = model_parameter_count(state->model);
    const struct optim_ops *optim = state->sync->optim;
    describe_vector(state->model, NULL, values, out);
    for (int i = 0; i < optim->state_count; i++)
        describe_vector(state->model, optim->state_names[i], values += floats, out += count);
    for (size_t i = 0; i < state->extra_count; i++) {
        if ((extras >> i & 1) != 0)
            describe_vector(state->model, state->extras[i].name, values += floats, out += count);
    }
}

/* ------------------------------------------------------------------ the writer's side */

/* %.17g brings every double back bit for bit. */
static void format_sums(const double sums[MODEL_METRICS_MAX], char out[CHECKPOINT_SUMS_BYTES])
{
    size_t used = 0;
    for (int i = 0; i < MODEL_METRICS_MAX; i++)
        used += (size_t)snprintf(out + used, CHECKPOINT_SUMS_BYTES - used, "%s%.17g",
                                 i == 0 ? "" : " ", sums[i]);
}

static enum status write_shard(const struct checkpoints *c, const char *path,
                               struct safetensors_written *out, struct error *err)
{
    char attempt[CHECKPOINT_NUMBER_BYTES], step[CHECKPOINT_NUMBER_BYTES];
    char epoch[CHECKPOINT_NUMBER_BYTES], world_size[CHECKPOINT_NUMBER_BYTES];
    char rows[CHECKPOINT_NUMBER_BYTES], checksum[2 * CHECKPOINT_NUMBER_BYTES];
    char sums[CHECKPOINT_SUMS_BYTES];
    const size_t floats =
        checkpoint_vectors(&c->state, c->extras) * model_parameter_count(c->state.model);
    const XXH128_hash_t hash = XXH3_128bits(c->snapshot, floats * sizeof(float));
    (void)snprintf(attempt, sizeof(attempt), "%lld", (long long)c->options.attempt);
    (void)snprintf(step, sizeof(step), "%lld", (long long)c->record.step);
    (void)snprintf(epoch, sizeof(epoch), "%lld", (long long)c->record.epoch);
    (void)snprintf(world_size, sizeof(world_size), "%d", c->options.world_size);
    (void)snprintf(rows, sizeof(rows), "%lld", (long long)c->record.window_rows);
    (void)snprintf(checksum, sizeof(checksum), "%016llx%016llx", (unsigned long long)hash.high64,
                   (unsigned long long)hash.low64);
    format_sums(c->record.window_sums, sums);
    const struct safetensors_metadata metadata[] = {
        {"job", c->options.job_id},
        {"attempt", attempt},
        {"step", step},
        {"epoch", epoch},
        {"world_size", world_size},
        {"spec_sha256", c->options.spec_sha256},
        {"xxh3_128", checksum},
        {"window_rows", rows},
        {"window_sums", sums},
        {"state", c->record.state},
    };
    const struct safetensors_content content = {.tensors = c->tensors,
                                                .tensor_count =
                                                    checkpoint_tensor_count(&c->state, c->extras),
                                                .metadata = metadata,
                                                .metadata_count = COUNT_OF(metadata)};
    return safetensors_write(path, &content, out, err);
}

/* Deletes all but the newest `keep_last`. */
static enum status delete_old(const struct checkpoints *c, struct error *err)
{
    int64_t before = c->record.step + 1;
    for (int64_t kept = 0;; kept++) {
        char path[PATH_BYTES_MAX];
        int64_t step = 0;
        const enum status found =
            checkpoint_newest(c->options.folder, before, path, sizeof(path), &step, NULL);
        if (found == STATUS_NOT_FOUND)
            return STATUS_OK;
        TRY(found);
        if (kept >= c->options.keep_last)
            TRY(fs_remove_tree(path, err));
        before = step;
    }
}

static enum status write_checkpoint(const struct checkpoints *c, struct error *err)
{
    struct wire_event event = {.kind = EVENT_CHECKPOINT, .step = c->record.step, .shard_of = 1};
    event.epoch = c->record.epoch;
    event.snapshot_wall_ms = c->snapshot_wall_ms;
    char folder[PATH_BYTES_MAX];
    TRY(checkpoint_folder(c->options.folder, c->record.step, folder, sizeof(folder), err));
    TRY(fs_path(event.path, sizeof(event.path), err, "%s/%s", folder, CHECKPOINT_SHARD_NAME));
    TRY(fs_make_dirs(folder, 0755, err));
    struct safetensors_written written;
    TRY(write_shard(c, event.path, &written, err));
    TRY(fs_fsync_dir(c->options.folder, err));
    event.bytes = (int64_t)written.bytes;
    (void)snprintf(event.sha256, sizeof(event.sha256), "%s", written.sha256);
    TRY(events_emit(c->options.events, &event, err));
    return c->options.keep_last > 0 ? delete_old(c, err) : STATUS_OK;
}

static void *writer_main(void *argument)
{
    struct checkpoints *c = argument;
    (void)pthread_mutex_lock(&c->mutex);
    for (;;) {
        while (!c->writing && !c->stopping)
            (void)pthread_cond_wait(&c->changed, &c->mutex);
        if (!c->writing)
            break;
        (void)pthread_mutex_unlock(&c->mutex); /* while `writing`, snapshot and record are ours */
        struct error failure = {.status = STATUS_OK};
        const enum status status = write_checkpoint(c, &failure);
        (void)pthread_mutex_lock(&c->mutex);
        if (status != STATUS_OK && c->failure.status == STATUS_OK)
            c->failure = failure;
        c->writing = false;
        (void)pthread_cond_broadcast(&c->changed);
    }
    (void)pthread_mutex_unlock(&c->mutex);
    return NULL;
}

/* ------------------------------------------------------------------ the training thread's side */

enum status checkpoints_open(const struct checkpoint_options *options,
                             const struct checkpoint_state *state, struct checkpoints **out,
                             struct error *err)
{
    struct checkpoints *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return error_set(err, STATUS_NO_MEMORY, "open checkpoints");
    c->options = *options;
    c->state = *state;
    assert(state->extra_count <= CHECKPOINT_EXTRAS_MAX);
    (void)pthread_mutex_init(&c->mutex, NULL); /* neither fails with default attributes */
    (void)pthread_cond_init(&c->changed, NULL);
    *out = c;
    return STATUS_OK;
}

void checkpoints_close(struct checkpoints *c)
{
    if (c == NULL)
        return;
    if (c->thread_runs) {
        (void)pthread_mutex_lock(&c->mutex);
        c->stopping = true;
        (void)pthread_cond_broadcast(&c->changed);
        (void)pthread_mutex_unlock(&c->mutex);
        (void)pthread_join(c->thread, NULL);
    }
    (void)pthread_cond_destroy(&c->changed);
    (void)pthread_mutex_destroy(&c->mutex);
    free(c->tensors);
    free(c->snapshot);
    free(c);
}

bool checkpoints_is_writing(struct checkpoints *c)
{
    (void)pthread_mutex_lock(&c->mutex);
    const bool writing = c->writing;
    (void)pthread_mutex_unlock(&c->mutex);
    return writing;
}

enum status checkpoints_wait(struct checkpoints *c, struct error *err)
{
    (void)pthread_mutex_lock(&c->mutex);
    while (c->writing)
        (void)pthread_cond_wait(&c->changed, &c->mutex);
    const struct error failure = c->failure;
    (void)pthread_mutex_unlock(&c->mutex);
    if (failure.status != STATUS_OK)
        return error_set(err, failure.status, "checkpoint: %s", failure.text);
    return STATUS_OK;
}

/* Snapshot memory and the writer are made at the first checkpoint: starting is quicker without. */
static enum status prepare_first(struct checkpoints *c, struct error *err)
{
    if (c->thread_runs)
        return STATUS_OK;
    const uint32_t all = (UINT32_C(1) << c->state.extra_count) - 1;
    const size_t floats =
        checkpoint_vectors(&c->state, all) * model_parameter_count(c->state.model);
    c->snapshot = calloc(floats, sizeof(float));
    c->tensors = calloc(checkpoint_tensor_count(&c->state, all), sizeof(*c->tensors));
    if (c->snapshot == NULL || c->tensors == NULL)
        return error_set(err, STATUS_NO_MEMORY, "snapshot of %zu floats", floats);
    const int failure = pthread_create(&c->thread, NULL, writer_main, c);
    if (failure != 0)
        return error_set_errno(err, STATUS_NO_MEMORY, failure, "start the checkpoint writer");
    (void)pthread_setname_np(c->thread, "checkpoint");
    c->thread_runs = true;
    return STATUS_OK;
}

/* Parameters and extras; the optimizer's state lies between them. */
static enum status take_own_vectors(struct checkpoints *c, struct error *err)
{
    const struct checkpoint_state *state = &c->state;
    const size_t floats = model_parameter_count(state->model);
    const size_t bytes = floats * sizeof(float);
    c->extras = checkpoint_extras_present(state);
    checkpoint_tensors(state, c->extras, c->snapshot, c->tensors);
    TRY(state->device.ops->download(state->device.compute, c->snapshot, state->parameters, bytes,
                                    err));
    float *target = c->snapshot + (size_t)(1 + state->sync->optim->state_count) * floats;
    for (size_t i = 0; i < state->extra_count; i++) {
        if ((c->extras >> i & 1) == 0)
            continue;
        memcpy(target, state->extras[i].values, bytes);
        target += floats;
    }
    return STATUS_OK;
}

/* By all ranks; only rank 0 has where to put it. */
static enum status gather_states(struct checkpoints *c, struct error *err)
{
    struct sync *sync = c->state.sync;
    const size_t floats = model_parameter_count(c->state.model);
    for (int i = 0; i < sync->optim->state_count; i++) {
        float *target = c->options.rank == 0 ? c->snapshot + (size_t)(i + 1) * floats : NULL;
        TRY(sync->ops->gather_state(sync, i, target, err));
    }
    return STATUS_OK;
}

static void hand_to_writer(struct checkpoints *c, const struct checkpoint_record *record)
{
    c->record = *record;
    (void)pthread_mutex_lock(&c->mutex);
    assert(!c->writing);
    c->writing = true;
    (void)pthread_cond_broadcast(&c->changed);
    (void)pthread_mutex_unlock(&c->mutex);
}

enum status checkpoints_take(struct checkpoints *c, const struct checkpoint_record *record,
                             struct error *err)
{
    const bool is_writer = c->options.rank == 0;
    if (is_writer) {
        TRY(prepare_first(c, err));
        if (checkpoints_is_writing(c))
            progress_enter(c->options.progress, PROGRESS_CHECKPOINT);
        TRY(checkpoints_wait(c, err));
        c->snapshot_wall_ms = clock_wall_ms();
    }
    TRY(c->state.sync->ops->settle(c->state.sync, err));
    if (is_writer)
        TRY(take_own_vectors(c, err));
    TRY(gather_states(c, err));
    if (is_writer)
        hand_to_writer(c, record);
    return STATUS_OK;
}
