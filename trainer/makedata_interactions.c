/*
 * makedata_interactions.c - train.tsv and test.tsv: user, item and second, as a shop logs them.
 *
 * Items lie in shelves of 15. A user likes two shelves and takes items from them, now and then one
 * from elsewhere; the latest, always from a liked shelf, is the line in test.tsv. Whoever has learned
 * the shelves ranks it among the first few of a hundred.
 */
#include <inttypes.h>

#include "trainer/makedata_private.h"

#define SHELF_ITEMS     15
#define LIKED_SHELVES   2
#define LIKED_ITEMS     (SHELF_ITEMS * LIKED_SHELVES)
#define USER_ITEMS      16 /* in train.tsv; one more in test.tsv */
#define SHELVES_MIN     20
#define USERS_PER_SHELF 40
#define ELSEWHERE       60 /* in a thousand */
#define FIRST_SECOND    INT64_C(1700000000)
#define SECONDS_APART   200000

static int64_t shelves_of(int64_t users)
{
    const int64_t shelves = users / USERS_PER_SHELF;
    return shelves < SHELVES_MIN ? SHELVES_MIN : shelves;
}

/* The user's liked items in the order in which they are taken. */
static void choose_items(struct draws *draws, int64_t shelves, int64_t out[LIKED_ITEMS])
{
    const int64_t first = draw_below(draws, shelves);
    const int64_t second = (first + 1 + draw_below(draws, shelves - 1)) % shelves;
    for (int64_t i = 0; i < LIKED_ITEMS; i++)
        out[i] = (i < SHELF_ITEMS ? first : second - 1) * SHELF_ITEMS + i;
    for (int64_t i = 0; i <= USER_ITEMS; i++) {
        const int64_t other = i + draw_below(draws, LIKED_ITEMS - i);
        const int64_t kept = out[i];
        out[i] = out[other];
        out[other] = kept;
    }
}

static bool is_liked(const int64_t items[LIKED_ITEMS], int64_t item)
{
    for (int i = 0; i < LIKED_ITEMS; i++) {
        if (items[i] == item)
            return true;
    }
    return false;
}

/* An item from elsewhere in place of some; never one twice, and never the last. */
static void stray(struct draws *draws, int64_t shelves, int64_t items[LIKED_ITEMS])
{
    for (int i = 0; i < USER_ITEMS; i++) {
        const bool strays = draw_chance(draws, ELSEWHERE);
        const int64_t item = draw_below(draws, shelves * SHELF_ITEMS);
        if (strays && !is_liked(items, item))
            items[i] = item;
    }
}

enum status makedata_interactions(const struct makedata_request *request, struct error *err)
{
    CLEANUP(makedata_file_cleanup) struct makedata_file train = {.stream = NULL};
    CLEANUP(makedata_file_cleanup) struct makedata_file test = {.stream = NULL};
    TRY(makedata_open(request, "train.tsv", &train, err));
    TRY(makedata_open(request, "test.tsv", &test, err));
    const int64_t users = request->rows / USER_ITEMS;
    const int64_t shelves = shelves_of(users);
    for (int64_t user = 0; user < users; user++) {
        struct draws draws = draws_of(request->seed, 0, user);
        int64_t items[LIKED_ITEMS];
        choose_items(&draws, shelves, items);
        stray(&draws, shelves, items);
        int64_t second = FIRST_SECOND;
        for (int i = 0; i <= USER_ITEMS; i++) {
            second += 1 + draw_below(&draws, SECONDS_APART);
            (void)fprintf(i < USER_ITEMS ? train.stream : test.stream,
                          "%" PRId64 "\t%" PRId64 "\t%" PRId64 "\n", user, items[i], second);
        }
    }
    TRY(makedata_finish(&train, err));
    return makedata_finish(&test, err);
}
