#include "service/store/store.h"

#include <assert.h>

#include "service/store/store_private.h"

/* store_apply.c - one function an effect; the table at the end says which. */

static sqlite3_stmt *statement(struct store *store, enum store_statement which,
                               struct sql_bind *out_bind)
{
    sqlite3_stmt *stmt = store->statements[which];
    *out_bind = sql_bind(stmt);
    return stmt;
}

/* For rows that must be there: the brain never changes what it has not written. */
static enum status run_on_one(sqlite3_stmt *stmt, const char *what, const char *key,
                              struct error *err)
{
    int changes = 0;
    TRY(sql_run(stmt, &changes, err));
    if (changes != 1)
        return error_set(err, STATUS_INTERNAL, "database: no %s %s to change", what, key);
    return STATUS_OK;
}

static void note_revision(struct store *store, int64_t revision)
{
    if (revision > store->revision_pending)
        store->revision_pending = revision;
}

/* ---- jobs */

static enum status apply_job_insert(struct store *store, const struct effect *effect,
                                    struct error *err)
{
    struct sql_bind bind;
    sqlite3_stmt *stmt = statement(store, STORE_JOB_INSERT, &bind);
    sql_bind_text(&bind, effect->job.id);
    job_fixed_bind(&bind, &effect->job);
    job_life_bind(&bind, &effect->job);
    sql_bind_text(&bind, effect->labels != NULL ? effect->labels : "{}");
    sql_bind_text(&bind, effect->spec);
    note_revision(store, effect->job.revision);
    return sql_run(stmt, NULL, err);
}

static enum status apply_job_update(struct store *store, const struct effect *effect,
                                    struct error *err)
{
    struct sql_bind bind;
    sqlite3_stmt *stmt = statement(store, STORE_JOB_UPDATE, &bind);
    job_life_bind(&bind, &effect->job);
    sql_bind_text(&bind, effect->job.id);
    note_revision(store, effect->job.revision);
    return run_on_one(stmt, "job", effect->job.id, err);
}

static enum status apply_job_result(struct store *store, const struct effect *effect,
                                    struct error *err)
{
    struct sql_bind bind;
    sqlite3_stmt *stmt = statement(store, STORE_JOB_RESULT, &bind);
    sql_bind_text(&bind, effect->metrics != NULL ? effect->metrics : "{}");
    job_life_bind(&bind, &effect->job);
    sql_bind_text(&bind, effect->job.id);
    note_revision(store, effect->job.revision);
    return run_on_one(stmt, "job", effect->job.id, err);
}

/* ---- attempts and ranks */

static enum status apply_attempt_insert(struct store *store, const struct effect *effect,
                                        struct error *err)
{
    struct sql_bind bind;
    sqlite3_stmt *stmt = statement(store, STORE_ATTEMPT_INSERT, &bind);
    sql_bind_text(&bind, effect->attempt.job);
    sql_bind_int(&bind, effect->attempt.attempt);
    attempt_fixed_bind(&bind, &effect->attempt);
    attempt_life_bind(&bind, &effect->attempt);
    return sql_run(stmt, NULL, err);
}

static enum status apply_attempt_update(struct store *store, const struct effect *effect,
                                        struct error *err)
{
    struct sql_bind bind;
    sqlite3_stmt *stmt = statement(store, STORE_ATTEMPT_UPDATE, &bind);
    attempt_life_bind(&bind, &effect->attempt);
    sql_bind_text(&bind, effect->attempt.job);
    sql_bind_int(&bind, effect->attempt.attempt);
    return run_on_one(stmt, "attempt of job", effect->attempt.job, err);
}

static enum status apply_rank_put(struct store *store, const struct effect *effect,
                                  struct error *err)
{
    struct sql_bind bind;
    sqlite3_stmt *stmt = statement(store, STORE_RANK_PUT, &bind);
    sql_bind_text(&bind, effect->rank.job);
    sql_bind_int(&bind, effect->rank.attempt);
    sql_bind_int(&bind, effect->rank.rank);
    rank_bind(&bind, &effect->rank);
    return sql_run(stmt, NULL, err);
}

/* ---- nodes, slots, ports */

