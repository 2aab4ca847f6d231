#include "service/store/telemetry.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "service/store/telemetry_private.h"

/* telemetry_series.c - points into chunks, and thinning a series that is full. */

struct series {
    int64_t number;
    int64_t points;
    int64_t last_chunk;
};

size_t telemetry_thin(struct telemetry_point *points, size_t count)
{
    size_t kept = 0;
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        size_t low = i;
        size_t high = i;
        for (size_t k = i + 1; k < i + 4; k++) {
            if (points[k].value < points[low].value)
                low = k;
            if (points[k].value >= points[high].value)
                high = k;
        }
        assert(low != high); /* of four equal ones the first is lowest, the last highest */
        points[kept++] = points[low < high ? low : high];
        points[kept++] = points[low < high ? high : low];
    }
    for (; i < count; i++)
        points[kept++] = points[i];
    return kept;
}

static enum status put_chunk(struct telemetry *telemetry, int64_t series, int64_t chunk,
                             const struct telemetry_point *points, size_t count, struct error *err)
{
    sqlite3_stmt *put = telemetry->statements[TELEMETRY_CHUNK_PUT];
    struct sql_bind bind = sql_bind(put);
    sql_bind_int(&bind, series);
    sql_bind_int(&bind, chunk);
    sql_bind_blob(&bind, points, count * sizeof *points);
    return sql_run(put, NULL, err);
}

/* Reads a chunk to `out`, which has room for TELEMETRY_CHUNK_POINTS. A missing one has none. */
static enum status get_chunk(struct telemetry *telemetry, int64_t series, int64_t chunk,
                             struct telemetry_point *out, size_t *out_count, struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *get = telemetry->statements[TELEMETRY_CHUNK_GET];
    struct sql_bind bind = sql_bind(get);
    sql_bind_int(&bind, series);
    sql_bind_int(&bind, chunk);
    *out_count = 0;
    const enum status status = sql_step(get, err);
    if (status == STATUS_NOT_FOUND)
        return STATUS_OK;
    TRY(status);
    const size_t bytes = (size_t)sqlite3_column_bytes(get, 0);
    if (bytes % sizeof *out != 0 || bytes > TELEMETRY_CHUNK_POINTS * sizeof *out)
        return error_set(err, STATUS_CORRUPT, "telemetry: a chunk of %zu bytes", bytes);
    const size_t count = bytes / sizeof *out;
    if (count > 0)
        memcpy(out, sqlite3_column_blob(get, 0), count * sizeof *out);
    *out_count = count;
    return STATUS_OK;
}

/* The series of this name, made if the job may have one more; STATUS_NOT_FOUND: it may not. */
static enum status find_series(struct telemetry *telemetry, const char *name, struct series *out,
                               struct error *err)
{
    struct telemetry_stream *stream = &telemetry->stream;
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *find = telemetry->statements[TELEMETRY_SERIES_FIND];
    struct sql_bind bind = sql_bind(find);
    sql_bind_int(&bind, stream->job_number);
    sql_bind_text(&bind, name);
    sql_bind_int(&bind, stream->attempt);
    sql_bind_int(&bind, stream->rank);
    const enum status status = sql_step(find, err);
    if (status == STATUS_OK) {
        out->number = sqlite3_column_int64(find, 0);
        out->points = sqlite3_column_int64(find, 1);
        out->last_chunk = sqlite3_column_int64(find, 2);
        return STATUS_OK;
    }
    if (status != STATUS_NOT_FOUND || stream->job_series >= TELEMETRY_JOB_SERIES_MAX)
        return status;
    stream->job_series++;
    sqlite3_stmt *insert = telemetry->statements[TELEMETRY_SERIES_INSERT];
    bind = sql_bind(insert);
    sql_bind_int(&bind, stream->job_number);
    sql_bind_text(&bind, name);
    sql_bind_int(&bind, stream->attempt);
    sql_bind_int(&bind, stream->rank);
    TRY(sql_run(insert, NULL, err));
    *out = (struct series){.number = sqlite3_last_insert_rowid(telemetry->db)};
    return STATUS_OK;
}

