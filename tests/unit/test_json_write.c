#include "tests/unit/unit.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/json.h"

static void assert_rewritten(const char *text, const char *canonical)
{
    struct error err = {.status = STATUS_OK};
    CLEANUP(json_cleanup) json_t *document = NULL;
    assert_ok(json_parse(text, strlen(text), &document, &err), &err);
    char *written = json_canonical(document);
    assert_string_equal(written, canonical);
    free(written);
}

static void canonical_text_has_sorted_keys_and_no_spaces(void **state)
{
    (void)state;
    assert_rewritten(" { \"b\" : [ 1 , { \"z\":null, \"a\":true } ], \"a\" : false } ",
                     "{\"a\":false,\"b\":[1,{\"a\":true,\"z\":null}]}");
    assert_rewritten("{\"b\":1,\"B\":2,\"a\":3,\"\xc3\xa9\":4,\"ab\":5}",
                     "{\"B\":2,\"a\":3,\"ab\":5,\"b\":1,\"\xc3\xa9\":4}");
    assert_rewritten("[]", "[]");
    assert_rewritten("{}", "{}");
}

static void plain_text_keeps_the_order(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    CLEANUP(json_cleanup) json_t *document = NULL;
    assert_ok(json_parse("{\"b\":1,\"a\":[2]}", 15, &document, &err), &err);
    char *written = json_text(document);
    assert_string_equal(written, "{\"b\":1,\"a\":[2]}");
    free(written);
}

static void numbers_are_their_shortest_digits(void **state)
{
    (void)state;
    assert_rewritten("[0.1, 0.9, 1e-8, 1.0, -0.0, 3.141592653589793, 1E3, 5e-324]",
                     "[0.1,0.9,1e-08,1.0,-0.0,3.141592653589793,1000.0,4.94065645841247e-324]");
    assert_rewritten("[9223372036854775807, -9223372036854775808]",
                     "[9223372036854775807,-9223372036854775808]");
}

static void any_double_reads_back_as_itself(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int i = 0; i < 20000; i++) {
        const uint64_t bits = splitmix64_next(&seed);
        double value = 0;
        memcpy(&value, &bits, sizeof(value));
        if (!isfinite(value))
            continue;
        CLEANUP(buf_clear) struct buf text;
        buf_init(&text, 64);
        json_append_double(&text, value);
        assert_true(strtod(text.data, NULL) == value);
    }
}

static void a_number_that_is_not_finite_is_null(void **state)
{
    (void)state;
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, 64);
    json_append_double(&text, NAN);
    json_append_double(&text, INFINITY);
    json_append_double(&text, -INFINITY);
    assert_string_equal(text.data, "nullnullnull");
}

static void strings_are_escaped(void **state)
{
    (void)state;
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, 256);
    json_append_string(&text, "\"\\/\b\f\n\r\t\x01\x1f\x7f \xc3\xa9\xf0\x9f\x98\x80");
    assert_string_equal(text.data, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f "
                                   "\xc3\xa9\xf0\x9f\x98\x80\"");
}

static void bytes_that_are_not_utf8_are_replaced(void **state)
{
    (void)state;
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, 256);
    json_append_string(&text, "a\xff"
                              "b\xc3");
    assert_string_equal(text.data, "\"a\xef\xbf\xbd"
                                   "b\xef\xbf\xbd\"");
}

static void a_text_over_the_limit_of_its_buffer_fails(void **state)
{
    (void)state;
    CLEANUP(json_cleanup) json_t *value = json_pack("[s]", "0123456789");
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, 8);
    json_append(&text, value);
    assert_int_equal(text.failed, STATUS_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canonical_text_has_sorted_keys_and_no_spaces),
        cmocka_unit_test(plain_text_keeps_the_order),
        cmocka_unit_test(numbers_are_their_shortest_digits),
        cmocka_unit_test(any_double_reads_back_as_itself),
        cmocka_unit_test(a_number_that_is_not_finite_is_null),
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(bytes_that_are_not_utf8_are_replaced),
        cmocka_unit_test(a_text_over_the_limit_of_its_buffer_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
