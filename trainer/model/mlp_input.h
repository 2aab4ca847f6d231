#ifndef TRAINER_MODEL_MLP_INPUT_H
#define TRAINER_MODEL_MLP_INPUT_H

/*
 * mlp_input.h - private to mlp*.c: a row of input from whatever the dataset is made of, and its target.
 *
 * Bytes ("features" u8, scaled), numbers ("features" f32), or a table: "numeric" f32 first, then the
 * vectors of the "category" columns.
 */

#include "trainer/model/columns.h"
#include "trainer/model/model.h"

/* A dataset's arrays on the device; NULL where it has none. */
struct mlp_set {
    const struct dataset *set;
    const uint8_t *bytes;    /* (count, dense) */
    const float *numbers;    /* (count, dense) */
    const int32_t *category; /* (count, columns.count) */
    const int32_t *labels;   /* (count) */
    const float *targets;    /* (count) */
};

struct mlp_input {
    struct device device;
    struct columns columns;
    int dense; /* values of a row that are there as numbers */
    int width; /* of a row: dense and all vectors */
    struct mlp_set sets[2];
    int32_t *ids;    /* device (rows_max, columns.count): of the newest call */
    int32_t *labels; /* device (rows_max) */
    float *targets;  /* device (rows_max) */
};

/* Checks what the sets hold against the spec and maps them; errors name the spec's field. */
MUST_CHECK enum status mlp_input_open(struct mlp_input *input, const struct job_spec *spec,
                                      const struct model_input *given, struct device device,
                                      struct error *err);
void mlp_input_close(struct mlp_input *input);
/* out (rows, width), and labels or targets, of the call's records. Inside a step. */
MUST_CHECK enum status mlp_input_gather(struct mlp_input *input, const float *parameters,
                                        const struct model_call *call, float *out,
                                        struct error *err);

#endif
