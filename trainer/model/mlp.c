/*
 * mlp.c - dense layers with an activation between them: the multilayer perceptron, with a softmax, a
 * sigmoid or a linear head. Without hidden layers it is logistic or linear regression.
 *
 * Layer l maps (rows, width[l]) to (rows, width[l + 1]). Weights lie as (in, out) in memory and as
 * PyTorch's (out, in) in files; initial values are PyTorch's nn.Linear's: U(-b, b) with b =
 * 1 / sqrt(in), for weights and biases. Dropout stands behind each hidden layer's activation, scaled
 * by 1 / (1 - rate) in training.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/data/philox.h"
#include "trainer/model/mlp_input.h"

#define LAYERS_MAX     (MODEL_LAYERS_MAX + 1) /* the hidden ones and the head */
#define PARAMETERS_MAX (2 * LAYERS_MAX + DATA_COLUMNS_MAX)
#define SUM_COUNT      2 /* loss, rows predicted right */

_Static_assert(PARAMETERS_MAX <= MODEL_PARAMETERS_MAX, "weights, biases and tables fit");

/* A layer's vectors, all (rows, its width), on the device. */
struct mlp_layer {
    const struct parameter *weight, *bias;
    float *sums;      /* before the activation; the same memory as `active` unless it is GELU */
    float *active;    /* behind the activation */
    float *dropped;   /* behind dropout; NULL: there is none */
    float *gradient;  /* of what the next layer reads */
    const float *out; /* what the next layer reads in the newest call */
};

struct mlp {
    struct model model;
    struct device device;
    struct mlp_input input;
    enum compute_activation activation;
    enum model_head head;
    float dropout;
    uint64_t dropout_key;
    int layers;
    int width[LAYERS_MAX + 1];
    struct mlp_layer layer[LAYERS_MAX];
    float *in;            /* (rows, width[0]) */
    float *d_in;          /* its gradient; NULL unless there are tables */
    float *class_weights; /* NULL: all 1 */
    size_t parameter_count;
    struct parameter parameters[PARAMETERS_MAX];
    char names[PARAMETERS_MAX][MODEL_NAME_BYTES];
};

static void mlp_close(struct model *model)
{
    struct mlp *mlp = (struct mlp *)model;
    if (mlp == NULL)
        return;
    const struct compute_ops *ops = mlp->device.ops;
    struct compute *compute = mlp->device.compute;
    for (int l = 0; l < mlp->layers; l++) {
        struct mlp_layer *layer = &mlp->layer[l];
        if (layer->sums != layer->active)
            ops->release(compute, layer->sums);
        ops->release(compute, layer->active);
        ops->release(compute, layer->dropped);
        ops->release(compute, layer->gradient);
    }
    mlp_input_close(&mlp->input);
    ops->release(compute, mlp->in);
    ops->release(compute, mlp->d_in);
    ops->release(compute, mlp->class_weights);
    free(mlp);
}

static void mlp_cleanup(struct mlp **mlp)
{
    mlp_close(*mlp == NULL ? NULL : &(*mlp)->model);
}

/* ------------------------------------------------------------------ opening */

static void describe_layer(struct mlp *mlp, int l, size_t *offset)
{
    const int64_t in = mlp->width[l], out = mlp->width[l + 1];
    const float bound = (float)(1.0 / sqrt((double)in));
    struct parameter *weight = &mlp->parameters[mlp->parameter_count];
    char *weight_name = mlp->names[mlp->parameter_count++];
    struct parameter *bias = &mlp->parameters[mlp->parameter_count];
    char *bias_name = mlp->names[mlp->parameter_count++];
    (void)snprintf(weight_name, MODEL_NAME_BYTES, "layer%d.weight", l);
    (void)snprintf(bias_name, MODEL_NAME_BYTES, "layer%d.bias", l);
    *weight = (struct parameter){.name = weight_name,
                                 .dims = 2,
                                 .shape = {in, out},
                                 .offset = *offset,
                                 .count = (size_t)(in * out),
                                 .init = PARAMETER_UNIFORM,
                                 .bound = bound,
                                 .transposed = true};
    *offset += weight->count;
    *bias = (struct parameter){.name = bias_name,
                               .dims = 1,
                               .shape = {out},
                               .offset = *offset,
                               .count = (size_t)out,
                               .init = PARAMETER_UNIFORM,
                               .bound = bound};
    *offset += bias->count;
    mlp->layer[l].weight = weight;
    mlp->layer[l].bias = bias;
}

