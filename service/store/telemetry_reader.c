#include "service/store/telemetry.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "service/store/telemetry_private.h"

/* telemetry_reader.c - series as columns with at most so many buckets; latest values, progress, texts. */

#define TELEMETRY_READER_PATH_BYTES 1024
/* Each attempt has a bucket of its own even when a series may show fewer buckets than attempts. */
#define TELEMETRY_COLUMNS_MAX (TELEMETRY_QUERY_POINTS_MAX + TELEMETRY_QUERY_ATTEMPTS_MAX)

static const char *const statement_texts[] = {
#define X(name, text) text,
    TELEMETRY_READER_STATEMENT_MAP(X)
#undef X
};

/* What is gathered of one name. */
struct columns {
    size_t count;
    int64_t step[TELEMETRY_COLUMNS_MAX];
    double value[TELEMETRY_COLUMNS_MAX];
    double min[TELEMETRY_COLUMNS_MAX];
    double max[TELEMETRY_COLUMNS_MAX];
    int64_t attempt[TELEMETRY_COLUMNS_MAX];
};

/* One stored series that the query wants, with the steps that count. */
struct source {
    int64_t number;
    int64_t attempt;
    int64_t from_step, to_step; /* both included */
    int64_t points;             /* within the steps */
};

struct telemetry_reader {
    sqlite3 *db;
    bool borrowed;
    sqlite3_stmt *statements[TELEMETRY_READ_COUNT];
    char name[TELEMETRY_NAME_BYTES]; /* whose sources these are */
    size_t source_count;
    struct source sources[TELEMETRY_QUERY_ATTEMPTS_MAX];
    struct columns columns;
};

/* ---- opening */

enum status telemetry_reader_new(sqlite3 *db, bool borrowed, struct telemetry_reader **out,
                                 struct error *err)
{
    struct telemetry_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return error_set(err, STATUS_NO_MEMORY, "reader of %zu bytes", sizeof *reader);
    reader->db = db;
    reader->borrowed = true; /* until all is well the connection is the caller's */
    const enum status status =
        sql_prepare(db, statement_texts, TELEMETRY_READ_COUNT, reader->statements, err);
    if (status != STATUS_OK) {
        telemetry_reader_close(reader);
        return status;
    }
    reader->borrowed = borrowed;
    *out = reader;
    return STATUS_OK;
}

enum status telemetry_reader_open(const char *data_dir, struct telemetry_reader **out,
                                  struct error *err)
{
    char path[TELEMETRY_READER_PATH_BYTES];
    TRY(fs_path(path, sizeof path, err, "%s/telemetry.db", data_dir));
    sqlite3 *db = NULL;
    TRY(sql_open(path, SQL_READER, false, &db, err));
    const enum status status = telemetry_reader_new(db, false, out, err);
    if (status != STATUS_OK)
        sql_close(db);
    return status;
}

void telemetry_reader_close(struct telemetry_reader *reader)
{
    if (reader == NULL)
        return;
    sql_finalize(reader->statements, TELEMETRY_READ_COUNT);
    if (!reader->borrowed)
        sql_close(reader->db);
    free(reader);
}

void telemetry_reader_cleanup(struct telemetry_reader **reader)
{
    telemetry_reader_close(*reader);
}

/* ---- which points count */

static bool wants_name(const struct telemetry_query *query, const char *name)
{
    if (query->names == NULL)
        return true;
    for (size_t i = 0; i < query->name_count; i++)
        if (strcmp(query->names[i], name) == 0)
            return true;
    return false;
}

/*
 * The steps of an attempt that belong to the effective lineage: above its own resume step, up to the lowest step
 * that any later attempt resumed from. False: the attempt is not part of it.
 */
static bool lineage_steps(const struct telemetry_query *query, int64_t attempt, int64_t *from,
                          int64_t *to)
{
    bool found = false;
    for (size_t i = 0; i < query->lineage_count; i++) {
        const struct telemetry_bound *bound = &query->lineage[i];
        if (bound->attempt == attempt) {
            found = true;
            if (bound->resume_step >= *from)
                *from = bound->resume_step + 1;
        } else if (bound->attempt > attempt && bound->resume_step < *to) {
            *to = bound->resume_step;
        }
    }
    return found;
}

