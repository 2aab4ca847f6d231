/*
 * pairs_candidates.c - the items that a held-out one is ranked among: from a file in the form of the NCF
 * authors, "(user,item)\tnegative\tnegative...", a line a record and in the records' order; or drawn.
 */
#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "trainer/data/chunk.h"
#include "trainer/data/pairs.h"
#include "trainer/data/philox.h"

#define DRAWS_MAX \
    64 /* for each negative wanted, before the user is taken to have met nearly everything */
#define DRAW_SEED 0 /* candidates belong to the data: every job on it ranks the same ones */

static const struct csv_dialect tabs = {.separator = "\t", .separator_bytes = 1};

/* ------------------------------------------------------------------ the file */

struct lines {
    const char *path;
    struct chunker *chunker;
    struct chunk chunk;
    struct csv_cursor cursor;
    bool begun;
    size_t count;
    struct csv_field fields[CSV_FIELDS_MAX];
};

static void lines_close(struct lines *lines)
{
    chunker_close(lines->chunker);
    chunk_clear(&lines->chunk);
}

/* *out_more is false at the end. */
static enum status next_line(struct lines *lines, bool *out_more, struct error *err)
{
    struct csv_problem problem;
    for (;;) {
        if (lines->begun &&
            csv_next(&lines->cursor, lines->fields, CSV_FIELDS_MAX, &lines->count, &problem)) {
            if (problem.what != NULL)
                return error_set(err, STATUS_INVALID, "%s:%lld: %s", lines->path,
                                 (long long)lines->cursor.line, problem.what);
            *out_more = true;
            return STATUS_OK;
        }
        TRY(chunker_next(lines->chunker, &lines->chunk, err));
        *out_more = lines->chunk.size > 0;
        if (!*out_more)
            return STATUS_OK;
        csv_begin(&lines->cursor, &tabs, lines->chunk.bytes, lines->chunk.size,
                  lines->chunk.first_line);
        lines->begun = true;
    }
}

static enum status negatives_path(const struct data_request *request, char path[PATH_MAX],
                                  struct error *err)
{
    return fs_path(path, PATH_MAX, err, "%s/%s", request->root, request->spec->negatives_file);
}

enum status pairs_count_negatives(const struct data_request *request, int64_t *out_count,
                                  struct error *err)
{
    char path[PATH_MAX];
    bool more = false;
    *out_count = PAIRS_SAMPLED_NEGATIVES;
    if (request->spec->negatives_file[0] == '\0')
        return STATUS_OK;
    TRY(negatives_path(request, path, err));
    CLEANUP(lines_close) struct lines lines = {.path = path};
    TRY(chunker_open(path, &tabs, &lines.chunker, err));
    TRY(next_line(&lines, &more, err));
    if (!more || lines.count < 2)
        return error_set(err, STATUS_INVALID,
                         "%s:1: expected (user,item) and its negatives, got "
                         "%s",
                         path, more ? "no negative" : "an empty file");
    *out_count = (int64_t)lines.count - 1;
    return STATUS_OK;
}

/* "(user,item)" of the training part; false if it isn't that. */
static bool parse_pair(const struct data_fit *fit, const struct csv_field *field, int64_t *out_user,
                       int64_t *out_item)
{
    const char *const end = field->text + field->size;
    if (field->size < 5 || field->text[0] != '(' || end[-1] != ')')
        return false;
    const char *const user = field->text + 1;
    const char *const comma = memchr(user, ',', (size_t)(end - user));
    if (comma == NULL)
        return false;
    const char *item = comma + 1;
    while (item < end - 1 && *item == ' ')
        item++;
    *out_user = data_encode_user(fit, user, (size_t)(comma - user));
    *out_item = data_encode_item(fit, item, (size_t)(end - 1 - item));
    return *out_user >= 0 && *out_item >= 0;
}

static enum status read_line(const struct lines *lines, const struct data_fit *fit,
                             int64_t negatives, int32_t user, int32_t *candidates,
                             struct error *err)
{
    int64_t pair_user = -1, pair_item = -1;
    const long long line = lines->cursor.line;
    if (!parse_pair(fit, &lines->fields[0], &pair_user, &pair_item))
        return error_set(err, STATUS_INVALID,
                         "%s:%lld:1: expected (user,item) of the training part", lines->path, line);
    if (pair_user != user || pair_item != candidates[0])
        return error_set(
            err, STATUS_INVALID,
            "%s:%lld:1: expected the pair of the evaluation record at this place, user "
            "number %d and item number %d, got %lld and %lld",
            lines->path, line, user, candidates[0], (long long)pair_user, (long long)pair_item);
    if ((int64_t)lines->count != 1 + negatives)
        return error_set(err, STATUS_INVALID,
                         "%s:%lld: expected %lld negatives as on the first line, got %zu",
                         lines->path, line, (long long)negatives, lines->count - 1);
    for (int64_t i = 1; i <= negatives; i++) {
        const struct csv_field *field = &lines->fields[i];
        const int64_t item = data_encode_item(fit, field->text, field->size);
        if (item < 0)
            return error_set(err, STATUS_INVALID,
                             "%s:%lld:%lld: expected an item of the training part, got \"%.*s\"",
                             lines->path, line, (long long)i + 1,
                             (int)(field->size < 64 ? field->size : 64), field->text);
        candidates[i] = item == candidates[0] ? -1 : (int32_t)item;
    }
    return STATUS_OK;
}

