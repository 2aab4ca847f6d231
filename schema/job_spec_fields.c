/* job_spec_fields.c - what the decoders and encoders of all sections share. */

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "schema/job_spec_parts.h"
#include "schema/names.h"

#define JOB_FIELDS_MAX 32
#define METRIC_PREFIX  "eval_"

const char *const spec_none[] = {NULL};
static const char *const metric_mode_names[] = {[METRIC_MIN] = "min", [METRIC_MAX] = "max", NULL};

bool spec_get_object(const struct json_at *at, const char *const known[], const char *const later[])
{
    const char *all[JOB_FIELDS_MAX + 1];
    size_t count = 0;
    for (size_t i = 0; known[i] != NULL; i++)
        all[count++] = known[i];
    for (size_t i = 0; later[i] != NULL; i++)
        all[count++] = later[i];
    assert(count <= JOB_FIELDS_MAX);
    all[count] = NULL;
    if (!json_get_object(at, all))
        return false;
    for (size_t i = 0; later[i] != NULL; i++) {
        const struct json_at field = json_at_key(at, later[i]);
        if (json_present(&field))
            json_problem_add(&field, "nothing (\"%s\" comes in a later release)", later[i]);
    }
    return true;
}

static bool is_one_of(const char *const words[], const char *word)
{
    return word != NULL && name_index(words, word) >= 0;
}

/* `"sgd" or "adam"`: the words that are not for later; what does not fit is cut. */
static void join_words(const char *const names[], const char *const later[], char *out,
                       size_t out_bytes)
{
    const char *words[JOB_FIELDS_MAX];
    size_t count = 0;
    for (size_t i = 0; names[i] != NULL; i++) {
        if (!is_one_of(later, names[i]))
            words[count++] = names[i];
    }
    assert(count > 0 && count < JOB_FIELDS_MAX);
    size_t used = 0;
    for (size_t i = 0; i < count && used < out_bytes - 1; i++) {
        const char *separator = i == 0 ? "" : i + 1 == count ? " or " : ", ";
        used += (size_t)snprintf(out + used, out_bytes - used, "%s\"%s\"", separator, words[i]);
    }
}

bool spec_get_enum(const struct json_at *at, const char *const names[], const char *const later[],
                   int *out)
{
    const char *text = json_string_value(at->value);
    if (is_one_of(names, text) && !is_one_of(later, text)) {
        *out = name_index(names, text);
        return true;
    }
    char words[96];
    join_words(names, later, words, sizeof(words));
    if (is_one_of(later, text))
        json_problem_add(at, "%s (\"%s\" comes in a later release)", words, text);
    else
        json_problem_add(at, "%s", words);
    return false;
}

bool spec_opt_enum(const struct json_at *at, const char *const names[], const char *const later[],
                   int *out)
{
    return !json_present(at) || spec_get_enum(at, names, later, out);
}

bool job_name_is_valid(const char *text)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    static const char rest[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    const size_t length = strlen(text);
    return length > 0 && length < JOB_NAME_BYTES && strchr(first, text[0]) != NULL &&
           strspn(text, rest) == length;
}

bool spec_get_name(const struct json_at *at, char out[JOB_NAME_BYTES])
{
    if (json_is_string(at->value) && job_name_is_valid(json_string_value(at->value)))
        return json_get_string_copy(at, out, JOB_NAME_BYTES);
    json_problem_add(at, "name of 1..%d of a-z 0-9 . _ -, the first a letter or digit",
                     JOB_NAME_BYTES - 1);
    return false;
}

json_t *spec_duration_json(int64_t duration_ms)
{
    char text[24];
    duration_format(duration_ms, text);
    return json_string(text);
}

json_t *spec_duration_or_null(int64_t duration_ms)
{
    return duration_ms == 0 ? json_null() : spec_duration_json(duration_ms);
}

json_t *spec_int_or_null(int64_t value)
{
    return value == 0 ? json_null() : json_integer(value);
}

void spec_refuse(const struct json_at *object, const char *const keys[], const char *reason)
{
    for (size_t i = 0; keys[i] != NULL; i++) {
        const struct json_at field = json_at_key(object, keys[i]);
        if (json_present(&field))
            json_problem_add(&field, "nothing, because %s", reason);
    }
}

bool spec_get_widths(const struct json_at *at, int64_t max, int64_t out[MODEL_LAYERS_MAX],
                     size_t *out_count)
{
    size_t count = 0;
    if (!json_get_array(at, MODEL_LAYERS_MAX, &count))
        return false;
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        const struct json_at width = json_at_index(at, i);
        good = json_get_int(&width, 1, max, &out[i]) && good;
    }
    *out_count = count;
    return good;
}

json_t *spec_widths_json(const int64_t *widths, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(array, json_integer(widths[i]));
    return array;
}

/* "eval_loss": only what is measured on records apart says when to stop and what is best. */
static bool get_metric_name(const struct json_at *at, char out[METRIC_NAME_BYTES])
{
    const char *text = json_string_value(at->value);
    const size_t prefix = strlen(METRIC_PREFIX);
    const bool good = text != NULL && strncmp(text, METRIC_PREFIX, prefix) == 0 &&
                      text[prefix] != '\0' && strlen(text) < METRIC_NAME_BYTES &&
                      text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_@")] == '\0';
    if (good)
        return text_copy(out, METRIC_NAME_BYTES, text);
    json_problem_add(at, "metric of an evaluation, such as \"eval_loss\", of at most %d bytes",
                     METRIC_NAME_BYTES - 1);
    return false;
}

/* Errors shrink, every other measure grows. */
static int natural_mode(const char *metric)
{
    static const char *const shrinking[] = {"loss", "error", "mae", "mse", "rmse", NULL};
    const char *last_word = strrchr(metric, '_');
    const bool shrinks = last_word != NULL && name_index(shrinking, last_word + 1) >= 0;
    return shrinks ? METRIC_MIN : METRIC_MAX;
}

void spec_get_watched(const struct json_at *at, char metric[METRIC_NAME_BYTES], int *out_mode)
{
    const struct json_at metric_at = json_at_key(at, "metric");
    const struct json_at mode_at = json_at_key(at, "mode");
    if (get_metric_name(&metric_at, metric))
        *out_mode = natural_mode(metric);
    (void)json_opt_enum(&mode_at, metric_mode_names, out_mode);
}

json_t *spec_watched_json(const char *metric, int mode)
{
    return json_pack("{s:s, s:s}", "metric", metric, "mode", metric_mode_names[mode]);
}

void spec_set(json_t **object, const char *key, json_t *value)
{
    if (*object != NULL && json_object_set_new(*object, key, value) == 0)
        return;
    if (*object == NULL)
        json_decref(value);
    json_decref(*object);
    *object = NULL;
}
