#include "service/store/telemetry.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "service/store/migrate.h"
#include "service/store/telemetry_private.h"

#define TELEMETRY_PATH_BYTES 1024

static const char *const statement_texts[] = {
#define X(name, text) text,
    TELEMETRY_STATEMENT_MAP(X)
#undef X
};

/* ---- opening */

enum status telemetry_open(const char *data_dir, struct telemetry **out, struct error *err)
{
    CLEANUP(telemetry_cleanup) struct telemetry *telemetry = calloc(1, sizeof *telemetry);
    if (telemetry == NULL)
        return error_set(err, STATUS_NO_MEMORY, "telemetry of %zu bytes", sizeof *telemetry);
    char path[TELEMETRY_PATH_BYTES] = ":memory:";
    const bool in_memory = strcmp(data_dir, path) == 0;
    if (!in_memory)
        TRY(fs_path(path, sizeof path, err, "%s/telemetry.db", data_dir));
    TRY(sql_open(path, in_memory ? SQL_MEMORY : SQL_WRITER, false, &telemetry->db, err));
    (void)sqlite3_wal_autocheckpoint(telemetry->db, TELEMETRY_WAL_PAGES); /* never fails */
    TRY(migrate(telemetry->db, MIGRATE_TELEMETRY, path, err));
    TRY(sql_prepare(telemetry->db, statement_texts, TELEMETRY_STATEMENT_COUNT,
                    telemetry->statements, err));
    TRY(telemetry_reader_new(telemetry->db, true, &telemetry->reader, err));
    *out = TAKE(telemetry);
    return STATUS_OK;
}

void telemetry_close(struct telemetry *telemetry)
{
    if (telemetry == NULL)
        return;
    telemetry_reader_close(telemetry->reader);
    sql_finalize(telemetry->statements, TELEMETRY_STATEMENT_COUNT);
    sql_close(telemetry->db);
    for (size_t i = 0; i < TELEMETRY_BATCH_NAMES_MAX; i++)
        free(telemetry->held[i].points);
    free(telemetry->thinning);
    free(telemetry);
}

void telemetry_cleanup(struct telemetry **telemetry)
{
    telemetry_close(*telemetry);
}

struct telemetry_reader *telemetry_own_reader(struct telemetry *telemetry)
{
    return telemetry->reader;
}

/* ---- the stream whose lines are being read */

static enum status find_job(struct telemetry *telemetry, const char *job, int64_t wall_ms,
                            struct error *err)
{
    struct telemetry_stream *stream = &telemetry->stream;
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *find = telemetry->statements[TELEMETRY_JOB_FIND];
    struct sql_bind bind = sql_bind(find);
    sql_bind_text(&bind, job);
    const enum status status = sql_step(find, err);
    if (status == STATUS_OK) {
        stream->job_number = sqlite3_column_int64(find, 0);
        stream->job_series = sqlite3_column_int64(find, 1);
        stream->job_texts = sqlite3_column_int64(find, 2);
        return STATUS_OK;
    }
    if (status != STATUS_NOT_FOUND)
        return status;
    sqlite3_stmt *insert = telemetry->statements[TELEMETRY_JOB_INSERT];
    bind = sql_bind(insert);
    sql_bind_text(&bind, job);
    sql_bind_int(&bind, wall_ms);
    TRY(sql_run(insert, NULL, err));
    stream->job_number = sqlite3_last_insert_rowid(telemetry->db);
    return STATUS_OK;
}

static enum status find_stream(struct telemetry *telemetry, struct error *err)
{
    struct telemetry_stream *stream = &telemetry->stream;
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *find = telemetry->statements[TELEMETRY_STREAM_FIND];
    struct sql_bind bind = sql_bind(find);
    sql_bind_int(&bind, stream->job_number);
    sql_bind_int(&bind, stream->attempt);
    sql_bind_int(&bind, stream->rank);
    const enum status status = sql_step(find, err);
    if (status == STATUS_NOT_FOUND)
        return STATUS_OK;
    TRY(status);
    stream->seq = sqlite3_column_int64(find, 0);
    stream->step = sqlite3_column_int64(find, 1);
    stream->of = sqlite3_column_int64(find, 2);
    stream->epoch = sqlite3_column_int64(find, 3);
    stream->wall_ms = sqlite3_column_int64(find, 4);
    return STATUS_OK;
}

