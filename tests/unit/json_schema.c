#include "tests/unit/json_schema.h"

#include <regex.h>
#include <string.h>

#include "base/json.h"
#include "tests/unit/unit.h"

struct schema {
    const json_t *root;
    const json_t *node;
};

static bool takes(const struct schema *schema, const json_t *rule, const json_t *value)
{
    return json_schema_takes(schema->root, rule, value);
}

static bool has_type(const char *type, const json_t *value)
{
    if (strcmp(type, "object") == 0)
        return json_is_object(value);
    if (strcmp(type, "array") == 0)
        return json_is_array(value);
    if (strcmp(type, "string") == 0)
        return json_is_string(value);
    if (strcmp(type, "integer") == 0)
        return json_is_integer(value);
    if (strcmp(type, "number") == 0)
        return json_is_number(value);
    if (strcmp(type, "boolean") == 0)
        return json_is_boolean(value);
    assert_string_equal(type, "null");
    return json_is_null(value);
}

static bool check_type(const struct schema *schema, const json_t *rule, const json_t *value)
{
    (void)schema;
    if (json_is_string(rule))
        return has_type(json_string_value(rule), value);
    for (size_t i = 0; i < json_array_size(rule); i++) {
        if (has_type(json_string_value(json_array_get(rule, i)), value))
            return true;
    }
    return false;
}

static bool check_const(const struct schema *schema, const json_t *rule, const json_t *value)
{
    (void)schema;
    if (json_is_number(rule) && json_is_number(value))
        return json_number_value(rule) == json_number_value(value);
    return json_equal(rule, value);
}

static bool check_enum(const struct schema *schema, const json_t *rule, const json_t *value)
{
    for (size_t i = 0; i < json_array_size(rule); i++) {
        if (check_const(schema, json_array_get(rule, i), value))
            return true;
    }
    return false;
}

static bool check_ref(const struct schema *schema, const json_t *rule, const json_t *value)
{
    const char *name = strrchr(json_string_value(rule), '/') + 1;
    const json_t *target = json_object_get(json_object_get(schema->root, "$defs"), name);
    assert_non_null(target);
    return takes(schema, target, value);
}

/* ------------------------------------------------------------------ of schemas */

static size_t count_taken(const struct schema *schema, const json_t *rules, const json_t *value)
{
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(rules); i++)
        count += takes(schema, json_array_get(rules, i), value) ? 1 : 0;
    return count;
}

static bool check_any_of(const struct schema *schema, const json_t *rule, const json_t *value)
{
    return count_taken(schema, rule, value) > 0;
}

static bool check_one_of(const struct schema *schema, const json_t *rule, const json_t *value)
{
    return count_taken(schema, rule, value) == 1;
}

static bool check_all_of(const struct schema *schema, const json_t *rule, const json_t *value)
{
    return count_taken(schema, rule, value) == json_array_size(rule);
}

static bool check_not(const struct schema *schema, const json_t *rule, const json_t *value)
{
    return !takes(schema, rule, value);
}

static bool check_if(const struct schema *schema, const json_t *rule, const json_t *value)
{
    const char *branch = takes(schema, rule, value) ? "then" : "else";
    const json_t *next = json_object_get(schema->node, branch);
    return next == NULL || takes(schema, next, value);
}

/* ------------------------------------------------------------------ of numbers and texts */

static bool check_minimum(const struct schema *schema, const json_t *rule, const json_t *value)
{
    (void)schema;
    return !json_is_number(value) || json_number_value(value) >= json_number_value(rule);
}

static bool check_maximum(const struct schema *schema, const json_t *rule, const json_t *value)
{
    (void)schema;
    return !json_is_number(value) || json_number_value(value) <= json_number_value(rule);
}

static bool check_above(const struct schema *schema, const json_t *rule, const json_t *value)
{
    (void)schema;
    return !json_is_number(value) || json_number_value(value) > json_number_value(rule);
}

static bool check_below(const struct schema *schema, const json_t *rule, const json_t *value)
{
    (void)schema;
    return !json_is_number(value) || json_number_value(value) < json_number_value(rule);
}

static bool check_multiple(const struct schema *schema, const json_t *rule, const json_t *value)
{
    (void)schema;
    return !json_is_integer(value) || json_integer_value(value) % json_integer_value(rule) == 0;
}

static bool check_min_length(const struct schema *schema, const json_t *rule, const json_t *value)
{
    (void)schema;
    return !json_is_string(value) || json_string_length(value) >= (size_t)json_integer_value(rule);
}

static bool check_max_length(const struct schema *schema, const json_t *rule, const json_t *value)
{
    (void)schema;
    return !json_is_string(value) || json_string_length(value) <= (size_t)json_integer_value(rule);
}

static bool check_pattern(const struct schema *schema, const json_t *rule, const json_t *value)
{
    (void)schema;
    const char *pattern = json_string_value(rule);
    if (!json_is_string(value))
        return true;
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    const bool matches = regexec(&regex, json_string_value(value), 0, NULL, 0) == 0;
    regfree(&regex);
    return matches;
}

/* ------------------------------------------------------------------ of objects and arrays */

static bool check_required(const struct schema *schema, const json_t *rule, const json_t *value)
{
    (void)schema;
    if (!json_is_object(value))
        return true;
    for (size_t i = 0; i < json_array_size(rule); i++) {
        if (json_object_get(value, json_string_value(json_array_get(rule, i))) == NULL)
            return false;
    }
    return true;
}

