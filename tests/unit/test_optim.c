/*
 * test_optim.c - every optimizer against PyTorch's trajectory (tests/vectors/optim.json), whole and in
 * slices, on the CPU and on the device whose memory the host can't read.
 */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/json.h"
#include "tests/unit/compute_far.h"
#include "trainer/optim/optim.h"

#define VECTORS       "tests/vectors/optim.json"
#define VECTORS_BYTES (64 * KIB)
#define TOLERANCE     2e-6

enum { COUNT = 21, TABLE_ROWS = 4, SLICES_MAX = 3 };

/* One optimizer for each slice of the vector, on one device. */
struct fixture {
    struct error err;
    struct device device;
    int slices;
    size_t begins[SLICES_MAX + 1];
    struct optim *optims[SLICES_MAX];
    float *parameters, *gradients, *flags, *scale;
};

static json_t *vectors;

static int load_vectors(void **state)
{
    (void)state;
    struct buf text;
    struct error err = {.status = STATUS_OK};
    buf_init(&text, VECTORS_BYTES);
    assert_ok(fs_read_file(VECTORS, &text, &err), &err);
    assert_ok(json_parse(text.data, text.size, &vectors, &err), &err);
    buf_clear(&text);
    return 0;
}

static int free_vectors(void **state)
{
    (void)state;
    json_decref(vectors);
    return 0;
}

static void read_floats(const json_t *from, float out[COUNT])
{
    assert_int_equal(json_array_size(from), COUNT);
    for (size_t i = 0; i < COUNT; i++)
        out[i] = (float)json_number_value(json_array_get(from, i));
}

static const struct {
    const char *word;
    int type;
} types[] = {{"sgd", OPTIMIZER_SGD},
             {"adam", OPTIMIZER_ADAM},
             {"adamw", OPTIMIZER_ADAMW},
             {"adagrad", OPTIMIZER_ADAGRAD}};

static struct optimizer_spec spec_of(const json_t *test)
{
    const json_t *options = json_object_get(test, "options");
    const json_t *betas = json_object_get(options, "betas");
    struct optimizer_spec spec = {
        .type = -1,
        .lr = json_number_value(json_object_get(options, "lr")),
        .beta1 = json_number_value(json_array_get(betas, 0)),
        .beta2 = json_number_value(json_array_get(betas, 1)),
        .eps = json_number_value(json_object_get(options, "eps")),
        .momentum = json_number_value(json_object_get(options, "momentum")),
        .weight_decay = json_number_value(json_object_get(options, "weight_decay")),
        .initial_accumulator =
            json_number_value(json_object_get(options, "initial_accumulator_value")),
        .embeddings =
            json_is_true(json_object_get(test, "sparse")) ? EMBEDDING_SPARSE : EMBEDDING_DENSE};
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        if (strcmp(types[i].word, json_string_value(json_object_get(test, "type"))) == 0)
            spec.type = types[i].type;
    }
    assert_true(spec.type >= 0);
    return spec;
}

static float *allocate(struct fixture *f, size_t count)
{
    void *memory = NULL;
    assert_ok(f->device.ops->alloc(f->device.compute, count * sizeof(float), &memory, &f->err),
              &f->err);
    return memory;
}

static void put(struct fixture *f, float *target, const float *source, size_t count)
{
    assert_ok(
        f->device.ops->upload(f->device.compute, target, source, count * sizeof(float), &f->err),
        &f->err);
}

static void get(struct fixture *f, float *target, const float *source, size_t count)
{
    assert_ok(
        f->device.ops->download(f->device.compute, target, source, count * sizeof(float), &f->err),
        &f->err);
}

static void fixture_open(struct fixture *f, const struct compute_ops *ops,
                         const struct optimizer_spec *spec, int slices)
{
    *f = (struct fixture){.device = {.ops = ops}, .slices = slices};
    assert_ok(ops->open(0, 1, &f->device.compute, &f->err), &f->err);
    const json_t *layout = json_object_get(vectors, "table");
    const struct optim_table table = {
        .offset = (size_t)json_integer_value(json_object_get(layout, "offset")),
        .rows = (size_t)json_integer_value(json_object_get(layout, "rows")),
        .width = (int)json_integer_value(json_object_get(layout, "width"))};
    for (int i = 0; i < slices; i++) {
        f->begins[i] = (size_t)(COUNT * i / slices);
        f->begins[i + 1] = (size_t)(COUNT * (i + 1) / slices);
        const struct optim_parts parts = {.spec = spec,
                                          .device = f->device,
                                          .first = f->begins[i],
                                          .count = f->begins[i + 1] - f->begins[i],
                                          .tables = &table,
                                          .table_count = spec->embeddings == EMBEDDING_SPARSE,
                                          .clears_gradients = slices > 1};
        assert_ok(optim_registry[spec->type]->open(&parts, &f->optims[i], &f->err), &f->err);
        assert_int_equal(f->optims[i]->ops == optim_registry[spec->type], true);
    }
    f->parameters = allocate(f, COUNT);
    f->gradients = allocate(f, COUNT);
    f->flags = allocate(f, TABLE_ROWS);
    f->scale = allocate(f, 1);
    float start[COUNT];
    read_floats(json_object_get(vectors, "start"), start);
    put(f, f->parameters, start, COUNT);
}

