/*
 * predict_rows.c - tables and texts. Threads read and encode chunks of the file; chunk by chunk, in the
 * file's order, the rows become a small data set of their own that the model scores.
 */
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/text.h"
#include "trainer/data/chunk.h"
#include "trainer/predict.h"
#include "trainer/scorer.h"

#define ROWS_FIRST 1024
#define TEXTS_MAX  ((size_t)CHUNK_RECORD_BYTES_MAX * 4)

/* The encoded rows of one chunk. */
struct rows {
    int64_t count, capacity;
    float *numeric;    /* (capacity, numeric_count) */
    int32_t *category; /* (capacity, category_count) */
    int32_t *labels;  /* (capacity), zero: a model looks at them, though nobody asks for the loss */
    int64_t *offsets; /* (capacity + 1) into tokens */
    size_t *text_ends; /* (capacity) in texts */
    int32_t *tokens;   /* (token_capacity) */
    int64_t token_capacity;
    struct buf texts; /* one behind the other */
    bool is_open;
};

static void rows_end(void *part)
{
    struct rows *rows = part;
    void *const arrays[] = {rows->numeric, rows->category,  rows->labels,
                            rows->offsets, rows->text_ends, rows->tokens};
    for (size_t i = 0; i < COUNT_OF(arrays); i++)
        free(arrays[i]);
    if (rows->is_open)
        buf_clear(&rows->texts);
}

static void rows_begin(void *context, void *part, int64_t chunk)
{
    struct rows *rows = part;
    (void)context;
    (void)chunk;
    rows->count = 0;
    if (!rows->is_open)
        buf_init(&rows->texts, TEXTS_MAX);
    rows->is_open = true;
    buf_reset(&rows->texts);
}

static enum status grow(void **array, int64_t count, size_t width, size_t size, struct error *err)
{
    if (width == 0)
        return STATUS_OK;
    void *larger = reallocarray(*array, (size_t)count, width * size);
    if (larger == NULL)
        return error_set(err, STATUS_NO_MEMORY, "%lld rows of a chunk", (long long)count);
    *array = larger;
    return STATUS_OK;
}

/* Room for one more row. */
static enum status make_room(const struct data_fit *fit, struct rows *rows, struct error *err)
{
    if (rows->count < rows->capacity)
        return STATUS_OK;
    const int64_t capacity = rows->capacity == 0 ? ROWS_FIRST : 2 * rows->capacity;
    const size_t is_text = fit->kind == FIT_TEXT ? 1 : 0;
    void *arrays[] = {rows->numeric, rows->category, rows->labels, rows->offsets, rows->text_ends};
    const size_t widths[] = {fit->numeric_count, fit->category_count, 1, is_text, is_text};
    const size_t sizes[] = {sizeof(rows->numeric[0]), sizeof(rows->category[0]),
                            sizeof(rows->labels[0]), sizeof(rows->offsets[0]),
                            sizeof(rows->text_ends[0])};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < COUNT_OF(arrays) && status == STATUS_OK; i++)
        status = grow(&arrays[i], capacity + 1, widths[i], sizes[i], err);
    rows->numeric = arrays[0];
    rows->category = arrays[1];
    rows->labels = arrays[2];
    rows->offsets = arrays[3];
    rows->text_ends = arrays[4];
    if (status != STATUS_OK)
        return status;
    memset(rows->labels, 0, (size_t)capacity * sizeof(rows->labels[0]));
    rows->capacity = capacity;
    return STATUS_OK;
}

static enum status add_text(const struct data_fit *fit, struct rows *rows,
                            const struct record_cell *cell, struct error *err)
{
    const int64_t begin = rows->count == 0 ? 0 : rows->offsets[rows->count];
    if (rows->token_capacity < begin + fit->length) {
        const int64_t capacity = 2 * (begin + fit->length);
        void *tokens = rows->tokens;
        TRY(grow(&tokens, capacity, 1, sizeof(rows->tokens[0]), err));
        rows->tokens = tokens;
        rows->token_capacity = capacity;
    }
    const size_t count = data_encode_text(fit, cell->text, cell->size, rows->tokens + begin);
    rows->offsets[0] = 0;
    rows->offsets[rows->count + 1] = begin + (int64_t)count;
    buf_append(&rows->texts, cell->text, cell->size);
    rows->text_ends[rows->count] = rows->texts.size;
    return buf_status(&rows->texts, "texts of a chunk", err);
}

/*
 * Whether new rows must have this column. Where columns have names, those that the model does not look at
 * may be missing; where they are known by their place, only the label's, which nobody knows yet.
 */
static bool is_wanted(const struct data_fit *fit, size_t column)
{
    const int kind = fit->columns[column].kind;
    if (fit->header || fit->format == DATA_JSONL)
        return kind == COLUMN_NUMERIC || kind == COLUMN_CATEGORY;
    return (int)column != fit->label_column;
}

/*
 * A text is a line, whatever stood beside it in the training data; of JSON lines it is the column's value.
 * An empty one has a score, that of no words: what is printed lines up with what was given.
 */
static struct records_layout layout_of(const struct data_fit *fit)
{
    struct records_layout layout = {
        .format = fit->format, .separator = fit->separator, .header = fit->header, .absorbing = -1};
    if (fit->kind == FIT_TEXT && fit->format != DATA_JSONL)
        return (struct records_layout){.format = DATA_TEXT,
                                       .separator = "",
                                       .names = {"text"},
                                       .count = 1,
                                       .keeps_empty = true,
                                       .absorbing = -1};
    if (fit->kind == FIT_TEXT) {
        layout.names[0] = fit->columns[fit->text_column].name;
        layout.count = 1;
        return layout;
    }
    for (size_t i = 0; i < fit->column_count; i++) {
        if (is_wanted(fit, i))
            layout.names[layout.count++] = fit->columns[i].name;
    }
    return layout;
}

