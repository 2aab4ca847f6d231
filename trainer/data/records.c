/* records.c - which field of a file's records is which column, and one record after the other. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/fs.h"
#include "base/text.h"
#include "trainer/data/number.h"
#include "trainer/data/records_private.h"

#define HEADER_TEXT_BYTES 200 /* of the names that an error shows */

void records_close(struct records *records)
{
    free(records);
}

void records_cleanup(struct records *const *records)
{
    records_close(*records);
}

const char *records_path(const struct records *records)
{
    return records->path;
}

enum status records_changed(const struct records *records, struct error *err)
{
    return error_set(err, STATUS_CONFLICT, "%s changed while it was read", records->path);
}

/* ------------------------------------------------------------------ errors */

/* A value as it can be shown: cut, and nothing in it that a terminal would obey. */
static void show_value(const char *text, size_t size, char out[RECORDS_GOT_BYTES + 8])
{
    const size_t kept = size < RECORDS_GOT_BYTES ? size : RECORDS_GOT_BYTES;
    char copy[RECORDS_GOT_BYTES + 1];
    for (size_t i = 0; i < kept; i++)
        copy[i] = text[i] == '\0' ? '?' : text[i];
    copy[kept] = '\0';
    if (kept < size)
        text_drop_partial(copy);
    text_make_printable(copy);
    (void)snprintf(out, RECORDS_GOT_BYTES + 8, "\"%s%s\"", copy, kept < size ? "..." : "");
}

/* Words where a value should be, in a first line that is taken as a record: names of columns, most likely. */
static const char *hint_of_header(const struct record *record, const struct record_cell *cell)
{
    const bool wordy =
        cell->size > 0 &&
        (((cell->text[0] | 0x20) >= 'a' && (cell->text[0] | 0x20) <= 'z') || cell->text[0] == '_');
    if (record->line > 1 || record->records->layout.header || !wordy)
        return "";
    return "; with \"header\": true line 1 is the names of the columns";
}

enum status record_refuse(const struct record *record, size_t column, const char *expected,
                          struct error *err)
{
    const struct records *records = record->records;
    const struct record_cell *cell = &record->cells[column];
    char got[RECORDS_GOT_BYTES + 8] = "nothing";
    if (!cell->absent && cell->size > 0)
        show_value(cell->text, cell->size, got);
    if (records->layout.format == DATA_JSONL)
        return error_set(err, STATUS_INVALID, "%s:%lld: %s: expected %s, got %s", records->path,
                         (long long)record->line, records->layout.names[column], expected, got);
    return error_set(err, STATUS_INVALID, "%s:%lld:%zu (%s): expected %s, got %s%s", records->path,
                     (long long)record->line, records->positions[column] + 1,
                     records->layout.names[column], expected, got, hint_of_header(record, cell));
}

/* The separator as an error shows it. */
static void show_separator(const struct records *records, char out[DATA_SEPARATOR_BYTES + 2])
{
    const char *const separator = records->layout.separator;
    (void)snprintf(out, DATA_SEPARATOR_BYTES + 2, separator[0] == '\t' ? "tab" : "\"%s\"",
                   separator);
}

static enum status refuse_count(const struct records_reader *reader, size_t count,
                                struct error *err)
{
    const struct records *records = reader->records;
    char why[40] = "";
    char separator[DATA_SEPARATOR_BYTES + 2];
    show_separator(records, separator);
    if (count == 1)
        (void)snprintf(why, sizeof(why), " by the separator %s", separator);
    else if (count == records->fields_max + 1 && reader->fields[count - 1].size == 0)
        (void)snprintf(why, sizeof(why), ", the last one empty");
    return error_set(err, STATUS_INVALID, "%s:%lld: expected %s%zu fields, got %zu%s",
                     records->path, (long long)reader->cursor.line,
                     records->fields_max > records->fields_min ? "at least " : "",
                     records->fields_min, count, why);
}

/* ------------------------------------------------------------------ one record */

