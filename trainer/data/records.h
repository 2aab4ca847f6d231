#ifndef TRAINER_DATA_RECORDS_H
#define TRAINER_DATA_RECORDS_H

/*
 * records.h - passes over all records of a file of any format with columns, by as many threads as there
 * are processors, with results that do not depend on their number.
 *
 * A pass visits each record once. What it gathers is gathered chunk by chunk (any thread) and merged in
 * the order of the chunks (one thread at a time); chunks lie where they lie (chunk.h). A reader makes
 * several passes over its file, first to count and fit, then to write: nothing grows with the file.
 *
 * Errors:  file:line:field (name): expected ..., got "...". A record that a pass refuses with
 *          STATUS_INVALID is malformed: the first one fails the pass, or malformed records are passed over
 *          up to a bound. Which error is told does not depend on the threads either.
 */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "schema/job_spec.h"
#include "trainer/data/csv.h"

#define RECORDS_THREADS_MAX  16
#define RECORDS_WARNINGS_MAX 5  /* malformed records whose text is kept */
#define RECORDS_GOT_BYTES    64 /* of a value that are shown in an error */

struct record_cell {
    const char *text; /* not NUL-terminated */
    size_t size;
    bool absent; /* JSON: null or no such key; elsewhere fields are at most empty */
};

struct records;

struct record {
    const struct records *records;
    int64_t line;                    /* on which it begins */
    int64_t chunk;                   /* that it lies in */
    const struct record_cell *cells; /* one a wanted column, in the order of the layout */
};

/* Which columns are wanted from what kind of file. */
struct records_layout {
    int format; /* enum data_format: csv, tsv, text, jsonl, interactions */
    const char *separator;
    bool header;
    bool
        by_position; /* without a header: the names are field numbers from "0"; there may be more fields */
    const char *names[DATA_COLUMNS_MAX];
    size_t count;
    bool keeps_empty; /* text: an empty line is a record */
    int absorbing;    /* text: the column that takes separators beyond the others'; -1: none */
};

/* Malformed records are counted and passed over, up to a bound. */
struct records_policy {
    bool skip;
    int64_t errors_max;
};
struct records_skipped {
    int64_t count;
    char first[RECORDS_WARNINGS_MAX][ERROR_TEXT_BYTES_MAX];
};

/* Names are borrowed and must outlive it. Reads the header, if there is one, and finds the columns. */
MUST_CHECK enum status records_open(const char *path, const struct records_layout *layout,
                                    struct records **out, struct error *err);
void records_close(struct records *records); /* accepts NULL */
void records_cleanup(struct records *const *records);
const char *records_path(const struct records *records);
/* STATUS_CONFLICT: one pass saw another file than the one before. */
enum status records_changed(const struct records *records, struct error *err);

/* What a pass does; every member is given. A part is what one thread gathers from one chunk. */
struct records_pass {
    size_t part_bytes; /* zeroed when a thread starts */
    void (*begin)(void *context, void *part, int64_t chunk);
    enum status (*record)(void *context, void *part, const struct record *record,
                          struct error *err);
    /* One chunk after the other, 0, 1, ...; also of those with no good record. */
    enum status (*merge)(void *context, void *part, int64_t chunk, struct error *err);
    void (*end)(void *part); /* frees what a part holds when its thread ends */
};
void records_begin_nothing(void *context, void *part, int64_t chunk);
void records_end_nothing(void *part);

/* `threads` 0: as many as there are processors. */
MUST_CHECK enum status records_run(const struct records *records, const struct records_pass *pass,
                                   void *context, const struct records_policy *policy, int threads,
                                   struct records_skipped *out_skipped, struct error *err);

/* STATUS_INVALID with the record's place and its value in this column. */
MUST_CHECK enum status record_refuse(const struct record *record, size_t column,
                                     const char *expected, struct error *err);

#endif
