/*
 * predict_pairs.c - the best items of users. A user's items are cut into blocks of BLOCK_ITEMS; a block of
 * a user is one row with its candidates, as the model evaluates them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/text.h"
#include "trainer/predict.h"
#include "trainer/predict_seen.h"
#include "trainer/scorer.h"

#define BLOCK_ITEMS 1024
#define SET_ROWS    4096 /* rows scored with one opening of the model: at most 16 MiB of candidates */

_Static_assert(SET_ROWS % SCORER_ROWS == 0, "a set is whole calls");

struct ranked {
    int64_t item;
    float score;
};

struct pairs {
    struct predict *predict;
    struct seen seen;
    int32_t *users; /* those asked for */
    int64_t user_count;
    int64_t blocks; /* of a user */
    int width;      /* candidates of a row */
    int top_k;
    struct ranked *best; /* (top_k) of the current user, best first */
    int best_count;
    int32_t *row_users;  /* (SET_ROWS) */
    int32_t *candidates; /* (SET_ROWS, width) */
    float *scores;       /* (SCORER_ROWS, width) */
};

static void pairs_clear(struct pairs *pairs)
{
    seen_clear(&pairs->seen);
    free(pairs->users);
    free(pairs->best);
    free(pairs->row_users);
    free(pairs->candidates);
    free(pairs->scores);
}

/* ------------------------------------------------------------------ which users */

static enum status take_all_users(struct pairs *pairs, struct error *err)
{
    pairs->user_count = pairs->predict->fit->users;
    pairs->users = calloc((size_t)pairs->user_count, sizeof(pairs->users[0]));
    if (pairs->users == NULL)
        return error_set(err, STATUS_NO_MEMORY, "%lld users", (long long)pairs->user_count);
    for (int64_t i = 0; i < pairs->user_count; i++)
        pairs->users[i] = (int32_t)i;
    return STATUS_OK;
}

/* "1,2,3": ids as in the training data. */
static enum status take_users(struct pairs *pairs, const char *list, struct error *err)
{
    pairs->users = calloc(strlen(list) + 1, sizeof(pairs->users[0]));
    if (pairs->users == NULL)
        return error_set(err, STATUS_NO_MEMORY, "users %.32s", list);
    for (const char *at = list;;) {
        const size_t size = strcspn(at, ",");
        const int64_t user = data_encode_user(pairs->predict->fit, at, size);
        if (user < 0)
            return error_set(err, STATUS_INVALID, "user \"%.*s\" was not in the training data",
                             (int)(size < DATA_ID_BYTES ? size : DATA_ID_BYTES), at);
        pairs->users[pairs->user_count++] = (int32_t)user;
        if (at[size] == '\0')
            return STATUS_OK;
        at += size + 1;
    }
}

/* ------------------------------------------------------------------ the best so far */

/* Whether a comes before b: the higher score, with equal ones the lower number. */
static bool is_before(const struct ranked *a, const struct ranked *b)
{
    return a->score > b->score || (a->score == b->score && a->item < b->item);
}

static bool is_among_best(const struct pairs *pairs, const struct ranked *offered)
{
    return pairs->best_count < pairs->top_k ||
           is_before(offered, &pairs->best[pairs->best_count - 1]);
}

/* Puts in one that is among the best, and drops the last if there is no more room. */
static void insert(struct pairs *pairs, struct ranked offered)
{
    if (pairs->best_count < pairs->top_k)
        pairs->best_count++;
    int at = pairs->best_count - 1;
    for (; at > 0 && is_before(&offered, &pairs->best[at - 1]); at--)
        pairs->best[at] = pairs->best[at - 1];
    pairs->best[at] = offered;
}

static enum status write_best(struct pairs *pairs, int64_t user, struct error *err)
{
    struct predict *predict = pairs->predict;
    char user_name[DATA_ID_BYTES], item_name[DATA_ID_BYTES];
    data_user_name(predict->fit, user, user_name);
    for (int i = 0; i < pairs->best_count; i++) {
        data_item_name(predict->fit, pairs->best[i].item, item_name);
        TRY(predict_write_item(&predict->writer, user_name, i + 1, item_name, pairs->best[i].score,
                               err));
    }
    pairs->best_count = 0;
    return STATUS_OK;
}

/* ------------------------------------------------------------------ scoring */

