#ifndef TRAINER_DATA_SPLIT_H
#define TRAINER_DATA_SPLIT_H

/*
 * split.h - which records of one file are set aside for evaluation. Both parts decide alike, each in its
 * own passes over the file; nothing is remembered between them.
 *
 * By hash: the first eight bytes of SHA-256 of a column's value, as a big-endian fraction of 2^64, are below
 * test_share; so all records of one value are on one side. By time: of the n records that are whole and
 * wanted, the last test_share * n (rounded, at least one on each side), equal times in the order of their
 * lines.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "trainer/data/fit.h"
#include "trainer/data/records.h"

#define SPLIT_KEYS_MAX (INT64_C(1) << 21) /* times that are held in memory at once: 16 MiB */

struct split {
    int by;           /* enum split_by */
    int64_t keys_max; /* time: 0 for SPLIT_KEYS_MAX */
    int passes;       /* time: over the file, that finding the border took */
    size_t column;
    uint64_t test_below; /* hash: below it is the test part */
    uint64_t
        train_until; /* time: keys below it are of the training part, above it of the test part */
    int64_t train_ties; /* so many records with just that key are of the training part */
    int64_t *
        ties_before; /* a chunk: how many lie in the chunks before it; NULL: all ties are training */
    int64_t chunk_count;
};

/*
 * A zeroed split first, or one with nothing but `keys_max`. By time it makes a pass, and some more if there are
 * more than keys_max records. Freed by split_clear().
 */
MUST_CHECK enum status split_open(const struct data_spec *spec, const struct data_fit *fit,
                                  const struct records *records,
                                  const struct records_policy *policy, struct split *out,
                                  struct error *err);
void split_clear(struct split *split);

/*
 * Whether the record, which data_check_record() took, is set aside. *ties counts the records of its chunk,
 * in their order, that lie on the border by time: 0 at the chunk's begin. STATUS_INVALID where the time is
 * none.
 */
MUST_CHECK enum status split_is_test(const struct split *split, const struct record *record,
                                     int64_t *ties, bool *out_test, struct error *err);

/*
 * Which kinds of times came, for keys of numbers and of RFC 3339 texts have no common order: the first line of each,
 * 0 for none. A zeroed one first.
 */
struct split_times {
    int64_t number_line, text_line;
};
void split_note_time(struct split_times *times, int64_t line, bool is_text);
/* Adds what a later chunk has and zeroes it; STATUS_INVALID when both kinds have come. */
MUST_CHECK enum status split_merge_times(struct split_times *all, struct split_times *part,
                                         const char *path, const char *column, struct error *err);

#endif
