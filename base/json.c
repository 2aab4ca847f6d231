#include "base/json.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define GOT_STRING_BYTES 64 /* of a wrong string that a problem repeats */

/* ------------------------------------------------------------------ parsing */

/* Line and column, from 1, of the byte at `offset`; columns count characters. */
static void locate(const char *text, size_t offset, int *out_line, int *out_column)
{
    *out_line = 1;
    *out_column = 1;
    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            (*out_line)++;
            *out_column = 1;
        } else if (((unsigned char)text[i] & 0xc0U) != 0x80U) {
            (*out_column)++;
        }
    }
}

static enum status refuse_at(const char *text, size_t offset, const char *what, struct error *err)
{
    int line = 0;
    int column = 0;
    locate(text, offset, &line, &column);
    return error_set(err, STATUS_INVALID, "line %d, column %d: %s", line, column, what);
}

/*
 * Refuses what Jansson would take: deep nesting (its own limit is 2048 recursions) and a NUL byte
 * behind a number, which it drops. Everything else that may be wrong is Jansson's to find.
 */
static enum status check_before(const char *text, size_t size, struct error *err)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        const char c = text[i];
        if (c == '\0')
            return refuse_at(text, i, "a NUL byte", err);
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            depth++;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
        if (depth > JSON_DEPTH_MAX) {
            char what[32];
            (void)snprintf(what, sizeof(what), "nested over %d deep", JSON_DEPTH_MAX);
            return refuse_at(text, i, what, err);
        }
    }
    return STATUS_OK;
}

static enum status refuse(json_error_t *reason, size_t size, struct error *err)
{
    if (json_error_code(reason) == json_error_out_of_memory)
        return error_set(err, STATUS_NO_MEMORY, "no memory for %zu bytes of JSON", size);
    const char *words = reason->text;
    if (json_error_code(reason) == json_error_null_character)
        words = "a string must not contain \\u0000";
    text_make_printable(reason->text); /* it may repeat a piece of the document */
    return error_set(err, STATUS_INVALID, "line %d, column %d: %s", reason->line, reason->column,
                     words);
}

enum status json_parse(const char *text, size_t size, json_t **out, struct error *err)
{
    TRY(check_before(text, size, err));
    json_error_t reason;
    json_t *document = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &reason);
    if (document == NULL)
        return refuse(&reason, size, err);
    *out = document;
    return STATUS_OK;
}

void json_cleanup(json_t *const *json)
{
    json_decref(*json);
}

/* ------------------------------------------------------------------ places */

struct json_at json_at_root(const json_t *document, struct json_problems *problems)
{
    return (struct json_at){.value = document, .problems = problems};
}

struct json_at json_at_key(const struct json_at *parent, const char *key)
{
    return (struct json_at){
        .parent = parent,
        .key = key,
        .value = json_object_get(parent->value, key),
        .problems = parent->problems,
    };
}

struct json_at json_at_index(const struct json_at *parent, size_t index)
{
    return (struct json_at){
        .parent = parent,
        .index = index,
        .value = json_array_get(parent->value, index),
        .problems = parent->problems,
    };
}

json_t *json_iterable(const json_t *value)
{
    return (json_t *)(uintptr_t)value;
}

bool json_present(const struct json_at *at)
{
    return at->value != NULL && !json_is_null(at->value);
}

/* ------------------------------------------------------------------ problems */

/* Appends to a bounded text; what does not fit is cut. */
static void append(char *out, size_t out_bytes, const char *text)
{
    const size_t used = strlen(out);
    (void)text_copy(out + used, out_bytes - used, text);
}

static void append_key(char *out, size_t out_bytes, const char *key)
{
    for (; *key != '\0'; key++) {
        const char one[] = {*key, '\0'};
        append(out, out_bytes, *key == '~' ? "~0" : *key == '/' ? "~1" : one);
    }
}

static void append_pointer(const struct json_at *at, char *out, size_t out_bytes)
{
    if (at->parent == NULL)
        return;
    append_pointer(at->parent, out, out_bytes); /* at most JSON_DEPTH_MAX deep */
    append(out, out_bytes, "/");
    if (at->key != NULL) {
        append_key(out, out_bytes, at->key);
        return;
    }
    char index[24];
    (void)snprintf(index, sizeof(index), "%zu", at->index);
    append(out, out_bytes, index);
}

static void describe_string(const json_t *value, char *out, size_t out_bytes)
{
    char shown[GOT_STRING_BYTES];
    const bool whole = text_copy(shown, sizeof(shown), json_string_value(value));
    text_make_printable(shown);
    (void)snprintf(out, out_bytes, "string \"%s%s\"", shown, whole ? "" : "...");
}

