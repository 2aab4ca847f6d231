#include "tests/unit/unit.h"

#include <jansson.h>
#include <math.h>

#include "base/clock.h"
#include "base/json.h"
#include "service/api/out.h"

static void a_document_is_written_as_it_is_read(void **state)
{
    (void)state;
    CLEANUP(buf_clear) struct buf buf;
    buf_init(&buf, 4096);
    struct out out = out_to(&buf);
    out_open_object(&out, NULL);
    out_text(&out, "text", "a\"b\\c\n\t\x01 \xc3\xa4");
    out_text_or_null(&out, "empty", "");
    out_int(&out, "int", INT64_MIN);
    out_number(&out, "number", 0.1);
    out_number(&out, "whole", 3);
    out_number(&out, "nan", NAN);
    out_bool(&out, "yes", true);
    out_time(&out, "never", 0);
    out_time(&out, "then", 1);
    out_time(&out, "before", CLOCK_WALL_MS_MIN - 1);
    out_time(&out, "after", CLOCK_WALL_MS_MAX + 1);
    out_open_array(&out, "list");
    out_open_object(&out, NULL);
    out_close_object(&out);
    out_open_array(&out, NULL);
    out_close_array(&out);
    out_raw(&out, NULL, "{\"raw\":1}", 9);
    out_close_array(&out);
    out_null(&out, "last");
    out_close_object(&out);
    assert_string_equal(buf.data,
                        "{\"text\":\"a\\\"b\\\\c\\n\\t\\u0001 \xc3\xa4\",\"empty\":null,"
                        "\"int\":-9223372036854775808,\"number\":0.1,\"whole\":3.0,\"nan\":null,"
                        "\"yes\":true,\"never\":null,\"then\":\"1970-01-01T00:00:00.001Z\","
                        "\"before\":null,\"after\":null,"
                        "\"list\":[{},[],{\"raw\":1}],\"last\":null}");
    json_error_t error;
    CLEANUP(json_cleanup) json_t *document = json_loads(buf.data, 0, &error);
    assert_non_null(document);
    assert_string_equal(json_string_value(json_object_get(document, "text")),
                        "a\"b\\c\n\t\x01 \xc3\xa4");
}

/* The end of a longer text, as a row of a fixed size has it. */
static void a_text_that_was_cut_within_a_character_is_still_json(void **state)
{
    (void)state;
    CLEANUP(buf_clear) struct buf buf;
    buf_init(&buf, 4096);
    struct out out = out_to(&buf);
    out_open_object(&out, NULL);
    out_text(&out, "detail", "no file \xf0\x9f\x98");
    out_close_object(&out);
    json_error_t error;
    CLEANUP(json_cleanup) json_t *document = json_loads(buf.data, 0, &error);
    assert_non_null(document);
}

static void a_number_comes_back_as_it_was(void **state)
{
    (void)state;
    static const double numbers[] = {0.0,           -0.0,      1.0 / 3, 1e300, 5e-324,
                                     123456789.123, 0.1 + 0.2, 1e22,    -2.5};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        CLEANUP(buf_clear) struct buf buf;
        buf_init(&buf, 256);
        struct out out = out_to(&buf);
        out_open_array(&out, NULL);
        out_number(&out, NULL, numbers[i]);
        out_close_array(&out);
        json_error_t error;
        CLEANUP(json_cleanup) json_t *document = json_loads(buf.data, 0, &error);
        const json_t *value = json_array_get(document, 0);
        if (!json_is_real(value) || json_real_value(value) < numbers[i] ||
            json_real_value(value) > numbers[i])
            fail_msg("%s is not %.17g", buf.data, numbers[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_is_written_as_it_is_read),
        cmocka_unit_test(a_text_that_was_cut_within_a_character_is_still_json),
        cmocka_unit_test(a_number_comes_back_as_it_was),
    };
    return cmocka_run_group_tests_name("api_out", tests, NULL, NULL);
}
