/* job_spec_data.c - the section "data": files, formats, and what is set aside for evaluation. */

#include <string.h>

#include "base/text.h"
#include "schema/job_spec_parts.h"

#define TEST_SHARE_DEFAULT 0.2
#define MAX_ERRORS_MAX     INT64_C(1000000000)
#define MAX_ERRORS_DEFAULT 100

const char *const data_format_names[] = {[DATA_IDX] = "idx",
                                         [DATA_NPY] = "npy",
                                         [DATA_CSV] = "csv",
                                         [DATA_TSV] = "tsv",
                                         [DATA_TEXT] = "text",
                                         [DATA_JSONL] = "jsonl",
                                         [DATA_INTERACTIONS] = "interactions",
                                         NULL};
static const char *const split_names[] = {
    [SPLIT_NONE] = "none", [SPLIT_HASH] = "hash", [SPLIT_TIME] = "time", NULL};
static const char *const policy_names[] = {
    [ON_ERROR_FAIL] = "fail", [ON_ERROR_SKIP] = "skip", NULL};
static const char *const negatives_names[] = {"ncf", NULL};

/* Two files of arrays that belong together, instead of one of records. */
static bool is_of_arrays(int format)
{
    return format == DATA_IDX || format == DATA_NPY;
}

/* ------------------------------------------------------------------ files */

