/*
 * test_onnx_runtime.c - model.onnx in ONNX Runtime gives what the model gives. Node and the pinned package are
 * needed (tests/onnx); without them the tests are skipped.
 */
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "tests/integration/cluster.h"
#include "tests/integration/gang.h"
#include "tests/integration/onnx_rows.h"
#include "tests/integration/process.h"
#include "tests/integration/saved.h"
#include "trainer/export/onnx_model.h"

#define INSTALL_MS    120000
#define CHECK_MS      60000
#define TENSORS_MAX   32
#define PATH_BYTES    512
#define FAR_FLOAT64   1e-6 /* furthest that float32 may be from float64, on scores of 0..1 */
#define FAR_PREDICTED 1e-5 /* furthest from what `predict` says: both are float32 */
#define VECTORS_BYTES (1 * MIB)

struct fixture {
    char folder[64];
    bool is_ready; /* ONNX Runtime is installed */
    char tools[PATH_BYTES];
};

static bool run_quietly(const char *const *argv, int64_t timeout_ms)
{
    struct process_result result;
    process_run(argv, NULL, NULL, timeout_ms, &result);
    const bool is_fine = result.exit_code == 0;
    if (!is_fine)
        (void)fprintf(stderr, "%s: exit %d: %.400s\n", argv[0], result.exit_code, result.err.data);
    process_result_clear(&result);
    return is_fine;
}

/* Installs into BUILD/onnx, unless that was done from the same lock file. */
static bool install(struct fixture *fixture)
{
    char binary[PATH_BYTES];
    cluster_program("", binary); /* BUILD/bin/ */
    (void)snprintf(fixture->tools, sizeof(fixture->tools), "%.400s../onnx", binary);
    static const char script[] =
        "command -v node >/dev/null && command -v npm >/dev/null || exit 1\n"
        "mkdir -p \"$1\" && cp tests/onnx/*.json tests/onnx/*.mjs \"$1\" && cd \"$1\" || exit 1\n"
        "cmp -s package-lock.json installed && exit 0\n"
        "npm ci --ignore-scripts --no-audit --no-fund >/dev/null && cp package-lock.json installed";
    const char *const argv[] = {"/bin/sh", "-c", script, "sh", fixture->tools, NULL};
    return run_quietly(argv, INSTALL_MS);
}

static int set_up(void **state)
{
    static struct fixture fixture;
    process_setup();
    (void)snprintf(fixture.folder, sizeof(fixture.folder), "/tmp/reprise-onnx-XXXXXX");
    if (mkdtemp(fixture.folder) == NULL)
        return -1;
    fixture.is_ready = install(&fixture);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    const struct fixture *fixture = *state;
    return fs_remove_tree(fixture->folder, NULL) == STATUS_OK ? 0 : -1;
}

static json_t *read_json(const char *path)
{
    struct error err = {.status = STATUS_OK};
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, VECTORS_BYTES);
    json_t *json = NULL;
    if (fs_read_file(path, &text, &err) != STATUS_OK ||
        json_parse(text.data, text.size, &json, &err) != STATUS_OK)
        fail_msg("%s: %s", path, err.text);
    return json;
}

/* How far ONNX Runtime's furthest value is from the expected one. */
static double furthest(const struct fixture *fixture, const char *model, const char *rows)
{
    char script[PATH_BYTES];
    (void)snprintf(script, sizeof(script), "%.400s/check.mjs", fixture->tools);
    const char *const argv[] = {"/usr/bin/env", "node", script, model, rows, NULL};
    struct process_result result;
    process_run(argv, NULL, NULL, CHECK_MS, &result);
    if (result.exit_code != 0)
        fail_msg("%s: exit %d: %s", rows, result.exit_code, result.err.data);
    struct error err = {.status = STATUS_OK};
    CLEANUP(json_cleanup) json_t *answer = NULL;
    if (json_parse(result.out.data, result.out.size, &answer, &err) != STATUS_OK)
        fail_msg("%s: %s", result.out.data, err.text);
    process_result_clear(&result);
    const json_t *value = json_object_get(answer, "furthest");
    return json_is_number(value) ? json_number_value(value) : INFINITY;
}

/* ------------------------------------------------------------------ tests/vectors */

static int word_of(const json_t *model, const char *key, const char *const words[])
{
    const char *text = json_string_value(json_object_get(model, key));
    for (int i = 0; text != NULL && words[i] != NULL; i++) {
        if (strcmp(words[i], text) == 0)
            return i;
    }
    return 0;
}

static size_t sizes_of(const json_t *list, int64_t out[MODEL_LAYERS_MAX])
{
    for (size_t i = 0; i < json_array_size(list); i++)
        out[i] = json_integer_value(json_array_get(list, i));
    return json_array_size(list);
}

