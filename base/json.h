#ifndef BASE_JSON_H
#define BASE_JSON_H

/*
 * json.h - read a JSON document into C values, or say exactly what is wrong with it:
 *
 *     /resources/ranks: expected integer 1..1024, got string "eight"
 *     /data/train: expected object, got nothing
 *     /resources/rank: unknown field, did you mean "ranks"?
 *
 * A decoder visits the whole document and collects every problem (up to a limit), so that people
 * mend all of them at once. A `struct json_at` is a place in a document: it lives on the caller's
 * stack and points at the place that contains it, so the path costs nothing until there is a
 * problem to report. Where a value is wrong, the getter records it and leaves *out alone; the caller
 * goes on and asks json_problems_status() once at the end.
 *
 * Ownership: decoded `const char *` are borrowed from the document; the `_copy` getters copy.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

#define JSON_DEPTH_MAX      32
#define JSON_PROBLEMS_MAX   32
#define JSON_POINTER_BYTES  192
#define JSON_EXPECTED_BYTES 160
#define JSON_GOT_BYTES      96

struct json_problem {
    char pointer[JSON_POINTER_BYTES]; /* RFC 6901; "" is the document itself */
    char expected[JSON_EXPECTED_BYTES];
    char got[JSON_GOT_BYTES]; /* "": `expected` is the whole message, as for an unknown field */
};

struct json_problems {
    size_t count;
    size_t dropped; /* problems beyond JSON_PROBLEMS_MAX */
    struct json_problem items[JSON_PROBLEMS_MAX];
};

struct json_at {
    const struct json_at *parent; /* NULL at the root */
    const char *key;              /* NULL at the root and inside an array */
    size_t index;                 /* inside an array */
    const json_t *value;          /* NULL if the document has nothing here */
    struct json_problems *problems;
};

/*
 * Parses text: duplicate keys, NUL characters, bad UTF-8, depth over JSON_DEPTH_MAX and trailing
 * bytes are refused with line and column. A new reference in *out.
 */
MUST_CHECK enum status json_parse(const char *text, size_t size, json_t **out, struct error *err);
void json_cleanup(json_t *const *json); /* CLEANUP(json_cleanup) json_t *doc */

struct json_at json_at_root(const json_t *document, struct json_problems *problems);
struct json_at json_at_key(const struct json_at *parent, const char *key);
struct json_at json_at_index(const struct json_at *parent, size_t index);
/* Whether the document has a value here that is not null. */
bool json_present(const struct json_at *at);
/* For json_object_foreach() alone: Jansson's iterators change nothing, but take what they could. */
json_t *json_iterable(const json_t *value);

/* True if it is an object. `known` ends with NULL; another key is a problem with a suggestion. */
bool json_get_object(const struct json_at *at, const char *const known[]);
/* The same for messages between our own programs: unknown keys are fine (version skew). */
bool json_get_open_object(const struct json_at *at);
/* Sets *out_count; a longer array is a problem. */
bool json_get_array(const struct json_at *at, size_t count_max, size_t *out_count);

/* Required values: missing, of another type or out of range is a problem, and false. */
bool json_get_int(const struct json_at *at, int64_t min, int64_t max, int64_t *out);
bool json_get_double(const struct json_at *at, double min, double max, double *out);
bool json_get_bool(const struct json_at *at, bool *out);
bool json_get_string(const struct json_at *at, size_t bytes_max, const char **out);
bool json_get_string_copy(const struct json_at *at, char *out, size_t out_bytes);
/* One of the words of `names` (ends with NULL); *out is its index. */
bool json_get_enum(const struct json_at *at, const char *const names[], int *out);
/* "90s", "15m", "2h", "500ms", "1d" within min..max, in milliseconds. */
bool json_get_duration(const struct json_at *at, int64_t min_ms, int64_t max_ms, int64_t *out_ms);

/* Optional values: absent or null leaves *out alone and is fine (true). */
bool json_opt_int(const struct json_at *at, int64_t min, int64_t max, int64_t *out);
bool json_opt_double(const struct json_at *at, double min, double max, double *out);
bool json_opt_bool(const struct json_at *at, bool *out);
bool json_opt_string(const struct json_at *at, size_t bytes_max, const char **out);
bool json_opt_string_copy(const struct json_at *at, char *out, size_t out_bytes);
bool json_opt_enum(const struct json_at *at, const char *const names[], int *out);
bool json_opt_duration(const struct json_at *at, int64_t min_ms, int64_t max_ms, int64_t *out_ms);

/* Records a problem at this place; `got` is taken from the value. */
void json_problem_add(const struct json_at *at, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* STATUS_OK without problems; else STATUS_INVALID, with the first one and their number as text. */
MUST_CHECK enum status json_problems_status(const struct json_problems *problems,
                                            struct error *err);
/* [{pointer, expected, got}], a new reference. */
json_t *json_problems_encode(const struct json_problems *problems);

/* Writes "90s", "15m", "2h", "500ms": the longest unit that divides it, but "60s" and "24h". */
void duration_format(int64_t duration_ms, char out[24]);
/* The reverse of duration_format; false if it is no duration. */
bool duration_parse(const char *text, int64_t *out_ms);

/*
 * Compact JSON text. Numbers are the shortest digits that read back as the same double (Jansson's
 * own writer says 0.90000000000000002 for 0.9), so the bytes do not depend on a library's version.
 * A value that is not finite is written as null.
 *
 * json_canonical() sorts keys: the bytes that spec hashes are taken of. json_text() keeps their
 * order: for answers. Both return a string to free(), or NULL when there is no memory.
 */
char *json_canonical(const json_t *value);
char *json_text(const json_t *value);
void json_append(struct buf *out, const json_t *value);
/* A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void json_append_string(struct buf *out, const char *text);
void json_append_double(struct buf *out, double value);

#endif
