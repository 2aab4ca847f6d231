#include "service/store/reader.h"

#include "service/store/reader_private.h"

/* reader_admin.c - projects, data sets, tokens: small rows under one key, all got and listed alike. */

/* Steps to the one row of `key`, which the caller reads and resets. */
static enum status find(sqlite3_stmt *stmt, const char *key, const char *what, struct error *err)
{
    struct sql_bind bind = sql_bind(stmt);
    sql_bind_text(&bind, key);
    const enum status status = sql_step(stmt, err);
    if (status == STATUS_NOT_FOUND)
        return error_set(err, STATUS_NOT_FOUND, "there is no %s %s", what, key);
    return status;
}

/* reader_<name>(): one row by its key. */
#define DEFINE_GET(name, STATEMENT, what)                                                       \
    enum status reader_##name(struct reader *reader, const char *key, struct name##_row *out,   \
                              struct error *err)                                                \
    {                                                                                           \
        CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = reader->statements[READER_##STATEMENT]; \
        TRY(find(stmt, key, what, err));                                                        \
        struct sql_row row = sql_row(stmt);                                                     \
        name##_read(&row, out);                                                                 \
        return sql_row_status(&row, err);                                                       \
    }

/* reader_<name>s(): a page by key. */
#define DEFINE_LIST(name, STATEMENT)                                                            \
    enum status reader_##name##s(struct reader *reader, const char *after, size_t limit,        \
                                 name##_fn *fn, void *context, struct error *err)               \
    {                                                                                           \
        CLEANUP(sql_reset_cleanup) sqlite3_stmt *stmt = reader->statements[READER_##STATEMENT]; \
        struct sql_bind bind = sql_bind(stmt);                                                  \
        sql_bind_text(&bind, after);                                                            \
        sql_bind_int(&bind, reader_page(limit));                                                \
        enum status status = STATUS_OK;                                                         \
        while ((status = sql_step(stmt, err)) == STATUS_OK) {                                   \
            struct sql_row row = sql_row(stmt);                                                 \
            struct name##_row item = {0};                                                       \
            name##_read(&row, &item);                                                           \
            TRY(sql_row_status(&row, err));                                                     \
            fn(context, &item);                                                                 \
        }                                                                                       \
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;                                 \
    }

DEFINE_GET(project, PROJECT, "project")
DEFINE_LIST(project, PROJECTS)
DEFINE_GET(dataset, DATASET, "data set")
DEFINE_LIST(dataset, DATASETS)
DEFINE_GET(token, TOKEN, "token")
DEFINE_LIST(token, TOKENS)
DEFINE_GET(join_token, JOIN_TOKEN, "join token")
