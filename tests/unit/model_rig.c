#include "tests/unit/model_rig.h"

#include <stdlib.h>
#include <string.h>

static void *allocate(struct model_rig *rig, size_t bytes)
{
    void *memory = NULL;
    assert_ok(rig->device.ops->alloc(rig->device.compute, bytes, &memory, &rig->err), &rig->err);
    return memory;
}

struct data_array rig_array(const char *name, enum data_type type, int64_t rows, int64_t width,
                            const void *values)
{
    struct data_array array = {.type = type, .rows = rows, .width = width, .values = values};
    (void)snprintf(array.name, sizeof(array.name), "%s", name);
    return array;
}

void rig_open(struct model_rig *rig, const struct compute_ops *ops, const struct job_spec *spec,
              const struct model_input *input)
{
    *rig = (struct model_rig){.device = {.ops = ops}, .spec = *spec};
    struct model_input given = *input;
    given.rows_max = RIG_ROWS_MAX;
    assert_ok(ops->open(0, 1, &rig->device.compute, &rig->err), &rig->err);
    assert_ok(model_registry[spec->model.type]->open(&rig->spec, &given, rig->device, &rig->model,
                                                     &rig->err),
              &rig->err);
    rig->count = model_parameter_count(rig->model);
    rig->flag_count =
        spec->optimizer.embeddings == EMBEDDING_SPARSE ? model_table_rows(rig->model) : 0;
    const size_t bytes =
        sizeof(struct model_feed_head) + rig->model->ops->feed_bytes(rig->model, RIG_ROWS_MAX);
    rig->parameters = allocate(rig, rig->count * sizeof(float));
    rig->gradients = allocate(rig, (rig->count + rig->flag_count) * sizeof(float));
    rig->sums = allocate(rig, MODEL_METRICS_MAX * sizeof(float));
    rig->scores =
        allocate(rig, RIG_ROWS_MAX * sizeof(float) * (size_t)(rig->model->score_width + 1));
    rig->block = allocate(rig, bytes);
    rig->host_block = calloc(1, bytes);
    assert_non_null(rig->host_block);
}

void rig_close(struct model_rig *rig)
{
    void *const owned[] = {rig->parameters, rig->gradients, rig->sums, rig->scores, rig->block};
    for (size_t i = 0; i < COUNT_OF(owned); i++)
        rig->device.ops->release(rig->device.compute, owned[i]);
    rig->model->ops->close(rig->model);
    rig->device.ops->close(rig->device.compute);
    free(rig->host_block);
}

void rig_set_parameters(struct model_rig *rig, const float *values)
{
    assert_ok(rig->device.ops->upload(rig->device.compute, rig->parameters, values,
                                      rig->count * sizeof(float), &rig->err),
              &rig->err);
}

void rig_initialise(struct model_rig *rig, uint64_t seed)
{
    float *values = calloc(rig->count, sizeof(float));
    assert_non_null(values);
    model_initialise(rig->model, seed, values);
    rig_set_parameters(rig, values);
    free(values);
}

void rig_get(struct model_rig *rig, const float *device, float *out, size_t count)
{
    assert_ok(rig->device.ops->download(rig->device.compute, out, device, count * sizeof(float),
                                        &rig->err),
              &rig->err);
}

void rig_feed(struct model_rig *rig, const struct rig_rows *rows, bool training)
{
    const struct model_rows asked = {.set = rows->set,
                                     .records = rows->records,
                                     .count = rows->count,
                                     .seed = rig->spec.training.seed,
                                     .epoch = rows->epoch,
                                     .step = rows->step,
                                     .first_row = rows->first_row};
    const struct model_feed_head head = {.loss_scale = 1.0F / (float)rows->batch_rows,
                                         .step = {(uint32_t)rows->step, 0},
                                         .first_row = (uint32_t)rows->first_row};
    size_t bytes = 0;
    memcpy(rig->host_block, &head, sizeof(head));
    assert_ok(rig->model->ops->fill(rig->model, &asked, training, rig->host_block + sizeof(head),
                                    &bytes, &rig->shape, &rig->err),
              &rig->err);
    assert_true(bytes <= rig->model->ops->feed_bytes(rig->model, rows->count));
    assert_ok(rig->device.ops->upload(rig->device.compute, rig->block, rig->host_block,
                                      sizeof(head) + bytes, &rig->err),
              &rig->err);
    rig->set = rows->set;
}

