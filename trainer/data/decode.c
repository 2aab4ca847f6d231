/*
 * decode.c - records with columns to arrays: tables (numeric, category, label) and texts (tokens, offsets,
 * label), from CSV, TSV, lines of text and JSON lines.
 */
#include "trainer/data/decode.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/text.h"

static void decode_clear(struct decoding *decode)
{
    data_fit_free(decode->fit);
    records_close(decode->records);
    split_clear(&decode->split);
    free(decode->plans);
}

/* ------------------------------------------------------------------ the writing pass */

/* Where the chunk's next record goes; `rows_left` guards against a file that has grown. */
struct write_part {
    int64_t row, rows_left;
    int64_t token, tokens_left;
    int64_t ties;
    int32_t *text; /* (length) tokens of one text */
};

static void begin_chunk(void *context, void *part_of_chunk, int64_t chunk)
{
    const struct decoding *decode = context;
    struct write_part *part = part_of_chunk;
    part->ties = 0;
    part->rows_left = 0;
    part->tokens_left = 0;
    if (chunk >= decode->plan_count)
        return;
    const struct decode_plan *plan = &decode->plans[chunk];
    part->row = plan->first_row;
    part->rows_left = plan->rows;
    part->token = plan->first_token;
    part->tokens_left = plan->tokens;
}

static enum status write_text(const struct decoding *decode, struct write_part *part,
                              const struct record_cell *cell, struct error *err)
{
    const size_t length = (size_t)decode->fit->length;
    if (part->text == NULL)
        part->text = malloc(length * sizeof(part->text[0]));
    if (part->text == NULL)
        return error_set(err, STATUS_NO_MEMORY, "a text of %zu tokens", length);
    const size_t count = data_encode_text(decode->fit, cell->text, cell->size, part->text);
    if ((int64_t)count > part->tokens_left)
        return records_changed(decode->records, err);
    memcpy(decode->tokens_out + part->token, part->text, count * sizeof(part->text[0]));
    decode->offsets[part->row] = part->token;
    part->token += (int64_t)count;
    part->tokens_left -= (int64_t)count;
    return STATUS_OK;
}

static void write_row(const struct decoding *decode, int64_t row, const struct record *record,
                      const struct decode_values *values)
{
    const struct data_fit *fit = decode->fit;
    if (decode->numeric != NULL)
        data_encode_numbers(fit, values->numbers,
                            decode->numeric + row * (int64_t)fit->numeric_count);
    if (decode->category != NULL)
        data_encode_categories(fit, record->cells,
                               decode->category + row * (int64_t)fit->category_count);
}

static enum status write_record(void *context, void *part_of_chunk, const struct record *record,
                                struct error *err)
{
    const struct decoding *decode = context;
    const struct data_fit *fit = decode->fit;
    struct write_part *part = part_of_chunk;
    struct decode_values values;
    bool wanted = false;
    TRY(decode_choose(decode, record, &part->ties, &wanted, &values, err));
    if (!wanted)
        return STATUS_OK;
    if (part->rows_left == 0)
        return records_changed(decode->records, err);
    if (fit->text_column >= 0)
        TRY(write_text(decode, part, &record->cells[fit->text_column], err));
    else
        write_row(decode, part->row, record, &values);
    if (decode->label != NULL)
        decode->label[part->row] = values.label.index;
    else
        decode->label_number[part->row] = values.label.number;
    part->row++;
    part->rows_left--;
    return STATUS_OK;
}

static enum status check_chunk(void *context, void *part_of_chunk, int64_t chunk, struct error *err)
{
    const struct decoding *decode = context;
    const struct write_part *part = part_of_chunk;
    (void)chunk;
    return part->rows_left == 0 && part->tokens_left == 0 ? STATUS_OK
                                                          : records_changed(decode->records, err);
}

static void end_writing(void *part_of_chunk)
{
    struct write_part *part = part_of_chunk;
    free(part->text);
}

/* ------------------------------------------------------------------ arrays */

static void add_array(struct dataset_shape *shape, const char *name, enum data_type type,
                      int64_t rows, int64_t width)
{
    assert(shape->array_count < DATA_ARRAYS_MAX);
    struct data_array *array = &shape->arrays[shape->array_count++];
    *array = (struct data_array){.type = type, .rows = rows, .width = width};
    (void)text_copy(array->name, sizeof(array->name), name);
}

