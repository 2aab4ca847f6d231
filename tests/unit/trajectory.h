#ifndef TESTS_UNIT_TRAJECTORY_H
#define TESTS_UNIT_TRAJECTORY_H

/*
 * trajectory.h - a family's 20 steps on a device against PyTorch's in tests/vectors: the loss of each
 * step, and the parameters after the first and the last. What differs fails the test by name.
 */

#include "tests/unit/model_rig.h"
#include "tests/unit/vectors.h"

/* For mlp and bilstm, whose batches are records: "mlp_relu_softmax", on compute_cpu or compute_far. */
void trajectory_check(const char *name, const struct compute_ops *ops);

/*
 * For a family that makes its rows itself (ncf): `feed` puts step `step`'s rows of the vectors (0 is
 * the first) into the rig, as rig_feed() would, and returns their number.
 */
typedef int trajectory_feed_fn(struct model_rig *rig, const struct vectors *vectors, int step);
void trajectory_check_fed(const char *name, const struct compute_ops *ops,
                          const struct dataset *train, trajectory_feed_fn *feed);

#endif
