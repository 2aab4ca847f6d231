/*
 * decode_survey.c - counts the part's records chunk by chunk; on the training part also the words, and mean
 * and variance of numeric columns: within a chunk as sums of distances from its first value, over the
 * chunks by the formula of Chan, Golub and LeVeque (1979), in their order. So the bits are the same for
 * any number of threads.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/data/decode.h"
#include "trainer/data/words.h"

/* Of one numeric column in one chunk. */
struct sums {
    int64_t count;
    double first;
    double sum, squares; /* of value - first */
};

struct moments {
    int64_t count;
    double mean;
    double squares; /* of the distances from the mean */
};

/* Different words and how often each came. */
struct word_counts {
    struct names words;
    int64_t *counts;
    size_t capacity;
};

struct survey {
    struct decoding *decode;
    bool fits;
    int64_t records;                          /* good ones, of both parts and left out */
    struct moments moments[DATA_COLUMNS_MAX]; /* (numeric_count) */
    struct word_counts words;
};

struct survey_part {
    int64_t records, rows, tokens, ties;
    struct sums sums[DATA_COLUMNS_MAX]; /* (numeric_count) */
    struct word_counts words;
};

/* ------------------------------------------------------------------ words */

static void word_counts_clear(struct word_counts *counts)
{
    names_clear(&counts->words);
    free(counts->counts);
    *counts = (struct word_counts){.counts = NULL};
}

static enum status add_word(struct word_counts *counts, const char *word, size_t size,
                            int64_t times, struct error *err)
{
    const uint32_t known = counts->words.count;
    uint32_t number = 0;
    TRY(names_add(&counts->words, word, size, "words", &number, err));
    if (number >= counts->capacity) {
        const size_t capacity = counts->capacity == 0 ? 256 : counts->capacity * 2;
        int64_t *const grown = realloc(counts->counts, capacity * sizeof(counts->counts[0]));
        if (grown == NULL)
            return error_set(err, STATUS_NO_MEMORY, "%u different words", number);
        counts->counts = grown;
        counts->capacity = capacity;
    }
    counts->counts[number] = (number == known ? 0 : counts->counts[number]) + times;
    return STATUS_OK;
}

static enum status survey_text(const struct survey *survey, struct survey_part *part,
                               const struct record_cell *cell, struct error *err)
{
    struct word_cursor cursor;
    int64_t count = 0;
    words_begin(&cursor, cell->text, cell->size);
    for (; words_next(&cursor); count++) {
        if (survey->fits)
            TRY(add_word(&part->words, cursor.word, cursor.size, 1, err));
    }
    const int64_t length = survey->decode->fit->length;
    part->tokens += count < 1 ? 1 : count < length ? count : length; /* data_encode_text() */
    return STATUS_OK;
}

static enum status merge_words(struct word_counts *all, struct word_counts *part, struct error *err)
{
    for (uint32_t i = 0; i < part->words.count; i++) {
        size_t size = 0;
        const char *const word = names_at(&part->words, i, &size);
        TRY(add_word(all, word, size, part->counts[i], err));
    }
    names_reset(&part->words);
    return STATUS_OK;
}

static int compare_words(const void *a, const void *b, void *context)
{
    const struct word_counts *all = context;
    const uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    if (all->counts[left] != all->counts[right])
        return all->counts[left] > all->counts[right] ? -1 : 1;
    size_t left_size, right_size;
    const char *const left_word = names_at(&all->words, left, &left_size);
    const char *const right_word = names_at(&all->words, right, &right_size);
    const int order =
        memcmp(left_word, right_word, left_size < right_size ? left_size : right_size);
    if (order != 0)
        return order;
    return left_size < right_size ? -1 : left_size > right_size;
}

