#ifndef BASE_ERROR_H
#define BASE_ERROR_H

/*
 * error.h - how every function in this repository says that it failed.
 *
 * A function that can fail returns `enum status` and takes `struct error *err` last. The status is
 * for code: callers branch on it, HTTP maps it to a response code, main maps it to an exit code.
 * The text is for people: lower case, no full stop, names the object and the value that was wrong.
 *
 * The first error wins: error_set() keeps what is already there, so a failure during clean-up
 * cannot hide the failure that caused it. Outputs (`out_...`) are written only on STATUS_OK.
 * `err` may be NULL where the caller only wants the status.
 */

#include "base/compiler.h"

enum status {
    STATUS_OK = 0,
    STATUS_INVALID,     /* the caller sent something malformed             400 */
    STATUS_DENIED,      /* no or wrong credential                          401 */
    STATUS_FORBIDDEN,   /* a known caller may not do this                  403 */
    STATUS_NOT_FOUND,   /* no such job, node, checkpoint, file             404 */
    STATUS_CONFLICT,    /* the state forbids it, or the attempt is stale   409 */
    STATUS_TOO_LARGE,   /* over a limit of ours                            413 */
    STATUS_BUSY,        /* a bounded queue is full: try again later        429 */
    STATUS_UNAVAILABLE, /* peer down or timed out: try again later         503 */
    STATUS_NO_MEMORY,   /* host or device memory                           503 */
    STATUS_NO_SPACE,    /* disk full                                       507 */
    STATUS_CORRUPT,     /* bytes on disk or wire fail their own checks     500 */
    STATUS_UNSUPPORTED, /* known, but not in this release or build         501 */
    STATUS_INTERNAL,    /* everything else                                 500 */
    STATUS_COUNT
};

#define ERROR_TEXT_BYTES_MAX 384

struct error {
    enum status status;
    char text[ERROR_TEXT_BYTES_MAX];
};

/* Records the first failure and returns `status`, so that callers can `return error_set(...)`. */
enum status error_set(struct error *err, enum status status, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* error_set() with ": <strerror(errnum)>" appended. */
enum status error_set_errno(struct error *err, enum status status, int errnum, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* The same calls, spelled so that compiler and analyzers see that a failure comes back. */
#define error_set(err, code, ...)                           \
    __extension__({                                         \
        const enum status set_status_ = (code);             \
        (void)(error_set)((err), set_status_, __VA_ARGS__); \
        set_status_;                                        \
    })
#define error_set_errno(err, code, ...)                           \
    __extension__({                                               \
        const enum status set_status_ = (code);                   \
        (void)(error_set_errno)((err), set_status_, __VA_ARGS__); \
        set_status_;                                              \
    })

/* Maps an errno of a file operation: ENOENT, EACCES, ENOSPC, EDQUOT, ENOMEM, EEXIST; else INTERNAL. */
enum status status_of_errno(int errnum);

/* "ok", "invalid", "not_found", ...: the word for logs and problem answers. */
const char *status_name(enum status status);

/* Forgets the error, for a loop that goes on after reporting it. */
void error_clear(struct error *err);

/*
 * TRY: return the failure of `call` to our caller. The one macro here with control flow inside.
 * It is safe because every resource in scope is declared with CLEANUP().
 */
#define TRY(call)                               \
    do {                                        \
        const enum status try_status_ = (call); \
        if (try_status_ != STATUS_OK)           \
            return try_status_;                 \
    } while (0)

#endif
