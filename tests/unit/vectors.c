#include "tests/unit/vectors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/unit.h"

/* Another order of summation may be a few times as far off as PyTorch's own. */
#define TOLERANCE_TIMES 10.0
#define PATH_BYTES      160

static const char *const when_names[] = {"initial", "after_1", "after_20"};

json_t *vectors_at(const struct vectors *vectors, const char *path)
{
    json_t *value = vectors->document;
    for (const char *part = path; part != NULL && value != NULL;) {
        char key[PATH_BYTES];
        const char *dot = strchr(part, '.');
        const size_t length = dot == NULL ? strlen(part) : (size_t)(dot - part);
        assert_true(length < sizeof(key));
        memcpy(key, part, length);
        key[length] = '\0';
        value = json_object_get(value, key);
        part = dot == NULL ? NULL : dot + 1;
    }
    if (value == NULL)
        fail_msg("tests/vectors/%s.json has no \"%s\"", vectors->name, path);
    return value;
}

int64_t vectors_int(const struct vectors *vectors, const char *path)
{
    const json_t *value = vectors_at(vectors, path);
    if (!json_is_integer(value))
        fail_msg("tests/vectors/%s.json: \"%s\" is no integer", vectors->name, path);
    return json_integer_value(value);
}

static double number_at(const json_t *array, size_t i)
{
    const json_t *item = json_array_get(array, i);
    assert_true(json_is_number(item));
    return json_number_value(item);
}

static float *floats_of(const json_t *array, size_t *out_count)
{
    assert_true(json_is_array(array));
    *out_count = json_array_size(array);
    float *out = calloc(*out_count + 1, sizeof(float));
    assert_non_null(out);
    for (size_t i = 0; i < *out_count; i++)
        out[i] = (float)number_at(array, i);
    return out;
}

static int32_t *ints_of(const json_t *array, size_t *out_count)
{
    assert_true(json_is_array(array));
    *out_count = json_array_size(array);
    int32_t *out = calloc(*out_count + 1, sizeof(int32_t));
    assert_non_null(out);
    for (size_t i = 0; i < *out_count; i++) {
        const json_t *item = json_array_get(array, i);
        assert_true(json_is_integer(item));
        out[i] = (int32_t)json_integer_value(item);
    }
    return out;
}

float *vectors_floats(const struct vectors *vectors, const char *path, size_t *out_count)
{
    return floats_of(vectors_at(vectors, path), out_count);
}

int32_t *vectors_ints(const struct vectors *vectors, const char *path, size_t *out_count)
{
    return ints_of(vectors_at(vectors, path), out_count);
}

int32_t *vectors_batch(const struct vectors *vectors, int step, const char *key, size_t *out_count)
{
    assert_true(step >= 0 && step < VECTORS_STEPS);
    const json_t *batch = json_array_get(vectors_at(vectors, "batches"), (size_t)step);
    return ints_of(key == NULL ? batch : json_object_get(batch, key), out_count);
}

void vectors_open(struct vectors *vectors, const char *name)
{
    char path[PATH_BYTES];
    json_error_t problem;
    (void)snprintf(path, sizeof(path), "tests/vectors/%s.json", name);
    *vectors = (struct vectors){.name = name, .document = json_load_file(path, 0, &problem)};
    if (vectors->document == NULL)
        fail_msg("%s:%d: %s", path, problem.line, problem.text);
    const json_t *loss = vectors_at(vectors, "loss");
    assert_int_equal(json_array_size(loss), VECTORS_STEPS);
    assert_int_equal(json_array_size(vectors_at(vectors, "batches")), VECTORS_STEPS);
    for (size_t step = 0; step < VECTORS_STEPS; step++)
        vectors->loss[step] = number_at(loss, step);
    vectors->loss_tolerance =
        TOLERANCE_TIMES * json_number_value(vectors_at(vectors, "float32_is_off_by.loss"));
    vectors->parameter_tolerance =
        TOLERANCE_TIMES * json_number_value(vectors_at(vectors, "float32_is_off_by.parameters"));
}

void vectors_close(struct vectors *vectors)
{
    json_decref(vectors->document);
    *vectors = (struct vectors){.name = NULL};
}

/* Values of the parameter as the file has them, after a look at the shape. */
static const json_t *values_of(const struct vectors *vectors, enum vectors_when when,
                               const struct parameter *parameter)
{
    const json_t *all = json_object_get(vectors_at(vectors, "parameters"), when_names[when]);
    const json_t *tensor = json_object_get(all, parameter->name);
    const json_t *shape = json_object_get(tensor, "shape");
    if (tensor == NULL)
        fail_msg("tests/vectors/%s.json has no parameter \"%s\"", vectors->name, parameter->name);
    bool fits = json_array_size(shape) == (size_t)parameter->dims;
    for (int i = 0; fits && i < parameter->dims; i++) {
        const int ours = parameter->transposed ? parameter->dims - 1 - i : i;
        fits = json_integer_value(json_array_get(shape, (size_t)i)) == parameter->shape[ours];
    }
    const json_t *values = json_object_get(tensor, "values");
    if (!fits || json_array_size(values) != parameter->count)
        fail_msg("tests/vectors/%s.json: \"%s\" has another shape than the model's", vectors->name,
                 parameter->name);
    return values;
}

/* Where element i of the file stands in the parameter. */
static size_t place_of(const struct parameter *parameter, size_t i)
{
    if (!parameter->transposed)
        return i;
    const size_t rows = (size_t)parameter->shape[0], columns = (size_t)parameter->shape[1];
    return i % rows * columns + i / rows;
}

static void check_names(const struct vectors *vectors, enum vectors_when when, size_t table_count)
{
    const json_t *all = json_object_get(vectors_at(vectors, "parameters"), when_names[when]);
    if (json_object_size(all) != table_count)
        fail_msg("tests/vectors/%s.json has %zu parameters, the model has %zu", vectors->name,
                 json_object_size(all), table_count);
}

void vectors_load(const struct vectors *vectors, enum vectors_when when,
                  const struct parameter *table, size_t table_count, float *out_flat)
{
    check_names(vectors, when, table_count);
    for (const struct parameter *p = table; p < table + table_count; p++) {
        const json_t *values = values_of(vectors, when, p);
        for (size_t i = 0; i < p->count; i++)
            out_flat[p->offset + place_of(p, i)] = (float)number_at(values, i);
    }
}

void vectors_check(const struct vectors *vectors, enum vectors_when when,
                   const struct parameter *table, size_t table_count, const float *flat)
{
    check_names(vectors, when, table_count);
    for (const struct parameter *p = table; p < table + table_count; p++) {
        const json_t *values = values_of(vectors, when, p);
        for (size_t i = 0; i < p->count; i++) {
            const double expected = number_at(values, i);
            const double actual = (double)flat[p->offset + place_of(p, i)];
            if (!(fabs(actual - expected) <= vectors->parameter_tolerance))
                fail_msg("%s, %s: %s[%zu] is %.9g, expected %.9g within %.2g", vectors->name,
                         when_names[when], p->name, i, actual, expected,
                         vectors->parameter_tolerance);
        }
    }
}

void vectors_check_loss(const struct vectors *vectors, int step, double loss)
{
    assert_true(step >= 0 && step < VECTORS_STEPS);
    if (!(fabs(loss - vectors->loss[step]) <= vectors->loss_tolerance))
        fail_msg("%s: the loss of step %d is %.9g, expected %.9g within %.2g", vectors->name,
                 step + 1, loss, vectors->loss[step], vectors->loss_tolerance);
}
