/* fit_json.c - a fit as JSON and back. It is written without building a document: it may be large. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/text.h"
#include "trainer/data/fit.h"

#define FIT_NAME_BYTES_MAX (64 * KIB)

static const char *const kind_names[] = {
    [FIT_TABLE] = "table", [FIT_TEXT] = "text", [FIT_PAIRS] = "pairs", NULL};
static const char *const labels_names[] = {[FIT_LABELS_CLASSES] = "classes",
                                           [FIT_LABELS_INTEGERS] = "integers",
                                           [FIT_LABELS_NUMBERS] = "numbers",
                                           NULL};
static const char *const column_kinds[] = {
    [COLUMN_IGNORE] = "ignore", [COLUMN_NUMERIC] = "numeric", [COLUMN_CATEGORY] = "category",
    [COLUMN_TEXT] = "text",     [COLUMN_LABEL] = "label",     NULL};
static const char *const normalize_words[] = {
    [NORMALIZE_STANDARD] = "standard", [NORMALIZE_NONE] = "none", NULL};
static const char *const format_words[] = {[DATA_IDX] = "idx",
                                           [DATA_NPY] = "npy",
                                           [DATA_CSV] = "csv",
                                           [DATA_TSV] = "tsv",
                                           [DATA_TEXT] = "text",
                                           [DATA_JSONL] = "jsonl",
                                           [DATA_INTERACTIONS] = "interactions",
                                           NULL};

/* ------------------------------------------------------------------ writing */

static void write_columns(const struct data_fit *fit, struct buf *out)
{
    buf_append_text(out, ",\"columns\":[");
    for (size_t i = 0; i < fit->column_count; i++) {
        const struct fit_column *column = &fit->columns[i];
        buf_append_text(out, i == 0 ? "{\"name\":" : ",{\"name\":");
        json_append_string(out, column->name);
        buf_printf(out, ",\"kind\":\"%s\"", column_kinds[column->kind]);
        if (column->kind == COLUMN_CATEGORY)
            buf_printf(out, ",\"buckets\":%lld", (long long)column->buckets);
        buf_append_text(out, "}");
    }
    buf_append_text(out, "]");
}

/* "mean" or "std" of the numeric columns. */
static void write_numbers(const struct data_fit *fit, bool mean, struct buf *out)
{
    const char *between = "";
    buf_append_text(out, mean ? ",\"mean\":[" : ",\"std\":[");
    for (size_t i = 0; i < fit->column_count; i++) {
        if (fit->columns[i].kind != COLUMN_NUMERIC)
            continue;
        buf_append_text(out, between);
        json_append_double(out, mean ? fit->columns[i].mean : fit->columns[i].std);
        between = ",";
    }
    buf_append_text(out, "]");
}

static void write_labels(const struct data_fit *fit, struct buf *out)
{
    buf_printf(out, ",\"labels\":\"%s\"", labels_names[fit->labels]);
    if (fit->class_count == 0)
        return;
    buf_append_text(out, ",\"classes\":{");
    for (size_t i = 0; i < fit->class_count; i++) {
        if (i > 0)
            buf_append_text(out, ",");
        json_append_string(out, fit->classes[i].value);
        if (fit->classes[i].index < 0)
            buf_append_text(out, ":null");
        else
            buf_printf(out, ":%lld", (long long)fit->classes[i].index);
    }
    buf_append_text(out, "}");
}

static void write_names(const struct names *names, const char *key, struct buf *out)
{
    buf_printf(out, ",\"%s\":[", key);
    CLEANUP(buf_clear) struct buf name;
    buf_init(&name, FIT_NAME_BYTES_MAX);
    for (uint32_t i = 0; i < names->count && out->failed == STATUS_OK; i++) {
        size_t size = 0;
        const char *const text = names_at(names, i, &size);
        buf_reset(&name);
        buf_append(&name, text, size);
        buf_append_text(out, i == 0 ? "" : ",");
        json_append_string(out, name.data);
    }
    buf_append_text(out, "]");
}

static void write_skipped(const struct records_skipped *skipped, struct buf *out)
{
    buf_printf(out, ",\"skipped\":{\"records\":%lld,\"first\":[", (long long)skipped->count);
    for (int64_t i = 0; i < skipped->count && i < RECORDS_WARNINGS_MAX; i++) {
        buf_append_text(out, i == 0 ? "" : ",");
        json_append_string(out, skipped->first[i]);
    }
    buf_append_text(out, "]}");
}

