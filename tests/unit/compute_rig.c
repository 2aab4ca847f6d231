#include "tests/unit/compute_rig.h"

#include <math.h>
#include <stdlib.h>

#include "trainer/data/philox.h"

struct compute_rig compute_rigs[COMPUTE_RIGS];

int compute_rigs_open(void **state)
{
    const struct compute_ops *const backends[] = {&compute_cpu, &compute_far};
    for (size_t i = 0; i < COUNT_OF(compute_rigs); i++) {
        compute_rigs[i] = (struct compute_rig){.ops = backends[i]};
        assert_int_equal(compute_check(backends[i], &compute_rigs[i].err), STATUS_OK);
        assert_int_equal(backends[i]->open(0, 1, &compute_rigs[i].compute, &compute_rigs[i].err),
                         STATUS_OK);
    }
    *state = compute_rigs;
    return 0;
}

int compute_rigs_close(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(compute_rigs); i++) {
        while (compute_rigs[i].memory_count > 0)
            compute_rigs[i].ops->release(compute_rigs[i].compute,
                                         compute_rigs[i].memory[--compute_rigs[i].memory_count]);
        compute_rigs[i].ops->close(compute_rigs[i].compute);
    }
    return 0;
}

float *compute_rig_draw(struct compute_rig *rig, size_t count, unsigned zeros)
{
    float *out = malloc((count + 1) * sizeof(float));
    assert_non_null(out);
    const struct philox_key key = philox_key_of(1, PHILOX_INIT);
    for (size_t i = 0; i < count; i++) {
        uint32_t word[4];
        philox_4x32(key, 0, rig->draws++, word);
        out[i] = word[1] % 256 < zeros ? 0.0F : 2.0F * philox_unit(word[0]) - 1.0F;
    }
    return out;
}

void *compute_rig_alloc(struct compute_rig *rig, size_t bytes)
{
    assert_true(rig->memory_count < COMPUTE_RIG_ALLOCATIONS_MAX);
    void *memory = NULL;
    OK(rig->ops->alloc(rig->compute, bytes, &memory, &rig->err));
    rig->memory[rig->memory_count++] = memory;
    return memory;
}

void *compute_rig_put(struct compute_rig *rig, const void *host, size_t bytes)
{
    void *memory = compute_rig_alloc(rig, bytes);
    OK(rig->ops->upload(rig->compute, memory, host, bytes, &rig->err));
    return memory;
}

float *compute_rig_get(struct compute_rig *rig, const float *memory, size_t count)
{
    float *host = malloc((count + 1) * sizeof(float));
    assert_non_null(host);
    OK(rig->ops->download(rig->compute, host, memory, count * sizeof(float), &rig->err));
    return host;
}

void compute_rig_near(const float *actual, const double *expected, size_t count, double scale)
{
    for (size_t i = 0; i < count; i++) {
        const double error = fabs((double)actual[i] - expected[i]);
        if (error > COMPUTE_RIG_TOLERANCE * (scale + fabs(expected[i])))
            fail_msg("element %zu of %zu is %.9g, expected %.9g", i, count, (double)actual[i],
                     expected[i]);
    }
}
