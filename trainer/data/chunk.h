#ifndef TRAINER_DATA_CHUNK_H
#define TRAINER_DATA_CHUNK_H

/*
 * chunk.h - a source cut into chunks of whole records. Where the cuts lie follows from the decoded bytes
 * alone: not from the compression, nor from how many threads take chunks. So whatever is summed chunk
 * by chunk, in order, is the same on every machine.
 *
 * A byte order mark at the beginning is passed over.
 *
 * Threads: one at a time takes chunks from a chunker; each owns the chunk that it fills.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trainer/data/csv.h"
#include "trainer/data/source.h"

#define CHUNK_BYTES (1 * MIB) /* read for each chunk */
#define CHUNK_RECORD_BYTES_MAX \
    (16 * MIB) /* of one record; the memory of a chunk is twice that at most */

/* A zeroed one is empty. The memory stays with it from one fill to the next. */
struct chunk {
    char *bytes; /* CSV_PADDING_BYTES more than `size` may be touched */
    size_t size; /* 0: the source has ended */
    size_t capacity;
    int64_t number;     /* 0, 1, ... */
    int64_t first_line; /* of the file, counted from 1 */
};
void chunk_clear(struct chunk *chunk);

struct chunker;

/* The dialect is copied. */
MUST_CHECK enum status chunker_open(const char *path, const struct csv_dialect *dialect,
                                    struct chunker **out, struct error *err);
void chunker_close(struct chunker *chunker); /* accepts NULL */
void chunker_cleanup(struct chunker *const *chunker);

/* The next chunk. STATUS_TOO_LARGE, with file and line, for a record over CHUNK_RECORD_BYTES_MAX. */
MUST_CHECK enum status chunker_next(struct chunker *chunker, struct chunk *chunk,
                                    struct error *err);
/*
 * The first record of the source alone, before any chunker_next(): a header. Its line counts.
 */
MUST_CHECK enum status chunker_first(struct chunker *chunker, struct chunk *chunk,
                                     struct error *err);
const struct source *chunker_source(const struct chunker *chunker);
const struct csv_dialect *chunker_dialect(const struct chunker *chunker);

#endif
