#ifndef SERVICE_STORE_SQL_H
#define SERVICE_STORE_SQL_H

/*
 * sql.h - private to service/store: connections, prepared statements, and how values travel.
 *
 * Values are only ever bound; SQL text is constant. A statement that ran is reset at once, so that no
 * read transaction stays open behind an answer.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

#define SQL_READER_CACHE_KIB 2048
#define SQL_WRITER_CACHE_KIB 16384
#define SQL_BUSY_MS          30000 /* of another program that has the state locked: a shell, a backup */

/* Maps SQLite's result; STATUS_OK for OK, ROW and DONE. `what` names the statement. */
enum status sql_status(sqlite3 *db, int rc, const char *what, struct error *err);

enum sql_mode {
    SQL_WRITER, /* creates; WAL; the caller checkpoints */
    SQL_READER, /* query_only; never checkpoints */
    SQL_MEMORY, /* private, in memory */
};
/*
 * Opens with the pragmas of its kind. A durable writer has synchronous=FULL, else NORMAL, and waits up to
 * SQL_BUSY_MS for who holds the lock; the others never wait.
 */
MUST_CHECK enum status sql_open(const char *path, enum sql_mode mode, bool durable, sqlite3 **out,
                                struct error *err);
void sql_close(sqlite3 *db); /* all statements are finalised before; accepts NULL */
MUST_CHECK enum status sql_exec(sqlite3 *db, const char *text, struct error *err);
/* Ends the open transaction, if there is one: SQLite may have rolled back by itself (disk full, I/O error). */
void sql_rollback(sqlite3 *db);
/* Prepares `count` texts into `out`, which is zeroed before; sql_finalize() also after a failure. */
MUST_CHECK enum status sql_prepare(sqlite3 *db, const char *const texts[], size_t count,
                                   sqlite3_stmt *out[], struct error *err);
void sql_finalize(sqlite3_stmt *statements[], size_t count);

/* ---- binding, column after column */

struct sql_bind {
    sqlite3_stmt *stmt;
    int next; /* 1-based */
};
struct sql_bind sql_bind(sqlite3_stmt *stmt);
void sql_bind_int(struct sql_bind *bind, int64_t value);
void sql_bind_text(struct sql_bind *bind,
                   const char *text); /* borrowed until the reset; NULL: '' */
void sql_bind_option(struct sql_bind *bind, const char *text); /* NULL and "": NULL */
void sql_bind_double(struct sql_bind *bind, double value);
void sql_bind_null(struct sql_bind *bind);
void sql_bind_blob(struct sql_bind *bind, const void *bytes, size_t size);

/* Runs a statement that returns no rows, resets it. *out_changes may be NULL. */
MUST_CHECK enum status sql_run(sqlite3_stmt *stmt, int *out_changes, struct error *err);
/*
 * Next row: STATUS_OK, or STATUS_NOT_FOUND after the last one without touching `err`. The caller resets by
 * sql_reset_cleanup: CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = ...;
 */
MUST_CHECK enum status sql_step(sqlite3_stmt *stmt, struct error *err);
void sql_reset_cleanup(sqlite3_stmt *const *stmt);

/* ---- reading, column after column */

struct sql_row {
    sqlite3_stmt *stmt;
    int next;    /* 0-based */
    bool broken; /* a text was too long or a word unknown */
};
struct sql_row sql_row(sqlite3_stmt *stmt);
int64_t sql_row_int(struct sql_row *row);
void sql_row_text(struct sql_row *row, char *out, size_t size); /* NULL: "" */
int sql_row_word(struct sql_row *row, const char *const names[]);
void sql_row_blob(struct sql_row *row, void *out, size_t size); /* exactly `size` bytes */
/* Appends the text with its NUL; returns its position in `out`. */
size_t sql_row_append(struct sql_row *row, struct buf *out);
/* STATUS_CORRUPT if anything was broken. */
MUST_CHECK enum status sql_row_status(const struct sql_row *row, struct error *err);

#endif
