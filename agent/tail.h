#ifndef AGENT_TAIL_H
#define AGENT_TAIL_H

/*
 * tail.h - reads whole lines of a growing file from a given offset, and keeps where we are on disk.
 *
 * Nothing is buffered between calls: the offset is the only state, so a crash or a failed delivery is
 * mended by setting it back.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

#define TAIL_CHUNK_BYTES (64 * KIB)

/*
 * Reads from `offset` into `chunk` (emptied first; at most its maximum) and cuts it after the last
 * newline. A line that does not fit in the chunk is skipped: *out_skipped is its length and the
 * chunk is empty. STATUS_OK with an empty chunk and nothing skipped: no whole line yet.
 */
MUST_CHECK enum status tail_read(int fd, int64_t offset, struct buf *chunk, int64_t *out_skipped,
                                 struct error *err);

/*
 * How far a rank's events are delivered. `acked`: the controller has every line before it.
 * `settled` (never more): and has the files that those lines name, too.
 */
struct tail_offsets {
    int64_t acked;
    int64_t settled;
};

/*
 * Zeroes for a missing or torn file, and for offsets beyond the end of what they belong to: then all is
 * sent again, and the controller drops repeats.
 */
struct tail_offsets tail_offsets_read(const char *path, int fd);
/* Overwrites in place, unsynced, for the same reason. */
MUST_CHECK enum status tail_offsets_write(const char *path, const struct tail_offsets *offsets,
                                          struct error *err);

#endif