void data_fit_write(const struct data_fit *fit, struct buf *out)
{
    buf_printf(out, "{\"kind\":\"%s\"", kind_names[fit->kind]);
    if (fit->skipped.count > 0)
        write_skipped(&fit->skipped, out);
    if (fit->kind == FIT_PAIRS) {
        buf_printf(out, ",\"users\":%lld,\"items\":%lld", (long long)fit->users,
                   (long long)fit->items);
        if (fit->named_users)
            write_names(&fit->user_names, "user_names", out);
        if (fit->named_items)
            write_names(&fit->item_names, "item_names", out);
        buf_append_text(out, "}");
        return;
    }
    buf_printf(out, ",\"format\":\"%s\",\"separator\":", format_words[fit->format]);
    json_append_string(out, fit->separator);
    buf_printf(out, ",\"header\":%s", fit->header ? "true" : "false");
    write_columns(fit, out);
    buf_printf(out, ",\"normalize\":\"%s\"", normalize_words[fit->normalize]);
    write_numbers(fit, true, out);
    write_numbers(fit, false, out);
    write_labels(fit, out);
    if (fit->kind == FIT_TEXT) {
        buf_printf(out, ",\"length\":%lld", (long long)fit->length);
        write_names(&fit->vocabulary, "vocabulary", out);
    }
    buf_append_text(out, "}");
}

/* ------------------------------------------------------------------ reading */

static void parse_column(const struct json_at *at, struct data_fit *fit)
{
    const struct json_at name = json_at_key(at, "name");
    const struct json_at kind = json_at_key(at, "kind");
    const struct json_at buckets = json_at_key(at, "buckets");
    struct fit_column *column = &fit->columns[fit->column_count];
    column->std = 1.0;
    (void)json_get_string_copy(&name, column->name, sizeof(column->name));
    if (!json_get_enum(&kind, column_kinds, &column->kind))
        return;
    if (column->kind == COLUMN_CATEGORY)
        (void)json_get_int(&buckets, 2, INT32_MAX, &column->buckets);
    if (column->kind == COLUMN_TEXT)
        fit->text_column = (int)fit->column_count;
    if (column->kind == COLUMN_LABEL)
        fit->label_column = (int)fit->column_count;
    fit->numeric_count += column->kind == COLUMN_NUMERIC;
    fit->category_count += column->kind == COLUMN_CATEGORY;
}

static void parse_columns(const struct json_at *root, struct data_fit *fit)
{
    const struct json_at columns = json_at_key(root, "columns");
    size_t count = 0;
    if (!json_get_array(&columns, DATA_COLUMNS_MAX, &count))
        return;
    for (size_t i = 0; i < count; i++) {
        const struct json_at column = json_at_index(&columns, i);
        if (!json_get_open_object(&column))
            return;
        parse_column(&column, fit);
        fit->column_count++;
    }
}

static void parse_numbers(const struct json_at *root, const char *key, struct data_fit *fit)
{
    const struct json_at numbers = json_at_key(root, key);
    size_t count = 0;
    size_t next = 0;
    if (!json_get_array(&numbers, DATA_COLUMNS_MAX, &count))
        return;
    for (size_t i = 0; i < fit->column_count; i++) {
        struct fit_column *column = &fit->columns[i];
        if (column->kind != COLUMN_NUMERIC)
            continue;
        const struct json_at number = json_at_index(&numbers, next++);
        const bool mean = strcmp(key, "mean") == 0;
        (void)json_get_double(&number, mean ? -HUGE_VAL : DBL_MIN, HUGE_VAL,
                              mean ? &column->mean : &column->std);
    }
    if (next != count)
        json_problem_add(&numbers, "array of a number for each of the %zu numeric columns", next);
}

static void parse_classes(const struct json_at *root, struct data_fit *fit)
{
    const struct json_at classes = json_at_key(root, "classes");
    const char *key = NULL;
    const json_t *value = NULL;
    if (!json_present(&classes) || !json_get_open_object(&classes))
        return;
    json_object_foreach(json_iterable(classes.value), key, value) {
        const struct json_at index = json_at_key(&classes, key);
        if (fit->class_count == MODEL_CLASSES_LISTED_MAX) {
            json_problem_add(&classes, "object of at most %d classes", MODEL_CLASSES_LISTED_MAX);
            return;
        }
        struct data_class *class = &fit->classes[fit->class_count++];
        class->index = -1;
        (void)text_copy(class->value, sizeof(class->value), key);
        (void)json_opt_int(&index, 0, MODEL_CLASSES_LISTED_MAX - 1, &class->index);
    }
}

/* An array of different strings, in order. */
static enum status parse_names(const struct json_at *root, const char *key, struct names *out,
                               struct error *err)
{
    const struct json_at names = json_at_key(root, key);
    size_t count = 0;
    if (!json_get_array(&names, NAMES_COUNT_MAX, &count))
        return STATUS_OK; /* a problem that is told at the end */
    for (size_t i = 0; i < count; i++) {
        const json_t *const value = json_array_get(names.value, i);
        uint32_t number = 0;
        if (!json_is_string(value))
            return error_set(err, STATUS_INVALID, "/%s/%zu: expected string", key, i);
        TRY(names_add(out, json_string_value(value), json_string_length(value), key, &number, err));
        if (number != i)
            return error_set(err, STATUS_INVALID, "/%s/%zu: comes twice", key, i);
    }
    return STATUS_OK;
}

