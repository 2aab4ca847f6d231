#ifndef TRAINER_MODEL_TEXT_PACK_H
#define TRAINER_MODEL_TEXT_PACK_H

/*
 * text_pack.h - a call's texts as the recurrent operations of compute.h want them: rows sorted by
 * length, longest first and else in their order, step after step, without padding.
 *
 * The rows come in groups of TEXT_GROUP_ROWS, each packed by itself, so that what a model keeps of a
 * group's tokens is bounded, and each group's texts are of about one length. All groups have the shape
 * of the first, which is the largest; what a group does not use of it is filled with a token that the
 * call has anyway, so that no row of a table is touched for nothing.
 *
 * A pure function of its arguments: it may run on any thread.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trainer/data/data.h"

#define TEXT_GROUP_ROWS 32 /* enough for the products of a step; what a group keeps stays near */

/* Texts of a data set, and what to take of each. */
struct text_source {
    const int32_t *tokens;
    const int64_t *offsets; /* (records + 1) */
    const int32_t *labels;  /* NULL: all 0 */
    int length;             /* at most so many tokens, the last ones */
    int vocabulary;         /* tokens are below it */
    bool pads;              /* all rows are `length` long, zeros in front */
};

/* Where things lie in a packed block, in int32_t from its begin; rows are in the sorted order. */
struct text_layout {
    int groups;
    int steps;              /* of the longest row, rounded up */
    int tokens;             /* of a group, rounded up */
    size_t labels, lengths; /* (rows) */
    size_t places;          /* (rows): where row i of the call stands among the sorted ones */
    size_t ids;             /* (groups, tokens) */
    size_t count;           /* of the whole block */
};

/* STATUS_INVALID: the set has no texts. */
MUST_CHECK enum status text_source_of(const struct dataset *set, struct text_source *out,
                                      struct error *err);

/* The layout of a block for so many rows; steps and tokens as text_pack() gave them. */
struct text_layout text_layout_of(int rows, int steps, int tokens);
/* The largest that `rows` texts of at most `length` tokens may come to. */
struct text_layout text_layout_largest(int rows, int length);

/* Packs the records into `block`. STATUS_CORRUPT: a token that the vocabulary does not have. */
MUST_CHECK enum status text_pack(const struct text_source *source, const int32_t *records, int rows,
                                 int32_t *block, struct text_layout *out, struct error *err);

#endif
