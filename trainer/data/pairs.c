/*
 * pairs.c - interaction logs: one record a line, a user that met an item, maybe when. Threads read the
 * chunks; what depends on the order of records (numbers in order of first appearance, which one was the
 * last) happens when chunks are merged.
 *
 *   survey   the training file: numbers of users and items
 *   hold     with a split: the item of each user that is set aside
 *   count    the part's records
 *   write    them
 */
#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/text.h"
#include "trainer/data/number.h"
#include "trainer/data/pairs.h"
#include "trainer/data/split.h"

#define ID_BYTES_MAX  (DATA_ID_BYTES - 1)
#define DENSE_FACTOR  2    /* numbers that are ids may leave so many times their count unused ... */
#define DENSE_SURPLUS 1024 /* ... and so many more, before they are mapped to dense ones */

#define SHOWN_ID_BYTES 64 /* of an id in an error */

#define EXPECTED_ID "an id of 1..255 bytes of UTF-8"

enum { COLUMN_USER, COLUMN_ITEM, COLUMN_TIME, COLUMN_COUNT };
enum stage { STAGE_SURVEY, STAGE_HOLD, STAGE_COUNT, STAGE_WRITE };

struct pair {
    int32_t user, item;
    uint64_t key; /* hold: what the choice goes by */
};

/* Ids of one column as they come. */
struct ids {
    struct names names;
    bool has_others;   /* than numbers as they are written */
    bool first_is_one; /* the one in line 1 */
    bool later_is_one; /* one of another line */
    int64_t largest;
};

/* What one user's held-out item is chosen from. */
struct held {
    uint64_t key;
    int32_t item;
    bool any;
    bool others; /* the user has met other items, too: only then one can be spared */
};

struct pairs {
    const struct data_request *request;
    struct data_fit *fit;
    struct records *records;
    struct records_policy policy;
    enum stage stage;
    int split_by;
    struct ids users, items;
    struct held *held; /* (users) */
    struct split_times times;
    int64_t rows;
    int64_t written;
    int32_t *user, *item; /* the arrays; item by `item_stride`, for candidates have it first */
    int64_t item_stride;
};

struct pairs_part {
    struct ids users, items;
    struct split_times times;
    struct pair *pairs;
    size_t count, capacity;
};

static void ids_clear(struct ids *ids)
{
    names_clear(&ids->names);
}

static void pairs_clear(struct pairs *pairs)
{
    data_fit_free(pairs->fit);
    records_close(pairs->records);
    ids_clear(&pairs->users);
    ids_clear(&pairs->items);
    free(pairs->held);
}

static void end_part(void *part_of_chunk)
{
    struct pairs_part *part = part_of_chunk;
    ids_clear(&part->users);
    ids_clear(&part->items);
    free(part->pairs);
}

/* ------------------------------------------------------------------ one record */

/* Digits alone, without leading zeros: the same number is always the same text. */
static bool is_plain_number(const struct record_cell *cell, int64_t *out)
{
    if (cell->size == 0 || cell->text[0] < '0' || cell->text[0] > '9' ||
        (cell->text[0] == '0' && cell->size > 1))
        return false;
    return number_parse_int(cell->text, cell->size, out) && *out < INT32_MAX;
}

static bool is_id(const struct record_cell *cell)
{
    return cell->size >= 1 && cell->size <= ID_BYTES_MAX &&
           memchr(cell->text, '\0', cell->size) == NULL && text_is_utf8(cell->text, cell->size);
}

static enum status take_id(struct ids *ids, const struct record *record, int column,
                           const char *what, int32_t *out, struct error *err)
{
    const struct record_cell *const cell = &record->cells[column];
    uint32_t number = 0;
    int64_t value = 0;
    TRY(names_add(&ids->names, cell->text, cell->size, what, &number, err));
    if (!is_plain_number(cell, &value)) {
        ids->has_others = true;
        ids->first_is_one |= record->line == 1;
        ids->later_is_one |= record->line > 1;
    } else if (value > ids->largest) {
        ids->largest = value;
    }
    *out = (int32_t)number;
    return STATUS_OK;
}

/* The numbers that the training part gave; those of a split's parts all have one. */
static enum status find_ids(const struct pairs *pairs, const struct record *record,
                            struct pair *out, struct error *err)
{
    const struct record_cell *cells = record->cells;
    const int64_t user =
        data_encode_user(pairs->fit, cells[COLUMN_USER].text, cells[COLUMN_USER].size);
    const int64_t item =
        data_encode_item(pairs->fit, cells[COLUMN_ITEM].text, cells[COLUMN_ITEM].size);
    if (user < 0)
        return record_refuse(record, COLUMN_USER, "a user of the training part", err);
    if (item < 0)
        return record_refuse(record, COLUMN_ITEM, "an item of the training part", err);
    out->user = (int32_t)user;
    out->item = (int32_t)item;
    return STATUS_OK;
}

