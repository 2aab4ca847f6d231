#ifndef SERVICE_STORE_LOGS_H
#define SERVICE_STORE_LOGS_H

/*
 * logs.h - the output of ranks: of each stream the first LOGS_HEAD_BYTES and the last LOGS_TAIL_BYTES.
 *
 * A stream has its own positions: byte n of what the rank wrote stays byte n for ever. On disk it is a folder of
 * segments, each named by the position of its first byte:
 *
 *     <data_dir>/logs/<job>/<attempt>/<rank>/stdout.00000000000000000000   the head, never dropped
 *                                            stdout.00000000000000065536   tail segments; the oldest go
 *
 * A hole between segments is output that was dropped or never arrived; reading says so in one line,
 * "[reprise: 1234 bytes left out]". Repeats are harmless: what is below the end is skipped.
 * Not synced: survives kill -9; after a power loss the sender fills up from logs_end().
 *
 * Threads: any; one mutex for appends, none for reads.
 * Errors:  STATUS_INVALID for names that could leave the folder; STATUS_NO_SPACE.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

#define LOGS_HEAD_BYTES    (64 * KIB)
#define LOGS_TAIL_BYTES    (1 * MIB)
#define LOGS_SEGMENT_BYTES (256 * KIB)
#define LOGS_READ_BYTES    (256 * KIB) /* most that one read returns */

struct logs;

struct logs_stream {
    const char *job;
    int64_t attempt;
    int64_t rank;
    const char *stream; /* "stdout" or "stderr" */
};

MUST_CHECK enum status logs_open(const char *data_dir, struct logs **out, struct error *err);
void logs_close(struct logs *logs); /* accepts NULL */
void logs_cleanup(struct logs **logs);

/*
 * Appends bytes that begin at position `offset`. Below the end: the known part is skipped. Above:
 * a hole is kept. *out_end is the position after the last byte now.
 */
MUST_CHECK enum status logs_append(struct logs *logs, const struct logs_stream *stream,
                                   int64_t offset, const void *bytes, size_t size, int64_t *out_end,
                                   struct error *err);
/* The position after the last byte; 0 for a stream that does not exist. */
MUST_CHECK enum status logs_end(struct logs *logs, const struct logs_stream *stream,
                                int64_t *out_end, struct error *err);
/*
 * Appends to `out` (initialised by the caller) what is from `offset` on, at most LOGS_READ_BYTES, with a line
 * for each hole. *out_next is where to go on; equal to the end when all was read. Following: wait until
 * the stream's end moves (whoever appends tells), read again from *out_next.
 * STATUS_NOT_FOUND when the stream does not exist.
 */
MUST_CHECK enum status logs_read(struct logs *logs, const struct logs_stream *stream,
                                 int64_t offset, struct buf *out, int64_t *out_next,
                                 struct error *err);
/* The position at which the last `lines` lines begin (within the last LOGS_READ_BYTES). */
MUST_CHECK enum status logs_tail(struct logs *logs, const struct logs_stream *stream, int64_t lines,
                                 int64_t *out_offset, struct error *err);
/* Ranks of an attempt that have output of this stream, ascending, at most `max`. */
MUST_CHECK enum status logs_ranks(struct logs *logs, const char *job, int64_t attempt,
                                  const char *stream, int64_t *out_ranks, size_t max,
                                  size_t *out_count, struct error *err);

/* Removes all of a job; fine when there is nothing. */
MUST_CHECK enum status logs_drop_job(struct logs *logs, const char *job, struct error *err);
/* Removes jobs none of whose files changed since `not_before_ms` (wall), at most `jobs_max` a call. */
MUST_CHECK enum status logs_prune(struct logs *logs, int64_t not_before_ms, size_t jobs_max,
                                  size_t *out_removed, struct error *err);

#endif
