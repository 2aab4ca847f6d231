#ifndef TRAINER_DATA_FIT_H
#define TRAINER_DATA_FIT_H

/*
 * fit.h - what was learned from the training part of a data set before any model saw it: normaliser,
 * vocabulary, class names, names of users and items. It travels as JSON with the decoded set and with the
 * model, and is all that is needed to encode new rows. Training, evaluation and prediction encode by the
 * same functions of this file.
 *
 * {"kind": "table" | "text", "format", "separator", "header",
 *  "columns": [{"name", "kind", "buckets"?}, ...], "normalize": "standard" | "none",
 *  "mean": [...], "std": [...], one of each a numeric column,
 *  "labels": "classes" | "integers" | "numbers", "classes": {value: index or null, ...},
 *  "vocabulary": [words from index 2 on], "length", "skipped"?: {"records", "first": [...]}}
 * {"kind": "pairs", "users", "items", "user_names"?: [...], "item_names"?: [...]}
 *
 * Ownership: a fit owns all that it points to. Threads: a fit that is complete may be read by any.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "schema/job_spec.h"
#include "trainer/data/names.h"
#include "trainer/data/records.h"

#define FIT_TOKEN_PADDING 0 /* also the only token of a text without words */
#define FIT_TOKEN_OTHER   1 /* words that are not in the vocabulary */
#define FIT_TOKEN_FIRST   2 /* the most frequent word */

#define FIT_CLASSES_TEXT_BYTES 128

enum fit_kind { FIT_TABLE, FIT_TEXT, FIT_PAIRS };
enum fit_labels { FIT_LABELS_CLASSES, FIT_LABELS_INTEGERS, FIT_LABELS_NUMBERS };

struct fit_column {
    char name[DATA_COLUMN_BYTES];
    int kind;        /* enum column_kind */
    int64_t buckets; /* category */
    double mean,
        std; /* numeric; of the values that are not missing; std 1 where all are the same */
};

struct data_fit {
    enum fit_kind kind;
    /* Tables and texts. */
    int format; /* enum data_format */
    char separator[DATA_SEPARATOR_BYTES];
    bool header;
    struct fit_column columns[DATA_COLUMNS_MAX];
    size_t column_count;
    size_t numeric_count, category_count;
    int text_column, label_column; /* -1: none */
    int normalize;                 /* enum normalize */
    enum fit_labels labels;
    struct data_class
        classes[MODEL_CLASSES_LISTED_MAX]; /* index -1: records of this class are left out */
    size_t class_count;
    char classes_text[FIT_CLASSES_TEXT_BYTES]; /* how errors name them */
    int64_t label_classes;                     /* of labels that are integers: they are below it */
    struct names vocabulary;                   /* word number i is token FIT_TOKEN_FIRST + i */
    int64_t vocabulary_max;                    /* tokens, the two special ones included */
    int64_t length;                            /* tokens of a text that stay: the last ones */
    struct records_skipped skipped;            /* malformed records of the part that was decoded */
    /* Pairs. */
    int64_t users, items;          /* rows of their tables: 1 + the largest number */
    bool named_users, named_items; /* else the ids are numbers and stand for themselves */
    struct names user_names, item_names;
};

/* Columns, classes and limits of a spec; nothing is fitted yet. To be freed by data_fit_free(). */
MUST_CHECK enum status data_fit_new(const struct data_spec *spec, struct data_fit **out,
                                    struct error *err);
void data_fit_free(struct data_fit *fit); /* accepts NULL */
void data_fit_cleanup(struct data_fit *const *fit);

/* Sets classes_text once the classes are there: data_fit_new() and data_fit_parse() do. */
void data_fit_tell_classes(struct data_fit *fit);

/* As JSON; the text is checked by buf_status(). And the reverse. */
void data_fit_write(const struct data_fit *fit, struct buf *out);
MUST_CHECK enum status data_fit_parse(const char *text, size_t bytes, struct data_fit **out,
                                      struct error *err);

/* The layout that reads the fit's columns, in their order. Names are borrowed from the fit. */
struct records_layout data_fit_layout(const struct data_fit *fit);

/* A cell that cannot be encoded. */
struct fit_refusal {
    size_t column;        /* of the fit's columns */
    const char *expected; /* static text, or the fit's */
};

/*
 * Whether a record can be encoded, before anything is fitted: numbers are numbers or missing, the label is a
 * class or at least a number. False, with *refusal, if not. numbers[numeric_count] are the values as they
 * stand, NaN for missing ones. *out_left_out: its class is not wanted.
 */
bool data_check_record(const struct data_fit *fit, const struct record_cell *cells, float *numbers,
                       bool *out_left_out, struct fit_refusal *refusal);
/* numeric[numeric_count] from what data_check_record() read: normalised, a missing one as the mean. */
void data_encode_numbers(const struct data_fit *fit, const float *numbers, float *numeric);
/* category[category_count]: 1..buckets-1 by the upper half of XXH3's 64 bits, 0 for an empty one. */
void data_encode_categories(const struct data_fit *fit, const struct record_cell *cells,
                            int32_t *category);
/* All of these at once, for a row whose label does not matter and may be absent. One cell a column. */
bool data_encode_row(const struct data_fit *fit, const struct record_cell *cells, float *numeric,
                     int32_t *category, struct fit_refusal *refusal);
/*
 * Up to fit->length tokens of a text, the last ones, at least one; returns their number.
 */
size_t data_encode_text(const struct data_fit *fit, const char *text, size_t size, int32_t *tokens);

struct fit_label {
    int32_t index; /* class or integer; -1: the record is left out */
    float number;
};
/* False, with what was expected, for a label that is none. */
bool data_encode_label(const struct data_fit *fit, const struct record_cell *cell,
                       struct fit_label *out, struct fit_refusal *refusal);
/* The first value that means this class, or NULL where classes have no names. */
const char *data_class_name(const struct data_fit *fit, int64_t index);

/* The number of a user's or item's id; -1 for one that was not in the training part. */
int64_t data_encode_user(const struct data_fit *fit, const char *text, size_t size);
int64_t data_encode_item(const struct data_fit *fit, const char *text, size_t size);
/* The reverse: the id as text in `out`, cut if need be. */
#define DATA_ID_BYTES 256
void data_user_name(const struct data_fit *fit, int64_t user, char out[DATA_ID_BYTES]);
void data_item_name(const struct data_fit *fit, int64_t item, char out[DATA_ID_BYTES]);

#endif
