#include "base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static void set_text(struct error *err, enum status status, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));

static void set_text(struct error *err, enum status status, const char *fmt, va_list args)
{
    err->status = status;
    (void)vsnprintf(err->text, sizeof(err->text), fmt, args);
    text_drop_partial(err->text);
}

static bool is_first(const struct error *err)
{
    return err != NULL && err->status == STATUS_OK;
}

enum status(error_set)(struct error *err, enum status status, const char *fmt, ...)
{
    assert(status > STATUS_OK && status < STATUS_COUNT);
    if (!is_first(err))
        return status;
    va_list args;
    va_start(args, fmt);
    set_text(err, status, fmt, args);
    va_end(args);
    return status;
}

enum status(error_set_errno)(struct error *err, enum status status, int errnum, const char *fmt,
                             ...)
{
    assert(status > STATUS_OK && status < STATUS_COUNT);
    if (!is_first(err))
        return status;
    va_list args;
    va_start(args, fmt);
    set_text(err, status, fmt, args);
    va_end(args);
    /* The GNU strerror_r: returns the text, which need not be in the buffer it was given. */
    char reason[96];
    const char *text = strerror_r(errnum, reason, sizeof(reason));
    const size_t used = strlen(err->text);
    (void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", text);
    return status;
}

enum status status_of_errno(int errnum)
{
    switch (errnum) {
    case ENOENT:
    case ENOTDIR:
        return STATUS_NOT_FOUND;
    case EACCES:
    case EPERM:
        return STATUS_FORBIDDEN;
    case EEXIST:
        return STATUS_CONFLICT;
    case ENOSPC:
    case EDQUOT:
        return STATUS_NO_SPACE;
    case ENOMEM:
        return STATUS_NO_MEMORY;
    default:
        return STATUS_INTERNAL;
    }
}

const char *status_name(enum status status)
{
    static const char *const names[STATUS_COUNT] = {
        [STATUS_OK] = "ok",
        [STATUS_INVALID] = "invalid",
        [STATUS_DENIED] = "denied",
        [STATUS_FORBIDDEN] = "forbidden",
        [STATUS_NOT_FOUND] = "not_found",
        [STATUS_CONFLICT] = "conflict",
        [STATUS_TOO_LARGE] = "too_large",
        [STATUS_BUSY] = "busy",
        [STATUS_UNAVAILABLE] = "unavailable",
        [STATUS_NO_MEMORY] = "no_memory",
        [STATUS_NO_SPACE] = "no_space",
        [STATUS_CORRUPT] = "corrupt",
        [STATUS_UNSUPPORTED] = "unsupported",
        [STATUS_INTERNAL] = "internal",
    };
    assert(status >= STATUS_OK && status < STATUS_COUNT);
    return names[status];
}

void error_clear(struct error *err)
{
    if (err == NULL)
        return;
    err->status = STATUS_OK;
    err->text[0] = '\0';
}
