#include "trainer/model/text_pack.h"

#include <stdlib.h>

#include "base/fs.h"

enum status text_source_of(const struct dataset *set, struct text_source *out, struct error *err)
{
    const struct data_array *tokens = dataset_array(set, "tokens");
    const struct data_array *offsets = dataset_array(set, "offsets");
    const struct data_array *labels = dataset_array(set, "label");
    if (set->kind != DATA_KIND_TEXT || tokens == NULL || offsets == NULL)
        return error_set(err, STATUS_INVALID, "the data has no texts, which model bilstm reads");
    if (labels != NULL && labels->type != DATA_I32)
        return error_set(err, STATUS_INVALID,
                         "the data has numbers for labels; model bilstm "
                         "wants classes");
    *out = (struct text_source){.tokens = tokens->values,
                                .offsets = offsets->values,
                                .labels = labels == NULL ? NULL : labels->values};
    return STATUS_OK;
}

/*
 * Up to the next number with four significant bits: at most an eighth more, and a device that records
 * its steps by their shape sees few shapes.
 */
static int round_shape(int count)
{
    int unit = 1;
    while (count / unit >= 16)
        unit *= 2;
    return (count + unit - 1) / unit * unit;
}

struct text_layout text_layout_of(int rows, int steps, int tokens)
{
    const size_t row_count = (size_t)rows;
    struct text_layout out = {.groups = (rows + TEXT_GROUP_ROWS - 1) / TEXT_GROUP_ROWS,
                              .steps = steps,
                              .tokens = tokens,
                              .labels = 0,
                              .lengths = row_count,
                              .places = 2 * row_count,
                              .ids = 3 * row_count};
    out.count = out.ids + (size_t)out.groups * (size_t)tokens;
    return out;
}

struct text_layout text_layout_largest(int rows, int length)
{
    const int in_group = rows < TEXT_GROUP_ROWS ? rows : TEXT_GROUP_ROWS;
    return text_layout_of(rows, round_shape(length), round_shape(in_group * length));
}

static int length_of(const struct text_source *source, int32_t record)
{
    const int64_t length = source->offsets[record + 1] - source->offsets[record];
    return source->pads || length > source->length ? source->length : (int)length;
}

/* Counting sort: order[p] is the row at sorted place p. `begins` (length + 1) is scratch, zeroed. */
static void sort_rows(const struct text_source *source, const int32_t *records, int rows,
                      int *begins, int *order)
{
    for (int i = 0; i < rows; i++)
        begins[length_of(source, records[i])]++;
    int begin = 0;
    for (int length = source->length; length >= 0; length--) {
        const int count = begins[length];
        begins[length] = begin;
        begin += count;
    }
    for (int i = 0; i < rows; i++)
        order[begins[length_of(source, records[i])]++] = i;
}

/* Token t of a record's row; zeros stand in front of a padded one. */
static enum status token_at(const struct text_source *source, int32_t record, int t, int32_t *out,
                            struct error *err)
{
    const int64_t end = source->offsets[record + 1];
    const int64_t at = end - length_of(source, record) + t;
    const int32_t token = at < source->offsets[record] ? 0 : source->tokens[at];
    if (token < 0 || token >= source->vocabulary)
        return error_set(err, STATUS_CORRUPT, "record %d has token %d, the vocabulary has %d words",
                         (int)record, (int)token, source->vocabulary);
    *out = token;
    return STATUS_OK;
}

/* Step after step; *out_count is the number of tokens. */
static enum status pack_group(const struct text_source *source, const int32_t *records,
                              const int *order, const int32_t *lengths, int rows, int32_t *ids,
                              int *out_count, struct error *err)
{
    int count = 0, active = rows;
    for (int t = 0;; t++) {
        while (active > 0 && lengths[active - 1] <= t)
            active--;
        if (active == 0)
            break;
        for (int r = 0; r < active; r++)
            TRY(token_at(source, records[order[r]], t, &ids[count++], err));
    }
    *out_count = count;
    return STATUS_OK;
}

static int tokens_of_first_group(const int32_t *lengths, int rows)
{
    int sum = 0;
    for (int p = 0; p < rows && p < TEXT_GROUP_ROWS; p++)
        sum += lengths[p];
    return sum;
}

enum status text_pack(const struct text_source *source, const int32_t *records, int rows,
                      int32_t *block, struct text_layout *out, struct error *err)
{
    CLEANUP(free_cleanup)
    int *scratch = calloc((size_t)rows + (size_t)source->length + 1, sizeof(*scratch));
    if (scratch == NULL)
        return error_set(err, STATUS_NO_MEMORY, "sort %d texts", rows);
    int *order = scratch + source->length + 1;
    struct text_layout layout = text_layout_of(rows, 0, 0);
    sort_rows(source, records, rows, scratch, order);
    for (int p = 0; p < rows; p++) {
        const int32_t record = records[order[p]];
        block[layout.labels + (size_t)p] = source->labels == NULL ? 0 : source->labels[record];
        block[layout.lengths + (size_t)p] = length_of(source, record);
        block[layout.places + (size_t)order[p]] = p;
    }
    const int32_t *lengths = block + layout.lengths;
    layout = text_layout_of(rows, round_shape(lengths[0]),
                            round_shape(tokens_of_first_group(lengths, rows)));
    for (int g = 0; g < layout.groups; g++) {
        const int first = g * TEXT_GROUP_ROWS, left = rows - first;
        int32_t *ids = block + layout.ids + (size_t)g * (size_t)layout.tokens;
        int count = 0;
        TRY(pack_group(source, records, order + first, lengths + first,
                       left < TEXT_GROUP_ROWS ? left : TEXT_GROUP_ROWS, ids, &count, err));
        for (; count < layout.tokens; count++)
            ids[count] = block[layout.ids];
    }
    *out = layout;
    return STATUS_OK;
}