static bool is_open(const struct telemetry_stream *stream, const struct telemetry_line *line)
{
    return stream->open && stream->rank == line->rank && stream->attempt == line->attempt &&
           strcmp(stream->job, line->job) == 0;
}

static enum status open_stream(struct telemetry *telemetry, const struct telemetry_line *line,
                               int64_t wall_ms, struct error *err)
{
    const size_t length = strlen(line->job);
    if (length == 0 || length >= ID_BYTES_MAX)
        return error_set(err, STATUS_INVALID, "\"%.40s\" is no job id", line->job);
    struct telemetry_stream *stream = &telemetry->stream;
    *stream = (struct telemetry_stream){
        .open = true, .attempt = line->attempt, .rank = line->rank, .epoch = -1};
    memcpy(stream->job, line->job, length);
    TRY(find_job(telemetry, line->job, wall_ms, err));
    return find_stream(telemetry, err);
}

/* Writes out what the open stream gathered. */
static enum status close_stream(struct telemetry *telemetry, int64_t wall_ms, struct error *err)
{
    struct telemetry_stream *stream = &telemetry->stream;
    if (!stream->open)
        return STATUS_OK;
    TRY(telemetry_flush(telemetry, err));
    sqlite3_stmt *put = telemetry->statements[TELEMETRY_STREAM_PUT];
    struct sql_bind bind = sql_bind(put);
    sql_bind_int(&bind, stream->job_number);
    sql_bind_int(&bind, stream->attempt);
    sql_bind_int(&bind, stream->rank);
    sql_bind_int(&bind, stream->seq);
    sql_bind_int(&bind, stream->step);
    sql_bind_int(&bind, stream->of);
    sql_bind_int(&bind, stream->epoch);
    sql_bind_int(&bind, stream->wall_ms);
    TRY(sql_run(put, NULL, err));
    sqlite3_stmt *update = telemetry->statements[TELEMETRY_JOB_UPDATE];
    bind = sql_bind(update);
    sql_bind_int(&bind, wall_ms);
    sql_bind_int(&bind, stream->job_series);
    sql_bind_int(&bind, stream->job_texts);
    sql_bind_int(&bind, stream->job_number);
    TRY(sql_run(update, NULL, err));
    stream->open = false;
    return STATUS_OK;
}

/* ---- lines */

/* The held series of this name; NULL when there is no more room. `hint`: where it was in the line before. */
static struct telemetry_held *hold_series(struct telemetry *telemetry, const char *name,
                                          size_t hint)
{
    if (hint < telemetry->held_count && strcmp(telemetry->held[hint].name, name) == 0)
        return &telemetry->held[hint];
    for (size_t i = 0; i < telemetry->held_count; i++)
        if (strcmp(telemetry->held[i].name, name) == 0)
            return &telemetry->held[i];
    if (telemetry->held_count == TELEMETRY_BATCH_NAMES_MAX)
        return NULL;
    struct telemetry_held *held = &telemetry->held[telemetry->held_count++];
    memcpy(held->name, name, strlen(name) + 1); /* the caller checked its length */
    held->count = 0;
    return held;
}

static enum status hold_point(struct telemetry *telemetry, const struct telemetry_value *value,
                              int64_t step, size_t hint, struct error *err)
{
    const size_t length = strlen(value->name);
    if (length == 0 || length >= TELEMETRY_NAME_BYTES || !isfinite(value->value)) {
        telemetry->batch.dropped++;
        return STATUS_OK;
    }
    struct telemetry_held *held = hold_series(telemetry, value->name, hint);
    if (held == NULL || held->count == TELEMETRY_BATCH_POINTS_MAX) {
        TRY(telemetry_flush(telemetry, err));
        held = hold_series(telemetry, value->name, hint);
    }
    assert(held != NULL);
    if (held->count == held->capacity) {
        const size_t capacity = held->capacity == 0 ? 64 : 2 * held->capacity;
        struct telemetry_point *points = realloc(held->points, capacity * sizeof *points);
        if (points == NULL)
            return error_set(err, STATUS_NO_MEMORY, "%zu points", capacity);
        held->points = points;
        held->capacity = capacity;
    }
    held->points[held->count++] = (struct telemetry_point){.step = step, .value = value->value};
    telemetry->batch.points++;
    return STATUS_OK;
}

