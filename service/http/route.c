#include "service/http/route.h"

#include <stdio.h>
#include <string.h>

const char *const http_method_names[] = {"GET", "POST", "PUT", "DELETE", NULL};

/* The next segment of *cursor, which moves past it; false at the end. */
static bool next_segment(const char **cursor, struct http_segment *out)
{
    if (**cursor != '/')
        return false;
    const char *start = *cursor + 1;
    out->text = start;
    out->size = strcspn(start, "/");
    *cursor = start + out->size;
    return true;
}

static bool path_fits(const char *pattern, const char *path, struct http_match *match)
{
    struct http_segment wanted;
    struct http_segment given;
    match->param_count = 0;
    while (next_segment(&pattern, &wanted)) {
        if (!next_segment(&path, &given))
            return false;
        if (wanted.size > 0 && wanted.text[0] == '{') {
            if (given.size == 0 || match->param_count == HTTP_PARAMS_MAX)
                return false;
            match->params[match->param_count++] = given;
        } else if (wanted.size != given.size || memcmp(wanted.text, given.text, given.size) != 0) {
            return false;
        }
    }
    return *path == '\0';
}

static void allow_add(char allow[HTTP_ALLOW_BYTES], const char *method)
{
    const size_t used = strlen(allow);
    snprintf(allow + used, HTTP_ALLOW_BYTES - used, "%s%s", used > 0 ? ", " : "", method);
}

/* Two rows may fit one path, such as /healthz and /{file}: each method is named once. */
static void allow_add_row(char allow[HTTP_ALLOW_BYTES], enum http_method method, unsigned *named)
{
    if ((*named & 1u << method) != 0)
        return;
    *named |= 1u << method;
    if (method == HTTP_GET)
        allow_add(allow, "HEAD");
    allow_add(allow, http_method_names[method]);
}

void http_route_match(const struct http_route *table, const char *method, const char *path,
                      struct http_match *out)
{
    *out = (struct http_match){0};
    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    struct http_match match = {0};
    unsigned named = 0;
    for (const struct http_route *row = table; row->path != NULL; row++) {
        if (!path_fits(row->path, path, &match))
            continue;
        if (strcmp(http_method_names[row->method], method) == 0) {
            match.route = row;
            *out = match;
            return;
        }
        allow_add_row(out->allow, row->method, &named);
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Length of the well-formed UTF-8 sequence at `text`, 0 if there is none. */
static size_t utf8_sequence(const unsigned char *text, size_t left)
{
    const unsigned char lead = text[0];
    if (lead < 0x80)
        return 1;
    const size_t length = lead >= 0xc2 && lead <= 0xdf   ? 2
                          : lead >= 0xe0 && lead <= 0xef ? 3
                          : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                         : 0;
    if (length == 0 || length > left)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    }
    const bool overlong = (lead == 0xe0 && text[1] < 0xa0) || (lead == 0xf0 && text[1] < 0x90);
    const bool surrogate = lead == 0xed && text[1] > 0x9f;
    const bool beyond = lead == 0xf4 && text[1] > 0x8f;
    return overlong || surrogate || beyond ? 0 : length;
}

static bool utf8_is_valid(const char *text, size_t size)
{
    for (size_t i = 0; i < size;) {
        const size_t length = utf8_sequence((const unsigned char *)text + i, size - i);
        if (length == 0)
            return false;
        i += length;
    }
    return true;
}

bool http_unescape(const char *text, size_t size, bool plus, char *out, size_t out_bytes)
{
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '%') {
            const int high = i + 2 < size ? hex_digit(text[i + 1]) : -1;
            const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
            if (low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c == '\0' || used + 1 >= out_bytes)
            return false;
        out[used++] = c;
    }
    out[used] = '\0';
    return utf8_is_valid(out, used);
}
