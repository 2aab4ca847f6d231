#include "tests/integration/json_schema.h"

#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

#include "base/clock.h"
#include "base/json.h"
#include "tests/unit/json_schema.h"

/* It declares all its members itself, with keywords that only the other checker knows. */
#define JOB_SPEC      "#/components/schemas/JobSpec"
#define POINTER_BYTES 160

#define NAME_BYTES 64

struct checker {
    const json_t *document;
    char *problem; /* NULL: nobody asks why */
};

static bool check(const struct checker *checker, const json_t *schema, const json_t *value,
                  const char *at, bool whole);

static bool PRINTF_LIKE(3, 4)
    fails(const struct checker *checker, const char *at, const char *fmt, ...)
{
    if (checker->problem == NULL)
        return false;
    const int used = snprintf(checker->problem, JSON_SCHEMA_PROBLEM_BYTES, "\"%s\": ", at);
    va_list args;
    va_start(args, fmt);
    vsnprintf(checker->problem + used, JSON_SCHEMA_PROBLEM_BYTES - (size_t)used, fmt, args);
    va_end(args);
    return false;
}

const json_t *json_schema_find(const json_t *document, const char *reference)
{
    const json_t *node = document;
    for (const char *at = strchr(reference, '/'); at != NULL; at = strchr(at + 1, '/')) {
        char name[NAME_BYTES];
        (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(at + 1, "/"), at + 1);
        node = json_object_get(node, name);
    }
    if (node == NULL)
        fail_msg("nothing at %s", reference);
    return node;
}

static bool fits(const struct checker *checker, const json_t *schema, const json_t *value)
{
    const struct checker quiet = {.document = checker->document};
    return check(&quiet, schema, value, "", false);
}

/* ---------------------------------------------------------------- scalars */

static bool has_type(const json_t *value, const char *type)
{
    if (strcmp(type, "integer") == 0)
        return json_is_integer(value);
    if (strcmp(type, "number") == 0)
        return json_is_number(value);
    if (strcmp(type, "string") == 0)
        return json_is_string(value);
    if (strcmp(type, "boolean") == 0)
        return json_is_boolean(value);
    if (strcmp(type, "object") == 0)
        return json_is_object(value);
    if (strcmp(type, "array") == 0)
        return json_is_array(value);
    if (strcmp(type, "null") == 0)
        return json_is_null(value);
    fail_msg("type %s is unknown", type);
    return false;
}

static bool type_fits(const json_t *types, const json_t *value)
{
    if (json_is_string(types))
        return has_type(value, json_string_value(types));
    for (size_t i = 0; i < json_array_size(types); i++) {
        if (has_type(value, json_string_value(json_array_get(types, i))))
            return true;
    }
    return false;
}

static bool is_one_of(const json_t *words, const json_t *value)
{
    for (size_t i = 0; i < json_array_size(words); i++) {
        if (json_equal(json_array_get(words, i), value))
            return true;
    }
    return false;
}

