#ifndef TRAINER_OPTIM_OPTIM_H
#define TRAINER_OPTIM_OPTIM_H

/*
 * optim.h - optimizers over a slice of the flat parameter vector (the whole of it for allreduce, a
 * rank's share for sharded and parameter_server).
 *
 * State (Adam's m and v, SGD's velocity, Adagrad's sums) lies in device vectors of the slice's length;
 * what depends on the step number is computed from it, so a checkpoint needs the vectors and the step
 * alone.
 *
 * Sparse tables ("embeddings": "sparse") are parts of the vector of which a step touches some rows.
 * A row whose flag is not > 0 keeps parameters and state: its momentum does not decay and it is not
 * moved, nor shrunk by weight decay. This is torch.optim.SparseAdam (whose eps is not bias-corrected:
 * lr sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + eps); t counts steps, not touches) and
 * torch.optim.Adagrad on sparse gradients. Sparse SGD is SGD of the touched rows, momentum included.
 *
 * Adding one: a file here with a struct optim_ops, one line in optim_registry[]. optim_private.h has
 * what they share.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "schema/job_spec.h"
#include "trainer/compute/compute.h"

#define OPTIM_STATES_MAX 2

struct optim;

/* A sparse table in the flat vector: rows * width parameters from `offset` on. */
struct optim_table {
    size_t offset;
    size_t rows;
    int width;
    size_t flags; /* index of its first touched flag among the flags */
};

/* What open() needs. It copies all but the device; a slice may begin and end inside a row. */
struct optim_parts {
    const struct optimizer_spec *spec;
    struct device device;
    size_t first, count;              /* the slice of the flat vector */
    const struct optim_table *tables; /* sparse ones only, by offset, of the whole vector */
    size_t table_count;
    /* Whether an update leaves the gradients of its slice zero, but for rows that the step did not
       touch: nobody added to those. */
    bool clears_gradients;
};

struct optim_ops {
    const char *type;
    int state_count;
    const char *state_names[OPTIM_STATES_MAX]; /* "adam_m", "adam_v": prefix in checkpoints */
    enum status (*open)(const struct optim_parts *parts, struct optim **out, struct error *err);
    void (*close)(struct optim *optim); /* accepts NULL */
    /* Before each step, outside run(): the scalars of step `step` (1-based) go to the device. */
    enum status (*prepare)(struct optim *optim, int64_t step, double lr_factor, struct error *err);
    /*
     * Inside a step: updates `parameters` from `gradients`; both (count), at the slice's begin.
     * `flags`: the flags of all tables, from the first on; NULL without tables. `scale` (1), device:
     * times each gradient; NULL: 1.
     */
    enum status (*update)(struct optim *optim, float *parameters, float *gradients,
                          const float *flags, const float *scale, struct error *err);
    float *(*state)(struct optim *optim, int index); /* device vector of `count` floats */
};

struct optim {
    const struct optim_ops *ops;
};

extern const struct optim_ops optim_sgd;
extern const struct optim_ops optim_adam;
extern const struct optim_ops optim_adamw;
extern const struct optim_ops optim_adagrad;

extern const struct optim_ops *const optim_registry[]; /* indexed by enum optimizer_type */

#endif
