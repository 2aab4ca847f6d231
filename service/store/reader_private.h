#ifndef SERVICE_STORE_READER_PRIVATE_H
#define SERVICE_STORE_READER_PRIVATE_H

/* reader_private.h - private to service/store: the readers' statements and struct reader. */

#include "service/store/reader.h"
#include "service/store/row_codec.h"

#define JOB_VIEW_SELECT  JOB_SELECT ", labels, metrics, spec"
#define READER_TEXT_MAX  (16 * MIB) /* all texts of one row; far above any limit of the API */
#define READER_PARTS_MAX 1024       /* ranks, shards or slots of one object: JOB_RANKS_MAX */

/* SQLite merges these along the index; IN (...) would read and sort all live jobs for each page. */
#define JOBS_IN(state) "SELECT " JOB_VIEW_SELECT " FROM jobs WHERE state = '" state "' AND id < ?1"

/* clang-format off */
#define READER_STATEMENT_MAP(X)                                                                  \
    X(BEGIN, "BEGIN")                                                                            \
    X(JOB, "SELECT " JOB_VIEW_SELECT " FROM jobs WHERE id = ?")                                  \
    X(JOBS, "SELECT " JOB_VIEW_SELECT " FROM jobs WHERE id < ? ORDER BY id DESC")                \
    X(JOBS_OF_PROJECT, "SELECT " JOB_VIEW_SELECT " FROM jobs WHERE project = ?2 AND id < ?1"       \
                       " ORDER BY id DESC")                                                      \
    X(JOBS_OF_STATE, "SELECT " JOB_VIEW_SELECT " FROM jobs WHERE state = ?2 AND id < ?1"         \
                     " ORDER BY id DESC")                                                        \
    X(JOBS_LIVE, JOBS_IN("queued") " UNION ALL " JOBS_IN("starting") " UNION ALL "               \
                 JOBS_IN("running") " UNION ALL " JOBS_IN("recovering") " UNION ALL "            \
                 JOBS_IN("cancelling") " ORDER BY id DESC")                                      \
    X(KEY, "SELECT id, body_sha256, created_at_ms FROM jobs WHERE project = ?"                   \
           " AND idempotency_key = ? AND idempotency_key <> ''")                                 \
    X(ATTEMPTS, "SELECT " ATTEMPT_SELECT " FROM attempts WHERE job = ? AND attempt > ?"          \
                " ORDER BY attempt LIMIT ?")                                                     \
    X(ATTEMPT, "SELECT " ATTEMPT_SELECT " FROM attempts WHERE job = ? AND attempt = ?")          \
    X(RANKS, "SELECT " RANK_SELECT " FROM ranks WHERE job = ? AND attempt = ? ORDER BY rank")    \
    X(CHECKPOINTS, "SELECT " CHECKPOINT_SELECT " FROM checkpoints WHERE job = ? AND step > ?"    \
                   " ORDER BY step LIMIT ?")                                                     \
    X(CHECKPOINT, "SELECT " CHECKPOINT_SELECT " FROM checkpoints WHERE job = ? AND step = ?")    \
    X(SHARDS, "SELECT " SHARD_SELECT " FROM shards WHERE job = ? AND attempt = ? AND step = ?"   \
              " ORDER BY shard")                                                                 \
    X(SHARD, "SELECT " SHARD_SELECT " FROM shards WHERE job = ? AND attempt = ? AND step = ?"    \
             " AND shard = ?")                                                                   \
    X(OPEN_STEPS, "SELECT DISTINCT step FROM shards WHERE job = ?1 AND attempt = ?2 AND NOT EXISTS" \
                  " (SELECT 1 FROM checkpoints AS c WHERE c.job = ?1 AND c.step = shards.step"   \
                  " AND c.attempt = ?2) ORDER BY step")                                          \
    X(EVENTS, "SELECT seq" EVENT_COLUMNS(COLUMN_NAME) " FROM job_events WHERE job = ?"           \
              " AND seq > ? ORDER BY seq LIMIT ?")                                               \
    X(NODES, "SELECT " NODE_SELECT ", labels FROM nodes WHERE id > ? ORDER BY id LIMIT ?")       \
    X(NODE, "SELECT " NODE_SELECT ", labels FROM nodes WHERE id = ?")                            \
    X(SLOTS, "SELECT " SLOT_SELECT " FROM slots WHERE node = ? ORDER BY slot")                   \
    X(PROJECT, "SELECT " PROJECT_SELECT " FROM projects WHERE name = ?")                         \
    X(PROJECTS, "SELECT " PROJECT_SELECT " FROM projects WHERE name > ? ORDER BY name LIMIT ?")  \
    X(DATASET, "SELECT " DATASET_SELECT " FROM datasets WHERE name = ?")                         \
    X(DATASETS, "SELECT " DATASET_SELECT " FROM datasets WHERE name > ? ORDER BY name LIMIT ?")  \
    X(TOKEN, "SELECT " TOKEN_SELECT " FROM tokens WHERE id = ?")                                 \
    X(TOKENS, "SELECT " TOKEN_SELECT " FROM tokens WHERE id > ? ORDER BY id LIMIT ?")            \
    X(JOIN_TOKEN, "SELECT " JOIN_TOKEN_SELECT " FROM join_tokens WHERE id = ?")
/* clang-format on */

enum reader_statement {
#define X(name, text) READER_##name,
    READER_STATEMENT_MAP(X) READER_STATEMENT_COUNT
#undef X
};

struct reader {
    sqlite3 *db;
    bool borrowed; /* the store's connection */
    sqlite3_stmt *statements[READER_STATEMENT_COUNT];
    struct buf text; /* texts of the row that is out */
    union {          /* the rows that are out */
        struct rank_row ranks[READER_PARTS_MAX];
        struct shard_row shards[READER_PARTS_MAX];
        struct slot_row slots[READER_PARTS_MAX];
    } * parts; /* made when first needed */
};

/* A reader on a connection that is somebody else's. */
MUST_CHECK enum status reader_new(sqlite3 *db, bool borrowed, struct reader **out,
                                  struct error *err);
/* One committed state for several statements: begins a read transaction unless one is open. */
MUST_CHECK enum status reader_hold(struct reader *reader, bool *out_held, struct error *err);
void reader_release(struct reader *reader, bool held);
/* `limit` within 1..READER_PAGE_MAX. */
int64_t reader_page(size_t limit);

#endif
