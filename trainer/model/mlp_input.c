#include "trainer/model/mlp_input.h"

#include <assert.h>

static enum status map_array(struct device device, const struct data_array *array, const void **out,
                             struct error *err)
{
    if (array == NULL)
        return STATUS_OK;
    const size_t bytes = (size_t)array->rows * (size_t)array->width * data_type_bytes(array->type);
    return device.ops->map_host(device.compute, array->values, bytes, out, err);
}

/* The array of this name and type, or NULL. */
static const struct data_array *typed(const struct dataset *set, const char *name,
                                      enum data_type type)
{
    const struct data_array *array = dataset_array(set, name);
    return array != NULL && array->type == type ? array : NULL;
}

static enum status map_set(struct device device, const struct dataset *set, struct mlp_set *out,
                           struct error *err)
{
    const void *bytes = NULL, *numbers = NULL, *category = NULL, *labels = NULL, *targets = NULL;
    const struct data_array *floats = typed(set, "features", DATA_F32);
    if (floats == NULL)
        floats = typed(set, "numeric", DATA_F32);
    out->set = set;
    TRY(map_array(device, typed(set, "features", DATA_U8), &bytes, err));
    out->bytes = bytes;
    TRY(map_array(device, floats, &numbers, err));
    out->numbers = numbers;
    TRY(map_array(device, typed(set, "category", DATA_I32), &category, err));
    out->category = category;
    TRY(map_array(device, typed(set, "label", DATA_I32), &labels, err));
    out->labels = labels;
    TRY(map_array(device, typed(set, "label", DATA_F32), &targets, err));
    out->targets = targets;
    return STATUS_OK;
}

static int array_width(const struct dataset *set, const char *name)
{
    const struct data_array *array = dataset_array(set, name);
    return array == NULL ? 0 : (int)array->width;
}

/* Both parts must be what the spec's columns and head ask for. */
static enum status check_set(const struct mlp_input *input, const struct job_spec *spec,
                             const struct dataset *set, enum data_role role, struct error *err)
{
    if (set->kind != DATA_KIND_BYTES && set->kind != DATA_KIND_TABLE)
        return error_set(err, STATUS_INVALID,
                         "/model/type: mlp expects features or columns of numbers and categories, "
                         "/data has neither");
    const int dense = array_width(set, "features") + array_width(set, "numeric");
    if (dense != input->dense || array_width(set, "category") != input->columns.count)
        return error_set(err, STATUS_INVALID,
                         "%s: expected %d numbers and %d categories a record, got %d and %d",
                         role == DATA_TRAIN ? "/data/columns" : "/data/eval", input->dense,
                         input->columns.count, dense, array_width(set, "category"));
    const bool wants_numbers = spec->model.mlp.head == HEAD_LINEAR;
    const struct data_array *label = dataset_array(set, "label");
    if (label != NULL && (label->type == DATA_F32) != wants_numbers)
        return error_set(err, STATUS_INVALID, "/model/head: %s expects labels that are %s, got %s",
                         model_head_names[spec->model.mlp.head],
                         wants_numbers ? "numbers" : "classes",
                         wants_numbers ? "classes" : "numbers");
    return STATUS_OK;
}

static enum status allocate(struct device device, int64_t rows, int width, void **out,
                            struct error *err)
{
    return device.ops->alloc(device.compute, (size_t)rows * (size_t)width * sizeof(float), out,
                             err);
}

enum status mlp_input_open(struct mlp_input *input, const struct job_spec *spec,
                           const struct model_input *given, struct device device, struct error *err)
{
    input->device = device;
    columns_plan(&spec->data, spec->model.mlp.embedding_width, &input->columns);
    input->dense = array_width(given->train, "features") + array_width(given->train, "numeric");
    input->width = input->dense + columns_width(&input->columns);
    if (input->width < 1)
        return error_set(err, STATUS_INVALID,
                         "/data/columns: expected a number or a category, got none");
    TRY(check_set(input, spec, given->train, DATA_TRAIN, err));
    TRY(map_set(device, given->train, &input->sets[0], err));
    if (given->eval != NULL) {
        TRY(check_set(input, spec, given->eval, DATA_EVAL, err));
        TRY(map_set(device, given->eval, &input->sets[1], err));
    }
    void *memory = NULL;
    TRY(allocate(device, given->rows_max, input->columns.count + 1, &memory, err));
    input->ids = memory;
    TRY(allocate(device, given->rows_max, 1, &memory, err));
    input->labels = memory;
    TRY(allocate(device, given->rows_max, 1, &memory, err));
    input->targets = memory;
    return STATUS_OK;
}

void mlp_input_close(struct mlp_input *input)
{
    const struct compute_ops *ops = input->device.ops;
    struct compute *compute = input->device.compute;
    if (ops == NULL)
        return;
    for (size_t i = 0; i < COUNT_OF(input->sets); i++) {
        const struct mlp_set *set = &input->sets[i];
        ops->unmap_host(compute, set->bytes);
        ops->unmap_host(compute, set->numbers);
        ops->unmap_host(compute, set->category);
        ops->unmap_host(compute, set->labels);
        ops->unmap_host(compute, set->targets);
    }
    ops->release(compute, input->ids);
    ops->release(compute, input->labels);
    ops->release(compute, input->targets);
}

enum status mlp_input_gather(struct mlp_input *input, const float *parameters,
                             const struct model_call *call, float *out, struct error *err)
{
    const struct compute_ops *ops = input->device.ops;
    struct compute *compute = input->device.compute;
    const struct mlp_set *set = &input->sets[call->set == input->sets[0].set ? 0 : 1];
    assert(set->set == call->set);
    const int32_t *records = call->feed;
    const int rows = call->shape.rows;
    if (set->bytes != NULL)
        TRY(ops->gather_rows_u8(compute, out, set->bytes, records, rows, input->dense,
                                set->set->scale, err));
    if (set->numbers != NULL)
        TRY(ops->gather_rows_f32(compute, out, input->width, set->numbers, records, rows,
                                 input->dense, err));
    if (input->columns.count > 0) {
        TRY(ops->gather_rows_i32(compute, input->ids, set->category, records, rows,
                                 input->columns.count, err));
        TRY(columns_forward(&input->columns, input->device, parameters, input->ids, rows, out,
                            input->width, input->dense, err));
    }
    if (set->labels != NULL)
        return ops->gather_i32(compute, input->labels, set->labels, records, rows, err);
    if (set->targets != NULL)
        return ops->gather_rows_f32(compute, input->targets, 1, set->targets, records, rows, 1,
                                    err);
    return STATUS_OK;
}
