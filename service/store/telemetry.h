#ifndef SERVICE_STORE_TELEMETRY_H
#define SERVICE_STORE_TELEMETRY_H

/*
 * telemetry.h - what trainers say about their training: telemetry.db, apart from state so that a flood of
 * metrics can neither slow nor damage it. synchronous=NORMAL: survives kill -9; a power loss may
 * cost the last seconds, never consistency.
 *
 * A metric is a series of (step, value) per (job, attempt, rank, name), stored as chunks of
 * TELEMETRY_CHUNK_POINTS points. When a series is full it is thinned to half: of each four neighbours
 * the lowest and the highest stay, so every stored point was really measured and extremes never vanish.
 *
 * Repeats are harmless: (job, attempt, rank) has a last `seq`, and lines at or below it are skipped.
 *
 * Bounds: points and series a job, texts a job, jobs by age, bytes of the file.
 *
 * Threads: one thread owns the struct telemetry (all writing); each reading thread has its own struct
 *          telemetry_reader.
 * Errors:  STATUS_NO_SPACE: the disk is full, nothing of the batch is in; try again later.
 *          STATUS_CORRUPT, STATUS_INTERNAL: the database is broken. It holds no state that jobs
 *          depend on: the caller says so and goes on without.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/id.h"

#define TELEMETRY_CHUNK_POINTS       512
#define TELEMETRY_SERIES_POINTS_MAX  65536 /* then thinned to half */
#define TELEMETRY_JOB_SERIES_MAX     4096  /* more names are dropped and counted */
#define TELEMETRY_JOB_TEXTS_MAX      1000
#define TELEMETRY_NAME_BYTES         64
#define TELEMETRY_TEXT_BYTES         512
#define TELEMETRY_QUERY_NAMES_MAX    64
#define TELEMETRY_QUERY_POINTS_MAX   10000 /* buckets a series in one answer */
#define TELEMETRY_QUERY_ATTEMPTS_MAX 4096

struct telemetry;
struct telemetry_reader;

/* Opens or creates `<data_dir>/telemetry.db` (":memory:" for tests; then without readers). */
MUST_CHECK enum status telemetry_open(const char *data_dir, struct telemetry **out,
                                      struct error *err);
void telemetry_close(struct telemetry *telemetry); /* accepts NULL */
void telemetry_cleanup(struct telemetry **telemetry);

/* ---- writing */

enum telemetry_kind {
    TELEMETRY_METRIC,   /* values at step */
    TELEMETRY_PROGRESS, /* step, of, epoch: the newest is kept */
    TELEMETRY_TEXT,     /* word and text at step: "started", "warning", "finished", "checkpoint" */
    TELEMETRY_OTHER,    /* nothing is kept but its seq */
};

struct telemetry_value {
    const char *name; /* shorter than TELEMETRY_NAME_BYTES, else dropped and counted */
    double value;     /* finite, else dropped and counted */
};

/* One line of a trainer. Pointers are borrowed for the call. */
struct telemetry_line {
    enum telemetry_kind kind;
    const char *job;
    int64_t attempt;
    int64_t rank;
    int64_t seq;
    int64_t wall_ms;
    int64_t step;
    int64_t of;    /* 0: not said */
    int64_t epoch; /* -1: not said */
    size_t value_count;
    const struct telemetry_value *values; /* METRIC; also with TEXT (finished's metrics) */
    const char *word;                     /* TEXT */
    const char *text;                     /* TEXT */
};

/*
 * Stores a batch in one transaction. After STATUS_OK all of it is in, whatever was a repeat. `wall_ms`
 * is now: the job's age for telemetry_prune(). Lines of one (job, attempt, rank) come by rising seq.
 */
MUST_CHECK enum status telemetry_append(struct telemetry *telemetry,
                                        const struct telemetry_line *lines, size_t line_count,
                                        int64_t wall_ms, struct error *err);
/* The last seq stored of a rank; 0: none. */
MUST_CHECK enum status telemetry_last_seq(struct telemetry *telemetry, const char *job,
                                          int64_t attempt, int64_t rank, int64_t *out_seq,
                                          struct error *err);
MUST_CHECK enum status telemetry_drop_job(struct telemetry *telemetry, const char *job,
                                          struct error *err);
