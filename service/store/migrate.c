#include "service/store/migrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"

/* One line a file, in order, by database; see $(EMBED_SERVICE) in the Makefile. */
#define STATE_MIGRATION_MAP(X)     X(0001_state) X(0002_state)
#define TELEMETRY_MIGRATION_MAP(X) X(0001_telemetry)

#define X(name)                                                       \
    extern const char _binary_schema_migrations_##name##_sql_start[]; \
    extern const char _binary_schema_migrations_##name##_sql_end[];
STATE_MIGRATION_MAP(X)
TELEMETRY_MIGRATION_MAP(X)
#undef X

struct migration {
    const char *start;
    const char *end;
};

#define X(name) \
    {_binary_schema_migrations_##name##_sql_start, _binary_schema_migrations_##name##_sql_end},
static const struct migration state_migrations[] = {STATE_MIGRATION_MAP(X)};
static const struct migration telemetry_migrations[] = {TELEMETRY_MIGRATION_MAP(X)};
#undef X

static const struct {
    const struct migration *items;
    int count;
} lists[] = {
    [MIGRATE_STATE] = {state_migrations, COUNT_OF(state_migrations)},
    [MIGRATE_TELEMETRY] = {telemetry_migrations, COUNT_OF(telemetry_migrations)},
};

int migrate_version(enum migrate_which which)
{
    return lists[which].count;
}

static enum status read_version(sqlite3 *db, int *out, struct error *err)
{
    sqlite3_stmt *stmt = NULL;
    TRY(sql_status(db, sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &stmt, NULL),
                   "user_version", err));
    const enum status status = sql_step(stmt, err);
    if (status == STATUS_OK)
        *out = sqlite3_column_int(stmt, 0);
    (void)sqlite3_finalize(stmt); /* repeats the step's error */
    return status;
}

static enum status apply(sqlite3 *db, const struct migration *migration, int version,
                         struct error *err)
{
    const size_t size = (size_t)(migration->end - migration->start);
    CLEANUP(free_cleanup) char *text = strndup(migration->start, size);
    if (text == NULL)
        return error_set(err, STATUS_NO_MEMORY, "migration of %zu bytes", size);
    char stamp[64];
    (void)snprintf(stamp, sizeof stamp, "PRAGMA user_version=%d", version);
    TRY(sql_exec(db, "BEGIN IMMEDIATE", err));
    enum status status = sql_exec(db, text, err);
    if (status == STATUS_OK)
        status = sql_exec(db, stamp, err);
    if (status == STATUS_OK)
        status = sql_exec(db, "COMMIT", err);
    if (status != STATUS_OK)
        sql_rollback(db);
    return status;
}

enum status migrate(sqlite3 *db, enum migrate_which which, const char *path, struct error *err)
{
    int version = 0;
    TRY(read_version(db, &version, err));
    const int wanted = migrate_version(which);
    if (version > wanted)
        return error_set(
            err, STATUS_UNSUPPORTED,
            "%s has version %d, this program knows up to %d: it was written by a newer "
            "release; run that one, or restore a backup from before the upgrade",
            path, version, wanted);
    for (; version < wanted; version++)
        TRY(apply(db, &lists[which].items[version], version + 1, err));
    return STATUS_OK;
}
