#ifndef TRAINER_MODEL_MODEL_H
#define TRAINER_MODEL_MODEL_H

/*
 * model.h - a model family: named parameters, a forward and a backward pass over the compute table.
 * A model knows neither ranks, nor files, nor optimizers.
 *
 * Parameters live in one flat device vector, gradients in a second of the same layout, so that
 * synchronisation, optimizer and checkpoint need no per-tensor code. The table says name, shape,
 * offset and initialisation of each.
 *
 * Adding a family: one file here with a struct model_ops, one line in model_registry[].
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "schema/job_spec.h"
#include "trainer/compute/compute.h"

#define MODEL_PARAMETERS_MAX 64
#define MODEL_NAME_BYTES     48
#define MODEL_DIMS_MAX       4
#define MODEL_METRICS_MAX    8

enum parameter_init {
    PARAMETER_ZERO,
    PARAMETER_UNIFORM, /* U(-bound, bound): element i of parameter p from Philox (seed, INIT, p, i) */
};

struct parameter {
    const char *name; /* "layer0.weight": the name in model.safetensors; owned by the model */
    int dims;
    int64_t shape[MODEL_DIMS_MAX];
    size_t offset; /* in floats */
    size_t count;
    enum parameter_init init;
    float bound;
    bool transposed; /* two dimensions; files hold the transpose, as PyTorch's layers do */
};

/* What a model must know of the data. */
struct model_input {
    int64_t width;
    int64_t classes;
    int64_t rows_max; /* largest number of rows in one call */
};

/* One batch in device memory. The model gathers its rows from the resident dataset. */
struct model_batch {
    int rows;
    const uint8_t *bytes; /* (count, width) resident */
    float scale;
    const int32_t *labels;   /* (count) resident */
    const int32_t *records;  /* (rows): which records */
    const float *loss_scale; /* [0]: 1 / rows of the global batch */
};

struct model;

struct model_ops {
    const char *type; /* "mlp" */
    enum status (*open)(const struct job_spec *spec, const struct model_input *input,
                        struct device device, struct model **out, struct error *err);
    void (*close)(struct model *model); /* accepts NULL */
    const struct parameter *(*parameters)(const struct model *model, size_t *out_count);
    /*
     * Adds this batch's gradients to `gradients` and its sums to sums[0..sum_count): sums[0] is the
     * loss summed over rows; the others are counted per family (mlp: sums[1] = rows predicted
     * right). Called inside a step.
     */
    enum status (*train_step)(struct model *model, const float *parameters, float *gradients,
                              float *sums, const struct model_batch *batch, struct error *err);
    /* Adds only the sums. Called inside a step. */
    enum status (*evaluate)(struct model *model, const float *parameters, float *sums,
                            const struct model_batch *batch, struct error *err);
    int sum_count;
    /* Names and values of metrics from the sums over `rows` rows: {"loss", "accuracy"}. */
    int (*metrics)(const double *sums, double rows, const char *names[MODEL_METRICS_MAX],
                   double values[MODEL_METRICS_MAX]);
};

/* First member of each family's own struct. */
struct model {
    const struct model_ops *ops;
};

extern const struct model_ops model_mlp;

extern const struct model_ops *const model_registry[]; /* indexed by enum model_type */

/* Floats in the flat vector. */
size_t model_parameter_count(const struct model *model);
/* Fills a host vector with the initial values: a pure function of (seed, parameter, element). */
void model_initialise(const struct model *model, uint64_t seed, float *out);

#endif
