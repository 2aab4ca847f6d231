#ifndef TRAINER_PREDICT_H
#define TRAINER_PREDICT_H

/*
 * predict.h - a saved model applied to new data: rows of a table, images, texts; for a recommender the
 * best items of users. Nothing but the model file is needed: it holds the spec and what was fitted.
 *
 * What is printed, one line a row in the order of the file, so that the two can be pasted together:
 *   tables, images   CSV with a header: class and a probability for each class (softmax), class and
 *                    probability (sigmoid), value (linear)
 *   texts            score, a tab, the text; the score is the probability of label 1, or those of all
 *                    classes, separated by commas
 *   recommenders     user, a tab, rank (1 is best), a tab, item, a tab, score
 * or, as JSON lines, an object a row with the same names.
 *
 * Memory is bounded by chunks of the input (trainer/data/chunk.h) and calls of SCORER_ROWS rows.
 *
 * predict.c opens and chooses; predict_rows.c: tables and texts; predict_bytes.c: images;
 * predict_pairs.c: recommenders; predict_write.c: the lines.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "schema/exit_code.h"
#include "trainer/data/fit.h"
#include "trainer/model_file.h"
#include "trainer/places.h"
#include "trainer/predict_write.h"

#define PREDICT_TOP_K_MAX 10000

struct predict_request {
    const char *model; /* path of model.safetensors */
    /*
     * Tables: a file of the training data's format and columns; where columns have names, those that the
     * model does not look at may be missing, else the label's must be. Texts: one a line; an empty one is a
     * text of no words. (Blank lines of tables and of JSON lines are no records.) Images: IDX or npy.
     * Recommenders: the interactions, for exclude_seen alone; else NULL. "-": standard input.
     */
    const char *data;
    bool json;
    int64_t top_k;     /* 0: as the spec's */
    const char *users; /* "1,2,3" as in the training data; NULL or "all" */
    bool exclude_seen; /* leave out items that the user has in `data` */
};

/*
 * Prints to `out`; when nobody reads it any more, that is the end and no error (SIGPIPE must be ignored).
 * Errors name file, line and column.
 */
MUST_CHECK enum trainer_exit predict_run(const struct predict_request *request, FILE *out,
                                         struct error *err);

/* ---- between predict*.c ---- */

struct predict {
    const struct predict_request *request;
    struct model_file file;
    struct data_fit *fit; /* NULL: nothing was fitted, as on images */
    struct predict_writer writer;
    struct places_cache scratch; /* predict_scratch() opens it */
};

/* A folder for what is decoded meanwhile, removed in the end. */
MUST_CHECK enum status predict_scratch(struct predict *predict, const char **out,
                                       struct error *err);

typedef enum status predict_fn(struct predict *predict, struct error *err);
predict_fn predict_rows, predict_bytes, predict_pairs;

#endif
