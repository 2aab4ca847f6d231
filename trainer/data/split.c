/*
 * split.c - by hash at once; by time after finding the border with a radix selection: 16 bits of the key a
 * pass, so that no pass holds more than a table of counts, however many records there are.
 */
#include "trainer/data/split.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "trainer/data/number.h"

#define RADIX_BITS 16
#define RADIX_BINS (1 << RADIX_BITS)
#define KEY_BITS   64

#define EXPECTED_TIME "a time, as a number or as RFC 3339"

void split_clear(struct split *split)
{
    free(split->ties_before);
    *split = (struct split){.by = SPLIT_NONE};
}

static uint64_t hash_of(const struct record_cell *cell)
{
    uint8_t digest[SHA256_BYTES];
    sha256_of(cell->text, cell->size, digest);
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | digest[i];
    return value;
}

/* ------------------------------------------------------------------ the border by time */

struct search {
    const struct data_fit *fit;
    struct split *split;
    int shift;       /* bits below the ones that this pass counts */
    uint64_t prefix; /* the bits above, found by earlier passes */
    bool has_numbers, has_texts;
    int64_t capacity; /* of ties_before */
    uint64_t bins[RADIX_BINS];
};

struct search_part {
    bool has_numbers, has_texts;
    int64_t ties;
    uint64_t bins[RADIX_BINS];
};

/* Of a record that counts; *out_counts is false for one that is left out. */
static enum status key_of(const struct search *search, const struct record *record,
                          uint64_t *out_key, bool *out_is_text, bool *out_counts, struct error *err)
{
    float numbers[DATA_COLUMNS_MAX];
    struct fit_refusal refusal;
    bool left_out = false;
    const struct record_cell *const cell = &record->cells[search->split->column];
    if (!data_check_record(search->fit, record->cells, numbers, &left_out, &refusal))
        return record_refuse(record, refusal.column, refusal.expected, err);
    *out_counts = !left_out;
    if (!left_out && !number_parse_time(cell->text, cell->size, out_key, out_is_text))
        return record_refuse(record, search->split->column, EXPECTED_TIME, err);
    return STATUS_OK;
}

static enum status count_key(void *context, void *part_of_chunk, const struct record *record,
                             struct error *err)
{
    const struct search *search = context;
    struct search_part *part = part_of_chunk;
    uint64_t key = 0;
    bool is_text = false, counts = false;
    TRY(key_of(search, record, &key, &is_text, &counts, err));
    if (!counts)
        return STATUS_OK;
    part->has_texts |= is_text;
    part->has_numbers |= !is_text;
    const int above = search->shift + RADIX_BITS;
    if (above == KEY_BITS || key >> above == search->prefix >> above)
        part->bins[key >> search->shift & (RADIX_BINS - 1)]++;
    return STATUS_OK;
}

static enum status merge_counts(void *context, void *part_of_chunk, int64_t chunk,
                                struct error *err)
{
    struct search *search = context;
    struct search_part *part = part_of_chunk;
    (void)chunk;
    search->has_numbers |= part->has_numbers;
    search->has_texts |= part->has_texts;
    if (search->has_numbers && search->has_texts)
        return error_set(
            err, STATUS_INVALID,
            "column \"%s\": some times are numbers and some are RFC 3339: they have no "
            "common order",
            search->fit->columns[search->split->column].name);
    for (int i = 0; i < RADIX_BINS; i++)
        search->bins[i] += part->bins[i];
    memset(part->bins, 0, sizeof(part->bins));
    return STATUS_OK;
}

static enum status count_tie(void *context, void *part_of_chunk, const struct record *record,
                             struct error *err)
{
    const struct search *search = context;
    struct search_part *part = part_of_chunk;
    uint64_t key = 0;
    bool is_text = false, counts = false;
    TRY(key_of(search, record, &key, &is_text, &counts, err));
    part->ties += counts && key == search->split->train_until;
    return STATUS_OK;
}

/* ties_before[chunk + 1] is what lies before the chunk behind this one. */
static enum status merge_ties(void *context, void *part_of_chunk, int64_t chunk, struct error *err)
{
    struct search *search = context;
    struct search_part *part = part_of_chunk;
    struct split *split = search->split;
    if (chunk + 2 > search->capacity) {
        const int64_t capacity = search->capacity == 0 ? 64 : search->capacity * 2;
        int64_t *const grown =
            realloc(split->ties_before, (size_t)capacity * sizeof(split->ties_before[0]));
        if (grown == NULL)
            return error_set(err, STATUS_NO_MEMORY, "%lld chunks", (long long)chunk);
        split->ties_before = grown;
        search->capacity = capacity;
    }
    if (chunk == 0)
        split->ties_before[0] = 0;
    split->ties_before[chunk + 1] = split->ties_before[chunk] + part->ties;
    split->chunk_count = chunk + 1;
    part->ties = 0;
    return STATUS_OK;
}