/* As much of a spec as a graph needs. */
static void read_spec(const json_t *document, struct job_spec *out)
{
    static const char *const types[] = {"mlp", "bilstm", "ncf", NULL};
    static const char *const activations[] = {"relu", "gelu", "tanh", NULL};
    static const char *const heads[] = {"softmax", "sigmoid", "linear", NULL};
    static const char *const variants[] = {"neumf", "gmf", "mlp", NULL};
    static const char *const paddings[] = {"skip", "compute", NULL};
    const json_t *model = json_object_get(document, "model");
    const json_t *records = json_object_get(document, "records");
    *out = (struct job_spec){.model = {.type = word_of(model, "type", types)}};
    out->model.mlp.activation = word_of(model, "activation", activations);
    out->model.mlp.head = word_of(model, "head", heads);
    out->model.mlp.embedding_width = json_integer_value(json_object_get(model, "embedding_width"));
    out->model.mlp.hidden_count = sizes_of(
        json_is_array(json_object_get(model, "hidden")) ? json_object_get(model, "hidden") : NULL,
        out->model.mlp.hidden);
    out->model.bilstm.head = word_of(model, "head", heads);
    out->model.bilstm.padding = word_of(model, "padding", paddings);
    out->model.bilstm.hidden = json_integer_value(json_object_get(model, "hidden"));
    out->model.bilstm.embedding = json_integer_value(json_object_get(model, "embedding"));
    out->model.ncf.variant = word_of(model, "variant", variants);
    out->model.ncf.factors = json_integer_value(json_object_get(model, "factors"));
    out->model.ncf.layer_count = sizes_of(json_object_get(model, "layers"), out->model.ncf.layers);
    out->data.train.format =
        json_object_get(records, "numeric_bytes") != NULL ? DATA_IDX : DATA_CSV;
    out->data.length = json_integer_value(json_object_get(records, "length"));
    out->data.column_count = json_array_size(json_object_get(records, "buckets"));
    for (size_t i = 0; i < out->data.column_count; i++)
        out->data.columns[i].kind = COLUMN_CATEGORY;
}

/* The parameters after 20 steps; the values are to be freed. */
static size_t read_tensors(const json_t *document, struct safetensors_tensor out[TENSORS_MAX])
{
    json_t *parameters = json_object_get(json_object_get(document, "parameters"), "after_20");
    size_t count = 0;
    const char *name;
    json_t *value;
    json_object_foreach(parameters, name, value) {
        const json_t *numbers = json_object_get(value, "values");
        struct safetensors_tensor *tensor = &out[count++];
        *tensor = (struct safetensors_tensor){.count = json_array_size(numbers)};
        (void)snprintf(tensor->name, sizeof(tensor->name), "%s", name);
        int64_t shape[MODEL_LAYERS_MAX];
        tensor->dims = (int)sizes_of(json_object_get(value, "shape"), shape);
        memcpy(tensor->shape, shape, (size_t)tensor->dims * sizeof(shape[0]));
        float *values = calloc(tensor->count, sizeof(*values));
        assert_non_null(values);
        for (size_t i = 0; i < tensor->count; i++)
            values[i] = (float)json_number_value(json_array_get(numbers, i));
        tensor->values = values;
    }
    return count;
}

static void check_vectors(const struct fixture *fixture, const char *name)
{
    char path[PATH_BYTES], model[PATH_BYTES];
    (void)snprintf(path, sizeof(path), "tests/vectors/%s.json", name);
    (void)snprintf(model, sizeof(model), "%s/model.onnx", fixture->folder);
    CLEANUP(json_cleanup) json_t *document = read_json(path);
    const json_t *records = json_object_get(document, "records");
    struct job_spec *spec = calloc(1, sizeof(*spec));
    assert_non_null(spec);
    read_spec(document, spec);
    struct safetensors_tensor tensors[TENSORS_MAX];
    static const double no_means[DATA_COLUMNS_MAX]; /* the vectors' columns are normal already */
    const struct onnx_source source = {
        .means = no_means,
        .spec = spec,
        .tensors = tensors,
        .tensor_count = read_tensors(document, tensors),
        .bytes_scale = json_object_get(records, "numeric_bytes") != NULL ? 1.0F / 255.0F : 0.0F,
        .numeric_count = (size_t)json_integer_value(json_object_get(records, "numeric_width"))};
    struct error err = {.status = STATUS_OK};
    if (onnx_export(model, &source, &err) != STATUS_OK)
        fail_msg("%s: %s", name, err.text);
    const double off = furthest(fixture, model, path);
    (void)printf("%-28s furthest from float64 %.2e\n", name, off);
    if (!(off < FAR_FLOAT64))
        fail_msg("%s: ONNX Runtime is %g off", name, off);
    for (size_t i = 0; i < source.tensor_count; i++) {
        const void *values = tensors[i].values;
        free((void *)(uintptr_t)values);
    }
    free(spec);
}

