#include "tests/unit/unit.h"

#include "base/text.h"

static void what_fits_is_copied_whole(void **state)
{
    (void)state;
    char out[5];
    assert_true(text_copy(out, sizeof(out), "four"));
    assert_string_equal(out, "four");
    assert_true(text_copy(out, sizeof(out), ""));
    assert_string_equal(out, "");
}

static void what_does_not_fit_is_cut_between_characters(void **state)
{
    (void)state;
    char out[5];
    assert_false(text_copy(out, sizeof(out), "fiver"));
    assert_string_equal(out, "five");
    assert_false(text_copy(out, sizeof(out), "abc\xc3\xa9"));
    assert_string_equal(out, "abc");
    assert_false(text_copy(out, sizeof(out), "a\xf0\x9f\x98\x80"));
    assert_string_equal(out, "a");
    assert_false(text_copy(out, 1, "x"));
    assert_string_equal(out, "");
}

static void a_partial_character_at_the_end_is_dropped(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *kept;
    } cases[] = {{"", ""},
                 {"abc", "abc"},
                 {"a\xc3\xa9", "a\xc3\xa9"},
                 {"a\xc3", "a"},
                 {"a\xe2\x82", "a"},
                 {"a\xf0\x9f\x98", "a"},
                 {"\xe2", ""},
                 {"\xe2\x82\xac", "\xe2\x82\xac"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[16];
        assert_true(text_copy(text, sizeof(text), cases[i].text));
        text_drop_partial(text);
        assert_string_equal(text, cases[i].kept);
    }
}

static void a_printable_text_has_no_controls_and_no_broken_bytes(void **state)
{
    (void)state;
    char text[] = "a\x1b[31m\n\x7f\xc3\xa9\xff\xe2\x82z";
    text_make_printable(text);
    assert_string_equal(text, "a?[31m??\xc3\xa9???z");
}

static void utf8_is_told_from_other_bytes(void **state)
{
    (void)state;
    static const char *const good[] = {
        "", "plain", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {
        "\x80",
        "\xc3",
        "\xc0\xaf",
        "\xc1\xbf",
        "\xe0\x80\x80",
        "\xed\xa0\x80",
        "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
        "a\xe2\x82",
        "\xe2(\xa1",
    };
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_true(text_is_utf8(good[i], strlen(good[i])));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(text_is_utf8(bad[i], strlen(bad[i])));
}

static void a_misspelled_word_finds_its_neighbour(void **state)
{
    (void)state;
    static const char *const words[] = {"ranks", "device", "memory_bytes", "time_limit", NULL};
    assert_string_equal(text_closest(words, "rank"), "ranks");
    assert_string_equal(text_closest(words, "rnaks"), "ranks"); /* neighbours swapped */
    assert_string_equal(text_closest(words, "devise"), "device");
    assert_string_equal(text_closest(words, "memory_byte"), "memory_bytes");
    assert_string_equal(text_closest(words, "timelimit"), "time_limit");
    assert_null(text_closest(words, "gpu"));
    assert_null(text_closest(words, ""));
    assert_null(text_closest(words, "colour"));
}

static void a_very_long_word_has_no_neighbour(void **state)
{
    (void)state;
    static const char *const words[] = {"ranks", NULL};
    char word[1000];
    memset(word, 'r', sizeof(word) - 1);
    word[sizeof(word) - 1] = '\0';
    assert_null(text_closest(words, word));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_is_copied_whole),
        cmocka_unit_test(what_does_not_fit_is_cut_between_characters),
        cmocka_unit_test(a_partial_character_at_the_end_is_dropped),
        cmocka_unit_test(a_printable_text_has_no_controls_and_no_broken_bytes),
        cmocka_unit_test(utf8_is_told_from_other_bytes),
        cmocka_unit_test(a_misspelled_word_finds_its_neighbour),
        cmocka_unit_test(a_very_long_word_has_no_neighbour),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
