/* train_open.c - from a contract to everything that a step needs, and back to nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "trainer/checkpoint_folder.h"
#include "trainer/export/tfevents.h"
#include "trainer/train.h"

#define COLLECTIVE_MARGIN_MS 5000 /* the hang watcher names the culprit first */

enum status train_spec_check(const char *path, struct json_problems *problems, struct job_spec *out,
                             char out_sha256[SHA256_HEX_BYTES], struct error *err)
{
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, JOB_SPEC_BYTES_MAX);
    TRY(fs_read_file(path, &text, err));
    CLEANUP(json_cleanup) json_t *document = NULL;
    TRY(json_parse(text.data, text.size, &document, err));
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

enum status train_spec_load(const char *path, struct job_spec *out,
                            char out_sha256[SHA256_HEX_BYTES], struct error *err)
{
    CLEANUP(free_cleanup) struct json_problems *problems = calloc(1, sizeof(*problems));
    if (problems == NULL)
        return error_set(err, STATUS_NO_MEMORY, "read %s", path);
    return train_spec_check(path, problems, out, out_sha256, err);
}

/* Labels that the model tells apart; 0: any number. */
static int64_t model_classes(const struct model_spec *spec)
{
    switch ((enum model_type)spec->type) {
    case MODEL_MLP:
        return spec->mlp.head == HEAD_SOFTMAX ? spec->mlp.classes
                                              : (spec->mlp.head == HEAD_SIGMOID ? 2 : 0);
    case MODEL_BILSTM:
        return spec->bilstm.head == HEAD_SOFTMAX ? spec->bilstm.classes : 2;
    case MODEL_NCF:
        break;
    }
    return 0;
}

static enum status check_classes(const struct train *train, enum data_role role,
                                 const struct dataset *set, struct error *err)
{
    const int64_t classes = model_classes(&train->spec.model);
    if (classes == 0 || set->classes <= classes)
        return STATUS_OK;
    const struct data_part *part = data_part_of(&train->spec.data, role);
    return error_set(
        err, STATUS_INVALID, "%s: record %lld has label %lld, the model has %lld classes",
        part->file[0] == '\0' ? part->labels : part->file, (long long)set->classes_record,
        (long long)set->classes - 1, (long long)classes);
}

static enum status check_alike(const struct train *train, struct error *err)
{
    const struct data_array *train_features = dataset_array(&train->training, "features");
    const struct data_array *eval_features = dataset_array(&train->evaluation, "features");
    if (train_features == NULL || eval_features == NULL ||
        train_features->width == eval_features->width)
        return STATUS_OK;
    return error_set(err, STATUS_INVALID, "%s has %lld features a record, %s has %lld",
                     train->spec.data.eval.features, (long long)eval_features->width,
                     train->spec.data.train.features, (long long)train_features->width);
}

static enum status open_data(struct train *train, struct error *err)
{
    const struct contract *contract = train->contract;
    struct data_request request = {
        .spec = &train->spec.data, .role = DATA_TRAIN, .root = contract->data_dir};
    TRY(dataset_open(&request, contract->data_cache, &train->training, err));
    TRY(check_classes(train, DATA_TRAIN, &train->training, err));
    if (!data_has_eval(&train->spec.data))
        return STATUS_OK;
    request.role = DATA_EVAL;
    request.train = &train->training;
    TRY(dataset_open(&request, contract->data_cache, &train->evaluation, err));
    TRY(check_classes(train, DATA_EVAL, &train->evaluation, err));
    return check_alike(train, err);
}

/* `auto` is the CPU: a node has CPU slots only, until there is a CUDA backend. */
static enum status open_device(struct train *train, struct error *err)
{
    const char *name = train->spec.resources.device == JOB_DEVICE_CUDA ? "cuda" : "cpu";
    TRY(compute_find(name, &train->device.ops, err));
    return train->device.ops->open(0, (int)train->spec.training.threads_per_rank,
                                   &train->device.compute, err);
}

