/*
 * test_onnx.c - the file's messages nest and hold what was put in, read by a walker of this file's own;
 * what a model lacks is named. (That graphs compute what they should: tests/integration/test_onnx_runtime.)
 */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "trainer/export/onnx_model.h"

#define FILE_MAX   (64 * KIB)
#define FIELDS_MAX 64

struct fixture {
    char folder[64];
    char path[96];
    struct error err;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.err = {.status = STATUS_OK}};
    (void)snprintf(fixture.folder, sizeof(fixture.folder), "/tmp/reprise-onnx-XXXXXX");
    assert_non_null(mkdtemp(fixture.folder));
    (void)snprintf(fixture.path, sizeof(fixture.path), "%s/model.onnx", fixture.folder);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    const struct fixture *f = *state;
    return fs_remove_tree(f->folder, NULL) == STATUS_OK ? 0 : -1;
}

/* ------------------------------------------------------------------ a reader of wire format */

struct field {
    int number;
    uint64_t value;       /* of a varint */
    const uint8_t *bytes; /* NULL for numbers */
    size_t size;
};

static uint64_t read_varint(const uint8_t **at, const uint8_t *end)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        assert_true(*at < end);
        const uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return value;
    }
    fail_msg("a number of more than ten bytes");
    return 0;
}

/* The fields of a message; fails unless they fill it exactly. */
static size_t read_fields(const uint8_t *at, size_t size, struct field out[FIELDS_MAX])
{
    const uint8_t *end = at + size;
    size_t count = 0;
    while (at < end) {
        assert_true(count < FIELDS_MAX);
        const uint64_t tag = read_varint(&at, end);
        struct field *field = &out[count++];
        *field = (struct field){.number = (int)(tag >> 3)};
        if ((tag & 7) == 0) {
            field->value = read_varint(&at, end);
            continue;
        }
        assert_int_equal(tag & 7, 2); /* nothing else is in such a file */
        field->size = (size_t)read_varint(&at, end);
        assert_true(field->size <= (size_t)(end - at));
        field->bytes = at;
        at += field->size;
    }
    return count;
}

/* The n-th field of this number. */
static const struct field *find(const struct field *fields, size_t count, int number, int n)
{
    for (size_t i = 0; i < count; i++) {
        if (fields[i].number == number && n-- == 0)
            return &fields[i];
    }
    return NULL;
}

static void assert_text(const struct field *field, const char *expected)
{
    assert_non_null(field);
    assert_int_equal(field->size, strlen(expected));
    assert_memory_equal(field->bytes, expected, field->size);
}

/* ------------------------------------------------------------------ tests */

static const float weight[6] = {1.0F, 2.0F, 3.0F, -4.0F, 5.5F, 6.25F};
static const float bias[2] = {7.0F, 8.0F};
static const struct safetensors_tensor regression[] = {
    {.name = "layer0.weight", .dims = 2, .shape = {2, 3}, .values = weight, .count = 6},
    {.name = "layer0.bias", .dims = 1, .shape = {2}, .values = bias, .count = 2},
};

static struct onnx_source source_of(const struct job_spec *spec, size_t tensors)
{
    static const struct onnx_property property = {"spec_sha256", "abc"};
    return (struct onnx_source){.spec = spec,
                                .tensors = regression,
                                .tensor_count = tensors,
                                .bytes_scale = 0.5F,
                                .properties = &property,
                                .property_count = 1};
}

static void the_file_holds_nodes_and_weights_of_the_graph(void **state)
{
    struct fixture *f = *state;
    static const struct job_spec spec = {.model = {.type = MODEL_MLP}};
    const struct onnx_source source = source_of(&spec, 2);
    assert_ok(onnx_export(f->path, &source, &f->err), &f->err);
    CLEANUP(buf_clear) struct buf file;
    buf_init(&file, FILE_MAX);
    assert_ok(fs_read_file(f->path, &file, &f->err), &f->err);

    struct field model[FIELDS_MAX], graph[FIELDS_MAX], part[FIELDS_MAX];
    size_t count = read_fields((const uint8_t *)file.data, file.size, model);
    assert_int_equal(find(model, count, 1, 0)->value, ONNX_IR_VERSION);
    assert_text(find(model, count, 2, 0), "reprise-trainer");
    const struct field *property = find(model, count, 14, 0);
    assert_text(find(part, read_fields(property->bytes, property->size, part), 2, 0), "abc");

    const struct field *body = find(model, count, 7, 0);
    count = read_fields(body->bytes, body->size, graph);
    static const char *const operators[] = {"Mul", "Gemm", "Softmax"};
    for (int i = 0; i < (int)COUNT_OF(operators); i++) {
        const struct field *node = find(graph, count, 1, i);
        assert_text(find(part, read_fields(node->bytes, node->size, part), 4, 0), operators[i]);
    }
    assert_null(find(graph, count, 1, (int)COUNT_OF(operators)));
    const struct field *tensor = find(graph, count, 5, 1); /* behind the scalar */
    const size_t parts = read_fields(tensor->bytes, tensor->size, part);
    assert_text(find(part, parts, 8, 0), "layer0.weight");
    assert_int_equal(find(part, parts, 1, 0)->value, 2);
    assert_int_equal(find(part, parts, 1, 1)->value, 3);
    assert_int_equal(find(part, parts, 9, 0)->size, sizeof(weight));
    assert_memory_equal(find(part, parts, 9, 0)->bytes, weight, sizeof(weight));
}

static void a_missing_or_misshapen_tensor_is_named_and_no_file_left(void **state)
{
    struct fixture *f = *state;
    static struct job_spec spec = {.model = {.type = MODEL_MLP}};
    struct onnx_source source = source_of(&spec, 1);
    assert_fails(onnx_export(f->path, &source, &f->err), &f->err, STATUS_NOT_FOUND,
                 "tensor layer0.bias is missing");
    struct safetensors_tensor tensors[2] = {regression[0], regression[1]};
    tensors[1].shape[0] = 3;
    source = source_of(&spec, 2);
    source.tensors = tensors;
    assert_fails(onnx_export(f->path, &source, &f->err), &f->err, STATUS_CORRUPT,
                 "tensor layer0.bias has size 3 in dimension 0, expected 2");
    tensors[0].dims = 1;
    assert_fails(onnx_export(f->path, &source, &f->err), &f->err, STATUS_CORRUPT,
                 "tensor layer0.weight has 1 dimensions, expected 2");
    assert_int_equal(access(f->path, F_OK), -1);
}

static void more_weights_than_a_graph_may_have_are_refused(void **state)
{
    struct fixture *f = *state;
    struct onnx_graph *graph = NULL;
    assert_ok(onnx_graph_new("many", &graph, &f->err), &f->err);
    const int64_t shape = 2;
    for (int i = 0; i <= ONNX_TENSORS_MAX; i++)
        onnx_floats(graph, "bias", 1, &shape, bias, 2);
    const struct onnx_about about = {.text = "", .producer_version = ""};
    char expected[160];
    (void)snprintf(expected, sizeof(expected), "%s: a graph of more than %d weights", f->path,
                   ONNX_TENSORS_MAX);
    assert_fails(onnx_write(f->path, graph, &about, &f->err), &f->err, STATUS_TOO_LARGE, expected);
    onnx_graph_free(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_file_holds_nodes_and_weights_of_the_graph, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_missing_or_misshapen_tensor_is_named_and_no_file_left,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_weights_than_a_graph_may_have_are_refused, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
