#include "service/store/store.h"

#include <assert.h>
#include <string.h>

#include "service/store/store_private.h"

/* store_admin.c - writes that are not the brain's: keys, projects, data sets, tokens. */

/* ---- idempotency keys */

enum status store_find_key(struct store *store, const char *project, const char *key,
                           int64_t not_before_ms, char out_job[ID_BYTES_MAX],
                           char out_body_sha256[BRAIN_SHA_BYTES], struct error *err)
{
    assert(store_in_transaction(store));
    char job[ID_BYTES_MAX];
    char sha256[BRAIN_SHA_BYTES];
    TRY(reader_key(store->reader, project, key, INT64_MIN, job, sha256, err)); /* most are free */
    const enum status status =
        reader_key(store->reader, project, key, not_before_ms, out_job, out_body_sha256, err);
    if (status != STATUS_NOT_FOUND)
        return status;
    sqlite3_stmt *stmt = store->statements[STORE_KEY_RELEASE];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, project);
    sql_bind_text(&bind, key);
    TRY(sql_run(stmt, NULL, err));
    return STATUS_NOT_FOUND; /* `err` says that it has expired */
}

/* Numbers to release, and how far the scan came. */
struct key_scan {
    int64_t numbers[STORE_KEYS_RELEASE_BATCH];
    size_t count;
    int64_t last;
};

static enum status scan_keys(struct store *store, int64_t not_before_ms, struct key_scan *scan,
                             struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = store->statements[STORE_KEYS_SCAN];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_int(&bind, scan->last);
    sql_bind_int(&bind, STORE_KEYS_RELEASE_BATCH);
    enum status status = STATUS_OK;
    while ((status = sql_step(stmt, err)) == STATUS_OK) {
        if (sqlite3_column_int64(stmt, 1) >= not_before_ms)
            return STATUS_OK;
        scan->last = sqlite3_column_int64(stmt, 0);
        if (sqlite3_column_int(stmt, 2) != 0)
            scan->numbers[scan->count++] = scan->last;
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status read_released(struct store *store, int64_t *out, struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = store->statements[STORE_COUNTER_GET];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, "keys_released");
    TRY(sql_step(stmt, err));
    *out = sqlite3_column_int64(stmt, 0);
    return STATUS_OK;
}

enum status store_release_keys(struct store *store, int64_t not_before_ms, struct error *err)
{
    assert(store_in_transaction(store));
    struct key_scan scan = {0};
    TRY(read_released(store, &scan.last, err));
    const int64_t before = scan.last;
    TRY(scan_keys(store, not_before_ms, &scan, err));
    for (size_t i = 0; i < scan.count; i++) {
        sqlite3_stmt *release = store->statements[STORE_KEY_RELEASE_NUMBER];
        struct sql_bind bind = sql_bind(release);
        sql_bind_int(&bind, scan.numbers[i]);
        TRY(sql_run(release, NULL, err));
    }
    if (scan.last == before)
        return STATUS_OK;
    sqlite3_stmt *stmt = store->statements[STORE_COUNTER_SET];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_int(&bind, scan.last);
    sql_bind_text(&bind, "keys_released");
    return sql_run(stmt, NULL, err);
}

/* ---- projects, data sets */

enum status store_ensure_project(struct store *store, const char *name, int64_t wall_ms,
                                 bool *out_created, struct error *err)
{
    assert(store_in_transaction(store));
    sqlite3_stmt *stmt = store->statements[STORE_PROJECT_ENSURE];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, name);
    sql_bind_int(&bind, wall_ms);
    int changes = 0;
    TRY(sql_run(stmt, &changes, err));
    if (out_created != NULL)
        *out_created = changes != 0;
    return STATUS_OK;
}

enum status store_put_dataset(struct store *store, const struct dataset_row *dataset,
                              struct error *err)
{
    assert(store_in_transaction(store));
    sqlite3_stmt *stmt = store->statements[STORE_DATASET_PUT];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, dataset->name);
    dataset_bind(&bind, dataset);
    return sql_run(stmt, NULL, err);
}

/* ---- tokens */

enum status store_insert_token(struct store *store, const struct token_row *token,
                               struct error *err)
{
    assert(store_in_transaction(store));
    struct project_row project;
    if (token->project[0] != '\0') {
        const enum status status = reader_project(store->reader, token->project, &project, NULL);
        if (status == STATUS_NOT_FOUND)
            return error_set(err, STATUS_INVALID, "there is no project %s", token->project);
        if (status != STATUS_OK)
            return error_set(err, status, "project %s", token->project);
    }
    sqlite3_stmt *stmt = store->statements[STORE_TOKEN_INSERT];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, token->id);
    token_bind(&bind, token);
    return sql_run(stmt, NULL, err);
}

enum status store_revoke_token(struct store *store, const char *id, int64_t wall_ms,
                               struct error *err)
{
    assert(store_in_transaction(store));
    assert(wall_ms > 0);
    struct token_row token;
    TRY(reader_token(store->reader, id, &token, err));
    sqlite3_stmt *stmt = store->statements[STORE_TOKEN_REVOKE];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_int(&bind, wall_ms);
    sql_bind_text(&bind, id);
    return sql_run(stmt, NULL, err);
}

enum status store_insert_join_token(struct store *store, const struct join_token_row *token,
                                    struct error *err)
{
    assert(store_in_transaction(store));
    sqlite3_stmt *stmt = store->statements[STORE_JOIN_TOKEN_INSERT];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, token->id);
    join_token_bind(&bind, token);
    return sql_run(stmt, NULL, err);
}
