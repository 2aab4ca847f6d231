#ifndef TESTS_UNIT_VECTORS_H
#define TESTS_UNIT_VECTORS_H

/*
 * vectors.h - reads the reference trajectories in tests/vectors (its README says what they hold)
 * and compares a model's flat parameter vector with them.
 *
 * What is missing or of another shape ends the test with fail_msg().
 */

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/model/model.h"

#define VECTORS_STEPS 20

enum vectors_when { VECTORS_INITIAL, VECTORS_AFTER_1, VECTORS_AFTER_20 };

struct vectors {
    const char *name;
    json_t *document;
    double loss[VECTORS_STEPS]; /* of each step, before its update */
    double loss_tolerance;      /* a small multiple of what float32 costs PyTorch */
    double parameter_tolerance;
};

/* `name`: "mlp_relu_softmax" for tests/vectors/mlp_relu_softmax.json. */
void vectors_open(struct vectors *vectors, const char *name);
void vectors_close(struct vectors *vectors);

/* What stands at a path of keys, "records.tokens"; borrowed. */
json_t *vectors_at(const struct vectors *vectors, const char *path);
int64_t vectors_int(const struct vectors *vectors, const char *path);
/* New arrays of all numbers of the array at `path`; the caller frees them. */
float *vectors_floats(const struct vectors *vectors, const char *path, size_t *out_count);
int32_t *vectors_ints(const struct vectors *vectors, const char *path, size_t *out_count);
/* The same for a part of a batch: its record numbers (`key` NULL), or ncf's "user", "item", "label". */
int32_t *vectors_batch(const struct vectors *vectors, int step, const char *key, size_t *out_count);

/* Fills the model's flat vector; what files hold transposed is turned. Names and shapes must match. */
void vectors_load(const struct vectors *vectors, enum vectors_when when,
                  const struct parameter *table, size_t table_count, float *out_flat);
/* Fails, naming the element, unless all parameters are within parameter_tolerance. */
void vectors_check(const struct vectors *vectors, enum vectors_when when,
                   const struct parameter *table, size_t table_count, const float *flat);
/* Fails unless the loss of this step (0 is the first) is within loss_tolerance. */
void vectors_check_loss(const struct vectors *vectors, int step, double loss);

#endif
