/* test_number.c - text to numbers, bit for bit what the C library gives, and moments in order. */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "trainer/data/number.h"

#define RANDOM_NUMBERS 400000

static uint64_t random_state;

static uint64_t random_bits(void)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return random_state ^ random_state >> 29;
}

static void check_same(const char *text)
{
    float single = -1.0F;
    double twice = -1.0;
    const float wanted_single = strtof(text, NULL);
    const double wanted_twice = strtod(text, NULL);
    const bool single_ok = number_parse_float(text, strlen(text), &single);
    const bool twice_ok = number_parse_double(text, strlen(text), &twice);
    if (single_ok != (isfinite(wanted_single) != 0) || twice_ok != (isfinite(wanted_twice) != 0))
        fail_msg("%s: taken %d %d", text, single_ok, twice_ok);
    if (single_ok && memcmp(&single, &wanted_single, sizeof(single)) != 0)
        fail_msg("%s: float %.9g, expected %.9g", text, (double)single, (double)wanted_single);
    if (twice_ok && memcmp(&twice, &wanted_twice, sizeof(twice)) != 0)
        fail_msg("%s: double %.17g, expected %.17g", text, twice, wanted_twice);
}

static void chosen_numbers_are_rounded_as_the_c_library_rounds_them(void **state)
{
    static const char *const texts[] = {
        "0",
        "-0",
        "+0",
        "0.0",
        "-0.0e5",
        "1",
        "-1",
        "+1.5",
        ".5",
        "5.",
        "00012",
        "1e5",
        "1E+5",
        "1e-5",
        "16777216",
        "16777217",
        "16777218",
        "16777219",
        "33554435",
        "1.00000005960464477",
        "1.000000059604644775390625",
        "1.0000000596046447753906250000000000000001",
        "1.000000059604644775390624999999",
        "340282346638528859811704183484516925440",
        "340282356779733661637539395458142568447",
        "340282356779733661637539395458142568448",
        "3.4028235e38",
        "3.5e38",
        "1e38",
        "1e39",
        "1e-37",
        "1.17549435e-38",
        "1.17549429e-38",
        "1e-45",
        "7e-46",
        "7.1e-46",
        "1e-46",
        "1e-400",
        "1e400",
        "-1e400",
        "1e-70",
        "1e70",
        "9007199254740993",
        "9007199254740992",
        "123456789012345678901234567890",
        "0.000000000000000000000000000000000000000000123456789012345678901234567890",
        "12345678901234567890123456789012345678e-30",
        "0e99999999999",
        "1e-99999999999",
        "99999999999999999999",
        "18446744073709551615",
        "18446744073709551616",
        "8.5e-39"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        check_same(texts[i]);
}

static void random_numbers_are_rounded_as_the_c_library_rounds_them(void **state)
{
    char text[80];
    (void)state;
    random_state = 1;
    for (int i = 0; i < RANDOM_NUMBERS; i++) {
        const uint64_t bits = random_bits();
        const uint32_t narrow = (uint32_t)bits;
        float single;
        double twice;
        memcpy(&single, &narrow, sizeof(single));
        memcpy(&twice, &bits, sizeof(twice));
        if (isfinite(single)) {
            (void)snprintf(text, sizeof(text), "%.*g", 1 + (int)(bits % 12), (double)single);
            check_same(text);
            /* the middle between two floats, and its neighbours among doubles */
            const double middle = ((double)single + (double)nextafterf(single, 0)) / 2;
            (void)snprintf(text, sizeof(text), "%.17g", middle);
            check_same(text);
            (void)snprintf(text, sizeof(text), "%.17g", nextafter(middle, bits & 1 ? 0 : 1e30));
            check_same(text);
        }
        if (isfinite(twice)) {
            (void)snprintf(text, sizeof(text), "%.17g", twice);
            check_same(text);
        }
        (void)snprintf(text, sizeof(text), "%lld.%llue%d", (long long)(bits % 100000),
                       (unsigned long long)(random_bits() >> (bits % 60)), (int)(bits % 90) - 45);
        check_same(text);
        (void)snprintf(text, sizeof(text), "%.4f", (double)(bits % 2000000) / 1000 - 1000);
        check_same(text);
    }
}

/* Of all that is read eight characters at a time: every length, and a point at every place of it. */
static void a_point_may_stand_anywhere_in_a_number_of_any_length(void **state)
{
    static const char *const ends[] = {"", "e-04", "e+07", "e-38", "E+19", "e5"};
    (void)state;
    for (int length = 1; length <= 26; length++) {
        for (int point = 0; point <= length; point++) {
            for (size_t end = 0; end < COUNT_OF(ends); end++) {
                char digits[32] = "", text[64];
                for (int i = 0; i < length; i++)
                    digits[i] = (char)('0' + (i * 7 + length + point) % 10);
                (void)snprintf(text, sizeof(text), "-%.*s.%s%s", point, digits, digits + point,
                               ends[end]);
                check_same(text);
                check_same(text + 1);
                (void)snprintf(text, sizeof(text), "%s%s", digits, ends[end]);
                check_same(text);
            }
        }
    }
}

/* Each character but digits, point, blanks and a sign in front, at every place. */
static void one_wrong_character_makes_it_no_number(void **state)
{
    (void)state;
    for (size_t length = 1; length <= 20; length++) {
        for (size_t at = 0; at < length; at++) {
            for (int wrong = 0; wrong < 256; wrong++) {
                char text[32] = "0123.456789012345678";
                float value = 7.0F;
                if (strchr("0123456789.eE+- \t\r", wrong) != NULL && wrong != '\0')
                    continue;
                text[at] = (char)wrong;
                if (number_parse_float(text, length, &value))
                    fail_msg("%d at %zu of %zu was taken", wrong, at, length);
                assert_true(value == 7.0F);
            }
        }
    }
}

static void what_is_no_decimal_number_is_refused(void **state)
{
    static const char *const texts[] = {"",         " ",          "-",
                                        "+",        ".",          "e5",
                                        "1e",       "1e+",        "1 2",
                                        "1,5",      "0x10",       "inf",
                                        "nan",      "1.2.3",      "--1",
                                        "1f",       "abc",        "1e5x",
                                        "1e5.",     "\xC2\xA0 1", "-.",
                                        "e-04",     "-e-04",      ".e-04",
                                        "1e-0x",    "1..5",       "12345678.123456.8",
                                        "1e-04e-04"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        float single = 7.0F;
        double twice = 7.0;
        if (number_parse_float(texts[i], strlen(texts[i]), &single) ||
            number_parse_double(texts[i], strlen(texts[i]), &twice))
            fail_msg("\"%s\" was taken", texts[i]);
        assert_true(single == 7.0F && twice == 7.0);
    }
}

static void blanks_around_a_number_are_passed_over(void **state)
{
    float value = 0;
    (void)state;
    assert_true(number_parse_float(" \t-2.5 \r", 8, &value));
    assert_true(value == -2.5F);
}

static void integers_are_taken_within_64_bits_only(void **state)
{
    int64_t value = 0;
    (void)state;
    assert_true(number_parse_int("-9223372036854775808", 20, &value) && value == INT64_MIN);
    assert_true(number_parse_int("9223372036854775807", 19, &value) && value == INT64_MAX);
    assert_false(number_parse_int("9223372036854775808", 19, &value));
    assert_false(number_parse_int("-9223372036854775809", 20, &value));
    assert_false(number_parse_int("", 0, &value));
    assert_false(number_parse_int("-", 1, &value));
    assert_false(number_parse_int("1.0", 3, &value));
    assert_true(number_parse_int("+12", 3, &value) && value == 12);
}

static void missing_values_are_known_by_their_words(void **state)
{
    static const char *const missing[] = {"", " ", "NA", "na", "NaN", "nan", "N/A", "null", "None"};
    static const char *const present[] = {"0", "n", "nano", "no", "-", "nul", "nulls"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(missing); i++)
        assert_true(number_is_missing(missing[i], strlen(missing[i])));
    for (size_t i = 0; i < COUNT_OF(present); i++)
        assert_false(number_is_missing(present[i], strlen(present[i])));
}

static uint64_t key_of(const char *text, bool is_text)
{
    uint64_t key = 0;
    bool found;
    if (!number_parse_time(text, strlen(text), &key, &found))
        fail_msg("%s is no time", text);
    assert_int_equal(found, is_text);
    return key;
}

static void moments_are_in_order(void **state)
{
    static const char *const numbers[] = {"-1e9", "-3", "-2.5", "0", "1e-9", "978300174", "1e18"};
    static const char *const texts[] = {"1699-12-31",
                                        "1970-01-01T00:00:00Z",
                                        "2000-02-29T23:59:59.999999999Z",
                                        "2000-03-01",
                                        "2026-11-24T11:30:00+02:00",
                                        "2026-11-24 10:26:14",
                                        "2026-11-24T10:26:14.5Z",
                                        "2026-11-24T09:27:00-01:00",
                                        "2200-01-01"};
    (void)state;
    for (size_t i = 1; i < COUNT_OF(numbers); i++)
        assert_true(key_of(numbers[i - 1], false) < key_of(numbers[i], false));
    for (size_t i = 1; i < COUNT_OF(texts); i++)
        assert_true(key_of(texts[i - 1], true) < key_of(texts[i], true));
    assert_true(key_of("-0", false) == key_of("0", false));
    assert_true(key_of("1970-01-01T00:00:01Z", true) - key_of("1970-01-01", true) == 1000000000);
    assert_true(key_of("2000-01-01", true) - key_of("1970-01-01", true) ==
                UINT64_C(946684800) * 1000000000);
}

static void what_is_no_moment_is_refused(void **state)
{
    static const char *const texts[] = {"",
                                        "yesterday",
                                        "2026-13-01",
                                        "2026-02-29",
                                        "2026-11-24T",
                                        "2026-11-24T10:26",
                                        "2026-1-1",
                                        "2026-11-24T25:00:00",
                                        "2026-11-24T10:26:14.Z",
                                        "20261124x",
                                        "2026-11-24T10:26:14+1",
                                        "0001-01-01"};
    uint64_t key = 0;
    bool is_text;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        if (number_parse_time(texts[i], strlen(texts[i]), &key, &is_text))
            fail_msg("\"%s\" was taken", texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chosen_numbers_are_rounded_as_the_c_library_rounds_them),
        cmocka_unit_test(random_numbers_are_rounded_as_the_c_library_rounds_them),
        cmocka_unit_test(a_point_may_stand_anywhere_in_a_number_of_any_length),
        cmocka_unit_test(one_wrong_character_makes_it_no_number),
        cmocka_unit_test(what_is_no_decimal_number_is_refused),
        cmocka_unit_test(blanks_around_a_number_are_passed_over),
        cmocka_unit_test(integers_are_taken_within_64_bits_only),
        cmocka_unit_test(missing_values_are_known_by_their_words),
        cmocka_unit_test(moments_are_in_order),
        cmocka_unit_test(what_is_no_moment_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
