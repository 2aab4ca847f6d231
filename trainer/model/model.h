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
#include "trainer/data/data.h"

#define MODEL_PARAMETERS_MAX 640
#define MODEL_NAME_BYTES     48
#define MODEL_DIMS_MAX       4
#define MODEL_METRICS_MAX    8

enum parameter_init {
    PARAMETER_ZERO,
    PARAMETER_UNIFORM, /* U(-bound, bound): element i of parameter p from Philox (seed, INIT, p, i) */
    PARAMETER_NORMAL, /* N(0, bound^2), by Box and Muller from the same numbers */
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
    bool is_table;   /* an embedding: a step touches few of its rows, (shape[0], shape[1]) */
    size_t flags;    /* a table: rows of the tables before it, where its flags begin */
};

/* What a model must know of the job's data. The sets outlive the model. */
struct model_input {
    const struct dataset *train;
    const struct dataset *eval; /* NULL: none */
    int64_t rows_max;           /* largest number of rows in one call */
    const float
        *class_weights; /* (classes) on the host, mean 1 over the training set; NULL: all 1 */
};

/* The rows of one call: which records, and where they stand in training. */
struct model_rows {
    const struct dataset *set; /* one of the two of model_input, or one alike, for predictions */
    const int32_t *records;    /* (count) */
    int count;
    uint64_t seed;
    int64_t epoch;
    int64_t step;      /* 0-based */
    int64_t first_row; /* of this call, in the global batch: counter-based numbers start here */
};

/* In device memory at the begin of each call's feed; filled by the training loop. */
struct model_feed_head {
    float loss_scale; /* 1 / rows of the global batch */
    uint32_t step[2]; /* low, high: counters of Philox */
    uint32_t first_row;
    uint32_t unused[12]; /* keeps what follows aligned for any device */
};

/* All that the operations of a call may depend on beside device memory: it goes into run()'s key. */
struct model_shape {
    int rows;
    int dims[3]; /* the family's own: padded steps, tokens, ... */
};

/* Told by a backward pass: gradients at and above `offset` of the flat vector are final. */
struct model_listener {
    enum status (*ready)(void *context, size_t offset, struct error *err);
    void *context;
};

struct model_call {
    struct model_shape shape;
    const struct dataset *set;          /* as in the rows that the feed was filled from */
    const struct model_feed_head *head; /* device; its loss scale is read in training only */
    const void *feed;                   /* device: what fill() made */
    float *flags; /* device: of tables' rows; NULL: no table is updated sparsely */
    const struct model_listener *listener; /* NULL: nobody waits */
};

struct model;

/*
 * A family. fill() and records() are pure and may run on another thread than the rest; what they make
 * depends on seed, epoch, step and records alone, and not on how rows are shared among ranks.
 */
struct model_ops {
    const char *type; /* "mlp" */
    enum status (*open)(const struct job_spec *spec, const struct model_input *input,
                        struct device device, struct model **out, struct error *err);
    void (*close)(struct model *model); /* accepts NULL */
    const struct parameter *(*parameters)(const struct model *model, size_t *out_count);
    /* Records of an epoch: the set's, or more (positives and their sampled negatives). */
    int64_t (*records)(const struct model *model, const struct dataset *set, bool training);
    /* An upper bound of the bytes that fill() writes for so many rows. */
    size_t (*feed_bytes)(const struct model *model, int64_t rows);
    enum status (*fill)(const struct model *model, const struct model_rows *rows, bool training,
                        void *feed, size_t *out_bytes, struct model_shape *out, struct error *err);
    /*
     * Adds this call's gradients to `gradients` and its sums to sums[0..sum_count): sums[0] is the
     * loss summed over rows; the others are counted per family (mlp: sums[1] = rows predicted
     * right). Called inside a step.
     */
    enum status (*train_step)(struct model *model, const float *parameters, float *gradients,
                              float *sums, const struct model_call *call, struct error *err);
    /*
     * Adds the sums and, unless `scores` is NULL, writes (rows, score_width) of what is predicted:
     * probabilities, values, ranks. Called inside a step. Class weights are training's: the loss is that
     * of the rows as they are.
     */
    enum status (*evaluate)(struct model *model, const float *parameters, float *sums,
                            float *scores, const struct model_call *call, struct error *err);
    int sum_count;
    /* Names and values of metrics from the sums over `rows` rows: {"loss", "accuracy"}. */
    int (*metrics)(const struct model *model, const double *sums, double rows,
                   const char *names[MODEL_METRICS_MAX], double values[MODEL_METRICS_MAX]);
};

/* First member of each family's own struct. */
struct model {
    const struct model_ops *ops;
    int score_width; /* floats that evaluate() gives a row */
    bool
        is_binary; /* two classes, label 1's probability the last of a row's scores: AUC has a meaning */
    size_t host_bytes; /* that it keeps beside the device's memory, when they grow with the data */
};

extern const struct model_ops model_mlp;
extern const struct model_ops model_bilstm;
extern const struct model_ops model_ncf; /* ncf.c says how it predicts */

extern const struct model_ops *const model_registry[]; /* indexed by enum model_type */

/* Floats in the flat vector. */
size_t model_parameter_count(const struct model *model);
/* Rows of all tables: one flag each, in the order of the parameters, when they are updated sparsely. */
size_t model_table_rows(const struct model *model);
/*
 * A key for run() with the shape of one more call folded in; begin with 0. Calls of one step are folded in
 * their order.
 */
uint64_t model_shape_key(uint64_t key, const struct model_shape *shape);
/* Tells the listener, if there is one. */
MUST_CHECK enum status model_ready(const struct model_call *call, size_t offset, struct error *err);
/* Fills a host vector with the initial values: a pure function of (seed, parameter, element). */
void model_initialise(const struct model *model, uint64_t seed, float *out);

#endif
