#ifndef TRAINER_OPTIM_OPTIM_H
#define TRAINER_OPTIM_OPTIM_H

/*
 * optim.h - optimizers over a slice of the flat parameter vector (the whole of it for allreduce, a
 * rank's share for sharded and parameter_server).
 *
 * State (Adam's m and v, SGD's velocity) lies in device vectors of the slice's length; what depends on
 * the step number is computed from it, so a checkpoint needs the vectors and the step alone.
 *
 * Adding one: a file here with a struct optim_ops, one line in optim_registry[].
 */

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "schema/job_spec.h"
#include "trainer/compute/compute.h"

#define OPTIM_STATES_MAX 2

struct optim;

struct optim_ops {
    const char *type;
    int state_count;
    const char *state_names[OPTIM_STATES_MAX]; /* "adam_m", "adam_v": prefix in checkpoints */
    enum status (*open)(const struct optimizer_spec *spec, size_t count, struct device device,
                        struct optim **out, struct error *err);
    void (*close)(struct optim *optim); /* accepts NULL */
    /* Before each step, outside run(): the scalars of step `step` (1-based) go to the device. */
    enum status (*prepare)(struct optim *optim, int64_t step, double lr_factor, struct error *err);
    /* Inside a step: updates `parameters` (count) from `gradients` (count). */
    enum status (*update)(struct optim *optim, float *parameters, const float *gradients,
                          struct error *err);
    float *(*state)(struct optim *optim, int index); /* device vector of `count` floats */
};

struct optim {
    const struct optim_ops *ops;
};

extern const struct optim_ops optim_adam;
extern const struct optim_ops optim_sgd;

extern const struct optim_ops *const optim_registry[]; /* indexed by enum optimizer_type */

#endif