static void fixture_close(struct fixture *f)
{
    for (int i = 0; i < f->slices; i++)
        f->optims[i]->ops->close(f->optims[i]);
    float *const memory[] = {f->parameters, f->gradients, f->flags, f->scale};
    for (size_t i = 0; i < COUNT_OF(memory); i++)
        f->device.ops->release(f->device.compute, memory[i]);
    f->device.ops->close(f->device.compute);
}

/* What is in the gradient of a row that a step did not touch must not matter. */
static void spoil_untouched(float gradients[COUNT], const float flags[TABLE_ROWS])
{
    const json_t *layout = json_object_get(vectors, "table");
    const size_t offset = (size_t)json_integer_value(json_object_get(layout, "offset"));
    const size_t width = (size_t)json_integer_value(json_object_get(layout, "width"));
    for (size_t i = 0; i < TABLE_ROWS * width; i++) {
        if (!(flags[i / width] > 0.0F))
            gradients[offset + i] = NAN;
    }
}

static void do_step(struct fixture *f, size_t step, bool is_sparse, const float *scale)
{
    float gradients[COUNT], flags[TABLE_ROWS] = {0.0F};
    read_floats(json_array_get(json_object_get(vectors, "gradients"), step), gradients);
    const json_t *touched = json_array_get(json_object_get(vectors, "touched"), step);
    for (size_t i = 0; i < json_array_size(touched); i++)
        flags[json_integer_value(json_array_get(touched, i))] = (float)(i + 1);
    if (is_sparse)
        spoil_untouched(gradients, flags);
    if (scale != NULL) {
        for (int i = 0; i < COUNT; i++)
            gradients[i] /= *scale;
        put(f, f->scale, scale, 1);
    }
    put(f, f->gradients, gradients, COUNT);
    put(f, f->flags, flags, TABLE_ROWS);
    for (int i = 0; i < f->slices; i++) {
        struct optim *optim = f->optims[i];
        const size_t begin = f->begins[i];
        assert_ok(optim->ops->prepare(optim, (int64_t)step + 1, 1.0, &f->err), &f->err);
        assert_ok(optim->ops->update(optim, f->parameters + begin, f->gradients + begin,
                                     is_sparse ? f->flags : NULL, scale == NULL ? NULL : f->scale,
                                     &f->err),
                  &f->err);
    }
}

static void check_case(const json_t *test, const struct compute_ops *ops, int slices,
                       const float *scale)
{
    const struct optimizer_spec spec = spec_of(test);
    struct fixture f;
    fixture_open(&f, ops, &spec, slices);
    const json_t *after = json_object_get(test, "after");
    for (size_t step = 0; step < json_array_size(after); step++) {
        float expected[COUNT], actual[COUNT];
        do_step(&f, step, spec.embeddings == EMBEDDING_SPARSE, scale);
        read_floats(json_array_get(after, step), expected);
        get(&f, actual, f.parameters, COUNT);
        for (int i = 0; i < COUNT; i++) {
            if (!(fabsf(actual[i] - expected[i]) <= TOLERANCE * (1.0F + fabsf(expected[i]))))
                fail_msg("%s, step %zu, element %d: %.9g, expected %.9g", f.optims[0]->ops->type,
                         step + 1, i, (double)actual[i], (double)expected[i]);
        }
    }
    fixture_close(&f);
}

static void every_optimizer_follows_pytorch(void **state)
{
    (void)state;
    size_t i = 0;
    const json_t *test = NULL;
    json_array_foreach(json_object_get(vectors, "cases"), i, test) {
        check_case(test, &compute_cpu, 1, NULL);
        check_case(test, &compute_far, 1, NULL);
    }
}

static void slices_that_cut_rows_follow_it_too(void **state)
{
    (void)state;
    size_t i = 0;
    const json_t *test = NULL;
    json_array_foreach(json_object_get(vectors, "cases"), i, test) {
        check_case(test, &compute_cpu, 2, NULL);
        check_case(test, &compute_far, 3, NULL);
    }
}

