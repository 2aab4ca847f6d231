/* test_protobuf.c - bytes as the encoding guide gives them. */
#include "tests/unit/unit.h"

#include <stdlib.h>

#include "trainer/export/protobuf.h"

#define BYTES_MAX 100000

static void check(const struct buf *buf, const char *expected, size_t expected_bytes)
{
    assert_int_equal(buf->failed, STATUS_OK);
    assert_int_equal(buf->size, expected_bytes);
    assert_memory_equal(buf->data, expected, expected_bytes);
}
#define CHECK(buf, literal) check((buf), (literal), sizeof(literal) - 1)

static void numbers_take_the_bytes_of_the_guide(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, BYTES_MAX);
    protobuf_varint(&buf, 1, 150);
    CHECK(&buf, "\x08\x96\x01");
    buf_reset(&buf);
    protobuf_varint(&buf, 16, 0);
    CHECK(&buf, "\x80\x01\x00");
    buf_reset(&buf);
    protobuf_int64(&buf, 1, -2);
    CHECK(&buf, "\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    buf_reset(&buf);
    protobuf_float(&buf, 2, 0.5F);
    CHECK(&buf, "\x15\x00\x00\x00\x3f");
    buf_reset(&buf);
    protobuf_double(&buf, 1, 1.0);
    CHECK(&buf, "\x09\x00\x00\x00\x00\x00\x00\xf0\x3f");
    buf_clear(&buf);
}

static void a_nested_message_has_the_shortest_length_whatever_its_size(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, BYTES_MAX);
    struct protobuf_mark outer = protobuf_begin(&buf, 3);
    protobuf_varint(&buf, 1, 150);
    protobuf_end(&buf, outer);
    CHECK(&buf, "\x1a\x03\x08\x96\x01");

    static const char filler[300] = {'x'};
    buf_reset(&buf);
    outer = protobuf_begin(&buf, 1);
    const struct protobuf_mark inner = protobuf_begin(&buf, 2);
    protobuf_bytes(&buf, 4, filler, sizeof(filler));
    protobuf_end(&buf, inner);
    protobuf_end(&buf, outer);
    assert_int_equal(buf.size, 3 * 3 + sizeof(filler));
    assert_memory_equal(buf.data, "\x0a\xb2\x02\x12\xaf\x02\x22\xac\x02x", 10);
    buf_clear(&buf);
}

static void a_message_that_does_not_fit_fails_as_a_whole(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    struct buf buf;
    buf_init(&buf, 4);
    const struct protobuf_mark mark = protobuf_begin(&buf, 1);
    protobuf_text(&buf, 1, "too long");
    protobuf_end(&buf, mark);
    assert_int_equal(buf_status(&buf, "message", &err), STATUS_TOO_LARGE);
    buf_clear(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_take_the_bytes_of_the_guide),
        cmocka_unit_test(a_nested_message_has_the_shortest_length_whatever_its_size),
        cmocka_unit_test(a_message_that_does_not_fit_fails_as_a_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
