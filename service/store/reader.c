#include "service/store/reader.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/json.h"
#include "service/store/reader_private.h"

static const char *const statement_texts[] = {
#define X(name, text) text,
    READER_STATEMENT_MAP(X)
#undef X
};

enum status reader_new(sqlite3 *db, bool borrowed, struct reader **out, struct error *err)
{
    struct reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return error_set(err, STATUS_NO_MEMORY, "reader of %zu bytes", sizeof *reader);
    reader->db = db;
    reader->borrowed = borrowed;
    buf_init(&reader->text, READER_TEXT_MAX);
    const enum status status =
        sql_prepare(db, statement_texts, READER_STATEMENT_COUNT, reader->statements, err);
    if (status != STATUS_OK) {
        reader->borrowed = true; /* the connection stays the caller's */
        reader_close(reader);
        return status;
    }
    *out = reader;
    return STATUS_OK;
}

enum status reader_open(const char *data_dir, struct reader **out, struct error *err)
{
    char path[STORE_PATH_BYTES_MAX];
    TRY(fs_path(path, sizeof path, err, "%s/state.db", data_dir));
    sqlite3 *db = NULL;
    TRY(sql_open(path, SQL_READER, false, &db, err));
    const enum status status = reader_new(db, false, out, err);
    if (status != STATUS_OK)
        sql_close(db);
    return status;
}

void reader_close(struct reader *reader)
{
    if (reader == NULL)
        return;
    sql_finalize(reader->statements, READER_STATEMENT_COUNT);
    if (!reader->borrowed)
        sql_close(reader->db);
    buf_clear(&reader->text);
    free(reader->parts);
    free(reader);
}

void reader_cleanup(struct reader **reader)
{
    reader_close(*reader);
}

enum status reader_hold(struct reader *reader, bool *out_held, struct error *err)
{
    *out_held = false;
    if (sqlite3_get_autocommit(reader->db) == 0)
        return STATUS_OK; /* inside the writer's transaction: that is one state already */
    TRY(sql_run(reader->statements[READER_BEGIN], NULL, err));
    *out_held = true;
    return STATUS_OK;
}

void reader_release(struct reader *reader, bool held)
{
    if (held)
        sql_rollback(reader->db); /* nothing was written: it only ends the read */
}

int64_t reader_page(size_t limit)
{
    if (limit == 0)
        return 1;
    return limit > READER_PAGE_MAX ? READER_PAGE_MAX : (int64_t)limit;
}

/* ---- one job */

/* The texts that follow the row's own columns in JOB_VIEW_SELECT. */
static enum status texts_read(struct reader *reader, struct sql_row *row, struct job_view *out,
                              struct error *err)
{
    struct buf *text = &reader->text;
    buf_reset(text);
    const size_t labels = sql_row_append(row, text);
    const size_t metrics = sql_row_append(row, text);
    const size_t spec = sql_row_append(row, text);
    TRY(buf_status(text, "texts of a job", err));
    TRY(sql_row_status(row, err));
    out->labels = text->data + labels;
    out->metrics = text->data + metrics;
    out->spec = text->data + spec;
    out->spec_bytes = text->size - spec - 1;
    return STATUS_OK;
}

enum status reader_job(struct reader *reader, const char *id, struct job_view *out,
                       struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = reader->statements[READER_JOB];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, id);
    const enum status status = sql_step(stmt, err);
    if (status == STATUS_NOT_FOUND)
        return error_set(err, STATUS_NOT_FOUND, "there is no job %s", id);
    TRY(status);
    struct sql_row row = sql_row(stmt);
    job_read(&row, &out->row);
    return texts_read(reader, &row, out, err);
}

