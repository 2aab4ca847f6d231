/* Sums over flat vectors, on the CPU and on a device that is far away, against float64. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/compute_far.h"

enum { COUNT = 2 * COMPUTE_BLOCK + 777, BLOCKS = 3 };

static const struct compute_ops *const backends[] = {&compute_cpu, &compute_far};

static struct device open_device(const struct compute_ops *ops)
{
    struct device device = {.ops = ops};
    assert_int_equal(ops->open(0, 1, &device.compute, NULL), STATUS_OK);
    return device;
}

static void *to_device(struct device device, const void *host, size_t bytes)
{
    void *memory = NULL;
    assert_int_equal(device.ops->alloc(device.compute, bytes, &memory, NULL), STATUS_OK);
    assert_int_equal(device.ops->upload(device.compute, memory, host, bytes, NULL), STATUS_OK);
    return memory;
}

static void fill(float *values, size_t count, unsigned seed)
{
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525U + 1013904223U;
        values[i] = (float)(seed >> 8) / 8388608.0F - 1.0F;
    }
}

static void add_adds_each_element(void **state)
{
    (void)state;
    float a[COUNT], b[COUNT], out[COUNT];
    fill(a, COUNT, 1);
    fill(b, COUNT, 2);
    for (size_t i = 0; i < COUNT_OF(backends); i++) {
        const struct device device = open_device(backends[i]);
        float *left = to_device(device, a, sizeof(a));
        float *right = to_device(device, b, sizeof(b));
        assert_int_equal(device.ops->add(device.compute, left, right, COUNT, NULL), STATUS_OK);
        assert_int_equal(device.ops->download(device.compute, out, left, sizeof(out), NULL),
                         STATUS_OK);
        for (size_t j = 0; j < COUNT; j++)
            assert_float_equal(out[j], a[j] + b[j], 0.0F);
        device.ops->release(device.compute, left);
        device.ops->release(device.compute, right);
        device.ops->close(device.compute);
    }
}

static void square_sums_and_clip_scale_give_the_global_norm(void **state)
{
    (void)state;
    float values[COUNT];
    double exact = 0.0;
    fill(values, COUNT, 3);
    for (size_t j = 0; j < COUNT; j++)
        exact += (double)values[j] * (double)values[j];
    for (size_t i = 0; i < COUNT_OF(backends); i++) {
        const struct device device = open_device(backends[i]);
        const double none[BLOCKS] = {0.0};
        double partials[BLOCKS];
        float scale = 0.0F;
        float *gradients = to_device(device, values, sizeof(values));
        double *sums = to_device(device, none, sizeof(none));
        float *factor = to_device(device, &scale, sizeof(scale));
        assert_int_equal(device.ops->square_sums(device.compute, sums, gradients, COUNT, NULL),
                         STATUS_OK);
        assert_int_equal(
            device.ops->download(device.compute, partials, sums, sizeof(partials), NULL),
            STATUS_OK);
        assert_true(fabs(partials[0] + partials[1] + partials[2] - exact) < 1e-9 * exact);
        static const float limits[] = {1.0F, 1e6F};
        for (size_t j = 0; j < COUNT_OF(limits); j++) {
            assert_int_equal(
                device.ops->clip_scale(device.compute, factor, sums, BLOCKS, limits[j], NULL),
                STATUS_OK);
            assert_int_equal(
                device.ops->download(device.compute, &scale, factor, sizeof(scale), NULL),
                STATUS_OK);
            const double ratio = (double)limits[j] / (sqrt(exact) + 1e-6);
            assert_true(fabs((double)scale - (ratio < 1.0 ? ratio : 1.0)) < 1e-7);
        }
        device.ops->release(device.compute, gradients);
        device.ops->release(device.compute, sums);
        device.ops->release(device.compute, factor);
        device.ops->close(device.compute);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(add_adds_each_element),
        cmocka_unit_test(square_sums_and_clip_scale_give_the_global_norm),
    };
    return cmocka_run_group_tests_name("compute_vector", tests, NULL, NULL);
}
