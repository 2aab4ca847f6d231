#ifndef TRAINER_EXPORT_DURABLE_H
#define TRAINER_EXPORT_DURABLE_H

/*
 * durable.h - a file written piece by piece that is whole or absent: a temporary name beside its own,
 * fsync, rename, fsync of the folder. It is hashed as it is written.
 *
 *     CLEANUP(durable_cleanup) struct durable_file file = {.fd = -1};
 *     TRY(durable_open(&file, path, err));
 *     TRY(durable_append(&file, bytes, size, err));
 *     TRY(durable_publish(&file, path, err));
 *
 * Without durable_publish() nothing is left behind.
 * Errors: STATUS_NO_SPACE and kin name the file.
 */

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

struct durable_file {
    char path[PATH_MAX]; /* the temporary name; "" once it has its final one */
    int fd;
    struct sha256 *hash;
    uint64_t bytes;
};

/* Creates PATH.tmp, or empties one that was left over. */
MUST_CHECK enum status durable_open(struct durable_file *file, const char *path, struct error *err);
MUST_CHECK enum status durable_append(struct durable_file *file, const void *bytes, size_t size,
                                      struct error *err);
MUST_CHECK enum status durable_publish(struct durable_file *file, const char *path,
                                       struct error *err);
/* Of all that was appended; may be called once. */
void durable_sha256(struct durable_file *file, char out[SHA256_HEX_BYTES]);
void durable_cleanup(const struct durable_file *file);

#endif
