#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "cli/output.h"

static json_t *sample(void)
{
    json_t *root = json_loads("{\"id\":\"job_1\",\"progress\":{\"step\":812},\"loss\":0.25,"
                              "\"attempts\":[{\"state\":\"ended\"},{\"state\":\"running\"}],"
                              "\"none\":null,\"from\":\"2026-11-24T07:12:00.123Z\","
                              "\"to\":\"2026-11-24T07:12:01.023Z\"}",
                              0, NULL);
    assert_non_null(root);
    return root;
}

static void a_path_leads_to_its_value(void **state)
{
    (void)state;
    CLEANUP(json_cleanup) json_t *root = sample();
    assert_int_equal(field_number(root, "progress.step", -1), 812);
    assert_string_equal(field_text(root, "attempts.0.state", ""), "ended");
    assert_string_equal(field_text(root, "attempts.-1.state", ""), "running");
    assert_true(field_decimal(root, "loss", 0) > 0.2);
}

static void a_path_to_nothing_is_nothing(void **state)
{
    (void)state;
    static const char *const paths[] = {"other",      "progress.other", "attempts.2", "attempts.-3",
                                        "attempts.x", "id.more",        "none.more"};
    CLEANUP(json_cleanup) json_t *root = sample();
    for (size_t i = 0; i < COUNT_OF(paths); i++)
        assert_null(field_find(root, paths[i]));
    assert_string_equal(field_text(root, "progress.step", "no text"), "no text");
    assert_int_equal(field_number(root, "id", -1), -1);
}

static void print_span(int64_t span_ms, const char *expected)
{
    CLEANUP(buf_clear) struct buf out;
    buf_init(&out, 64);
    format_span(span_ms, &out);
    assert_string_equal(out.data, expected);
}

static void a_span_is_shown_in_the_unit_that_people_think_in(void **state)
{
    (void)state;
    print_span(0, "0 ms");
    print_span(999, "999 ms");
    print_span(1000, "1.0 s");
    print_span(59949, "59.9 s");
    print_span(125000, "2m05s");
    print_span(3 * 3600000 + 10 * 60000, "3h10m");
    print_span(72LL * 3600000, "3d");
}

static void print_bytes(int64_t bytes, const char *expected)
{
    CLEANUP(buf_clear) struct buf out;
    buf_init(&out, 64);
    format_bytes(bytes, &out);
    assert_string_equal(out.data, expected);
}

static void bytes_are_shown_in_binary_units(void **state)
{
    (void)state;
    print_bytes(0, "0 B");
    print_bytes(1023, "1023 B");
    print_bytes(1024, "1.0 KiB");
    print_bytes(407592, "398 KiB");
    print_bytes(5LL << 30, "5.0 GiB");
}

static void the_time_between_two_fields_is_in_milliseconds(void **state)
{
    (void)state;
    CLEANUP(json_cleanup) json_t *root = sample();
    assert_int_equal(span_between(root, "from", "to"), 900);
    assert_int_equal(span_between(root, "from", "none"), -1);
    assert_int_equal(parse_time("yesterday"), -1);
    assert_int_equal(parse_time(NULL), -1);
}

static void a_value_prints_as_plain_text(void **state)
{
    (void)state;
    CLEANUP(json_cleanup) json_t *root = sample();
    static const char *const expected[][2] = {{"id", "job_1"},
                                              {"progress", "{\"step\":812}"},
                                              {"loss", "0.25"},
                                              {"none", ""},
                                              {"other", ""}};
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        CLEANUP(buf_clear) struct buf out;
        buf_init(&out, 64);
        field_print(field_find(root, expected[i][0]), &out);
        assert_string_equal(out.data, expected[i][1]);
    }
}

static void without_a_terminal_no_state_has_a_colour(void **state)
{
    (void)state;
    const struct cli pipe = {.program = "test"};
    const struct cli terminal = {.program = "test", .colour = true};
    assert_string_equal(colour_of_state(&pipe, "failed"), "");
    assert_string_equal(colour_off(&pipe), "");
    assert_true(colour_of_state(&terminal, "failed")[0] == '\x1b');
    assert_string_equal(colour_of_state(&terminal, "unheard of"), "");
}

/* What a table of one row looks like on a terminal of this width. */
static void print_row_at(int width, char out[256])
{
    static const struct column columns[] = {
        {.title = "NAME", .path = "name"}, {.title = "STEP", .path = "step", .right = true}, {0}};
    const struct cli cli = {.output = OUTPUT_TABLE, .width = width};
    CLEANUP(json_cleanup)
    json_t *items = json_pack("[{s:s, s:s}]", "name", "digits", "step", "12/40000");
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stdout);
    const int kept = dup(STDOUT_FILENO);
    assert_true(dup2(fileno(file), STDOUT_FILENO) >= 0);
    print_list(&cli, columns, "name", items);
    fflush(stdout);
    assert_true(dup2(kept, STDOUT_FILENO) >= 0);
    close(kept);
    rewind(file);
    out[fread(out, 1, 255, file)] = 0;
    fclose(file);
}

static void a_cell_that_a_terminal_has_no_room_for_is_shown_to_be_cut(void **state)
{
    (void)state;
    char text[256];
    print_row_at(0, text); /* a pipe */
    assert_string_equal(text, "NAME        STEP\ndigits  12/40000\n");
    print_row_at(16, text);
    assert_string_equal(text, "NAME        STEP\ndigits  12/40000\n");
    print_row_at(15, text);
    assert_string_equal(text, "NAME        ST…\ndigits  12/400…\n");
    print_row_at(5, text);
    assert_string_equal(text, "NAME \ndigi…\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_leads_to_its_value),
        cmocka_unit_test(a_path_to_nothing_is_nothing),
        cmocka_unit_test(a_span_is_shown_in_the_unit_that_people_think_in),
        cmocka_unit_test(bytes_are_shown_in_binary_units),
        cmocka_unit_test(the_time_between_two_fields_is_in_milliseconds),
        cmocka_unit_test(a_value_prints_as_plain_text),
        cmocka_unit_test(without_a_terminal_no_state_has_a_colour),
        cmocka_unit_test(a_cell_that_a_terminal_has_no_room_for_is_shown_to_be_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