static enum status apply_node_put(struct store *store, const struct effect *effect,
                                  struct error *err)
{
    struct sql_bind bind;
    sqlite3_stmt *stmt = statement(store, STORE_NODE_PUT, &bind);
    sql_bind_text(&bind, effect->node.id);
    sql_bind_text(&bind, effect->node.labels != NULL ? effect->node.labels : "{}");
    node_bind(&bind, &effect->node);
    note_revision(store, effect->node.revision);
    return sql_run(stmt, NULL, err);
}

/* A node's credential: the join token is used up, earlier credentials of the node end. */
static enum status apply_node_token(struct store *store, const struct effect *effect,
                                    struct error *err)
{
    const struct effect_token *token = &effect->token;
    struct sql_bind bind;
    sqlite3_stmt *stmt = NULL;
    if (token->join_token != NULL && token->join_token[0] != '\0') {
        stmt = statement(store, STORE_JOIN_TOKEN_USE, &bind);
        sql_bind_text(&bind, token->node);
        sql_bind_text(&bind, token->join_token);
        TRY(run_on_one(stmt, "unused join token", token->join_token, err));
    }
    stmt = statement(store, STORE_NODE_TOKENS_REVOKE, &bind);
    sql_bind_text(&bind, token->node);
    TRY(sql_run(stmt, NULL, err));
    stmt = statement(store, STORE_NODE_TOKEN_INSERT, &bind);
    sql_bind_text(&bind, token->node_token);
    sql_bind_blob(&bind, token->node_token_sha256, SHA256_BYTES);
    sql_bind_text(&bind, token->node);
    return run_on_one(stmt, "node", token->node, err);
}

static enum status apply_slot_put(struct store *store, const struct effect *effect,
                                  struct error *err)
{
    struct sql_bind bind;
    sqlite3_stmt *stmt = statement(store, STORE_SLOT_PUT, &bind);
    sql_bind_text(&bind, effect->slot.node);
    sql_bind_text(&bind, effect->slot.slot);
    slot_bind(&bind, &effect->slot);
    return sql_run(stmt, NULL, err);
}

static enum status apply_slot_delete(struct store *store, const struct effect *effect,
                                     struct error *err)
{
    struct sql_bind bind;
    sqlite3_stmt *stmt = statement(store, STORE_SLOT_DELETE, &bind);
    sql_bind_text(&bind, effect->slot.node);
    sql_bind_text(&bind, effect->slot.slot);
    return run_on_one(stmt, "slot", effect->slot.slot, err);
}

static enum status apply_port_insert(struct store *store, const struct effect *effect,
                                     struct error *err)
{
    struct sql_bind bind;
    sqlite3_stmt *stmt = statement(store, STORE_PORT_INSERT, &bind);
    sql_bind_text(&bind, effect->port.address);
    sql_bind_int(&bind, effect->port.port);
    sql_bind_text(&bind, effect->port.job);
    sql_bind_int(&bind, effect->port.attempt);
    return sql_run(stmt, NULL, err);
}

static enum status apply_port_delete(struct store *store, const struct effect *effect,
                                     struct error *err)
{
    struct sql_bind bind;
    sqlite3_stmt *stmt = statement(store, STORE_PORT_DELETE, &bind);
    sql_bind_text(&bind, effect->port.address);
    sql_bind_int(&bind, effect->port.port);
    return run_on_one(stmt, "port of", effect->port.address, err);
}

/* ---- checkpoints */

static enum status apply_shard_insert(struct store *store, const struct effect *effect,
                                      struct error *err)
{
    struct sql_bind bind;
    sqlite3_stmt *stmt = statement(store, STORE_SHARD_INSERT, &bind);
    sql_bind_text(&bind, effect->shard.job);
    shard_bind(&bind, &effect->shard);
    return sql_run(stmt, NULL, err);
}

static enum status apply_checkpoint_insert(struct store *store, const struct effect *effect,
                                           struct error *err)
{
    struct sql_bind bind;
    sqlite3_stmt *stmt = statement(store, STORE_CHECKPOINT_INSERT, &bind);
    sql_bind_text(&bind, effect->checkpoint.job);
    checkpoint_bind(&bind, &effect->checkpoint);
    return sql_run(stmt, NULL, err);
}