void records_reader_begin(struct records_reader *reader, const struct records *records,
                          struct chunk *chunk)
{
    reader->records = records;
    reader->record =
        (struct record){.records = records, .chunk = chunk->number, .cells = reader->cells};
    csv_begin(&reader->cursor, &records->dialect, chunk->bytes, chunk->size, chunk->first_line);
}

static enum status read_fields(struct records_reader *reader, size_t count, struct error *err)
{
    const struct records *records = reader->records;
    if (count < records->fields_min || count > records->fields_max)
        return refuse_count(reader, count, err);
    for (size_t i = 0; i < records->layout.count; i++) {
        const struct csv_field *field = &reader->fields[records->positions[i]];
        reader->cells[i] = (struct record_cell){.text = field->text, .size = field->size};
    }
    return STATUS_OK;
}

static enum status read_json(struct records_reader *reader, struct error *err)
{
    const struct records *records = reader->records;
    struct jsonl_problem problem;
    /* The line is the chunk's, whose owner this thread is; csv.h gives it out as constant. */
    char *const line = reader->cursor.record;
    if (!jsonl_read(line, reader->fields[0].size, records->layout.names, records->layout.count,
                    reader->values, &problem))
        return error_set(
            err, STATUS_INVALID, "%s:%lld: byte %zu: expected a JSON object on one line, got %s",
            records->path, (long long)reader->cursor.line, problem.at + 1, problem.what);
    for (size_t i = 0; i < records->layout.count; i++)
        reader->cells[i] = (struct record_cell){reader->values[i].text, reader->values[i].size,
                                                reader->values[i].absent};
    return STATUS_OK;
}

static const char *find_last(const char *begin, const char *end, const char *separator,
                             size_t width)
{
    for (ptrdiff_t at = end - begin - (ptrdiff_t)width; at >= 0; at--) {
        if (memcmp(begin + at, separator, width) == 0)
            return begin + at;
    }
    return NULL;
}

/*
 * The line's fields where the absorbing one takes all separators that the others do not need: those
 * before it are counted from the left, those behind it from the right. Returns their number.
 */
static size_t split_line(const struct records *records, struct csv_field *fields)
{
    const char *begin = fields[0].text;
    const char *end = begin + fields[0].size;
    const char *const separator = records->layout.separator;
    const size_t width = strlen(separator);
    const size_t before = records->absorbing;
    const size_t behind = records->fields_max - 1 - before;
    for (size_t i = 0; i < before; i++) {
        const char *const found = memmem(begin, (size_t)(end - begin), separator, width);
        if (found == NULL)
            return i + 1;
        fields[i] = (struct csv_field){begin, (size_t)(found - begin)};
        begin = found + width;
    }
    for (size_t i = 0; i < behind; i++) {
        const char *const found = find_last(begin, end, separator, width);
        if (found == NULL)
            return before + i + 1;
        fields[records->fields_max - 1 - i] =
            (struct csv_field){found + width, (size_t)(end - found) - width};
        end = found;
    }
    fields[before] = (struct csv_field){begin, (size_t)(end - begin)};
    return records->fields_max;
}

enum status records_reader_next(struct records_reader *reader, const struct record **out_record,
                                struct error *err)
{
    const struct records *records = reader->records;
    struct csv_problem problem;
    size_t count = 0;
    *out_record = NULL;
    if (!csv_next(&reader->cursor, reader->fields, CSV_FIELDS_MAX, &count, &problem))
        return STATUS_OK;
    reader->record.line = reader->cursor.line;
    if (problem.what != NULL)
        return error_set(err, STATUS_INVALID, "%s:%lld:%zu: %s", records->path,
                         (long long)reader->cursor.line, problem.field + 1, problem.what);
    if (records->layout.format == DATA_JSONL) {
        TRY(read_json(reader, err));
    } else {
        if (records->layout.format == DATA_TEXT)
            count = split_line(records, reader->fields);
        TRY(read_fields(reader, count, err));
    }
    *out_record = &reader->record;
    return STATUS_OK;
}

