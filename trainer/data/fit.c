/* fit.c - from a spec to an empty fit, and from cells to what models take. */
#include "trainer/data/fit.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/text.h"
#include "trainer/data/number.h"
#include "trainer/data/words.h"

#define EXPECTED_NUMBER "a number"
#define EXPECTED_INTEGER \
    "one of the model's classes as an integer from 0 on (\"classes\" names others)"

void data_fit_free(struct data_fit *fit)
{
    if (fit == NULL)
        return;
    names_clear(&fit->vocabulary);
    names_clear(&fit->user_names);
    names_clear(&fit->item_names);
    free(fit);
}

void data_fit_cleanup(struct data_fit *const *fit)
{
    data_fit_free(*fit);
}

static void add_column(struct data_fit *fit, const struct data_column *column)
{
    if (column->kind == COLUMN_LABEL)
        fit->label_column = (int)fit->column_count;
    if (column->kind == COLUMN_TEXT)
        fit->text_column = (int)fit->column_count;
    fit->numeric_count += column->kind == COLUMN_NUMERIC;
    fit->category_count += column->kind == COLUMN_CATEGORY;
    struct fit_column *const out = &fit->columns[fit->column_count++];
    *out = (struct fit_column){.kind = column->kind, .buckets = column->buckets, .std = 1.0};
    (void)text_copy(out->name, sizeof(out->name), column->name);
}

void data_fit_tell_classes(struct data_fit *fit)
{
    char values[FIT_CLASSES_TEXT_BYTES / 2] = "";
    size_t used = 0;
    for (size_t i = 0; i < fit->class_count && used < sizeof(values); i++)
        used += (size_t)snprintf(values + used, sizeof(values) - used, "%s\"%s\"",
                                 i == 0 ? "" : ", ", fit->classes[i].value);
    text_drop_partial(values);
    text_make_printable(values);
    (void)snprintf(fit->classes_text, sizeof(fit->classes_text),
                   "one of the values of \"classes\" (%s%s)", values,
                   used < sizeof(values) ? "" : "...");
}

enum status data_fit_new(const struct data_spec *spec, struct data_fit **out, struct error *err)
{
    CLEANUP(data_fit_cleanup) struct data_fit *fit = calloc(1, sizeof(*fit));
    if (fit == NULL)
        return error_set(err, STATUS_NO_MEMORY, "what is fitted on the training part");
    fit->format = spec->train.format;
    (void)text_copy(fit->separator, sizeof(fit->separator), spec->separator);
    fit->header = spec->header;
    fit->text_column = -1;
    fit->label_column = -1;
    for (size_t i = 0; i < spec->column_count; i++)
        add_column(fit, &spec->columns[i]);
    fit->kind = spec->train.format == DATA_INTERACTIONS ? FIT_PAIRS
                : fit->text_column >= 0                 ? FIT_TEXT
                                                        : FIT_TABLE;
    fit->normalize = spec->normalize;
    memcpy(fit->classes, spec->classes, spec->class_count * sizeof(spec->classes[0]));
    fit->class_count = spec->class_count;
    fit->labels = spec->class_count > 0     ? FIT_LABELS_CLASSES
                  : spec->label_classes > 0 ? FIT_LABELS_INTEGERS
                                            : FIT_LABELS_NUMBERS;
    data_fit_tell_classes(fit);
    fit->label_classes = spec->label_classes;
    fit->vocabulary_max = spec->vocabulary;
    fit->length = spec->length;
    *out = TAKE(fit);
    return STATUS_OK;
}

struct records_layout data_fit_layout(const struct data_fit *fit)
{
    struct records_layout layout = {
        .format = fit->format,
        .separator = fit->separator,
        .header = fit->header,
        .absorbing = fit->format == DATA_TEXT ? fit->text_column : -1,
        .count = fit->column_count,
    };
    for (size_t i = 0; i < fit->column_count; i++)
        layout.names[i] = fit->columns[i].name;
    return layout;
}

/* ------------------------------------------------------------------ rows */

