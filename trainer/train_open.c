/* train_open.c - from a contract to everything that a step needs, and back to nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "trainer/export/tfevents.h"
#include "trainer/train.h"

#define COLLECTIVE_MARGIN_MS 5000 /* the hang watcher names the culprit first */

enum status train_spec_load(const char *path, struct job_spec *out,
                            char out_sha256[SHA256_HEX_BYTES], struct error *err)
{
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, JOB_SPEC_BYTES_MAX);
    TRY(fs_read_file(path, &text, err));
    CLEANUP(json_cleanup) json_t *document = NULL;
    TRY(json_parse(text.data, text.size, &document, err));
    CLEANUP(free_cleanup) struct json_problems *problems = calloc(1, sizeof(*problems));
    if (problems == NULL)
        return error_set(err, STATUS_NO_MEMORY, "read %s", path);
    const struct json_at root = json_at_root(document, problems);
    job_spec_decode(&root, out);
    TRY(json_problems_status(problems, err));

    CLEANUP(json_cleanup) json_t *complete = job_spec_encode(out);
    CLEANUP(free_cleanup) char *canonical = complete == NULL ? NULL : json_canonical(complete);
    if (canonical == NULL)
        return error_set(err, STATUS_NO_MEMORY, "read %s", path);
    uint8_t digest[SHA256_BYTES];
    sha256_of(canonical, strlen(canonical), digest);
    sha256_hex(digest, out_sha256);
    return STATUS_OK;
}

static enum status check_classes(const struct data_part *part, const struct dataset *set,
                                 int64_t classes, struct error *err)
{
    if (set->classes <= classes)
        return STATUS_OK;
    return error_set(err, STATUS_INVALID,
                     "%s: record %lld has label %lld, the model has %lld classes", part->labels,
                     (long long)set->classes_record, (long long)set->classes - 1,
                     (long long)classes);
}

static enum status open_data(struct train *train, struct error *err)
{
    const struct contract *contract = train->contract;
    const struct data_spec *spec = &train->spec.data;
    const int64_t classes = train->spec.model.mlp.classes;
    TRY(dataset_open(&spec->train, contract->data_dir, contract->data_cache, &train->training.set,
                     err));
    TRY(check_classes(&spec->train, &train->training.set, classes, err));
    if (spec->eval.features[0] == '\0')
        return STATUS_OK;
    TRY(dataset_open(&spec->eval, contract->data_dir, contract->data_cache, &train->evaluation.set,
                     err));
    TRY(check_classes(&spec->eval, &train->evaluation.set, classes, err));
    if (train->evaluation.set.width != train->training.set.width)
        return error_set(err, STATUS_INVALID, "%s has %lld features a record, %s has %lld",
                         spec->eval.features, (long long)train->evaluation.set.width,
                         spec->train.features, (long long)train->training.set.width);
    return STATUS_OK;
}

static enum status map_data(struct device device, struct train_data *data, struct error *err)
{
    if (data->set.count == 0)
        return STATUS_OK;
    const void *view = NULL;
    TRY(device.ops->map_host(device.compute, data->set.bytes,
                             (size_t)data->set.count * (size_t)data->set.width, &view, err));
    data->bytes = view;
    TRY(device.ops->map_host(device.compute, data->set.labels,
                             (size_t)data->set.count * sizeof(int32_t), &view, err));
    data->labels = view;
    return STATUS_OK;
}

/* `auto` is the CPU: a node has CPU slots only, until there is a CUDA backend. */
static enum status open_device(struct train *train, struct error *err)
{
    const char *name = train->spec.resources.device == JOB_DEVICE_CUDA ? "cuda" : "cpu";
    TRY(compute_find(name, &train->device.ops, err));
    TRY(train->device.ops->open(0, (int)train->spec.training.threads_per_rank,
                                &train->device.compute, err));
    TRY(map_data(train->device, &train->training, err));
    return map_data(train->device, &train->evaluation, err);
}

static void plan_steps(struct train *train)
{
    const struct training_spec *spec = &train->spec.training;
    const int64_t count = train->training.set.count;
    train->steps_per_epoch = (count + spec->batch_size - 1) / spec->batch_size;
    train->total_steps = spec->epochs > 0 ? spec->epochs * train->steps_per_epoch : spec->steps;
    const int64_t share =
        (spec->batch_size + train->contract->world_size - 1) / train->contract->world_size;
    train->rows_max = share > TRAIN_EVAL_ROWS ? share : TRAIN_EVAL_ROWS;
    train->sampler_epoch = -1;
}

static enum status allocate(struct train *train, size_t bytes, void **out, struct error *err)
{
    return train->device.ops->alloc(train->device.compute, bytes, out, err);
}

