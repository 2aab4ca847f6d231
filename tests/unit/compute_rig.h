#ifndef TESTS_UNIT_COMPUTE_RIG_H
#define TESTS_UNIT_COMPUTE_RIG_H

/*
 * compute_rig.h - the backends that a CPU can run, opened, with memory that goes when the tests are done:
 * what the tests of single operations share. Everything fails the test by itself.
 */

#include "tests/unit/compute_far.h"
#include "tests/unit/unit.h"

#define COMPUTE_RIG_TOLERANCE       2e-5
#define COMPUTE_RIG_ALLOCATIONS_MAX 512 /* of each backend in one program */
#define COMPUTE_RIGS                2   /* compute_cpu, compute_far */

struct compute_rig {
    const struct compute_ops *ops;
    struct compute *compute;
    struct error err;
    uint64_t draws; /* every test sees the same numbers */
    void *memory[COMPUTE_RIG_ALLOCATIONS_MAX];
    size_t memory_count;
};

extern struct compute_rig compute_rigs[COMPUTE_RIGS];

/* For cmocka_run_group_tests(); *state is compute_rigs. */
int compute_rigs_open(void **state);
int compute_rigs_close(void **state);

#define FOR_EACH_BACKEND(f) \
    for (struct compute_rig *f = compute_rigs; f < compute_rigs + COMPUTE_RIGS; f->draws = 0, f++)

#define OK(call) assert_int_equal((call), STATUS_OK)

/* `count` host numbers in [-1, 1), of which `zeros` in 256 are zero; the caller frees them. */
float *compute_rig_draw(struct compute_rig *rig, size_t count, unsigned zeros);
/* Device memory, of zeros or a copy of what is on the host. */
void *compute_rig_alloc(struct compute_rig *rig, size_t bytes);
void *compute_rig_put(struct compute_rig *rig, const void *host, size_t bytes);
/* A copy on the host; the caller frees it. */
float *compute_rig_get(struct compute_rig *rig, const float *memory, size_t count);
/* Each element is within COMPUTE_RIG_TOLERANCE times (scale + its size). */
void compute_rig_near(const float *actual, const double *expected, size_t count, double scale);

#endif