/* Which part of each global batch this rank works on, and in how many calls. */
static void plan_calls(struct train *train)
{
    const struct training_spec *spec = &train->spec.training;
    const struct contract *contract = train->contract;
    struct feed_plan *plan = &train->plan;
    const int per_rank = spec->reproducible
                             ? (int)spec->micro_shards / contract->world_size
                             : (int)(spec->accumulate_steps > 0 ? spec->accumulate_steps : 1);
    const bool works = sync_is_worker(spec, contract->rank, contract->world_size);
    plan->calls = works ? per_rank : 0;
    plan->shards = per_rank * sync_workers(spec, contract->world_size);
    plan->first_shard = works ? per_rank * contract->rank : 0;
    plan->rows_max = (spec->batch_size + plan->shards - 1) / plan->shards;
}

static void plan_steps(struct train *train)
{
    const struct training_spec *spec = &train->spec.training;
    struct feed_plan *plan = &train->plan;
    plan->model = train->model;
    plan->set = &train->training;
    plan->seed = spec->seed;
    plan->batch_size = spec->batch_size;
    plan->records = train->model->ops->records(train->model, &train->training, true);
    train->steps_per_epoch = (plan->records + spec->batch_size - 1) / spec->batch_size;
    train->total_steps = spec->epochs > 0 ? spec->epochs * train->steps_per_epoch : spec->steps;
    plan->steps_per_epoch = train->steps_per_epoch;
    plan->total_steps = train->total_steps;
    const size_t bytes =
        FEED_BLOCK_BYTES + train->model->ops->feed_bytes(train->model, plan->rows_max);
    plan->block_bytes = (bytes + FEED_FRONT_BYTES - 1) / FEED_FRONT_BYTES * FEED_FRONT_BYTES;
}

static enum status allocate(struct train *train, size_t bytes, void **out, struct error *err)
{
    return train->device.ops->alloc(train->device.compute, bytes, out, err);
}

/*
 * The weight of each class: as given, or "balanced", so that all classes count the same. Either is
 * scaled to mean 1 over the records: a batch's loss is divided by its rows, and the learning rate keeps
 * its meaning. *out is NULL when nothing is weighted.
 */
static enum status weigh_classes(const struct train *train, float **out, struct error *err)
{
    const struct training_spec *spec = &train->spec.training;
    const int64_t classes = model_classes(&train->spec.model);
    const struct data_array *label = dataset_array(&train->training, "label");
    *out = NULL;
    const bool has_classes = label != NULL && label->type == DATA_I32;
    if (spec->class_weights == CLASS_WEIGHTS_NONE || classes == 0 || !has_classes)
        return STATUS_OK;
    CLEANUP(free_cleanup) double *counts = calloc((size_t)classes, sizeof(*counts));
    CLEANUP(free_cleanup) float *weights = calloc((size_t)classes, sizeof(*weights));
    if (counts == NULL || weights == NULL)
        return error_set(err, STATUS_NO_MEMORY, "weights of %lld classes", (long long)classes);
    const int32_t *labels = label->values;
    const double records = (double)train->training.count;
    double sum = 0.0;
    for (int64_t i = 0; i < train->training.count; i++)
        counts[labels[i]] += 1.0;
    for (int64_t c = 0; c < classes; c++) {
        const bool balanced = spec->class_weights == CLASS_WEIGHTS_BALANCED;
        const double raw =
            balanced ? 1.0 / (counts[c] > 0.0 ? counts[c] : 1.0) : spec->given_class_weights[c];
        weights[c] = (float)raw;
        sum += counts[c] * raw;
    }
    for (int64_t c = 0; c < classes && sum > 0.0; c++)
        weights[c] = (float)((double)weights[c] * records / sum);
    *out = TAKE(weights);
    return STATUS_OK;
}

static enum status open_model(struct train *train, const float *class_weights, struct error *err)
{
    plan_calls(train);
    const struct model_input input = {
        .train = &train->training,
        .eval = train->evaluation.count > 0 ? &train->evaluation : NULL,
        .rows_max = train->plan.rows_max > EVALUATOR_ROWS ? train->plan.rows_max : EVALUATOR_ROWS,
        .class_weights = class_weights};
    const struct model_ops *model = model_registry[train->spec.model.type];
    const enum status opened = model->open(&train->spec, &input, train->device, &train->model, err);
    if (opened == STATUS_INVALID)
        train->part = TRAIN_PART_DATA; /* it does not fit the model: the device is not to blame */
    TRY(opened);
    train->parameter_count = model_parameter_count(train->model);
    train->flag_count =
        train->spec.optimizer.embeddings == EMBEDDING_SPARSE ? model_table_rows(train->model) : 0;
    plan_steps(train);
    return STATUS_OK;
}