static enum status put_text(struct telemetry *telemetry, const struct telemetry_line *line,
                            struct error *err)
{
    struct telemetry_stream *stream = &telemetry->stream;
    if (stream->job_texts >= TELEMETRY_JOB_TEXTS_MAX) {
        telemetry->batch.dropped++;
        return STATUS_OK;
    }
    stream->job_texts++;
    sqlite3_stmt *put = telemetry->statements[TELEMETRY_TEXT_PUT];
    struct sql_bind bind = sql_bind(put);
    char text[TELEMETRY_TEXT_BYTES];
    const size_t length = line->text != NULL ? strnlen(line->text, sizeof text - 1) : 0;
    memcpy(text, line->text != NULL ? line->text : "", length);
    text[length] = '\0';
    sql_bind_int(&bind, stream->job_number);
    sql_bind_int(&bind, stream->attempt);
    sql_bind_int(&bind, stream->rank);
    sql_bind_int(&bind, line->seq);
    sql_bind_int(&bind, line->wall_ms);
    sql_bind_int(&bind, line->step);
    sql_bind_text(&bind, line->word);
    sql_bind_text(&bind, text);
    return sql_run(put, NULL, err);
}

static enum status append_line(struct telemetry *telemetry, const struct telemetry_line *line,
                               int64_t wall_ms, struct error *err)
{
    struct telemetry_stream *stream = &telemetry->stream;
    if (!is_open(stream, line)) {
        TRY(close_stream(telemetry, wall_ms, err));
        TRY(open_stream(telemetry, line, wall_ms, err));
    }
    telemetry->batch.lines++;
    if (line->seq <= stream->seq) {
        telemetry->batch.repeats++;
        return STATUS_OK;
    }
    stream->seq = line->seq;
    if (line->kind == TELEMETRY_OTHER)
        return STATUS_OK;
    if (line->kind != TELEMETRY_TEXT && line->step >= stream->step) {
        stream->step = line->step;
        stream->wall_ms = line->wall_ms;
        if (line->of > 0)
            stream->of = line->of;
        if (line->epoch >= 0)
            stream->epoch = line->epoch;
    }
    for (size_t i = 0; i < line->value_count; i++)
        TRY(hold_point(telemetry, &line->values[i], line->step, i, err));
    return line->kind == TELEMETRY_TEXT ? put_text(telemetry, line, err) : STATUS_OK;
}

static enum status append_all(struct telemetry *telemetry, const struct telemetry_line *lines,
                              size_t line_count, int64_t wall_ms, struct error *err)
{
    TRY(sql_run(telemetry->statements[TELEMETRY_BEGIN], NULL, err));
    for (size_t i = 0; i < line_count; i++)
        TRY(append_line(telemetry, &lines[i], wall_ms, err));
    TRY(close_stream(telemetry, wall_ms, err));
    return sql_run(telemetry->statements[TELEMETRY_COMMIT], NULL, err);
}

enum status telemetry_append(struct telemetry *telemetry, const struct telemetry_line *lines,
                             size_t line_count, int64_t wall_ms, struct error *err)
{
    telemetry->batch = (struct telemetry_counts){.lines = 0};
    const enum status status = append_all(telemetry, lines, line_count, wall_ms, err);
    telemetry->stream.open = false;
    telemetry->held_count = 0;
    if (status != STATUS_OK) {
        sql_rollback(telemetry->db);
        return status;
    }
    atomic_fetch_add(&telemetry->lines, telemetry->batch.lines);
    atomic_fetch_add(&telemetry->points, telemetry->batch.points);
    atomic_fetch_add(&telemetry->repeats, telemetry->batch.repeats);
    atomic_fetch_add(&telemetry->dropped, telemetry->batch.dropped);
    return STATUS_OK;
}

