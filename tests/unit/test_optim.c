/* test_optim.c - what optimizers hand to the device, against PyTorch's definitions in float64. */
#include "tests/unit/unit.h"

#include <math.h>

#include "trainer/optim/optim.h"

enum { COUNT = 3, STEPS = 50 };

struct fixture {
    struct error err;
    struct device device;
    struct optim *optim;
    float *parameters, *gradients;
};

static void fixture_open(struct fixture *f, const struct optim_ops *ops,
                         const struct optimizer_spec *spec)
{
    *f = (struct fixture){.device = {.ops = &compute_cpu}};
    void *memory = NULL;
    assert_ok(compute_cpu.open(0, 1, &f->device.compute, &f->err), &f->err);
    const struct optim_parts parts = {.spec = spec, .device = f->device, .count = COUNT};
    assert_ok(ops->open(&parts, &f->optim, &f->err), &f->err);
    assert_ok(compute_cpu.alloc(f->device.compute, COUNT * sizeof(float), &memory, &f->err),
              &f->err);
    f->parameters = memory;
    assert_ok(compute_cpu.alloc(f->device.compute, COUNT * sizeof(float), &memory, &f->err),
              &f->err);
    f->gradients = memory;
    for (int i = 0; i < COUNT; i++)
        f->parameters[i] = 0.5F * (float)(i - 1);
}

static void fixture_close(struct fixture *f)
{
    f->optim->ops->close(f->optim);
    compute_cpu.release(f->device.compute, f->parameters);
    compute_cpu.release(f->device.compute, f->gradients);
    compute_cpu.close(f->device.compute);
}

/* A gradient that changes with the step and the element, of very different sizes. */
static double gradient_of(int step, int i)
{
    return sin(0.7 * step + i) * pow(10.0, -2 * i);
}

static void do_step(struct fixture *f, int step)
{
    for (int i = 0; i < COUNT; i++)
        f->gradients[i] = (float)gradient_of(step, i);
    assert_ok(f->optim->ops->prepare(f->optim, step, 1.0, &f->err), &f->err);
    assert_ok(f->optim->ops->update(f->optim, f->parameters, f->gradients, NULL, NULL, &f->err),
              &f->err);
}

static void adam_follows_pytorchs_formula(void **state)
{
    (void)state;
    const struct optimizer_spec spec = {.type = OPTIMIZER_ADAM,
                                        .lr = 0.01,
                                        .beta1 = 0.9,
                                        .beta2 = 0.999,
                                        .eps = 1e-8,
                                        .weight_decay = 0.02};
    struct fixture f;
    fixture_open(&f, &optim_adam, &spec);
    double p[COUNT], m[COUNT] = {0.0}, v[COUNT] = {0.0};
    for (int i = 0; i < COUNT; i++)
        p[i] = (double)f.parameters[i];
    for (int step = 1; step <= STEPS; step++) {
        do_step(&f, step);
        for (int i = 0; i < COUNT; i++) {
            const double g = gradient_of(step, i) + spec.weight_decay * p[i];
            m[i] = spec.beta1 * m[i] + (1.0 - spec.beta1) * g;
            v[i] = spec.beta2 * v[i] + (1.0 - spec.beta2) * g * g;
            const double correction1 = 1.0 - pow(spec.beta1, step);
            const double correction2 = 1.0 - pow(spec.beta2, step);
            p[i] -= spec.lr / correction1 * m[i] / (sqrt(v[i]) / sqrt(correction2) + spec.eps);
            assert_true(fabs((double)f.parameters[i] - p[i]) < 2e-6);
        }
    }
    fixture_close(&f);
}

static void sgd_follows_pytorchs_formula(void **state)
{
    (void)state;
    const struct optimizer_spec spec = {
        .type = OPTIMIZER_SGD, .lr = 0.1, .momentum = 0.9, .weight_decay = 0.01};
    struct fixture f;
    fixture_open(&f, &optim_sgd, &spec);
    double p[COUNT], velocity[COUNT] = {0.0};
    for (int i = 0; i < COUNT; i++)
        p[i] = (double)f.parameters[i];
    for (int step = 1; step <= STEPS; step++) {
        do_step(&f, step);
        for (int i = 0; i < COUNT; i++) {
            velocity[i] =
                spec.momentum * velocity[i] + gradient_of(step, i) + spec.weight_decay * p[i];
            p[i] -= spec.lr * velocity[i];
            assert_true(fabs((double)f.parameters[i] - p[i]) < 2e-6);
        }
    }
    fixture_close(&f);
}

/* Taking up at a step needs the vectors and the step number, nothing else. */
static void a_fresh_adam_with_the_old_vectors_goes_on_bit_for_bit(void **state)
{
    (void)state;
    const struct optimizer_spec spec = {
        .type = OPTIMIZER_ADAM, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    struct fixture whole, resumed;
    fixture_open(&whole, &optim_adam, &spec);
    fixture_open(&resumed, &optim_adam, &spec);
    for (int step = 1; step <= 20; step++)
        do_step(&whole, step);
    memcpy(resumed.parameters, whole.parameters, COUNT * sizeof(float));
    for (int s = 0; s < optim_adam.state_count; s++)
        memcpy(optim_adam.state(resumed.optim, s), optim_adam.state(whole.optim, s),
               COUNT * sizeof(float));

    for (int step = 21; step <= 40; step++) {
        do_step(&whole, step);
        do_step(&resumed, step);
    }

    assert_memory_equal(resumed.parameters, whole.parameters, COUNT * sizeof(float));
    fixture_close(&whole);
    fixture_close(&resumed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adam_follows_pytorchs_formula),
        cmocka_unit_test(sgd_follows_pytorchs_formula),
        cmocka_unit_test(a_fresh_adam_with_the_old_vectors_goes_on_bit_for_bit),
    };
    return cmocka_run_group_tests_name("optim", tests, NULL, NULL);
}
