/* jsonl.c - one pass over a line; RFC 8259, but what is nested is only balanced. */
#include "trainer/data/jsonl.h"

#include <stdint.h>
#include <string.h>

struct line {
    const char *begin;
    char *at;
    const char *end;
    struct jsonl_problem *problem;
};

static bool refuse(const struct line *line, const char *at, const char *what)
{
    *line->problem = (struct jsonl_problem){.what = what, .at = (size_t)(at - line->begin)};
    return false;
}

static void skip_blanks(struct line *line)
{
    while (line->at < line->end &&
           (*line->at == ' ' || *line->at == '\t' || *line->at == '\r' || *line->at == '\n'))
        line->at++;
}

static bool take(struct line *line, char wanted)
{
    skip_blanks(line);
    if (line->at == line->end || *line->at != wanted)
        return false;
    line->at++;
    return true;
}

/* ------------------------------------------------------------------ strings */

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Four hexadecimal digits; -1 if they are not there. */
static int32_t take_unit(struct line *line)
{
    int32_t unit = 0;
    if (line->end - line->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        const int digit = digit_of(*line->at++);
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

static char *put_utf8(char *out, uint32_t code)
{
    if (code < 0x80) {
        *out++ = (char)code;
        return out;
    }
    const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t leads[] = {0, 0xC0, 0xE0, 0xF0};
    *out++ = (char)(leads[more] | code >> (6 * more));
    for (int i = more - 1; i >= 0; i--)
        *out++ = (char)(0x80 | (code >> (6 * i) & 0x3F));
    return out;
}

/* \uXXXX, or two of them that are one character; never longer than it was. */
static char *take_unicode(struct line *line, char *out)
{
    const int32_t unit = take_unit(line);
    if (unit < 0 || (unit >= 0xDC00 && unit <= 0xDFFF))
        return NULL;
    if (unit < 0xD800 || unit > 0xDBFF)
        return put_utf8(out, (uint32_t)unit);
    if (line->end - line->at < 2 || line->at[0] != '\\' || line->at[1] != 'u')
        return NULL;
    line->at += 2;
    const int32_t low = take_unit(line);
    if (low < 0xDC00 || low > 0xDFFF)
        return NULL;
    return put_utf8(out, 0x10000 + ((uint32_t)(unit - 0xD800) << 10) + (uint32_t)(low - 0xDC00));
}

/* What follows a backslash; NULL if that means nothing. */
static char *take_escape(struct line *line, char *out)
{
    static const char marks[] = "\"\\/bfnrt";
    static const char means[] = "\"\\/\b\f\n\r\t";
    if (line->at == line->end)
        return NULL;
    const char mark = *line->at++;
    if (mark == 'u')
        return take_unicode(line, out);
    const char *const found = mark == '\0' ? NULL : strchr(marks, mark);
    if (found == NULL)
        return NULL;
    *out++ = means[found - marks];
    return out;
}

/* From behind the opening quote. */
static bool take_string(struct line *line, struct jsonl_value *value)
{
    const char *const begin = line->at;
    char *out = line->at;
    while (line->at < line->end && *line->at != '"') {
        const char *const here = line->at;
        if ((unsigned char)*line->at < 0x20)
            return refuse(line, here, "a control character in a string");
        if (*line->at != '\\') {
            *out++ = *line->at++;
            continue;
        }
        line->at++;
        out = take_escape(line, out);
        if (out == NULL)
            return refuse(line, here, "an escape that means nothing");
    }
    if (line->at == line->end)
        return refuse(line, begin - 1, "a string that is never closed");
    line->at++;
    *value = (struct jsonl_value){.text = begin, .size = (size_t)(out - begin)};
    return true;
}

/* ------------------------------------------------------------------ other values */

static const char *after_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

static bool is_number(const char *at, const char *end)
{
    at += at < end && *at == '-';
    const char *next = after_digits(at, end);
    if (next == at || (*at == '0' && next - at > 1))
        return false;
    at = next;
    if (at < end && *at == '.') {
        next = after_digits(at + 1, end);
        if (next == at + 1)
            return false;
        at = next;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < end && (*at == '+' || *at == '-');
        next = after_digits(at, end);
        if (next == at)
            return false;
        at = next;
    }
    return at == end;
}

/* A number, true, false or null. */
static bool take_word(struct line *line, struct jsonl_value *value)
{
    const char *const begin = line->at;
    while (line->at < line->end && strchr(",]} \t\r\n", *line->at) == NULL)
        line->at++;
    const size_t size = (size_t)(line->at - begin);
    *value = (struct jsonl_value){.text = begin, .size = size};
    if ((size == 4 && memcmp(begin, "true", 4) == 0) ||
        (size == 5 && memcmp(begin, "false", 5) == 0))
        return true;
    if (size == 4 && memcmp(begin, "null", 4) == 0) {
        *value = (struct jsonl_value){.text = "", .absent = true};
        return true;
    }
    return is_number(begin, line->at) || refuse(line, begin, "what is no JSON value");
}

/* An object or array, to its closing bracket. */
static bool pass_nested(struct line *line)
{
    char open[JSONL_DEPTH_MAX];
    size_t depth = 0;
    const char *const begin = line->at;
    while (line->at < line->end) {
        const char c = *line->at++;
        struct jsonl_value unused;
        if (c == '"' && !take_string(line, &unused))
            return false;
        if (c == '{' || c == '[') {
            if (depth == JSONL_DEPTH_MAX)
                return refuse(line, begin, "values nested too deeply");
            open[depth++] = c == '{' ? '}' : ']';
        }
        if (c != '}' && c != ']')
            continue;
        if (open[--depth] != c)
            return refuse(line, line->at - 1, "a bracket that closes another");
        if (depth == 0)
            return true;
    }
    return refuse(line, begin, "a bracket that is never closed");
}

static bool take_value(struct line *line, struct jsonl_value *value, bool *out_nested)
{
    skip_blanks(line);
    *out_nested = line->at < line->end && (*line->at == '{' || *line->at == '[');
    if (*out_nested)
        return pass_nested(line);
    if (take(line, '"'))
        return take_string(line, value);
    return take_word(line, value);
}

/* ------------------------------------------------------------------ the object */

struct wanted {
    const char *const *names;
    size_t count;
    size_t next; /* where the search begins: keys mostly come in the same order */
    struct jsonl_value *values;
};

static struct jsonl_value *find_wanted(struct wanted *wanted, const struct jsonl_value *key)
{
    for (size_t i = 0; i < wanted->count; i++) {
        const size_t at = (wanted->next + i) % wanted->count;
        if (strncmp(wanted->names[at], key->text, key->size) == 0 &&
            wanted->names[at][key->size] == '\0') {
            wanted->next = at + 1;
            return &wanted->values[at];
        }
    }
    return NULL;
}

static bool take_member(struct line *line, struct wanted *wanted)
{
    struct jsonl_value key, value;
    bool nested = false;
    if (!take(line, '"'))
        return refuse(line, line->at, "no key where one must be");
    const char *const key_at = line->at;
    if (!take_string(line, &key))
        return false;
    if (memchr(key.text, '\0', key.size) != NULL)
        key.size = 0; /* no column has such a name; nor has one an empty name */
    struct jsonl_value *const place = find_wanted(wanted, &key);
    if (!take(line, ':'))
        return refuse(line, line->at, "no colon behind a key");
    if (!take_value(line, &value, &nested))
        return false;
    if (place == NULL)
        return true;
    if (nested)
        return refuse(line, key_at, "a nested value in a column");
    if (place->text != NULL)
        return refuse(line, key_at, "a key that comes twice");
    *place = value;
    return true;
}

bool jsonl_read(char *line, size_t size, const char *const names[], size_t count,
                struct jsonl_value *values, struct jsonl_problem *problem)
{
    struct line at = {.begin = line, .at = line, .end = line + size, .problem = problem};
    struct wanted wanted = {.names = names, .count = count, .values = values};
    memset(values, 0, count * sizeof(*values));
    problem->what = NULL;
    if (!take(&at, '{'))
        return refuse(&at, at.at, "no object");
    if (!take(&at, '}')) {
        do {
            if (!take_member(&at, &wanted))
                return false;
        } while (take(&at, ','));
        if (!take(&at, '}'))
            return refuse(&at, at.at, "neither a comma nor the object's end");
    }
    skip_blanks(&at);
    if (at.at != at.end)
        return refuse(&at, at.at, "something behind the object");
    for (size_t i = 0; i < count; i++) {
        if (values[i].text == NULL)
            values[i] = (struct jsonl_value){.text = "", .absent = true};
    }
    return true;
}
