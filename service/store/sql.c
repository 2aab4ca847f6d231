#include "service/store/sql.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "schema/names.h"

enum status sql_status(sqlite3 *db, int rc, const char *what, struct error *err)
{
    if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE)
        return STATUS_OK;
    enum status status = STATUS_INTERNAL;
    const int primary = rc & 0xff;
    if (primary == SQLITE_FULL)
        status = STATUS_NO_SPACE;
    else if (primary == SQLITE_NOMEM)
        status = STATUS_NO_MEMORY;
    else if (primary == SQLITE_BUSY)
        status = STATUS_UNAVAILABLE; /* another program has locked it */
    else if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB)
        status = STATUS_CORRUPT;
    return error_set(err, status, "database: %s: %s (%s)", what,
                     db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(rc), sqlite3_errstr(rc));
}

enum status sql_exec(sqlite3 *db, const char *text, struct error *err)
{
    const int rc = sqlite3_exec(db, text, NULL, NULL, NULL);
    char what[64];
    (void)snprintf(what, sizeof what, "%.60s", text); /* a prefix is enough to name it */
    return sql_status(db, rc, what, err);
}

void sql_rollback(sqlite3 *db)
{
    if (sqlite3_get_autocommit(db) == 0)
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL); /* fails only if none is open */
}

static enum status set_pragmas(sqlite3 *db, enum sql_mode mode, bool durable, struct error *err)
{
    TRY(sql_exec(db,
                 "PRAGMA foreign_keys=ON;"
                 "PRAGMA trusted_schema=OFF;"
                 "PRAGMA cell_size_check=ON;"
                 "PRAGMA busy_timeout=0;"
                 "PRAGMA mmap_size=0;"
                 "PRAGMA temp_store=MEMORY;"
                 "PRAGMA wal_autocheckpoint=0;",
                 err));
    char text[160];
    (void)snprintf(text, sizeof text, "PRAGMA cache_size=-%d",
                   mode == SQL_READER ? SQL_READER_CACHE_KIB : SQL_WRITER_CACHE_KIB);
    TRY(sql_exec(db, text, err));
    if (mode == SQL_READER)
        return sql_exec(db, "PRAGMA query_only=ON", err);
    if (mode == SQL_MEMORY)
        return STATUS_OK;
    (void)snprintf(text, sizeof text,
                   "PRAGMA journal_mode=WAL;"
                   "PRAGMA synchronous=%s;"
                   "PRAGMA journal_size_limit=67108864",
                   durable ? "FULL" : "NORMAL");
    TRY(sql_exec(db, text, err));
    return durable ? sql_status(db, sqlite3_busy_timeout(db, SQL_BUSY_MS), "busy timeout", err)
                   : STATUS_OK;
}

enum status sql_open(const char *path, enum sql_mode mode, bool durable, sqlite3 **out,
                     struct error *err)
{
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_READWRITE;
    if (mode != SQL_READER)
        flags |= SQLITE_OPEN_CREATE;
    sqlite3 *db = NULL;
    const int rc = sqlite3_open_v2(mode == SQL_MEMORY ? ":memory:" : path, &db, flags, NULL);
    enum status status = sql_status(db, rc, path, err);
    if (status == STATUS_OK && mode == SQL_READER)
        status =
            sql_status(db, sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL),
                       "no checkpoint on close", err);
    if (status == STATUS_OK)
        status = sql_status(db, sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL),
                            "defensive", err);
    if (status == STATUS_OK)
        status = set_pragmas(db, mode, durable, err);
    if (status != STATUS_OK) {
        sql_close(db);
        return status;
    }
    *out = db;
    return STATUS_OK;
}

void sql_close(sqlite3 *db)
{
    const int rc = sqlite3_close(db);
    assert(rc == SQLITE_OK); /* a statement was not finalised: our bug */
    (void)rc;
}

enum status sql_prepare(sqlite3 *db, const char *const texts[], size_t count, sqlite3_stmt *out[],
                        struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        const int rc =
            sqlite3_prepare_v3(db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &out[i], NULL);
        TRY(sql_status(db, rc, texts[i], err));
    }
    return STATUS_OK;
}

void sql_finalize(sqlite3_stmt *statements[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)sqlite3_finalize(statements[i]); /* repeats the last step's error, told already */
        statements[i] = NULL;
    }
}

struct sql_bind sql_bind(sqlite3_stmt *stmt)
{
    return (struct sql_bind){.stmt = stmt, .next = 1};
}

