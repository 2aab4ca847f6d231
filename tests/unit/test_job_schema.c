/*
 * job.schema.json against the decoder: the two say the same or a test here fails. The schema is walked
 * property by property; at each one the decoder must take the limits and refuse what is beyond them.
 */

#include "tests/unit/unit.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "schema/job_spec.h"
#include "schema/names.h"
#include "tests/unit/json_schema.h"

static json_t *schema;
static struct json_problems problems;

static json_t *load(const char *path)
{
    struct error err = {.status = STATUS_OK};
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, MIB);
    assert_ok(fs_read_file(path, &text, &err), &err);
    json_t *document = NULL;
    if (json_parse(text.data, text.size, &document, &err) != STATUS_OK)
        fail_msg("%s: %s", path, err.text);
    return document;
}

static int open_schema(void **state)
{
    (void)state;
    schema = load("schema/job.schema.json");
    return 0;
}

static int close_schema(void **state)
{
    (void)state;
    json_decref(schema);
    return 0;
}

/* Follows "$ref": "#/$defs/name", and takes the first of "anyOf". */
static const json_t *resolve(const json_t *node)
{
    const char *reference = json_string_value(json_object_get(node, "$ref"));
    if (reference != NULL)
        return json_object_get(json_object_get(schema, "$defs"), strrchr(reference, '/') + 1);
    const json_t *choices = json_object_get(node, "anyOf");
    if (json_is_array(choices) && json_object_get(json_array_get(choices, 0), "$ref") != NULL)
        return resolve(json_array_get(choices, 0));
    return node;
}

/* ------------------------------------------------------------------ trying values */

/* The example in which values are tried; the walk sets it from the schema's "x-example". */
static const char *example = "digits.json";

static void example_path(char path[PATH_MAX], const char *name)
{
    (void)snprintf(path, PATH_MAX, "schema/examples/valid/%s", name);
}

/* The example with `value` (stolen) at a pointer such as "/training/seed". */
static json_t *spec_with(const char *pointer, json_t *value)
{
    char path[PATH_MAX];
    example_path(path, example);
    json_t *spec = load(path);
    /* So that no two limits meet: any number of ranks has its rows, any number of servers ranks. */
    if (strcmp(pointer, "/training/batch_size") == 0 ||
        strcmp(pointer, "/training/micro_shards") == 0)
        (void)json_object_del(spec, "resources");
    else
        (void)json_object_set_new(json_object_get(spec, "training"), "batch_size",
                                  json_integer(1 << 20));
    if (strcmp(pointer, "/training/servers") == 0)
        (void)json_object_set_new(json_object_get(spec, "resources"), "ranks", json_integer(1024));
    (void)snprintf(path, sizeof(path), "%s", pointer);
    json_t *parent = spec;
    char *key = path + 1;
    for (char *slash = strchr(key, '/'); slash != NULL; slash = strchr(key, '/')) {
        *slash = '\0';
        if (json_object_get(parent, key) == NULL)
            assert_int_equal(json_object_set_new(parent, key, json_object()), 0);
        parent = json_object_get(parent, key);
        key = slash + 1;
    }
    assert_int_equal(json_object_set_new(parent, key, value), 0);
    return spec;
}

static size_t problems_with(const char *pointer, json_t *value)
{
    static struct job_spec out;
    CLEANUP(json_cleanup) json_t *spec = spec_with(pointer, value);
    problems.count = 0;
    problems.dropped = 0;
    const struct json_at root = json_at_root(spec, &problems);
    job_spec_decode(&root, &out);
    return problems.count;
}

static void assert_taken(const char *pointer, json_t *value)
{
    struct error err = {.status = STATUS_OK};
    char *text = json_canonical(value);
    if (problems_with(pointer, value) != 0 && json_problems_status(&problems, &err) != STATUS_OK)
        fail_msg("the schema takes %s at %s, the decoder says %s", text, pointer, err.text);
    free(text);
}

static void assert_not_taken(const char *pointer, json_t *value)
{
    char *text = json_canonical(value);
    if (problems_with(pointer, value) == 0)
        fail_msg("the schema refuses %s at %s, the decoder takes it", text, pointer);
    assert_int_equal(strncmp(problems.items[0].pointer, pointer, strlen(pointer)), 0);
    free(text);
}

static bool allows(const json_t *node, const char *type)
{
    const json_t *types = json_object_get(node, "type");
    if (json_is_string(types))
        return strcmp(json_string_value(types), type) == 0;
    for (size_t i = 0; i < json_array_size(types); i++) {
        if (strcmp(json_string_value(json_array_get(types, i)), type) == 0)
            return true;
    }
    return false;
}

