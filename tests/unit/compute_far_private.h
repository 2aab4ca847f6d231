#ifndef TESTS_UNIT_COMPUTE_FAR_PRIVATE_H
#define TESTS_UNIT_COMPUTE_FAR_PRIVATE_H

/*
 * compute_far_private.h - between compute_far.c (memory, recording, replaying) and
 * compute_far_operations.c.
 */

#include "tests/unit/compute_far.h"

struct far_call;
typedef enum status far_play_fn(struct compute *near, const struct far_call *call,
                                struct error *err);

/* One issued operation: how it is carried out, outputs, inputs, and numbers in the order of its parameters. */
struct far_call {
    far_play_fn *play;
    void *out[4];
    const void *in[5];
    int number[6];
    size_t size; /* or Philox's key */
    float scale;
    struct compute_lstm_weights lstm_weights;
    struct compute_lstm_gradients lstm_gradients;
    struct compute_lstm_shape lstm_shape;
    struct compute_update update; /* of the optimizers */
};

/* Inside a step the call is recorded, outside it is carried out. */
MUST_CHECK enum status far_issue(struct compute *far, const struct far_call call,
                                 struct error *err);

/* far_open(), far_close(), ...: all operations of the table. */
#define X(type, operation, parameters) type far_##operation parameters;
COMPUTE_OPS(X)
#undef X

#endif
