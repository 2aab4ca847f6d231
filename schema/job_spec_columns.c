/* job_spec_columns.c - the fields of "data" for formats whose records have columns. */

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "schema/job_spec_parts.h"

#define BUCKETS_MAX        (1 << 24)
#define BUCKETS_DEFAULT    1024
#define VOCABULARY_MIN     3 /* row 0 is padding, row 1 every other word */
#define VOCABULARY_MAX     (1 << 24)
#define VOCABULARY_DEFAULT 10000
#define LENGTH_MAX         65536
#define LENGTH_DEFAULT     100

static const char *const column_kind_names[] = {
    [COLUMN_IGNORE] = "ignore", [COLUMN_NUMERIC] = "numeric", [COLUMN_CATEGORY] = "category",
    [COLUMN_TEXT] = "text",     [COLUMN_LABEL] = "label",     NULL};
static const char *const normalize_names[] = {
    [NORMALIZE_STANDARD] = "standard", [NORMALIZE_NONE] = "none", NULL};

bool data_format_has_columns(int format)
{
    return format == DATA_CSV || format == DATA_TSV || format == DATA_TEXT || format == DATA_JSONL;
}

size_t data_columns_of(const struct data_spec *spec, enum column_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < spec->column_count; i++)
        count += spec->columns[i].kind == (int)kind ? 1 : 0;
    return count;
}

/* ------------------------------------------------------------------ decoding */

/* Words of people, kept as they are; no control character, so that they can be shown. */
static bool is_name(const char *text)
{
    const size_t length = text == NULL ? 0 : strlen(text);
    if (length == 0 || length >= DATA_COLUMN_BYTES)
        return false;
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return false;
    }
    return true;
}

static void decode_column(const struct json_at *at, struct data_column *out)
{
    static const char *const known[] = {"name", "kind", "buckets", NULL};
    static const char *const of_category[] = {"buckets", NULL};
    if (!spec_get_object(at, known, spec_none))
        return;
    const struct json_at name = json_at_key(at, "name");
    const struct json_at kind = json_at_key(at, "kind");
    const struct json_at buckets = json_at_key(at, "buckets");
    if (is_name(json_string_value(name.value)))
        (void)text_copy(out->name, sizeof(out->name), json_string_value(name.value));
    else
        json_problem_add(&name, "name of 1..%d bytes", DATA_COLUMN_BYTES - 1);
    if (!json_get_enum(&kind, column_kind_names, &out->kind))
        return;
    if (out->kind != COLUMN_CATEGORY) {
        spec_refuse(at, of_category, "the column's kind is not \"category\"");
        return;
    }
    out->buckets = BUCKETS_DEFAULT;
    (void)json_opt_int(&buckets, 2, BUCKETS_MAX, &out->buckets);
}

/* The first column that has this name too, or `last` itself. */
static size_t first_of_name(const struct data_spec *spec, size_t last)
{
    for (size_t i = 0; i < last; i++) {
        if (strcmp(spec->columns[i].name, spec->columns[last].name) == 0)
            return i;
    }
    return last;
}

static void decode_columns(const struct json_at *at, struct data_spec *out)
{
    size_t count = 0;
    if (!json_get_array(at, DATA_COLUMNS_MAX, &count))
        return;
    for (size_t i = 0; i < count; i++) {
        const struct json_at column = json_at_index(at, i);
        const struct json_at name = json_at_key(&column, "name");
        decode_column(&column, &out->columns[i]);
        const size_t first = first_of_name(out, i);
        if (first < i && out->columns[i].name[0] != '\0')
            json_problem_add(&name, "name of its own, not that of column %zu", first);
    }
    out->column_count = count;
    if (data_columns_of(out, COLUMN_LABEL) != 1)
        json_problem_add(at, "array with exactly one column of kind \"label\", of which it has %zu",
                         data_columns_of(out, COLUMN_LABEL));
}

static int compare_classes(const void *a, const void *b)
{
    const struct data_class *left = a;
    const struct data_class *right = b;
    if (left->index != right->index)
        return left->index < right->index ? -1 : 1;
    return strcmp(left->value, right->value);
}

static bool get_class(const struct json_at *at, int64_t *out)
{
    *out = DATA_CLASS_LEFT_OUT;
    return json_is_null(at->value) || json_get_int(at, 0, MODEL_CLASSES_LISTED_MAX - 1, out);
}