/* Tables first: a backward pass comes to them last. */
static void describe(struct mlp *mlp)
{
    size_t offset = 0;
    columns_describe(&mlp->input.columns, mlp->parameters, mlp->names, &offset);
    mlp->parameter_count = (size_t)mlp->input.columns.count;
    for (int l = 0; l < mlp->layers; l++)
        describe_layer(mlp, l, &offset);
}

static enum status allocate_floats(struct device device, int64_t rows, int width, float **out,
                                   struct error *err)
{
    void *memory = NULL;
    TRY(device.ops->alloc(device.compute, (size_t)rows * (size_t)width * sizeof(float), &memory,
                          err));
    *out = memory;
    return STATUS_OK;
}

static enum status allocate_layer(struct mlp *mlp, int l, int64_t rows, struct error *err)
{
    struct mlp_layer *layer = &mlp->layer[l];
    const int width = mlp->width[l + 1];
    const bool is_hidden = l < mlp->layers - 1;
    TRY(allocate_floats(mlp->device, rows, width, &layer->active, err));
    TRY(allocate_floats(mlp->device, rows, width, &layer->gradient, err));
    layer->sums = layer->active;
    if (is_hidden && mlp->activation == COMPUTE_GELU) {
        layer->sums = NULL;
        TRY(allocate_floats(mlp->device, rows, width, &layer->sums, err));
    }
    if (is_hidden && mlp->dropout > 0.0F)
        TRY(allocate_floats(mlp->device, rows, width, &layer->dropped, err));
    return STATUS_OK;
}

static enum status take_class_weights(struct mlp *mlp, const float *weights, struct error *err)
{
    if (weights == NULL || mlp->head == HEAD_LINEAR)
        return STATUS_OK;
    const int classes = mlp->head == HEAD_SIGMOID ? 2 : mlp->width[mlp->layers];
    TRY(allocate_floats(mlp->device, classes, 1, &mlp->class_weights, err));
    return mlp->device.ops->upload(mlp->device.compute, mlp->class_weights, weights,
                                   (size_t)classes * sizeof(float), err);
}

static void take_spec(struct mlp *mlp, const struct job_spec *spec)
{
    static const enum compute_activation activations[] = {[ACTIVATION_RELU] = COMPUTE_RELU,
                                                          [ACTIVATION_GELU] = COMPUTE_GELU,
                                                          [ACTIVATION_TANH] = COMPUTE_TANH};
    const struct philox_key key = philox_key_of(spec->training.seed, PHILOX_DROPOUT);
    mlp->activation = activations[spec->model.mlp.activation];
    mlp->head = (enum model_head)spec->model.mlp.head;
    mlp->dropout = (float)spec->model.mlp.dropout;
    mlp->dropout_key = (uint64_t)key.word[1] << 32 | key.word[0];
    mlp->layers = (int)spec->model.mlp.hidden_count + 1;
    for (int l = 1; l < mlp->layers; l++)
        mlp->width[l] = (int)spec->model.mlp.hidden[l - 1];
    mlp->width[mlp->layers] = mlp->head == HEAD_SOFTMAX ? (int)spec->model.mlp.classes : 1;
    mlp->model.score_width = mlp->width[mlp->layers];
    mlp->model.is_binary =
        mlp->head == HEAD_SIGMOID || (mlp->head == HEAD_SOFTMAX && mlp->model.score_width == 2);
}

static enum status mlp_open(const struct job_spec *spec, const struct model_input *input,
                            struct device device, struct model **out, struct error *err)
{
    CLEANUP(mlp_cleanup) struct mlp *mlp = calloc(1, sizeof(*mlp));
    if (mlp == NULL)
        return error_set(err, STATUS_NO_MEMORY, "open mlp");
    mlp->model.ops = &model_mlp;
    mlp->device = device;
    take_spec(mlp, spec);
    TRY(mlp_input_open(&mlp->input, spec, input, device, err));
    mlp->width[0] = mlp->input.width;
    describe(mlp);
    TRY(allocate_floats(device, input->rows_max, mlp->width[0], &mlp->in, err));
    if (mlp->input.columns.count > 0)
        TRY(allocate_floats(device, input->rows_max, mlp->width[0], &mlp->d_in, err));
    for (int l = 0; l < mlp->layers; l++)
        TRY(allocate_layer(mlp, l, input->rows_max, err));
    TRY(take_class_weights(mlp, input->class_weights, err));
    *out = &TAKE(mlp)->model;
    return STATUS_OK;
}