/* ------------------------------------------------------------------ columns */

static enum status choose_dialect(struct records *records, struct error *err)
{
    const struct records_layout *layout = &records->layout;
    struct csv_dialect *dialect = &records->dialect;
    dialect->keeps_empty = layout->keeps_empty;
    if (layout->format == DATA_TEXT || layout->format == DATA_JSONL)
        return STATUS_OK; /* whole lines */
    const size_t width = strlen(layout->separator);
    if (width == 0 || width >= CSV_SEPARATOR_BYTES)
        return error_set(err, STATUS_INVALID, "%s: a separator of %zu bytes", records->path, width);
    (void)text_copy(dialect->separator, sizeof(dialect->separator), layout->separator);
    dialect->separator_bytes = width;
    /* Logs with commas or semicolons come from programs that quote as they do for tables. */
    const bool quoting = layout->format == DATA_CSV || (layout->format == DATA_INTERACTIONS &&
                                                        strchr(",;", dialect->separator[0]));
    dialect->quotes = quoting && width == 1;
    return STATUS_OK;
}

/* Without a header: names are field numbers, or the columns are the fields in their order. */
static enum status place_by_order(struct records *records, struct error *err)
{
    const struct records_layout *layout = &records->layout;
    records->fields_min = layout->count;
    records->fields_max = layout->count;
    for (size_t i = 0; i < layout->count; i++) {
        int64_t position = (int64_t)i;
        if (layout->by_position &&
            (!number_parse_int(layout->names[i], strlen(layout->names[i]), &position) ||
             position < 0 || position >= CSV_FIELDS_MAX))
            return error_set(err, STATUS_INVALID, "column \"%s\": expected a field's number 0..%d",
                             layout->names[i], CSV_FIELDS_MAX - 1);
        records->positions[i] = (size_t)position;
        if ((size_t)position >= records->fields_min)
            records->fields_min = (size_t)position + 1;
    }
    if (layout->by_position)
        records->fields_max = CSV_FIELDS_MAX;
    return STATUS_OK;
}

/* Whether the field is the name but for blanks around it and capitals. */
static bool is_nearly(const struct csv_field *field, const char *name)
{
    const char *begin = field->text, *end = field->text + field->size;
    while (begin < end && *begin == ' ')
        begin++;
    while (begin < end && end[-1] == ' ')
        end--;
    return (size_t)(end - begin) == strlen(name) &&
           strncasecmp(begin, name, (size_t)(end - begin)) == 0;
}

/* What the header has instead of the name, if that can be told. */
static void explain_header(const struct csv_field *fields, size_t count, const char *name,
                           char out[HEADER_TEXT_BYTES])
{
    float number;
    for (size_t i = 0; i < count; i++) {
        char shown[RECORDS_GOT_BYTES + 8];
        show_value(fields[i].text, fields[i].size, shown);
        if (is_nearly(&fields[i], name)) {
            (void)snprintf(out, HEADER_TEXT_BYTES, "; field %zu is %s", i + 1, shown);
            return;
        }
        if (number_parse_float(fields[i].text, fields[i].size, &number)) {
            (void)snprintf(out, HEADER_TEXT_BYTES, "; with \"header\": false line 1 is a record");
            return;
        }
    }
}

/* Names what the header has, as far as it fits, and how it was cut, which is often what is wrong. */
static enum status refuse_header(const struct records *records, const struct csv_field *fields,
                                 size_t count, const char *name, struct error *err)
{
    char names[HEADER_TEXT_BYTES] = "", why[HEADER_TEXT_BYTES] = "";
    char separator[DATA_SEPARATOR_BYTES + 2];
    size_t used = 0;
    for (size_t i = 0; i < count && used < sizeof(names) - 1; i++) {
        const int width = fields[i].size < sizeof(names) ? (int)fields[i].size : (int)sizeof(names);
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%.*s", i == 0 ? "" : ", ",
                                 width, fields[i].text);
    }
    text_make_printable(names);
    show_separator(records, separator);
    explain_header(fields, count, name, why);
    return error_set(err, STATUS_INVALID,
                     "%s:1: no column \"%s\" in the header, which has %zu by the separator %s: "
                     "%s%s%s",
                     records->path, name, count, separator, names,
                     used < sizeof(names) ? "" : "...", why);
}

