#ifndef TRAINER_SCORER_H
#define TRAINER_SCORER_H

/*
 * scorer.h - a saved model over the records of one set: the scores that evaluate() gives, in calls of at
 * most SCORER_ROWS rows, as an evaluation during training has them (evaluator.h).
 *
 * Ownership: set and file must outlive it.
 */

#include "base/error.h"
#include "trainer/data/data.h"
#include "trainer/evaluator.h"
#include "trainer/model_file.h"

#define SCORER_ROWS EVALUATOR_ROWS /* of one call */

struct scorer;

/* `like_training` stands for the training part where the family asks for its sizes. */
MUST_CHECK enum status scorer_open(const struct model_file *file,
                                   const struct dataset *like_training, const struct dataset *set,
                                   struct scorer **out, struct error *err);
void scorer_close(struct scorer *scorer); /* accepts NULL */
void scorer_cleanup(struct scorer *const *scorer);

/* Floats of one row's score, and rows of the set. */
int scorer_width(const struct scorer *scorer);
int64_t scorer_rows(const struct scorer *scorer);
/* Rows first..first+count-1, at most SCORER_ROWS: (count, width) into `out`. */
MUST_CHECK enum status scorer_score(struct scorer *scorer, int64_t first, int count, float *out,
                                    struct error *err);

#endif
