#ifndef SERVICE_STORE_TELEMETRY_PRIVATE_H
#define SERVICE_STORE_TELEMETRY_PRIVATE_H

/* telemetry_private.h - private to service/store: statements of telemetry.db and what a batch holds. */

#include <stdatomic.h>

#include "service/store/sql.h"
#include "service/store/telemetry.h"

#define TELEMETRY_BATCH_NAMES_MAX  256  /* series held at once; more: they are written out first */
#define TELEMETRY_BATCH_POINTS_MAX 4096 /* of one series held at once */
#define TELEMETRY_WAL_PAGES        2000 /* SQLite checkpoints by itself beyond these */

/* clang-format off */
#define TELEMETRY_STATEMENT_MAP(X)                                                                \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                   \
    X(COMMIT, "COMMIT")                                                                           \
    X(JOB_FIND, "SELECT number, series, texts FROM jobs WHERE job = ?")                           \
    X(JOB_INSERT, "INSERT INTO jobs (job, last_at_ms, series, texts) VALUES (?, ?, 0, 0)")        \
    X(JOB_UPDATE, "UPDATE jobs SET last_at_ms = ?, series = ?, texts = ? WHERE number = ?")       \
    X(STREAM_FIND, "SELECT seq, step, \"of\", epoch, wall_ms FROM streams"                        \
                   " WHERE job = ? AND attempt = ? AND rank = ?")                                 \
    X(STREAM_SEQ, "SELECT s.seq FROM streams AS s JOIN jobs AS j ON j.number = s.job"             \
                  " WHERE j.job = ? AND s.attempt = ? AND s.rank = ?")                            \
    X(STREAM_PUT, "INSERT OR REPLACE INTO streams (job, attempt, rank, seq, step, \"of\", epoch," \
                  " wall_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)")                                    \
    X(SERIES_FIND, "SELECT number, points, last_chunk FROM series WHERE job = ? AND name = ?"     \
                   " AND attempt = ? AND rank = ?")                                               \
    X(SERIES_INSERT, "INSERT INTO series (job, name, attempt, rank, points, last_chunk,"          \
                     " last_step, last_value) VALUES (?, ?, ?, ?, 0, 0, 0, 0)")                   \
    X(SERIES_UPDATE, "UPDATE series SET points = ?, last_chunk = ?, last_step = ?,"               \
                     " last_value = ? WHERE number = ?")                                          \
    X(CHUNK_GET, "SELECT data FROM chunks WHERE series = ? AND chunk = ?")                        \
    X(CHUNK_PUT, "INSERT OR REPLACE INTO chunks (series, chunk, data) VALUES (?, ?, ?)")          \
    X(CHUNKS_CUT, "DELETE FROM chunks WHERE series = ? AND chunk > ?")                            \
    X(TEXT_PUT, "INSERT OR REPLACE INTO texts (job, attempt, rank, seq, wall_ms, step, word,"     \
                " text) VALUES (?, ?, ?, ?, ?, ?, ?, ?)")                                         \
    X(DROP_CHUNKS, "DELETE FROM chunks WHERE series IN (SELECT number FROM series WHERE job = ?)") \
    X(DROP_SERIES, "DELETE FROM series WHERE job = ?")                                            \
    X(DROP_TEXTS, "DELETE FROM texts WHERE job = ?")                                              \
    X(DROP_STREAMS, "DELETE FROM streams WHERE job = ?")                                          \
    X(DROP_JOB, "DELETE FROM jobs WHERE number = ?")                                              \
    X(OLDEST, "SELECT number, last_at_ms FROM jobs ORDER BY last_at_ms LIMIT 1")                  \
    X(BYTES_USED, "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count,"      \
                  " pragma_freelist_count, pragma_page_size")

#define TELEMETRY_READER_STATEMENT_MAP(X)                                                         \
    X(BEGIN, "BEGIN")                                                                             \
    X(SERIES, "SELECT s.number, s.name, s.attempt, s.rank FROM series AS s"                       \
              " JOIN jobs AS j ON j.number = s.job WHERE j.job = ?"                               \
              " ORDER BY s.name, s.attempt, s.rank")                                              \
    X(CHUNKS, "SELECT data FROM chunks WHERE series = ? ORDER BY chunk")                          \
    X(LATEST, "SELECT s.name, s.attempt, s.last_step, s.last_value FROM series AS s"              \
              " JOIN jobs AS j ON j.number = s.job WHERE j.job = ? AND s.points > 0"              \
              " ORDER BY s.name, s.attempt DESC, s.rank")                                         \
    X(PROGRESS, "SELECT s.attempt, s.step, s.\"of\", s.epoch, s.wall_ms FROM streams AS s"        \
                " JOIN jobs AS j ON j.number = s.job WHERE j.job = ?"                             \
                " ORDER BY s.attempt DESC, s.step DESC LIMIT 1")                                  \
    X(TEXTS, "SELECT t.attempt, t.rank, t.seq, t.wall_ms, t.step, t.word, t.text FROM texts AS t" \
             " JOIN jobs AS j ON j.number = t.job WHERE j.job = ?"                                \
             " ORDER BY t.attempt, t.rank, t.seq LIMIT ?")
/* clang-format on */

enum telemetry_statement {
#define X(name, text) TELEMETRY_##name,
    TELEMETRY_STATEMENT_MAP(X) TELEMETRY_STATEMENT_COUNT
#undef X
};

enum telemetry_reader_statement {
#define X(name, text) TELEMETRY_READ_##name,
    TELEMETRY_READER_STATEMENT_MAP(X) TELEMETRY_READ_COUNT
#undef X
};

/* As it lies in a chunk, on a little-endian machine as in memory. */
struct telemetry_point {
    int64_t step;
    double value;
};
_Static_assert(sizeof(struct telemetry_point) == 16, "a point is 16 bytes on disk");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "chunks are little-endian");

/* Points of one series that are not written yet. */
struct telemetry_held {
    char name[TELEMETRY_NAME_BYTES];
    size_t count;
    size_t capacity;
    struct telemetry_point *points;
};

/* The rank whose lines are being read, and its job. */
struct telemetry_stream {
    bool open;
    char job[ID_BYTES_MAX];
    int64_t job_number;
    int64_t job_series;
    int64_t job_texts;
    int64_t attempt, rank;
    int64_t seq, step, of, epoch, wall_ms;
};

struct telemetry {
    sqlite3 *db;
    struct telemetry_reader *reader;
    sqlite3_stmt *statements[TELEMETRY_STATEMENT_COUNT];
    struct telemetry_stream stream;
    size_t held_count;
    struct telemetry_held held[TELEMETRY_BATCH_NAMES_MAX];
    struct telemetry_point *thinning; /* TELEMETRY_SERIES_POINTS_MAX; made when first needed */
    struct telemetry_counts batch;    /* of the open transaction */
    _Atomic uint64_t lines, points, repeats, dropped;
};

/* Writes all held points of the open stream, and forgets them. */
MUST_CHECK enum status telemetry_flush(struct telemetry *telemetry, struct error *err);
/* Keeps of each four neighbours the lowest and the highest, in their order. Returns how many are left. */
size_t telemetry_thin(struct telemetry_point *points, size_t count);

MUST_CHECK enum status telemetry_reader_new(sqlite3 *db, bool borrowed,
                                            struct telemetry_reader **out, struct error *err);

#endif