/* Of two columns with one name nobody knows which is meant. */
static enum status find_column(struct records *records, const struct csv_field *fields,
                               size_t count, size_t column, struct error *err)
{
    const char *const name = records->layout.names[column];
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        if (strlen(name) != fields[i].size || memcmp(name, fields[i].text, fields[i].size) != 0)
            continue;
        if (found)
            return error_set(
                err, STATUS_INVALID,
                "%s:1: column \"%s\" stands in the header twice, as fields %zu and %zu",
                records->path, name, records->positions[column] + 1, i + 1);
        found = true;
        records->positions[column] = i;
    }
    return found ? STATUS_OK : refuse_header(records, fields, count, name, err);
}

/* The header of a text may have the absorbing column anywhere; its own fields hold no separators. */
static size_t split_header(const struct records *records, struct csv_field *fields)
{
    const char *const separator = records->layout.separator;
    const size_t width = strlen(separator);
    const char *begin = fields[0].text;
    const char *const end = begin + fields[0].size;
    size_t count = 0;
    for (;;) {
        const char *const found = memmem(begin, (size_t)(end - begin), separator, width);
        const bool last = found == NULL || count + 1 == CSV_FIELDS_MAX;
        fields[count++] = (struct csv_field){begin, (size_t)((last ? end : found) - begin)};
        if (last)
            return count;
        begin = found + width;
    }
}

static enum status place_by_header(struct records *records, struct error *err)
{
    CLEANUP(chunker_cleanup) struct chunker *chunker = NULL;
    CLEANUP(chunk_clear) struct chunk chunk = {.bytes = NULL};
    CLEANUP(free_cleanup) struct records_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL)
        return error_set(err, STATUS_NO_MEMORY, "read %s", records->path);
    TRY(chunker_open(records->path, &records->dialect, &chunker, err));
    TRY(chunker_first(chunker, &chunk, err));
    struct csv_problem problem;
    size_t count = 0;
    if (chunk.size == 0)
        return error_set(err, STATUS_INVALID, "%s:1: expected a header, the file is empty",
                         records->path);
    csv_begin(&reader->cursor, &records->dialect, chunk.bytes, chunk.size, 1);
    if (!csv_next(&reader->cursor, reader->fields, CSV_FIELDS_MAX, &count, &problem) ||
        problem.what != NULL)
        return error_set(err, STATUS_INVALID, "%s:1: expected a header, got %s", records->path,
                         problem.what != NULL ? problem.what : "an empty line");
    if (records->layout.format == DATA_TEXT)
        count = split_header(records, reader->fields);
    records->fields_min = count;
    records->fields_max = count;
    for (size_t i = 0; i < records->layout.count; i++)
        TRY(find_column(records, reader->fields, count, i, err));
    return STATUS_OK;
}

enum status records_open(const char *path, const struct records_layout *layout,
                         struct records **out, struct error *err)
{
    assert(layout->count >= 1 && layout->count <= DATA_COLUMNS_MAX);
    CLEANUP(records_cleanup) struct records *records = calloc(1, sizeof(*records));
    if (records == NULL)
        return error_set(err, STATUS_NO_MEMORY, "read %s", path);
    TRY(fs_path(records->path, sizeof(records->path), err, "%s", path));
    records->layout = *layout;
    TRY(choose_dialect(records, err));
    if (layout->header && layout->format != DATA_JSONL)
        TRY(place_by_header(records, err));
    else
        TRY(place_by_order(records, err));
    if (layout->absorbing >= 0)
        records->absorbing = records->positions[layout->absorbing];
    *out = TAKE(records);
    return STATUS_OK;
}