static enum status parse_pairs(const struct json_at *root, struct data_fit *fit, struct error *err)
{
    const struct json_at users = json_at_key(root, "users");
    const struct json_at items = json_at_key(root, "items");
    const struct json_at user_names = json_at_key(root, "user_names");
    const struct json_at item_names = json_at_key(root, "item_names");
    (void)json_get_int(&users, 1, INT32_MAX, &fit->users);
    (void)json_get_int(&items, 1, INT32_MAX, &fit->items);
    fit->named_users = json_present(&user_names);
    fit->named_items = json_present(&item_names);
    if (fit->named_users) {
        TRY(parse_names(root, "user_names", &fit->user_names, err));
        if (fit->user_names.count != fit->users)
            json_problem_add(&user_names, "array of %lld names", (long long)fit->users);
    }
    if (fit->named_items) {
        TRY(parse_names(root, "item_names", &fit->item_names, err));
        if (fit->item_names.count != fit->items)
            json_problem_add(&item_names, "array of %lld names", (long long)fit->items);
    }
    return STATUS_OK;
}

static enum status parse_records(const struct json_at *root, struct data_fit *fit,
                                 struct error *err)
{
    const struct json_at format = json_at_key(root, "format");
    const struct json_at separator = json_at_key(root, "separator");
    const struct json_at header = json_at_key(root, "header");
    const struct json_at normalize = json_at_key(root, "normalize");
    const struct json_at labels = json_at_key(root, "labels");
    const struct json_at length = json_at_key(root, "length");
    int labels_index = 0;
    (void)json_get_enum(&format, format_words, &fit->format);
    (void)json_get_string_copy(&separator, fit->separator, sizeof(fit->separator));
    (void)json_get_bool(&header, &fit->header);
    (void)json_get_enum(&normalize, normalize_words, &fit->normalize);
    (void)json_get_enum(&labels, labels_names, &labels_index);
    fit->labels = (enum fit_labels)labels_index;
    parse_columns(root, fit);
    parse_numbers(root, "mean", fit);
    parse_numbers(root, "std", fit);
    parse_classes(root, fit);
    if (fit->kind == FIT_TEXT && fit->text_column < 0)
        json_problem_add(root, "a column of kind \"text\"");
    if (fit->kind != FIT_TEXT)
        return STATUS_OK;
    (void)json_get_int(&length, 1, INT32_MAX, &fit->length);
    TRY(parse_names(root, "vocabulary", &fit->vocabulary, err));
    fit->vocabulary_max = FIT_TOKEN_FIRST + (int64_t)fit->vocabulary.count;
    return STATUS_OK;
}

static void parse_skipped(const struct json_at *root, struct records_skipped *out)
{
    const struct json_at skipped = json_at_key(root, "skipped");
    if (!json_present(&skipped) || !json_get_open_object(&skipped))
        return;
    const struct json_at records = json_at_key(&skipped, "records");
    const struct json_at first = json_at_key(&skipped, "first");
    size_t count = 0;
    (void)json_get_int(&records, 1, INT64_MAX, &out->count);
    if (!json_get_array(&first, RECORDS_WARNINGS_MAX, &count))
        return;
    for (size_t i = 0; i < count; i++) {
        const struct json_at text = json_at_index(&first, i);
        (void)json_get_string_copy(&text, out->first[i], sizeof(out->first[i]));
    }
}

enum status data_fit_parse(const char *text, size_t bytes, struct data_fit **out, struct error *err)
{
    CLEANUP(json_cleanup) json_t *document = NULL;
    CLEANUP(data_fit_cleanup) struct data_fit *fit = calloc(1, sizeof(*fit));
    CLEANUP(free_cleanup) struct json_problems *problems = calloc(1, sizeof(*problems));
    if (fit == NULL || problems == NULL)
        return error_set(err, STATUS_NO_MEMORY, "what was fitted on the training part");
    TRY(json_parse(text, bytes, &document, err));
    const struct json_at root = json_at_root(document, problems);
    const struct json_at kind = json_at_key(&root, "kind");
    int kind_index = FIT_TABLE;
    fit->text_column = -1;
    fit->label_column = -1;
    if (json_get_open_object(&root) && json_get_enum(&kind, kind_names, &kind_index)) {
        fit->kind = (enum fit_kind)kind_index;
        parse_skipped(&root, &fit->skipped);
        if (fit->kind == FIT_PAIRS)
            TRY(parse_pairs(&root, fit, err));
        else
            TRY(parse_records(&root, fit, err));
    }
    TRY(json_problems_status(problems, err));
    data_fit_tell_classes(fit);
    *out = TAKE(fit);
    return STATUS_OK;
}
