/*
 * mlp.c - dense layers with ReLU between them and a softmax head: the multilayer perceptron.
 *
 * Layer l maps (rows, width[l]) to (rows, width[l + 1]). Weights lie as (in, out) in memory and as
 * PyTorch's (out, in) in files; initial values are PyTorch's nn.Linear's: U(-b, b) with b =
 * 1 / sqrt(in), for weights and biases.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/model/model.h"

#define LAYERS_MAX (MODEL_LAYERS_MAX + 1) /* the hidden ones and the head */
#define SUM_COUNT  2                      /* loss, rows predicted right */

/* A data set as the device sees it. */
struct mlp_set {
    const struct dataset *set;
    const uint8_t *bytes;   /* (count, width) */
    const int32_t *targets; /* (count) */
};

struct mlp {
    struct model model;
    struct device device;
    int layers;
    int width[LAYERS_MAX + 1];
    float *values[LAYERS_MAX + 1];               /* values[l]: input of layer l, (rows, width[l]) */
    float *gradients[LAYERS_MAX + 1];            /* of values[l]; none for the input, [0] */
    int32_t *labels;                             /* (rows) */
    float *class_weights;                        /* NULL: all 1 */
    struct mlp_set sets[2];                      /* the training and the evaluation part */
    struct parameter parameters[2 * LAYERS_MAX]; /* weight and bias of each layer */
    char names[2 * LAYERS_MAX][MODEL_NAME_BYTES];
};

static void mlp_close(struct model *model)
{
    struct mlp *mlp = (struct mlp *)model;
    if (mlp == NULL)
        return;
    for (int l = 0; l <= mlp->layers; l++) {
        mlp->device.ops->release(mlp->device.compute, mlp->values[l]);
        mlp->device.ops->release(mlp->device.compute, mlp->gradients[l]);
    }
    for (size_t i = 0; i < COUNT_OF(mlp->sets); i++) {
        mlp->device.ops->unmap_host(mlp->device.compute, mlp->sets[i].bytes);
        mlp->device.ops->unmap_host(mlp->device.compute, mlp->sets[i].targets);
    }
    mlp->device.ops->release(mlp->device.compute, mlp->labels);
    mlp->device.ops->release(mlp->device.compute, mlp->class_weights);
    free(mlp);
}

static void mlp_cleanup(struct mlp **mlp)
{
    mlp_close(*mlp == NULL ? NULL : &(*mlp)->model);
}

