#include "tests/integration/onnx_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fs.h"
#include "trainer/data/fit.h"
#include "trainer/data/number.h"
#include "trainer/export/safetensors.h"

#define TOKENS_MAX       1024
#define IDX_HEADER_BYTES 16
#define IMAGE_BYTES      784

static void put_input(json_t *rows, const char *name, const char *type, json_t *values,
                      size_t count, size_t width)
{
    json_t *dims = width == 0 ? json_pack("[I]", (json_int_t)count)
                              : json_pack("[I,I]", (json_int_t)count, (json_int_t)width);
    json_t *input = json_pack("{s:s, s:o, s:o}", "type", type, "values", values, "dims", dims);
    assert_non_null(input);
    (void)json_object_set_new(json_object_get(rows, "inputs"), name, input);
}

static json_t *new_rows(json_t *expected)
{
    json_t *rows = json_pack("{s:{}, s:o}", "inputs", "expected", expected);
    assert_non_null(rows);
    return rows;
}

/* The field after `skip` separators of each line but the first `lines` ones, as numbers. */
static json_t *numbers_of(const char *text, int lines, int skip, char separator)
{
    json_t *numbers = json_array();
    for (const char *at = text; *at != '\0'; at = strchr(at, '\n') + 1) {
        if (lines-- > 0)
            continue;
        const char *field = at;
        for (int i = 0; i < skip; i++)
            field = strchr(field, separator) + 1;
        (void)json_array_append_new(numbers, json_real(strtod(field, NULL)));
    }
    return numbers;
}

