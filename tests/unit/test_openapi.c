/* openapi.yaml is JSON, complete in itself, and has the job spec of job.schema.json. */

#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/json.h"
#include "schema/names.h"

#define OPERATIONS_MAX 128

static json_t *document;

static json_t *load(const char *path)
{
    struct error err = {.status = STATUS_OK};
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, MIB);
    assert_ok(fs_read_file(path, &text, &err), &err);
    json_t *json = NULL;
    if (json_parse(text.data, text.size, &json, &err) != STATUS_OK)
        fail_msg("%s: %s", path, err.text);
    return json;
}

static int open_document(void **state)
{
    (void)state;
    document = load("schema/openapi.yaml");
    return 0;
}

static int close_document(void **state)
{
    (void)state;
    json_decref(document);
    return 0;
}

/* What a local reference "#/a/b" points at, or NULL. */
static const json_t *find(const char *reference)
{
    if (strncmp(reference, "#/", 2) != 0)
        return NULL;
    const json_t *node = document;
    for (const char *rest = reference + 2; rest != NULL && node != NULL;) {
        char key[64];
        const size_t length = strcspn(rest, "/");
        assert_true(length < sizeof(key));
        memcpy(key, rest, length);
        key[length] = '\0';
        node = json_object_get(node, key);
        rest = rest[length] == '/' ? rest + length + 1 : NULL;
    }
    return node;
}

static size_t check_references(const json_t *node)
{
    size_t found = 0;
    if (json_is_array(node)) {
        for (size_t i = 0; i < json_array_size(node); i++)
            found += check_references(json_array_get(node, i));
        return found;
    }
    const char *key = NULL;
    const json_t *value = NULL;
    json_object_foreach(json_iterable(node), key, value) {
        if (strcmp(key, "$ref") == 0 && json_is_string(value)) {
            if (find(json_string_value(value)) == NULL)
                fail_msg("nothing at %s", json_string_value(value));
            found++;
        } else {
            found += check_references(value);
        }
    }
    return found;
}

static void every_reference_leads_somewhere(void **state)
{
    (void)state;
    assert_true(check_references(document) > 100);
}

/* ------------------------------------------------------------------ operations */

typedef void operation_fn(const char *method, const char *path, const json_t *operation);

static size_t for_each_operation(operation_fn *check)
{
    size_t count = 0;
    const char *path = NULL;
    const json_t *item = NULL;
    json_object_foreach(json_iterable(json_object_get(document, "paths")), path, item) {
        const char *method = NULL;
        const json_t *operation = NULL;
        json_object_foreach(json_iterable(item), method, operation) {
            if (strcmp(method, "servers") == 0)
                continue;
            check(method, path, operation);
            count++;
        }
    }
    return count;
}

static bool has_path_parameter(const json_t *operation, const char *name, size_t length)
{
    const json_t *parameters = json_object_get(operation, "parameters");
    for (size_t i = 0; i < json_array_size(parameters); i++) {
        const json_t *parameter = json_array_get(parameters, i);
        const char *reference = json_string_value(json_object_get(parameter, "$ref"));
        const json_t *target = reference != NULL ? find(reference) : parameter;
        const char *target_name = json_string_value(json_object_get(target, "name"));
        const char *in = json_string_value(json_object_get(target, "in"));
        if (strcmp(in, "path") == 0 && strlen(target_name) == length &&
            strncmp(target_name, name, length) == 0)
            return true;
    }
    return false;
}

static void check_operation(const char *method, const char *path, const json_t *operation)
{
    static const char *const methods[] = {"get", "post", "put", "delete", NULL};
    const char *role = json_string_value(json_object_get(operation, "x-role"));
    if (name_index(methods, method) < 0 || role == NULL || name_index(role_names, role) < 0)
        fail_msg("%s %s: not a method, or no x-role", method, path);
    if (json_integer_value(json_object_get(operation, "x-body-bytes-max")) <= 0)
        fail_msg("%s %s: no x-body-bytes-max", method, path);
    const bool is_public = json_array_size(json_object_get(operation, "security")) == 0;
    assert_int_equal(is_public, strcmp(role, "none") == 0);
    if (json_object_get(json_object_get(operation, "responses"), "default") == NULL)
        fail_msg("%s %s: says nothing of problems", method, path);
    for (const char *brace = strchr(path, '{'); brace != NULL; brace = strchr(brace + 1, '{')) {
        const size_t length = strcspn(brace + 1, "}");
        if (!has_path_parameter(operation, brace + 1, length))
            fail_msg("%s %s: {%.*s} is not described", method, path, (int)length, brace + 1);
    }
}

