#ifndef TRAINER_TRAIN_PLAN_H
#define TRAINER_TRAIN_PLAN_H

/*
 * train_plan.h - how much memory a rank takes: said when it starts, looked at again when it ends.
 *
 * The plan adds what training itself needs, and TRAIN_PLAN_MARGIN_BYTES for the program, its stacks,
 * OpenBLAS's packing buffers and allocators' waste. The peak is the kernel's high-water mark of resident
 * memory (VmHWM), less the pages of mapped files (RssFile: data and libraries, which the kernel drops
 * whenever it needs memory) and of memory shared with the other ranks (RssShmem).
 */

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define TRAIN_PLAN_MARGIN_BYTES (INT64_C(64) << 20)

struct train;

/* In bytes. */
struct train_plan {
    int64_t parameters;
    int64_t optimizer; /* state vectors and what the way to synchronise keeps beside them */
    int64_t gradients; /* flags of sparse tables and the tail too */
    int64_t
        activations; /* the model's buffers and what it keeps on the host, batches, evaluation */
    int64_t copies;  /* host, rank 0: a checkpoint's snapshot, the best and the kept parameters */
    int64_t total;   /* of all these and the margin */
    int64_t peak;    /* 0: not yet looked at */
};

/* When all is open: fills train->memory and writes it to the log. `sync_bytes`: the optimizer's part. */
void train_plan_make(struct train *train, size_t sync_bytes);
/* At the end: fills the peak; above the plan it is a warning event. */
MUST_CHECK enum status train_plan_check(struct train *train, struct error *err);

#endif
