#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"

/* ------------------------------------------------------------------ parsing */

/* The beginning of the message is ours; what follows may be the parser's own words. */
static void assert_refused(const char *text, const char *message)
{
    struct error err = {.status = STATUS_OK};
    json_t *document = NULL;
    assert_int_equal(json_parse(text, strlen(text), &document, &err), STATUS_INVALID);
    if (strncmp(err.text, message, strlen(message)) != 0)
        fail_msg("%s: expected \"%s...\", got \"%s\"", text, message, err.text);
    assert_null(document);
}

static void a_document_of_any_kind_is_parsed(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{}", "[]", " 1 ", "\"x\"", "null", "{\"a\":[{\"b\":[]}]}", "\"\\u00e9 \xc3\xa9\""};
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct error err = {.status = STATUS_OK};
        CLEANUP(json_cleanup) json_t *document = NULL;
        assert_ok(json_parse(good[i], strlen(good[i]), &document, &err), &err);
        assert_non_null(document);
    }
}

static void what_is_not_json_is_refused_with_its_place(void **state)
{
    (void)state;
    assert_refused("", "line 1, column 0: ");
    assert_refused("{\n  \"a\": ,\n}", "line 2, column 8: unexpected token near ','");
    assert_refused("{} x", "line 1, column 4: end of file expected near 'x'");
    assert_refused("{}{}", "line 1, column 3: end of file expected near '{'");
    assert_refused("{\"a\":1,\"a\":2}", "line 1, column 10: duplicate object key");
    assert_refused("[1,]", "line 1, column 4: unexpected token near ']'");
    assert_refused("[NaN]", "line 1, column 4: invalid token near 'NaN'");
    assert_refused("[1e999]", "line 1, column 6: real number overflow");
    assert_refused("[\"\\u0000\"]", "line 1, column 9: a string must not contain \\u0000");
    assert_refused("[\"\xff\"]", "line 1, column 2: unable to decode byte 0xff");
    assert_refused("[\"\xed\xa0\x80\"]", "line 1, column 2: unable to decode byte 0xed");
}

static void a_raw_nul_is_refused(void **state)
{
    (void)state;
    static const char text[] = "{\"a\": \"b\0c\"}";
    json_t *document = NULL;
    assert_int_equal(json_parse(text, sizeof(text) - 1, &document, NULL), STATUS_INVALID);
    static const char after[] = "{}\0";
    assert_int_equal(json_parse(after, sizeof(after) - 1, &document, NULL), STATUS_INVALID);
    struct error err = {.status = STATUS_OK};
    static const char behind_a_number[] = "{\n\"a\": 101\0}"; /* Jansson drops it */
    assert_int_equal(json_parse(behind_a_number, sizeof(behind_a_number) - 1, &document, &err),
                     STATUS_INVALID);
    assert_string_equal(err.text, "line 2, column 9: a NUL byte");
}

static void nesting_has_a_limit(void **state)
{
    (void)state;
    char text[2 * JSON_DEPTH_MAX + 8];
    for (int depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = '\0';
        if (depth > JSON_DEPTH_MAX) {
            assert_refused(text, "line 1, column 33: nested over 32 deep");
            continue;
        }
        struct error err = {.status = STATUS_OK};
        CLEANUP(json_cleanup) json_t *document = NULL;
        assert_ok(json_parse(text, strlen(text), &document, &err), &err);
    }
}

static void brackets_inside_strings_do_not_nest(void **state)
{
    (void)state;
    char text[256] = "\"\\\"";
    memset(text + 3, '[', 100);
    text[103] = '"';
    text[104] = '\0';
    struct error err = {.status = STATUS_OK};
    CLEANUP(json_cleanup) json_t *document = NULL;
    assert_ok(json_parse(text, strlen(text), &document, &err), &err);
}

static void a_hundred_thousand_brackets_are_refused_not_recursed_into(void **state)
{
    (void)state;
    const size_t size = 100000;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, '{', size);
    json_t *document = NULL;
    assert_int_equal(json_parse(text, size, &document, NULL), STATUS_INVALID);
    free(text);
}

/* ------------------------------------------------------------------ getters */

/* A document, its root and its problems, for one test. */
struct document {
    json_t *json;
    struct json_problems problems;
    struct json_at root;
};

static void document_open(struct document *document, const char *text)
{
    struct error err = {.status = STATUS_OK};
    document->problems.count = 0;
    document->problems.dropped = 0;
    assert_ok(json_parse(text, strlen(text), &document->json, &err), &err);
    document->root = json_at_root(document->json, &document->problems);
}

