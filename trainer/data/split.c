/*
 * split.c - by hash at once; by time after finding the border. One pass keeps the keys and chooses among
 * them; where they are too many to be kept, passes count them by 65,536 bins, and the bin that holds the
 * border is what the next pass looks at. Three do for times that are spread evenly, and five are the most.
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

/* ------------------------------------------------------------------ kinds of times */

void split_note_time(struct split_times *times, int64_t line, bool is_text)
{
    int64_t *const first = is_text ? &times->text_line : &times->number_line;
    if (*first == 0)
        *first = line;
}

enum status split_merge_times(struct split_times *all, struct split_times *part, const char *path,
                              const char *column, struct error *err)
{
    if (all->number_line == 0)
        all->number_line = part->number_line;
    if (all->text_line == 0)
        all->text_line = part->text_line;
    *part = (struct split_times){.number_line = 0};
    if (all->number_line == 0 || all->text_line == 0)
        return STATUS_OK;
    const bool text_first = all->text_line < all->number_line;
    return error_set(err, STATUS_INVALID,
                     "%s:%lld: column \"%s\": expected %s as in line %lld, got %s: they have no "
                     "common order",
                     path, (long long)(text_first ? all->number_line : all->text_line), column,
                     text_first ? "RFC 3339" : "a number",
                     (long long)(text_first ? all->text_line : all->number_line),
                     text_first ? "a number" : "RFC 3339");
}

/* ------------------------------------------------------------------ the border by time */

/*
 * Each pass counts the keys of a range by bins, and keeps them while they are few enough. If they are, the
 * border is chosen among them. If not, the next range is the bin that holds it, and no wider than the keys
 * that came.
 */
struct search {
    const struct data_fit *fit;
    struct split *split;
    uint64_t low, high; /* the range: both belong to it */
    int shift;          /* of a key's distance from `low`, to its bin */
    struct split_times times;
    const char *path;
    uint64_t least, most; /* of the keys in the range */
    int64_t count;        /* of them */
    uint64_t *keys;       /* (count) in the order of their records, NULL when there are too many */
    int64_t keys_capacity;
    int64_t chunk_capacity;
    uint64_t bins[RADIX_BINS];
};

