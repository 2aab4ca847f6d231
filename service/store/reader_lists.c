#include "service/store/reader.h"

#include <stdio.h>
#include <stdlib.h>

#include "service/store/reader_private.h"

/* reader_lists.c - what belongs to a job, nodes, and what operators keep. */

static enum status make_parts(struct reader *reader, struct error *err)
{
    if (reader->parts == NULL)
        reader->parts = calloc(1, sizeof *reader->parts);
    if (reader->parts == NULL)
        return error_set(err, STATUS_NO_MEMORY, "rows of %zu bytes", sizeof *reader->parts);
    return STATUS_OK;
}

static enum status too_many(const char *what, struct error *err)
{
    return error_set(err, STATUS_CORRUPT, "database: more than %d %s of one object",
                     READER_PARTS_MAX, what);
}

/* A list ends with STATUS_NOT_FOUND from sql_step(). */
static enum status list_end(enum status status)
{
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* ---- attempts */

static enum status read_ranks(struct reader *reader, const struct attempt_row *attempt,
                              size_t *out_count, struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = reader->statements[READER_RANKS];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, attempt->job);
    sql_bind_int(&bind, attempt->attempt);
    *out_count = 0;
    enum status status = STATUS_OK;
    while ((status = sql_step(stmt, err)) == STATUS_OK) {
        if (*out_count == READER_PARTS_MAX)
            return too_many("ranks", err);
        struct sql_row row = sql_row(stmt);
        rank_read(&row, &reader->parts->ranks[(*out_count)++]);
        TRY(sql_row_status(&row, err));
    }
    return list_end(status);
}

static enum status list_attempts(struct reader *reader, const char *job, int64_t after_attempt,
                                 size_t limit, attempt_view_fn *fn, void *context,
                                 struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = reader->statements[READER_ATTEMPTS];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, job);
    sql_bind_int(&bind, after_attempt);
    sql_bind_int(&bind, reader_page(limit));
    enum status status = STATUS_OK;
    while ((status = sql_step(stmt, err)) == STATUS_OK) {
        struct sql_row row = sql_row(stmt);
        struct attempt_row attempt = {0};
        attempt_read(&row, &attempt);
        TRY(sql_row_status(&row, err));
        size_t count = 0;
        TRY(read_ranks(reader, &attempt, &count, err));
        fn(context, &attempt, reader->parts->ranks, count);
    }
    return list_end(status);
}

enum status reader_attempts(struct reader *reader, const char *job, int64_t after_attempt,
                            size_t limit, attempt_view_fn *fn, void *context, struct error *err)
{
    TRY(make_parts(reader, err));
    bool held = false;
    TRY(reader_hold(reader, &held, err));
    const enum status status = list_attempts(reader, job, after_attempt, limit, fn, context, err);
    reader_release(reader, held);
    return status;
}

enum status reader_attempt(struct reader *reader, const char *job, int64_t attempt,
                           struct attempt_row *out, struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = reader->statements[READER_ATTEMPT];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, job);
    sql_bind_int(&bind, attempt);
    const enum status status = sql_step(stmt, err);
    if (status == STATUS_NOT_FOUND)
        return error_set(err, STATUS_NOT_FOUND, "job %s has no attempt %jd", job,
                         (intmax_t)attempt);
    TRY(status);
    struct sql_row row = sql_row(stmt);
    attempt_read(&row, out);
    return sql_row_status(&row, err);
}

/* ---- checkpoints */

static enum status read_shards(struct reader *reader, const struct checkpoint_row *checkpoint,
                               size_t *out_count, struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = reader->statements[READER_SHARDS];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, checkpoint->job);
    sql_bind_int(&bind, checkpoint->attempt);
    sql_bind_int(&bind, checkpoint->step);
    *out_count = 0;
    enum status status = STATUS_OK;
    while ((status = sql_step(stmt, err)) == STATUS_OK) {
        if (*out_count == READER_PARTS_MAX)
            return too_many("shards", err);
        struct sql_row row = sql_row(stmt);
        shard_read(&row, &reader->parts->shards[(*out_count)++]);
        TRY(sql_row_status(&row, err));
    }
    return list_end(status);
}

/* Steps a bound statement over checkpoints; *out_count says how many there were. */
static enum status list_checkpoints(struct reader *reader, sqlite3_stmt *bound,
                                    checkpoint_view_fn *fn, void *context, size_t *out_count,
                                    struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = bound;
    *out_count = 0;
    enum status status = STATUS_OK;
    while ((status = sql_step(stmt, err)) == STATUS_OK) {
        struct sql_row row = sql_row(stmt);
        struct checkpoint_row checkpoint = {0};
        checkpoint_read(&row, &checkpoint);
        TRY(sql_row_status(&row, err));
        size_t shards = 0;
        TRY(read_shards(reader, &checkpoint, &shards, err));
        fn(context, &checkpoint, reader->parts->shards, shards);
        (*out_count)++;
    }
    return list_end(status);
}

enum status reader_checkpoints(struct reader *reader, const char *job, int64_t after_step,
                               size_t limit, checkpoint_view_fn *fn, void *context,
                               struct error *err)
{
    TRY(make_parts(reader, err));
    bool held = false;
    TRY(reader_hold(reader, &held, err));
    sqlite3_stmt *stmt = reader->statements[READER_CHECKPOINTS];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, job);
    sql_bind_int(&bind, after_step);
    sql_bind_int(&bind, reader_page(limit));
    size_t count = 0;
    const enum status status = list_checkpoints(reader, stmt, fn, context, &count, err);
    reader_release(reader, held);
    return status;
}