static enum status open_model(struct train *train, struct error *err)
{
    const struct model_input input = {.width = train->training.set.width,
                                      .classes = train->training.set.classes,
                                      .rows_max = train->rows_max};
    const struct model_ops *model = model_registry[train->spec.model.type];
    TRY(model->open(&train->spec, &input, train->device, &train->model, err));
    train->parameter_count = model_parameter_count(train->model);

    const size_t floats = train->parameter_count * sizeof(float);
    const size_t feed_bytes = sizeof(struct train_feed) + (size_t)train->rows_max * sizeof(int32_t);
    void *memory = NULL;
    TRY(allocate(train, floats, &memory, err));
    train->parameters = memory;
    TRY(allocate(train, floats + SYNC_TAIL * sizeof(float), &memory, err));
    train->gradients = memory;
    TRY(allocate(train, feed_bytes, &memory, err));
    train->device_feed = memory;
    TRY(allocate(train, MODEL_METRICS_MAX * sizeof(float), &memory, err));
    train->eval_sums = memory;
    train->feed = calloc(1, feed_bytes);
    if (train->feed == NULL)
        return error_set(err, STATUS_NO_MEMORY, "batch of %lld rows", (long long)train->rows_max);
    return STATUS_OK;
}

static enum status read_secret(const char *path, uint8_t out[COMM_SECRET_BYTES_MAX],
                               size_t *out_bytes, struct error *err)
{
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, COMM_SECRET_BYTES_MAX + 1);
    TRY(fs_read_file(path, &text, err));
    while (text.size > 0 && (text.data[text.size - 1] == '\n' || text.data[text.size - 1] == '\r'))
        text.size--;
    if (text.size == 0 || text.size > COMM_SECRET_BYTES_MAX)
        return error_set(err, STATUS_INVALID, "%s: expected a secret of 1..%d bytes", path,
                         COMM_SECRET_BYTES_MAX);
    memcpy(out, text.data, text.size);
    *out_bytes = text.size;
    return STATUS_OK;
}

static enum status open_gang(struct train *train, struct error *err)
{
    const struct contract *contract = train->contract;
    if (contract->world_size == 1)
        return comm_self_open(&train->comm, err);
    uint8_t secret[COMM_SECRET_BYTES_MAX];
    size_t secret_bytes = 0;
    TRY(read_secret(contract->secret_file, secret, &secret_bytes, err));
    CLEANUP(fd_cleanup) int shared = -1;
    if (contract->shared_memory != NULL) {
        shared = open(contract->shared_memory, O_RDWR | O_CLOEXEC);
        if (shared < 0)
            return error_set_errno(err, status_of_errno(errno), errno, "open %s",
                                   contract->shared_memory);
    }
    const struct comm_place place = {
        .rank = contract->rank,
        .world_size = contract->world_size,
        .local_rank = contract->local_rank,
        .local_world_size = contract->local_world_size,
        .group_rank = contract->group_rank,
        .group_world_size = contract->group_world_size,
        .master_address = contract->master_address,
        .master_port = contract->master_port,
        .secret = secret,
        .secret_bytes = secret_bytes,
        .bind_address = contract->bind_address,
        .shared_memory_fd = shared,
        .setup_timeout_ms = contract->setup_timeout_ms,
        .timeout_ms = contract->hang_timeout_ms + COLLECTIVE_MARGIN_MS,
        .progress = train->progress,
    };
    return comm_host_open(&place, &train->comm, err);
}

static enum status open_sync(struct train *train, struct error *err)
{
    const struct sync_parts parts = {.device = train->device,
                                     .comm = train->comm,
                                     .training = &train->spec.training,
                                     .optimizer = &train->spec.optimizer,
                                     .parameters = train->parameters,
                                     .gradients = train->gradients,
                                     .count = train->parameter_count};
    return sync_open(&parts, &train->sync, err);
}

static enum status initialise(struct train *train, struct error *err)
{
    CLEANUP(free_cleanup) float *values = malloc(train->parameter_count * sizeof(float));
    if (values == NULL)
        return error_set(err, STATUS_NO_MEMORY, "initialise %zu parameters",
                         train->parameter_count);
    model_initialise(train->model, train->spec.training.seed, values);
    return train->device.ops->upload(train->device.compute, train->parameters, values,
                                     train->parameter_count * sizeof(float), err);
}

static void take_up(struct train *train, const struct checkpoint_record *record)
{
    train->step = record->step;
    memcpy(train->window.sums, record->window_sums, sizeof(train->window.sums));
    train->window.rows = record->window_rows;
}

