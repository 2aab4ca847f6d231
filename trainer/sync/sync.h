#ifndef TRAINER_SYNC_SYNC_H
#define TRAINER_SYNC_SYNC_H

/*
 * sync.h - how gradients of many ranks become one update. Three ways: allreduce, parameter_server,
 * sharded (ZeRO stage 1). All give the same trajectory within float32 rounding.
 *
 * The flat gradient vector carries a tail of SYNC_TAIL floats behind the gradients: the batch's sums
 * and the control words, summed over the ranks by the same collective. So the global loss and the
 * agreement on checkpoints cost no extra message.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trainer/comm/comm.h"
#include "trainer/compute/compute.h"
#include "trainer/optim/optim.h"

enum sync_tail {
    SYNC_TAIL_SUMS = 0,             /* MODEL_METRICS_MAX floats: the model's sums */
    SYNC_TAIL_WANTS_CHECKPOINT = 8, /* > 0 after the sum: checkpoint after this step */
    SYNC_TAIL_WANTS_STOP = 9,       /* > 0: checkpoint and stop */
    SYNC_TAIL = 16,
};

struct sync;

struct sync_parts {
    struct device device;
    struct comm *comm;
    struct optim *optim;
    float *parameters; /* device (count) */
    float *gradients;  /* device (count + SYNC_TAIL) */
    size_t count;
};

struct sync_ops {
    const char *mode;
    enum status (*open)(const struct sync_parts *parts, struct sync **out, struct error *err);
    void (*close)(struct sync *sync); /* accepts NULL */
    /* Inside a step: sums over the ranks, then the update; afterwards all ranks hold the same. */
    enum status (*step)(struct sync *sync, struct error *err);
};

struct sync {
    const struct sync_ops *ops;
};

extern const struct sync_ops sync_allreduce;

extern const struct sync_ops *const sync_registry[]; /* indexed by enum sync_mode */

#endif
