#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

/*
 * output.h - one list of columns per noun, printed as a table, wide table, CSV, names, JSON or JSON
 * lines. JSON is always what the controller said, unchanged. Into a pipe nothing is coloured or cut.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "cli/cli.h"

#define CELL_BYTES_MAX 4096

/* Writes an item's cell for people. CSV gets the same text. */
typedef void cell_fn(const json_t *item, struct buf *out);

struct column {
    const char *title; /* NULL ends the list */
    const char *path;  /* field_find() path; used when format is NULL */
    cell_fn *format;
    bool wide;  /* only in wide and CSV */
    bool right; /* numbers */
    bool state; /* a state word: coloured on a terminal */
};

#define COLUMN_END    \
    {                 \
        .title = NULL \
    }

/* The value at "progress.step", "attempts.-1.state": keys and indices (negative: from the end). */
json_t *field_find(const json_t *root, const char *path);
/* As text: strings as they are, numbers and booleans as JSON; "" for null and nothing. */
void field_print(const json_t *value, struct buf *out);
const char *field_text(const json_t *root, const char *path, const char *otherwise);
int64_t field_number(const json_t *root, const char *path, int64_t otherwise);
double field_decimal(const json_t *root, const char *path, double otherwise);

/* A list in the chosen format. `name_path`: what -o name prints of each. */
void print_list(const struct cli *cli, const struct column *columns, const char *name_path,
                const json_t *items);
/* One object: as a list of one, but its JSON is the object. */
void print_object(const struct cli *cli, const struct column *columns, const char *name_path,
                  const json_t *item);
void print_json(const json_t *value);
/* A document that is no row of a list: one line with -o jsonl, else as -o json. */
void print_document(const struct cli *cli, const json_t *value);
/* The raw value at a path, for scripts: `--field`. Not found is EXIT_NOT_FOUND. */
int print_one_field(const struct cli *cli, const json_t *root, const char *path);

/* "\x1b[32m" and so on for a state word, "" without colour. */
const char *colour_of_state(const struct cli *cli, const char *state);
const char *colour_off(const struct cli *cli);

/* Cells that several nouns share. */
void format_bytes(int64_t bytes, struct buf *out);      /* "398 KiB" */
void format_span(int64_t duration_ms, struct buf *out); /* "41 ms", "3.2 s", "2m05s", "3h10m" */
int64_t parse_time(const char *rfc3339);                /* wall ms, or -1 */
/* Milliseconds between two times of an object, or -1 if one is missing. */
int64_t span_between(const json_t *root, const char *from_path, const char *to_path);

#endif
