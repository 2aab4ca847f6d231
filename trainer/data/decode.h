#ifndef TRAINER_DATA_DECODE_H
#define TRAINER_DATA_DECODE_H

/*
 * decode.h - shared by the files that decode records with columns: decode.c and decode_survey.c. First a
 * survey of the file (how many records of the part lie in each chunk, and what is fitted on them), then a
 * pass that writes each record where the survey says.
 */

#include "trainer/data/data.h"
#include "trainer/data/fit.h"
#include "trainer/data/records.h"
#include "trainer/data/split.h"

/* The part's records of one chunk. */
struct decode_plan {
    int64_t first_row, rows;
    int64_t first_token, tokens;
};

struct decoding {
    const struct data_request *request;
    struct data_fit *fit;
    struct records *records;
    struct records_policy policy;
    struct split split;
    /* By the survey. */
    struct decode_plan *plans; /* one a chunk */
    int64_t plan_count, plan_capacity;
    int64_t rows, tokens;
    /* By the writing pass: the arrays, those that the kind has. */
    float *numeric;
    int32_t *category;
    int32_t *label;      /* classes, integers */
    float *label_number; /* numbers */
    int32_t *tokens_out;
    int64_t *offsets;
};

/*
 * Fills `plans`, `rows`, `tokens`, and for the training part everything in `fit` that is learned.
 * STATUS_INVALID when the part has no record.
 */
MUST_CHECK enum status decode_survey(struct decoding *decode, struct error *err);

/* What a record of the part says. */
struct decode_values {
    float numbers[DATA_COLUMNS_MAX]; /* as data_check_record() gives them */
    struct fit_label label;
};

/*
 * What both passes do first with a record: malformed ones are refused, and *out_wanted says whether it is one
 * of this part's. *ties as for split_is_test().
 */
MUST_CHECK enum status decode_choose(const struct decoding *decode, const struct record *record,
                                     int64_t *ties, bool *out_wanted, struct decode_values *out,
                                     struct error *err);

#endif