/* The record has the wanted columns' cells; the fit's functions take one for each column. */
static enum status add_cells(const struct data_fit *fit, struct rows *rows,
                             const struct record *record, struct error *err)
{
    struct record_cell cells[DATA_COLUMNS_MAX];
    size_t places[DATA_COLUMNS_MAX];
    size_t from = 0;
    for (size_t i = 0; i < fit->column_count; i++) {
        const bool wanted = is_wanted(fit, i);
        places[i] = from;
        cells[i] = wanted ? record->cells[from++] : (struct record_cell){.absent = true};
    }
    struct fit_refusal refusal;
    float *numeric = rows->numeric + rows->count * (int64_t)fit->numeric_count;
    int32_t *category = rows->category + rows->count * (int64_t)fit->category_count;
    if (data_encode_row(fit, cells, numeric, category, &refusal))
        return STATUS_OK;
    return record_refuse(record, places[refusal.column], refusal.expected, err);
}

static enum status rows_add(void *context, void *part, const struct record *record,
                            struct error *err)
{
    const struct predict *predict = context;
    struct rows *rows = part;
    TRY(make_room(predict->fit, rows, err));
    if (predict->fit->kind == FIT_TEXT && record->cells[0].absent)
        return record_refuse(record, 0, "a text", err);
    if (predict->fit->kind == FIT_TEXT)
        TRY(add_text(predict->fit, rows, &record->cells[0], err));
    else
        TRY(add_cells(predict->fit, rows, record, err));
    rows->count++;
    return STATUS_OK;
}

static void add_array(struct dataset *set, const char *name, enum data_type type, int64_t count,
                      size_t width, const void *values)
{
    if (width == 0)
        return;
    struct data_array *array = &set->arrays[set->array_count++];
    *array =
        (struct data_array){.type = type, .rows = count, .width = (int64_t)width, .values = values};
    (void)text_copy(array->name, sizeof(array->name), name);
}

/* The rows as a reader would have left them in the cache. */
static struct dataset set_of(const struct predict *predict, const struct rows *rows)
{
    const struct data_fit *fit = predict->fit;
    struct dataset set = {.kind = fit->kind == FIT_TEXT ? DATA_KIND_TEXT : DATA_KIND_TABLE,
                          .count = rows->count,
                          .fit = predict->file.fit,
                          .fit_bytes = strlen(predict->file.fit)};
    if (fit->kind == FIT_TEXT) {
        add_array(&set, "tokens", DATA_I32, rows->offsets[rows->count], 1, rows->tokens);
        add_array(&set, "offsets", DATA_I64, rows->count + 1, 1, rows->offsets);
    } else {
        add_array(&set, "numeric", DATA_F32, rows->count, fit->numeric_count, rows->numeric);
        add_array(&set, "category", DATA_I32, rows->count, fit->category_count, rows->category);
    }
    add_array(&set, "label", fit->labels == FIT_LABELS_NUMBERS ? DATA_F32 : DATA_I32, rows->count,
              1, rows->labels);
    return set;
}

static enum status write_scores(struct predict *predict, const struct rows *rows, int64_t first,
                                int count, const float *scores, int width, struct error *err)
{
    for (int i = 0; i < count; i++) {
        const int64_t row = first + i;
        const char *text = NULL;
        size_t bytes = 0;
        if (predict->fit->kind == FIT_TEXT) {
            const size_t begin = row == 0 ? 0 : rows->text_ends[row - 1];
            text = rows->texts.data + begin;
            bytes = rows->text_ends[row] - begin;
        }
        TRY(predict_write_row(&predict->writer, scores + (int64_t)i * width, text, bytes, err));
    }
    return STATUS_OK;
}

static enum status score_rows(void *context, void *part, int64_t chunk, struct error *err)
{
    struct predict *predict = context;
    const struct rows *rows = part;
    (void)chunk;
    if (rows->count == 0)
        return STATUS_OK;
    const struct dataset set = set_of(predict, rows);
    CLEANUP(scorer_cleanup) struct scorer *scorer = NULL;
    TRY(scorer_open(&predict->file, &set, &set, &scorer, err));
    const int width = scorer_width(scorer);
    CLEANUP(free_cleanup)
    float *scores = calloc((size_t)SCORER_ROWS * (size_t)width, sizeof(float));
    if (scores == NULL)
        return error_set(err, STATUS_NO_MEMORY, "scores of %d rows", SCORER_ROWS);
    for (int64_t first = 0; first < rows->count; first += SCORER_ROWS) {
        const int64_t left = rows->count - first;
        const int count = left < SCORER_ROWS ? (int)left : SCORER_ROWS;
        TRY(scorer_score(scorer, first, count, scores, err));
        TRY(write_scores(predict, rows, first, count, scores, width, err));
    }
    return STATUS_OK;
}

enum status predict_rows(struct predict *predict, struct error *err)
{
    static const struct records_pass pass = {.part_bytes = sizeof(struct rows),
                                             .begin = rows_begin,
                                             .record = rows_add,
                                             .merge = score_rows,
                                             .end = rows_end};
    static const struct records_policy strict = {.skip = false};
    const struct records_layout layout = layout_of(predict->fit);
    CLEANUP(records_cleanup) struct records *records = NULL;
    struct records_skipped skipped;
    TRY(records_open(predict->request->data, &layout, &records, err));
    TRY(predict_write_header(&predict->writer, err));
    return records_run(records, &pass, predict, &strict, 0, &skipped, err);
}
