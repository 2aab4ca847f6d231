#ifndef TRAINER_DATA_PAIRS_H
#define TRAINER_DATA_PAIRS_H

/*
 * pairs.h - shared by the files that decode interaction logs: pairs.c (who met what, and what is held out
 * of it) and pairs_candidates.c (what each held-out item is ranked among).
 */

#include "trainer/data/data.h"
#include "trainer/data/fit.h"

#define PAIRS_SAMPLED_NEGATIVES 99 /* a user, where no file gives them: the NCF paper's number */

/* How many negatives each evaluation record has: the file's, else PAIRS_SAMPLED_NEGATIVES. */
MUST_CHECK enum status pairs_count_negatives(const struct data_request *request, int64_t *out_count,
                                             struct error *err);
/*
 * candidates (rows, 1 + negatives), of which the first of each row is filled: the item met. Fills the
 * others from the file (a negative that is the item met becomes -1), or by drawing different items that
 * the user has not met in the training part; -1 where there are not enough.
 */
MUST_CHECK enum status pairs_fill_negatives(const struct data_request *request,
                                            const struct data_fit *fit, const int32_t *users,
                                            int64_t rows, int64_t negatives, int32_t *candidates,
                                            struct error *err);

#endif
