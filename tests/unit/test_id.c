#include "tests/unit/unit.h"

#include "base/id.h"

static void an_id_is_prefix_time_and_chance(void **state)
{
    (void)state;
    char id[ID_BYTES_MAX];
    id_format(id, "job", 0, 0);
    assert_string_equal(id, "job_0000000000000000000000");
    id_format(id, "job", 1, 31);
    assert_string_equal(id, "job_000000000100000000000z");
    id_format(id, "node", 32, (UINT64_C(1) << 60) - 1);
    assert_string_equal(id, "node_0000000010zzzzzzzzzzzz");
}

static void text_order_is_creation_order(void **state)
{
    (void)state;
    char before[ID_BYTES_MAX] = "";
    for (int64_t ms = INT64_C(1795504320123); ms < INT64_C(1795504320123) + 5000; ms++) {
        char id[ID_BYTES_MAX];
        id_format(id, "job", ms, random_u64());
        assert_true(strcmp(before, id) < 0);
        memcpy(before, id, sizeof(before));
    }
}

static void own_ids_are_valid_and_others_are_not(void **state)
{
    (void)state;
    char id[ID_BYTES_MAX];
    id_format(id, "job", INT64_C(1795504320123), random_u64());
    assert_true(id_is_valid(id, "job"));
    assert_false(id_is_valid(id, "node"));
    assert_false(id_is_valid(id, "jo"));
    assert_false(id_is_valid("", "job"));
    assert_false(id_is_valid("job_", "job"));
    assert_false(id_is_valid("job_00000000000000000000000", "job")); /* one too many */
    assert_false(id_is_valid("job_000000000000000000000", "job"));   /* one too few */
    assert_false(id_is_valid("job_00000000000000000000il", "job"));  /* not in the alphabet */
    assert_false(id_is_valid("job_0000000000000000000A00", "job"));
    assert_false(id_is_valid("job_../../../../../../etc", "job"));
}

static void random_values_differ(void **state)
{
    (void)state;
    uint64_t seen[64];
    for (size_t i = 0; i < COUNT_OF(seen); i++) {
        seen[i] = random_u64();
        for (size_t k = 0; k < i; k++)
            assert_true(seen[i] != seen[k]);
    }
}

static void splitmix_gives_its_published_sequence(void **state)
{
    (void)state;
    uint64_t seed = 1234567;
    assert_true(splitmix64_next(&seed) == UINT64_C(6457827717110365317));
    assert_true(splitmix64_next(&seed) == UINT64_C(3203168211198807973));
    assert_true(splitmix64_next(&seed) == UINT64_C(9817491932198370423));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_prefix_time_and_chance),
        cmocka_unit_test(text_order_is_creation_order),
        cmocka_unit_test(own_ids_are_valid_and_others_are_not),
        cmocka_unit_test(random_values_differ),
        cmocka_unit_test(splitmix_gives_its_published_sequence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
