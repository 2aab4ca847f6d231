/* json_get.c - the getters of json.h: a typed value, or a problem at its place. */

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/text.h"

#define RANGE_BYTES 64

bool json_get_array(const struct json_at *at, size_t count_max, size_t *out_count)
{
    if (!json_is_array(at->value)) {
        json_problem_add(at, "array");
        return false;
    }
    const size_t count = json_array_size(at->value);
    if (count > count_max) {
        json_problem_add(at, "array of at most %zu", count_max);
        return false;
    }
    *out_count = count;
    return true;
}

bool json_get_int(const struct json_at *at, int64_t min, int64_t max, int64_t *out)
{
    if (json_is_integer(at->value)) {
        const int64_t value = json_integer_value(at->value);
        if (value >= min && value <= max) {
            *out = value;
            return true;
        }
    }
    if (min == INT64_MIN && max == INT64_MAX)
        json_problem_add(at, "integer");
    else if (max == INT64_MAX)
        json_problem_add(at, "integer >= %jd", (intmax_t)min);
    else
        json_problem_add(at, "integer %jd..%jd", (intmax_t)min, (intmax_t)max);
    return false;
}

bool json_get_double(const struct json_at *at, double min, double max, double *out)
{
    if (json_is_number(at->value)) {
        const double value = json_number_value(at->value);
        if (value >= min && value <= max) {
            *out = value;
            return true;
        }
    }
    if (min <= -DBL_MAX && max >= DBL_MAX)
        json_problem_add(at, "number");
    else if (max >= DBL_MAX)
        json_problem_add(at, "number >= %.15g", min);
    else
        json_problem_add(at, "number %.15g..%.15g", min, max);
    return false;
}

bool json_get_bool(const struct json_at *at, bool *out)
{
    if (!json_is_boolean(at->value)) {
        json_problem_add(at, "true or false");
        return false;
    }
    *out = json_is_true(at->value);
    return true;
}

bool json_get_string(const struct json_at *at, size_t bytes_max, const char **out)
{
    if (!json_is_string(at->value)) {
        json_problem_add(at, "string");
        return false;
    }
    if (json_string_length(at->value) > bytes_max) {
        json_problem_add(at, "string of at most %zu bytes", bytes_max);
        return false;
    }
    *out = json_string_value(at->value);
    return true;
}

bool json_get_string_copy(const struct json_at *at, char *out, size_t out_bytes)
{
    const char *text = NULL;
    if (!json_get_string(at, out_bytes - 1, &text))
        return false;
    (void)text_copy(out, out_bytes, text);
    return true;
}

bool json_get_enum(const struct json_at *at, const char *const names[], int *out)
{
    if (json_is_string(at->value)) {
        const char *text = json_string_value(at->value);
        for (int i = 0; names[i] != NULL; i++) {
            if (strcmp(names[i], text) == 0) {
                *out = i;
                return true;
            }
        }
    }
    char words[JSON_EXPECTED_BYTES] = "";
    size_t used = 0;
    for (int i = 0; names[i] != NULL && used < sizeof(words) - 1; i++) {
        const char *separator = i == 0 ? "" : names[i + 1] == NULL ? " or " : ", ";
        const int length =
            snprintf(words + used, sizeof(words) - used, "%s\"%s\"", separator, names[i]);
        used += (size_t)length;
    }
    json_problem_add(at, "%s", words);
    return false;
}

bool json_get_duration(const struct json_at *at, int64_t min_ms, int64_t max_ms, int64_t *out_ms)
{
    int64_t value_ms = 0;
    const bool parsed =
        json_is_string(at->value) && duration_parse(json_string_value(at->value), &value_ms);
    if (parsed && value_ms >= min_ms && value_ms <= max_ms) {
        *out_ms = value_ms;
        return true;
    }
    char min_text[24];
    char max_text[24];
    duration_format(min_ms, min_text);
    duration_format(max_ms, max_text);
    json_problem_add(at, "duration %s..%s, such as \"90s\"", min_text, max_text);
    return false;
}

bool json_opt_int(const struct json_at *at, int64_t min, int64_t max, int64_t *out)
{
    return !json_present(at) || json_get_int(at, min, max, out);
}

bool json_opt_double(const struct json_at *at, double min, double max, double *out)
{
    return !json_present(at) || json_get_double(at, min, max, out);
}

bool json_opt_bool(const struct json_at *at, bool *out)
{
    return !json_present(at) || json_get_bool(at, out);
}

bool json_opt_string(const struct json_at *at, size_t bytes_max, const char **out)
{
    return !json_present(at) || json_get_string(at, bytes_max, out);
}

bool json_opt_string_copy(const struct json_at *at, char *out, size_t out_bytes)
{
    return !json_present(at) || json_get_string_copy(at, out, out_bytes);
}

bool json_opt_enum(const struct json_at *at, const char *const names[], int *out)
{
    return !json_present(at) || json_get_enum(at, names, out);
}

bool json_opt_duration(const struct json_at *at, int64_t min_ms, int64_t max_ms, int64_t *out_ms)
{
    return !json_present(at) || json_get_duration(at, min_ms, max_ms, out_ms);
}

/* ------------------------------------------------------------------ durations */

static const struct duration_unit {
    const char *name;
    int64_t ms;
    int64_t least; /* written in this unit from so many on: people write "60s" and "24h" */
} units[] = {
    {"d", INT64_C(86400000), 2}, {"h", INT64_C(3600000), 1}, {"m", INT64_C(60000), 2},
    {"s", INT64_C(1000), 1},     {"ms", INT64_C(1), 1},
};

void duration_format(int64_t duration_ms, char out[24])
{
    size_t unit = 0;
    if (duration_ms == 0)
        unit = 3; /* "0s" */
    while (duration_ms % units[unit].ms != 0 ||
           (duration_ms != 0 && duration_ms / units[unit].ms < units[unit].least))
        unit++;
    (void)snprintf(out, 24, "%jd%s", (intmax_t)(duration_ms / units[unit].ms), units[unit].name);
}

bool duration_parse(const char *text, int64_t *out_ms)
{
    int64_t count = 0;
    const char *unit = text;
    for (; *unit >= '0' && *unit <= '9'; unit++) {
        if (__builtin_mul_overflow(count, 10, &count) ||
            __builtin_add_overflow(count, *unit - '0', &count))
            return false;
    }
    if (unit == text)
        return false;
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (strcmp(unit, units[i].name) == 0)
            return !__builtin_mul_overflow(count, units[i].ms, out_ms);
    }
    return false;
}
