/* json_write.c - the writing half of json.h. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/text.h"

#define JSON_TEXT_BYTES_MAX ((size_t)256 * MIB)

void json_append_double(struct buf *out, double value)
{
    if (!isfinite(value)) {
        buf_append_text(out, "null");
        return;
    }
    char digits[32];
    for (int precision = 15; precision <= 17; precision++) {
        (void)snprintf(digits, sizeof(digits), "%.*g", precision, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    buf_append_text(out, digits);
    /* A real stays a real when it is read again. */
    if (strpbrk(digits, ".e") == NULL)
        buf_append_text(out, ".0");
}

/* The two-character escape of a byte, or NULL. */
static const char *short_escape(unsigned char c)
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        return NULL;
    }
}

static void append_text(struct buf *out, const char *text, size_t size)
{
    buf_append(out, "\"", 1);
    size_t plain = 0; /* start of the run that needs no escape */
    size_t at = 0;
    while (at < size) {
        const unsigned char c = (unsigned char)text[at];
        const bool ordinary = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
        const size_t bytes = ordinary ? 1 : text_utf8_bytes(text + at, size - at);
        if (ordinary || bytes > 1) {
            at += bytes;
            continue;
        }
        buf_append(out, text + plain, at - plain);
        const char *escape = short_escape(c);
        if (bytes == 0)
            buf_append_text(out, "\xef\xbf\xbd"); /* U+FFFD */
        else if (escape != NULL)
            buf_append_text(out, escape);
        else
            buf_printf(out, "\\u%04x", c);
        plain = ++at;
    }
    buf_append(out, text + plain, size - plain);
    buf_append(out, "\"", 1);
}

void json_append_string(struct buf *out, const char *text)
{
    append_text(out, text, strlen(text));
}

static void append_value(struct buf *out, const json_t *value, bool sorted);

static void append_member(struct buf *out, const char *key, const json_t *value, bool first,
                          bool sorted)
{
    if (!first)
        buf_append(out, ",", 1);
    json_append_string(out, key);
    buf_append(out, ":", 1);
    append_value(out, value, sorted);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void append_sorted_object(struct buf *out, const json_t *object)
{
    const size_t count = json_object_size(object);
    const char **keys = calloc(count + 1, sizeof(keys[0]));
    if (keys == NULL) {
        out->failed = STATUS_NO_MEMORY;
        return;
    }
    size_t filled = 0;
    const char *key = NULL;
    const json_t *value = NULL;
    json_object_foreach(json_iterable(object), key, value) {
        keys[filled++] = key;
    }
    qsort(keys, count, sizeof(keys[0]), compare_keys);
    for (size_t i = 0; i < count; i++)
        append_member(out, keys[i], json_object_get(object, keys[i]), i == 0, true);
    free(keys);
}

static void append_object(struct buf *out, const json_t *object, bool sorted)
{
    buf_append(out, "{", 1);
    if (sorted) {
        append_sorted_object(out, object);
    } else {
        bool first = true;
        const char *key = NULL;
        const json_t *value = NULL;
        json_object_foreach(json_iterable(object), key, value) {
            append_member(out, key, value, first, false);
            first = false;
        }
    }
    buf_append(out, "}", 1);
}

static void append_array(struct buf *out, const json_t *array, bool sorted)
{
    buf_append(out, "[", 1);
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (i > 0)
            buf_append(out, ",", 1);
        append_value(out, json_array_get(array, i), sorted);
    }
    buf_append(out, "]", 1);
}

static void append_value(struct buf *out, const json_t *value, bool sorted)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        append_object(out, value, sorted);
        return;
    case JSON_ARRAY:
        append_array(out, value, sorted);
        return;
    case JSON_STRING:
        append_text(out, json_string_value(value), json_string_length(value));
        return;
    case JSON_INTEGER:
        buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return;
    case JSON_REAL:
        json_append_double(out, json_real_value(value));
        return;
    case JSON_TRUE:
        buf_append_text(out, "true");
        return;
    case JSON_FALSE:
        buf_append_text(out, "false");
        return;
    case JSON_NULL:
        buf_append_text(out, "null");
        return;
    }
}

void json_append(struct buf *out, const json_t *value)
{
    append_value(out, value, false);
}

static char *text_of(const json_t *value, bool sorted)
{
    CLEANUP(buf_clear) struct buf out;
    buf_init(&out, JSON_TEXT_BYTES_MAX);
    append_value(&out, value, sorted);
    if (out.failed != STATUS_OK)
        return NULL;
    return buf_take(&out);
}

char *json_canonical(const json_t *value)
{
    return text_of(value, true);
}

char *json_text(const json_t *value)
{
    return text_of(value, false);
}
