#include "tests/unit/unit.h"

#include "base/clock.h"

static const struct {
    int64_t ms;
    const char *text;
} instants[] = {
    {0, "1970-01-01T00:00:00.000Z"},
    {INT64_C(1795504320123), "2026-11-24T07:12:00.123Z"},
    {INT64_C(951782400000), "2000-02-29T00:00:00.000Z"},
    {INT64_C(4107542400000), "2100-03-01T00:00:00.000Z"},
    {-1, "1969-12-31T23:59:59.999Z"},
    {CLOCK_WALL_MS_MIN, "0000-01-01T00:00:00.000Z"},
    {CLOCK_WALL_MS_MAX, "9999-12-31T23:59:59.999Z"},
};

static void instants_are_written_and_read_alike(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(instants); i++) {
        char text[CLOCK_RFC3339_BYTES];
        clock_format_rfc3339(instants[i].ms, text);
        assert_string_equal(text, instants[i].text);
        int64_t ms = 0;
        assert_true(clock_parse_rfc3339(text, &ms));
        assert_int_equal(ms, instants[i].ms);
    }
}

static void every_day_of_five_centuries_follows_the_day_before(void **state)
{
    (void)state;
    char before[CLOCK_RFC3339_BYTES] = "";
    for (int64_t day = -100000; day < 100000; day++) {
        char text[CLOCK_RFC3339_BYTES];
        int64_t ms = 0;
        clock_format_rfc3339(day * 86400000, text);
        assert_true(strcmp(before, text) < 0);
        assert_true(clock_parse_rfc3339(text, &ms));
        assert_int_equal(ms, day * 86400000);
        memcpy(before, text, sizeof(before));
    }
}

static void offsets_and_fractions_are_understood(void **state)
{
    (void)state;
    int64_t ms = 0;
    assert_true(clock_parse_rfc3339("1970-01-01T01:00:00+01:00", &ms));
    assert_int_equal(ms, 0);
    assert_true(clock_parse_rfc3339("1969-12-31 19:30:00.5-04:30", &ms));
    assert_int_equal(ms, 500);
    assert_true(clock_parse_rfc3339("1970-01-01t00:00:00.123999z", &ms));
    assert_int_equal(ms, 123);
    assert_true(clock_parse_rfc3339("2016-12-31T23:59:60Z", &ms)); /* a leap second */
}

static void what_is_no_time_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "2026",
        "2026-11-24",
        "2026-11-24T07:12:00",
        "2026-11-24T07:12:00.Z",
        "2026-11-24T07:12:00ZZ",
        "2026-11-24T24:00:00Z",
        "2026-11-24T07:60:00Z",
        "2026-11-24T07:12:61Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-1-01T00:00:00Z",
        "2026-11-24T07:12:00+24:00",
        "2026-11-24T07:12:00+1:00",
        "+026-11-24T07:12:00Z",
        "0000-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        int64_t ms = 42;
        assert_false(clock_parse_rfc3339(bad[i], &ms));
        assert_int_equal(ms, 42);
    }
}

static void waits_are_at_least_as_long_as_asked(void **state)
{
    (void)state;
    const int64_t start_ns = clock_mono_ns();
    const int64_t start_boot_ms = clock_boot_ms();
    clock_sleep_ms(20);
    clock_sleep_ms(0);
    clock_sleep_ms(-5);
    assert_true(clock_mono_ns() - start_ns >= INT64_C(20000000));
    assert_true(clock_boot_ms() >= start_boot_ms + 19);
    assert_true(clock_mono_ms() > 0);
    assert_true(clock_wall_ms() > INT64_C(1600000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(instants_are_written_and_read_alike),
        cmocka_unit_test(every_day_of_five_centuries_follows_the_day_before),
        cmocka_unit_test(offsets_and_fractions_are_understood),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(waits_are_at_least_as_long_as_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