static float within_float(double value)
{
    if (value > (double)FLT_MAX)
        return FLT_MAX;
    return value < -(double)FLT_MAX ? -FLT_MAX : (float)value;
}

/* As it stands; NaN for one that is missing. False for what is no number. */
static bool read_number(const struct record_cell *cell, float *out)
{
    if (number_parse_float(cell->text, cell->size, out))
        return true;
    *out = NAN;
    return number_is_missing(cell->text, cell->size);
}

static bool read_numbers(const struct data_fit *fit, const struct record_cell *cells,
                         float *numbers, struct fit_refusal *refusal)
{
    for (size_t i = 0; i < fit->column_count; i++) {
        if (fit->columns[i].kind == COLUMN_NUMERIC && !read_number(&cells[i], numbers++)) {
            *refusal = (struct fit_refusal){i, EXPECTED_NUMBER};
            return false;
        }
    }
    return true;
}

void data_encode_numbers(const struct data_fit *fit, const float *numbers, float *numeric)
{
    for (size_t i = 0; i < fit->column_count; i++) {
        const struct fit_column *column = &fit->columns[i];
        if (column->kind != COLUMN_NUMERIC)
            continue;
        const double value = isnan(*numbers) ? column->mean : (double)*numbers;
        numbers++;
        *numeric++ = fit->normalize == NORMALIZE_STANDARD
                         ? within_float((value - column->mean) / column->std)
                         : (float)value;
    }
}

static int32_t encode_category(const struct fit_column *column, const struct record_cell *cell)
{
    if (cell->size == 0)
        return 0;
    const uint64_t hash = XXH3_64bits(cell->text, cell->size) >> 32;
    return (int32_t)(1 + (hash * (uint64_t)(column->buckets - 1) >> 32)); /* as hash % n, faster */
}

void data_encode_categories(const struct data_fit *fit, const struct record_cell *cells,
                            int32_t *category)
{
    for (size_t i = 0; i < fit->column_count; i++) {
        if (fit->columns[i].kind == COLUMN_CATEGORY)
            *category++ = encode_category(&fit->columns[i], &cells[i]);
    }
}

bool data_encode_row(const struct data_fit *fit, const struct record_cell *cells, float *numeric,
                     int32_t *category, struct fit_refusal *refusal)
{
    float numbers[DATA_COLUMNS_MAX];
    if (!read_numbers(fit, cells, numbers, refusal))
        return false;
    data_encode_numbers(fit, numbers, numeric);
    data_encode_categories(fit, cells, category);
    return true;
}

/* ------------------------------------------------------------------ texts */

static void reverse(int32_t *tokens, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        const int32_t token = tokens[i];
        tokens[i] = tokens[count - 1 - i];
        tokens[count - 1 - i] = token;
    }
}

size_t data_encode_text(const struct data_fit *fit, const char *text, size_t size, int32_t *tokens)
{
    const size_t length = (size_t)fit->length;
    size_t count = 0;
    struct word_cursor cursor;
    words_begin(&cursor, text, size);
    for (; words_next(&cursor); count++) { /* a ring: the last ones stay */
        const int64_t number = names_find(&fit->vocabulary, cursor.word, cursor.size);
        tokens[count % length] = number < 0 ? FIT_TOKEN_OTHER : (int32_t)(FIT_TOKEN_FIRST + number);
    }
    if (count == 0) {
        tokens[0] = FIT_TOKEN_PADDING;
        return 1;
    }
    if (count <= length)
        return count;
    const size_t oldest = count % length; /* turn the ring until it comes first */
    reverse(tokens, oldest);
    reverse(tokens + oldest, length - oldest);
    reverse(tokens, length);
    return length;
}

/* ------------------------------------------------------------------ labels */

static bool encode_class(const struct data_fit *fit, const struct record_cell *cell,
                         struct fit_label *out)
{
    for (size_t i = 0; i < fit->class_count; i++) {
        const char *const value = fit->classes[i].value;
        if (strlen(value) == cell->size && memcmp(value, cell->text, cell->size) == 0) {
            *out = (struct fit_label){.index = (int32_t)fit->classes[i].index};
            return true;
        }
    }
    return false;
}