/* Row r of all: block r % blocks of user r / blocks. The rows of one set, from `first` on. */
static int fill_set(struct pairs *pairs, int64_t first)
{
    const int64_t items = pairs->predict->fit->items;
    const int64_t left = pairs->user_count * pairs->blocks - first;
    const int rows = left < SET_ROWS ? (int)left : SET_ROWS;
    for (int i = 0; i < rows; i++) {
        const int64_t row = first + i;
        const int64_t begin = row % pairs->blocks * pairs->width;
        pairs->row_users[i] = pairs->users[row / pairs->blocks];
        for (int c = 0; c < pairs->width; c++)
            pairs->candidates[(int64_t)i * pairs->width + c] =
                begin + c < items ? (int32_t)(begin + c) : -1;
    }
    return rows;
}

static void take_scores(struct pairs *pairs, int row, const float *scores)
{
    const int32_t user = pairs->row_users[row];
    for (int c = 0; c < pairs->width; c++) {
        const struct ranked offered = {pairs->candidates[(int64_t)row * pairs->width + c],
                                       scores[c]};
        if (offered.item >= 0 && is_among_best(pairs, &offered) &&
            !seen_has(&pairs->seen, user, offered.item))
            insert(pairs, offered);
    }
}

static enum status score_set(struct pairs *pairs, int64_t first, int rows, struct error *err)
{
    const struct model_file *file = &pairs->predict->file;
    const struct dataset training = {
        .kind = DATA_KIND_PAIRS, .fit = file->fit, .fit_bytes = strlen(file->fit)};
    const struct dataset set = {
        .kind = DATA_KIND_PAIRS,
        .count = rows,
        .arrays = {{"user", DATA_I32, rows, 1, pairs->row_users},
                   {"candidates", DATA_I32, rows, pairs->width, pairs->candidates}},
        .array_count = 2};
    CLEANUP(scorer_cleanup) struct scorer *scorer = NULL;
    TRY(scorer_open(file, &training, &set, &scorer, err));
    for (int done = 0; done < rows; done += SCORER_ROWS) {
        const int count = rows - done < SCORER_ROWS ? rows - done : SCORER_ROWS;
        TRY(scorer_score(scorer, done, count, pairs->scores, err));
        for (int i = 0; i < count; i++) {
            take_scores(pairs, done + i, pairs->scores + (int64_t)i * pairs->width);
            if ((first + done + i + 1) % pairs->blocks == 0)
                TRY(write_best(pairs, pairs->row_users[done + i], err));
        }
    }
    return STATUS_OK;
}

static enum status allocate(struct pairs *pairs, struct error *err)
{
    const struct predict *predict = pairs->predict;
    const int64_t items = predict->fit->items;
    const int64_t asked =
        predict->request->top_k > 0 ? predict->request->top_k : predict->file.spec.model.ncf.top_k;
    pairs->top_k = (int)(asked < items ? asked : items);
    pairs->width = (int)(items < BLOCK_ITEMS ? items : BLOCK_ITEMS);
    pairs->blocks = (items + pairs->width - 1) / pairs->width;
    const size_t width = (size_t)pairs->width;
    pairs->best = calloc((size_t)pairs->top_k, sizeof(pairs->best[0]));
    pairs->row_users = calloc(SET_ROWS, sizeof(pairs->row_users[0]));
    pairs->candidates = calloc(SET_ROWS * width, sizeof(pairs->candidates[0]));
    pairs->scores = calloc(SCORER_ROWS * width, sizeof(pairs->scores[0]));
    if (pairs->best == NULL || pairs->row_users == NULL || pairs->candidates == NULL ||
        pairs->scores == NULL)
        return error_set(err, STATUS_NO_MEMORY, "rank %lld items", (long long)items);
    return STATUS_OK;
}

enum status predict_pairs(struct predict *predict, struct error *err)
{
    const struct predict_request *request = predict->request;
    CLEANUP(pairs_clear) struct pairs pairs = {.predict = predict};
    if (predict->fit == NULL || predict->fit->kind != FIT_PAIRS)
        return error_set(err, STATUS_CORRUPT, "%s: \"fit\" names no users and items",
                         request->model);
    if (request->users == NULL || strcmp(request->users, "all") == 0)
        TRY(take_all_users(&pairs, err));
    else
        TRY(take_users(&pairs, request->users, err));
    TRY(allocate(&pairs, err));
    if (request->exclude_seen)
        TRY(seen_read(request->data, &predict->file.spec.data, predict->fit, &pairs.seen, err));
    const int64_t rows = pairs.user_count * pairs.blocks;
    for (int64_t first = 0; first < rows; first += SET_ROWS)
        TRY(score_set(&pairs, first, fill_set(&pairs, first), err));
    return STATUS_OK;
}