static void try_numbers(const char *pointer, const json_t *node)
{
    const json_t *min = json_object_get(node, "minimum");
    const json_t *max = json_object_get(node, "maximum");
    assert_true(json_is_number(min) && json_is_number(max));
    assert_not_taken(pointer, json_string("1"));
    assert_not_taken(pointer, json_true());
    if (!allows(node, "integer")) {
        assert_taken(pointer, json_real(json_number_value(min)));
        assert_taken(pointer, json_real(json_number_value(max)));
        assert_not_taken(pointer, json_real(json_number_value(min) - 1e-3));
        assert_not_taken(pointer, json_real(json_number_value(max) * 1.001));
        return;
    }
    assert_not_taken(pointer, json_real(json_number_value(min) + 0.5));
    assert_taken(pointer, json_integer(json_integer_value(min)));
    assert_not_taken(pointer, json_integer(json_integer_value(min) - 1));
    assert_taken(pointer, json_integer(json_integer_value(max)));
    if (json_integer_value(max) < INT64_MAX)
        assert_not_taken(pointer, json_integer(json_integer_value(max) + 1));
}

static void try_words(const char *pointer, const json_t *words, bool depends)
{
    for (size_t i = 0; i < json_array_size(words); i++) {
        if (!depends)
            assert_taken(pointer, json_deep_copy(json_array_get(words, i)));
    }
    assert_not_taken(pointer, json_string("no-such-word"));
    assert_not_taken(pointer, json_integer(3));
}

static json_t *duration(int64_t ms)
{
    char text[24];
    duration_format(ms, text);
    return json_string(text);
}

static void try_durations(const char *pointer, const json_t *property)
{
    const int64_t min_ms = json_integer_value(json_object_get(property, "x-min-ms"));
    const int64_t max_ms = json_integer_value(json_object_get(property, "x-max-ms"));
    assert_true(min_ms > 0 && max_ms > min_ms);
    assert_taken(pointer, duration(min_ms));
    assert_taken(pointer, duration(max_ms));
    assert_not_taken(pointer, duration(min_ms - 1));
    assert_not_taken(pointer, duration(max_ms + 1));
    assert_not_taken(pointer, json_string("soon"));
    assert_not_taken(pointer, json_integer(5000));
}

/* The references of "oneOf": kinds that a section may have; NULL where it says something else. */
static const json_t *kinds_of(const json_t *node)
{
    const json_t *kinds = json_object_get(node, "oneOf");
    return json_object_get(json_array_get(kinds, 0), "$ref") == NULL ? NULL : kinds;
}

static size_t try_object(const char *pointer, const json_t *node);

/* Each kind that a section may have, in its own example. */
static size_t try_kinds(const char *pointer, const json_t *kinds)
{
    size_t tried = 0;
    for (size_t i = 0; i < json_array_size(kinds); i++) {
        const json_t *kind = resolve(json_array_get(kinds, i));
        example = json_string_value(json_object_get(kind, "x-example"));
        assert_non_null(example);
        tried += try_object(pointer, kind);
    }
    return tried;
}

static size_t try_value(const char *pointer, const json_t *property)
{
    const json_t *node = resolve(property);
    const bool depends = json_is_true(json_object_get(property, "x-depends")) ||
                         json_is_true(json_object_get(node, "x-depends"));
    if (kinds_of(node) != NULL)
        return try_kinds(pointer, kinds_of(node));
    if (json_object_get(node, "properties") != NULL)
        return try_object(pointer, node);
    if (json_object_get(property, "x-min-ms") != NULL)
        try_durations(pointer, property);
    else if (json_object_get(node, "enum") != NULL)
        try_words(pointer, json_object_get(node, "enum"), depends);
    else if (json_object_get(node, "minimum") != NULL)
        try_numbers(pointer, node);
    else if (allows(node, "array"))
        assert_not_taken(pointer, json_integer(1));
    else if (allows(node, "string"))
        assert_not_taken(pointer, json_string(""));
    if (allows(node, "null") && !depends)
        assert_taken(pointer, json_null());
    return 1;
}

static size_t try_property(const char *pointer, const json_t *property)
{
    const char *outer = example;
    const char *own = json_string_value(json_object_get(property, "x-example"));
    if (own != NULL)
        example = own;
    const size_t tried = try_value(pointer, property);
    example = outer;
    return tried;
}