enum status telemetry_last_seq(struct telemetry *telemetry, const char *job, int64_t attempt,
                               int64_t rank, int64_t *out_seq, struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = telemetry->statements[TELEMETRY_STREAM_SEQ];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, job);
    sql_bind_int(&bind, attempt);
    sql_bind_int(&bind, rank);
    const enum status status = sql_step(stmt, err);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        return status;
    *out_seq = status == STATUS_OK ? sqlite3_column_int64(stmt, 0) : 0;
    return STATUS_OK;
}

void telemetry_count(const struct telemetry *telemetry, struct telemetry_counts *out)
{
    out->lines = atomic_load(&telemetry->lines);
    out->points = atomic_load(&telemetry->points);
    out->repeats = atomic_load(&telemetry->repeats);
    out->dropped = atomic_load(&telemetry->dropped);
}

/* ---- retention */

static enum status drop_number(struct telemetry *telemetry, int64_t number, struct error *err)
{
    static const enum telemetry_statement parts[] = {TELEMETRY_DROP_CHUNKS, TELEMETRY_DROP_SERIES,
                                                     TELEMETRY_DROP_TEXTS, TELEMETRY_DROP_STREAMS,
                                                     TELEMETRY_DROP_JOB};
    enum status status = sql_run(telemetry->statements[TELEMETRY_BEGIN], NULL, err);
    for (size_t i = 0; status == STATUS_OK && i < COUNT_OF(parts); i++) {
        struct sql_bind bind = sql_bind(telemetry->statements[parts[i]]);
        sql_bind_int(&bind, number);
        status = sql_run(telemetry->statements[parts[i]], NULL, err);
    }
    if (status == STATUS_OK)
        status = sql_run(telemetry->statements[TELEMETRY_COMMIT], NULL, err);
    if (status != STATUS_OK)
        sql_rollback(telemetry->db);
    return status;
}

enum status telemetry_drop_job(struct telemetry *telemetry, const char *job, struct error *err)
{
    int64_t number = 0;
    {
        CLEANUP(sql_reset_cleanup) sqlite3_stmt *find = telemetry->statements[TELEMETRY_JOB_FIND];
        struct sql_bind bind = sql_bind(find);
        sql_bind_text(&bind, job);
        const enum status status = sql_step(find, err);
        if (status == STATUS_NOT_FOUND)
            return STATUS_OK;
        TRY(status);
        number = sqlite3_column_int64(find, 0);
    }
    return drop_number(telemetry, number, err);
}

/* The job to remove next; STATUS_NOT_FOUND when all may stay. */
static enum status next_to_prune(struct telemetry *telemetry, int64_t not_before_ms,
                                 int64_t bytes_max, int64_t *out_number, struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *used = telemetry->statements[TELEMETRY_BYTES_USED];
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *oldest = telemetry->statements[TELEMETRY_OLDEST];
    TRY(sql_step(used, err));
    TRY(sql_step(oldest, err));
    if (sqlite3_column_int64(oldest, 1) >= not_before_ms &&
        sqlite3_column_int64(used, 0) <= bytes_max)
        return STATUS_NOT_FOUND;
    *out_number = sqlite3_column_int64(oldest, 0);
    return STATUS_OK;
}

enum status telemetry_prune(struct telemetry *telemetry, int64_t not_before_ms, int64_t bytes_max,
                            size_t jobs_max, size_t *out_removed, struct error *err)
{
    size_t removed = 0;
    for (; removed < jobs_max; removed++) {
        int64_t number = 0;
        const enum status status = next_to_prune(telemetry, not_before_ms, bytes_max, &number, err);
        if (status == STATUS_NOT_FOUND)
            break;
        TRY(status);
        TRY(drop_number(telemetry, number, err));
    }
    *out_removed = removed;
    return STATUS_OK;
}