static void document_clear(struct document *document)
{
    json_decref(document->json);
}

/* The only problem there is, as people read it; it is taken off the list. */
static void assert_problem(struct document *document, const char *message)
{
    struct error err = {.status = STATUS_OK};
    assert_fails(json_problems_status(&document->problems, &err), &err, STATUS_INVALID, message);
    document->problems.count = 0;
}

static void right_values_arrive(void **state)
{
    (void)state;
    CLEANUP(document_clear) struct document document;
    document_open(&document,
                  "{\"i\":7,\"d\":0.5,\"b\":true,\"s\":\"text\",\"e\":\"two\",\"t\":\"90s\","
                  "\"a\":[1,2]}");
    static const char *const known[] = {"i", "d", "b", "s", "e", "t", "a", NULL};
    static const char *const words[] = {"one", "two", NULL};
    const struct json_at *root = &document.root;
    const struct json_at i = json_at_key(root, "i");
    const struct json_at d = json_at_key(root, "d");
    const struct json_at b = json_at_key(root, "b");
    const struct json_at s = json_at_key(root, "s");
    const struct json_at e = json_at_key(root, "e");
    const struct json_at t = json_at_key(root, "t");
    const struct json_at a = json_at_key(root, "a");
    int64_t integer = 0;
    double number = 0;
    double whole = 0;
    bool boolean = false;
    const char *text = NULL;
    char copy[8];
    int word = -1;
    int64_t duration_ms = 0;
    size_t count = 0;
    assert_true(json_get_object(root, known));
    assert_true(json_get_int(&i, 0, 7, &integer) && integer == 7);
    assert_true(json_get_double(&d, 0, 1, &number) && number == 0.5);
    assert_true(json_get_double(&i, 0, 10, &whole) && whole == 7.0);
    assert_true(json_get_bool(&b, &boolean) && boolean);
    assert_true(json_get_string(&s, 4, &text));
    assert_string_equal(text, "text");
    assert_true(json_get_string_copy(&s, copy, 5));
    assert_string_equal(copy, "text");
    assert_true(json_get_enum(&e, words, &word) && word == 1);
    assert_true(json_get_duration(&t, 0, 100000, &duration_ms) && duration_ms == 90000);
    assert_true(json_get_array(&a, 2, &count) && count == 2);
    const struct json_at item = json_at_index(&a, 1);
    assert_true(json_get_int(&item, 0, 7, &integer) && integer == 2);
    assert_int_equal(document.problems.count, 0);
}

static void wrong_values_are_named_and_leave_the_output_alone(void **state)
{
    (void)state;
    CLEANUP(document_clear) struct document document;
    document_open(&document, "{\"resources\":{\"ranks\":\"eight\",\"list\":[1,2,{\"x\":5000}]}}");
    const struct json_at resources = json_at_key(&document.root, "resources");
    const struct json_at ranks = json_at_key(&resources, "ranks");
    const struct json_at list = json_at_key(&resources, "list");
    const struct json_at third = json_at_index(&list, 2);
    const struct json_at x = json_at_key(&third, "x");
    int64_t integer = 42;
    double number = 42;
    bool boolean = true;
    const char *text = "untouched";
    char copy[8] = "still";
    size_t count = 42;
    int64_t duration_ms = 42;
    assert_false(json_get_int(&ranks, 1, 1024, &integer));
    assert_problem(&document, "/resources/ranks: expected integer 1..1024, got string \"eight\"");
    assert_false(json_get_int(&x, 1, 1024, &integer));
    assert_problem(&document, "/resources/list/2/x: expected integer 1..1024, got integer 5000");
    assert_false(json_get_double(&x, 0, 0.5, &number));
    assert_problem(&document, "/resources/list/2/x: expected number 0..0.5, got integer 5000");
    assert_false(json_get_bool(&x, &boolean));
    assert_problem(&document, "/resources/list/2/x: expected true or false, got integer 5000");
    assert_false(json_get_string(&x, 10, &text));
    assert_problem(&document, "/resources/list/2/x: expected string, got integer 5000");
    assert_false(json_get_string_copy(&ranks, copy, 5));
    assert_problem(&document,
                   "/resources/ranks: expected string of at most 4 bytes, got string \"eight\"");
    assert_false(json_get_array(&list, 2, &count));
    assert_problem(&document, "/resources/list: expected array of at most 2, got array of 3");
    assert_false(json_get_array(&x, 2, &count));
    assert_problem(&document, "/resources/list/2/x: expected array, got integer 5000");
    assert_false(json_get_duration(&ranks, 1000, 60000, &duration_ms));
    assert_problem(&document, "/resources/ranks: expected duration 1s..60s, such as \"90s\", got "
                              "string \"eight\"");
    assert_true(integer == 42 && number == 42 && boolean && count == 42 && duration_ms == 42);
    assert_string_equal(text, "untouched");
    assert_string_equal(copy, "still");
}