/* The object has each value once; several may mean the same class, and null leaves records out. */
static void decode_classes(const struct json_at *at, struct data_spec *out)
{
    if (!json_present(at) || !json_get_open_object(at))
        return;
    const size_t count = json_object_size(at->value);
    if (count < 2 || count > MODEL_CLASSES_LISTED_MAX) {
        json_problem_add(at, "object of 2..%d values", MODEL_CLASSES_LISTED_MAX);
        return;
    }
    const char *key = NULL;
    const json_t *value = NULL;
    json_object_foreach(json_iterable(at->value), key, value) {
        const struct json_at index = json_at_key(at, key);
        struct data_class *class = &out->classes[out->class_count];
        if (!is_name(key))
            json_problem_add(&index, "value of 1..%d bytes", DATA_COLUMN_BYTES - 1);
        else if (get_class(&index, &class->index))
            out->class_count += text_copy(class->value, sizeof(class->value), key) ? 1 : 0;
    }
    qsort(out->classes, out->class_count, sizeof(out->classes[0]), compare_classes);
}

static void decode_of_kinds(const struct json_at *at, struct data_spec *out)
{
    static const char *const of_numbers[] = {"normalize", NULL};
    static const char *const of_words[] = {"vocabulary", "length", NULL};
    const struct json_at normalize = json_at_key(at, "normalize");
    const struct json_at vocabulary = json_at_key(at, "vocabulary");
    const struct json_at length = json_at_key(at, "length");
    if (data_columns_of(out, COLUMN_NUMERIC) > 0)
        (void)json_opt_enum(&normalize, normalize_names, &out->normalize);
    else
        spec_refuse(at, of_numbers, "there is no column of kind \"numeric\"");
    if (data_columns_of(out, COLUMN_TEXT) == 0) {
        spec_refuse(at, of_words, "there is no column of kind \"text\"");
        return;
    }
    out->vocabulary = VOCABULARY_DEFAULT;
    out->length = LENGTH_DEFAULT;
    (void)json_opt_int(&vocabulary, VOCABULARY_MIN, VOCABULARY_MAX, &out->vocabulary);
    (void)json_opt_int(&length, 1, LENGTH_MAX, &out->length);
}

void data_columns_decode(const struct json_at *data, struct data_spec *out)
{
    static const char *const fields[] = {"columns",    "classes", "normalize",
                                         "vocabulary", "length",  NULL};
    if (!data_format_has_columns(out->train.format)) {
        spec_refuse(data, fields, "the format has no named columns");
        return;
    }
    const struct json_at columns = json_at_key(data, "columns");
    const struct json_at classes = json_at_key(data, "classes");
    decode_columns(&columns, out);
    decode_classes(&classes, out);
    decode_of_kinds(data, out);
}

/* ------------------------------------------------------------------ encoding */

static json_t *encode_columns(const struct data_spec *spec)
{
    json_t *columns = json_array();
    for (size_t i = 0; i < spec->column_count; i++) {
        const struct data_column *column = &spec->columns[i];
        json_t *out =
            json_pack("{s:s, s:s}", "name", column->name, "kind", column_kind_names[column->kind]);
        if (column->kind == COLUMN_CATEGORY)
            spec_set(&out, "buckets", json_integer(column->buckets));
        (void)json_array_append_new(columns, out);
    }
    return columns;
}

static json_t *encode_classes(const struct data_spec *spec)
{
    if (spec->class_count == 0)
        return json_null();
    json_t *classes = json_object();
    for (size_t i = 0; i < spec->class_count; i++)
        spec_set(&classes, spec->classes[i].value,
                 spec->classes[i].index == DATA_CLASS_LEFT_OUT
                     ? json_null()
                     : json_integer(spec->classes[i].index));
    return classes;
}

void data_columns_encode(const struct data_spec *spec, json_t **object)
{
    spec_set(object, "columns", encode_columns(spec));
    spec_set(object, "classes", encode_classes(spec));
    if (data_columns_of(spec, COLUMN_NUMERIC) > 0)
        spec_set(object, "normalize", json_string(normalize_names[spec->normalize]));
    if (data_columns_of(spec, COLUMN_TEXT) > 0) {
        spec_set(object, "vocabulary", json_integer(spec->vocabulary));
        spec_set(object, "length", json_integer(spec->length));
    }
}
