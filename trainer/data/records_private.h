#ifndef TRAINER_DATA_RECORDS_PRIVATE_H
#define TRAINER_DATA_RECORDS_PRIVATE_H

/* records_private.h - shared by records.c and records_run.c alone. */

#include "trainer/data/chunk.h"
#include "trainer/data/jsonl.h"
#include "trainer/data/records.h"

struct records {
    char path[PATH_MAX];
    struct records_layout layout;
    struct csv_dialect dialect;         /* text and jsonl: whole lines */
    size_t positions[DATA_COLUMNS_MAX]; /* of each wanted column among the fields */
    size_t fields_min, fields_max;      /* that a record must have */
    size_t absorbing;                   /* text: position of the absorbing field */
};

/* What one thread needs to read the records of a chunk. */
struct records_reader {
    const struct records *records;
    struct csv_cursor cursor;
    struct record record;
    struct record_cell cells[DATA_COLUMNS_MAX];
    struct jsonl_value values[DATA_COLUMNS_MAX];
    struct csv_field fields[CSV_FIELDS_MAX];
};

void records_reader_begin(struct records_reader *reader, const struct records *records,
                          struct chunk *chunk);
/*
 * *out_record is the next record, NULL at the end. STATUS_INVALID for a malformed one, after which
 * reading goes on.
 */
MUST_CHECK enum status records_reader_next(struct records_reader *reader,
                                           const struct record **out_record, struct error *err);

#endif
