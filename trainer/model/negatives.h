#ifndef TRAINER_MODEL_NEGATIVES_H
#define TRAINER_MODEL_NEGATIVES_H

/*
 * negatives.h - items that a user has not met in training, drawn at random: the other half of what a
 * model of implicit feedback learns from.
 *
 * A draw is a pure function of (key, epoch, record, user): it does not matter who draws, how often, or
 * what was drawn before. Items are uniform but for a bias below items / 2^32.
 *
 * Memory: which user has met which item, as one bit a pair where that is small or smaller, else as
 * sorted lists: at most NEGATIVES_BITMAP_BYTES or 4 bytes an interaction and 8 a user, whichever is more;
 * while it is built, 4 bytes an interaction and 8 an item besides.
 *
 * Threads: any number may draw at once.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trainer/data/philox.h"

#define NEGATIVES_TRIES_MAX    64 /* then the item is taken as it is: the user has nearly all */
#define NEGATIVES_BITMAP_BYTES (4 * MIB)

struct negatives;

/* Interactions i: user[i] in 0..users-1 has met item[i] in 0..items-1, perhaps more than once. */
MUST_CHECK enum status negatives_open(const int32_t *user, const int32_t *item, int64_t count,
                                      int64_t users, int64_t items, struct negatives **out,
                                      struct error *err);
void negatives_close(struct negatives *negatives); /* accepts NULL */
size_t negatives_bytes(const struct negatives *negatives);
bool negatives_has_met(const struct negatives *negatives, int32_t user, int32_t item);
/* One for each row: items[i] for record records[i], whose user is users[i]. (count) each */
void negatives_draw(const struct negatives *negatives, struct philox_key key, int64_t epoch,
                    const int32_t *records, const int32_t *users, int count, int32_t *items);

#endif
