#ifndef TESTS_UNIT_COMPUTE_FAR_H
#define TESTS_UNIT_COMPUTE_FAR_H

/*
 * compute_far.h - a device that is far away, for tests: the CPU's arithmetic behind a GPU's manners.
 *
 * Its memory cannot be read or written by the host outside operations (PROT_NONE), so code that
 * leans on host memory dies of SIGSEGV. run() records the operations of a step once per key and
 * replays them afterwards without calling the step, so code whose step depends on anything but its
 * key gives wrong numbers. upload, download, sync and alloc inside a step are refused.
 */

#include "trainer/compute/compute.h"

extern const struct compute_ops compute_far;

/* How often run() has replayed instead of calling the step. */
size_t compute_far_replays(const struct compute *compute);

#endif
