/* train_guard.c - memory of the guards, the watch over the loss and over the replicas. */
#include "trainer/train_guard.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "trainer/optim/schedule.h"
#include "trainer/train.h"

#define LOSS_MEAN_DECAY  0.98 /* a jump is measured against about the last 50 steps */
#define KEEP_RATIO_MAX   10.0 /* of a loss to its mean */
#define RANKS_TEXT_BYTES 96

static bool rolls_back(const struct train *train)
{
    return train->spec.training.guards.on_nan == ON_NAN_ROLLBACK;
}

/*
 * Before all ranks fail alike: who ends first shuts its links, and a rank that still waits for what it
 * has sent would report a lost peer instead.
 */
static void fail_together(const struct train *train)
{
    struct error ignored = {.status = STATUS_OK};
    (void)train->comm->ops->barrier(train->comm, &ignored);
}

/* ------------------------------------------------------------------ opening */

/* A vector of the parameters' length on rank 0, which a checkpoint carries while *is_present. */
static enum status add_extra(const struct train *train, struct checkpoint_state *state,
                             const char *name, const bool *is_present, float **out,
                             struct error *err)
{
    float *values = NULL;
    if (train->contract->rank == 0) {
        values = calloc(train->parameter_count, sizeof(float));
        if (values == NULL)
            return error_set(err, STATUS_NO_MEMORY, "a copy of %zu parameters",
                             train->parameter_count);
    }
    *out = values;
    state->extras[state->extra_count++] =
        (struct checkpoint_extra){.name = name, .values = values, .is_present = is_present};
    return STATUS_OK;
}

static enum status open_kept(struct train *train, struct checkpoint_state *state, struct error *err)
{
    static const char *const names[] = {"kept", "kept_state0", "kept_state1"};
    struct train_kept *kept = &train->guard.kept;
    assert(train->spec.training.staleness == 0); /* the spec was refused otherwise */
    const int vectors = 1 + train->sync->optim->state_count;
    assert(vectors <= (int)COUNT_OF(names));
    for (int i = 0; i < vectors; i++)
        TRY(add_extra(train, state, names[i], &kept->is_older, &kept->vectors[i], err));
    return STATUS_OK;
}

enum status train_guard_open(struct train *train, struct checkpoint_state *state, struct error *err)
{
    struct train_guard *guard = &train->guard;
    const struct device *device = &train->device;
    guard->loop = (struct train_loop){.lr_factor = 1.0};
    guard->kept.step = -1;
    void *memory = NULL;
    TRY(device->ops->alloc(device->compute, sizeof(float), &memory, err));
    guard->own_loss = memory;
    TRY(device->ops->alloc(device->compute, (size_t)train->contract->world_size * sizeof(float),
                           &memory, err));
    guard->losses = memory;
    if (train->spec.checkpoint.best_metric[0] != '\0')
        TRY(add_extra(train, state, "best", &guard->best.is_kept, &guard->best.values, err));
    return rolls_back(train) ? open_kept(train, state, err) : STATUS_OK;
}

void train_guard_close(struct train *train)
{
    struct train_guard *guard = &train->guard;
    const struct device *device = &train->device;
    free(guard->best.values);
    for (size_t i = 0; i < COUNT_OF(guard->kept.vectors); i++)
        free(guard->kept.vectors[i]);
    if (device->compute == NULL)
        return;
    device->ops->release(device->compute, guard->own_loss);
    device->ops->release(device->compute, guard->losses);
}

/* ------------------------------------------------------------------ in checkpoints */

enum status train_guard_record(const struct train *train, struct checkpoint_record *record,
                               struct error *err)
{
    return train_loop_encode(&train->guard.loop, &train->results, &train->guard.best,
                             &train->guard.kept, record->state, sizeof(record->state), err);
}

enum status train_guard_take_up(struct train *train, const struct checkpoint_record *record,
                                struct error *err)
{
    struct train_guard *guard = &train->guard;
    if (record->state[0] == '\0')
        return STATUS_OK;
    return train_loop_decode(record->state, &guard->loop, &train->results, &guard->best,
                             &guard->kept, err);
}

/* ------------------------------------------------------------------ a place to go back to */

#define SCAN_FLOATS 16384

/* All ranks hold the same parameters here, so they come to the same answer. */
static enum status parameters_are_finite(const struct train *train, bool *out, struct error *err)
{
    CLEANUP(free_cleanup) float *values = malloc(SCAN_FLOATS * sizeof(float));
    if (values == NULL)
        return error_set(err, STATUS_NO_MEMORY, "look through the parameters");
    *out = true;
    for (size_t done = 0; done < train->parameter_count && *out;) {
        const size_t left = train->parameter_count - done;
        const size_t count = left < SCAN_FLOATS ? left : SCAN_FLOATS;
        TRY(train->device.ops->download(train->device.compute, values, train->parameters + done,
                                        count * sizeof(float), err));
        for (size_t i = 0; i < count; i++)
            *out = *out && isfinite(values[i]);
        done += count;
    }
    return STATUS_OK;
}

