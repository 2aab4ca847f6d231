#include "tests/unit/mlp_rig.h"

#include <math.h>
#include <string.h>

#include "trainer/data/philox.h"

#define WIDTH_MAX  32 /* of any layer here */
#define LAYER_STEP UINT64_C(0x9E3779B97F4A7C15)

const int mlp_rig_buckets[MLP_COLUMNS] = {4, 11};

/* ------------------------------------------------------------------ records and spec */

static void make_records(struct mlp_rig *mlp)
{
    const int classes = mlp->variant.head == HEAD_SOFTMAX ? MLP_CLASSES : 2;
    for (int i = 0; i < MLP_RECORDS; i++) {
        mlp->in_order[i] = i;
        for (int j = 0; j < MLP_DENSE; j++) {
            mlp->bytes[i][j] = (uint8_t)((i * 37 + j * 91 + i * j * 5) % 256);
            mlp->floats[i][j] = (float)((i * 53 + j * 29 + i * j * 7) % 101) / 50.0F - 1.0F;
        }
        for (int j = 0; j < MLP_NUMERIC; j++)
            mlp->numeric[i][j] = (float)((i * 31 + j * 17) % 41) / 20.0F - 1.0F;
        for (int j = 0; j < MLP_COLUMNS; j++) /* the last bucket is in no record */
            mlp->category[i][j] = (i * (3 + j) + i / 4) % (mlp_rig_buckets[j] - 1);
        mlp->labels[i] = (i * 3) % classes;
        mlp->targets[i] = (float)((i * 13) % 17) / 8.0F - 1.0F;
    }
    for (int c = 0; c < MLP_CLASSES; c++)
        mlp->class_weights[c] = 0.5F + 0.25F * (float)c;
}

static void make_set(struct mlp_rig *mlp)
{
    struct dataset *set = &mlp->set;
    const bool is_table = mlp->variant.records == MLP_TABLE;
    *set = (struct dataset){.kind = is_table ? DATA_KIND_TABLE : DATA_KIND_BYTES,
                            .count = MLP_RECORDS,
                            .scale = 1.0F / 255.0F};
    if (mlp->variant.records == MLP_BYTES)
        set->arrays[set->array_count++] =
            rig_array("features", DATA_U8, MLP_RECORDS, MLP_DENSE, mlp->bytes);
    if (mlp->variant.records == MLP_FLOATS)
        set->arrays[set->array_count++] =
            rig_array("features", DATA_F32, MLP_RECORDS, MLP_DENSE, mlp->floats);
    if (is_table) {
        set->arrays[set->array_count++] =
            rig_array("numeric", DATA_F32, MLP_RECORDS, MLP_NUMERIC, mlp->numeric);
        set->arrays[set->array_count++] =
            rig_array("category", DATA_I32, MLP_RECORDS, MLP_COLUMNS, mlp->category);
    }
    set->arrays[set->array_count++] =
        mlp->variant.head == HEAD_LINEAR
            ? rig_array("label", DATA_F32, MLP_RECORDS, 1, mlp->targets)
            : rig_array("label", DATA_I32, MLP_RECORDS, 1, mlp->labels);
}

static void make_spec(struct mlp_rig *mlp)
{
    struct job_spec *spec = &mlp->spec;
    *spec = (struct job_spec){.model = {.type = MODEL_MLP}, .training = {.seed = 5}};
    spec->model.mlp.hidden[0] = 9;
    spec->model.mlp.hidden[1] = 7;
    spec->model.mlp.hidden_count = mlp->variant.flat ? 0 : 2;
    spec->model.mlp.activation = (int)mlp->variant.activation;
    spec->model.mlp.head = (int)mlp->variant.head;
    spec->model.mlp.dropout = (double)mlp->variant.dropout;
    spec->model.mlp.classes = mlp->variant.head == HEAD_SOFTMAX ? MLP_CLASSES : 1;
    spec->model.mlp.embedding_width = 3;
    for (int j = 0; j < MLP_COLUMNS && mlp->variant.records == MLP_TABLE; j++)
        spec->data.columns[spec->data.column_count++] =
            (struct data_column){.kind = COLUMN_CATEGORY, .buckets = mlp_rig_buckets[j]};
    spec->optimizer = (struct optimizer_spec){.lr = 0.01,
                                              .beta1 = 0.9,
                                              .beta2 = 0.999,
                                              .eps = 1e-8,
                                              .momentum = 0.9,
                                              .weight_decay = mlp->variant.sparse ? 0.0 : 0.001,
                                              .embeddings = mlp->variant.sparse ? EMBEDDING_SPARSE
                                                                                : EMBEDDING_DENSE};
}

void mlp_rig_describe(struct mlp_rig *mlp, const struct mlp_variant *variant)
{
    *mlp = (struct mlp_rig){.variant = *variant};
    make_records(mlp);
    make_set(mlp);
    make_spec(mlp);
}

void mlp_rig_open(struct mlp_rig *mlp, const struct compute_ops *ops,
                  const struct mlp_variant *variant)
{
    mlp_rig_describe(mlp, variant);
    const struct model_input input = {
        .train = &mlp->set, .class_weights = variant->weighted ? mlp->class_weights : NULL};
    rig_open(&mlp->rig, ops, &mlp->spec, &input);
    mlp->rig.set = &mlp->set;
}

void mlp_rig_close(struct mlp_rig *mlp)
{
    rig_close(&mlp->rig);
}

struct rig_rows mlp_rig_rows(const struct mlp_rig *mlp, int first, int count, int batch_rows,
                             int64_t step)
{
    assert_true(first + count <= MLP_RECORDS);
    return (struct rig_rows){.set = &mlp->set,
                             .records = mlp->in_order + first,
                             .count = count,
                             .batch_rows = batch_rows,
                             .step = step,
                             .first_row = first};
}

