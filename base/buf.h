#ifndef BASE_BUF_H
#define BASE_BUF_H

/*
 * buf.h - a growing byte buffer with a maximum. Always NUL-terminated, so `data` is also a string.
 *
 * An append that would pass the maximum, or finds no memory, marks the buffer as failed and changes
 * nothing else; every later append is ignored. So a writer appends freely and checks once at the
 * end with buf_status().
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct buf {
    char *data; /* never NULL after buf_init(): points to "" until the first append */
    size_t size;
    size_t capacity;
    size_t bytes_max;
    enum status failed; /* STATUS_OK, STATUS_TOO_LARGE or STATUS_NO_MEMORY */
};

/* An empty buffer that owns nothing yet. `bytes_max` excludes the terminating NUL. */
void buf_init(struct buf *buf, size_t bytes_max);
void buf_clear(
    struct buf *buf); /* frees; the buffer is empty and usable again; CLEANUP(buf_clear) */
void buf_reset(struct buf *buf); /* empties, keeps the memory */

void buf_append(struct buf *buf, const void *bytes, size_t size);
void buf_append_text(struct buf *buf, const char *text);
void buf_printf(struct buf *buf, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Removes the first `size` bytes. */
void buf_consume(struct buf *buf, size_t size);

/* STATUS_OK, or the first failure with a text that names `what`. */
MUST_CHECK enum status buf_status(const struct buf *buf, const char *what, struct error *err);
/* Hands the bytes to the caller, who free()s them; the buffer is empty afterwards. */
char *buf_take(struct buf *buf);

#endif