static bool check_properties(const struct schema *schema, const json_t *rule, const json_t *value)
{
    const char *key = NULL;
    const json_t *property = NULL;
    json_object_foreach(json_iterable(rule), key, property) {
        const json_t *member = json_object_get(value, key);
        if (member != NULL && !takes(schema, property, member))
            return false;
    }
    return true;
}

static bool check_additional(const struct schema *schema, const json_t *rule, const json_t *value)
{
    const json_t *known = json_object_get(schema->node, "properties");
    const char *key = NULL;
    const json_t *member = NULL;
    json_object_foreach(json_iterable(value), key, member) {
        if (json_object_get(known, key) == NULL && !takes(schema, rule, member))
            return false;
    }
    return true;
}

static bool check_names(const struct schema *schema, const json_t *rule, const json_t *value)
{
    const char *key = NULL;
    const json_t *member = NULL;
    json_object_foreach(json_iterable(value), key, member) {
        CLEANUP(json_cleanup) json_t *name = json_string(key);
        if (!takes(schema, rule, name))
            return false;
    }
    return true;
}

static bool check_min_properties(const struct schema *schema, const json_t *rule,
                                 const json_t *value)
{
    (void)schema;
    return !json_is_object(value) || json_object_size(value) >= (size_t)json_integer_value(rule);
}

static bool check_max_properties(const struct schema *schema, const json_t *rule,
                                 const json_t *value)
{
    (void)schema;
    return json_object_size(value) <= (size_t)json_integer_value(rule);
}

static bool check_items(const struct schema *schema, const json_t *rule, const json_t *value)
{
    const size_t first = json_array_size(json_object_get(schema->node, "prefixItems"));
    for (size_t i = first; i < json_array_size(value); i++) {
        if (!takes(schema, rule, json_array_get(value, i)))
            return false;
    }
    return true;
}

static bool check_prefix(const struct schema *schema, const json_t *rule, const json_t *value)
{
    for (size_t i = 0; i < json_array_size(rule) && i < json_array_size(value); i++) {
        if (!takes(schema, json_array_get(rule, i), json_array_get(value, i)))
            return false;
    }
    return true;
}

static bool check_min_items(const struct schema *schema, const json_t *rule, const json_t *value)
{
    (void)schema;
    return !json_is_array(value) || json_array_size(value) >= (size_t)json_integer_value(rule);
}

static bool check_max_items(const struct schema *schema, const json_t *rule, const json_t *value)
{
    (void)schema;
    return json_array_size(value) <= (size_t)json_integer_value(rule);
}

static bool check_contains(const struct schema *schema, const json_t *rule, const json_t *value)
{
    if (!json_is_array(value))
        return true;
    const json_t *max = json_object_get(schema->node, "maxContains");
    size_t found = 0;
    for (size_t i = 0; i < json_array_size(value); i++)
        found += takes(schema, rule, json_array_get(value, i)) ? 1 : 0;
    return found >= 1 && (max == NULL || found <= (size_t)json_integer_value(max));
}

/* Keywords that decide nothing themselves, or are read with another one. */
static bool check_nothing(const struct schema *schema, const json_t *rule, const json_t *value)
{
    (void)schema;
    (void)rule;
    (void)value;
    return true;
}

static const struct keyword {
    const char *name;
    bool (*check)(const struct schema *schema, const json_t *rule, const json_t *value);
} keywords[] = {
    {"$ref", check_ref},
    {"type", check_type},
    {"const", check_const},
    {"enum", check_enum},
    {"anyOf", check_any_of},
    {"oneOf", check_one_of},
    {"allOf", check_all_of},
    {"not", check_not},
    {"if", check_if},
    {"minimum", check_minimum},
    {"maximum", check_maximum},
    {"exclusiveMinimum", check_above},
    {"exclusiveMaximum", check_below},
    {"multipleOf", check_multiple},
    {"minLength", check_min_length},
    {"maxLength", check_max_length},
    {"pattern", check_pattern},
    {"required", check_required},
    {"properties", check_properties},
    {"additionalProperties", check_additional},
    {"propertyNames", check_names},
    {"minProperties", check_min_properties},
    {"maxProperties", check_max_properties},
    {"items", check_items},
    {"prefixItems", check_prefix},
    {"minItems", check_min_items},
    {"maxItems", check_max_items},
    {"contains", check_contains},
    {"maxContains", check_nothing},
    {"then", check_nothing},
    {"else", check_nothing},
    {"$schema", check_nothing},
    {"$id", check_nothing},
    {"$defs", check_nothing},
    {"title", check_nothing},
    {"description", check_nothing},
    {"default", check_nothing},
    {"x-example", check_nothing},
    {"x-depends", check_nothing},
    {"x-min-ms", check_nothing}, /* what a duration is worth, no schema can say */
    {"x-max-ms", check_nothing},
};

static const struct keyword *find_keyword(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(keywords); i++) {
        if (strcmp(keywords[i].name, name) == 0)
            return &keywords[i];
    }
    fail_msg("%s: a keyword that json_schema.c does not know", name);
    return NULL;
}

bool json_schema_takes(const json_t *schema, const json_t *node, const json_t *value)
{
    if (json_is_boolean(node))
        return json_is_true(node);
    assert_true(json_is_object(node));
    const struct schema here = {.root = schema, .node = node};
    const char *name = NULL;
    const json_t *rule = NULL;
    json_object_foreach(json_iterable(node), name, rule) {
        if (!find_keyword(name)->check(&here, rule, value))
            return false;
    }
    return true;
}
