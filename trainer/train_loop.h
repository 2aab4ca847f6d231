#ifndef TRAINER_TRAIN_LOOP_H
#define TRAINER_TRAIN_LOOP_H

/*
 * train_loop.h - what the loop remembers from step to step beside the vectors on the device: the
 * guards' and early stopping's memory, and the newest figures.
 *
 * It depends only on what the ranks summed, so all ranks have the same. It is a function of spec and
 * data, travels in each checkpoint as JSON, and holds nothing that a clock says.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "schema/wire_event.h"
#include "trainer/model/model.h"
#include "trainer/optim/optim.h"

#define TRAIN_RESULTS_MAX (2 * MODEL_METRICS_MAX + 4)

/* Named figures of the end: deterministic ones only, they travel with the model. */
struct train_results {
    size_t count;
    char names[TRAIN_RESULTS_MAX][EVENT_VALUE_NAME_BYTES];
    double values[TRAIN_RESULTS_MAX];
};

struct train_loop {
    double loss_mean;   /* exponential moving mean of the steps' losses, before its correction */
    int64_t loss_steps; /* that it is of */
    int64_t spike_step; /* newest one that was warned of; 0: none */

    int64_t rollbacks;
    double lr_factor; /* of all rollbacks together */

    int64_t early_evaluations; /* that early stopping has seen */
    int64_t early_step;        /* of the best of them */
    int64_t early_waited;      /* evaluations since without gain */
    double early_value;        /* the best */
};

/* The parameters with the best value of checkpoint.best. */
struct train_best {
    bool is_kept;
    int64_t step;
    double value;
    struct train_results results; /* of its evaluation */
    float *values;                /* rank 0, host (parameter count); NULL elsewhere */
};

/* Where a rollback goes: the newest multiple of checkpoint.every_steps that was sound, or step 0. */
struct train_kept {
    int64_t step;
    double window_sums[MODEL_METRICS_MAX];
    int64_t window_rows;
    struct train_loop loop;
    struct train_results results;
    bool is_older; /* than the newest step: so a checkpoint must carry it */
    /* Rank 0, host: the parameters, then the optimizer's vectors; NULL elsewhere. */
    float *vectors[1 + OPTIM_STATES_MAX];
};

/* Sets a figure; a name again replaces it. One too many is dropped. */
void train_results_set(struct train_results *results, const char *name, double value);
/* False: there is no such figure. */
bool train_results_get(const struct train_results *results, const char *name, double *out);

/*
 * The text of a checkpoint's record: {"loop": {...}, "results": {...}, "best": {...}, "kept": {...}},
 * the last two where there are such. STATUS_TOO_LARGE when `out` is too short.
 */
MUST_CHECK enum status train_loop_encode(const struct train_loop *loop,
                                         const struct train_results *results,
                                         const struct train_best *best,
                                         const struct train_kept *kept, char *out, size_t out_bytes,
                                         struct error *err);
/*
 * Back again; `best` and `kept` keep their memory, and kept->step is -1 where the text has none.
 * STATUS_CORRUPT names what is wrong.
 */
MUST_CHECK enum status train_loop_decode(const char *text, struct train_loop *loop,
                                         struct train_results *results, struct train_best *best,
                                         struct train_kept *kept, struct error *err);

#endif
