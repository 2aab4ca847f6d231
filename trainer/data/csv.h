#ifndef TRAINER_DATA_CSV_H
#define TRAINER_DATA_CSV_H

/*
 * csv.h - records and fields in bytes that hold whole records. Pure: no files, no allocation.
 *
 * With quotes (RFC 4180): a field that begins with a quote ends at the next single one; separators
 * and line breaks between them belong to it, and two quotes stand for one. A quote elsewhere is an
 * ordinary character. Without quotes a record is a line. Lines end with LF or CR LF, the last one may
 * end with the file; empty lines are passed over, unless the dialect keeps them.
 *
 * A malformed record ends at the line break after the place where it went wrong; where a quote is never
 * closed, that is the quote. So reading goes on, and csv_cut() and csv_next() agree
 * about where records begin whatever the bytes are.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CSV_FIELDS_MAX      4096
#define CSV_SEPARATOR_BYTES 8  /* as DATA_SEPARATOR_BYTES, NUL included */
#define CSV_PADDING_BYTES   64 /* readable and writable behind the bytes given to csv_begin() */

struct csv_dialect {
    char separator[CSV_SEPARATOR_BYTES];
    size_t separator_bytes; /* 0: a record is one field, the line; > 1 not with quotes */
    bool quotes;
    bool keeps_empty; /* an empty line is a record of one empty field */
};

/* Not NUL-terminated; between the quotes, and doubled quotes are single ones already. */
struct csv_field {
    const char *text;
    size_t size;
};

struct csv_problem {
    const char *what; /* static text; NULL: none */
    size_t field;     /* counted from 0 */
};

/* Where reading stands. Callers read `record` and `line`; the others are csv.c's own. */
struct csv_cursor {
    const struct csv_dialect *dialect;
    char *record; /* the last one, in the bytes */
    int64_t line; /* on which it began */
    char *at;     /* the next one */
    char *end;    /* there lies a line break that csv_begin() put if there was none */
    char *stop;   /* no record begins here or behind it */
    char *block;  /* 64 bytes of which `marks` says what to look at */
    uint64_t marks;
    int64_t next_line;
};

/*
 * Starts on `size` bytes that begin with a record and end with one (csv_cut() says where). Writes up to
 * CSV_PADDING_BYTES behind them, and rewrites fields with doubled quotes in place.
 */
void csv_begin(struct csv_cursor *cursor, const struct csv_dialect *dialect, char *bytes,
               size_t size, int64_t first_line);
/*
 * The next record: true, with its fields, of which at least one; false at the end. A malformed record
 * is true, too, with problem->what set and no fields.
 */
bool csv_next(struct csv_cursor *cursor, struct csv_field *fields, size_t fields_max,
              size_t *out_count, struct csv_problem *problem);

/*
 * How many of the bytes, which begin with a record, are whole records. `final`: nothing more will come,
 * so that an open quote is malformed and the last record needs no line break. Passing bytes without
 * quotes costs a memchr().
 */
size_t csv_cut(const struct csv_dialect *dialect, const char *bytes, size_t size, bool final);
/* The size of the first record of the bytes, taken as if nothing more came. */
size_t csv_first(const struct csv_dialect *dialect, const char *bytes, size_t size);
/* Line breaks in the bytes. */
int64_t csv_count_lines(const char *bytes, size_t size);

#endif
