#include "schema/wire_private.h"

#include <stdlib.h>
#include <string.h>

#include "schema/names.h"

void wire_set(json_t *object, const char *key, json_t *value)
{
    (void)json_object_set_new_nocheck(object, key, value);
}

void wire_set_text(json_t *object, const char *key, const char *value)
{
    wire_set(object, key, json_string(value));
}

void wire_set_int(json_t *object, const char *key, int64_t value)
{
    wire_set(object, key, json_integer(value));
}

void wire_set_bool(json_t *object, const char *key, bool value)
{
    wire_set(object, key, json_boolean(value));
}

void wire_get_text(const struct json_at *at, const char *key, char *out, size_t out_bytes)
{
    const struct json_at member = json_at_key(at, key);
    (void)json_get_string_copy(&member, out, out_bytes);
}

void wire_opt_text(const struct json_at *at, const char *key, char *out, size_t out_bytes)
{
    const struct json_at member = json_at_key(at, key);
    (void)json_opt_string_copy(&member, out, out_bytes);
}

void wire_get_int(const struct json_at *at, const char *key, int64_t min, int64_t *out)
{
    const struct json_at member = json_at_key(at, key);
    (void)json_get_int(&member, min, STEP_MAX, out);
}

void wire_opt_int(const struct json_at *at, const char *key, int64_t min, int64_t *out)
{
    const struct json_at member = json_at_key(at, key);
    (void)json_opt_int(&member, min, STEP_MAX, out);
}

void wire_opt_bool(const struct json_at *at, const char *key, bool *out)
{
    const struct json_at member = json_at_key(at, key);
    (void)json_opt_bool(&member, out);
}

int wire_word(const struct json_at *at, const char *key, const char *const names[], int otherwise)
{
    const struct json_at member = json_at_key(at, key);
    const char *word = NULL;
    if (!json_opt_string(&member, 64, &word) || word == NULL)
        return otherwise;
    const int index = name_index(names, word);
    return index >= 0 ? index : otherwise;
}

void wire_get_sha256(const struct json_at *at, const char *key, char out[65])
{
    const struct json_at member = json_at_key(at, key);
    const char *text = NULL;
    if (!json_get_string(&member, 64, &text))
        return;
    if (strlen(text) != 64 || strspn(text, "0123456789abcdef") != 64) {
        json_problem_add(&member, "64 lower-case hexadecimal digits");
        return;
    }
    memcpy(out, text, 65);
}

void *wire_get_list(const struct json_at *at, size_t count_max, size_t item_bytes,
                    size_t *out_count)
{
    *out_count = 0;
    size_t count = 0;
    if (!json_get_array(at, count_max, &count) || count == 0)
        return NULL;
    void *items = calloc(count, item_bytes);
    if (items == NULL) {
        json_problem_add(at, "less: no memory for %zu entries", count);
        return NULL;
    }
    *out_count = count;
    return items;
}