/*
 * Keeps this step's state, unless going back to it would not help: its loss has jumped, so it is on its
 * way to the end of the numbers, or its parameters are there (a gradient may overflow in a step whose
 * own loss was sound).
 */
static enum status keep(struct train *train, struct error *err)
{
    struct train_kept *kept = &train->guard.kept;
    struct sync *sync = train->sync;
    bool is_sound = false;
    if (train->guard.loss_ratio > KEEP_RATIO_MAX)
        return STATUS_OK;
    TRY(sync->ops->settle(sync, err));
    TRY(parameters_are_finite(train, &is_sound, err));
    if (!is_sound)
        return STATUS_OK;
    if (train->contract->rank == 0)
        TRY(train->device.ops->download(train->device.compute, kept->vectors[0], train->parameters,
                                        train->parameter_count * sizeof(float), err));
    for (int i = 0; i < sync->optim->state_count; i++)
        TRY(sync->ops->gather_state(sync, i, kept->vectors[1 + i], err));
    kept->step = train->step;
    memcpy(kept->window_sums, train->window.sums, sizeof(kept->window_sums));
    kept->window_rows = train->window.rows;
    kept->loop = train->guard.loop;
    kept->results = train->results;
    kept->is_older = false;
    return STATUS_OK;
}

enum status train_guard_begin(struct train *train, struct error *err)
{
    if (!rolls_back(train) || train->guard.kept.step >= 0)
        return STATUS_OK;
    train->part = TRAIN_PART_STEP;
    return keep(train, err);
}

/* Puts the kept vectors of rank 0 to work on all ranks; the gradients carry the optimizer's. */
static enum status spread_kept(struct train *train, struct error *err)
{
    const struct train_kept *kept = &train->guard.kept;
    const struct compute_ops *ops = train->device.ops;
    struct compute *compute = train->device.compute;
    struct comm *comm = train->comm;
    const size_t bytes = train->parameter_count * sizeof(float);
    const bool is_root = train->contract->rank == 0;
    CLEANUP(free_cleanup) float *values = malloc(bytes);
    if (values == NULL)
        return error_set(err, STATUS_NO_MEMORY, "go back: %zu bytes", bytes);
    TRY(train->sync->ops->settle(train->sync, err));
    if (is_root)
        TRY(ops->upload(compute, train->parameters, kept->vectors[0], bytes, err));
    TRY(comm->ops->broadcast(comm, train->parameters, bytes, 0, err));
    for (int i = 0; i < train->sync->optim->state_count; i++) {
        if (is_root)
            TRY(ops->upload(compute, train->gradients, kept->vectors[1 + i], bytes, err));
        TRY(comm->ops->broadcast(comm, train->gradients, bytes, 0, err));
        TRY(ops->download(compute, values, train->gradients, bytes, err));
        TRY(train->sync->ops->put_state(train->sync, i, values, err));
    }
    return ops->zero(compute, train->gradients, bytes, err);
}

enum status train_guard_go_back(struct train *train, struct error *err)
{
    struct train_guard *guard = &train->guard;
    const struct train_kept *kept = &guard->kept;
    const struct guard_spec *spec = &train->spec.training.guards;
    train->part = TRAIN_PART_STEP;
    if (guard->loop.rollbacks >= spec->max_rollbacks || kept->step < 0) {
        fail_together(train);
        return error_set(err, STATUS_INVALID, "%s, after %lld rollbacks", guard->reason,
                         (long long)guard->loop.rollbacks);
    }
    TRY(spread_kept(train, err));
    const int64_t rollbacks = guard->loop.rollbacks + 1;
    const double lr_factor = guard->loop.lr_factor * spec->rollback_lr_factor;
    guard->loop = kept->loop;
    guard->loop.rollbacks = rollbacks;
    guard->loop.lr_factor = lr_factor;
    guard->must_go_back = false;
    guard->stops_early = false;
    train->checkpoint_owed = train->checkpoint_owed || train->checkpoint_agreed;
    train->step = kept->step;
    progress_step(train->progress, train->step);
    train->results = kept->results;
    memcpy(train->window.sums, kept->window_sums, sizeof(train->window.sums));
    train->window.rows = kept->window_rows;
    if (train->contract->rank != 0)
        return STATUS_OK;
    train->part = TRAIN_PART_WRITE;
    return train_warn(train, err,
                      "%s: back to step %lld, with %g times the learning rate (rollback %lld of "
                      "at most %lld)",
                      guard->reason, (long long)kept->step, lr_factor, (long long)rollbacks,
                      (long long)spec->max_rollbacks);
}

/* ------------------------------------------------------------------ after each step */

double train_guard_lr_factor(const struct train *train)
{
    const double scheduled =
        schedule_factor(&train->spec.optimizer.schedule, train->step + 1, train->total_steps);
    return scheduled * train->guard.loop.lr_factor;
}