/* A file below the dataset's root: no way out of it, whatever the root is. */
static bool is_relative_file(const char *path)
{
    for (const char *part = path; part != NULL;) {
        const size_t length = strcspn(part, "/");
        const bool dots =
            (length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.');
        if (length == 0 || dots)
            return false;
        part = part[length] == '/' ? part + length + 1 : NULL;
    }
    return true;
}

static void decode_file(const struct json_at *at, char out[DATA_FILE_BYTES])
{
    const char *path = NULL;
    if (!json_get_string(at, DATA_FILE_BYTES - 1, &path))
        return;
    if (!is_relative_file(path)) {
        json_problem_add(at, "file relative to the dataset's root, without \"..\"");
        return;
    }
    (void)text_copy(out, DATA_FILE_BYTES, path);
}

/* False if the format is not known: nobody can say then which other fields are right. */
static bool decode_part(const struct json_at *at, struct data_part *out)
{
    static const char *const of_arrays[] = {"format", "features", "labels", NULL};
    static const char *const of_records[] = {"format", "file", NULL};
    if (!json_get_open_object(at))
        return false;
    const struct json_at format = json_at_key(at, "format");
    if (!json_get_enum(&format, data_format_names, &out->format))
        return false;
    if (!spec_get_object(at, is_of_arrays(out->format) ? of_arrays : of_records, spec_none))
        return true;
    const struct json_at features = json_at_key(at, "features");
    const struct json_at labels = json_at_key(at, "labels");
    const struct json_at file = json_at_key(at, "file");
    if (is_of_arrays(out->format)) {
        decode_file(&features, out->features);
        decode_file(&labels, out->labels);
    } else {
        decode_file(&file, out->file);
    }
    return true;
}

static void decode_eval(const struct json_at *at, const struct data_part *train,
                        struct data_part *out)
{
    if (!json_present(at) || !decode_part(at, out) || out->format == train->format)
        return;
    const struct json_at format = json_at_key(at, "format");
    json_problem_add(&format, "\"%s\", as in \"train\"", data_format_names[train->format]);
}

/* ------------------------------------------------------------------ records */

static bool has_separator(int format)
{
    return data_format_has_columns(format) ? format != DATA_JSONL : format == DATA_INTERACTIONS;
}

static void decode_separator(const struct json_at *at, int format, char out[DATA_SEPARATOR_BYTES])
{
    const char *text = json_string_value(at->value);
    const size_t length = text == NULL ? 0 : strlen(text);
    /* A line's end and a quote have their own meaning. */
    if (length > 0 && length < DATA_SEPARATOR_BYTES && text[strcspn(text, "\r\n\"")] == '\0')
        (void)text_copy(out, DATA_SEPARATOR_BYTES, text);
    else if (json_present(at) || format == DATA_TEXT)
        json_problem_add(at, "separator of 1..%d bytes, without quotes and line ends",
                         DATA_SEPARATOR_BYTES - 1);
    else
        (void)text_copy(out, DATA_SEPARATOR_BYTES, format == DATA_CSV ? "," : "\t");
}

static void decode_lines(const struct json_at *at, struct data_spec *out)
{
    static const char *const fields[] = {"separator", "header", NULL};
    const int format = out->train.format;
    if (!has_separator(format)) {
        spec_refuse(at, fields, "the format has no lines of fields");
        return;
    }
    const struct json_at separator = json_at_key(at, "separator");
    const struct json_at header = json_at_key(at, "header");
    out->header = format == DATA_CSV;
    decode_separator(&separator, format, out->separator);
    (void)json_opt_bool(&header, &out->header);
}

static void decode_errors(const struct json_at *at, struct data_spec *out)
{
    static const char *const fields[] = {"on_error", "max_errors", NULL};
    static const char *const of_skip[] = {"max_errors", NULL};
    if (is_of_arrays(out->train.format)) {
        spec_refuse(at, fields, "the format has no records that could be skipped");
        return;
    }
    const struct json_at policy = json_at_key(at, "on_error");
    const struct json_at max_errors = json_at_key(at, "max_errors");
    if (!json_opt_enum(&policy, policy_names, &out->on_error))
        return;
    if (out->on_error != ON_ERROR_SKIP) {
        spec_refuse(at, of_skip, "\"on_error\" is not \"skip\"");
        return;
    }
    out->max_errors = MAX_ERRORS_DEFAULT;
    (void)json_opt_int(&max_errors, 0, MAX_ERRORS_MAX, &out->max_errors);
}

/* ------------------------------------------------------------------ interactions */

/* With a header a column's name, else its position: "0" is the first. */
static void decode_place(const struct json_at *at, bool header, char out[DATA_COLUMN_BYTES])
{
    const char *text = NULL;
    if (!json_present(at) || !json_get_string(at, DATA_COLUMN_BYTES - 1, &text))
        return;
    const size_t digits = strspn(text, "0123456789");
    const bool position =
        text[digits] == '\0' && (digits == 1 || digits == 2) && (digits == 1 || text[0] != '0');
    if (header ? text[0] != '\0' : position)
        (void)text_copy(out, DATA_COLUMN_BYTES, text);
    else
        json_problem_add(at, header ? "name of a column"
                                    : "position of a column, \"0\" to \"99\": there is no header");
}

static void decode_negatives(const struct json_at *at, char out[DATA_FILE_BYTES])
{
    static const char *const known[] = {"file", "format", NULL};
    if (!json_present(at) || !spec_get_object(at, known, spec_none))
        return;
    const struct json_at file = json_at_key(at, "file");
    const struct json_at format = json_at_key(at, "format");
    int ignored = 0;
    decode_file(&file, out);
    (void)json_opt_enum(&format, negatives_names, &ignored);
}

static void decode_interactions(const struct json_at *at, struct data_spec *out)
{
    static const char *const fields[] = {"user", "item", "time", "negatives", NULL};
    if (out->train.format != DATA_INTERACTIONS) {
        spec_refuse(at, fields, "the format is not \"interactions\"");
        return;
    }
    const struct json_at user = json_at_key(at, "user");
    const struct json_at item = json_at_key(at, "item");
    const struct json_at time = json_at_key(at, "time");
    const struct json_at negatives = json_at_key(at, "negatives");
    (void)text_copy(out->user, sizeof(out->user), out->header ? "user" : "0");
    (void)text_copy(out->item, sizeof(out->item), out->header ? "item" : "1");
    decode_place(&user, out->header, out->user);
    decode_place(&item, out->header, out->item);
    decode_place(&time, out->header, out->time);
    decode_negatives(&negatives, out->negatives_file);
    if (strcmp(out->user, out->item) == 0)
        json_problem_add(&item, "column other than the user's");
    if (strcmp(out->time, out->user) == 0 || strcmp(out->time, out->item) == 0)
        json_problem_add(&time, "column other than the user's and the item's");
}

/* ------------------------------------------------------------------ split */

static const struct data_column *find_column(const struct data_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->column_count; i++) {
        if (strcmp(spec->columns[i].name, name) == 0)
            return &spec->columns[i];
    }
    return NULL;
}

/* Of records with columns: a share of them, chosen by one column's value. */
static void decode_split_of_columns(const struct json_at *at, struct data_spec *out)
{
    const struct json_at column = json_at_key(at, "column");
    const struct json_at share = json_at_key(at, "test_share");
    out->split.test_share = TEST_SHARE_DEFAULT;
    if (json_get_string_copy(&column, out->split.column, sizeof(out->split.column)) &&
        find_column(out, out->split.column) == NULL)
        json_problem_add(&column, "name of one of the \"columns\"");
    if (!json_present(&share))
        return;
    const double value = json_number_value(share.value);
    if (json_is_number(share.value) && value > 0.0 && value < 1.0)
        out->split.test_share = value;
    else
        json_problem_add(&share, "number between 0 and 1, neither of them");
}

