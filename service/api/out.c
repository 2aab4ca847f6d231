#include "service/api/out.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"

struct out out_to(struct buf *buf)
{
    return (struct out){.buf = buf};
}

static void begin_value(struct out *out, const char *key)
{
    if (out->comma)
        buf_append(out->buf, ",", 1);
    out->comma = true;
    if (key == NULL)
        return;
    json_append_string(out->buf, key);
    buf_append(out->buf, ":", 1);
}

void out_open_object(struct out *out, const char *key)
{
    begin_value(out, key);
    buf_append(out->buf, "{", 1);
    out->comma = false;
}

void out_close_object(struct out *out)
{
    buf_append(out->buf, "}", 1);
    out->comma = true;
}

void out_open_array(struct out *out, const char *key)
{
    begin_value(out, key);
    buf_append(out->buf, "[", 1);
    out->comma = false;
}

void out_close_array(struct out *out)
{
    buf_append(out->buf, "]", 1);
    out->comma = true;
}

void out_text(struct out *out, const char *key, const char *text)
{
    begin_value(out, key);
    json_append_string(out->buf, text);
}

void out_text_or_null(struct out *out, const char *key, const char *text)
{
    if (text[0] == '\0')
        out_null(out, key);
    else
        out_text(out, key, text);
}

void out_int(struct out *out, const char *key, int64_t value)
{
    begin_value(out, key);
    buf_printf(out->buf, "%lld", (long long)value);
}

void out_number(struct out *out, const char *key, double value)
{
    if (!isfinite(value)) {
        out_null(out, key);
        return;
    }
    begin_value(out, key);
    char text[32];
    snprintf(text, sizeof(text), "%.15g", value);
    double back = 0;
    if (sscanf(text, "%lf", &back) != 1 || back < value || back > value)
        snprintf(text, sizeof(text), "%.17g", value);
    buf_append_text(out->buf, text);
    if (strpbrk(text, ".e") == NULL)
        buf_append(out->buf, ".0", 2); /* a real stays a real for typed readers */
}

void out_bool(struct out *out, const char *key, bool value)
{
    begin_value(out, key);
    buf_append_text(out->buf, value ? "true" : "false");
}

void out_null(struct out *out, const char *key)
{
    begin_value(out, key);
    buf_append(out->buf, "null", 4);
}

void out_time(struct out *out, const char *key, int64_t wall_ms)
{
    if (wall_ms == 0 || wall_ms < CLOCK_WALL_MS_MIN || wall_ms > CLOCK_WALL_MS_MAX) {
        out_null(out, key); /* unknown, or no date that can be written */
        return;
    }
    char text[CLOCK_RFC3339_BYTES];
    clock_format_rfc3339(wall_ms, text);
    begin_value(out, key);
    buf_append(out->buf, "\"", 1);
    buf_append_text(out->buf, text);
    buf_append(out->buf, "\"", 1);
}

void out_raw(struct out *out, const char *key, const char *json, size_t size)
{
    begin_value(out, key);
    buf_append(out->buf, json, size);
}
