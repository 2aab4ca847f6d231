#ifndef TRAINER_PREDICT_WRITE_H
#define TRAINER_PREDICT_WRITE_H

/*
 * predict_write.h - the lines that `predict` prints: CSV, text, JSON. Numbers have nine digits, which is
 * what a float needs to be read back as the same.
 *
 * Errors: STATUS_UNAVAILABLE when nobody reads the file any more, STATUS_NO_SPACE.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/error.h"
#include "schema/job_spec.h"
#include "trainer/data/fit.h"

enum predict_form { PREDICT_CSV, PREDICT_TEXT, PREDICT_JSON };

struct predict_writer {
    FILE *file;
    enum predict_form form;
    int head;                   /* enum model_head */
    int classes;                /* softmax */
    const struct data_fit *fit; /* for names of classes; NULL: they are numbers */
    struct buf line;
};

void predict_writer_init(struct predict_writer *writer, FILE *file);
void predict_writer_clear(struct predict_writer *writer);

/* CSV's first line; nothing in the other forms. */
MUST_CHECK enum status predict_write_header(struct predict_writer *writer, struct error *err);
/* One row's scores: (classes) for softmax, else one. `text`: the row itself, shown beside them; NULL: not. */
MUST_CHECK enum status predict_write_row(struct predict_writer *writer, const float *scores,
                                         const char *text, size_t text_bytes, struct error *err);
/* The item of this rank (1 is the best) of a user. */
MUST_CHECK enum status predict_write_item(struct predict_writer *writer, const char *user, int rank,
                                          const char *item, float score, struct error *err);

/* What is buffered goes out. */
MUST_CHECK enum status predict_write_end(struct predict_writer *writer, struct error *err);

#endif
