#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

static void a_new_buffer_is_an_empty_string(void **state)
{
    (void)state;
    CLEANUP(buf_clear) struct buf buf;
    buf_init(&buf, 10);
    assert_int_equal(buf.size, 0);
    assert_string_equal(buf.data, "");
}

static void appends_add_up_to_a_string(void **state)
{
    (void)state;
    CLEANUP(buf_clear) struct buf buf;
    buf_init(&buf, 1000);
    buf_append_text(&buf, "job ");
    buf_printf(&buf, "%d of %s", 7, "many");
    buf_append(&buf, "\0x", 2);
    assert_int_equal(buf.size, strlen("job 7 of many") + 2);
    assert_memory_equal(buf.data, "job 7 of many\0x", buf.size + 1);
}

static void a_formatted_text_longer_than_the_room_is_whole(void **state)
{
    (void)state;
    CLEANUP(buf_clear) struct buf buf;
    buf_init(&buf, 100000);
    char word[5000];
    memset(word, 'w', sizeof(word) - 1);
    word[sizeof(word) - 1] = '\0';
    for (size_t i = 1; i <= 10; i++) {
        buf_printf(&buf, "%s", word);
        assert_int_equal(buf.size, i * (sizeof(word) - 1));
        assert_int_equal(strlen(buf.data), buf.size);
    }
}

static void exactly_the_maximum_fits(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    CLEANUP(buf_clear) struct buf buf;
    buf_init(&buf, 5);
    buf_append_text(&buf, "12345");
    assert_ok(buf_status(&buf, "answer", &err), &err);
    assert_string_equal(buf.data, "12345");
}

static void the_first_append_over_the_maximum_ends_all_later_ones(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    CLEANUP(buf_clear) struct buf buf;
    buf_init(&buf, 5);
    buf_append_text(&buf, "123");
    buf_append_text(&buf, "456");
    buf_append_text(&buf, "4");
    buf_printf(&buf, "5");
    assert_string_equal(buf.data, "123");
    assert_fails(buf_status(&buf, "answer", &err), &err, STATUS_TOO_LARGE,
                 "answer is over 5 bytes");
}

static void a_formatted_text_over_the_maximum_changes_nothing(void **state)
{
    (void)state;
    CLEANUP(buf_clear) struct buf buf;
    buf_init(&buf, 70);
    buf_append_text(&buf, "123");
    buf_printf(&buf, "%0100d", 1);
    assert_int_equal(buf.failed, STATUS_TOO_LARGE);
    assert_string_equal(buf.data, "123");
}

static void a_reset_buffer_forgets_its_failure(void **state)
{
    (void)state;
    CLEANUP(buf_clear) struct buf buf;
    buf_init(&buf, 2);
    buf_append_text(&buf, "123");
    buf_reset(&buf);
    buf_append_text(&buf, "12");
    assert_int_equal(buf.failed, STATUS_OK);
    assert_string_equal(buf.data, "12");
}

static void consuming_moves_the_rest_to_the_front(void **state)
{
    (void)state;
    CLEANUP(buf_clear) struct buf buf;
    buf_init(&buf, 100);
    buf_append_text(&buf, "line\nrest");
    buf_consume(&buf, 5);
    assert_string_equal(buf.data, "rest");
    buf_consume(&buf, 0);
    buf_consume(&buf, 4);
    assert_string_equal(buf.data, "");
    buf_consume(&buf, 0);
}

static void taken_bytes_belong_to_the_taker(void **state)
{
    (void)state;
    CLEANUP(buf_clear) struct buf buf;
    buf_init(&buf, 100);
    buf_append_text(&buf, "mine");
    char *taken = buf_take(&buf);
    buf_append_text(&buf, "next");
    assert_string_equal(taken, "mine");
    assert_string_equal(buf.data, "next");
    free(taken);
}

static void an_empty_buffer_can_be_taken(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 100);
    char *taken = buf_take(&buf);
    assert_string_equal(taken, "");
    free(taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_buffer_is_an_empty_string),
        cmocka_unit_test(appends_add_up_to_a_string),
        cmocka_unit_test(a_formatted_text_longer_than_the_room_is_whole),
        cmocka_unit_test(exactly_the_maximum_fits),
        cmocka_unit_test(the_first_append_over_the_maximum_ends_all_later_ones),
        cmocka_unit_test(a_formatted_text_over_the_maximum_changes_nothing),
        cmocka_unit_test(a_reset_buffer_forgets_its_failure),
        cmocka_unit_test(consuming_moves_the_rest_to_the_front),
        cmocka_unit_test(taken_bytes_belong_to_the_taker),
        cmocka_unit_test(an_empty_buffer_can_be_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