/* Look-ahead is not POSIX: test_job_schema holds that pattern against the decoder. */
static bool pattern_fits(const char *pattern, const char *text)
{
    regex_t regex;
    if (strstr(pattern, "(?") != NULL)
        return true;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    const bool found = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

static bool format_fits(const char *format, const char *text)
{
    int64_t ms = 0;
    return strcmp(format, "date-time") != 0 || clock_parse_rfc3339(text, &ms);
}

static bool size_fits(const char *keyword, const json_t *limit, const json_t *value)
{
    const size_t size = json_is_string(value)   ? json_string_length(value)
                        : json_is_array(value)  ? json_array_size(value)
                        : json_is_object(value) ? json_object_size(value)
                                                : 0;
    const size_t wanted = (size_t)json_integer_value(limit);
    return strncmp(keyword, "min", 3) == 0 ? size >= wanted : size <= wanted;
}

/* ---------------------------------------------------------------- what holds others */

static bool members_fit(const struct checker *checker, const json_t *schema, const json_t *value,
                        const char *at)
{
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *others = json_object_get(schema, "additionalProperties");
    const char *key = NULL;
    const json_t *member = NULL;
    json_object_foreach(json_iterable(value), key, member) {
        char below[POINTER_BYTES];
        snprintf(below, sizeof(below), "%s/%s", at, key);
        const json_t *declared = json_object_get(properties, key);
        if (declared == NULL && json_is_false(others))
            return fails(checker, below, "not declared");
        if (declared == NULL)
            declared = json_is_object(others) ? others : NULL;
        if (declared != NULL && !check(checker, declared, member, below, true))
            return false;
    }
    return true;
}

static bool items_fit(const struct checker *checker, const json_t *schema, const json_t *value,
                      const char *at)
{
    for (size_t i = 0; i < json_array_size(value); i++) {
        char below[POINTER_BYTES];
        snprintf(below, sizeof(below), "%s/%zu", at, i);
        if (!check(checker, schema, json_array_get(value, i), below, true))
            return false;
    }
    return true;
}

static bool required_are_there(const struct checker *checker, const json_t *names,
                               const json_t *value, const char *at)
{
    for (size_t i = 0; json_is_object(value) && i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (json_object_get(value, name) == NULL)
            return fails(checker, at, "%s is missing", name);
    }
    return true;
}

/* ---------------------------------------------------------------- keywords */

static bool composition_fits(const struct checker *checker, const char *keyword,
                             const json_t *parts, const json_t *value, const char *at)
{
    size_t fitting = 0;
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i);
        if (strcmp(keyword, "allOf") == 0 && !check(checker, part, value, at, false))
            return false;
        fitting += fits(checker, part, value) ? 1 : 0;
    }
    if (strcmp(keyword, "oneOf") == 0 ? fitting != 1 : fitting == 0)
        return fails(checker, at, "fits %zu of %s", fitting, keyword);
    return true;
}

static bool condition_fits(const struct checker *checker, const json_t *schema, const json_t *value,
                           const char *at)
{
    const bool holds = fits(checker, json_object_get(schema, "if"), value);
    const json_t *then = json_object_get(schema, holds ? "then" : "else");
    return then == NULL || check(checker, then, value, at, false);
}

static bool names_fit(const struct checker *checker, const json_t *schema, const json_t *value,
                      const char *at)
{
    const char *key = NULL;
    const json_t *member = NULL;
    json_object_foreach(json_iterable(value), key, member) {
        json_t *name = json_string(key);
        const bool fit = fits(checker, schema, name);
        json_decref(name);
        if (!fit)
            return fails(checker, at, "%s may not be a name", key);
    }
    return true;
}

static bool is_in(const char *const words[], const char *word)
{
    for (; *words != NULL; words++) {
        if (strcmp(*words, word) == 0)
            return true;
    }
    return false;
}

/* Keywords about one kind of value say nothing of the others. */
static bool scalar_fits(const char *keyword, const json_t *want, const json_t *value)
{
    static const char *const sizes[] = {"minLength", "maxLength",     "minItems",
                                        "maxItems",  "maxProperties", NULL};
    const char *text = json_string_value(value);
    if (strcmp(keyword, "type") == 0)
        return type_fits(want, value);
    if (strcmp(keyword, "enum") == 0)
        return is_one_of(want, value);
    if (strcmp(keyword, "const") == 0)
        return json_equal(want, value);
    if (strcmp(keyword, "minimum") == 0)
        return !json_is_number(value) || json_number_value(value) >= json_number_value(want);
    if (strcmp(keyword, "maximum") == 0)
        return !json_is_number(value) || json_number_value(value) <= json_number_value(want);
    if (strcmp(keyword, "pattern") == 0)
        return text == NULL || pattern_fits(json_string_value(want), text);
    if (strcmp(keyword, "format") == 0)
        return text == NULL || format_fits(json_string_value(want), text);
    if (is_in(sizes, keyword))
        return size_fits(keyword, want, value);
    fail_msg("keyword %s is unknown", keyword);
    return false;
}

