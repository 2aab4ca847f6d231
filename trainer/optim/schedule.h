#ifndef TRAINER_OPTIM_SCHEDULE_H
#define TRAINER_OPTIM_SCHEDULE_H

/*
 * schedule.h - the learning rate over the steps, as a factor of the spec's.
 *
 * Warm-up rises in a straight line: step k of `warmup_steps` has k / warmup_steps, so the last of them
 * has 1. The decay is counted from there (from the first step without warm-up), where it is 1:
 *
 *   constant  1
 *   step      factor ^ floor(steps since / every_steps)
 *   cosine    min + (1 - min) (1 + cos(pi x)) / 2, x from 0 to 1 at the last step (Loshchilov and
 *             Hutter 2017, one period)
 *   linear    1 + (min - 1) x
 *
 * A pure function of the step: nothing to save.
 */

#include <stdint.h>

#include "schema/job_spec.h"

/* The factor of step `step` (1-based) of `total_steps`. */
double schedule_factor(const struct schedule_spec *spec, int64_t step, int64_t total_steps);

#endif