/* Binding fails only for an index that does not exist or a statement in use: our bugs. */
static void must_bind(int rc)
{
    assert(rc == SQLITE_OK);
    (void)rc;
}

void sql_bind_int(struct sql_bind *bind, int64_t value)
{
    must_bind(sqlite3_bind_int64(bind->stmt, bind->next++, value));
}

void sql_bind_text(struct sql_bind *bind, const char *text)
{
    must_bind(
        sqlite3_bind_text(bind->stmt, bind->next++, text != NULL ? text : "", -1, SQLITE_STATIC));
}

void sql_bind_double(struct sql_bind *bind, double value)
{
    must_bind(sqlite3_bind_double(bind->stmt, bind->next++, value));
}

void sql_bind_null(struct sql_bind *bind)
{
    must_bind(sqlite3_bind_null(bind->stmt, bind->next++));
}

void sql_bind_option(struct sql_bind *bind, const char *text)
{
    if (text == NULL || text[0] == '\0')
        sql_bind_null(bind);
    else
        sql_bind_text(bind, text);
}

void sql_bind_blob(struct sql_bind *bind, const void *bytes, size_t size)
{
    must_bind(sqlite3_bind_blob64(bind->stmt, bind->next++, bytes, size, SQLITE_STATIC));
}

enum status sql_run(sqlite3_stmt *stmt, int *out_changes, struct error *err)
{
    sqlite3 *db = sqlite3_db_handle(stmt);
    const int rc = sqlite3_step(stmt);
    assert(rc != SQLITE_ROW);
    const enum status status = sql_status(db, rc, sqlite3_sql(stmt), err);
    (void)sqlite3_reset(stmt); /* repeats the error of the step */
    if (status == STATUS_OK && out_changes != NULL)
        *out_changes = sqlite3_changes(db);
    return status;
}

enum status sql_step(sqlite3_stmt *stmt, struct error *err)
{
    const int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        return STATUS_OK;
    if (rc == SQLITE_DONE)
        return STATUS_NOT_FOUND;
    return sql_status(sqlite3_db_handle(stmt), rc, sqlite3_sql(stmt), err);
}

void sql_reset_cleanup(sqlite3_stmt *const *stmt)
{
    (void)sqlite3_reset(*stmt); /* repeats the error of the step */
}

struct sql_row sql_row(sqlite3_stmt *stmt)
{
    return (struct sql_row){.stmt = stmt};
}

int64_t sql_row_int(struct sql_row *row)
{
    return sqlite3_column_int64(row->stmt, row->next++);
}

/* The text of a column, "" for NULL; *out_size without the NUL. */
static const char *column_text(struct sql_row *row, size_t *out_size)
{
    const int column = row->next++;
    const unsigned char *text = sqlite3_column_text(row->stmt, column);
    *out_size = text == NULL ? 0 : (size_t)sqlite3_column_bytes(row->stmt, column);
    return text == NULL ? "" : (const char *)text;
}

void sql_row_text(struct sql_row *row, char *out, size_t size)
{
    size_t length = 0;
    const char *text = column_text(row, &length);
    if (length >= size) {
        row->broken = true;
        length = size - 1;
    }
    memcpy(out, text, length);
    out[length] = '\0';
}

int sql_row_word(struct sql_row *row, const char *const names[])
{
    size_t length = 0;
    const int index = name_index(names, column_text(row, &length));
    if (index < 0)
        row->broken = true;
    return index < 0 ? 0 : index;
}

void sql_row_blob(struct sql_row *row, void *out, size_t size)
{
    const int column = row->next++;
    const void *bytes = sqlite3_column_blob(row->stmt, column);
    if (bytes == NULL || (size_t)sqlite3_column_bytes(row->stmt, column) != size) {
        row->broken = true;
        memset(out, 0, size);
        return;
    }
    memcpy(out, bytes, size);
}

size_t sql_row_append(struct sql_row *row, struct buf *out)
{
    const size_t position = out->size;
    size_t length = 0;
    const char *text = column_text(row, &length);
    buf_append(out, text, length);
    buf_append(out, "", 1);
    return position;
}

enum status sql_row_status(const struct sql_row *row, struct error *err)
{
    if (!row->broken)
        return STATUS_OK;
    return error_set(err, STATUS_CORRUPT, "database: a row does not fit its columns: %s",
                     sqlite3_sql(row->stmt));
}