static bool keyword_fits(const struct checker *checker, const json_t *schema, const char *keyword,
                         const json_t *want, const json_t *value, const char *at)
{
    static const char *const said_elsewhere[] = {"description", "title", "default",
                                                 "then",        "else",  "$defs",
                                                 "properties",  NULL}; /* by members_fit() */
    if (is_in(said_elsewhere, keyword) || strncmp(keyword, "x-", 2) == 0)
        return true;
    if (strcmp(keyword, "$ref") == 0 && strcmp(json_string_value(want), JOB_SPEC) == 0) {
        const json_t *spec = json_schema_find(checker->document, JOB_SPEC);
        return json_schema_takes(spec, spec, value) ||
               fails(checker, at, "is no complete job spec");
    }
    if (strcmp(keyword, "$ref") == 0)
        return check(checker, json_schema_find(checker->document, json_string_value(want)), value,
                     at, false);
    if (strcmp(keyword, "allOf") == 0 || strcmp(keyword, "anyOf") == 0 ||
        strcmp(keyword, "oneOf") == 0)
        return composition_fits(checker, keyword, want, value, at);
    if (strcmp(keyword, "if") == 0)
        return condition_fits(checker, schema, value, at);
    if (strcmp(keyword, "required") == 0)
        return required_are_there(checker, want, value, at);
    if (strcmp(keyword, "propertyNames") == 0)
        return names_fit(checker, want, value, at);
    if (strcmp(keyword, "items") == 0)
        return items_fit(checker, want, value, at);
    if (strcmp(keyword, "additionalProperties") == 0)
        return true; /* members_fit() */
    return scalar_fits(keyword, want, value) || fails(checker, at, "breaks %s", keyword);
}

/* ---------------------------------------------------------------- undeclared members */

static bool declares(const json_t *document, const json_t *schema, const char *key)
{
    static const char *const parts[] = {"allOf", "anyOf", "oneOf"};
    const json_t *reference = json_object_get(schema, "$ref");
    const json_t *others = json_object_get(schema, "additionalProperties");
    if (json_object_get(json_object_get(schema, "properties"), key) != NULL ||
        json_is_object(others) || json_is_true(others) ||
        (reference != NULL &&
         declares(document, json_schema_find(document, json_string_value(reference)), key)))
        return true;
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        const json_t *list = json_object_get(schema, parts[i]);
        for (size_t k = 0; k < json_array_size(list); k++) {
            if (declares(document, json_array_get(list, k), key))
                return true;
        }
    }
    return false;
}

static bool all_are_declared(const struct checker *checker, const json_t *schema,
                             const json_t *value, const char *at)
{
    const char *key = NULL;
    const json_t *member = NULL;
    json_object_foreach(json_iterable(value), key, member) {
        if (!declares(checker->document, schema, key))
            return fails(checker, at, "%s is not declared", key);
    }
    return true;
}

/* `whole`: the schema is all that is said of the value, not one part of it. */
static bool check(const struct checker *checker, const json_t *schema, const json_t *value,
                  const char *at, bool whole)
{
    const char *keyword = NULL;
    const json_t *want = NULL;
    json_object_foreach(json_iterable(schema), keyword, want) {
        if (!keyword_fits(checker, schema, keyword, want, value, at))
            return false;
    }
    return members_fit(checker, schema, value, at) &&
           (!whole || all_are_declared(checker, schema, value, at));
}

bool json_schema_check(const json_t *document, const json_t *schema, const json_t *value,
                       char problem[JSON_SCHEMA_PROBLEM_BYTES])
{
    const struct checker checker = {.document = document, .problem = problem};
    return check(&checker, schema, value, "", true);
}