/* The bin that holds the record of this rank (from 1); the ranks in bins before it are taken off. */
static uint64_t find_bin(const struct search *search, int64_t *rank)
{
    for (uint64_t bin = 0; bin < RADIX_BINS; bin++) {
        if (*rank <= (int64_t)search->bins[bin])
            return bin;
        *rank -= (int64_t)search->bins[bin];
    }
    return RADIX_BINS;
}

static enum status find_border(struct search *search, const struct records *records,
                               const struct records_policy *policy, double test_share,
                               struct error *err)
{
    static const struct records_pass count = {sizeof(struct search_part), records_begin_nothing,
                                              count_key, merge_counts, records_end_nothing};
    static const struct records_pass tie = {sizeof(struct search_part), records_begin_nothing,
                                            count_tie, merge_ties, records_end_nothing};
    struct records_skipped skipped;
    int64_t rank = 0; /* of the last training record among those with the prefix so far */
    int64_t ties = 0;
    for (int shift = KEY_BITS - RADIX_BITS; shift >= 0; shift -= RADIX_BITS) {
        search->shift = shift;
        memset(search->bins, 0, sizeof(search->bins));
        TRY(records_run(records, &count, search, policy, 0, &skipped, err));
        if (shift == KEY_BITS - RADIX_BITS) {
            int64_t all = 0;
            for (int i = 0; i < RADIX_BINS; i++)
                all += (int64_t)search->bins[i];
            if (all < 2)
                return error_set(err, STATUS_INVALID, "%s: %lld records cannot be split by time",
                                 records_path(records), (long long)all);
            const int64_t test = llround(test_share * (double)all);
            rank = all - (test < 1 ? 1 : test >= all ? all - 1 : test);
        }
        const uint64_t bin = find_bin(search, &rank);
        if (bin == RADIX_BINS)
            return error_set(err, STATUS_CONFLICT, "%s changed while it was read",
                             records_path(records));
        search->prefix |= bin << shift;
        ties = (int64_t)search->bins[bin];
    }
    search->split->train_until = search->prefix;
    search->split->train_ties = rank;
    if (rank == ties)
        return STATUS_OK;
    return records_run(records, &tie, search, policy, 0, &skipped, err);
}

/* ------------------------------------------------------------------ both ways */

enum status split_open(const struct data_spec *spec, const struct data_fit *fit,
                       const struct records *records, const struct records_policy *policy,
                       struct split *out, struct error *err)
{
    out->by = spec->split.by;
    if (out->by == SPLIT_NONE)
        return STATUS_OK;
    while (out->column < fit->column_count &&
           strcmp(fit->columns[out->column].name, spec->split.column) != 0)
        out->column++;
    if (out->column == fit->column_count)
        return error_set(err, STATUS_INVALID, "split: no column \"%s\"", spec->split.column);
    if (out->by == SPLIT_HASH) {
        assert(spec->split.test_share > 0.0 && spec->split.test_share < 1.0);
        out->test_below = (uint64_t)ldexp(spec->split.test_share, KEY_BITS);
        return STATUS_OK;
    }
    struct search *search = calloc(1, sizeof(*search));
    if (search == NULL)
        return error_set(err, STATUS_NO_MEMORY, "split by time");
    search->fit = fit;
    search->split = out;
    const enum status status = find_border(search, records, policy, spec->split.test_share, err);
    free(search);
    return status;
}

enum status split_is_test(const struct split *split, const struct record *record, int64_t *ties,
                          bool *out_test, struct error *err)
{
    *out_test = false;
    if (split->by == SPLIT_NONE)
        return STATUS_OK;
    const struct record_cell *const cell = &record->cells[split->column];
    if (split->by == SPLIT_HASH) {
        *out_test = hash_of(cell) < split->test_below;
        return STATUS_OK;
    }
    uint64_t key = 0;
    bool is_text;
    if (!number_parse_time(cell->text, cell->size, &key, &is_text))
        return record_refuse(record, split->column, EXPECTED_TIME, err);
    if (key != split->train_until || split->ties_before == NULL) {
        *out_test = key > split->train_until;
        return STATUS_OK;
    }
    const int64_t before =
        record->chunk < split->chunk_count ? split->ties_before[record->chunk] : 0;
    *out_test = before + (*ties)++ >= split->train_ties;
    return STATUS_OK;
}
