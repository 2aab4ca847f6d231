#ifndef TRAINER_MODEL_COLUMNS_H
#define TRAINER_MODEL_COLUMNS_H

/*
 * columns.h - records of categories as vectors: each category column has a table of its own, and a row
 * of the output holds the columns' vectors side by side, behind what else the caller keeps there.
 *
 * Used by families whose records are tables of columns. The tables are named embedding.<i>.weight and
 * begin with N(0, 1), as PyTorch's nn.Embedding does.
 */

#include "schema/job_spec.h"
#include "trainer/model/model.h"

struct columns {
    int count; /* category columns */
    int width; /* of each one's vector */
    int64_t buckets[DATA_COLUMNS_MAX];
    const struct parameter *tables; /* (count), in the order of the columns */
};

/* From the spec's columns of kind category. */
void columns_plan(const struct data_spec *data, int64_t embedding_width, struct columns *out);
/* Floats of all vectors of a row. */
int columns_width(const struct columns *columns);
/*
 * Describes the tables from *offset floats on, the first being the model's first parameter; names has
 * a place for each. Moves *offset. `out` and `names` stay where they are as long as `columns` is used.
 */
void columns_describe(struct columns *columns, struct parameter *out,
                      char names[][MODEL_NAME_BYTES], size_t *offset);
/* out (rows, stride): the vectors of ids (rows, count) from column `first` on. Inside a step. */
MUST_CHECK enum status columns_forward(const struct columns *columns, struct device device,
                                       const float *parameters, const int32_t *ids, int rows,
                                       float *out, int stride, int first, struct error *err);
/* Adds d_out's part to the tables' gradients and, unless flags is NULL, marks the rows. */
MUST_CHECK enum status columns_backward(const struct columns *columns, struct device device,
                                        float *gradients, float *flags, const int32_t *ids,
                                        int rows, const float *d_out, int stride, int first,
                                        struct error *err);

#endif