/* A class as a number, which may have been written as one with a fraction: "1.0". */
static bool encode_integer(const struct data_fit *fit, const struct record_cell *cell,
                           struct fit_label *out)
{
    float number = 0.0F;
    int64_t integer = 0;
    if (!number_parse_int(cell->text, cell->size, &integer)) {
        if (!number_parse_float(cell->text, cell->size, &number) || number < 0.0F ||
            number >= (float)fit->label_classes || number != floorf(number))
            return false;
        integer = (int64_t)number;
    }
    if (integer < 0 || integer >= fit->label_classes)
        return false;
    *out = (struct fit_label){.index = (int32_t)integer};
    return true;
}

bool data_encode_label(const struct data_fit *fit, const struct record_cell *cell,
                       struct fit_label *out, struct fit_refusal *refusal)
{
    float number = 0.0F;
    refusal->column = (size_t)fit->label_column;
    switch (fit->labels) {
    case FIT_LABELS_CLASSES:
        refusal->expected = fit->classes_text;
        return encode_class(fit, cell, out);
    case FIT_LABELS_INTEGERS:
        refusal->expected = EXPECTED_INTEGER;
        return encode_integer(fit, cell, out);
    case FIT_LABELS_NUMBERS:
    default:
        refusal->expected = EXPECTED_NUMBER;
        if (!number_parse_float(cell->text, cell->size, &number))
            return false;
        *out = (struct fit_label){.number = number};
        return true;
    }
}

bool data_check_record(const struct data_fit *fit, const struct record_cell *cells, float *numbers,
                       bool *out_left_out, struct fit_refusal *refusal)
{
    *out_left_out = false;
    if (!read_numbers(fit, cells, numbers, refusal))
        return false;
    if (fit->text_column >= 0 && cells[fit->text_column].absent) {
        *refusal = (struct fit_refusal){(size_t)fit->text_column, "a text"};
        return false;
    }
    if (fit->label_column < 0)
        return true;
    struct fit_label label = {.index = 0};
    const bool known = data_encode_label(fit, &cells[fit->label_column], &label, refusal);
    *out_left_out = known && label.index < 0;
    return known;
}

const char *data_class_name(const struct data_fit *fit, int64_t index)
{
    for (size_t i = 0; i < fit->class_count; i++) {
        if (fit->classes[i].index == index)
            return fit->classes[i].value;
    }
    return NULL;
}

/* ------------------------------------------------------------------ users and items */

static int64_t encode_id(const struct names *names, bool named, int64_t count, const char *text,
                         size_t size)
{
    int64_t number = -1;
    if (named)
        return names_find(names, text, size);
    if (!number_parse_int(text, size, &number) || number < 0 || number >= count)
        return -1;
    return number;
}

int64_t data_encode_user(const struct data_fit *fit, const char *text, size_t size)
{
    return encode_id(&fit->user_names, fit->named_users, fit->users, text, size);
}

int64_t data_encode_item(const struct data_fit *fit, const char *text, size_t size)
{
    return encode_id(&fit->item_names, fit->named_items, fit->items, text, size);
}

static void write_id(const struct names *names, bool named, int64_t number, char out[DATA_ID_BYTES])
{
    if (!named) {
        (void)snprintf(out, DATA_ID_BYTES, "%lld", (long long)number);
        return;
    }
    size_t size = 0;
    const char *const text = names_at(names, (uint32_t)number, &size);
    (void)snprintf(out, DATA_ID_BYTES, "%.*s", (int)size, text);
    text_drop_partial(out);
}

void data_user_name(const struct data_fit *fit, int64_t user, char out[DATA_ID_BYTES])
{
    assert(user >= 0 && user < fit->users);
    write_id(&fit->user_names, fit->named_users, user, out);
}

void data_item_name(const struct data_fit *fit, int64_t item, char out[DATA_ID_BYTES])
{
    assert(item >= 0 && item < fit->items);
    write_id(&fit->item_names, fit->named_items, item, out);
}
