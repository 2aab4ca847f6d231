#ifndef TESTS_UNIT_MLP_RIG_H
#define TESTS_UNIT_MLP_RIG_H

/*
 * mlp_rig.h - small multilayer perceptrons of every kind, with records made by hand and their loss in
 * float64, computed from the parameter table and the spec alone: what test_mlp*.c share.
 */

#include "tests/unit/model_rig.h"

enum {
    MLP_RECORDS = 40,
    MLP_DENSE = 12,  /* of bytes and floats */
    MLP_NUMERIC = 5, /* of a table */
    MLP_COLUMNS = 2, /* categories of a table */
    MLP_CLASSES = 5, /* of a softmax head */
};

enum mlp_records { MLP_BYTES, MLP_FLOATS, MLP_TABLE, MLP_RECORDS_KINDS };

/* Which perceptron. Two hidden layers of 9 and 7, unless it is flat. */
struct mlp_variant {
    enum mlp_records records;
    enum activation activation;
    enum model_head head;
    float dropout;
    bool weighted; /* the classes count differently */
    bool sparse;   /* tables are updated sparsely */
    bool flat;     /* no hidden layer */
};

struct mlp_rig {
    struct model_rig rig;
    struct mlp_variant variant;
    struct job_spec spec;
    struct dataset set;
    uint8_t bytes[MLP_RECORDS][MLP_DENSE];
    float floats[MLP_RECORDS][MLP_DENSE];
    float numeric[MLP_RECORDS][MLP_NUMERIC];
    int32_t category[MLP_RECORDS][MLP_COLUMNS];
    int32_t labels[MLP_RECORDS];
    float targets[MLP_RECORDS];
    float class_weights[MLP_CLASSES];
    int32_t in_order[MLP_RECORDS]; /* 0, 1, ...: any rows of a batch are a piece of it */
};

extern const int mlp_rig_buckets[MLP_COLUMNS];

/* The records and the spec, without a model: what mlp_rig_open() opens. */
void mlp_rig_describe(struct mlp_rig *mlp, const struct mlp_variant *variant);
void mlp_rig_open(struct mlp_rig *mlp, const struct compute_ops *ops,
                  const struct mlp_variant *variant);
void mlp_rig_close(struct mlp_rig *mlp);
/* The records first..first + count - 1, which are rows of the same numbers, of step `step`. */
struct rig_rows mlp_rig_rows(const struct mlp_rig *mlp, int first, int count, int batch_rows,
                             int64_t step);
/*
 * The loss of these rows summed, over batch_rows, in float64, from the model's parameters; dropout as
 * in training if `training`. Unless it is NULL, out (count, score width) gets what the head says.
 */
double mlp_rig_loss(const struct mlp_rig *mlp, const double *parameters,
                    const struct rig_rows *rows, bool training, double *out);

#endif
