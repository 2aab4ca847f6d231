/*
 * test_mlp.c - the multilayer perceptron: its gradients against finite differences in float64, its
 * initial values, and that a whole training runs on a far device with the same bits.
 */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdlib.h>

#include "tests/unit/compute_far.h"
#include "trainer/model/model.h"
#include "trainer/optim/optim.h"

enum { RECORDS = 40, WIDTH = 12, CLASSES = 5, ROWS = 16 };

struct fixture {
    struct error err;
    struct device device;
    struct model *model;
    float *parameters, *gradients, *sums; /* device */
    size_t count;
    uint8_t bytes[RECORDS][WIDTH];
    int32_t labels[RECORDS];
    const uint8_t *device_bytes;
    const int32_t *device_labels;
    int32_t *records;  /* device */
    float *loss_scale; /* device */
};

static void *allocate(struct fixture *f, size_t bytes)
{
    void *memory = NULL;
    assert_ok(f->device.ops->alloc(f->device.compute, bytes, &memory, &f->err), &f->err);
    return memory;
}

static struct job_spec small_spec(void)
{
    struct job_spec spec = {.model = {.type = MODEL_MLP}};
    spec.model.mlp.hidden[0] = 9;
    spec.model.mlp.hidden[1] = 7;
    spec.model.mlp.hidden_count = 2;
    spec.model.mlp.classes = CLASSES;
    return spec;
}

static void fixture_open(struct fixture *f, const struct compute_ops *ops)
{
    *f = (struct fixture){.device = {.ops = ops}};
    assert_ok(ops->open(0, 1, &f->device.compute, &f->err), &f->err);
    const struct job_spec spec = small_spec();
    const struct model_input input = {.width = WIDTH, .classes = CLASSES, .rows_max = ROWS};
    assert_ok(model_mlp.open(&spec, &input, f->device, &f->model, &f->err), &f->err);
    f->count = model_parameter_count(f->model);
    for (int i = 0; i < RECORDS; i++) {
        f->labels[i] = (i * 3) % CLASSES;
        for (int j = 0; j < WIDTH; j++)
            f->bytes[i][j] = (uint8_t)((i * 37 + j * 91 + i * j * 5) % 256);
    }
    f->parameters = allocate(f, f->count * sizeof(float));
    f->gradients = allocate(f, f->count * sizeof(float));
    f->sums = allocate(f, MODEL_METRICS_MAX * sizeof(float));
    f->records = allocate(f, ROWS * sizeof(int32_t));
    f->loss_scale = allocate(f, sizeof(float));
    const void *view = NULL;
    assert_ok(ops->map_host(f->device.compute, f->bytes, sizeof(f->bytes), &view, &f->err),
              &f->err);
    f->device_bytes = view;
    assert_ok(ops->map_host(f->device.compute, f->labels, sizeof(f->labels), &view, &f->err),
              &f->err);
    f->device_labels = view;
}

static void fixture_close(struct fixture *f)
{
    void *const owned[] = {f->parameters, f->gradients, f->sums, f->records, f->loss_scale};
    for (size_t i = 0; i < COUNT_OF(owned); i++)
        f->device.ops->release(f->device.compute, owned[i]);
    model_mlp.close(f->model);
    f->device.ops->close(f->device.compute);
}

/* ------------------------------------------------------------------ gradients */

/* The mean loss of the first ROWS records, in float64, from the parameter table alone. */
static double reference_loss(const struct fixture *f, const double *parameters)
{
    size_t count = 0;
    const struct parameter *table = model_mlp.parameters(f->model, &count);
    double loss = 0.0;
    for (int row = 0; row < ROWS; row++) {
        double in[16] = {0.0}, out[16] = {0.0};
        for (int j = 0; j < WIDTH; j++)
            in[j] = (double)f->bytes[row][j] / 255.0;
        for (size_t layer = 0; layer < count / 2; layer++) {
            const struct parameter *weight = &table[2 * layer], *bias = &table[2 * layer + 1];
            for (int64_t o = 0; o < weight->shape[1]; o++) {
                out[o] = parameters[bias->offset + (size_t)o];
                for (int64_t i = 0; i < weight->shape[0]; i++)
                    out[o] +=
                        in[i] * parameters[weight->offset + (size_t)(i * weight->shape[1] + o)];
                if (layer + 1 < count / 2 && out[o] < 0.0)
                    out[o] = 0.0;
            }
            memcpy(in, out, sizeof(in));
        }
        double sum = 0.0;
        for (int c = 0; c < CLASSES; c++)
            sum += exp(in[c]);
        loss += log(sum) - in[f->labels[row]];
    }
    return loss / ROWS;
}