static enum status read_negatives(const struct data_request *request, const struct data_fit *fit,
                                  const int32_t *users, int64_t rows, int64_t negatives,
                                  int32_t *candidates, struct error *err)
{
    char path[PATH_MAX];
    bool more = false;
    TRY(negatives_path(request, path, err));
    CLEANUP(lines_close) struct lines lines = {.path = path};
    TRY(chunker_open(path, &tabs, &lines.chunker, err));
    for (int64_t row = 0; row < rows; row++) {
        TRY(next_line(&lines, &more, err));
        if (!more)
            return error_set(err, STATUS_INVALID,
                             "%s: expected a line for each of %lld evaluation records, got %lld",
                             path, (long long)rows, (long long)row);
        TRY(read_line(&lines, fit, negatives, users[row], candidates + row * (1 + negatives), err));
    }
    TRY(next_line(&lines, &more, err));
    if (more)
        return error_set(err, STATUS_INVALID, "%s:%lld: expected the end after %lld lines", path,
                         (long long)lines.cursor.line, (long long)rows);
    return STATUS_OK;
}

/* ------------------------------------------------------------------ drawn */

/* The items that each user has met, ordered: items[begins[u]] .. items[begins[u + 1] - 1]. */
struct history {
    int64_t *begins;
    int32_t *items;
};

static void history_clear(struct history *history)
{
    free(history->begins);
    free(history->items);
}

static int compare_items(const void *a, const void *b)
{
    const int32_t left = *(const int32_t *)a, right = *(const int32_t *)b;
    return left < right ? -1 : left > right;
}

static enum status history_open(const struct dataset *train, int64_t users, struct history *out,
                                struct error *err)
{
    const struct data_array *user_array = dataset_array(train, "user");
    const struct data_array *item_array = dataset_array(train, "item");
    assert(user_array != NULL && item_array != NULL);
    const int32_t *user = user_array->values, *item = item_array->values;
    out->begins = calloc((size_t)users + 2, sizeof(*out->begins));
    out->items = malloc((size_t)train->count * sizeof(*out->items));
    if (out->begins == NULL || out->items == NULL)
        return error_set(err, STATUS_NO_MEMORY, "%lld interactions", (long long)train->count);
    for (int64_t i = 0; i < train->count; i++)
        out->begins[user[i] + 2]++;
    for (int64_t u = 2; u < users + 2; u++)
        out->begins[u] += out->begins[u - 1];
    for (int64_t i = 0; i < train->count; i++) /* begins[u + 1] moves to the end of u's */
        out->items[out->begins[user[i] + 1]++] = item[i];
    for (int64_t u = 0; u < users; u++)
        qsort(out->items + out->begins[u], (size_t)(out->begins[u + 1] - out->begins[u]),
              sizeof(*out->items), compare_items);
    return STATUS_OK;
}

static bool has_met(const struct history *history, int32_t user, int32_t item)
{
    const int64_t begin = history->begins[user];
    return bsearch(&item, history->items + begin, (size_t)(history->begins[user + 1] - begin),
                   sizeof(item), compare_items) != NULL;
}

static bool is_among(const int32_t *items, int64_t count, int32_t item)
{
    for (int64_t i = 0; i < count; i++) {
        if (items[i] == item)
            return true;
    }
    return false;
}

/* Different items, uniform over those that the user has not met: counted by (row, draw), no state. */
static void draw_negatives(const struct history *history, int64_t items, int64_t row, int32_t user,
                           int64_t negatives, int32_t *candidates)
{
    const struct philox_key key = philox_key_of(DRAW_SEED, PHILOX_CANDIDATES);
    int64_t found = 0;
    for (int64_t draw = 0; found < negatives && draw < negatives * DRAWS_MAX; draw += 4) {
        uint32_t numbers[4];
        philox_4x32(key, (uint64_t)row, (uint64_t)draw, numbers);
        for (int i = 0; i < 4 && found < negatives; i++) {
            const int32_t item = (int32_t)((uint64_t)numbers[i] * (uint64_t)items >> 32);
            if (!is_among(candidates, found + 1, item) && !has_met(history, user, item))
                candidates[++found] = item;
        }
    }
    while (found < negatives)
        candidates[++found] = -1;
}

enum status pairs_fill_negatives(const struct data_request *request, const struct data_fit *fit,
                                 const int32_t *users, int64_t rows, int64_t negatives,
                                 int32_t *candidates, struct error *err)
{
    if (request->spec->negatives_file[0] != '\0')
        return read_negatives(request, fit, users, rows, negatives, candidates, err);
    CLEANUP(history_clear) struct history history = {NULL, NULL};
    TRY(history_open(request->train, fit->users, &history, err));
    for (int64_t row = 0; row < rows; row++)
        draw_negatives(&history, fit->items, row, users[row], negatives,
                       candidates + row * (1 + negatives));
    return STATUS_OK;
}