static void the_scale_counts_for_every_gradient(void **state)
{
    (void)state;
    const float scale = 0.25F;
    size_t i = 0;
    const json_t *test = NULL;
    json_array_foreach(json_object_get(vectors, "cases"), i, test)
        check_case(test, &compute_cpu, 2, &scale);
}

static void gradients_are_cleared_where_that_was_asked(void **state)
{
    (void)state;
    size_t i = 0;
    const json_t *test = NULL;
    json_array_foreach(json_object_get(vectors, "cases"), i, test) {
        for (int slices = 1; slices <= 2; slices++) {
            const struct optimizer_spec spec = spec_of(test);
            struct fixture f;
            float left[COUNT], sum = 0.0F;
            fixture_open(&f, &compute_cpu, &spec, slices);
            do_step(&f, 2, spec.embeddings == EMBEDDING_SPARSE, NULL); /* touches all rows */
            get(&f, left, f.gradients, COUNT);
            for (int j = 0; j < COUNT; j++)
                sum += fabsf(left[j]);
            assert_int_equal(sum > 0.0F, slices == 1); /* the fixture asks for it with slices */
            fixture_close(&f);
        }
    }
}

/* The state vectors and the step number are all that there is to save. */
static void a_fresh_optimizer_with_the_old_vectors_goes_on_bit_for_bit(void **state)
{
    (void)state;
    enum { KILLED = 4, END = 8 };
    size_t i = 0;
    const json_t *test = NULL;
    json_array_foreach(json_object_get(vectors, "cases"), i, test) {
        const struct optimizer_spec spec = spec_of(test);
        const bool is_sparse = spec.embeddings == EMBEDDING_SPARSE;
        struct fixture whole, resumed;
        float saved[COUNT], end[2][COUNT];
        fixture_open(&whole, &compute_cpu, &spec, 1);
        fixture_open(&resumed, &compute_cpu, &spec, 1);
        for (size_t step = 0; step < KILLED; step++)
            do_step(&whole, step, is_sparse, NULL);
        get(&whole, saved, whole.parameters, COUNT);
        put(&resumed, resumed.parameters, saved, COUNT);
        for (int s = 0; s < whole.optims[0]->ops->state_count; s++) {
            get(&whole, saved, whole.optims[0]->ops->state(whole.optims[0], s), COUNT);
            put(&resumed, resumed.optims[0]->ops->state(resumed.optims[0], s), saved, COUNT);
        }

        for (size_t step = KILLED; step < END; step++) {
            do_step(&whole, step, is_sparse, NULL);
            do_step(&resumed, step, is_sparse, NULL);
        }

        get(&whole, end[0], whole.parameters, COUNT);
        get(&resumed, end[1], resumed.parameters, COUNT);
        assert_memory_equal(end[0], end[1], sizeof(end[0]));
        fixture_close(&whole);
        fixture_close(&resumed);
    }
}

static void the_learning_rate_factor_counts(void **state)
{
    (void)state;
    for (size_t type = 0; type < COUNT_OF(types); type++) {
        struct optimizer_spec spec = {
            .type = types[type].type, .lr = 0.1, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
        float moved[2][COUNT];
        for (int half = 0; half < 2; half++) {
            struct fixture f;
            const float ones[COUNT] = {[0 ... COUNT - 1] = 1.0F};
            spec.lr = half ? 0.2 : 0.1;
            fixture_open(&f, &compute_cpu, &spec, 1);
            put(&f, f.gradients, ones, COUNT);
            struct optim *optim = f.optims[0];
            assert_ok(optim->ops->prepare(optim, 1, half ? 0.5 : 1.0, &f.err), &f.err);
            assert_ok(optim->ops->update(optim, f.parameters, f.gradients, NULL, NULL, &f.err),
                      &f.err);
            get(&f, moved[half], f.parameters, COUNT);
            fixture_close(&f);
        }
        assert_memory_equal(moved[0], moved[1], sizeof(moved[0]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_optimizer_follows_pytorch),
        cmocka_unit_test(slices_that_cut_rows_follow_it_too),
        cmocka_unit_test(the_scale_counts_for_every_gradient),
        cmocka_unit_test(a_fresh_optimizer_with_the_old_vectors_goes_on_bit_for_bit),
        cmocka_unit_test(the_learning_rate_factor_counts),
        cmocka_unit_test(gradients_are_cleared_where_that_was_asked),
    };
    return cmocka_run_group_tests_name("optim", tests, load_vectors, free_vectors);
}
