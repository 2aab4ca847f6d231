/* job_spec_size.c - how large a job's state is, from the spec alone. */

#include "schema/job_spec_parts.h"

#define MNIST_WIDTH         784
#define NCF_ROWS            20000      /* users and items, assumed: twice MovieLens-1M's */
#define CHECKPOINT_ROOM     (64 * KIB) /* headers, names and the state record */
#define BYTES_PER_PARAMETER 4

static uint64_t dense(uint64_t inputs, uint64_t outputs)
{
    return (inputs + 1) * outputs;
}

static uint64_t mlp_parameters(const struct job_spec *spec, uint64_t input_width)
{
    const struct data_spec *data = &spec->data;
    uint64_t tables = 0;
    uint64_t width = input_width;
    if (data_format_has_columns(data->train.format)) {
        /* A numeric column may come with a flag for "missing". */
        width = 2 * data_columns_of(data, COLUMN_NUMERIC);
        for (size_t i = 0; i < data->column_count; i++) {
            if (data->columns[i].kind != COLUMN_CATEGORY)
                continue;
            width += (uint64_t)spec->model.mlp.embedding_width;
            tables +=
                (uint64_t)data->columns[i].buckets * (uint64_t)spec->model.mlp.embedding_width;
        }
    }
    uint64_t parameters = tables;
    for (size_t i = 0; i < spec->model.mlp.hidden_count; i++) {
        const uint64_t next = (uint64_t)spec->model.mlp.hidden[i];
        parameters += dense(width, next);
        width = next;
    }
    return parameters + dense(width, (uint64_t)spec->model.mlp.classes);
}

/* Two directions of four gates, each with two biases as in PyTorch. */
static uint64_t bilstm_parameters(const struct job_spec *spec)
{
    const uint64_t embedding = (uint64_t)spec->model.bilstm.embedding;
    const uint64_t hidden = (uint64_t)spec->model.bilstm.hidden;
    const uint64_t lstm = 2 * 4 * hidden * (embedding + hidden + 2);
    return (uint64_t)spec->data.vocabulary * embedding + lstm +
           dense(2 * hidden, (uint64_t)spec->model.bilstm.classes);
}

static uint64_t ncf_parameters(const struct job_spec *spec, uint64_t rows)
{
    const struct model_spec *model = &spec->model;
    const uint64_t factors = (uint64_t)model->ncf.factors;
    uint64_t parameters = rows * factors;
    uint64_t output = factors;
    if (model->ncf.layer_count > 0) {
        parameters += rows * ((uint64_t)model->ncf.layers[0] / 2);
        for (size_t i = 1; i < model->ncf.layer_count; i++)
            parameters += dense((uint64_t)model->ncf.layers[i - 1], (uint64_t)model->ncf.layers[i]);
        output += (uint64_t)model->ncf.layers[model->ncf.layer_count - 1];
    }
    return parameters + dense(output, 1);
}

static uint64_t parameters_of(const struct job_spec *spec, uint64_t input_width)
{
    switch ((enum model_type)spec->model.type) {
    case MODEL_MLP:
        return mlp_parameters(spec, input_width > 0 ? input_width : MNIST_WIDTH);
    case MODEL_BILSTM:
        return bilstm_parameters(spec);
    case MODEL_NCF:
        return ncf_parameters(spec, input_width > 0 ? input_width : NCF_ROWS);
    }
    return 0;
}

uint64_t job_spec_state_bytes(const struct job_spec *spec, int64_t input_width)
{
    const int type = spec->optimizer.type;
    /* Parameters, and per parameter Adam's two moments, SGD's velocity or Adagrad's sum. */
    uint64_t vectors = type == OPTIMIZER_ADAM || type == OPTIMIZER_ADAMW ? 3 : 2;
    if (spec->checkpoint.best_metric[0] != '\0')
        vectors += 1;
    if (spec->training.guards.on_nan == ON_NAN_ROLLBACK)
        vectors *= 2;
    const uint64_t width = input_width > 0 ? (uint64_t)input_width : 0;
    return parameters_of(spec, width) * vectors * BYTES_PER_PARAMETER + CHECKPOINT_ROOM;
}