static struct model_batch first_rows(struct fixture *f)
{
    int32_t records[ROWS];
    const float scale = 1.0F / ROWS;
    for (int i = 0; i < ROWS; i++)
        records[i] = i;
    assert_ok(
        f->device.ops->upload(f->device.compute, f->records, records, sizeof(records), &f->err),
        &f->err);
    assert_ok(
        f->device.ops->upload(f->device.compute, f->loss_scale, &scale, sizeof(scale), &f->err),
        &f->err);
    return (struct model_batch){.rows = ROWS,
                                .bytes = f->device_bytes,
                                .scale = 1.0F / 255.0F,
                                .labels = f->device_labels,
                                .records = f->records,
                                .loss_scale = f->loss_scale};
}

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    static struct fixture f;
    fixture_open(&f, &compute_cpu);
    float *initial = calloc(f.count, sizeof(float)), *actual = calloc(f.count, sizeof(float));
    double *moved = calloc(f.count, sizeof(double));
    model_initialise(f.model, 3, initial);
    for (size_t i = 0; i < f.count; i++)
        moved[i] = (double)initial[i];
    memcpy(f.parameters, initial, f.count * sizeof(float)); /* the CPU's memory is the host's */
    const struct model_batch batch = first_rows(&f);

    assert_ok(model_mlp.train_step(f.model, f.parameters, f.gradients, f.sums, &batch, &f.err),
              &f.err);

    memcpy(actual, f.gradients, f.count * sizeof(float));
    assert_true(fabs((double)f.sums[0] / ROWS - reference_loss(&f, moved)) < 1e-6);
    for (size_t i = 0; i < f.count; i++) {
        const double step = 1e-6, before = moved[i];
        moved[i] = before + step;
        const double above = reference_loss(&f, moved);
        moved[i] = before - step;
        const double below = reference_loss(&f, moved);
        moved[i] = before;
        const double expected = (above - below) / (2.0 * step);
        if (fabs((double)actual[i] - expected) > 1e-6 + 1e-4 * fabs(expected))
            fail_msg("gradient %zu is %.9g, expected %.9g", i, (double)actual[i], expected);
    }
    free(initial);
    free(actual);
    free(moved);
    fixture_close(&f);
}

static void a_step_adds_to_gradients_and_sums(void **state)
{
    (void)state;
    static struct fixture f;
    fixture_open(&f, &compute_cpu);
    model_initialise(f.model, 3, f.parameters);
    const struct model_batch batch = first_rows(&f);
    assert_ok(model_mlp.train_step(f.model, f.parameters, f.gradients, f.sums, &batch, &f.err),
              &f.err);
    const float gradient = f.gradients[5], loss = f.sums[0], right = f.sums[1];

    assert_ok(model_mlp.train_step(f.model, f.parameters, f.gradients, f.sums, &batch, &f.err),
              &f.err);

    assert_true(f.gradients[5] == 2.0F * gradient);
    assert_true(f.sums[0] == 2.0F * loss);
    assert_ok(model_mlp.evaluate(f.model, f.parameters, f.sums, &batch, &f.err), &f.err);
    assert_true(f.sums[0] == 3.0F * loss);
    assert_true(f.sums[1] == 3.0F * right);
    fixture_close(&f);
}

/* ------------------------------------------------------------------ initial values */

static void initial_values_fill_the_interval_of_each_layer(void **state)
{
    (void)state;
    static struct fixture f;
    fixture_open(&f, &compute_cpu);
    float *values = calloc(f.count, sizeof(float)), *again = calloc(f.count, sizeof(float));
    model_initialise(f.model, 1, values);
    model_initialise(f.model, 1, again);
    assert_memory_equal(values, again, f.count * sizeof(float));
    model_initialise(f.model, 2, again);
    assert_memory_not_equal(values, again, f.count * sizeof(float));
    size_t count = 0;
    const struct parameter *table = model_mlp.parameters(f.model, &count);
    assert_int_equal(count, 6);
    assert_string_equal(table[4].name, "layer2.weight");
    for (size_t p = 0; p < count; p++) {
        const float bound =
            (float)(1.0 / sqrt((double)table[p - p % 2].shape[0])); /* of the weight */
        float largest = 0.0F;
        for (size_t i = 0; i < table[p].count; i++) {
            const float value = fabsf(values[table[p].offset + i]);
            assert_true(value <= bound);
            largest = value > largest ? value : largest;
        }
        assert_true(largest > 0.3F * bound);
    }
    free(values);
    free(again);
    fixture_close(&f);
}

