#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_CAPACITY_MIN 64

/* What `data` of every buffer without memory points at; never written to. */
static char nothing[1];

static bool owns_memory(const struct buf *buf)
{
    return buf->capacity > 0;
}

void buf_init(struct buf *buf, size_t bytes_max)
{
    assert(bytes_max < SIZE_MAX / 2);
    *buf = (struct buf){.data = nothing, .bytes_max = bytes_max};
}

void buf_clear(struct buf *buf)
{
    if (owns_memory(buf))
        free(buf->data);
    buf_init(buf, buf->bytes_max);
}

void buf_reset(struct buf *buf)
{
    buf->size = 0;
    buf->failed = STATUS_OK;
    if (owns_memory(buf))
        buf->data[0] = '\0';
}

/* Makes room for `more` bytes and the NUL, or marks the buffer as failed. */
static bool reserve(struct buf *buf, size_t more)
{
    if (buf->failed != STATUS_OK)
        return false;
    if (more > buf->bytes_max - buf->size) {
        buf->failed = STATUS_TOO_LARGE;
        return false;
    }
    const size_t needed = buf->size + more + 1;
    if (needed <= buf->capacity)
        return true;
    size_t capacity = buf->capacity < BUF_CAPACITY_MIN ? BUF_CAPACITY_MIN : buf->capacity;
    while (capacity < needed)
        capacity *= 2;
    if (capacity > buf->bytes_max + 1)
        capacity = buf->bytes_max + 1;
    char *grown = realloc(owns_memory(buf) ? buf->data : NULL, capacity);
    if (grown == NULL) {
        buf->failed = STATUS_NO_MEMORY;
        return false;
    }
    buf->data = grown;
    buf->capacity = capacity;
    return true;
}

void buf_append(struct buf *buf, const void *bytes, size_t size)
{
    if (!reserve(buf, size))
        return;
    if (size > 0)
        memcpy(buf->data + buf->size, bytes, size);
    buf->size += size;
    buf->data[buf->size] = '\0';
}

void buf_append_text(struct buf *buf, const char *text)
{
    buf_append(buf, text, strlen(text));
}

void buf_printf(struct buf *buf, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    va_list again;
    va_copy(again, args);
    const size_t room = buf->capacity - buf->size;
    const int length = vsnprintf(room > 0 ? buf->data + buf->size : NULL, room, fmt, args);
    va_end(args);
    assert(length >= 0);
    if (!reserve(buf, (size_t)length)) {
        if (owns_memory(buf))
            buf->data[buf->size] = '\0'; /* take back what the first try wrote */
    } else {
        if ((size_t)length >= room)
            (void)vsnprintf(buf->data + buf->size, (size_t)length + 1, fmt, again);
        buf->size += (size_t)length;
    }
    va_end(again);
}

void buf_consume(struct buf *buf, size_t size)
{
    assert(size <= buf->size);
    if (size == 0)
        return;
    buf->size -= size;
    memmove(buf->data, buf->data + size, buf->size + 1);
}

enum status buf_status(const struct buf *buf, const char *what, struct error *err)
{
    if (buf->failed == STATUS_OK)
        return STATUS_OK;
    if (buf->failed == STATUS_TOO_LARGE)
        return error_set(err, STATUS_TOO_LARGE, "%s is over %zu bytes", what, buf->bytes_max);
    return error_set(err, STATUS_NO_MEMORY, "no memory for %s", what);
}

char *buf_take(struct buf *buf)
{
    char *bytes = owns_memory(buf) ? buf->data : strdup("");
    buf_init(buf, buf->bytes_max);
    return bytes;
}
