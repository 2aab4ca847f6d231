#ifndef TRAINER_METRICS_H
#define TRAINER_METRICS_H

/* metrics.h - figures that no sum over rows gives: they need all scores at once. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * The area under the ROC curve of `count` scores with labels 0 and 1: the probability that a positive
 * scores above a negative, ties counting half (Mann and Whitney's U by mean ranks). *out_defined is
 * false when a class is missing. Needs memory for a sorted copy. STATUS_NO_MEMORY.
 */
MUST_CHECK enum status metrics_auc(const float *scores, const int32_t *labels, size_t count,
                                   double *out, bool *out_defined, struct error *err);

#endif