static const struct parameter *mlp_parameters(const struct model *model, size_t *out_count)
{
    const struct mlp *mlp = (const struct mlp *)model;
    *out_count = mlp->parameter_count;
    return mlp->parameters;
}

static int64_t mlp_records(const struct model *model, const struct dataset *set, bool training)
{
    (void)model;
    (void)training;
    return set->count;
}

static size_t mlp_feed_bytes(const struct model *model, int64_t rows)
{
    (void)model;
    return (size_t)rows * sizeof(int32_t);
}

/* The set lies on the device: the numbers of the records are enough. */
static enum status mlp_fill(const struct model *model, const struct model_rows *rows, bool training,
                            void *feed, size_t *out_bytes, struct model_shape *out,
                            struct error *err)
{
    (void)model;
    (void)training;
    (void)err;
    *out_bytes = (size_t)rows->count * sizeof(int32_t);
    memcpy(feed, rows->records, *out_bytes);
    *out = (struct model_shape){.rows = rows->count};
    return STATUS_OK;
}

/* ------------------------------------------------------------------ the passes */

static enum status drop(const struct mlp *mlp, int l, float *values, const struct model_call *call,
                        struct error *err)
{
    const uint64_t key = mlp->dropout_key + (uint64_t)l * UINT64_C(0x9E3779B97F4A7C15);
    return mlp->device.ops->dropout(mlp->device.compute, values, call->head->step, key,
                                    mlp->dropout, call->shape.rows, mlp->width[l + 1], err);
}

static enum status forward_layer(struct mlp *mlp, int l, const float *parameters,
                                 const struct model_call *call, bool training, struct error *err)
{
    const struct compute_ops *ops = mlp->device.ops;
    struct compute *compute = mlp->device.compute;
    struct mlp_layer *layer = &mlp->layer[l];
    const bool is_hidden = l < mlp->layers - 1;
    const bool is_relu = is_hidden && mlp->activation == COMPUTE_RELU;
    const int rows = call->shape.rows, width = mlp->width[l + 1];
    const size_t count = (size_t)rows * (size_t)width;
    const float *in = l == 0 ? mlp->in : mlp->layer[l - 1].out;
    TRY(ops->dense_forward(compute, layer->sums, in, parameters + layer->weight->offset,
                           parameters + layer->bias->offset, rows, width, mlp->width[l],
                           is_relu ? COMPUTE_RELU : COMPUTE_LINEAR, err));
    if (is_hidden && !is_relu)
        TRY(ops->activation_forward(compute, layer->active, layer->sums, count, mlp->activation,
                                    err));
    layer->out = layer->active;
    if (layer->dropped == NULL || !training)
        return STATUS_OK;
    layer->out = layer->dropped;
    TRY(ops->copy(compute, layer->dropped, layer->active, count * sizeof(float), err));
    return drop(mlp, l, layer->dropped, call, err);
}

/* Fills the layers up to the logits, which are the last one's out. */
static enum status forward(struct mlp *mlp, const float *parameters, const struct model_call *call,
                           bool training, struct error *err)
{
    TRY(mlp_input_gather(&mlp->input, parameters, call, mlp->in, err));
    for (int l = 0; l < mlp->layers; l++)
        TRY(forward_layer(mlp, l, parameters, call, training, err));
    return STATUS_OK;
}

/* Adds the sums; `d_logits` may be NULL: then the scale is not read. */
static enum status lose(struct mlp *mlp, float *sums, float *d_logits, const float *scale, int rows,
                        struct error *err)
{
    const struct compute_ops *ops = mlp->device.ops;
    struct compute *compute = mlp->device.compute;
    const float *logits = mlp->layer[mlp->layers - 1].out;
    const float *class_weights = d_logits == NULL ? NULL : mlp->class_weights; /* training's */
    switch (mlp->head) {
    case HEAD_SOFTMAX:
        return ops->softmax_cross_entropy(compute, &sums[0], &sums[1], d_logits, logits,
                                          mlp->input.labels, class_weights, scale, rows,
                                          mlp->width[mlp->layers], err);
    case HEAD_SIGMOID:
        return ops->sigmoid_cross_entropy(compute, &sums[0], &sums[1], d_logits, logits,
                                          mlp->input.labels, class_weights, scale, rows, err);
    case HEAD_LINEAR:
        break;
    }
    return ops->squared_error(compute, &sums[0], d_logits, logits, mlp->input.targets, scale, rows,
                              err);
}