static bool is_required(const json_t *node, const char *key)
{
    const json_t *required = json_object_get(node, "required");
    for (size_t i = 0; i < json_array_size(required); i++) {
        if (strcmp(json_string_value(json_array_get(required, i)), key) == 0)
            return true;
    }
    return false;
}

/* Tries each property of an object; returns how many values were tried. */
static size_t try_object(const char *pointer, const json_t *node)
{
    size_t tried = 0;
    const char *key = NULL;
    const json_t *property = NULL;
    json_object_foreach(json_iterable(json_object_get(node, "properties")), key, property) {
        char below[128];
        (void)snprintf(below, sizeof(below), "%s/%s", pointer, key);
        tried += try_property(below, property);
        if (is_required(node, key))
            assert_not_taken(below, json_null());
    }
    char unknown[128];
    (void)snprintf(unknown, sizeof(unknown), "%s/no_such_field", pointer);
    assert_true(json_is_false(json_object_get(node, "additionalProperties")));
    assert_not_taken(unknown, json_null());
    return tried;
}

static void every_property_of_the_schema_is_decoded_within_its_limits(void **state)
{
    (void)state;
    assert_true(try_object("", schema) >= 120);
}

/* ------------------------------------------------------------------ the other direction */

static bool has_word(const json_t *object, const char *key, const json_t *value)
{
    const json_t *property = json_object_get(json_object_get(object, "properties"), key);
    const json_t *words = json_object_get(resolve(property), "enum");
    for (size_t i = 0; i < json_array_size(words); i++) {
        if (json_equal(json_array_get(words, i), json_object_get(value, key)))
            return true;
    }
    return false;
}

/* Of "oneOf" the kind that a value is of: by its "type", or by the format of its "train". */
static const json_t *kind_of(const json_t *node, const json_t *value)
{
    const json_t *kinds = kinds_of(node);
    for (size_t i = 0; i < json_array_size(kinds); i++) {
        const json_t *kind = resolve(json_array_get(kinds, i));
        const json_t *train = json_object_get(json_object_get(kind, "properties"), "train");
        if (has_word(kind, "type", value) ||
            (train != NULL && has_word(resolve(train), "format", json_object_get(value, "train"))))
            return kind;
    }
    assert_null(kinds);
    return node;
}

static void check_default(const char *pointer, const json_t *property, const json_t *found)
{
    const json_t *own = json_object_get(property, "default");
    const json_t *initial = own != NULL ? own : json_object_get(resolve(property), "default");
    if (initial == NULL)
        return;
    const bool same = json_is_number(initial) && json_is_number(found)
                          ? json_number_value(initial) == json_number_value(found)
                          : json_equal(initial, found);
    if (!same)
        fail_msg("%s: the schema's default is not what the decoder fills in", pointer);
}

/* `given` is what the document had here, or NULL; `value` what became of it. */
static void find_in_schema(const char *pointer, const json_t *given, const json_t *value,
                           const json_t *property)
{
    if (!json_is_object(value))
        return;
    const json_t *node = kind_of(resolve(property), value);
    if (json_object_get(node, "properties") == NULL)
        return;
    const char *key = NULL;
    const json_t *member = NULL;
    json_object_foreach(json_iterable(value), key, member) {
        const json_t *member_property = json_object_get(json_object_get(node, "properties"), key);
        const json_t *member_given = json_object_get(given, key);
        char below[128];
        (void)snprintf(below, sizeof(below), "%s/%s", pointer, key);
        if (member_property == NULL)
            fail_msg("%s/%s is encoded, but not in the schema", pointer, key);
        if (member_given == NULL || json_is_null(member_given))
            check_default(below, member_property, member);
        find_in_schema(below, member_given, member, member_property);
    }
}

/* Calls `check` with each *.json of a folder of examples; returns their number. */
static size_t for_each_example(const char *folder, void (*check)(const char *name))
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "schema/examples/%s", folder);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    size_t count = 0;
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot == NULL || strcmp(dot, ".json") != 0)
            continue;
        check(entry->d_name);
        count++;
    }
    closedir(dir);
    return count;
}

static json_t *complete(const json_t *document)
{
    static struct job_spec spec;
    problems.count = 0;
    const struct json_at root = json_at_root(document, &problems);
    job_spec_decode(&root, &spec);
    assert_int_equal(problems.count, 0);
    return job_spec_encode(&spec);
}