enum status reader_key(struct reader *reader, const char *project, const char *key,
                       int64_t not_before_ms, char out_job[ID_BYTES_MAX],
                       char out_body_sha256[BRAIN_SHA_BYTES], struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = reader->statements[READER_KEY];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, project);
    sql_bind_text(&bind, key);
    const enum status status = sql_step(stmt, err);
    if (status == STATUS_NOT_FOUND)
        return error_set(err, STATUS_NOT_FOUND, "key %s of project %s is free", key, project);
    TRY(status);
    if (sqlite3_column_int64(stmt, 2) < not_before_ms)
        return error_set(err, STATUS_NOT_FOUND, "key %s of project %s has expired", key, project);
    struct sql_row row = sql_row(stmt);
    sql_row_text(&row, out_job, ID_BYTES_MAX);
    sql_row_text(&row, out_body_sha256, BRAIN_SHA_BYTES);
    return sql_row_status(&row, err);
}

/* ---- lists of jobs */

/* Whether the labels' JSON object has this key with this value. */
static bool label_matches(const char *labels, const char *key, const char *value)
{
    json_t *document = NULL;
    if (json_parse(labels, strlen(labels), &document, NULL) != STATUS_OK)
        return false;
    const char *found = json_string_value(json_object_get(document, key));
    const bool matches = found != NULL && (value == NULL || strcmp(found, value) == 0);
    json_decref(document);
    return matches;
}

static bool row_matches(const struct job_row *row, const struct job_filter *filter)
{
    if (filter->has_state && row->state != filter->state)
        return false;
    if (filter->live_only && job_state_is_terminal(row->state))
        return false;
    if (filter->project != NULL && strcmp(row->project, filter->project) != 0)
        return false;
    if (filter->name != NULL && strcmp(row->name, filter->name) != 0)
        return false;
    return filter->q == NULL || strcasestr(row->name, filter->q) != NULL ||
           strcasestr(row->id, filter->q) != NULL || strcasestr(row->detail, filter->q) != NULL;
}

/* Along the narrowest index; row_matches() looks at the rest. */
static sqlite3_stmt *list_statement(struct reader *reader, const struct job_filter *filter)
{
    const bool from_start = filter->cursor == NULL || filter->cursor[0] == '\0';
    enum reader_statement which = READER_JOBS;
    const char *wanted = NULL;
    if (filter->project != NULL) {
        which = READER_JOBS_OF_PROJECT;
        wanted = filter->project;
    } else if (filter->has_state) {
        which = READER_JOBS_OF_STATE;
        wanted = job_state_names[filter->state];
    } else if (filter->live_only) {
        which = READER_JOBS_LIVE;
    }
    sqlite3_stmt *stmt = reader->statements[which];
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, from_start ? "~" : filter->cursor); /* "~" follows every id */
    if (wanted != NULL)
        sql_bind_text(&bind, wanted);
    return stmt;
}

/* Reads the row at hand; *out_matches says whether it is wanted. Texts are read only of rows that may be. */
static enum status read_if_wanted(struct reader *reader, sqlite3_stmt *stmt,
                                  const struct job_filter *filter, struct job_view *out,
                                  bool *out_matches, struct error *err)
{
    struct sql_row row = sql_row(stmt);
    job_read(&row, &out->row);
    *out_matches = row_matches(&out->row, filter);
    if (!*out_matches)
        return sql_row_status(&row, err);
    TRY(texts_read(reader, &row, out, err));
    *out_matches = filter->label_key == NULL ||
                   label_matches(out->labels, filter->label_key, filter->label_value);
    return STATUS_OK;
}

enum status reader_jobs(struct reader *reader, const struct job_filter *filter, job_view_fn *fn,
                        void *context, char out_cursor[ID_BYTES_MAX], struct error *err)
{
    CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = list_statement(reader, filter);
    const int64_t limit = reader_page(filter->limit);
    int64_t count = 0;
    struct job_view view = {.row = {.id = ""}};
    out_cursor[0] = '\0';
    for (int64_t scanned = 0;; scanned++) {
        const enum status status = sql_step(stmt, err);
        if (status == STATUS_NOT_FOUND)
            return STATUS_OK;
        TRY(status);
        if (count == limit || scanned == READER_SCAN_MAX) {
            memcpy(out_cursor, view.row.id, ID_BYTES_MAX); /* the last one looked at */
            return STATUS_OK;
        }
        bool wanted = false;
        TRY(read_if_wanted(reader, stmt, filter, &view, &wanted, err));
        if (!wanted)
            continue;
        fn(context, &view);
        count++;
    }
}