static void decode_split(const struct json_at *at, struct data_spec *out)
{
    static const char *const known[] = {"by", "column", "test_share", NULL};
    static const char *const of_columns[] = {"column", "test_share", NULL};
    if (!json_present(at))
        return;
    if (is_of_arrays(out->train.format)) {
        json_problem_add(at, "nothing, because the format has no columns to split by");
        return;
    }
    if (!spec_get_object(at, known, spec_none))
        return;
    const struct json_at by = json_at_key(at, "by");
    int by_index = 0;
    if (!json_get_enum(&by, &split_names[SPLIT_HASH], &by_index))
        return;
    out->split.by = by_index + SPLIT_HASH;
    if (data_format_has_columns(out->train.format)) {
        decode_split_of_columns(at, out);
        return;
    }
    spec_refuse(at, of_columns, "of interactions one item a user is set aside");
    if (out->split.by == SPLIT_TIME && out->time[0] == '\0')
        json_problem_add(&by, "\"hash\", because \"time\" names no column");
}

/* ------------------------------------------------------------------ the section */

void data_spec_decode(const struct json_at *at, struct data_spec *out)
{
    static const char *const known[] = {
        "train",     "eval",       "root",   "separator", "header",     "columns",
        "classes",   "normalize",  "length", "user",      "item",       "time",
        "negatives", "vocabulary", "split",  "on_error",  "max_errors", NULL};
    if (!spec_get_object(at, known, spec_none))
        return;
    const struct json_at train = json_at_key(at, "train");
    const struct json_at eval = json_at_key(at, "eval");
    const struct json_at root = json_at_key(at, "root");
    const struct json_at split = json_at_key(at, "split");
    const struct json_at negatives = json_at_key(at, "negatives");
    (void)spec_get_name(&root, out->root);
    if (!decode_part(&train, &out->train))
        return;
    decode_eval(&eval, &out->train, &out->eval);
    decode_lines(at, out);
    data_columns_decode(at, out);
    decode_interactions(at, out);
    decode_split(&split, out);
    decode_errors(at, out);
    if (json_present(&eval) && json_present(&split))
        json_problem_add(&split, "nothing, because \"eval\" is given too");
    if (out->negatives_file[0] != '\0' && !json_present(&eval) && !json_present(&split))
        json_problem_add(&negatives, "nothing, because there is neither \"eval\" nor \"split\"");
}

/* ------------------------------------------------------------------ encoding */

static json_t *text_or_null(const char *text)
{
    return text[0] == '\0' ? json_null() : json_string(text);
}

static json_t *encode_part(const struct data_part *part)
{
    const char *format = data_format_names[part->format];
    if (is_of_arrays(part->format))
        return json_pack("{s:s, s:s, s:s}", "format", format, "features", part->features, "labels",
                         part->labels);
    return json_pack("{s:s, s:s}", "format", format, "file", part->file);
}

static json_t *encode_split(const struct data_spec *spec)
{
    if (spec->split.by == SPLIT_NONE)
        return json_null();
    json_t *out = json_pack("{s:s}", "by", split_names[spec->split.by]);
    if (data_format_has_columns(spec->train.format)) {
        spec_set(&out, "column", json_string(spec->split.column));
        spec_set(&out, "test_share", json_real(spec->split.test_share));
    }
    return out;
}

static void encode_interactions(const struct data_spec *spec, json_t **object)
{
    const char *file = spec->negatives_file;
    spec_set(object, "user", json_string(spec->user));
    spec_set(object, "item", json_string(spec->item));
    spec_set(object, "time", text_or_null(spec->time));
    spec_set(object, "negatives",
             file[0] == '\0' ? json_null()
                             : json_pack("{s:s, s:s}", "file", file, "format", "ncf"));
}

json_t *data_spec_encode(const struct data_spec *spec)
{
    const int format = spec->train.format;
    const bool has_eval = spec->eval.features[0] != '\0' || spec->eval.file[0] != '\0';
    json_t *out = json_pack("{s:o, s:o, s:s}", "train", encode_part(&spec->train), "eval",
                            has_eval ? encode_part(&spec->eval) : json_null(), "root", spec->root);
    if (is_of_arrays(format))
        return out;
    if (has_separator(format)) {
        spec_set(&out, "separator", json_string(spec->separator));
        spec_set(&out, "header", json_boolean(spec->header));
    }
    if (data_format_has_columns(format))
        data_columns_encode(spec, &out);
    else
        encode_interactions(spec, &out);
    spec_set(&out, "split", encode_split(spec));
    spec_set(&out, "on_error", json_string(policy_names[spec->on_error]));
    if (spec->on_error == ON_ERROR_SKIP)
        spec_set(&out, "max_errors", json_integer(spec->max_errors));
    return out;
}