/*
 * Removes jobs that said nothing since `not_before_ms`, and the longest silent ones while the file is larger than
 * `bytes_max`; at most `jobs_max` a call. *out_removed < jobs_max: nothing left to do.
 */
MUST_CHECK enum status telemetry_prune(struct telemetry *telemetry, int64_t not_before_ms,
                                       int64_t bytes_max, size_t jobs_max, size_t *out_removed,
                                       struct error *err);

/* ---- reading */

MUST_CHECK enum status telemetry_reader_open(const char *data_dir, struct telemetry_reader **out,
                                             struct error *err);
void telemetry_reader_close(struct telemetry_reader *reader); /* accepts NULL */
void telemetry_reader_cleanup(struct telemetry_reader **reader);
/* A reader on the writer's connection, for the writer's thread. Lives as long as the writer. */
struct telemetry_reader *telemetry_own_reader(struct telemetry *telemetry);

/* One attempt of a lineage: its points count for steps in (resume_step, next one's resume_step]. */
struct telemetry_bound {
    int64_t attempt;
    int64_t resume_step;
};

struct telemetry_query {
    const char *job;
    const char *const *names; /* NULL: all */
    size_t name_count;
    size_t points; /* at most so many buckets a series; 0: TELEMETRY_QUERY_POINTS_MAX */
    int64_t from_step, to_step; /* both included */
    bool has_to_step;           /* else no upper end */
    int64_t rank;               /* -1: of each attempt the lowest rank that has the name */
    /*
     * Effective lineage: all attempts of the job, ascending; an attempt's points above any later attempt's
     * resume_step do not count. NULL: all points of all attempts, one after the other.
     */
    const struct telemetry_bound *lineage;
    size_t lineage_count;
};

/*
 * Columns of one name, by step within an attempt, attempts ascending. A bucket of several neighbours shows the last
 * one's step and value, and the lowest and highest value of them: all real, none averaged.
 * A bucket never mixes attempts.
 */
struct telemetry_series {
    const char *name;
    size_t count;
    const int64_t *step;
    const double *value;
    const double *min;
    const double *max;
    const int64_t *attempt;
};
typedef void telemetry_series_fn(void *context, const struct telemetry_series *series);

/* Calls back once a name that has points, names ascending. An unknown job has none. */
MUST_CHECK enum status telemetry_query(struct telemetry_reader *reader,
                                       const struct telemetry_query *query, telemetry_series_fn *fn,
                                       void *context, struct error *err);

/* The newest value of each name: of the highest attempt that has it, lowest rank. */
typedef void telemetry_latest_fn(void *context, const char *name, double value, int64_t step,
                                 int64_t attempt);
MUST_CHECK enum status telemetry_latest(struct telemetry_reader *reader, const char *job,
                                        telemetry_latest_fn *fn, void *context, struct error *err);

struct telemetry_progress {
    int64_t attempt;
    int64_t step;
    int64_t of;
    int64_t epoch; /* -1: not said */
    int64_t wall_ms;
};
/* The furthest rank's progress of the highest attempt. STATUS_NOT_FOUND: the job said nothing yet. */
MUST_CHECK enum status telemetry_progress(struct telemetry_reader *reader, const char *job,
                                          struct telemetry_progress *out, struct error *err);

struct telemetry_text {
    int64_t attempt;
    int64_t rank;
    int64_t seq;
    int64_t wall_ms;
    int64_t step;
    const char *word;
    const char *text;
};
typedef void telemetry_text_fn(void *context, const struct telemetry_text *text);
/* Oldest first, at most `limit` (clamped to TELEMETRY_JOB_TEXTS_MAX). */
MUST_CHECK enum status telemetry_texts(struct telemetry_reader *reader, const char *job,
                                       size_t limit, telemetry_text_fn *fn, void *context,
                                       struct error *err);

/* Lines, points, repeats and drops since telemetry_open(), for /metrics. Any thread. */
struct telemetry_counts {
    uint64_t lines;
    uint64_t points;
    uint64_t repeats;
    uint64_t dropped;
};
void telemetry_count(const struct telemetry *telemetry, struct telemetry_counts *out);

#endif