/* "", or " on rank 1" and its like: whose rows made the loss what it is. */
static enum status find_culprits(struct train *train, char out[RANKS_TEXT_BYTES], struct error *err)
{
    const struct train_guard *guard = &train->guard;
    const struct device *device = &train->device;
    const size_t world = (size_t)train->contract->world_size;
    out[0] = '\0';
    if (world == 1 || train->spec.training.staleness > 0)
        return STATUS_OK;
    CLEANUP(free_cleanup) float *losses = calloc(world, sizeof(float));
    if (losses == NULL)
        return error_set(err, STATUS_NO_MEMORY, "losses of %zu ranks", world);
    TRY(train->comm->ops->all_gather(train->comm, guard->losses, guard->own_loss, sizeof(float),
                                     err));
    TRY(device->ops->download(device->compute, losses, guard->losses, world * sizeof(float), err));
    size_t used = 0, found = 0;
    for (size_t rank = 0; rank < world; rank++) {
        if (isfinite(losses[rank]))
            continue;
        if (used + 16 < RANKS_TEXT_BYTES)
            used += (size_t)snprintf(out + used, RANKS_TEXT_BYTES - used, "%s%zu",
                                     found == 0 ? " on rank " : ", ", rank);
        found++;
    }
    if (found == world)
        (void)snprintf(out, RANKS_TEXT_BYTES, " on all %zu ranks", world);
    return STATUS_OK;
}

/* On the reason that has just been written. */
static enum status act(struct train *train, struct error *err)
{
    if (!rolls_back(train)) {
        fail_together(train);
        return error_set(err, STATUS_INVALID, "%s", train->guard.reason);
    }
    train->guard.must_go_back = true;
    return STATUS_OK;
}

static enum status refuse_loss(struct train *train, int64_t step, double loss, struct error *err)
{
    struct train_guard *guard = &train->guard;
    char ranks[RANKS_TEXT_BYTES];
    TRY(find_culprits(train, ranks, err));
    (void)snprintf(guard->reason, sizeof(guard->reason), "step %lld: the loss is %s%s",
                   (long long)step, isnan(loss) ? "not a number" : "infinite", ranks);
    return act(train, err);
}

/* At most one warning in a metric window. */
static enum status watch_jumps(struct train *train, int64_t step, double loss, struct error *err)
{
    struct train_loop *loop = &train->guard.loop;
    const double limit = train->spec.training.guards.loss_spike;
    const int64_t every = train->spec.training.metrics_every_steps;
    const double mean =
        loop->loss_steps == 0
            ? loss
            : loop->loss_mean / (1.0 - pow(LOSS_MEAN_DECAY, (double)loop->loss_steps));
    train->guard.loss_ratio = mean > 0.0 ? loss / mean : 0.0;
    loop->loss_mean = LOSS_MEAN_DECAY * loop->loss_mean + (1.0 - LOSS_MEAN_DECAY) * loss;
    loop->loss_steps++;
    const bool is_warned =
        loop->spike_step > 0 && (loop->spike_step - 1) / every == (step - 1) / every;
    if (!(limit > 0.0) || !(loss > limit * mean) || is_warned)
        return STATUS_OK;
    loop->spike_step = step;
    if (train->contract->rank != 0)
        return STATUS_OK;
    return train_warn(train, err, "step %lld: the loss jumped to %.6g, %.3g times its mean of %.6g",
                      (long long)step, loss, loss / mean, mean);
}

enum status train_guard_loss(struct train *train, double loss, struct error *err)
{
    const int64_t step = train->step + 1;
    if (!isfinite(loss))
        return refuse_loss(train, step, loss, err);
    return watch_jumps(train, step, loss, err);
}

enum status train_guard_figure(struct train *train, const char *name, struct error *err)
{
    if (train->guard.must_go_back)
        return STATUS_OK; /* the first is named */
    (void)snprintf(train->guard.reason, sizeof(train->guard.reason), "step %lld: %s is not finite",
                   (long long)train->step, name);
    return act(train, err);
}

enum status train_guard_step(struct train *train, struct error *err)
{
    const int64_t check_steps = train->spec.training.guards.replica_check_steps;
    const int64_t keep_steps = train->spec.checkpoint.every_steps;
    if (check_steps > 0 && train->step % check_steps == 0) {
        train->part = TRAIN_PART_DEVICE;
        const enum status status = sync_check_replicas(train->sync, err);
        if (status == STATUS_CORRUPT)
            fail_together(train);
        TRY(status);
    }
    if (!rolls_back(train))
        return STATUS_OK;
    train->part = TRAIN_PART_STEP;
    train->guard.kept.is_older = true;
    return train->step % keep_steps == 0 ? keep(train, err) : STATUS_OK;
}

enum status train_guard_end(struct train *train, struct error *err)
{
    bool is_sound = false;
    train->part = TRAIN_PART_STEP;
    TRY(train->sync->ops->settle(train->sync, err));
    TRY(parameters_are_finite(train, &is_sound, err));
    if (is_sound)
        return STATUS_OK;
    (void)snprintf(train->guard.reason, sizeof(train->guard.reason),
                   "step %lld: parameters are not finite", (long long)train->step);
    return act(train, err);
}
