#ifndef TRAINER_CHECKPOINT_H
#define TRAINER_CHECKPOINT_H

/*
 * checkpoint.h - saving the state of training without stopping it, and taking it up again.
 *
 * A checkpoint is what the next step depends on: parameters, optimizer state, and a small record. At
 * a step boundary it is copied to host memory (the only stall); a thread of our own then writes
 * <folder>/step-000123/shard-00000-of-00001, durably, and reports it in an event. One is in flight
 * at a time: taking another waits for it, so ask checkpoint_is_writing() first where that matters.
 *
 * Parts of the optimizer's state that other ranks hold come to rank 0 at that boundary, and rank 0
 * alone writes: one shard, whatever the world and the way to synchronise, that any other can take up.
 *
 * Beside them a checkpoint may hold more vectors of the parameters' layout that the loop keeps in host
 * memory (the best parameters so far), and the loop's own record as JSON text.
 *
 * Threads: all functions belong to the training thread. The writer owns the snapshot while it writes.
 * Errors:  of the writer are returned by the next call here.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "trainer/events.h"
#include "trainer/model/model.h"
#include "trainer/optim/optim.h"
#include "trainer/progress.h"
#include "trainer/sync/sync.h"

#define CHECKPOINT_EXTRAS_MAX  4
#define CHECKPOINT_STATE_BYTES 8192

/* What travels beside the vectors. */
struct checkpoint_record {
    int64_t step; /* steps done */
    int64_t epoch;
    double window_sums[MODEL_METRICS_MAX]; /* the open metric window: sums over its rows */
    int64_t window_rows;
    /* A JSON object of the loop's own (early stopping, guards), on one line; empty: none. */
    char state[CHECKPOINT_STATE_BYTES];
};

/* A vector of the parameters' layout in host memory. */
struct checkpoint_extra {
    const char *name;       /* "best": its tensors are "best.<parameter>" */
    float *values;          /* (parameter count); NULL where it is not wanted: not on rank 0 */
    const bool *is_present; /* whether it is written; NULL: always */
};

/* The vectors of training; parameters are on the device, the optimizer's state is the mode's. */
struct checkpoint_state {
    struct device device;
    const struct model *model;
    struct sync *sync;
    float *parameters;
    struct checkpoint_extra extras[CHECKPOINT_EXTRAS_MAX];
    size_t extra_count;
};

struct checkpoints;

struct checkpoint_options {
    const char *folder;
    const char *job_id;
    int64_t attempt;
    int rank; /* 0 writes */
    int world_size;
    char spec_sha256[SHA256_HEX_BYTES];
    int64_t keep_last; /* how many stay on disk; 0: all, because someone else deletes them */
    struct events *events;
    struct progress_page *progress;
};

MUST_CHECK enum status checkpoints_open(const struct checkpoint_options *options,
                                        const struct checkpoint_state *state,
                                        struct checkpoints **out, struct error *err);
/* Waits for the one in flight, whose failure is lost here: checkpoints_wait() first. */
void checkpoints_close(struct checkpoints *checkpoints); /* accepts NULL */
bool checkpoints_is_writing(struct checkpoints *checkpoints);
/*
 * By all ranks after the same step: settles the gang and snapshots the state on rank 0, where the
 * writer does the rest. The record is read on rank 0 alone.
 */
MUST_CHECK enum status checkpoints_take(struct checkpoints *checkpoints,
                                        const struct checkpoint_record *record, struct error *err);
/* Until nothing is in flight. */
MUST_CHECK enum status checkpoints_wait(struct checkpoints *checkpoints, struct error *err);

/*
 * Fills state and record from the shard in `folder`; every rank reads it and takes its part. It must
 * be of this spec and, unless `step` is -1, of this step. Bit i of *out_extras says whether the
 * checkpoint had extra i; one that it has not is left alone. STATUS_CORRUPT: the bytes are not those
 * that were written.
 */
MUST_CHECK enum status checkpoint_restore(const char *folder, const char *spec_sha256, int64_t step,
                                          const struct checkpoint_state *state,
                                          struct checkpoint_record *out, uint32_t *out_extras,
                                          struct error *err);

/* Private to checkpoint*.c: the tensors of a checkpoint, over one contiguous host vector. */

/* Bit i: extra i has something to be written. */
uint32_t checkpoint_extras_present(const struct checkpoint_state *state);
/* Vectors of the parameters' length: parameters, the optimizer's state, the extras of `extras`. */
size_t checkpoint_vectors(const struct checkpoint_state *state, uint32_t extras);
size_t checkpoint_tensor_count(const struct checkpoint_state *state, uint32_t extras);
struct safetensors_tensor;
void checkpoint_tensors(const struct checkpoint_state *state, uint32_t extras, const float *values,
                        struct safetensors_tensor *out);

#endif
