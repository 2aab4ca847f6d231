#ifndef TESTS_UNIT_MODEL_RIG_H
#define TESTS_UNIT_MODEL_RIG_H

/*
 * model_rig.h - a model on a device, fed by hand: what the training loop does around fill(),
 * train_step() and evaluate(), for the tests of the families. Everything fails the test by itself.
 */

#include "tests/unit/unit.h"
#include "trainer/model/model.h"
#include "trainer/optim/optim.h"

#define RIG_ROWS_MAX   64
#define RIG_TABLES_MAX 16

struct model_rig {
    struct error err;
    struct device device;
    struct job_spec spec;
    struct model *model;
    size_t count;         /* parameters */
    size_t flag_count;    /* 0: tables are not updated sparsely */
    float *parameters;    /* device, as are the next four */
    float *gradients;     /* (count + flag_count) */
    float *sums, *scores; /* (MODEL_METRICS_MAX), (RIG_ROWS_MAX, score_width) */
    uint8_t *block;       /* head and feed */
    uint8_t *host_block;
    struct model_shape shape;  /* of the newest feed */
    const struct dataset *set; /* likewise */
};

/* The rows of a call: `count` records from `first_row` of a global batch of `batch_rows`. */
struct rig_rows {
    const struct dataset *set;
    const int32_t *records;
    int count;
    int batch_rows;
    int64_t epoch, step, first_row;
};

/* An array for a dataset made by hand. */
struct data_array rig_array(const char *name, enum data_type type, int64_t rows, int64_t width,
                            const void *values);
void rig_open(struct model_rig *rig, const struct compute_ops *ops, const struct job_spec *spec,
              const struct model_input *input);
void rig_close(struct model_rig *rig);
void rig_initialise(struct model_rig *rig, uint64_t seed);
void rig_set_parameters(struct model_rig *rig, const float *values);
void rig_get(struct model_rig *rig, const float *device, float *out, size_t count);
/* Fills and uploads; then the newest feed can be trained on or evaluated. */
void rig_feed(struct model_rig *rig, const struct rig_rows *rows, bool training);
void rig_clear(struct model_rig *rig); /* gradients, flags and sums to zero */
/* Inside run(), adding to gradients and sums. */
void rig_train(struct model_rig *rig);
void rig_evaluate(struct model_rig *rig, bool with_scores);
/* The tables that an optimizer updates sparsely; their number. */
size_t rig_tables(const struct model_rig *rig, struct optim_table out[RIG_TABLES_MAX]);
/* `steps` steps of an optimizer over the records 0.. in turn; the parameters and sums of the end. */
void rig_train_with(struct model_rig *rig, const struct optim_ops *optim, int steps, int rows,
                    float *out_parameters, float out_sums[MODEL_METRICS_MAX]);

#endif