static void check_encoded(const char *name)
{
    char path[PATH_MAX];
    example_path(path, name);
    CLEANUP(json_cleanup) json_t *document = load(path);
    CLEANUP(json_cleanup) json_t *encoded = complete(document);
    find_in_schema("", document, encoded, schema);
}

static void what_is_encoded_is_in_the_schema_with_its_defaults(void **state)
{
    (void)state;
    assert_true(for_each_example("valid", check_encoded) >= 15);
}

/* ------------------------------------------------------------------ the schema as a whole */

static void check_taken(const char *name)
{
    char path[PATH_MAX];
    example_path(path, name);
    CLEANUP(json_cleanup) json_t *document = load(path);
    CLEANUP(json_cleanup) json_t *encoded = complete(document);
    if (!json_schema_takes(schema, schema, document))
        fail_msg("valid/%s: the schema refuses it", name);
    if (!json_schema_takes(schema, schema, encoded))
        fail_msg("valid/%s: the schema refuses it when it is complete", name);
}

static void the_schema_takes_every_valid_example(void **state)
{
    (void)state;
    assert_true(for_each_example("valid", check_taken) >= 15);
}

/* What compares numbers, names or lengths of two places, no schema can say. */
static const char *const beyond_schemas[] = {"checkpoint-best-unknown-metric.json",
                                             "data-classes-beyond.json",
                                             "data-classes-gap.json",
                                             "data-classes-of-sigmoid.json",
                                             "data-columns-twice.json",
                                             "data-split-column-unknown.json",
                                             "data-user-is-item.json",
                                             "early-stopping-unknown-metric-of-sigmoid.json",
                                             "early-stopping-unknown-metric.json",
                                             "training-batch-below-parts.json",
                                             "training-batch-below-ranks.json",
                                             "training-batch-below-workers.json",
                                             "training-class-weights-of-sigmoid.json",
                                             "training-class-weights-short.json",
                                             "training-reproducible-ranks.json",
                                             "training-servers-without-workers.json",
                                             NULL};

static void check_refused(const char *name)
{
    struct error err = {.status = STATUS_OK};
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "schema/examples/invalid/%s", name);
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, MIB);
    assert_ok(fs_read_file(path, &text, &err), &err);
    CLEANUP(json_cleanup) json_t *document = NULL;
    if (json_parse(text.data, text.size, &document, &err) != STATUS_OK)
        return; /* not even JSON */
    const bool beyond = name_index(beyond_schemas, name) >= 0;
    if (json_schema_takes(schema, schema, document) != beyond)
        fail_msg("invalid/%s: the schema %s it", name, beyond ? "refuses" : "takes");
}

static void the_schema_refuses_every_invalid_example_that_it_can(void **state)
{
    (void)state;
    assert_true(for_each_example("invalid", check_refused) >= 150);
}

/* ------------------------------------------------------------------ the page for people */

/* Each name of a property stands in the page as code. */
static size_t find_in_page(const char *page, const json_t *node)
{
    size_t found = 0;
    const char *key = NULL;
    const json_t *property = NULL;
    json_object_foreach(json_iterable(json_object_get(node, "properties")), key, property) {
        const char *at = strstr(page, key);
        while (at != NULL &&
               (strchr("` {.", at[-1]) == NULL || strchr("`,:}", at[strlen(key)]) == NULL))
            at = strstr(at + 1, key);
        if (at == NULL)
            fail_msg("schema/job_spec.md does not name \"%s\"", key);
        found++;
    }
    return found;
}

static void the_page_of_fields_names_every_one(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    CLEANUP(buf_clear) struct buf page;
    buf_init(&page, MIB);
    assert_ok(fs_read_file("schema/job_spec.md", &page, &err), &err);
    size_t found = find_in_page(page.data, schema);
    const char *key = NULL;
    const json_t *part = NULL;
    json_object_foreach(json_iterable(json_object_get(schema, "properties")), key, part)
        found += find_in_page(page.data, part);
    json_object_foreach(json_iterable(json_object_get(schema, "$defs")), key, part)
        found += find_in_page(page.data, part);
    assert_true(found >= 120);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_property_of_the_schema_is_decoded_within_its_limits),
        cmocka_unit_test(what_is_encoded_is_in_the_schema_with_its_defaults),
        cmocka_unit_test(the_schema_takes_every_valid_example),
        cmocka_unit_test(the_schema_refuses_every_invalid_example_that_it_can),
        cmocka_unit_test(the_page_of_fields_names_every_one),
    };
    return cmocka_run_group_tests(tests, open_schema, close_schema);
}
