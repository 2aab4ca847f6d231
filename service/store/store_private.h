#ifndef SERVICE_STORE_STORE_PRIVATE_H
#define SERVICE_STORE_STORE_PRIVATE_H

/* store_private.h - private to service/store: the writer's statements and struct store. */

#include "service/store/room.h"
#include "service/store/row_codec.h"
#include "service/store/store.h"

/*
 * `SET x = x` in front of a list of columns: SQLite counts only the last assignment of a column, so
 * this costs nothing and lets every list begin with a comma.
 */
/* clang-format off */
#define STORE_STATEMENT_MAP(X)                                                                     \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                    \
    X(COMMIT, "COMMIT")                                                                            \
    X(COUNTER_SET, "UPDATE counters SET value = ? WHERE name = ?")                                 \
    X(COUNTER_GET, "SELECT value FROM counters WHERE name = ?")                                    \
    X(JOB_INSERT, "INSERT INTO jobs (number, id" JOB_FIXED_COLUMNS(COLUMN_NAME)                    \
                  JOB_LIFE_COLUMNS(COLUMN_NAME) ", labels, spec, metrics) VALUES (NULL, ?"         \
                  JOB_FIXED_COLUMNS(COLUMN_MARK) JOB_LIFE_COLUMNS(COLUMN_MARK) ", ?, ?, '{}')")    \
    X(JOB_UPDATE, "UPDATE jobs SET revision = revision" JOB_LIFE_COLUMNS(COLUMN_SET)               \
                  " WHERE id = ?")                                                                 \
    X(JOB_RESULT, "UPDATE jobs SET metrics = ?" JOB_LIFE_COLUMNS(COLUMN_SET) " WHERE id = ?")      \
    X(ATTEMPT_INSERT, "INSERT INTO attempts (job, attempt" ATTEMPT_FIXED_COLUMNS(COLUMN_NAME)      \
                      ATTEMPT_LIFE_COLUMNS(COLUMN_NAME) ") VALUES (?, ?"                           \
                      ATTEMPT_FIXED_COLUMNS(COLUMN_MARK) ATTEMPT_LIFE_COLUMNS(COLUMN_MARK) ")")    \
    X(ATTEMPT_UPDATE, "UPDATE attempts SET state = state" ATTEMPT_LIFE_COLUMNS(COLUMN_SET)         \
                      " WHERE job = ? AND attempt = ?")                                            \
    X(RANK_PUT, "INSERT INTO ranks (job, attempt, rank" RANK_COLUMNS(COLUMN_NAME)                  \
                ") VALUES (?, ?, ?" RANK_COLUMNS(COLUMN_MARK)                                      \
                ") ON CONFLICT DO UPDATE SET pid = pid" RANK_COLUMNS(COLUMN_TAKE))                 \
    X(NODE_PUT, "INSERT INTO nodes (id, labels" NODE_COLUMNS(COLUMN_NAME) ") VALUES (?, ?"         \
                NODE_COLUMNS(COLUMN_MARK)                                                          \
                ") ON CONFLICT DO UPDATE SET labels = excluded.labels" NODE_COLUMNS(COLUMN_TAKE))  \
    X(SLOT_PUT, "INSERT INTO slots (node, slot" SLOT_COLUMNS(COLUMN_NAME)                          \
                ", job, attempt, rank) VALUES (?, ?" SLOT_COLUMNS(COLUMN_MARK)                     \
                ", ?, ?, ?) ON CONFLICT DO UPDATE SET job = excluded.job,"                         \
                " attempt = excluded.attempt, rank = excluded.rank" SLOT_COLUMNS(COLUMN_TAKE))     \
    X(SLOT_DELETE, "DELETE FROM slots WHERE node = ? AND slot = ?")                                \
    X(PORT_INSERT, "INSERT INTO ports (address, port, job, attempt) VALUES (?, ?, ?, ?)")          \
    X(PORT_DELETE, "DELETE FROM ports WHERE address = ? AND port = ?")                             \
    X(SHARD_INSERT, "INSERT INTO shards (job" SHARD_COLUMNS(COLUMN_NAME) ") VALUES (?"             \
                    SHARD_COLUMNS(COLUMN_MARK) ")")                                                \
    X(SHARDS_DROP, "DELETE FROM shards WHERE job = ?1 AND attempt = ?2 AND NOT EXISTS"             \
                   " (SELECT 1 FROM checkpoints AS c WHERE c.job = ?1 AND c.step = shards.step"    \
                   " AND c.attempt = ?2)")                                                         \
    X(CHECKPOINT_INSERT, "INSERT INTO checkpoints (job" CHECKPOINT_COLUMNS(COLUMN_NAME)            \
                         ") VALUES (?" CHECKPOINT_COLUMNS(COLUMN_MARK) ")")                        \
    X(CHECKPOINT_DELETE, "DELETE FROM checkpoints WHERE job = ? AND step = ? AND attempt = ?")     \
    X(CHECKPOINT_SHARDS_DELETE, "DELETE FROM shards WHERE job = ? AND step = ? AND attempt = ?")   \
    X(EVENT_INSERT, "INSERT INTO job_events (job, seq" EVENT_COLUMNS(COLUMN_NAME)                  \
                    ") VALUES (?1, (SELECT coalesce(max(seq), 0) + 1 FROM job_events"              \
                    " WHERE job = ?1)" EVENT_COLUMNS(COLUMN_MARK) ")")                             \
    X(NODE_EVENTS_TRIM, "DELETE FROM job_events WHERE job = '' AND seq <="                         \
                        " (SELECT max(seq) FROM job_events WHERE job = '') - ?")                   \
    X(JOIN_TOKEN_USE, "UPDATE join_tokens SET used_by = ? WHERE id = ? AND used_by IS NULL")       \
    X(NODE_TOKEN_INSERT, "INSERT INTO tokens (id, role, project, name, node, sha256,"              \
                         " created_at_ms, expires_at_ms, revoked_at_ms)"                           \
                         " SELECT ?, 'node', NULL, hostname, id, ?, joined_at_ms, 0, 0"            \
                         " FROM nodes WHERE id = ?")                                               \
    X(NODE_TOKENS_REVOKE, "UPDATE tokens SET revoked_at_ms = max(1, (SELECT joined_at_ms"          \
                          " FROM nodes WHERE id = ?1)) WHERE node = ?1 AND node IS NOT NULL"       \
                          " AND revoked_at_ms = 0")                                                \
    X(KEY_RELEASE, "UPDATE jobs SET idempotency_key = '' WHERE project = ? AND"                    \
                   " idempotency_key = ? AND idempotency_key <> ''")                               \
    X(KEYS_SCAN, "SELECT number, created_at_ms, idempotency_key <> '' FROM jobs"                   \
                 " WHERE number > ? ORDER BY number LIMIT ?")                                      \
    X(KEY_RELEASE_NUMBER, "UPDATE jobs SET idempotency_key = '' WHERE number = ?")                 \
    X(PROJECT_ENSURE, "INSERT INTO projects (name, created_at_ms) VALUES (?, ?)"                   \
                      " ON CONFLICT DO NOTHING")                                                   \
    X(DATASET_PUT, "INSERT INTO datasets (name" DATASET_COLUMNS(COLUMN_NAME) ") VALUES (?"         \
                   DATASET_COLUMNS(COLUMN_MARK) ") ON CONFLICT DO UPDATE SET"                      \
                   " path = excluded.path, updated_at_ms = excluded.updated_at_ms")                \
    X(TOKEN_INSERT, "INSERT INTO tokens (id" TOKEN_COLUMNS(COLUMN_NAME) ") VALUES (?"              \
                    TOKEN_COLUMNS(COLUMN_MARK) ")")                                                \
    X(TOKEN_REVOKE, "UPDATE tokens SET revoked_at_ms = ? WHERE id = ? AND revoked_at_ms = 0")      \
    X(JOIN_TOKEN_INSERT, "INSERT INTO join_tokens (id" JOIN_TOKEN_COLUMNS(COLUMN_NAME)             \
                         ") VALUES (?" JOIN_TOKEN_COLUMNS(COLUMN_MARK) ")")                        \
    X(LOAD_NODES, "SELECT " NODE_SELECT ", labels FROM nodes ORDER BY id")                         \
    X(LOAD_SLOTS, "SELECT " SLOT_SELECT " FROM slots ORDER BY node, slot")                         \
    X(LOAD_JOBS, "SELECT " JOB_SELECT " FROM jobs WHERE state IN " JOB_LIVE_STATES                 \
                 " OR id IN (SELECT job FROM ranks WHERE ended = 0) ORDER BY id")                  \
    X(LOAD_ATTEMPTS, "SELECT " ATTEMPT_SELECT " FROM attempts WHERE (job, attempt) IN"             \
                     " (SELECT id, attempt FROM jobs WHERE state IN " JOB_LIVE_STATES " UNION"     \
                     " SELECT r.job, j.attempt FROM ranks AS r JOIN jobs AS j ON j.id = r.job"     \
                     " WHERE r.ended = 0 UNION SELECT job, attempt FROM ranks WHERE ended = 0)"    \
                     " ORDER BY job, attempt")                                                     \
    X(LOAD_RANKS, "SELECT " RANK_SELECT " FROM ranks WHERE job = ? AND attempt = ? ORDER BY rank") \
    X(LOAD_PORTS, "SELECT " PORT_SELECT " FROM ports ORDER BY address, port")                      \
    X(LOAD_SHARDS, "SELECT s." SHARD_SELECT " FROM shards AS s WHERE (job, attempt) IN"            \
                   " (SELECT job, attempt FROM attempts WHERE state <> 'ended') AND NOT EXISTS"    \
                   " (SELECT 1 FROM checkpoints AS c WHERE c.job = s.job AND c.step = s.step)"     \
                   " ORDER BY job, attempt, step, shard")                                          \
    X(LOAD_CHECKPOINTS, "SELECT " CHECKPOINT_SELECT " FROM checkpoints WHERE job IN"               \
                        " (SELECT id FROM jobs WHERE state IN " JOB_LIVE_STATES ")"                \
                        " ORDER BY job, step")
/* clang-format on */

enum store_statement {
#define X(name, text) STORE_##name,
    STORE_STATEMENT_MAP(X) STORE_STATEMENT_COUNT
#undef X
};

struct store {
    sqlite3 *db;
    struct disk_room room;
    int lock_fd; /* holds <data_dir>/lock; -1 in memory */
    struct reader *reader;
    sqlite3_stmt *statements[STORE_STATEMENT_COUNT];
    int64_t revision;         /* committed */
    int64_t revision_pending; /* highest of the open transaction */
    int64_t wal_pages;        /* frames in the WAL after the last commit */
    int64_t wal_moved;        /* of these, moved into the database */
};

#endif
