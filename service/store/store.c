#include "service/store/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "service/store/migrate.h"
#include "service/store/reader_private.h"
#include "service/store/store_private.h"

/* quick_check reads the whole file; a start must not take longer than this because of it. */
#define STORE_QUICK_CHECK_MS      2000
#define STORE_QUICK_CHECK_OPCODES 20000 /* between two looks at the clock */

static const char *const statement_texts[] = {
#define X(name, text) text,
    STORE_STATEMENT_MAP(X)
#undef X
};

/* ---- opening */

static enum status lock_folder(const char *data_dir, int *out_fd, struct error *err)
{
    char path[STORE_PATH_BYTES_MAX];
    TRY(fs_path(path, sizeof path, err, "%s/lock", data_dir));
    CLEANUP(fd_cleanup) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return error_set(err, STATUS_CONFLICT, "another controller runs on %s", data_dir);
        return error_set_errno(err, STATUS_INTERNAL, errno, "lock %s", path);
    }
    *out_fd = fd;
    fd = -1;
    return STATUS_OK;
}

static int stop_after_deadline(void *deadline_mono_ms)
{
    return clock_mono_ms() >= *(const int64_t *)deadline_mono_ms;
}

/* Refuses a damaged file. Of a large one it checks as much as the time allows. */
static enum status quick_check(sqlite3 *db, struct error *err)
{
    int64_t deadline_mono_ms = clock_mono_ms() + STORE_QUICK_CHECK_MS;
    sqlite3_stmt *stmt = NULL;
    TRY(sql_status(db, sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &stmt, NULL),
                   "quick_check", err));
    sqlite3_progress_handler(db, STORE_QUICK_CHECK_OPCODES, stop_after_deadline, &deadline_mono_ms);
    const int rc = sqlite3_step(stmt);
    sqlite3_progress_handler(db, 0, NULL, NULL);
    enum status status = STATUS_OK;
    if (rc == SQLITE_ROW) {
        const char *verdict = (const char *)sqlite3_column_text(stmt, 0);
        if (verdict == NULL || strcmp(verdict, "ok") != 0)
            status = error_set(err, STATUS_CORRUPT, "%s", verdict != NULL ? verdict : "?");
    } else if (rc != SQLITE_INTERRUPT) {
        status = sql_status(db, rc, "quick_check", err);
    }
    (void)sqlite3_finalize(stmt);        /* repeats the step's error */
    (void)sqlite3_db_release_memory(db); /* the pages that it read are not wanted again */
    return status;
}

static int note_wal_pages(void *context, sqlite3 *db, const char *name, int pages)
{
    struct store *store = context;
    (void)db;
    (void)name;
    if (pages < store->wal_pages)
        store->wal_moved = 0; /* SQLite began the WAL anew */
    store->wal_pages = pages;
    return SQLITE_OK;
}

static enum status open_database(struct store *store, const char *path, struct error *err)
{
    TRY(sql_open(path, SQL_WRITER, true, &store->db, err));
    (void)sqlite3_wal_hook(store->db, note_wal_pages, store);
    TRY(quick_check(store->db, err));
    return migrate(store->db, MIGRATE_STATE, path, err);
}

static enum status open_file(struct store *store, const char *data_dir, struct error *err)
{
    char path[STORE_PATH_BYTES_MAX];
    struct error why = {0};
    TRY(fs_path(path, sizeof path, err, "%s/state.db", data_dir));
    TRY(lock_folder(data_dir, &store->lock_fd, err));
    TRY(room_open(&store->room, data_dir, err));
    const enum status status = open_database(store, path, &why);
    if (status == STATUS_CORRUPT)
        return error_set(err, status, "%s is damaged (%s): restore the newest backup in its place",
                         path, why.text);
    if (status != STATUS_OK)
        return error_set(err, status, "%s", why.text);
    return fs_fsync_dir(data_dir, err);
}

/*
 * The simulator opens one for each seed: the migrations run once a process and the result is copied.
 * The template is made once, never changed and never closed.
 */
static pthread_mutex_t template_lock = PTHREAD_MUTEX_INITIALIZER;
static sqlite3 *template_db;