void rig_clear(struct model_rig *rig)
{
    const struct compute_ops *ops = rig->device.ops;
    assert_ok(ops->zero(rig->device.compute, rig->gradients,
                        (rig->count + rig->flag_count) * sizeof(float), &rig->err),
              &rig->err);
    assert_ok(
        ops->zero(rig->device.compute, rig->sums, MODEL_METRICS_MAX * sizeof(float), &rig->err),
        &rig->err);
}

static struct model_call call_of(const struct model_rig *rig)
{
    return (struct model_call){.shape = rig->shape,
                               .set = rig->set,
                               .head = (const struct model_feed_head *)(const void *)rig->block,
                               .feed = rig->block + sizeof(struct model_feed_head),
                               .flags = rig->flag_count > 0 ? rig->gradients + rig->count : NULL};
}

struct issue {
    struct model_rig *rig;
    struct optim *optim; /* NULL: none */
    bool evaluates, scores;
};

static enum status issue(void *context, struct error *err)
{
    const struct issue *what = context;
    struct model_rig *rig = what->rig;
    const struct model_call call = call_of(rig);
    if (what->evaluates)
        return rig->model->ops->evaluate(rig->model, rig->parameters, rig->sums,
                                         what->scores ? rig->scores : NULL, &call, err);
    if (what->optim != NULL)
        TRY(rig->device.ops->zero(rig->device.compute, rig->gradients,
                                  (rig->count + rig->flag_count) * sizeof(float), err));
    TRY(rig->model->ops->train_step(rig->model, rig->parameters, rig->gradients, rig->sums, &call,
                                    err));
    return what->optim == NULL ? STATUS_OK
                               : what->optim->ops->update(what->optim, rig->parameters,
                                                          rig->gradients, call.flags, NULL, err);
}

/* The same shape is the same recording. */
static void run_issue(struct model_rig *rig, struct issue *what)
{
    uint64_t key = (uint64_t)what->evaluates << 1 | what->scores;
    key = key << 12 | (uint64_t)rig->shape.rows;
    for (size_t i = 0; i < COUNT_OF(rig->shape.dims); i++)
        key = key << 16 ^ (uint64_t)rig->shape.dims[i];
    assert_ok(rig->device.ops->run(rig->device.compute, key, issue, what, &rig->err), &rig->err);
}

void rig_train(struct model_rig *rig)
{
    run_issue(rig, &(struct issue){.rig = rig});
}

void rig_evaluate(struct model_rig *rig, bool with_scores)
{
    run_issue(rig, &(struct issue){.rig = rig, .evaluates = true, .scores = with_scores});
}

size_t rig_tables(const struct model_rig *rig, struct optim_table out[RIG_TABLES_MAX])
{
    size_t count = 0, tables = 0;
    const struct parameter *parameters = rig->model->ops->parameters(rig->model, &count);
    for (size_t i = 0; i < count && rig->flag_count > 0; i++) {
        if (!parameters[i].is_table)
            continue;
        assert_true(tables < RIG_TABLES_MAX);
        out[tables++] = (struct optim_table){parameters[i].offset, (size_t)parameters[i].shape[0],
                                             (int)parameters[i].shape[1], parameters[i].flags};
    }
    return tables;
}

void rig_train_with(struct model_rig *rig, const struct optim_ops *optim, int steps, int rows,
                    float *out_parameters, float out_sums[MODEL_METRICS_MAX])
{
    struct optim_table tables[RIG_TABLES_MAX];
    const struct dataset *set = rig->set;
    const struct optim_parts parts = {.spec = &rig->spec.optimizer,
                                      .device = rig->device,
                                      .count = rig->count,
                                      .tables = tables,
                                      .table_count = rig_tables(rig, tables)};
    struct issue what = {.rig = rig};
    const int64_t records = rig->model->ops->records(rig->model, set, true);
    assert_ok(optim->open(&parts, &what.optim, &rig->err), &rig->err);
    for (int step = 1; step <= steps; step++) {
        int32_t chosen[RIG_ROWS_MAX];
        const int now = step % 5 == 0 ? rows / 2 : rows;
        for (int i = 0; i < now; i++)
            chosen[i] = (int32_t)((step * 7 + i * 3) % records);
        rig_feed(rig,
                 &(struct rig_rows){
                     .set = set, .records = chosen, .count = now, .batch_rows = now, .step = step},
                 true);
        assert_ok(optim->prepare(what.optim, step, 1.0, &rig->err), &rig->err);
        run_issue(rig, &what);
    }
    rig_get(rig, rig->parameters, out_parameters, rig->count);
    rig_get(rig, rig->sums, out_sums, MODEL_METRICS_MAX);
    optim->close(what.optim);
}