static enum status backward_layer(struct mlp *mlp, int l, const float *parameters, float *gradients,
                                  const struct model_call *call, struct error *err)
{
    const struct compute_ops *ops = mlp->device.ops;
    struct compute *compute = mlp->device.compute;
    struct mlp_layer *layer = &mlp->layer[l];
    const bool is_hidden = l < mlp->layers - 1;
    const bool is_relu = is_hidden && mlp->activation == COMPUTE_RELU;
    const int rows = call->shape.rows, width = mlp->width[l + 1];
    const float *in = l == 0 ? mlp->in : mlp->layer[l - 1].out;
    float *d_in = l == 0 ? mlp->d_in : mlp->layer[l - 1].gradient;
    if (layer->dropped != NULL)
        TRY(drop(mlp, l, layer->gradient, call, err));
    if (is_hidden && !is_relu)
        TRY(ops->activation_backward(compute, layer->gradient, layer->sums, layer->active,
                                     (size_t)rows * (size_t)width, mlp->activation, err));
    TRY(ops->dense_backward(compute, d_in, gradients + layer->weight->offset,
                            gradients + layer->bias->offset, layer->gradient, layer->active, in,
                            parameters + layer->weight->offset, rows, width, mlp->width[l],
                            is_relu ? COMPUTE_RELU : COMPUTE_LINEAR, err));
    return model_ready(call, layer->weight->offset, err);
}

static enum status mlp_train_step(struct model *model, const float *parameters, float *gradients,
                                  float *sums, const struct model_call *call, struct error *err)
{
    struct mlp *mlp = (struct mlp *)model;
    TRY(forward(mlp, parameters, call, true, err));
    TRY(lose(mlp, sums, mlp->layer[mlp->layers - 1].gradient, &call->head->loss_scale,
             call->shape.rows, err));
    for (int l = mlp->layers - 1; l >= 0; l--)
        TRY(backward_layer(mlp, l, parameters, gradients, call, err));
    if (mlp->d_in == NULL)
        return STATUS_OK;
    TRY(columns_backward(&mlp->input.columns, mlp->device, gradients, call->flags, mlp->input.ids,
                         call->shape.rows, mlp->d_in, mlp->width[0], mlp->input.dense, err));
    return model_ready(call, 0, err);
}

static enum status mlp_evaluate(struct model *model, const float *parameters, float *sums,
                                float *scores, const struct model_call *call, struct error *err)
{
    struct mlp *mlp = (struct mlp *)model;
    TRY(forward(mlp, parameters, call, false, err));
    TRY(lose(mlp, sums, NULL, NULL, call->shape.rows, err));
    const float *logits = mlp->layer[mlp->layers - 1].out;
    const int width = mlp->width[mlp->layers];
    if (scores == NULL)
        return STATUS_OK;
    if (mlp->head == HEAD_LINEAR)
        return mlp->device.ops->copy(mlp->device.compute, scores, logits,
                                     (size_t)call->shape.rows * sizeof(float), err);
    return mlp->device.ops->probabilities(mlp->device.compute, scores, logits, call->shape.rows,
                                          width, err);
}

static int mlp_metrics(const struct model *model, const double *sums, double rows,
                       const char *names[MODEL_METRICS_MAX], double values[MODEL_METRICS_MAX])
{
    const struct mlp *mlp = (const struct mlp *)model;
    const bool is_linear = mlp->head == HEAD_LINEAR;
    names[0] = "loss";
    values[0] = sums[0] / rows;
    names[1] = is_linear ? "rmse" : "accuracy";
    values[1] = is_linear ? sqrt(sums[0] / rows) : sums[1] / rows;
    return 2;
}

const struct model_ops model_mlp = {
    .type = "mlp",
    .open = mlp_open,
    .close = mlp_close,
    .parameters = mlp_parameters,
    .records = mlp_records,
    .feed_bytes = mlp_feed_bytes,
    .fill = mlp_fill,
    .train_step = mlp_train_step,
    .evaluate = mlp_evaluate,
    .sum_count = SUM_COUNT,
    .metrics = mlp_metrics,
};