/* ------------------------------------------------------------------ the loss in float64 */

static void input_of(const struct mlp_rig *mlp, const double *parameters, int32_t record,
                     double out[WIDTH_MAX])
{
    size_t count = 0;
    const struct parameter *table = model_mlp.parameters(mlp->rig.model, &count);
    int width = 0;
    for (int j = 0; j < MLP_DENSE && mlp->variant.records == MLP_BYTES; j++)
        out[width++] = (double)mlp->bytes[record][j] / 255.0;
    for (int j = 0; j < MLP_DENSE && mlp->variant.records == MLP_FLOATS; j++)
        out[width++] = (double)mlp->floats[record][j];
    for (int j = 0; j < MLP_NUMERIC && mlp->variant.records == MLP_TABLE; j++)
        out[width++] = (double)mlp->numeric[record][j];
    for (int c = 0; c < MLP_COLUMNS && mlp->variant.records == MLP_TABLE; c++) {
        for (int64_t j = 0; j < table[c].shape[1]; j++)
            out[width++] = parameters[(int64_t)table[c].offset +
                                      mlp->category[record][c] * table[c].shape[1] + j];
    }
}

static double activate(enum activation activation, double x)
{
    switch (activation) {
    case ACTIVATION_RELU:
        return x > 0.0 ? x : 0.0;
    case ACTIVATION_TANH:
        return tanh(x);
    case ACTIVATION_GELU:
        break;
    }
    return 0.5 * x * erfc(-x * sqrt(0.5));
}

/* 0, or what is kept is multiplied by: from Philox, as the operation's comment says. */
static double mask(const struct mlp_rig *mlp, int layer, int64_t step, int64_t row, int64_t width,
                   int64_t column)
{
    const float rate = mlp->variant.dropout;
    const struct philox_key base = philox_key_of(mlp->spec.training.seed, PHILOX_DROPOUT);
    const uint64_t key =
        ((uint64_t)base.word[1] << 32 | base.word[0]) + (uint64_t)layer * LAYER_STEP;
    const struct philox_key own = {{(uint32_t)key, (uint32_t)(key >> 32)}};
    const uint64_t element = (uint64_t)(row * width + column);
    uint32_t word[4];
    philox_4x32(own, (uint64_t)step, element / 4, word);
    return philox_unit(word[element % 4]) < rate ? 0.0 : 1.0 / (1.0 - (double)rate);
}

static double softmax_loss(const double *logits, int label, double *out)
{
    double sum = 0.0;
    for (int c = 0; c < MLP_CLASSES; c++)
        sum += exp(logits[c]);
    for (int c = 0; c < MLP_CLASSES && out != NULL; c++)
        out[c] = exp(logits[c]) / sum;
    return log(sum) - logits[label];
}

static double head_loss(const struct mlp_rig *mlp, const double *logits, int32_t record,
                        double *out)
{
    const int label = mlp->labels[record];
    const double weight = mlp->variant.weighted ? (double)mlp->class_weights[label] : 1.0;
    const double difference = logits[0] - (double)mlp->targets[record];
    switch (mlp->variant.head) {
    case HEAD_SOFTMAX:
        return weight * softmax_loss(logits, label, out);
    case HEAD_SIGMOID:
        if (out != NULL)
            out[0] = 1.0 / (1.0 + exp(-logits[0]));
        return weight * log1p(exp(label == 1 ? -logits[0] : logits[0]));
    case HEAD_LINEAR:
        break;
    }
    if (out != NULL)
        out[0] = logits[0];
    return difference * difference;
}

/* in (width) becomes in W + b. */
static void apply_layer(const struct parameter *weight, const double *parameters,
                        double in[WIDTH_MAX])
{
    double out[WIDTH_MAX] = {0.0};
    const struct parameter *bias = weight + 1;
    for (int64_t o = 0; o < weight->shape[1]; o++) {
        out[o] = parameters[bias->offset + (size_t)o];
        for (int64_t i = 0; i < weight->shape[0]; i++)
            out[o] += in[i] * parameters[weight->offset + (size_t)(i * weight->shape[1] + o)];
    }
    memcpy(in, out, sizeof(out));
}

double mlp_rig_loss(const struct mlp_rig *mlp, const double *parameters,
                    const struct rig_rows *rows, bool training, double *out)
{
    size_t count = 0;
    const struct parameter *table = model_mlp.parameters(mlp->rig.model, &count);
    const size_t tables = mlp->variant.records == MLP_TABLE ? MLP_COLUMNS : 0;
    const int layers = (int)(count - tables) / 2;
    const int scores = mlp->rig.model->score_width;
    double loss = 0.0;
    for (int row = 0; row < rows->count; row++) {
        double values[WIDTH_MAX] = {0.0};
        input_of(mlp, parameters, rows->records[row], values);
        for (int layer = 0; layer < layers; layer++) {
            const struct parameter *weight = &table[tables + 2 * (size_t)layer];
            apply_layer(weight, parameters, values);
            for (int64_t j = 0; j < weight->shape[1] && layer < layers - 1; j++) {
                values[j] = activate(mlp->variant.activation, values[j]);
                if (training && mlp->variant.dropout > 0.0F)
                    values[j] *=
                        mask(mlp, layer, rows->step, rows->first_row + row, weight->shape[1], j);
            }
        }
        loss += head_loss(mlp, values, rows->records[row], out == NULL ? NULL : out + row * scores);
    }
    return loss / rows->batch_rows;
}