static struct data_fit *fit_of(const char *model)
{
    struct error err = {.status = STATUS_OK};
    struct safetensors *file = NULL;
    struct data_fit *fit = NULL;
    if (safetensors_open(model, &file, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    const char *text = safetensors_metadata(file, "fit");
    assert_non_null(text);
    if (data_fit_parse(text, strlen(text), &fit, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    safetensors_close(file);
    return fit;
}

/* ------------------------------------------------------------------ tables */

struct table {
    const struct data_fit *fit;
    json_t *numeric, *category;
    size_t rows;
};

static void begin_nothing(void *context, void *part, int64_t chunk)
{
    (void)context;
    (void)part;
    (void)chunk;
}

static void end_nothing(void *part)
{
    (void)part;
}

static enum status add_row(void *context, void *part, const struct record *record,
                           struct error *err)
{
    struct table *table = context;
    float numeric[DATA_COLUMNS_MAX];
    int32_t category[DATA_COLUMNS_MAX];
    struct fit_refusal refusal;
    (void)part;
    (void)err;
    assert_true(data_encode_row(table->fit, record->cells, numeric, category, &refusal));
    int categories = 0;
    for (size_t i = 0; i < table->fit->column_count; i++) {
        float value = 0.0F;
        const struct record_cell *cell = &record->cells[i];
        if (table->fit->columns[i].kind == COLUMN_NUMERIC)
            (void)json_array_append_new(table->numeric,
                                        number_parse_float(cell->text, cell->size, &value)
                                            ? json_real((double)value)
                                            : json_null());
        if (table->fit->columns[i].kind == COLUMN_CATEGORY)
            (void)json_array_append_new(table->category, json_integer(category[categories++]));
    }
    table->rows++;
    return STATUS_OK;
}

static enum status merge_nothing(void *context, void *part, int64_t chunk, struct error *err)
{
    (void)context;
    (void)part;
    (void)chunk;
    (void)err;
    return STATUS_OK;
}

json_t *onnx_rows_of_table(const struct saved *saved, const char *file)
{
    static const struct records_pass pass = {.part_bytes = 1,
                                             .begin = begin_nothing,
                                             .record = add_row,
                                             .merge = merge_nothing,
                                             .end = end_nothing};
    static const struct records_policy strict = {.skip = false};
    const char *const words[] = {"predict", saved->model, "--data", file, NULL};
    CLEANUP(buf_clear) struct buf lines = saved_output(words, NULL);
    json_t *rows = new_rows(numbers_of(lines.data, 1, 1, ','));
    struct data_fit *fit = fit_of(saved->model);
    struct table table = {.fit = fit, .numeric = json_array(), .category = json_array()};
    const struct records_layout layout = data_fit_layout(fit);
    struct records *records = NULL;
    struct records_skipped skipped;
    struct error err = {.status = STATUS_OK};
    if (records_open(file, &layout, &records, &err) != STATUS_OK ||
        records_run(records, &pass, &table, &strict, 1, &skipped, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    records_close(records);
    put_input(rows, "numeric", "float32", table.numeric, table.rows, fit->numeric_count);
    put_input(rows, "category", "int64", table.category, table.rows, fit->category_count);
    data_fit_free(fit);
    return rows;
}

/* ------------------------------------------------------------------ the others */

json_t *onnx_rows_of_texts(const struct saved *saved, const char *const *texts, size_t count)
{
    const char *const words[] = {"predict", saved->model, "--data", "-", NULL};
    struct data_fit *fit = fit_of(saved->model);
    json_t *tokens = json_array(), *lengths = json_array();
    CLEANUP(buf_clear) struct buf input;
    buf_init(&input, SAVED_PATH_BYTES * (count + 1));
    assert_true(fit->length <= TOKENS_MAX);
    for (size_t i = 0; i < count; i++) {
        int32_t encoded[TOKENS_MAX] = {0};
        const size_t length = data_encode_text(fit, texts[i], strlen(texts[i]), encoded);
        (void)json_array_append_new(lengths, json_integer((json_int_t)length));
        for (int64_t t = 0; t < fit->length; t++)
            (void)json_array_append_new(tokens, json_integer(encoded[t]));
        buf_printf(&input, "%s\n", texts[i]);
    }
    CLEANUP(buf_clear) struct buf lines = saved_output(words, input.data);
    json_t *rows = new_rows(numbers_of(lines.data, 0, 0, '\t'));
    put_input(rows, "tokens", "int64", tokens, count, (size_t)fit->length);
    put_input(rows, "lengths", "int64", lengths, count, 0);
    data_fit_free(fit);
    return rows;
}

static json_t *integers_of(const json_t *numbers)
{
    json_t *integers = json_array();
    for (size_t i = 0; i < json_array_size(numbers); i++)
        (void)json_array_append_new(
            integers, json_integer((json_int_t)json_real_value(json_array_get(numbers, i))));
    return integers;
}

json_t *onnx_rows_of_pairs(const struct saved *saved, const char *users)
{
    const char *const words[] = {"predict", saved->model, "--users", users,
                                 "--top-k", "10000",      NULL};
    CLEANUP(buf_clear) struct buf lines = saved_output(words, NULL);
    json_t *rows = new_rows(numbers_of(lines.data, 0, 3, '\t'));
    json_t *user = numbers_of(lines.data, 0, 0, '\t'), *item = numbers_of(lines.data, 0, 2, '\t');
    const size_t count = json_array_size(user);
    put_input(rows, "user", "int64", integers_of(user), count, 0);
    put_input(rows, "item", "int64", integers_of(item), count, 0);
    json_decref(user);
    json_decref(item);
    return rows;
}

json_t *onnx_rows_of_images(const char *model, const char *path, int count)
{
    const char *const words[] = {"predict", model, "--data", path, NULL};
    CLEANUP(buf_clear) struct buf lines = saved_output(words, NULL);
    CLEANUP(buf_clear) struct buf images = saved_read("", path);
    json_t *expected = json_array(), *features = json_array();
    const char *at = strchr(lines.data, '\n') + 1;
    for (int i = 0; i < count; i++, at = strchr(at, '\n') + 1) {
        const char *field = at;
        for (int c = 0; c < 10; c++) {
            field = strchr(field, ',') + 1;
            (void)json_array_append_new(expected, json_real(strtod(field, NULL)));
        }
    }
    for (int i = 0; i < count * IMAGE_BYTES; i++)
        (void)json_array_append_new(features,
                                    json_integer((uint8_t)images.data[IDX_HEADER_BYTES + i]));
    json_t *rows = new_rows(expected);
    put_input(rows, "features", "float32", features, (size_t)count, IMAGE_BYTES);
    return rows;
}
