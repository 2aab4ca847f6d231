#ifndef TRAINER_EVALUATOR_H
#define TRAINER_EVALUATOR_H

/*
 * evaluator.h - a model over the records of one set, call by call: what evaluation during training,
 * `evaluate` and `predict` share, so that their figures are the same.
 *
 * A row's score can depend on its call's shape in the last bit (a product of two rows is computed
 * otherwise than one of 256), so whoever wants the same figures asks for the same calls.
 *
 * Ownership: device, model, set and parameters must outlive it. Where the device is used for other steps
 * too, their keys must lie below EVALUATOR_KEY.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "trainer/compute/compute.h"
#include "trainer/data/data.h"
#include "trainer/model/model.h"

#define EVALUATOR_ROWS 256                 /* of one call, at most */
#define EVALUATOR_KEY  (UINT64_C(1) << 63) /* of run(): all of ours have this bit */

struct evaluator_parts {
    struct device device;
    struct model *model;
    const struct dataset *set;
    const float *parameters; /* device; read in each call */
    uint64_t seed;
    bool gives_scores;
};

struct evaluator;

MUST_CHECK enum status evaluator_open(const struct evaluator_parts *parts, struct evaluator **out,
                                      struct error *err);
void evaluator_close(struct evaluator *evaluator); /* accepts NULL */
/* Rows of the set, as the model sees it. */
int64_t evaluator_rows(const struct evaluator *evaluator);
/*
 * Rows first..first+count-1, at most EVALUATOR_ROWS. Adds the model's sums to `sums`, unless it is NULL;
 * writes (count, score_width) scores, if it was opened to give them.
 */
MUST_CHECK enum status evaluator_run(struct evaluator *evaluator, int64_t first, int count,
                                     double sums[MODEL_METRICS_MAX], float *scores,
                                     struct error *err);

#endif