/* The most frequent words, ties in the order of their bytes. */
static enum status fit_vocabulary(struct word_counts *all, struct data_fit *fit, struct error *err)
{
    uint32_t *order = malloc(((size_t)all->words.count + 1) * sizeof(*order));
    if (order == NULL)
        return error_set(err, STATUS_NO_MEMORY, "%u different words", all->words.count);
    for (uint32_t i = 0; i < all->words.count; i++)
        order[i] = i;
    qsort_r(order, all->words.count, sizeof(*order), compare_words, all);
    enum status status = STATUS_OK;
    const int64_t kept = fit->vocabulary_max - FIT_TOKEN_FIRST;
    for (uint32_t i = 0; i < all->words.count && i < kept && status == STATUS_OK; i++) {
        size_t size = 0;
        uint32_t number = 0;
        const char *const word = names_at(&all->words, order[i], &size);
        status = names_add(&fit->vocabulary, word, size, "words", &number, err);
    }
    free(order);
    return status;
}

/* ------------------------------------------------------------------ numbers */

static void survey_numbers(const struct data_fit *fit, struct survey_part *part,
                           const float *numbers)
{
    for (size_t i = 0; i < fit->numeric_count; i++) {
        if (isnan(numbers[i]))
            continue;
        struct sums *const sums = &part->sums[i];
        if (sums->count++ == 0)
            sums->first = (double)numbers[i];
        const double distance = (double)numbers[i] - sums->first;
        sums->sum += distance;
        sums->squares += distance * distance;
    }
}

static void merge_sums(struct moments *all, const struct sums *part)
{
    if (part->count == 0)
        return;
    const double n = (double)part->count;
    const double mean = part->first + part->sum / n;
    const double squares = part->squares - part->sum * part->sum / n;
    const double before = (double)all->count;
    const double distance = mean - all->mean;
    all->count += part->count;
    all->mean += distance * n / (double)all->count;
    all->squares +=
        (squares > 0.0 ? squares : 0.0) + distance * distance * before * n / (double)all->count;
}

static void fit_numbers(const struct survey *survey, struct data_fit *fit)
{
    const struct moments *moments = survey->moments;
    for (size_t i = 0; i < fit->column_count; i++) {
        if (fit->columns[i].kind != COLUMN_NUMERIC)
            continue;
        const double variance =
            moments->count > 0 ? moments->squares / (double)moments->count : 0.0;
        fit->columns[i].mean = moments->mean;
        fit->columns[i].std = variance > 0.0 ? sqrt(variance) : 1.0;
        moments++;
    }
}

/* ------------------------------------------------------------------ the pass */

enum status decode_choose(const struct decoding *decode, const struct record *record, int64_t *ties,
                          bool *out_wanted, struct decode_values *out, struct error *err)
{
    struct fit_refusal refusal;
    bool left_out = false, test = false;
    *out_wanted = false;
    if (!data_check_record(decode->fit, record->cells, out->numbers, &left_out, &refusal))
        return record_refuse(record, refusal.column, refusal.expected, err);
    if (left_out)
        return STATUS_OK;
    TRY(split_is_test(&decode->split, record, ties, &test, err));
    if (decode->split.by != SPLIT_NONE && test != (decode->request->role == DATA_EVAL))
        return STATUS_OK;
    const int label = decode->fit->label_column;
    if (label >= 0 && !data_encode_label(decode->fit, &record->cells[label], &out->label, &refusal))
        return record_refuse(record, refusal.column, refusal.expected, err);
    *out_wanted = true;
    return STATUS_OK;
}

static enum status survey_record(void *context, void *part_of_chunk, const struct record *record,
                                 struct error *err)
{
    const struct survey *survey = context;
    const struct data_fit *fit = survey->decode->fit;
    struct survey_part *part = part_of_chunk;
    struct decode_values values;
    bool wanted = false;
    TRY(decode_choose(survey->decode, record, &part->ties, &wanted, &values, err));
    part->records++;
    if (!wanted)
        return STATUS_OK;
    if (fit->text_column >= 0)
        TRY(survey_text(survey, part, &record->cells[fit->text_column], err));
    part->rows++;
    if (survey->fits)
        survey_numbers(fit, part, values.numbers);
    return STATUS_OK;
}