/* Rewrites the series with about half of its points. */
static enum status thin_series(struct telemetry *telemetry, struct series *series,
                               struct error *err)
{
    const size_t room = TELEMETRY_SERIES_POINTS_MAX + TELEMETRY_CHUNK_POINTS;
    if (telemetry->thinning == NULL)
        telemetry->thinning = malloc(room * sizeof *telemetry->thinning);
    if (telemetry->thinning == NULL)
        return error_set(err, STATUS_NO_MEMORY, "%zu points", room);
    struct telemetry_point *all = telemetry->thinning;
    size_t count = 0;
    for (int64_t chunk = 0; chunk <= series->last_chunk; chunk++) {
        assert(count + TELEMETRY_CHUNK_POINTS <= room);
        size_t got = 0;
        TRY(get_chunk(telemetry, series->number, chunk, all + count, &got, err));
        count += got;
    }
    count = telemetry_thin(all, count);
    int64_t chunk = 0;
    for (size_t i = 0; i < count; i += TELEMETRY_CHUNK_POINTS, chunk++) {
        const size_t piece =
            count - i < TELEMETRY_CHUNK_POINTS ? count - i : TELEMETRY_CHUNK_POINTS;
        TRY(put_chunk(telemetry, series->number, chunk, all + i, piece, err));
    }
    series->points = (int64_t)count;
    series->last_chunk = chunk > 0 ? chunk - 1 : 0;
    sqlite3_stmt *cut = telemetry->statements[TELEMETRY_CHUNKS_CUT];
    struct sql_bind bind = sql_bind(cut);
    sql_bind_int(&bind, series->number);
    sql_bind_int(&bind, series->last_chunk);
    return sql_run(cut, NULL, err);
}

/* Fills the last chunk, then makes new ones. */
static enum status append_points(struct telemetry *telemetry, struct series *series,
                                 const struct telemetry_point *points, size_t count,
                                 struct error *err)
{
    struct telemetry_point chunk[TELEMETRY_CHUNK_POINTS];
    size_t fill = 0;
    TRY(get_chunk(telemetry, series->number, series->last_chunk, chunk, &fill, err));
    series->points += (int64_t)count;
    while (count > 0) {
        if (fill == TELEMETRY_CHUNK_POINTS) {
            series->last_chunk++;
            fill = 0;
        }
        const size_t room = TELEMETRY_CHUNK_POINTS - fill;
        const size_t piece = count < room ? count : room;
        memcpy(chunk + fill, points, piece * sizeof *points);
        fill += piece;
        points += piece;
        count -= piece;
        TRY(put_chunk(telemetry, series->number, series->last_chunk, chunk, fill, err));
    }
    return STATUS_OK;
}

static enum status write_held(struct telemetry *telemetry, const struct telemetry_held *held,
                              struct error *err)
{
    struct series series;
    const enum status status = find_series(telemetry, held->name, &series, err);
    if (status == STATUS_NOT_FOUND) {
        telemetry->batch.points -= held->count;
        telemetry->batch.dropped += held->count;
        return STATUS_OK;
    }
    TRY(status);
    if (series.points + (int64_t)held->count > TELEMETRY_SERIES_POINTS_MAX)
        TRY(thin_series(telemetry, &series, err));
    TRY(append_points(telemetry, &series, held->points, held->count, err));
    const struct telemetry_point *last = &held->points[held->count - 1];
    sqlite3_stmt *update = telemetry->statements[TELEMETRY_SERIES_UPDATE];
    struct sql_bind bind = sql_bind(update);
    sql_bind_int(&bind, series.points);
    sql_bind_int(&bind, series.last_chunk);
    sql_bind_int(&bind, last->step);
    sql_bind_double(&bind, last->value);
    sql_bind_int(&bind, series.number);
    return sql_run(update, NULL, err);
}

enum status telemetry_flush(struct telemetry *telemetry, struct error *err)
{
    for (size_t i = 0; i < telemetry->held_count; i++)
        if (telemetry->held[i].count > 0)
            TRY(write_held(telemetry, &telemetry->held[i], err));
    telemetry->held_count = 0;
    return STATUS_OK;
}
