/*
 * Any line: refused at a byte of it, or its values lie within it; and what Jansson takes as an object of plain
 * values is taken with the same values.
 */

#include "tests/fuzz/fuzz.h"
#include "trainer/data/jsonl.h"

static const char *const names[] = {"x", "y", "text", "label"};
enum { NAMES = sizeof(names) / sizeof(names[0]) };

static void check_same(const json_t *value, const struct jsonl_value *ours)
{
    assert(ours->absent == (value == NULL || json_is_null(value)));
    if (json_is_string(value))
        assert(ours->size == json_string_length(value) &&
               memcmp(ours->text, json_string_value(value), ours->size) == 0);
    if (json_is_boolean(value))
        assert(ours->size == (json_is_true(value) ? 4U : 5U));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jsonl_value values[NAMES];
    struct jsonl_problem problem;
    char *const line = malloc(size + 1);
    assert(line != NULL);
    memcpy(line, data, size);
    const bool taken = jsonl_read(line, size, names, NAMES, values, &problem);
    assert(taken == (problem.what == NULL) && (taken || problem.at <= size));
    for (int i = 0; taken && i < NAMES; i++) {
        const bool inside =
            values[i].text >= line && values[i].text + values[i].size <= line + size;
        assert(values[i].text != NULL && (inside || values[i].absent));
    }
    json_t *document = fuzz_parse(data, size);
    bool plain = json_is_object(document);
    for (int i = 0; plain && i < NAMES; i++) {
        const json_t *value = json_object_get(document, names[i]);
        plain = !json_is_object(value) && !json_is_array(value);
    }
    if (plain) {
        assert(taken);
        for (int i = 0; i < NAMES; i++)
            check_same(json_object_get(document, names[i]), &values[i]);
    }
    json_decref(document);
    free(line);
    return 0;
}