static void graphs_of_all_families_give_the_scores_of_float64(void **state)
{
    static const char *const names[] = {"mlp_relu_softmax",
                                        "mlp_gelu_sigmoid",
                                        "mlp_tanh_linear",
                                        "mlp_table_weights",
                                        "mlp_no_hidden",
                                        "ncf_gmf",
                                        "ncf_mlp",
                                        "ncf_neumf",
                                        "bilstm_sigmoid_skip",
                                        "bilstm_softmax_skip",
                                        "bilstm_sigmoid_compute"};
    const struct fixture *fixture = *state;
    if (!fixture->is_ready)
        skip();
    for (size_t i = 0; i < COUNT_OF(names); i++)
        check_vectors(fixture, names[i]);
}

/* ------------------------------------------------------------------ trained models */

/* Takes over the rows. */
static void check_rows(const struct fixture *fixture, const char *name, const char *onnx,
                       json_t *rows)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/rows.json", fixture->folder);
    assert_int_equal(json_dump_file(rows, path, JSON_COMPACT), 0);
    const size_t count = json_array_size(json_object_get(rows, "expected"));
    const double off = furthest(fixture, onnx, path);
    (void)printf("%-28s furthest of %zu from predict %.2e\n", name, count, off);
    if (count == 0 || !(off < FAR_PREDICTED))
        fail_msg("%s: ONNX Runtime is %g off", name, off);
    json_decref(rows);
}

static void raw_rows_of_a_table_give_what_predict_says(void **state)
{
    const struct fixture *fixture = *state;
    if (!fixture->is_ready)
        skip();
    struct saved saved;
    char path[SAVED_PATH_BYTES];
    saved_open(&saved, "credit-small", "table");
    (void)snprintf(path, sizeof(path), "%s/loans.csv", saved.data);
    check_rows(fixture, "credit-small", saved.onnx, onnx_rows_of_table(&saved, path));
    saved_close(&saved);
}

static void texts_give_what_predict_says_also_without_a_word(void **state)
{
    static const char *const texts[] = {
        "the account was pleasant.", "pleasant", "...", "the website remains terrible.",
        "words that nobody has ever seen, and a bank that was not slow but very friendly"};
    const struct fixture *fixture = *state;
    if (!fixture->is_ready)
        skip();
    struct saved saved;
    saved_open(&saved, "reviews-small", "text");
    check_rows(fixture, "reviews-small", saved.onnx,
               onnx_rows_of_texts(&saved, texts, COUNT_OF(texts)));
    saved_close(&saved);
}

static void pairs_give_what_predict_says(void **state)
{
    const struct fixture *fixture = *state;
    if (!fixture->is_ready)
        skip();
    struct saved saved;
    saved_open(&saved, "shop-small", "interactions");
    check_rows(fixture, "shop-small", saved.onnx, onnx_rows_of_pairs(&saved, "0,1,7"));
    saved_close(&saved);
}

static void raw_bytes_of_images_give_what_predict_says(void **state)
{
    const struct fixture *fixture = *state;
    if (!fixture->is_ready)
        skip();
    static struct gang gang;
    char model[PATH_BYTES], onnx[PATH_BYTES], plain[PATH_BYTES], command[2 * PATH_BYTES];
    const struct gang_start start = {.world_size = 1};
    gang_open(&gang);
    gang_run(&gang, &start, 0);
    (void)snprintf(model, sizeof(model), "%s/out/model.safetensors", gang.folder);
    (void)snprintf(onnx, sizeof(onnx), "%s/out/model.onnx", gang.folder);
    (void)snprintf(plain, sizeof(plain), "%s/images", gang.folder);
    (void)snprintf(command, sizeof(command), "gzip -dc '%s/t10k-images-idx3-ubyte.gz' >'%s'",
                   gang.data, plain);
    const char *const unpack[] = {"/bin/sh", "-c", command, NULL};
    assert_true(run_quietly(unpack, CHECK_MS));
    check_rows(fixture, "digits", onnx, onnx_rows_of_images(model, plain, 200));
    gang_close(&gang);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(graphs_of_all_families_give_the_scores_of_float64),
        cmocka_unit_test(raw_rows_of_a_table_give_what_predict_says),
        cmocka_unit_test(texts_give_what_predict_says_also_without_a_word),
        cmocka_unit_test(pairs_give_what_predict_says),
        cmocka_unit_test(raw_bytes_of_images_give_what_predict_says),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