static void find_arrays(struct decoding *decode, const struct dataset_shape *shape,
                        void *const memory[DATA_ARRAYS_MAX])
{
    for (size_t i = 0; i < shape->array_count; i++) {
        const char *const name = shape->arrays[i].name;
        if (strcmp(name, "numeric") == 0)
            decode->numeric = memory[i];
        else if (strcmp(name, "category") == 0)
            decode->category = memory[i];
        else if (strcmp(name, "tokens") == 0)
            decode->tokens_out = memory[i];
        else if (strcmp(name, "offsets") == 0)
            decode->offsets = memory[i];
        else if (shape->arrays[i].type == DATA_I32)
            decode->label = memory[i];
        else
            decode->label_number = memory[i];
    }
}

static enum status make_arrays(struct decoding *decode, struct dataset_writer *writer,
                               struct error *err)
{
    const struct data_fit *fit = decode->fit;
    const int64_t rows = decode->rows;
    struct dataset_shape shape = {.kind = fit->kind == FIT_TEXT ? DATA_KIND_TEXT : DATA_KIND_TABLE,
                                  .count = rows};
    if (fit->kind == FIT_TEXT) {
        add_array(&shape, "tokens", DATA_I32, decode->tokens, 1);
        add_array(&shape, "offsets", DATA_I64, rows + 1, 1);
    }
    if (fit->kind == FIT_TABLE && fit->numeric_count > 0)
        add_array(&shape, "numeric", DATA_F32, rows, (int64_t)fit->numeric_count);
    if (fit->kind == FIT_TABLE && fit->category_count > 0)
        add_array(&shape, "category", DATA_I32, rows, (int64_t)fit->category_count);
    add_array(&shape, "label", fit->labels == FIT_LABELS_NUMBERS ? DATA_F32 : DATA_I32, rows, 1);
    void *memory[DATA_ARRAYS_MAX];
    TRY(dataset_writer_shape(writer, &shape, memory, err));
    find_arrays(decode, &shape, memory);
    if (decode->offsets != NULL)
        decode->offsets[rows] = decode->tokens;
    return STATUS_OK;
}

/* ------------------------------------------------------------------ both parts */

/* The training part fits anew; the evaluation part takes what that fitted. */
static enum status begin_fit(struct decoding *decode, struct error *err)
{
    const struct data_request *request = decode->request;
    if (request->role == DATA_TRAIN)
        return data_fit_new(request->spec, &decode->fit, err);
    assert(request->train != NULL);
    TRY(data_fit_parse(request->train->fit, request->train->fit_bytes, &decode->fit, err));
    decode->fit->skipped = (struct records_skipped){.count = 0};
    decode->fit->label_classes = request->spec->label_classes;
    return STATUS_OK;
}

static enum status write_fit(const struct decoding *decode, struct dataset_writer *writer,
                             struct error *err)
{
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, DATA_FIT_MAX);
    data_fit_write(decode->fit, &text);
    TRY(buf_status(&text, "what was fitted on the training part", err));
    return dataset_writer_fit(writer, text.data, text.size, err);
}

static enum status decode_records(const struct data_request *request, struct dataset_writer *writer,
                                  struct error *err)
{
    static const struct records_pass pass = {sizeof(struct write_part), begin_chunk, write_record,
                                             check_chunk, end_writing};
    const struct data_spec *spec = request->spec;
    char path[PATH_MAX];
    CLEANUP(decode_clear)
    struct decoding decode = {
        .request = request,
        .policy = {.skip = spec->on_error == ON_ERROR_SKIP, .errors_max = spec->max_errors}};
    TRY(begin_fit(&decode, err));
    TRY(fs_path(path, sizeof(path), err, "%s/%s", request->root,
                data_part_of(spec, request->role)->file));
    const struct records_layout layout = data_fit_layout(decode.fit);
    TRY(records_open(path, &layout, &decode.records, err));
    TRY(split_open(spec, decode.fit, decode.records, &decode.policy, &decode.split, err));
    TRY(decode_survey(&decode, err));
    TRY(make_arrays(&decode, writer, err));
    struct records_skipped skipped;
    TRY(records_run(decode.records, &pass, &decode, &decode.policy, 0, &skipped, err));
    return write_fit(&decode, writer, err);
}

const struct data_reader data_reader_csv = {.name = "csv", .decode = decode_records};
const struct data_reader data_reader_tsv = {.name = "tsv", .decode = decode_records};
const struct data_reader data_reader_text = {.name = "text", .decode = decode_records};
const struct data_reader data_reader_jsonl = {.name = "jsonl", .decode = decode_records};
