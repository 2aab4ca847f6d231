#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "trainer/data/philox.h"

/* The known answers of Random123's kat_vectors for philox4x32 with 10 rounds. */
static void known_answers(void **state)
{
    (void)state;
    static const struct {
        struct philox_key key;
        uint64_t high, low;
        uint32_t expected[4];
    } cases[] = {
        {{{0, 0}}, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{{0xffffffff, 0xffffffff}},
         UINT64_MAX,
         UINT64_MAX,
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{{0xa4093822, 0x299f31d0}},
         UINT64_C(0x0370734413198a2e),
         UINT64_C(0x85a308d3243f6a88),
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t out[4];
        philox_4x32(cases[i].key, cases[i].high, cases[i].low, out);
        assert_memory_equal(out, cases[i].expected, sizeof(out));
    }
}

static void the_first_of_many_counters_is_that_of_each(void **state)
{
    (void)state;
    enum { COUNT = 77 };
    const struct philox_key key = philox_key_of(9, PHILOX_NEGATIVES);
    const uint64_t high = UINT64_C(0x0370734413198a2e);
    int32_t low[COUNT];
    uint32_t out[COUNT];
    for (int i = 0; i < COUNT; i++)
        low[i] = INT32_MAX / COUNT * i;
    philox_first(key, high, low, COUNT, out);
    for (int i = 0; i < COUNT; i++) {
        uint32_t numbers[4];
        philox_4x32(key, high, (uint64_t)low[i], numbers);
        assert_int_equal(out[i], numbers[0]);
    }
}

static void seeds_and_purposes_have_their_own_numbers(void **state)
{
    (void)state;
    const struct philox_key keys[] = {philox_key_of(1, PHILOX_SHUFFLE),
                                      philox_key_of(1, PHILOX_INIT), philox_key_of(2, PHILOX_INIT),
                                      philox_key_of(UINT64_C(1) << 32, PHILOX_INIT)};
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = i + 1; j < 4; j++)
            assert_memory_not_equal(&keys[i], &keys[j], sizeof(keys[i]));
    }
}

static void units_lie_in_the_half_open_interval(void **state)
{
    (void)state;
    assert_true(philox_unit(0) == 0.0F);
    assert_true(philox_unit(UINT32_MAX) < 1.0F);
    assert_true(philox_unit(UINT32_C(1) << 31) == 0.5F);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(the_first_of_many_counters_is_that_of_each),
        cmocka_unit_test(seeds_and_purposes_have_their_own_numbers),
        cmocka_unit_test(units_lie_in_the_half_open_interval),
    };
    return cmocka_run_group_tests_name("philox", tests, NULL, NULL);
}