static uint64_t hash_of_pair(const struct record_cell *cells)
{
    uint8_t digest[SHA256_BYTES];
    CLEANUP(sha256_cleanup) struct sha256 *hash = sha256_new();
    sha256_update(hash, cells[COLUMN_USER].text, cells[COLUMN_USER].size);
    sha256_update(hash, "\t", 1);
    sha256_update(hash, cells[COLUMN_ITEM].text, cells[COLUMN_ITEM].size);
    sha256_final(hash, digest);
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | digest[i];
    return value;
}

/* Checked in every stage, so that all of them pass over the same records. */
static enum status take_time(const struct pairs *pairs, struct pairs_part *part,
                             const struct record *record, uint64_t *out_key, struct error *err)
{
    const struct record_cell *cell = &record->cells[COLUMN_TIME];
    bool is_text = false;
    if (pairs->split_by != SPLIT_TIME)
        return STATUS_OK;
    if (!number_parse_time(cell->text, cell->size, out_key, &is_text))
        return record_refuse(record, COLUMN_TIME, "a time, as a number or as RFC 3339", err);
    split_note_time(&part->times, record->line, is_text);
    return STATUS_OK;
}

static enum status add_pair(struct pairs_part *part, const struct pair *pair, struct error *err)
{
    if (part->count == part->capacity) {
        const size_t capacity = part->capacity == 0 ? 1024 : part->capacity * 2;
        struct pair *const grown = realloc(part->pairs, capacity * sizeof(*grown));
        if (grown == NULL)
            return error_set(err, STATUS_NO_MEMORY, "%zu interactions", capacity);
        part->pairs = grown;
        part->capacity = capacity;
    }
    part->pairs[part->count++] = *pair;
    return STATUS_OK;
}

static enum status take_record(void *context, void *part_of_chunk, const struct record *record,
                               struct error *err)
{
    const struct pairs *pairs = context;
    struct pairs_part *part = part_of_chunk;
    const struct record_cell *cells = record->cells;
    struct pair pair = {.key = 0};
    if (!is_id(&cells[COLUMN_USER]))
        return record_refuse(record, COLUMN_USER, EXPECTED_ID, err);
    if (!is_id(&cells[COLUMN_ITEM]))
        return record_refuse(record, COLUMN_ITEM, EXPECTED_ID, err);
    TRY(take_time(pairs, part, record, &pair.key, err));
    if (pairs->stage == STAGE_SURVEY) {
        TRY(take_id(&part->users, record, COLUMN_USER, "users", &pair.user, err));
        TRY(take_id(&part->items, record, COLUMN_ITEM, "items", &pair.item, err));
        part->count++;
        return STATUS_OK;
    }
    TRY(find_ids(pairs, record, &pair, err));
    if (pairs->stage == STAGE_HOLD && pairs->split_by == SPLIT_HASH)
        pair.key = hash_of_pair(cells);
    return add_pair(part, &pair, err);
}

/* ------------------------------------------------------------------ chunk after chunk */

static enum status merge_ids(struct ids *all, struct ids *part, const char *what, struct error *err)
{
    for (uint32_t i = 0; i < part->names.count; i++) {
        size_t size = 0;
        uint32_t number = 0;
        const char *const name = names_at(&part->names, i, &size);
        TRY(names_add(&all->names, name, size, what, &number, err));
    }
    all->has_others |= part->has_others;
    all->first_is_one |= part->first_is_one;
    all->later_is_one |= part->later_is_one;
    if (part->largest > all->largest)
        all->largest = part->largest;
    names_reset(&part->names);
    return STATUS_OK;
}

/* The least hash; or the latest time, and of equal ones the last line. */
static void hold(struct pairs *pairs, const struct pair *pair)
{
    struct held *held = &pairs->held[pair->user];
    held->others |= held->any && pair->item != held->item;
    const bool better =
        pairs->split_by == SPLIT_HASH ? pair->key < held->key : pair->key >= held->key;
    if (held->any && !better)
        return;
    held->any = true;
    held->key = pair->key;
    held->item = pair->item;
}

/* Whether a record of the log is one of the part's. Of a split, evaluation has no records of its own here. */
static bool is_kept(const struct pairs *pairs, const struct pair *pair)
{
    if (pairs->held == NULL)
        return true;
    const struct held *held = &pairs->held[pair->user];
    return !held->others || pair->item != held->item;
}

static enum status write_pair(struct pairs *pairs, const struct pair *pair, struct error *err)
{
    if (pairs->written == pairs->rows)
        return records_changed(pairs->records, err);
    pairs->user[pairs->written] = pair->user;
    pairs->item[pairs->written * pairs->item_stride] = pair->item;
    pairs->written++;
    return STATUS_OK;
}