static enum status allocate_vectors(struct train *train, struct error *err)
{
    const size_t calls = (size_t)(train->plan.calls > 0 ? train->plan.calls : 1);
    const size_t gradient_floats = train->parameter_count + train->flag_count + SYNC_TAIL;
    TRY(sync_memory_open(train->device, train->comm, train->parameter_count,
                         &train->parameter_memory, err));
    train->parameters = train->parameter_memory.data;
    TRY(sync_memory_open(train->device, train->comm, gradient_floats, &train->gradient_memory,
                         err));
    train->gradients = train->gradient_memory.data;
    void *memory = NULL;
    TRY(allocate(train, calls * train->plan.block_bytes, &memory, err));
    train->device_feed = memory;
    return STATUS_OK;
}

static enum status open_evaluator(struct train *train, struct error *err)
{
    const struct evaluator_parts parts = {.device = train->device,
                                          .model = train->model,
                                          .set = &train->evaluation,
                                          .parameters = train->parameters,
                                          .seed = train->spec.training.seed,
                                          .gives_scores = train->model->is_binary};
    if (train->evaluation.count == 0)
        return STATUS_OK;
    TRY(evaluator_open(&parts, &train->evaluator, err));
    train->eval_records = evaluator_rows(train->evaluator);
    return STATUS_OK;
}

/* Tables whose rows are updated only where a step touched them. */
static void list_tables(struct train *train)
{
    size_t count = 0;
    const struct parameter *parameters = train->model->ops->parameters(train->model, &count);
    for (size_t i = 0; i < count && train->flag_count > 0; i++) {
        if (parameters[i].is_table)
            train->tables[train->table_count++] =
                (struct optim_table){.offset = parameters[i].offset,
                                     .rows = (size_t)parameters[i].shape[0],
                                     .width = (int)parameters[i].shape[1],
                                     .flags = parameters[i].flags};
    }
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
    list_tables(train);
    const struct sync_parts parts = {.device = train->device,
                                     .comm = train->comm,
                                     .training = &train->spec.training,
                                     .optimizer = &train->spec.optimizer,
                                     .parameters = train->parameters,
                                     .gradients = train->gradients,
                                     .count = train->parameter_count,
                                     .tables = train->tables,
                                     .table_count = train->table_count,
                                     .flag_count = train->flag_count};
    TRY(sync_open(&parts, &train->sync, err));
    if (!train->spec.training.reproducible)
        return STATUS_OK;
    return grad_tree_open(train->device, train->gradients,
                          train->parameter_count + train->flag_count + SYNC_TAIL, train->plan.calls,
                          &train->tree, err);
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

static enum status take_up(struct train *train, const struct checkpoint_record *record,
                           struct error *err)
{
    train->step = record->step;
    memcpy(train->window.sums, record->window_sums, sizeof(train->window.sums));
    train->window.rows = record->window_rows;
    return train_guard_take_up(train, record, err);
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
            *out_found = true;
            return take_up(train, &record, err);
        }
        if (status == STATUS_CONFLICT)
            train->part = TRAIN_PART_SPEC; /* nothing is damaged: the folder is another job's */
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
    return take_up(train, &record, err);
}

