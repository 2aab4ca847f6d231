#include "trainer/predict_seen.h"

#include <stdlib.h>

#include "trainer/data/records.h"

#define PAIRS_FIRST 4096

enum { COLUMN_USER, COLUMN_ITEM };

struct seen_pass {
    const struct data_fit *fit;
    struct seen *all;
};

/* What one chunk holds. */
struct seen_part {
    struct seen pairs;
};

static enum status add(struct seen *seen, uint64_t pair, struct error *err)
{
    if (seen->count == seen->capacity) {
        const int64_t capacity = seen->capacity == 0 ? PAIRS_FIRST : 2 * seen->capacity;
        if (capacity > PREDICT_SEEN_MAX)
            return error_set(err, STATUS_TOO_LARGE, "more than %lld interactions to leave out",
                             (long long)PREDICT_SEEN_MAX);
        void *larger = reallocarray(seen->pairs, (size_t)capacity, sizeof(seen->pairs[0]));
        if (larger == NULL)
            return error_set(err, STATUS_NO_MEMORY, "%lld interactions", (long long)capacity);
        seen->pairs = larger;
        seen->capacity = capacity;
    }
    seen->pairs[seen->count++] = pair;
    return STATUS_OK;
}

static void begin(void *context, void *part, int64_t chunk)
{
    (void)context;
    (void)chunk;
    ((struct seen_part *)part)->pairs.count = 0;
}

static enum status take(void *context, void *part, const struct record *record, struct error *err)
{
    const struct seen_pass *pass = context;
    const struct record_cell *cells = record->cells;
    const int64_t user =
        data_encode_user(pass->fit, cells[COLUMN_USER].text, cells[COLUMN_USER].size);
    const int64_t item =
        data_encode_item(pass->fit, cells[COLUMN_ITEM].text, cells[COLUMN_ITEM].size);
    if (user < 0 || item < 0)
        return STATUS_OK;
    return add(&((struct seen_part *)part)->pairs, (uint64_t)user << 32 | (uint64_t)item, err);
}

static enum status merge(void *context, void *part, int64_t chunk, struct error *err)
{
    const struct seen_pass *pass = context;
    const struct seen *pairs = &((struct seen_part *)part)->pairs;
    (void)chunk;
    for (int64_t i = 0; i < pairs->count; i++)
        TRY(add(pass->all, pairs->pairs[i], err));
    return STATUS_OK;
}

static void end(void *part)
{
    seen_clear(&((struct seen_part *)part)->pairs);
}

static int compare_pairs(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

enum status seen_read(const char *path, const struct data_spec *spec, const struct data_fit *fit,
                      struct seen *out, struct error *err)
{
    static const struct records_pass functions = {.part_bytes = sizeof(struct seen_part),
                                                  .begin = begin,
                                                  .record = take,
                                                  .merge = merge,
                                                  .end = end};
    static const struct records_policy strict = {.skip = false};
    const struct records_layout layout = {.format = DATA_INTERACTIONS,
                                          .separator = spec->separator,
                                          .header = spec->header,
                                          .by_position = !spec->header,
                                          .names = {spec->user, spec->item},
                                          .count = 2,
                                          .absorbing = -1};
    CLEANUP(records_cleanup) struct records *records = NULL;
    CLEANUP(seen_clear) struct seen all = {.count = 0};
    struct seen_pass pass = {.fit = fit, .all = &all};
    struct records_skipped skipped;
    TRY(records_open(path, &layout, &records, err));
    TRY(records_run(records, &functions, &pass, &strict, 0, &skipped, err));
    if (all.count > 0)
        qsort(all.pairs, (size_t)all.count, sizeof(all.pairs[0]), compare_pairs);
    *out = all;
    all = (struct seen){.count = 0};
    return STATUS_OK;
}

void seen_clear(struct seen *seen)
{
    free(seen->pairs);
    *seen = (struct seen){.count = 0};
}

bool seen_has(const struct seen *seen, int64_t user, int64_t item)
{
    const uint64_t pair = (uint64_t)user << 32 | (uint64_t)item;
    return seen->count > 0 && bsearch(&pair, seen->pairs, (size_t)seen->count,
                                      sizeof(seen->pairs[0]), compare_pairs) != NULL;
}