/* Tries the newest checkpoint, then older ones; a damaged one is named in a warning and passed over. */
static enum status restore_newest(struct train *train, const struct checkpoint_state *state,
                                  bool *out_found, struct error *err)
{
    *out_found = false;
    for (int64_t before = -1;;) {
        char folder[PATH_BYTES_MAX];
        int64_t step = 0;
        const enum status found = checkpoint_newest(train->contract->resume_from, before, folder,
                                                    sizeof(folder), &step, NULL);
        if (found == STATUS_NOT_FOUND)
            return STATUS_OK;
        TRY(found);
        struct checkpoint_record record;
        uint32_t extras = 0;
        struct error cause = {.status = STATUS_OK};
        const enum status status =
            checkpoint_restore(folder, train->spec_sha256, step, state, &record, &extras, &cause);
        if (status == STATUS_OK) {
            take_up(train, &record);
            *out_found = true;
            return STATUS_OK;
        }
        if (status != STATUS_CORRUPT)
            return error_set(err, status, "%s", cause.text);
        TRY(train_warn(train, err, "passed over: %s", cause.text));
        before = step;
    }
}

/* From a checkpoint if there is one to resume from, else from the seed. */
static enum status restore(struct train *train, const struct checkpoint_state *state,
                           struct error *err)
{
    const struct contract *contract = train->contract;
    if (contract->resume_from == NULL || contract->resume_step == 0)
        return initialise(train, err);
    if (contract->standalone) {
        bool found = false;
        TRY(restore_newest(train, state, &found, err));
        return found ? STATUS_OK : initialise(train, err);
    }
    struct checkpoint_record record;
    uint32_t extras = 0;
    TRY(checkpoint_restore(contract->resume_from, train->spec_sha256, contract->resume_step, state,
                           &record, &extras, err));
    take_up(train, &record);
    return STATUS_OK;
}

static enum status open_checkpoints(struct train *train, struct error *err)
{
    const struct contract *contract = train->contract;
    const struct checkpoint_state state = {.device = train->device,
                                           .model = train->model,
                                           .sync = train->sync,
                                           .parameters = train->parameters};
    struct checkpoint_options options = {
        .folder = contract->checkpoint_dir,
        .job_id = contract->job_id,
        .attempt = contract->attempt,
        .rank = contract->rank,
        .world_size = contract->world_size,
        .keep_last = contract->standalone ? train->spec.checkpoint.keep_last : 0,
        .events = train->events,
        .progress = train->progress,
    };
    memcpy(options.spec_sha256, train->spec_sha256, sizeof(options.spec_sha256));
    TRY(checkpoints_open(&options, &state, &train->checkpoints, err));
    return restore(train, &state, err);
}

enum status train_open(struct train *train, const struct contract *contract, struct error *err)
{
    *train = (struct train){.contract = contract, .part = TRAIN_PART_WRITE};
    TRY(events_open(contract->events_path, contract->rank, &train->events, err));
    TRY(progress_open(contract->progress_path, &train->progress, err));
    train->part = TRAIN_PART_SPEC;
    TRY(train_spec_load(contract->spec_path, &train->spec, train->spec_sha256, err));
    train->part = TRAIN_PART_DATA;
    TRY(open_data(train, err));
    plan_steps(train);
    train->part = TRAIN_PART_DEVICE;
    TRY(open_device(train, err));
    TRY(open_model(train, err));
    train->part = TRAIN_PART_GANG;
    TRY(open_gang(train, err));
    train->part = TRAIN_PART_DEVICE;
    TRY(open_sync(train, err));
    train->part = TRAIN_PART_RESTORE;
    TRY(open_checkpoints(train, err));
    train->window.started_ns = clock_mono_ns();
    train->training_started_ns = train->window.started_ns;
    train->checkpoint_mono_ms = clock_mono_ms();
    return STATUS_OK;
}

static void close_data(struct device device, struct train_data *data)
{
    if (device.compute != NULL) {
        device.ops->unmap_host(device.compute, data->bytes);
        device.ops->unmap_host(device.compute, data->labels);
    }
    dataset_close(&data->set);
}

void train_close(struct train *train)
{
    const struct device device = train->device;
    checkpoints_close(train->checkpoints);
    if (train->sync != NULL)
        train->sync->ops->close(train->sync);
    comm_close(train->comm);
    if (train->model != NULL)
        train->model->ops->close(train->model);
    close_data(device, &train->training);
    close_data(device, &train->evaluation);
    if (device.compute != NULL) {
        device.ops->release(device.compute, train->parameters);
        device.ops->release(device.compute, train->gradients);
        device.ops->release(device.compute, train->device_feed);
        device.ops->release(device.compute, train->eval_sums);
        device.ops->close(device.compute);
    }
    free(train->feed);
    progress_close(train->progress);
    tfevents_close(train->board);
    events_close(train->events);
}
