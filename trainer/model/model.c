#include "trainer/model/model.h"

#include <assert.h>

#include "trainer/data/philox.h"

const struct model_ops *const model_registry[] = {
    [MODEL_MLP] = &model_mlp,
};

size_t model_parameter_count(const struct model *model)
{
    size_t count = 0;
    const struct parameter *parameters = model->ops->parameters(model, &count);
    assert(count > 0);
    const struct parameter *last = &parameters[count - 1];
    return last->offset + last->count;
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
        }
    }
}