static enum status copy_template(sqlite3 *db, struct error *err)
{
    if (template_db == NULL) {
        sqlite3 *fresh = NULL;
        TRY(sql_open(STORE_MEMORY, SQL_MEMORY, false, &fresh, err));
        const enum status status = migrate(fresh, MIGRATE_STATE, STORE_MEMORY, err);
        if (status != STATUS_OK) {
            sql_close(fresh);
            return status;
        }
        template_db = fresh;
    }
    sqlite3_backup *copy = sqlite3_backup_init(db, "main", template_db, "main");
    if (copy == NULL)
        return sql_status(db, sqlite3_errcode(db), "copy of the template", err);
    (void)sqlite3_backup_step(copy, -1); /* its result comes with finish */
    return sql_status(db, sqlite3_backup_finish(copy), "copy of the template", err);
}

static enum status open_memory(sqlite3 **out, struct error *err)
{
    TRY(sql_open(STORE_MEMORY, SQL_MEMORY, false, out, err));
    pthread_mutex_lock(&template_lock);
    const enum status status = copy_template(*out, err);
    pthread_mutex_unlock(&template_lock);
    return status;
}

static enum status read_counter(struct store *store, const char *name, int64_t *out,
                                struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = store->statements[STORE_COUNTER_GET];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, name);
    if (sql_step(stmt, err) != STATUS_OK)
        return error_set(err, STATUS_CORRUPT, "database: there is no counter %s", name);
    *out = sqlite3_column_int64(stmt, 0);
    return STATUS_OK;
}

enum status store_open(const char *data_dir, struct store **out, struct error *err)
{
    CLEANUP(store_cleanup) struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return error_set(err, STATUS_NO_MEMORY, "store of %zu bytes", sizeof *store);
    store->lock_fd = -1;
    if (strcmp(data_dir, STORE_MEMORY) == 0)
        TRY(open_memory(&store->db, err));
    else
        TRY(open_file(store, data_dir, err));
    TRY(sql_prepare(store->db, statement_texts, STORE_STATEMENT_COUNT, store->statements, err));
    TRY(reader_new(store->db, true, &store->reader, err));
    TRY(read_counter(store, "revision", &store->revision, err));
    store->revision_pending = store->revision;
    *out = TAKE(store);
    return STATUS_OK;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    if (store->db != NULL)
        sql_rollback(store->db);
    reader_close(store->reader);
    sql_finalize(store->statements, STORE_STATEMENT_COUNT);
    sql_close(store->db);
    fd_cleanup(&store->lock_fd);
    free(store);
}

void store_cleanup(struct store **store)
{
    store_close(*store);
}

struct reader *store_reader(struct store *store)
{
    return store->reader;
}

int64_t store_revision(const struct store *store)
{
    return store->revision;
}

/* ---- transactions */

enum status store_begin(struct store *store, struct error *err)
{
    assert(!store_in_transaction(store));
    return sql_run(store->statements[STORE_BEGIN], NULL, err);
}

enum status store_commit(struct store *store, struct error *err)
{
    assert(store_in_transaction(store));
    if (store->revision_pending > store->revision) {
        sqlite3_stmt *stmt = store->statements[STORE_COUNTER_SET];
        struct sql_bind bind = sql_bind(stmt);
        sql_bind_int(&bind, store->revision_pending);
        sql_bind_text(&bind, "revision");
        TRY(sql_run(stmt, NULL, err));
    }
    TRY(sql_run(store->statements[STORE_COMMIT], NULL, err));
    store->revision = store->revision_pending;
    return STATUS_OK;
}

void store_rollback(struct store *store)
{
    sql_rollback(store->db);
    store->revision_pending = store->revision;
}

bool store_in_transaction(const struct store *store)
{
    return sqlite3_get_autocommit(store->db) == 0;
}

/* ---- upkeep */

bool store_has_room(struct store *store)
{
    return !room_is_tight(&store->room);
}

int64_t store_wal_pages(const struct store *store)
{
    return store->wal_pages - store->wal_moved;
}

enum status store_maintain(struct store *store, bool idle, struct error *err)
{
    assert(!store_in_transaction(store));
    const int64_t due = idle || store->room.tight ? STORE_WAL_PAGES_IDLE : STORE_WAL_PAGES_MAX;
    if (store_wal_pages(store) < due)
        return STATUS_OK;
    /* PASSIVE never waits for readers; what they still hold is moved the next time. */
    int pages = 0;
    int moved = 0;
    const int rc =
        sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &moved);
    /* No room, or another program is at it: nothing is lost, the pages stay in the WAL. */
    if ((rc & 0xff) == SQLITE_FULL || (rc & 0xff) == SQLITE_BUSY)
        return STATUS_OK;
    TRY(sql_status(store->db, rc, "checkpoint of the WAL", err));
    store->wal_pages = pages;
    store->wal_moved = moved;
    return STATUS_OK;
}
