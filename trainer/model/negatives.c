#include "trainer/model/negatives.h"

#include <stdlib.h>

#include "base/fs.h"

#define WORD_BITS     64
#define ROWS_AT_ONCE  128
#define DRAWS_A_BLOCK 4 /* numbers that Philox gives at once */
#define BLOCK_BITS    8 /* of the counter's high word; the epoch stands above */

struct negatives {
    uint32_t items;
    uint64_t *bits;    /* (users, words) or NULL: lists */
    size_t words;      /* of a user's row */
    uint64_t *offsets; /* (users + 1): where each user's list begins */
    int32_t *met;      /* the lists, each in ascending order */
    size_t bytes;      /* of either form */
};

static void negatives_cleanup(struct negatives **negatives)
{
    negatives_close(*negatives);
}

void negatives_close(struct negatives *negatives)
{
    if (negatives == NULL)
        return;
    free(negatives->bits);
    free(negatives->offsets);
    free(negatives->met);
    free(negatives);
}

static bool fill_bits(struct negatives *n, const int32_t *user, const int32_t *item, int64_t count,
                      int64_t users)
{
    n->bits = calloc((size_t)users * n->words, sizeof(*n->bits));
    if (n->bits == NULL)
        return false;
    for (int64_t i = 0; i < count; i++) {
        uint64_t *row = n->bits + (size_t)user[i] * n->words;
        row[item[i] / WORD_BITS] |= UINT64_C(1) << item[i] % WORD_BITS;
    }
    return true;
}

/* Offsets of `groups` lists from the group of each element. (groups + 1) */
static uint64_t *count_groups(const int32_t *group, int64_t count, int64_t groups)
{
    uint64_t *offsets = calloc((size_t)groups + 1, sizeof(*offsets));
    for (int64_t i = 0; i < count && offsets != NULL; i++)
        offsets[group[i] + 1]++;
    for (int64_t g = 0; g < groups && offsets != NULL; g++)
        offsets[g + 1] += offsets[g];
    return offsets;
}

/* Sorts by item, then by user, keeping the order of items: two passes and no comparison. */
static bool fill_lists(struct negatives *n, const int32_t *user, const int32_t *item, int64_t count,
                       int64_t users)
{
    const int64_t items = n->items;
    CLEANUP(free_cleanup) uint64_t *item_offsets = count_groups(item, count, items);
    CLEANUP(free_cleanup) int32_t *by_item = calloc((size_t)count + 1, sizeof(*by_item));
    n->offsets = count_groups(user, count, users);
    n->met = malloc((size_t)(count + 1) * sizeof(*n->met));
    if (item_offsets == NULL || by_item == NULL || n->offsets == NULL || n->met == NULL)
        return false;
    for (int64_t i = 0; i < count; i++)
        by_item[item_offsets[item[i]]++] = user[i];
    /* Now item_offsets[i] is where item i's users end. */
    uint64_t at = 0;
    for (int64_t i = 0; i < items; i++) {
        for (; at < item_offsets[i]; at++)
            n->met[n->offsets[by_item[at]]++] = (int32_t)i;
    }
    for (int64_t u = users; u > 0; u--)
        n->offsets[u] = n->offsets[u - 1];
    n->offsets[0] = 0;
    return true;
}

enum status negatives_open(const int32_t *user, const int32_t *item, int64_t count, int64_t users,
                           int64_t items, struct negatives **out, struct error *err)
{
    CLEANUP(negatives_cleanup) struct negatives *n = calloc(1, sizeof(*n));
    if (n == NULL)
        return error_set(err, STATUS_NO_MEMORY, "what users have met");
    n->items = (uint32_t)items;
    n->words = (size_t)(items + WORD_BITS - 1) / WORD_BITS;
    const double bitmap_bytes = (double)users * (double)n->words * sizeof(uint64_t);
    const double list_bytes =
        (double)count * sizeof(int32_t) + (double)(users + 1) * sizeof(uint64_t);
    const bool small = bitmap_bytes <= (double)NEGATIVES_BITMAP_BYTES || bitmap_bytes <= list_bytes;
    if (!(small ? fill_bits(n, user, item, count, users) : fill_lists(n, user, item, count, users)))
        return error_set(err, STATUS_NO_MEMORY, "what %lld users have met, %.0f bytes",
                         (long long)users, small ? bitmap_bytes : list_bytes);
    n->bytes = (size_t)(small ? bitmap_bytes : list_bytes);
    *out = TAKE(n);
    return STATUS_OK;
}

size_t negatives_bytes(const struct negatives *negatives)
{
    return negatives->bytes;
}

bool negatives_has_met(const struct negatives *n, int32_t user, int32_t item)
{
    if (n->bits != NULL)
        return (n->bits[(size_t)user * n->words + (size_t)item / WORD_BITS] >>
                (unsigned)item % WORD_BITS) &
               1;
    uint64_t low = n->offsets[user], high = n->offsets[user + 1];
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (n->met[middle] < item)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n->offsets[user + 1] && n->met[low] == item;
}

/* Asks the memory for what negatives_has_met() will look at first. */
static void prefetch(const struct negatives *n, int32_t user, int32_t item)
{
    if (n->bits != NULL)
        __builtin_prefetch(n->bits + (size_t)user * n->words + (size_t)item / WORD_BITS);
    else
        __builtin_prefetch(n->offsets + user);
}

static int32_t item_of(const struct negatives *n, uint32_t number)
{
    return (int32_t)((uint64_t)number * n->items >> 32);
}

/* All tries of one record. */
static int32_t draw_one(const struct negatives *n, struct philox_key key, int64_t epoch,
                        int32_t record, int32_t user)
{
    int32_t item = 0;
    for (int block = 0; block < NEGATIVES_TRIES_MAX / DRAWS_A_BLOCK; block++) {
        uint32_t numbers[DRAWS_A_BLOCK];
        philox_4x32(key, (uint64_t)epoch << BLOCK_BITS | (uint64_t)block, (uint64_t)record,
                    numbers);
        for (int i = 0; i < DRAWS_A_BLOCK; i++) {
            item = item_of(n, numbers[i]);
            if (!negatives_has_met(n, user, item))
                return item;
        }
    }
    return item;
}

/*
 * The first try of all rows, then a look at each: the memory works on many at once, and a branch that is
 * taken at random costs nothing that waits for memory.
 */
static void draw_some(const struct negatives *n, struct philox_key key, int64_t epoch,
                      const int32_t *records, const int32_t *users, int count, int32_t *items)
{
    uint32_t numbers[ROWS_AT_ONCE];
    philox_first(key, (uint64_t)epoch << BLOCK_BITS, records, count, numbers);
    for (int i = 0; i < count; i++) {
        items[i] = item_of(n, numbers[i]);
        prefetch(n, users[i], items[i]);
    }
    for (int i = 0; i < count; i++) {
        if (negatives_has_met(n, users[i], items[i]))
            items[i] = draw_one(n, key, epoch, records[i], users[i]);
    }
}

void negatives_draw(const struct negatives *negatives, struct philox_key key, int64_t epoch,
                    const int32_t *records, const int32_t *users, int count, int32_t *items)
{
    for (int done = 0; done < count; done += ROWS_AT_ONCE) {
        const int left = count - done;
        draw_some(negatives, key, epoch, records + done, users + done,
                  left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE, items + done);
    }
}