static void every_operation_says_who_may_call_it_and_how_it_fails(void **state)
{
    (void)state;
    assert_true(for_each_operation(check_operation) >= 40);
}

static const char *operation_ids[OPERATIONS_MAX];
static size_t operation_count;

static void check_id(const char *method, const char *path, const json_t *operation)
{
    const char *id = json_string_value(json_object_get(operation, "operationId"));
    if (id == NULL)
        fail_msg("%s %s: no operationId", method, path);
    for (size_t i = 0; i < operation_count; i++)
        assert_string_not_equal(operation_ids[i], id);
    assert_true(operation_count < OPERATIONS_MAX);
    operation_ids[operation_count++] = id;
}

static void every_operation_has_its_own_id(void **state)
{
    (void)state;
    operation_count = 0;
    (void)for_each_operation(check_id);
}

/* ------------------------------------------------------------------ words and schemas */

/* job.schema.json with its references written as they stand in this document. */
static json_t *job_schema_as_component(void)
{
    struct error err = {.status = STATUS_OK};
    CLEANUP(json_cleanup) json_t *schema = load("schema/job.schema.json");
    (void)json_object_del(schema, "$schema");
    (void)json_object_del(schema, "$id");
    char *text = json_text(schema);
    CLEANUP(buf_clear) struct buf moved;
    buf_init(&moved, MIB);
    const char *rest = text;
    for (const char *hit = strstr(rest, "#/$defs/"); hit != NULL; hit = strstr(rest, "#/$defs/")) {
        buf_append(&moved, rest, (size_t)(hit - rest));
        buf_append_text(&moved, "#/components/schemas/JobSpec/$defs/");
        rest = hit + strlen("#/$defs/");
    }
    buf_append_text(&moved, rest);
    free(text);
    json_t *parsed = NULL;
    assert_ok(json_parse(moved.data, moved.size, &parsed, &err), &err);
    return parsed;
}

static void the_job_spec_is_the_one_of_its_schema_file(void **state)
{
    (void)state;
    CLEANUP(json_cleanup) json_t *expected = job_schema_as_component();
    assert_true(json_equal(expected, find("#/components/schemas/JobSpec")));
}

static void assert_words(const char *reference, const char *const names[], size_t first)
{
    const json_t *words = find(reference);
    size_t count = 0;
    for (size_t i = first; names[i] != NULL; i++, count++) {
        const char *word = json_string_value(json_array_get(words, count));
        if (word == NULL || strcmp(word, names[i]) != 0)
            fail_msg("%s: expected \"%s\" at %zu", reference, names[i], count);
    }
    const json_t *last = json_array_get(words, count);
    assert_true(last == NULL || json_is_null(last));
}

static void the_words_are_those_of_the_programs(void **state)
{
    (void)state;
    assert_words("#/components/schemas/JobSummary/properties/state/enum", job_state_names, 0);
    assert_words("#/components/schemas/JobSummary/properties/reason/enum", reason_names, 1);
    assert_words("#/components/schemas/Attempt/properties/state/enum", attempt_state_names, 0);
    assert_words("#/components/schemas/Node/properties/state/enum", node_state_names, 0);
    assert_words("#/components/schemas/RankReport/properties/verdict/enum", verdict_names, 0);
    assert_words("#/components/schemas/RankReport/properties/phase/enum", phase_names, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reference_leads_somewhere),
        cmocka_unit_test(every_operation_says_who_may_call_it_and_how_it_fails),
        cmocka_unit_test(every_operation_has_its_own_id),
        cmocka_unit_test(the_job_spec_is_the_one_of_its_schema_file),
        cmocka_unit_test(the_words_are_those_of_the_programs),
    };
    return cmocka_run_group_tests(tests, open_document, close_document);
}
