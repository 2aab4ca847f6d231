#ifndef BASE_FS_H
#define BASE_FS_H

/*
 * fs.h - owned descriptors and durable files.
 *
 * Durable means: a crash at any moment leaves the old file or the whole new one, because the bytes
 * are synced before the rename and the directory after it. A failed fsync is never retried: after
 * it the kernel may have dropped the dirty pages.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"

void fd_cleanup(const int *fd);       /* CLEANUP(fd_cleanup) int fd = open(...): closes if >= 0 */
void file_cleanup(FILE *const *file); /* CLEANUP(file_cleanup) FILE *f */
void free_cleanup(void *pointer);     /* CLEANUP(free_cleanup) char *p */

/* Writes all bytes, through EINTR and short writes. */
MUST_CHECK enum status fs_write_all(int fd, const void *bytes, size_t size, struct error *err);
/* Reads exactly `size` bytes at `offset`; STATUS_CORRUPT if the file ends before. */
MUST_CHECK enum status fs_pread_all(int fd, void *bytes, size_t size, off_t offset,
                                    struct error *err);
/* Writes all of it at `offset`. */
MUST_CHECK enum status fs_pwrite_all(int fd, const void *bytes, size_t size, off_t offset,
                                     struct error *err);
/* Appends the whole file to `out` (initialised by the caller, whose maximum bounds the read). */
MUST_CHECK enum status fs_read_file(const char *path, struct buf *out, struct error *err);
/* Replaces `path` durably with these bytes (temporary name, fsync, rename, fsync of the folder). */
MUST_CHECK enum status fs_replace_file(const char *path, const void *bytes, size_t size,
                                       mode_t mode, struct error *err);
MUST_CHECK enum status fs_fsync_dir(const char *path, struct error *err);
/* mkdir -p; existing folders are fine, their mode is left alone. */
MUST_CHECK enum status fs_make_dirs(const char *path, mode_t mode, struct error *err);
/* rm -r, never through symbolic links; a missing path is fine. */
MUST_CHECK enum status fs_remove_tree(const char *path, struct error *err);
/* Joins and formats a path; STATUS_TOO_LARGE beyond `size`. */
MUST_CHECK enum status fs_path(char *out, size_t size, struct error *err, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
bool fs_exists(const char *path);

#endif
