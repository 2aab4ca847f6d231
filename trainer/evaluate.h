#ifndef TRAINER_EVALUATE_H
#define TRAINER_EVALUATE_H

/*
 * evaluate.h - the metrics of a saved model: those of its own evaluation part, to the last digit what
 * the job reported when it ended, or those of another file with the same columns. The model's file holds
 * how records are encoded; the job's training data are needed only where an evaluation asks them
 * (interactions: what users have met; class weights).
 */

#include "base/buf.h"
#include "schema/exit_code.h"

struct evaluate_request {
    const char *model;  /* path of model.safetensors */
    const char *data;   /* the folder with the spec's files, or the folder of data sets */
    const char *file;   /* in that folder, instead of the spec's evaluation part; NULL: that */
    const char *labels; /* idx and npy: the labels of `file` */
};

/*
 * Appends one line of JSON: the metrics as eval_<name>, then "records", "data_sha256" and "same_data",
 * whether these are the records of the job's own evaluation.
 */
MUST_CHECK enum trainer_exit evaluate_run(const struct evaluate_request *request, struct buf *out,
                                          struct error *err);

#endif