static enum status add_plan(struct decoding *decode, const struct survey_part *part,
                            struct error *err)
{
    if (decode->plan_count == decode->plan_capacity) {
        const int64_t capacity = decode->plan_capacity == 0 ? 64 : decode->plan_capacity * 2;
        struct decode_plan *const grown =
            realloc(decode->plans, (size_t)capacity * sizeof(decode->plans[0]));
        if (grown == NULL)
            return error_set(err, STATUS_NO_MEMORY, "%lld chunks", (long long)capacity);
        decode->plans = grown;
        decode->plan_capacity = capacity;
    }
    decode->plans[decode->plan_count++] = (struct decode_plan){.first_row = decode->rows,
                                                               .rows = part->rows,
                                                               .first_token = decode->tokens,
                                                               .tokens = part->tokens};
    decode->rows += part->rows;
    decode->tokens += part->tokens;
    if (decode->rows > DATA_RECORDS_MAX)
        return error_set(err, STATUS_TOO_LARGE, "%s: more than %d records",
                         records_path(decode->records), DATA_RECORDS_MAX);
    return STATUS_OK;
}

static enum status merge_survey(void *context, void *part_of_chunk, int64_t chunk,
                                struct error *err)
{
    struct survey *survey = context;
    struct survey_part *part = part_of_chunk;
    assert(chunk == survey->decode->plan_count);
    TRY(add_plan(survey->decode, part, err));
    for (size_t i = 0; i < survey->decode->fit->numeric_count; i++)
        merge_sums(&survey->moments[i], &part->sums[i]);
    TRY(merge_words(&survey->words, &part->words, err));
    survey->records += part->records;
    part->records = part->rows = part->tokens = part->ties = 0;
    memset(part->sums, 0, survey->decode->fit->numeric_count * sizeof(part->sums[0]));
    return STATUS_OK;
}

static void end_survey(void *part_of_chunk)
{
    struct survey_part *part = part_of_chunk;
    word_counts_clear(&part->words);
}

static enum status refuse_none(const struct survey *survey, struct error *err)
{
    const struct data_fit *fit = survey->decode->fit;
    const char *const path = records_path(survey->decode->records);
    const char *const part = survey->fits ? "training" : "evaluation";
    if (survey->records > 0)
        return error_set(err, STATUS_INVALID,
                         "%s: no record for the %s part, by \"split\" and \"classes\", among %lld",
                         path, part, (long long)survey->records);
    return error_set(err, STATUS_INVALID, "%s: no record for the %s part: %s", path, part,
                     fit->skipped.count > 0                     ? "all are malformed"
                     : fit->header && fit->format != DATA_JSONL ? "nothing comes behind the header"
                                                                : "the file is empty");
}

static enum status run_survey(struct survey *survey, struct error *err)
{
    static const struct records_pass pass = {sizeof(struct survey_part), records_begin_nothing,
                                             survey_record, merge_survey, end_survey};
    struct decoding *decode = survey->decode;
    struct data_fit *fit = decode->fit;
    TRY(records_run(decode->records, &pass, survey, &decode->policy, 0, &fit->skipped, err));
    if (decode->rows == 0)
        return refuse_none(survey, err);
    if (!survey->fits)
        return STATUS_OK;
    fit_numbers(survey, fit);
    if (fit->kind == FIT_TEXT && survey->words.words.count == 0)
        return error_set(err, STATUS_INVALID, "%s: no text of the training part has a word",
                         records_path(decode->records));
    return fit_vocabulary(&survey->words, fit, err);
}

enum status decode_survey(struct decoding *decode, struct error *err)
{
    struct survey *survey = calloc(1, sizeof(*survey));
    if (survey == NULL)
        return error_set(err, STATUS_NO_MEMORY, "survey of the records");
    survey->decode = decode;
    survey->fits = decode->request->role == DATA_TRAIN;
    const enum status status = run_survey(survey, err);
    word_counts_clear(&survey->words);
    free(survey);
    return status;
}