static void describe_layer(struct mlp *mlp, int l, size_t *offset)
{
    const int64_t in = mlp->width[l], out = mlp->width[l + 1];
    const float bound = (float)(1.0 / sqrt((double)in));
    char *weight_name = mlp->names[2 * l], *bias_name = mlp->names[2 * l + 1];
    (void)snprintf(weight_name, MODEL_NAME_BYTES, "layer%d.weight", l);
    (void)snprintf(bias_name, MODEL_NAME_BYTES, "layer%d.bias", l);
    mlp->parameters[2 * l] = (struct parameter){.name = weight_name,
                                                .dims = 2,
                                                .shape = {in, out},
                                                .offset = *offset,
                                                .count = (size_t)(in * out),
                                                .init = PARAMETER_UNIFORM,
                                                .bound = bound,
                                                .transposed = true};
    *offset += (size_t)(in * out);
    mlp->parameters[2 * l + 1] = (struct parameter){.name = bias_name,
                                                    .dims = 1,
                                                    .shape = {out},
                                                    .offset = *offset,
                                                    .count = (size_t)out,
                                                    .init = PARAMETER_UNIFORM,
                                                    .bound = bound};
    *offset += (size_t)out;
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

static enum status map_set(struct device device, const struct dataset *set, struct mlp_set *out,
                           struct error *err)
{
    if (set == NULL)
        return STATUS_OK;
    const struct data_array *features = dataset_array(set, "features");
    const struct data_array *labels = dataset_array(set, "label");
    const void *view = NULL;
    out->set = set;
    TRY(device.ops->map_host(device.compute, features->values,
                             (size_t)features->rows * (size_t)features->width, &view, err));
    out->bytes = view;
    TRY(device.ops->map_host(device.compute, labels->values, (size_t)labels->rows * sizeof(int32_t),
                             &view, err));
    out->targets = view;
    return STATUS_OK;
}

static enum status take_class_weights(struct mlp *mlp, const float *weights, struct error *err)
{
    if (weights == NULL)
        return STATUS_OK;
    const size_t bytes = (size_t)mlp->width[mlp->layers] * sizeof(float);
    void *memory = NULL;
    TRY(mlp->device.ops->alloc(mlp->device.compute, bytes, &memory, err));
    mlp->class_weights = memory;
    return mlp->device.ops->upload(mlp->device.compute, memory, weights, bytes, err);
}

static enum status mlp_open(const struct job_spec *spec, const struct model_input *input,
                            struct device device, struct model **out, struct error *err)
{
    CLEANUP(mlp_cleanup) struct mlp *mlp = calloc(1, sizeof(*mlp));
    if (mlp == NULL)
        return error_set(err, STATUS_NO_MEMORY, "open mlp");
    mlp->model.ops = model_registry[MODEL_MLP];
    mlp->device = device;
    mlp->layers = (int)spec->model.mlp.hidden_count + 1;
    mlp->width[0] = (int)dataset_array(input->train, "features")->width;
    for (int l = 1; l < mlp->layers; l++)
        mlp->width[l] = (int)spec->model.mlp.hidden[l - 1];
    mlp->width[mlp->layers] = (int)spec->model.mlp.classes;

    size_t offset = 0;
    for (int l = 0; l < mlp->layers; l++)
        describe_layer(mlp, l, &offset);
    for (int l = 0; l <= mlp->layers; l++) {
        TRY(allocate_floats(device, input->rows_max, mlp->width[l], &mlp->values[l], err));
        if (l > 0)
            TRY(allocate_floats(device, input->rows_max, mlp->width[l], &mlp->gradients[l], err));
    }
    void *labels = NULL;
    TRY(device.ops->alloc(device.compute, (size_t)input->rows_max * sizeof(int32_t), &labels, err));
    mlp->labels = labels;
    mlp->model.score_width = mlp->width[mlp->layers];
    TRY(map_set(device, input->train, &mlp->sets[0], err));
    TRY(map_set(device, input->eval, &mlp->sets[1], err));
    TRY(take_class_weights(mlp, input->class_weights, err));
    *out = &TAKE(mlp)->model;
    return STATUS_OK;
}

static const struct parameter *mlp_parameters(const struct model *model, size_t *out_count)
{
    const struct mlp *mlp = (const struct mlp *)model;
    *out_count = 2 * (size_t)mlp->layers;
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

/* Gathers the rows and fills values[1..layers]; values[layers] are the logits. */
static enum status forward(struct mlp *mlp, const float *parameters, const struct model_call *call,
                           struct error *err)
{
    const struct compute_ops *ops = mlp->device.ops;
    struct compute *compute = mlp->device.compute;
    const struct mlp_set *set = &mlp->sets[call->set == mlp->sets[0].set ? 0 : 1];
    const int32_t *records = call->feed;
    const int rows = call->shape.rows;
    TRY(ops->gather_rows_u8(compute, mlp->values[0], set->bytes, records, rows, mlp->width[0],
                            set->set->scale, err));
    TRY(ops->gather_i32(compute, mlp->labels, set->targets, records, rows, err));
    for (int l = 0; l < mlp->layers; l++) {
        const bool is_head = l == mlp->layers - 1;
        TRY(ops->dense_forward(
            compute, mlp->values[l + 1], mlp->values[l], parameters + mlp->parameters[2 * l].offset,
            parameters + mlp->parameters[2 * l + 1].offset, rows, mlp->width[l + 1], mlp->width[l],
            is_head ? COMPUTE_LINEAR : COMPUTE_RELU, err));
    }
    return STATUS_OK;
}

static enum status mlp_train_step(struct model *model, const float *parameters, float *gradients,
                                  float *sums, const struct model_call *call, struct error *err)
{
    struct mlp *mlp = (struct mlp *)model;
    const struct compute_ops *ops = mlp->device.ops;
    struct compute *compute = mlp->device.compute;
    TRY(forward(mlp, parameters, call, err));
    TRY(ops->softmax_cross_entropy(compute, &sums[0], &sums[1], mlp->gradients[mlp->layers],
                                   mlp->values[mlp->layers], mlp->labels, mlp->class_weights,
                                   &call->head->loss_scale, call->shape.rows,
                                   mlp->width[mlp->layers], err));
    for (int l = mlp->layers - 1; l >= 0; l--) {
        const bool is_head = l == mlp->layers - 1;
        const size_t weight = mlp->parameters[2 * l].offset;
        const size_t bias = mlp->parameters[2 * l + 1].offset;
        TRY(ops->dense_backward(compute, mlp->gradients[l], gradients + weight, gradients + bias,
                                mlp->gradients[l + 1], mlp->values[l + 1], mlp->values[l],
                                parameters + weight, call->shape.rows, mlp->width[l + 1],
                                mlp->width[l], is_head ? COMPUTE_LINEAR : COMPUTE_RELU, err));
        TRY(model_ready(call, weight, err));
    }
    return STATUS_OK;
}

static enum status mlp_evaluate(struct model *model, const float *parameters, float *sums,
                                float *scores, const struct model_call *call, struct error *err)
{
    struct mlp *mlp = (struct mlp *)model;
    const struct compute_ops *ops = mlp->device.ops;
    struct compute *compute = mlp->device.compute;
    const float *logits = mlp->values[mlp->layers];
    const int classes = mlp->width[mlp->layers];
    TRY(forward(mlp, parameters, call, err));
    TRY(ops->softmax_cross_entropy(compute, &sums[0], &sums[1], NULL, logits, mlp->labels,
                                   mlp->class_weights, NULL, call->shape.rows, classes, err));
    if (scores == NULL)
        return STATUS_OK;
    return ops->probabilities(compute, scores, logits, call->shape.rows, classes, err);
}

static int mlp_metrics(const struct model *model, const double *sums, double rows,
                       const char *names[MODEL_METRICS_MAX], double values[MODEL_METRICS_MAX])
{
    (void)model;
    names[0] = "loss";
    values[0] = sums[0] / rows;
    names[1] = "accuracy";
    values[1] = sums[1] / rows;
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