static enum status apply_checkpoint_delete(struct store *store, const struct effect *effect,
                                           struct error *err)
{
    const struct checkpoint_row *row = &effect->checkpoint;
    struct sql_bind bind;
    sqlite3_stmt *stmt = statement(store, STORE_CHECKPOINT_DELETE, &bind);
    sql_bind_text(&bind, row->job);
    sql_bind_int(&bind, row->step);
    sql_bind_int(&bind, row->attempt);
    TRY(run_on_one(stmt, "checkpoint of job", row->job, err));
    stmt = statement(store, STORE_CHECKPOINT_SHARDS_DELETE, &bind);
    sql_bind_text(&bind, row->job);
    sql_bind_int(&bind, row->step);
    sql_bind_int(&bind, row->attempt);
    return sql_run(stmt, NULL, err);
}

static enum status apply_shards_drop(struct store *store, const struct effect *effect,
                                     struct error *err)
{
    struct sql_bind bind;
    sqlite3_stmt *stmt = statement(store, STORE_SHARDS_DROP, &bind);
    sql_bind_text(&bind, effect->drop_job);
    sql_bind_int(&bind, effect->drop_attempt);
    return sql_run(stmt, NULL, err);
}

/* ---- history */

static enum status apply_event(struct store *store, const struct effect *effect, struct error *err)
{
    struct sql_bind bind;
    sqlite3_stmt *stmt = statement(store, STORE_EVENT_INSERT, &bind);
    sql_bind_text(&bind, effect->event.job);
    event_bind(&bind, &effect->event);
    TRY(sql_run(stmt, NULL, err));
    if (effect->event.job[0] != '\0')
        return STATUS_OK;
    stmt = statement(store, STORE_NODE_EVENTS_TRIM, &bind);
    sql_bind_int(&bind, STORE_NODE_EVENTS_MAX);
    return sql_run(stmt, NULL, err);
}

/* Writes no row, but its revision was given out and must never be given again. */
static enum status apply_desired(struct store *store, const struct effect *effect,
                                 struct error *err)
{
    (void)err;
    note_revision(store, effect->node.revision);
    return STATUS_OK;
}

typedef enum status apply_fn(struct store *store, const struct effect *effect, struct error *err);

static apply_fn *const appliers[EFFECT_KIND_COUNT] = {
    [EFFECT_JOB_INSERT] = apply_job_insert,
    [EFFECT_JOB_UPDATE] = apply_job_update,
    [EFFECT_JOB_RESULT] = apply_job_result,
    [EFFECT_ATTEMPT_INSERT] = apply_attempt_insert,
    [EFFECT_ATTEMPT_UPDATE] = apply_attempt_update,
    [EFFECT_RANK_PUT] = apply_rank_put,
    [EFFECT_NODE_PUT] = apply_node_put,
    [EFFECT_NODE_TOKEN] = apply_node_token,
    [EFFECT_SLOT_PUT] = apply_slot_put,
    [EFFECT_SLOT_DELETE] = apply_slot_delete,
    [EFFECT_PORT_INSERT] = apply_port_insert,
    [EFFECT_PORT_DELETE] = apply_port_delete,
    [EFFECT_SHARD_INSERT] = apply_shard_insert,
    [EFFECT_CHECKPOINT_INSERT] = apply_checkpoint_insert,
    [EFFECT_CHECKPOINT_DELETE] = apply_checkpoint_delete,
    [EFFECT_SHARDS_DROP] = apply_shards_drop,
    [EFFECT_EVENT] = apply_event,
    [EFFECT_DESIRED] = apply_desired,
};

enum status store_apply(struct store *store, const struct effects *effects, struct error *err)
{
    assert(store_in_transaction(store));
    for (size_t i = 0; i < effects->count; i++) {
        const struct effect *effect = &effects->items[i];
        assert(effect->kind < EFFECT_KIND_COUNT);
        assert(appliers[effect->kind] != NULL);
        TRY(appliers[effect->kind](store, effect, err));
    }
    return STATUS_OK;
}