static void describe_real(double value, char *out, size_t out_bytes)
{
    char digits[32];
    (void)snprintf(digits, sizeof(digits), "%.15g", value);
    (void)snprintf(out, out_bytes, "number %s%s", digits,
                   strpbrk(digits, ".en") == NULL ? ".0" : "");
}

static void describe(const json_t *value, char *out, size_t out_bytes)
{
    if (value == NULL) {
        (void)snprintf(out, out_bytes, "nothing");
        return;
    }
    switch (json_typeof(value)) {
    case JSON_STRING:
        describe_string(value, out, out_bytes);
        return;
    case JSON_INTEGER:
        (void)snprintf(out, out_bytes, "integer %" JSON_INTEGER_FORMAT, json_integer_value(value));
        return;
    case JSON_REAL:
        describe_real(json_real_value(value), out, out_bytes);
        return;
    case JSON_OBJECT:
        (void)snprintf(out, out_bytes, "object");
        return;
    case JSON_ARRAY:
        (void)snprintf(out, out_bytes, "array of %zu", json_array_size(value));
        return;
    case JSON_TRUE:
        (void)snprintf(out, out_bytes, "true");
        return;
    case JSON_FALSE:
        (void)snprintf(out, out_bytes, "false");
        return;
    case JSON_NULL:
        (void)snprintf(out, out_bytes, "null");
        return;
    }
}

/* The next free problem with its pointer filled in, or NULL when there are too many. */
static struct json_problem *new_problem(const struct json_at *at)
{
    struct json_problems *problems = at->problems;
    if (problems->count == JSON_PROBLEMS_MAX) {
        problems->dropped++;
        return NULL;
    }
    struct json_problem *problem = &problems->items[problems->count++];
    *problem = (struct json_problem){.pointer = ""};
    append_pointer(at, problem->pointer, sizeof(problem->pointer));
    text_drop_partial(problem->pointer);
    return problem;
}

void json_problem_add(const struct json_at *at, const char *fmt, ...)
{
    struct json_problem *problem = new_problem(at);
    if (problem == NULL)
        return;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(problem->expected, sizeof(problem->expected), fmt, args);
    va_end(args);
    text_drop_partial(problem->expected);
    describe(at->value, problem->got, sizeof(problem->got));
}

/* A key that should not be there. `got` stays empty: what its value is does not matter. */
static void add_unknown_field(const struct json_at *at, const char *const known[])
{
    struct json_problem *problem = new_problem(at);
    if (problem == NULL)
        return;
    const char *closest = text_closest(known, at->key);
    if (closest != NULL)
        (void)snprintf(problem->expected, sizeof(problem->expected),
                       "unknown field, did you mean \"%s\"?", closest);
    else
        (void)snprintf(problem->expected, sizeof(problem->expected), "unknown field");
}

static bool is_one_of(const char *const words[], const char *word)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], word) == 0)
            return true;
    }
    return false;
}

bool json_get_open_object(const struct json_at *at)
{
    if (json_is_object(at->value))
        return true;
    json_problem_add(at, "object");
    return false;
}

bool json_get_object(const struct json_at *at, const char *const known[])
{
    if (!json_get_open_object(at))
        return false;
    const char *key = NULL;
    const json_t *value = NULL;
    json_object_foreach(json_iterable(at->value), key, value) {
        const struct json_at field = json_at_key(at, key);
        if (!is_one_of(known, key))
            add_unknown_field(&field, known);
    }
    return true;
}

enum status json_problems_status(const struct json_problems *problems, struct error *err)
{
    if (problems->count == 0)
        return STATUS_OK;
    const struct json_problem *first = &problems->items[0];
    const char *where = first->pointer[0] == '\0' ? "document" : first->pointer;
    char more[48] = "";
    const size_t others = problems->count - 1 + problems->dropped;
    if (others > 0)
        (void)snprintf(more, sizeof(more), " (and %zu more problem%s)", others,
                       others == 1 ? "" : "s");
    if (first->got[0] == '\0')
        return error_set(err, STATUS_INVALID, "%s: %s%s", where, first->expected, more);
    return error_set(err, STATUS_INVALID, "%s: expected %s, got %s%s", where, first->expected,
                     first->got, more);
}

json_t *json_problems_encode(const struct json_problems *problems)
{
    json_t *list = json_array();
    for (size_t i = 0; i < problems->count; i++) {
        const struct json_problem *problem = &problems->items[i];
        (void)json_array_append_new(list,
                                    json_pack("{s:s, s:s, s:s}", "pointer", problem->pointer,
                                              "expected", problem->expected, "got", problem->got));
    }
    return list;
}