static void a_missing_value_is_nothing(void **state)
{
    (void)state;
    CLEANUP(document_clear) struct document document;
    document_open(&document, "{\"data\":{},\"null\":null}");
    static const char *const known[] = {"train", NULL};
    static const char *const words[] = {"idx", "csv", "tsv", NULL};
    const struct json_at data = json_at_key(&document.root, "data");
    const struct json_at train = json_at_key(&data, "train");
    const struct json_at null = json_at_key(&document.root, "null");
    int64_t integer = 0;
    int word = 0;
    assert_false(json_get_object(&train, known));
    assert_problem(&document, "/data/train: expected object, got nothing");
    assert_false(json_get_enum(&train, words, &word));
    assert_problem(&document, "/data/train: expected \"idx\", \"csv\" or \"tsv\", got nothing");
    assert_false(json_get_int(&null, INT64_MIN, INT64_MAX, &integer));
    assert_problem(&document, "/null: expected integer, got null");
    assert_false(json_get_int(&null, 3, INT64_MAX, &integer));
    assert_problem(&document, "/null: expected integer >= 3, got null");
    /* A place below a place that is not there is only nothing, too. */
    const struct json_at deeper = json_at_key(&train, "format");
    assert_false(json_present(&deeper));
    assert_false(json_present(&null));
    assert_true(json_present(&data));
}

static void optional_values_may_be_absent_or_null_but_not_wrong(void **state)
{
    (void)state;
    CLEANUP(document_clear) struct document document;
    document_open(&document, "{\"n\":null,\"w\":[]}");
    static const char *const words[] = {"one", NULL};
    static const char *const keys[] = {"absent", "n"};
    int64_t integer = 42;
    double number = 42;
    bool boolean = true;
    const char *text = "untouched";
    char copy[16] = "untouched";
    int word = 42;
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        const struct json_at at = json_at_key(&document.root, keys[i]);
        assert_true(json_opt_int(&at, 0, 1, &integer));
        assert_true(json_opt_double(&at, 0, 1, &number));
        assert_true(json_opt_bool(&at, &boolean));
        assert_true(json_opt_string(&at, 1, &text));
        assert_true(json_opt_string_copy(&at, copy, 1));
        assert_true(json_opt_enum(&at, words, &word));
        assert_true(json_opt_duration(&at, 0, 1, &integer));
    }
    assert_int_equal(document.problems.count, 0);
    assert_true(integer == 42 && number == 42 && boolean && word == 42);
    const struct json_at wrong = json_at_key(&document.root, "w");
    assert_false(json_opt_int(&wrong, 0, 1, &integer));
    assert_problem(&document, "/w: expected integer 0..1, got array of 0");
    assert_false(json_opt_enum(&wrong, words, &word));
    assert_problem(&document, "/w: expected \"one\", got array of 0");
}

static void an_unknown_field_comes_with_a_suggestion(void **state)
{
    (void)state;
    CLEANUP(document_clear) struct document document;
    document_open(&document, "{\"rank\":2,\"colour\":1}");
    static const char *const known[] = {"ranks", "device", NULL};
    assert_true(json_get_object(&document.root, known)); /* it is an object all the same */
    assert_int_equal(document.problems.count, 2);
    assert_string_equal(document.problems.items[1].expected, "unknown field");
    assert_problem(&document, "/rank: unknown field, did you mean \"ranks\"? (and 1 more problem)");
    assert_true(json_get_open_object(&document.root)); /* fine between our own programs */
    assert_int_equal(document.problems.count, 0);
}

static void every_problem_is_collected_up_to_a_limit(void **state)
{
    (void)state;
    CLEANUP(document_clear) struct document document;
    document_open(&document, "[]");
    for (int i = 0; i < JSON_PROBLEMS_MAX + 5; i++)
        json_problem_add(&document.root, "problem %d", i);
    assert_int_equal(document.problems.count, JSON_PROBLEMS_MAX);
    assert_int_equal(document.problems.dropped, 5);
    assert_problem(&document,
                   "document: expected problem 0, got array of 0 (and 36 more problems)");
}