/* ------------------------------------------------------------------ on a far device */

struct training {
    struct fixture *fixture;
    struct optim *optim;
    struct model_batch batch;
};

static enum status issue(void *context, struct error *err)
{
    struct training *t = context;
    struct fixture *f = t->fixture;
    TRY(f->device.ops->zero(f->device.compute, f->gradients, f->count * sizeof(float), err));
    TRY(f->model->ops->train_step(f->model, f->parameters, f->gradients, f->sums, &t->batch, err));
    return t->optim->ops->update(t->optim, f->parameters, f->gradients, NULL, NULL, err);
}

/* Thirty steps with batches of two sizes; the end's parameters and sums go to the host. */
static void train(struct fixture *f, const struct optim_ops *optim, float *out_parameters,
                  float out_sums[2])
{
    const struct optimizer_spec spec = {.lr = 0.01,
                                        .beta1 = 0.9,
                                        .beta2 = 0.999,
                                        .eps = 1e-8,
                                        .momentum = 0.9,
                                        .weight_decay = 0.001};
    struct training t = {.fixture = f, .batch = first_rows(f)};
    float *initial = calloc(f->count, sizeof(float));
    model_initialise(f->model, 11, initial);
    assert_ok(f->device.ops->upload(f->device.compute, f->parameters, initial,
                                    f->count * sizeof(float), &f->err),
              &f->err);
    const struct optim_parts parts = {.spec = &spec, .device = f->device, .count = f->count};
    assert_ok(optim->open(&parts, &t.optim, &f->err), &f->err);
    for (int step = 1; step <= 30; step++) {
        int32_t records[ROWS];
        t.batch.rows = step % 5 == 0 ? ROWS / 2 : ROWS;
        for (int i = 0; i < ROWS; i++)
            records[i] = (step * 7 + i * 3) % RECORDS;
        assert_ok(
            f->device.ops->upload(f->device.compute, f->records, records, sizeof(records), &f->err),
            &f->err);
        assert_ok(optim->prepare(t.optim, step, 1.0, &f->err), &f->err);
        assert_ok(f->device.ops->run(f->device.compute, (uint64_t)t.batch.rows, issue, &t, &f->err),
                  &f->err);
    }
    assert_ok(f->device.ops->download(f->device.compute, out_parameters, f->parameters,
                                      f->count * sizeof(float), &f->err),
              &f->err);
    assert_ok(
        f->device.ops->download(f->device.compute, out_sums, f->sums, 2 * sizeof(float), &f->err),
        &f->err);
    optim->close(t.optim);
    free(initial);
}

static void training_on_a_far_device_gives_the_same_bits(void **state)
{
    (void)state;
    for (const struct optim_ops *const *optim = optim_registry;
         optim <= &optim_registry[OPTIMIZER_ADAGRAD]; optim++) {
        static struct fixture near, far;
        fixture_open(&near, &compute_cpu);
        fixture_open(&far, &compute_far);
        float *expected = calloc(near.count, sizeof(float));
        float *actual = calloc(near.count, sizeof(float));
        float expected_sums[2], actual_sums[2];

        train(&near, *optim, expected, expected_sums);
        train(&far, *optim, actual, actual_sums);

        assert_memory_equal(actual, expected, near.count * sizeof(float));
        assert_memory_equal(actual_sums, expected_sums, sizeof(actual_sums));
        assert_int_equal(compute_far_replays(far.device.compute), 28); /* two keys were recorded */
        free(expected);
        free(actual);
        fixture_close(&near);
        fixture_close(&far);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(a_step_adds_to_gradients_and_sums),
        cmocka_unit_test(initial_values_fill_the_interval_of_each_layer),
        cmocka_unit_test(training_on_a_far_device_gives_the_same_bits),
    };
    return cmocka_run_group_tests_name("mlp", tests, NULL, NULL);
}
