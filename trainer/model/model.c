#include "trainer/model/model.h"

#include <assert.h>
#include <math.h>

#include "trainer/data/philox.h"

const struct model_ops *const model_registry[] = {
    [MODEL_MLP] = &model_mlp,
    [MODEL_BILSTM] = &model_bilstm,
    [MODEL_NCF] = &model_ncf,
};

size_t model_parameter_count(const struct model *model)
{
    size_t count = 0;
    const struct parameter *parameters = model->ops->parameters(model, &count);
    assert(count > 0);
    const struct parameter *last = &parameters[count - 1];
    return last->offset + last->count;
}

size_t model_table_rows(const struct model *model)
{
    size_t count = 0, rows = 0;
    const struct parameter *parameters = model->ops->parameters(model, &count);
    for (size_t p = 0; p < count; p++)
        rows += parameters[p].is_table ? (size_t)parameters[p].shape[0] : 0;
    return rows;
}

uint64_t model_shape_key(uint64_t key, const struct model_shape *shape)
{
    const int numbers[] = {shape->rows, shape->dims[0], shape->dims[1], shape->dims[2]};
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        key = (key ^ (uint64_t)(uint32_t)numbers[i]) * UINT64_C(0x9E3779B97F4A7C15);
    return key;
}

enum status model_ready(const struct model_call *call, size_t offset, struct error *err)
{
    if (call->listener == NULL)
        return STATUS_OK;
    return call->listener->ready(call->listener->context, offset, err);
}

static void initialise_uniform(struct philox_key key, uint64_t parameter, float bound, float *out,
                               size_t count)
{
    for (size_t i = 0; i < count; i += 4) {
        uint32_t numbers[4];
        philox_4x32(key, parameter, i / 4, numbers);
        for (size_t j = i; j < i + 4 && j < count; j++)
            out[j] = (2.0F * philox_unit(numbers[j - i]) - 1.0F) * bound;
    }
}

/* Two numbers give two normal ones: Box and Muller 1958. The first is taken from (0, 1]. */
static void normal_pair(uint32_t first, uint32_t second, float bound, float out[2])
{
    const double two_pi = 6.283185307179586;
    const double radius = sqrt(-2.0 * log(1.0 - (double)philox_unit(first)));
    const double angle = two_pi * (double)philox_unit(second);
    out[0] = (float)(radius * cos(angle)) * bound;
    out[1] = (float)(radius * sin(angle)) * bound;
}

static void initialise_normal(struct philox_key key, uint64_t parameter, float bound, float *out,
                              size_t count)
{
    for (size_t i = 0; i < count; i += 4) {
        uint32_t numbers[4];
        float values[4];
        philox_4x32(key, parameter, i / 4, numbers);
        normal_pair(numbers[0], numbers[1], bound, values);
        normal_pair(numbers[2], numbers[3], bound, values + 2);
        for (size_t j = i; j < i + 4 && j < count; j++)
            out[j] = values[j - i];
    }
}

void model_initialise(const struct model *model, uint64_t seed, float *out)
{
    const struct philox_key key = philox_key_of(seed, PHILOX_INIT);
    size_t count = 0;
    const struct parameter *parameters = model->ops->parameters(model, &count);
    for (size_t p = 0; p < count; p++) {
        const struct parameter *parameter = &parameters[p];
        switch (parameter->init) {
        case PARAMETER_ZERO:
            for (size_t i = 0; i < parameter->count; i++)
                out[parameter->offset + i] = 0.0F;
            break;
        case PARAMETER_UNIFORM:
            initialise_uniform(key, p, parameter->bound, out + parameter->offset, parameter->count);
            break;
        case PARAMETER_NORMAL:
            initialise_normal(key, p, parameter->bound, out + parameter->offset, parameter->count);
            break;
        }
    }
}