static enum status merge_pairs(void *context, void *part_of_chunk, int64_t chunk, struct error *err)
{
    struct pairs *pairs = context;
    struct pairs_part *part = part_of_chunk;
    (void)chunk;
    TRY(split_merge_times(&pairs->times, &part->times, records_path(pairs->records),
                          pairs->request->spec->time, err));
    if (pairs->stage == STAGE_SURVEY) {
        TRY(merge_ids(&pairs->users, &part->users, "users", err));
        TRY(merge_ids(&pairs->items, &part->items, "items", err));
        pairs->rows += (int64_t)part->count;
    }
    for (size_t i = 0; pairs->stage != STAGE_SURVEY && i < part->count; i++) {
        const struct pair *pair = &part->pairs[i];
        if (pairs->stage == STAGE_HOLD)
            hold(pairs, pair);
        else if (is_kept(pairs, pair) && pairs->stage == STAGE_COUNT)
            pairs->rows++;
        else if (is_kept(pairs, pair))
            TRY(write_pair(pairs, pair, err));
    }
    part->count = 0;
    if (pairs->rows > DATA_RECORDS_MAX)
        return error_set(err, STATUS_TOO_LARGE, "%s: more than %d interactions",
                         records_path(pairs->records), DATA_RECORDS_MAX);
    return STATUS_OK;
}

static enum status run_stage(struct pairs *pairs, enum stage stage, struct error *err)
{
    static const struct records_pass pass = {sizeof(struct pairs_part), records_begin_nothing,
                                             take_record, merge_pairs, end_part};
    pairs->stage = stage;
    return records_run(pairs->records, &pass, pairs, &pairs->policy, 0, &pairs->fit->skipped, err);
}

/* ------------------------------------------------------------------ what is fitted */

/* Numbers that are dense enough stand for themselves. */
static bool need_names(const struct ids *ids)
{
    return ids->has_others ||
           ids->largest >= (int64_t)ids->names.count * DENSE_FACTOR + DENSE_SURPLUS;
}

static void fit_ids(struct ids *ids, int64_t *out_count, bool *out_named, struct names *out_names)
{
    *out_named = need_names(ids);
    *out_count = *out_named ? ids->names.count : ids->largest + 1;
    if (!*out_named)
        return;
    *out_names = ids->names;
    ids->names = (struct names){.bytes = NULL};
}

static void show_first(const struct ids *ids, char out[SHOWN_ID_BYTES])
{
    size_t size = 0;
    const char *const text = names_at(&ids->names, 0, &size);
    (void)snprintf(out, SHOWN_ID_BYTES, "%.*s", (int)size, text);
    text_drop_partial(out);
    text_make_printable(out);
}

/* Words in line 1 where all other lines have numbers are names of columns. */
static enum status check_first_line(const struct pairs *pairs, struct error *err)
{
    const struct ids *users = &pairs->users, *items = &pairs->items;
    const bool odd = users->first_is_one && items->first_is_one && pairs->rows > 1 &&
                     !(users->later_is_one && items->later_is_one);
    if (pairs->request->spec->header || !odd)
        return STATUS_OK;
    char user[SHOWN_ID_BYTES], item[SHOWN_ID_BYTES];
    show_first(users, user);
    show_first(items, item);
    return error_set(err, STATUS_INVALID,
                     "%s:1: expected numbers as in the other lines, got \"%s\" and \"%s\"; with "
                     "\"header\": true line 1 is the names of the columns",
                     records_path(pairs->records), user, item);
}

static enum status survey(struct pairs *pairs, struct error *err)
{
    struct data_fit *fit = pairs->fit;
    if (pairs->request->role == DATA_TRAIN) {
        TRY(run_stage(pairs, STAGE_SURVEY, err));
        if (pairs->rows == 0)
            return error_set(err, STATUS_INVALID, "%s: no interaction",
                             records_path(pairs->records));
        TRY(check_first_line(pairs, err));
        fit_ids(&pairs->users, &fit->users, &fit->named_users, &fit->user_names);
        fit_ids(&pairs->items, &fit->items, &fit->named_items, &fit->item_names);
    }
    if (pairs->split_by == SPLIT_NONE)
        return STATUS_OK;
    pairs->held = calloc((size_t)fit->users, sizeof(*pairs->held));
    if (pairs->held == NULL)
        return error_set(err, STATUS_NO_MEMORY, "items of %lld users", (long long)fit->users);
    return run_stage(pairs, STAGE_HOLD, err);
}

/* ------------------------------------------------------------------ the parts */

