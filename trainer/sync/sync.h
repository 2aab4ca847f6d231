#ifndef TRAINER_SYNC_SYNC_H
#define TRAINER_SYNC_SYNC_H

/*
 * sync.h - how gradients of many ranks become one update. Three ways: allreduce, parameter_server,
 * sharded (ZeRO stage 1). All give the same trajectory within float32 rounding.
 *
 * The flat gradient vector is [gradients (count)][touched flags (flag_count)][tail (SYNC_TAIL)]. A
 * model with sparse tables adds 1 to the flag of each row that it scatters into. The tail has the
 * batch's sums and the control words. All of it is summed over the ranks, so the global loss, which
 * rows were touched and the agreement on checkpoints cost no message of their own. After a step
 * flags and tail hold the sums; the gradients are used up, or zero (clears_gradients).
 *
 * The mode owns the optimizer, for it knows which slice of the vector this rank updates.
 *
 * Staleness (parameter_server only). The tail that a rank reads after step t is the sum over step
 * t - staleness, and zeros before there was one: so all ranks still act on the same word after the
 * same step. SYNC_TAIL_ROWS says how many rows the sums are over.
 *
 * Threads: all functions belong to the training thread. Between the first ready() and the end of
 * step() a thread of the mode may use the communicator.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "schema/job_spec.h"
#include "trainer/comm/comm.h"
#include "trainer/compute/compute.h"
#include "trainer/optim/optim.h"

enum sync_tail {
    SYNC_TAIL_SUMS = 0,             /* MODEL_METRICS_MAX floats: the model's sums */
    SYNC_TAIL_WANTS_CHECKPOINT = 8, /* > 0 after the sum: checkpoint after this step */
    SYNC_TAIL_WANTS_STOP = 9,       /* > 0: checkpoint and stop */
    SYNC_TAIL_ROWS = 10,            /* rows that this rank put into the sums */
    SYNC_TAIL = 16,
};

struct sync;

/* Specs and tables are borrowed until close(). */
struct sync_parts {
    struct device device;
    struct comm *comm;
    const struct training_spec *training; /* sync, servers, staleness, reproducible */
    const struct optimizer_spec *optimizer;
    float *parameters; /* device (count) */
    float *gradients;  /* device (count + flag_count + SYNC_TAIL) */
    size_t count;
    const struct optim_table *tables; /* sparse ones */
    size_t table_count;
    size_t flag_count; /* rows of all of them */
};

struct sync_ops {
    const char *mode;
    enum status (*open)(const struct sync_parts *parts, struct sync **out, struct error *err);
    void (*close)(struct sync *sync); /* accepts NULL */
    /* Before each step, outside run(): the optimizer's scalars of step `step` (1-based). */
    enum status (*prepare)(struct sync *sync, int64_t step, double lr_factor, struct error *err);
    /*
     * Inside a step, by the backward pass of its last micro-batch: gradients [offset, count) are
     * final, so that they may travel while the rest is computed. Offsets fall. Flags and tail are
     * final at step() only. Calls may be left out.
     */
    enum status (*ready)(struct sync *sync, size_t offset, struct error *err);
    /* Inside a step: sums over the ranks, clipping, update. A rank that serves takes part too. */
    enum status (*step)(struct sync *sync, struct error *err);
    /*
     * Outside a step, by all ranks: afterwards all of them hold the newest parameters. After step()
     * nothing else may use the communicator before this: a server may owe answers.
     */
    enum status (*settle)(struct sync *sync, struct error *err);
    /*
     * Outside a step, by all ranks after settle(): state vector `index` of the optimizer comes to
     * rank 0's host memory `out` (count), elsewhere NULL. Clears the gradients.
     */
    enum status (*gather_state)(struct sync *sync, int index, float *out, struct error *err);
    /* Takes this rank's part of a whole state vector in host memory (count). */
    enum status (*put_state)(struct sync *sync, int index, const float *values, struct error *err);
};

struct sync {
    const struct sync_ops *ops;
    const struct optim_ops *optim; /* of every rank: number and names of state vectors */
    bool is_reproducible;          /* the same ranks give the same bits: not with staleness */
    /* step() leaves gradients [0, count) zero: only before the first step are they to be zeroed. */
    bool clears_gradients;
};

extern const struct sync_ops sync_allreduce;
extern const struct sync_ops sync_parameter_server;
extern const struct sync_ops sync_sharded;

extern const struct sync_ops *const sync_registry[]; /* indexed by enum sync_mode */

/*
 * STATUS_INVALID, with the field, where so many ranks cannot do what the spec says: it is right by itself,
 * and yet a gang may be of another size than its "ranks".
 */
MUST_CHECK enum status sync_check_world(const struct training_spec *spec, int world_size,
                                        struct error *err);
/*
 * Opens the mode that the spec names. STATUS_INVALID where it does not suit the world. A gang of one
 * has nothing to share out: it is allreduce, whatever the spec says.
 */
MUST_CHECK enum status sync_open(const struct sync_parts *parts, struct sync **out,
                                 struct error *err);
/*
 * Ranks 0 .. sync_workers() - 1 take rows of each batch; the others serve: they call prepare() and
 * step() with zero gradients and their own words in the tail.
 */
int sync_workers(const struct training_spec *spec, int world_size);
bool sync_is_worker(const struct training_spec *spec, int rank, int world_size);
/*
 * Memory for parameters or gradients, zeroed: where all ranks of the gang can read it if they can, so
 * that a sum moves each byte once; else the device's own. By all ranks in the same order.
 */
struct sync_memory {
    float *data;
    bool is_shared; /* the communicator's: valid until it is closed */
};
MUST_CHECK enum status sync_memory_open(struct device device, struct comm *comm, size_t floats,
                                        struct sync_memory *out, struct error *err);
void sync_memory_close(struct device device,
                       struct sync_memory *memory); /* zeroed: nothing to do */

/*
 * Outside a step, by all ranks: do all of them hold the same parameters? STATUS_CORRUPT names the
 * ranks that differ from the most.
 */
MUST_CHECK enum status sync_check_replicas(struct sync *sync, struct error *err);

#endif
