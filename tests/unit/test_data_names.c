/* test_data_names.c - the numbered strings of a vocabulary. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "trainer/data/names.h"

static uint32_t add(struct names *names, const char *text)
{
    uint32_t number = UINT32_MAX;
    struct error err = {.status = STATUS_OK};
    assert_ok(names_add(names, text, strlen(text), "words", &number, &err), &err);
    return number;
}

static void a_string_keeps_the_number_that_it_got_first(void **state)
{
    (void)state;
    CLEANUP(names_clear) struct names names = {0};
    enum { MANY = 5000 }; /* the table grows several times */
    char text[16];
    for (uint32_t i = 0; i < MANY; i++) {
        (void)snprintf(text, sizeof(text), "w%u", i);
        assert_int_equal(add(&names, text), i);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        size_t size = 0;
        (void)snprintf(text, sizeof(text), "w%u", i);
        assert_int_equal(add(&names, text), i);
        assert_int_equal(names_find(&names, text, strlen(text)), i);
        const char *found = names_at(&names, i, &size);
        assert_int_equal(size, strlen(text));
        assert_memory_equal(found, text, size);
    }
    assert_int_equal(names_find(&names, "x", 1), -1);
}

static void the_empty_string_is_a_string_even_alone(void **state)
{
    (void)state;
    CLEANUP(names_clear) struct names names = {0};
    assert_int_equal(names_find(&names, "", 0), -1);
    assert_int_equal(add(&names, ""), 0);
    assert_int_equal(add(&names, ""), 0);
    assert_int_equal(names_find(&names, "", 0), 0);
    size_t size = 1;
    assert_non_null(names_at(&names, 0, &size));
    assert_int_equal(size, 0);
    assert_int_equal(add(&names, "a"), 1);
    assert_int_equal(add(&names, ""), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_string_keeps_the_number_that_it_got_first),
        cmocka_unit_test(the_empty_string_is_a_string_even_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
