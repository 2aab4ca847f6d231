#ifndef TRAINER_MAKEDATA_H
#define TRAINER_MAKEDATA_H

/*
 * makedata.h - data sets that look like those of finance and shops, made up: for examples, tests
 * and benches where no real one may be had.
 *
 *     table         loans.csv              numbers, categories, missing values; two classes
 *     text          train.tsv, test.tsv    a sentiment and a sentence; negations, two clauses
 *     interactions  train.tsv, test.tsv    user, item, time; each user's latest item is in test.tsv
 *
 * What is written is a function of (kind, rows, seed) alone, byte for byte, on every machine: Philox
 * by record, and no function of the math library. There is something to learn in each set, and noise.
 */

#include <stdint.h>

#include "base/error.h"

#define MAKEDATA_ROWS_MIN 100
#define MAKEDATA_ROWS_MAX INT64_C(1000000000)

enum makedata_kind { MAKEDATA_TABLE, MAKEDATA_TEXT, MAKEDATA_INTERACTIONS };

extern const char *const makedata_kind_names[]; /* ends with NULL */

struct makedata_request {
    enum makedata_kind kind;
    const char *folder; /* made if it is missing; files in it are replaced */
    int64_t rows; /* of the training file; interactions round down to whole users. 0: default */
    uint64_t seed;
};

/* STATUS_INVALID names the word and those that it may be. */
MUST_CHECK enum status makedata_kind_of(const char *word, enum makedata_kind *out,
                                        struct error *err);
MUST_CHECK enum status makedata_write(const struct makedata_request *request, struct error *err);

#endif