static enum status open_records(struct pairs *pairs, struct error *err)
{
    const struct data_spec *spec = pairs->request->spec;
    struct records_layout layout = {.format = DATA_INTERACTIONS,
                                    .separator = spec->separator,
                                    .header = spec->header,
                                    .by_position = true,
                                    .names = {spec->user, spec->item, spec->time},
                                    .count = pairs->split_by == SPLIT_TIME ? 3 : 2,
                                    .absorbing = -1};
    char path[PATH_MAX];
    TRY(fs_path(path, sizeof(path), err, "%s/%s", pairs->request->root,
                data_part_of(spec, pairs->request->role)->file));
    return records_open(path, &layout, &pairs->records, err);
}

static enum status count_rows(struct pairs *pairs, struct error *err)
{
    const bool counted = pairs->request->role == DATA_TRAIN && pairs->held == NULL;
    if (counted)
        return STATUS_OK; /* by the survey */
    pairs->rows = 0;
    if (pairs->request->role == DATA_TRAIN || pairs->held == NULL)
        TRY(run_stage(pairs, STAGE_COUNT, err));
    for (int64_t u = 0;
         pairs->request->role == DATA_EVAL && pairs->held != NULL && u < pairs->fit->users; u++)
        pairs->rows += pairs->held[u].others;
    if (pairs->rows == 0)
        return error_set(err, STATUS_INVALID, "%s: no interaction for the %s part",
                         records_path(pairs->records),
                         pairs->request->role == DATA_TRAIN ? "training" : "evaluation");
    return STATUS_OK;
}

/* The held-out item of each user that has one, in the order of the users. */
static void write_held(struct pairs *pairs)
{
    for (int64_t u = 0; u < pairs->fit->users; u++) {
        if (!pairs->held[u].others)
            continue;
        pairs->user[pairs->written] = (int32_t)u;
        pairs->item[pairs->written * pairs->item_stride] = pairs->held[u].item;
        pairs->written++;
    }
}

static enum status write_rows(struct pairs *pairs, struct dataset_writer *writer, struct error *err)
{
    const bool evaluates = pairs->request->role == DATA_EVAL;
    int64_t negatives = 0;
    if (evaluates)
        TRY(pairs_count_negatives(pairs->request, &negatives, err));
    const struct dataset_shape shape = {
        .kind = DATA_KIND_PAIRS,
        .count = pairs->rows,
        .arrays = {{.name = "user", .type = DATA_I32, .rows = pairs->rows, .width = 1},
                   {.type = DATA_I32, .rows = pairs->rows, .width = 1 + negatives}},
        .array_count = 2};
    struct dataset_shape named = shape;
    (void)text_copy(named.arrays[1].name, DATA_NAME_BYTES, evaluates ? "candidates" : "item");
    void *memory[DATA_ARRAYS_MAX];
    TRY(dataset_writer_shape(writer, &named, memory, err));
    pairs->user = memory[0];
    pairs->item = memory[1];
    pairs->item_stride = 1 + negatives;
    if (evaluates && pairs->held != NULL)
        write_held(pairs);
    else
        TRY(run_stage(pairs, STAGE_WRITE, err));
    if (pairs->written != pairs->rows)
        return records_changed(pairs->records, err);
    if (!evaluates)
        return STATUS_OK;
    return pairs_fill_negatives(pairs->request, pairs->fit, pairs->user, pairs->rows, negatives,
                                pairs->item, err);
}

static enum status write_fit(const struct pairs *pairs, struct dataset_writer *writer,
                             struct error *err)
{
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, DATA_FIT_MAX);
    data_fit_write(pairs->fit, &text);
    TRY(buf_status(&text, "the names of users and items", err));
    return dataset_writer_fit(writer, text.data, text.size, err);
}

static enum status pairs_decode(const struct data_request *request, struct dataset_writer *writer,
                                struct error *err)
{
    const struct data_spec *spec = request->spec;
    CLEANUP(pairs_clear)
    struct pairs pairs = {
        .request = request,
        .policy = {.skip = spec->on_error == ON_ERROR_SKIP, .errors_max = spec->max_errors},
        .split_by = spec->split.by,
        .users = {.largest = -1},
        .items = {.largest = -1}};
    if (request->role == DATA_TRAIN)
        TRY(data_fit_new(spec, &pairs.fit, err));
    else
        TRY(data_fit_parse(request->train->fit, request->train->fit_bytes, &pairs.fit, err));
    TRY(open_records(&pairs, err));
    TRY(survey(&pairs, err));
    TRY(count_rows(&pairs, err));
    TRY(write_rows(&pairs, writer, err));
    return write_fit(&pairs, writer, err);
}

const struct data_reader data_reader_interactions = {.name = "interactions",
                                                     .decode = pairs_decode};