struct search_part {
    struct split_times times;
    uint64_t *keys; /* (count) of the chunk, in the range */
    int64_t count, capacity;
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

/* Room for `count` values of eight bytes; what is there stays. */
static enum status reserve(void **values, int64_t *capacity, int64_t count, struct error *err)
{
    if (count <= *capacity)
        return STATUS_OK;
    const int64_t wanted = count > *capacity * 2 ? count : *capacity * 2;
    void *const grown = realloc(*values, (size_t)wanted * sizeof(uint64_t));
    if (grown == NULL)
        return error_set(err, STATUS_NO_MEMORY, "%lld times to split by", (long long)wanted);
    *values = grown;
    *capacity = wanted;
    return STATUS_OK;
}

static enum status take_key(void *context, void *part_of_chunk, const struct record *record,
                            struct error *err)
{
    const struct search *search = context;
    struct search_part *part = part_of_chunk;
    uint64_t key = 0;
    bool is_text = false, counts = false;
    TRY(key_of(search, record, &key, &is_text, &counts, err));
    if (!counts)
        return STATUS_OK;
    split_note_time(&part->times, record->line, is_text);
    if (key < search->low || key > search->high)
        return STATUS_OK;
    void *keys = part->keys;
    TRY(reserve(&keys, &part->capacity, part->count + 1, err));
    part->keys = keys;
    part->keys[part->count++] = key;
    return STATUS_OK;
}

/* Counts anew, in the range that is set. */
static void begin_range(struct search *search)
{
    const uint64_t width = search->high - search->low;
    const int bits = width == 0 ? 0 : KEY_BITS - __builtin_clzll(width);
    search->shift = bits > RADIX_BITS ? bits - RADIX_BITS : 0;
    search->least = UINT64_MAX;
    search->most = 0;
    search->count = 0;
    memset(search->bins, 0, sizeof(search->bins));
}

static void count_key(struct search *search, uint64_t key)
{
    if (key < search->low || key > search->high)
        return;
    search->bins[(key - search->low) >> search->shift]++;
    search->least = key < search->least ? key : search->least;
    search->most = key > search->most ? key : search->most;
    search->count++;
}

static enum status keep_keys(struct search *search, const struct search_part *part,
                             struct error *err)
{
    const int64_t before = search->count;
    for (int64_t i = 0; i < part->count; i++)
        count_key(search, part->keys[i]);
    if (search->count > search->split->keys_max || part->count == 0)
        return STATUS_OK;
    void *keys = search->keys;
    TRY(reserve(&keys, &search->keys_capacity, search->count, err));
    search->keys = keys;
    memcpy(search->keys + before, part->keys, (size_t)part->count * sizeof(part->keys[0]));
    return STATUS_OK;
}

/* ties_before[chunk + 1] is, until the border is known, how many keys of the range lie before that chunk. */
static enum status merge_keys(void *context, void *part_of_chunk, int64_t chunk, struct error *err)
{
    struct search *search = context;
    struct search_part *part = part_of_chunk;
    struct split *split = search->split;
    TRY(split_merge_times(&search->times, &part->times, search->path,
                          search->fit->columns[split->column].name, err));
    void *before = split->ties_before;
    TRY(reserve(&before, &search->chunk_capacity, chunk + 2, err));
    split->ties_before = before;
    TRY(keep_keys(search, part, err));
    if (chunk == 0)
        split->ties_before[0] = 0;
    split->ties_before[chunk + 1] = search->count;
    split->chunk_count = chunk + 1;
    part->count = 0;
    return STATUS_OK;
}

static void end_keys(void *part_of_chunk)
{
    struct search_part *part = part_of_chunk;
    free(part->keys);
}

static enum status count_range(struct search *search, const struct records *records,
                               const struct records_policy *policy, struct error *err)
{
    static const struct records_pass pass = {sizeof(struct search_part), records_begin_nothing,
                                             take_key, merge_keys, end_keys};
    struct records_skipped skipped;
    begin_range(search);
    search->split->passes++;
    return records_run(records, &pass, search, policy, 0, &skipped, err);
}

/* Makes the range the bin that holds the key of this rank (from 1); ranks below it are taken off. */
static bool narrow(struct search *search, int64_t *rank)
{
    uint64_t bin = 0;
    while (bin<RADIX_BINS && * rank>(int64_t) search->bins[bin])
        *rank -= (int64_t)search->bins[bin++];
    if (bin == RADIX_BINS)
        return false;
    const uint64_t low = search->low + (bin << search->shift);
    const uint64_t high = low + ((UINT64_C(1) << search->shift) - 1);
    search->low = low > search->least ? low : search->least;
    search->high = high < search->most ? high : search->most;
    return true;
}

/* Chooses among the keys that were kept; then the range is one key, and its ties are known chunk by chunk. */
static bool choose_kept(struct search *search, int64_t *rank)
{
    const int64_t kept = search->count;
    while (search->low < search->high) {
        if (!narrow(search, rank))
            return false;
        begin_range(search);
        for (int64_t i = 0; i < kept; i++)
            count_key(search, search->keys[i]);
    }
    int64_t *const before = search->split->ties_before;
    int64_t ties = 0, at = 0;
    for (int64_t chunk = 0; chunk < search->split->chunk_count; chunk++) {
        for (; at < before[chunk + 1]; at++)
            ties += search->keys[at] == search->low;
        before[chunk + 1] = ties;
    }
    return true;
}

static enum status find_border(struct search *search, const struct records *records,
                               const struct records_policy *policy, double test_share,
                               struct error *err)
{
    struct split *split = search->split;
    search->high = UINT64_MAX;
    TRY(count_range(search, records, policy, err));
    const int64_t all = search->count;
    if (all < 2)
        return error_set(err, STATUS_INVALID,
                         "%s: expected at least 2 records to split by time, "
                         "got %lld",
                         records_path(records), (long long)all);
    const int64_t test = llround(test_share * (double)all);
    int64_t rank = all - (test < 1      ? 1
                          : test >= all ? all - 1
                                        : test); /* of the last training one */
    while (search->count > split->keys_max && search->low < search->high) {
        if (!narrow(search, &rank))
            return records_changed(records, err);
        TRY(count_range(search, records, policy, err));
    }
    if (search->count <= split->keys_max && !choose_kept(search, &rank))
        return records_changed(records, err);
    if (rank > search->count)
        return records_changed(records, err);
    split->train_until = search->low;
    split->train_ties = rank;
    if (rank == search->count) {
        free(split->ties_before);
        split->ties_before = NULL;
    }
    return STATUS_OK;
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
    search->path = records_path(records);
    if (out->keys_max == 0)
        out->keys_max = SPLIT_KEYS_MAX;
    const enum status status = find_border(search, records, policy, spec->split.test_share, err);
    free(search->keys);
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