static enum status open_checkpoints(struct train *train, struct error *err)
{
    const struct contract *contract = train->contract;
    struct checkpoint_state state = {.device = train->device,
                                     .model = train->model,
                                     .sync = train->sync,
                                     .parameters = train->parameters};
    train->part = TRAIN_PART_SPEC;
    TRY(train_guard_open(train, &state, err));
    train->part = TRAIN_PART_RESTORE;
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
    TRY(sync_check_world(&train->spec.training, contract->world_size, err));
    train->part = TRAIN_PART_DATA;
    TRY(open_data(train, err));
    train->part = TRAIN_PART_DEVICE;
    TRY(open_device(train, err));
    CLEANUP(free_cleanup) float *class_weights = NULL;
    TRY(weigh_classes(train, &class_weights, err));
    TRY(open_model(train, class_weights, err));
    train->part = TRAIN_PART_GANG;
    TRY(open_gang(train, err));
    train->part = TRAIN_PART_DEVICE;
    TRY(allocate_vectors(train, err));
    TRY(open_evaluator(train, err));
    const size_t before = train->device.ops->allocated(train->device.compute);
    TRY(open_sync(train, err));
    const size_t sync_bytes = train->device.ops->allocated(train->device.compute) - before;
    TRY(open_checkpoints(train, err));
    TRY(feeder_open(&train->plan, train->step, &train->feeder, err));
    train_plan_make(train, sync_bytes);
    train->window.started_ns = clock_mono_ns();
    train->training_started_ns = train->window.started_ns;
    train->checkpoint_mono_ms = clock_mono_ms();
    return STATUS_OK;
}

/* The records to be evaluated, encoded as the model's own training data were, whatever lies there now. */
static enum status open_saved_data(struct train *train, const struct model_file *file,
                                   struct error *err)
{
    struct data_spec *spec = &train->spec.data;
    struct data_request request = {.spec = spec, .root = train->contract->data_dir};
    const char *cache = train->contract->data_cache;
    /* What users have met is asked of the training part. */
    const bool needs_training = spec->train.format == DATA_INTERACTIONS;
    if (!data_has_eval(spec))
        return error_set(err, STATUS_INVALID,
                         "the job had no evaluation part: name a file with --file");
    if (needs_training) {
        TRY(dataset_open(&request, cache, &train->training, err));
        TRY(check_classes(train, DATA_TRAIN, &train->training, err));
    } else if (spec->split.by == SPLIT_NONE) {
        spec->train.file[0] = '\0'; /* need not be there */
    }
    train->training.fit = file->fit;
    train->training.fit_bytes = strlen(file->fit);
    request.role = DATA_EVAL;
    request.train = &train->training;
    TRY(dataset_open(&request, cache, &train->evaluation, err));
    TRY(check_classes(train, DATA_EVAL, &train->evaluation, err));
    if (needs_training)
        return check_alike(train, err);
    train->training = train->evaluation; /* stands for it where the model looks at sizes */
    train->training.mapping = NULL;      /* the other's */
    return STATUS_OK;
}

enum status train_open_saved(struct train *train, const struct contract *contract,
                             const struct model_file *file, struct error *err)
{
    *train = (struct train){.contract = contract, .part = TRAIN_PART_SPEC, .spec = file->spec};
    TRY(progress_open(NULL, &train->progress, err));
    train->part = TRAIN_PART_DATA;
    TRY(open_saved_data(train, file, err));
    train->part = TRAIN_PART_DEVICE;
    TRY(open_device(train, err));
    TRY(open_model(train, NULL, err));
    TRY(comm_self_open(&train->comm, err));
    TRY(allocate_vectors(train, err));
    TRY(open_evaluator(train, err));
    train->part = TRAIN_PART_DATA; /* to who asks, the model is data */
    return model_file_load(file, train->model, train->device, train->parameters, err);
}

void train_close(struct train *train)
{
    const struct device device = train->device;
    feeder_close(train->feeder);
    checkpoints_close(train->checkpoints);
    grad_tree_close(train->tree);
    if (train->sync != NULL)
        train->sync->ops->close(train->sync);
    comm_close(train->comm);
    evaluator_close(train->evaluator);
    if (train->model != NULL)
        train->model->ops->close(train->model);
    dataset_close(&train->training);
    dataset_close(&train->evaluation);
    train_guard_close(train);
    if (device.compute != NULL) {
        sync_memory_close(device, &train->parameter_memory);
        sync_memory_close(device, &train->gradient_memory);
        device.ops->release(device.compute, train->device_feed);
        device.ops->close(device.compute);
    }
    progress_close(train->progress);
    tfevents_close(train->board);
    events_close(train->events);
}