static void add_source(struct telemetry_reader *reader, const struct telemetry_query *query,
                       const struct source *found, int64_t rank)
{
    if (query->rank >= 0 && rank != query->rank)
        return;
    /* Rows come by attempt, then rank: the first of an attempt is its lowest rank. */
    if (reader->source_count > 0 &&
        reader->sources[reader->source_count - 1].attempt == found->attempt)
        return;
    if (reader->source_count == TELEMETRY_QUERY_ATTEMPTS_MAX)
        return;
    struct source source = *found;
    source.from_step = query->from_step;
    source.to_step = query->has_to_step ? query->to_step : INT64_MAX;
    if (query->lineage != NULL &&
        !lineage_steps(query, source.attempt, &source.from_step, &source.to_step))
        return;
    if (source.from_step <= source.to_step)
        reader->sources[reader->source_count++] = source;
}

/* ---- points */

typedef void point_fn(void *context, const struct telemetry_point *point);

/* Calls back for each point of a source that counts. */
static enum status each_point(struct telemetry_reader *reader, const struct source *source,
                              point_fn *fn, void *context, struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = reader->statements[TELEMETRY_READ_CHUNKS];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_int(&bind, source->number);
    enum status status = STATUS_OK;
    while ((status = sql_step(stmt, err)) == STATUS_OK) {
        const char *bytes = sqlite3_column_blob(stmt, 0);
        const size_t count = (size_t)sqlite3_column_bytes(stmt, 0) / sizeof(struct telemetry_point);
        for (size_t i = 0; i < count; i++) {
            struct telemetry_point point;
            memcpy(&point, bytes + i * sizeof point, sizeof point);
            if (point.step >= source->from_step && point.step <= source->to_step)
                fn(context, &point);
        }
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static void count_point(void *context, const struct telemetry_point *point)
{
    (void)point;
    (*(int64_t *)context)++;
}

struct bucketing {
    struct columns *columns;
    int64_t attempt;
    int64_t bucket_points;
    int64_t fill; /* points in the open bucket; 0: the next point opens one */
};

static void put_point(void *context, const struct telemetry_point *point)
{
    struct bucketing *bucketing = context;
    struct columns *columns = bucketing->columns;
    if (bucketing->fill == 0) {
        assert(columns->count < TELEMETRY_COLUMNS_MAX);
        columns->min[columns->count] = point->value;
        columns->max[columns->count] = point->value;
        columns->attempt[columns->count] = bucketing->attempt;
        columns->count++;
    }
    const size_t i = columns->count - 1;
    columns->step[i] = point->step;
    columns->value[i] = point->value;
    if (point->value < columns->min[i])
        columns->min[i] = point->value;
    if (point->value > columns->max[i])
        columns->max[i] = point->value;
    bucketing->fill = (bucketing->fill + 1) % bucketing->bucket_points;
}

/* The smallest bucket with which all sources together have at most `buckets`, if that is possible. */
static int64_t bucket_points_for(const struct telemetry_reader *reader, int64_t buckets)
{
    int64_t most = 1;
    int64_t total = 0;
    for (size_t i = 0; i < reader->source_count; i++) {
        const int64_t points = reader->sources[i].points;
        most = points > most ? points : most;
        total += points;
    }
    int64_t size = total / buckets > 0 ? total / buckets : 1;
    for (;; size += size / 8 + 1) {
        int64_t needed = 0;
        for (size_t i = 0; i < reader->source_count; i++)
            needed += (reader->sources[i].points + size - 1) / size;
        if (needed <= buckets || size >= most)
            return size;
    }
}

/* Gathers the columns of the sources at hand and gives them out. */
static enum status give_name(struct telemetry_reader *reader, const struct telemetry_query *query,
                             telemetry_series_fn *fn, void *context, struct error *err)
{
    struct columns *columns = &reader->columns;
    const bool defaulted = query->points == 0 || query->points > TELEMETRY_QUERY_POINTS_MAX;
    const int64_t buckets = defaulted ? TELEMETRY_QUERY_POINTS_MAX : (int64_t)query->points;
    for (size_t i = 0; i < reader->source_count; i++) {
        struct source *source = &reader->sources[i];
        source->points = 0;
        TRY(each_point(reader, source, count_point, &source->points, err));
    }
    const int64_t bucket_points = bucket_points_for(reader, buckets);
    columns->count = 0;
    for (size_t i = 0; i < reader->source_count; i++) {
        struct bucketing bucketing = {.columns = columns,
                                      .attempt = reader->sources[i].attempt,
                                      .bucket_points = bucket_points};
        TRY(each_point(reader, &reader->sources[i], put_point, &bucketing, err));
    }
    reader->source_count = 0;
    if (columns->count == 0)
        return STATUS_OK;
    const struct telemetry_series series = {.name = reader->name,
                                            .count = columns->count,
                                            .step = columns->step,
                                            .value = columns->value,
                                            .min = columns->min,
                                            .max = columns->max,
                                            .attempt = columns->attempt};
    fn(context, &series);
    return STATUS_OK;
}

static enum status query_names(struct telemetry_reader *reader, const struct telemetry_query *query,
                               telemetry_series_fn *fn, void *context, struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = reader->statements[TELEMETRY_READ_SERIES];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, query->job);
    reader->source_count = 0;
    reader->name[0] = '\0';
    enum status status = STATUS_OK;
    while ((status = sql_step(stmt, err)) == STATUS_OK) {
        struct sql_row row = sql_row(stmt);
        struct source source = {.number = sql_row_int(&row)};
        char name[TELEMETRY_NAME_BYTES];
        sql_row_text(&row, name, sizeof name);
        source.attempt = sql_row_int(&row);
        const int64_t rank = sql_row_int(&row);
        TRY(sql_row_status(&row, err));
        if (strcmp(name, reader->name) != 0) {
            TRY(give_name(reader, query, fn, context, err));
            memcpy(reader->name, name, sizeof name);
        }
        if (wants_name(query, name))
            add_source(reader, query, &source, rank);
    }
    if (status != STATUS_NOT_FOUND)
        return status;
    return give_name(reader, query, fn, context, err);
}

enum status telemetry_query(struct telemetry_reader *reader, const struct telemetry_query *query,
                            telemetry_series_fn *fn, void *context, struct error *err)
{
    if (query->name_count > TELEMETRY_QUERY_NAMES_MAX)
        return error_set(err, STATUS_INVALID, "%zu names, at most %d are answered at once",
                         query->name_count, TELEMETRY_QUERY_NAMES_MAX);
    /* One state for the list of series and their chunks. */
    TRY(sql_run(reader->statements[TELEMETRY_READ_BEGIN], NULL, err));
    const enum status status = query_names(reader, query, fn, context, err);
    sql_rollback(reader->db); /* nothing was written: it only ends the read */
    return status;
}

/* ---- the small answers */

enum status telemetry_latest(struct telemetry_reader *reader, const char *job,
                             telemetry_latest_fn *fn, void *context, struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = reader->statements[TELEMETRY_READ_LATEST];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, job);
    char before[TELEMETRY_NAME_BYTES] = "";
    enum status status = STATUS_OK;
    while ((status = sql_step(stmt, err)) == STATUS_OK) {
        struct sql_row row = sql_row(stmt);
        char name[TELEMETRY_NAME_BYTES];
        sql_row_text(&row, name, sizeof name);
        const int64_t attempt = sql_row_int(&row);
        const int64_t step = sql_row_int(&row);
        TRY(sql_row_status(&row, err));
        if (strcmp(name, before) == 0)
            continue; /* an older attempt, or a higher rank */
        fn(context, name, sqlite3_column_double(stmt, row.next), step, attempt);
        memcpy(before, name, sizeof name);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status telemetry_progress(struct telemetry_reader *reader, const char *job,
                               struct telemetry_progress *out, struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = reader->statements[TELEMETRY_READ_PROGRESS];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, job);
    const enum status status = sql_step(stmt, err);
    if (status == STATUS_NOT_FOUND)
        return error_set(err, STATUS_NOT_FOUND, "job %s has said nothing yet", job);
    TRY(status);
    struct sql_row row = sql_row(stmt);
    out->attempt = sql_row_int(&row);
    out->step = sql_row_int(&row);
    out->of = sql_row_int(&row);
    out->epoch = sql_row_int(&row);
    out->wall_ms = sql_row_int(&row);
    return STATUS_OK;
}

enum status telemetry_texts(struct telemetry_reader *reader, const char *job, size_t limit,
                            telemetry_text_fn *fn, void *context, struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = reader->statements[TELEMETRY_READ_TEXTS];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, job);
    sql_bind_int(&bind, limit < TELEMETRY_JOB_TEXTS_MAX ? (int64_t)limit : TELEMETRY_JOB_TEXTS_MAX);
    enum status status = STATUS_OK;
    while ((status = sql_step(stmt, err)) == STATUS_OK) {
        struct sql_row row = sql_row(stmt);
        struct telemetry_text text = {.attempt = sql_row_int(&row)};
        text.rank = sql_row_int(&row);
        text.seq = sql_row_int(&row);
        text.wall_ms = sql_row_int(&row);
        text.step = sql_row_int(&row);
        text.word = (const char *)sqlite3_column_text(stmt, row.next++);
        text.text = (const char *)sqlite3_column_text(stmt, row.next++);
        fn(context, &text);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}
