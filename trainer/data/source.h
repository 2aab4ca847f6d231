#ifndef TRAINER_DATA_SOURCE_H
#define TRAINER_DATA_SOURCE_H

/*
 * source.h - the decoded bytes of a data file, one after the other: plain, gzip or zstd, told apart by
 * their first bytes and never by the file's name.
 *
 * Plain files are read and not mapped: a file that is cut while it is mapped ends the process with
 * SIGBUS, here it is an error; and neither resident memory nor address space grows with the file.
 *
 * Threads: a source belongs to one thread at a time.
 * Errors:  name the path, the byte of the file, and how many decoded ones come before; STATUS_INVALID for
 *          damaged streams.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define SOURCE_READ_BYTES (256 * KIB) /* compressed bytes held at once */

enum source_compression { SOURCE_PLAIN, SOURCE_GZIP, SOURCE_ZSTD };

struct source;

/* A regular file; STATUS_INVALID for anything else, which source_check_kind() names by its mode. */
MUST_CHECK enum status source_check_kind(const char *path, mode_t mode, struct error *err);
MUST_CHECK enum status source_open(const char *path, struct source **out, struct error *err);
void source_close(struct source *source); /* accepts NULL */
void source_cleanup(struct source *const *source);

/* Reads `size` bytes; fewer only where the stream ends, whole and with a right checksum. */
MUST_CHECK enum status source_read(struct source *source, void *out, size_t size, size_t *out_got,
                                   struct error *err);

/* All of `size` bytes: STATUS_INVALID where the stream ends before. */
MUST_CHECK enum status source_read_all(struct source *source, void *out, size_t size,
                                       struct error *err);
/* STATUS_INVALID unless the stream ends here; reads its checksum, too. */
MUST_CHECK enum status source_expect_end(struct source *source, struct error *err);

const char *source_path(const struct source *source);
enum source_compression source_compression_of(const struct source *source);
int64_t source_offset(const struct source *source); /* decoded bytes read so far */
/* No file of this size and compression decodes to more: a bound for what headers promise. */
int64_t source_bytes_max(const struct source *source);

#endif
