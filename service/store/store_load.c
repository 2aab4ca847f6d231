#include "service/store/store.h"

#include "service/store/reader_private.h"
#include "service/store/store_private.h"

/* store_load.c - from the rows back into the brain, in the order that brain.h asks for. */

/*
 * Reads each row of a statement into `out` with `read` and gives it to `load`. Three lines of SQL loop, once:
 * a macro because every row type has its own.
 */
#define LOAD_EACH(which, type, read, load)                                         \
    do {                                                                           \
        CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt_ = store->statements[which]; \
        enum status status_ = STATUS_OK;                                           \
        while ((status_ = sql_step(stmt_, err)) == STATUS_OK) {                    \
            struct sql_row row_ = sql_row(stmt_);                                  \
            struct type out_ = {0};                                                \
            read(&row_, &out_);                                                    \
            TRY(sql_row_status(&row_, err));                                       \
            load(brain, &out_);                                                    \
        }                                                                          \
        if (status_ != STATUS_NOT_FOUND)                                           \
            return status_;                                                        \
    } while (0)

static enum status load_nodes(struct store *store, struct brain *brain, struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = store->statements[STORE_LOAD_NODES];
    CLEANUP(buf_clear) struct buf labels;
    buf_init(&labels, READER_TEXT_MAX);
    enum status status = STATUS_OK;
    while ((status = sql_step(stmt, err)) == STATUS_OK) {
        struct sql_row row = sql_row(stmt);
        struct node_row node = {0};
        node_read(&row, &node);
        buf_reset(&labels);
        (void)sql_row_append(&row, &labels);
        TRY(buf_status(&labels, "labels of a node", err));
        TRY(sql_row_status(&row, err));
        node.labels = labels.data;
        brain_load_node(brain, &node);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status load_ranks(struct store *store, struct brain *brain,
                              const struct attempt_row *attempt, struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = store->statements[STORE_LOAD_RANKS];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, attempt->job);
    sql_bind_int(&bind, attempt->attempt);
    enum status status = STATUS_OK;
    while ((status = sql_step(stmt, err)) == STATUS_OK) {
        struct sql_row row = sql_row(stmt);
        struct rank_row rank = {0};
        rank_read(&row, &rank);
        TRY(sql_row_status(&row, err));
        brain_load_rank(brain, &rank);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status load_attempts(struct store *store, struct brain *brain, struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = store->statements[STORE_LOAD_ATTEMPTS];
    enum status status = STATUS_OK;
    while ((status = sql_step(stmt, err)) == STATUS_OK) {
        struct sql_row row = sql_row(stmt);
        struct attempt_row attempt = {0};
        attempt_read(&row, &attempt);
        TRY(sql_row_status(&row, err));
        brain_load_attempt(brain, &attempt);
        TRY(load_ranks(store, brain, &attempt, err));
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status store_load(struct store *store, struct brain *brain, struct error *err)
{
    TRY(load_nodes(store, brain, err));
    LOAD_EACH(STORE_LOAD_SLOTS, slot_row, slot_read, brain_load_slot);
    LOAD_EACH(STORE_LOAD_JOBS, job_row, job_read, brain_load_job);
    TRY(load_attempts(store, brain, err));
    LOAD_EACH(STORE_LOAD_PORTS, port_row, port_read, brain_load_port);
    LOAD_EACH(STORE_LOAD_SHARDS, shard_row, shard_read, brain_load_shard);
    LOAD_EACH(STORE_LOAD_CHECKPOINTS, checkpoint_row, checkpoint_read, brain_load_checkpoint);
    return STATUS_OK;
}
