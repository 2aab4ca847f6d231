/*
 * train.c - the loop that everything else serves.
 *
 * All ranks go through it in step: what to do after a step (checkpoint, stop) is agreed by words that
 * ride on the step's own collective, so that every rank does the same after the same step.
 */
#include "trainer/train.h"

#include "base/clock.h"

/* Saves the state if the ranks agreed to; rank 0 gathers and writes it. */
static enum status save_if_agreed(struct train *train, struct error *err)
{
    if (!train->checkpoint_agreed && !train->stop_agreed)
        return STATUS_OK;
    train->part = TRAIN_PART_WRITE;
    train->checkpoint_owed = false;
    train->checkpoint_mono_ms = clock_mono_ms();
    struct checkpoint_record record = {.step = train->step,
                                       .epoch = train->step / train->steps_per_epoch,
                                       .window_rows = train->window.rows};
    for (int i = 0; i < MODEL_METRICS_MAX; i++)
        record.window_sums[i] = train->window.sums[i];
    TRY(train_guard_record(train, &record, err));
    TRY(checkpoints_take(train->checkpoints, &record, err));
    progress_enter(train->progress, PROGRESS_STEP);
    return STATUS_OK;
}

/* Until rank 0 has written what is in flight; then all ranks go on or end together. */
static enum status settle(struct train *train, struct error *err)
{
    progress_enter(train->progress, PROGRESS_CHECKPOINT);
    train->part = TRAIN_PART_WRITE;
    TRY(checkpoints_wait(train->checkpoints, err));
    train->part = TRAIN_PART_GANG;
    TRY(train->sync->ops->settle(train->sync, err));
    return train->comm->ops->barrier(train->comm, err);
}

/* Also right after a resume: it may have been cut off. */
static enum status evaluate_if_due(struct train *train, struct error *err)
{
    if (!train_evaluation_is_due(train))
        return STATUS_OK;
    TRY(train_evaluate(train, err));
    return train->guard.must_go_back ? STATUS_OK : train_early_observe(train, err);
}

static enum status take_step(struct train *train, struct error *err)
{
    TRY(train_step(train, err));
    if (train->guard.must_go_back)
        return STATUS_OK; /* it does not count */
    TRY(train_report_step(train, err));
    TRY(train_guard_step(train, err));
    return save_if_agreed(train, err);
}

static bool is_through(const struct train *train)
{
    return train->step == train->total_steps || train->guard.stops_early;
}

/* To the last step, or to the one after which the ranks agreed to stop, or that early stopping ends. */
static enum status train_all(struct train *train, struct error *err)
{
    progress_enter(train->progress, PROGRESS_STEP);
    TRY(train_guard_begin(train, err));
    for (;;) {
        TRY(evaluate_if_due(train, err));
        const bool was_through = is_through(train);
        if (!train->guard.must_go_back)
            TRY(was_through ? train_guard_end(train, err) : take_step(train, err));
        if (train->guard.must_go_back) {
            TRY(train_guard_go_back(train, err));
        } else if (was_through || train->stop_agreed) {
            train->stopped = !was_through;
            return STATUS_OK;
        }
    }
}

static enum status train_through(struct train *train, const struct contract *contract,
                                 struct error *err)
{
    TRY(train_open(train, contract, err));
    TRY(train_report_started(train, err));
    TRY(train_report_skipped(train, err));
    TRY(train_doubt(train, err));
    TRY(train_all(train, err));
    train->samples_per_second = (double)train->trained_rows * 1e9 /
                                (double)(clock_mono_ns() - train->training_started_ns + 1);
    TRY(settle(train, err));
    if (train->stopped)
        return train_report_finished(train, "stopped", NULL, err);
    TRY(train_early_finish(train, err));
    TRY(train_export(train, err));
    TRY(train_plan_check(train, err));
    progress_enter(train->progress, PROGRESS_DONE);
    return train_report_finished(train, "succeeded", NULL, err);
}

/* What the failure of a part means to whoever decides about a retry: schema/exit_code.h. */
enum trainer_exit train_exit_of(enum train_part part, enum status status)
{
    static const enum trainer_exit exits[TRAIN_PART_COUNT] = {
        [TRAIN_PART_SPEC] = TRAINER_EXIT_BAD_SPEC,       [TRAIN_PART_DATA] = TRAINER_EXIT_BAD_DATA,
        [TRAIN_PART_DEVICE] = TRAINER_EXIT_DEVICE_FAULT, [TRAIN_PART_GANG] = TRAINER_EXIT_PEER_LOST,
        [TRAIN_PART_RESTORE] = TRAINER_EXIT_INTERNAL,    [TRAIN_PART_STEP] = TRAINER_EXIT_INTERNAL,
        [TRAIN_PART_WRITE] = TRAINER_EXIT_CANNOT_WRITE,
    };
    if (status == STATUS_NO_SPACE)
        return TRAINER_EXIT_CANNOT_WRITE;
    if (status == STATUS_UNAVAILABLE)
        return TRAINER_EXIT_PEER_LOST;
    if (status == STATUS_CORRUPT && part == TRAIN_PART_RESTORE)
        return TRAINER_EXIT_DEVICE_FAULT; /* it was verified before: this node's disk or memory */
    return exits[part];
}

enum trainer_exit train_run(struct train *train, const struct contract *contract, struct error *err)
{
    const enum status status = train_through(train, contract, err);
    if (status == STATUS_OK)
        return train->stopped ? TRAINER_EXIT_STOPPED : TRAINER_EXIT_DONE;
    const enum trainer_exit code = train_exit_of(train->part, status);
    if (train->comm != NULL)
        train->comm->ops->abort(train->comm); /* so that the others do not wait for us */
    if (train->events != NULL)
        (void)train_report_finished(train, "failed", err->text, NULL);
    return code;
}
