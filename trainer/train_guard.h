#ifndef TRAINER_TRAIN_GUARD_H
#define TRAINER_TRAIN_GUARD_H

/*
 * train_guard.h - what watches over training, and what is chosen from it:
 *
 *   a loss that is no number   fails, naming step and ranks, or goes back to the newest sound multiple
 *                              of checkpoint.every_steps with a lower learning rate; sound: finite, and
 *                              with a loss that had not jumped
 *   a loss that jumps          is warned of, once a metric window
 *   replicas                   are compared every replica_check_steps; a difference is a device fault
 *   early stopping             ends the job when an evaluation's metric no longer gains
 *   best parameters            are kept on rank 0 and exported in place of the last
 *
 * All of it follows from summed figures, so all ranks decide alike without asking each other, and a job
 * that was killed and resumed decides as one that was not. struct train_loop is its memory.
 *
 * Keeping a place to go back to is an operation of all ranks (vectors are gathered to rank 0).
 */

#include <stdbool.h>

#include "base/error.h"
#include "trainer/checkpoint.h"
#include "trainer/train_loop.h"

#define TRAIN_GUARD_TEXT_BYTES 256

struct train;

struct train_guard {
    struct train_loop loop;
    struct train_best best;
    struct train_kept kept;
    float *own_loss;   /* device (1): what this rank put into the sum */
    float *losses;     /* device (world size) */
    double loss_ratio; /* newest step's loss to the moving mean before it */
    bool must_go_back;
    bool stops_early;
    char reason[TRAIN_GUARD_TEXT_BYTES]; /* why it must go back, or stops */
};

/*
 * When the model is there and before checkpoints: memory, and in `state` the vectors that a checkpoint
 * carries for us.
 */
MUST_CHECK enum status train_guard_open(struct train *train, struct checkpoint_state *state,
                                        struct error *err);
void train_guard_close(struct train *train);
/* What a restored checkpoint says. */
MUST_CHECK enum status
train_guard_take_up(struct train *train, const struct checkpoint_record *record, struct error *err);
/* Before the first step, by all ranks: where to go back to, if no checkpoint brought it. */
MUST_CHECK enum status train_guard_begin(struct train *train, struct error *err);
/* Puts our memory into a checkpoint's record. */
MUST_CHECK enum status train_guard_record(const struct train *train,
                                          struct checkpoint_record *record, struct error *err);

/* The learning rate's factor of the coming step: schedule and rollbacks. */
double train_guard_lr_factor(const struct train *train);
/* The mean loss of the step that is about to count. One that is no number is an error, or sets must_go_back. */
MUST_CHECK enum status train_guard_loss(struct train *train, double loss, struct error *err);
/* Of an evaluation's figure that is not finite: an error, or must_go_back. */
MUST_CHECK enum status train_guard_figure(struct train *train, const char *name, struct error *err);
/* After a step that counts: compares the replicas and keeps the place, where that is due. */
MUST_CHECK enum status train_guard_step(struct train *train, struct error *err);
/*
 * By all ranks, after the last step: parameters that are no numbers are an error, or must_go_back. A
 * gradient may overflow in a step whose own loss was sound, and no loss comes after the last.
 */
MUST_CHECK enum status train_guard_end(struct train *train, struct error *err);
/* By all ranks, with must_go_back set: parameters, optimizer and record are those of the kept step. */
MUST_CHECK enum status train_guard_go_back(struct train *train, struct error *err);

/* After an evaluation, whose figures are in train->results. */
MUST_CHECK enum status train_early_observe(struct train *train, struct error *err);
/* At the end: the parameters and figures to be exported are the best ones, where such were asked for. */
MUST_CHECK enum status train_early_finish(struct train *train, struct error *err);

#endif