static void pointers_escape_and_stay_utf8_when_cut(void **state)
{
    (void)state;
    CLEANUP(document_clear) struct document document;
    document_open(&document, "{\"a/b~c\":1}");
    static const char *const known[] = {"x", NULL};
    (void)json_get_object(&document.root, known);
    assert_string_equal(document.problems.items[0].pointer, "/a~1b~0c");
    char key[400];
    size_t size = 0;
    while (size < sizeof(key) - 3) {
        memcpy(key + size, "\xc3\xa9", 2);
        size += 2;
    }
    key[size] = '\0';
    const struct json_at at = json_at_key(&document.root, key);
    json_problem_add(&at, "less");
    CLEANUP(json_cleanup) json_t *encoded = json_problems_encode(&document.problems);
    const json_t *second = json_array_get(encoded, 1);
    assert_non_null(json_object_get(second, "pointer")); /* Jansson takes only whole characters */
    assert_true(json_string_length(json_object_get(second, "pointer")) >= JSON_POINTER_BYTES - 3);
}

static void what_came_is_described_briefly_and_harmlessly(void **state)
{
    (void)state;
    CLEANUP(document_clear) struct document document;
    document_open(&document,
                  "[true,false,null,{},1.5,100000000000000000000.0,2.0,\"\\u001b[31m\","
                  "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                  "aaaaaaaaaa\"]");
    static const char *const got[] = {
        "true",
        "false",
        "null",
        "object",
        "number 1.5",
        "number 1e+20",
        "number 2.0",
        "string \"?[31m\"",
        ("string \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaa...\"")};
    for (size_t i = 0; i < COUNT_OF(got); i++) {
        const struct json_at at = json_at_index(&document.root, i);
        json_problem_add(&at, "x");
        assert_string_equal(document.problems.items[i].got, got[i]);
    }
}

static void problems_become_a_list_for_the_answer(void **state)
{
    (void)state;
    CLEANUP(document_clear) struct document document;
    document_open(&document, "{\"a\":1}");
    const struct json_at a = json_at_key(&document.root, "a");
    json_problem_add(&a, "string");
    CLEANUP(json_cleanup) json_t *encoded = json_problems_encode(&document.problems);
    char *text = json_canonical(encoded);
    assert_string_equal(text,
                        "[{\"expected\":\"string\",\"got\":\"integer 1\",\"pointer\":\"/a\"}]");
    free(text);
}

/* ------------------------------------------------------------------ durations */

static void durations_go_there_and_back(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {{0, "0s"},         {1, "1ms"},        {500, "500ms"},  {1000, "1s"},
                 {90000, "90s"},    {60000, "60s"},    {900000, "15m"}, {7200000, "2h"},
                 {86400000, "24h"}, {172800000, "2d"}, {3600000, "1h"}, {120000, "2m"},
                 {90000000, "25h"}, {1500, "1500ms"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[24];
        int64_t ms = -1;
        duration_format(cases[i].ms, text);
        assert_string_equal(text, cases[i].text);
        assert_true(duration_parse(text, &ms));
        assert_int_equal(ms, cases[i].ms);
    }
}

static void what_is_no_duration_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "s",
                                      "1",
                                      "1.5s",
                                      "-1s",
                                      "+1s",
                                      "1 s",
                                      " 1s",
                                      "1s ",
                                      "1S",
                                      "1min",
                                      "0x1s",
                                      "99999999999999999999s",
                                      "9999999999999999d"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        int64_t ms = 0;
        assert_false(duration_parse(bad[i], &ms));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_of_any_kind_is_parsed),
        cmocka_unit_test(what_is_not_json_is_refused_with_its_place),
        cmocka_unit_test(a_raw_nul_is_refused),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(brackets_inside_strings_do_not_nest),
        cmocka_unit_test(a_hundred_thousand_brackets_are_refused_not_recursed_into),
        cmocka_unit_test(right_values_arrive),
        cmocka_unit_test(wrong_values_are_named_and_leave_the_output_alone),
        cmocka_unit_test(a_missing_value_is_nothing),
        cmocka_unit_test(optional_values_may_be_absent_or_null_but_not_wrong),
        cmocka_unit_test(an_unknown_field_comes_with_a_suggestion),
        cmocka_unit_test(every_problem_is_collected_up_to_a_limit),
        cmocka_unit_test(pointers_escape_and_stay_utf8_when_cut),
        cmocka_unit_test(what_came_is_described_briefly_and_harmlessly),
        cmocka_unit_test(problems_become_a_list_for_the_answer),
        cmocka_unit_test(durations_go_there_and_back),
        cmocka_unit_test(what_is_no_duration_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