enum status reader_checkpoint(struct reader *reader, const char *job, int64_t step,
                              checkpoint_view_fn *fn, void *context, struct error *err)
{
    TRY(make_parts(reader, err));
    bool held = false;
    TRY(reader_hold(reader, &held, err));
    sqlite3_stmt *stmt = reader->statements[READER_CHECKPOINT];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, job);
    sql_bind_int(&bind, step);
    size_t count = 0;
    const enum status status = list_checkpoints(reader, stmt, fn, context, &count, err);
    reader_release(reader, held);
    if (status == STATUS_OK && count == 0)
        return error_set(err, STATUS_NOT_FOUND, "job %s has no checkpoint of step %jd", job,
                         (intmax_t)step);
    return status;
}

enum status reader_shard(struct reader *reader, const char *job, int64_t attempt, int64_t step,
                         int64_t shard, struct shard_row *out, struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = reader->statements[READER_SHARD];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, job);
    sql_bind_int(&bind, attempt);
    sql_bind_int(&bind, step);
    sql_bind_int(&bind, shard);
    const enum status status = sql_step(stmt, err);
    if (status == STATUS_NOT_FOUND)
        return error_set(err, STATUS_NOT_FOUND, "job %s attempt %jd step %jd has no shard %jd", job,
                         (intmax_t)attempt, (intmax_t)step, (intmax_t)shard);
    TRY(status);
    struct sql_row row = sql_row(stmt);
    shard_read(&row, out);
    return sql_row_status(&row, err);
}

enum status reader_open_steps(struct reader *reader, const char *job, int64_t attempt, step_fn *fn,
                              void *context, struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = reader->statements[READER_OPEN_STEPS];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, job);
    sql_bind_int(&bind, attempt);
    enum status status = STATUS_OK;
    while ((status = sql_step(stmt, err)) == STATUS_OK) {
        struct sql_row row = sql_row(stmt);
        const int64_t step = sql_row_int(&row);
        TRY(sql_row_status(&row, err));
        fn(context, step);
    }
    return list_end(status);
}

/* ---- events */

enum status reader_events(struct reader *reader, const char *job, int64_t after_seq, size_t limit,
                          event_view_fn *fn, void *context, struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = reader->statements[READER_EVENTS];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, job);
    sql_bind_int(&bind, after_seq);
    sql_bind_int(&bind, reader_page(limit));
    enum status status = STATUS_OK;
    while ((status = sql_step(stmt, err)) == STATUS_OK) {
        struct sql_row row = sql_row(stmt);
        struct event_row event = {0};
        const int64_t seq = sql_row_int(&row);
        event_read(&row, &event);
        (void)snprintf(event.job, sizeof event.job, "%s", job); /* it was found by this id */
        TRY(sql_row_status(&row, err));
        fn(context, seq, &event);
    }
    return list_end(status);
}

/* ---- nodes */

static enum status read_slots(struct reader *reader, const char *node, size_t *out_count,
                              struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = reader->statements[READER_SLOTS];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, node);
    *out_count = 0;
    enum status status = STATUS_OK;
    while ((status = sql_step(stmt, err)) == STATUS_OK) {
        if (*out_count == READER_PARTS_MAX)
            return too_many("slots", err);
        struct sql_row row = sql_row(stmt);
        slot_read(&row, &reader->parts->slots[(*out_count)++]);
        TRY(sql_row_status(&row, err));
    }
    return list_end(status);
}

static enum status list_nodes(struct reader *reader, sqlite3_stmt *bound, node_view_fn *fn,
                              void *context, size_t *out_count, struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = bound;
    *out_count = 0;
    enum status status = STATUS_OK;
    while ((status = sql_step(stmt, err)) == STATUS_OK) {
        struct sql_row row = sql_row(stmt);
        struct node_row node = {0};
        node_read(&row, &node);
        buf_reset(&reader->text);
        (void)sql_row_append(&row, &reader->text);
        TRY(buf_status(&reader->text, "labels of a node", err));
        TRY(sql_row_status(&row, err));
        node.labels = reader->text.data;
        size_t slots = 0;
        TRY(read_slots(reader, node.id, &slots, err));
        fn(context, &node, reader->parts->slots, slots);
        (*out_count)++;
    }
    return list_end(status);
}

enum status reader_nodes(struct reader *reader, const char *after_id, size_t limit,
                         node_view_fn *fn, void *context, struct error *err)
{
    TRY(make_parts(reader, err));
    bool held = false;
    TRY(reader_hold(reader, &held, err));
    sqlite3_stmt *stmt = reader->statements[READER_NODES];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, after_id);
    sql_bind_int(&bind, reader_page(limit));
    size_t count = 0;
    const enum status status = list_nodes(reader, stmt, fn, context, &count, err);
    reader_release(reader, held);
    return status;
}

enum status reader_node(struct reader *reader, const char *id, node_view_fn *fn, void *context,
                        struct error *err)
{
    TRY(make_parts(reader, err));
    bool held = false;
    TRY(reader_hold(reader, &held, err));
    sqlite3_stmt *stmt = reader->statements[READER_NODE];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, id);
    size_t count = 0;
    const enum status status = list_nodes(reader, stmt, fn, context, &count, err);
    reader_release(reader, held);
    if (status == STATUS_OK && count == 0)
        return error_set(err, STATUS_NOT_FOUND, "there is no node %s", id);
    return status;
}
