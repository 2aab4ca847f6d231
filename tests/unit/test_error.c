#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

static void the_first_error_wins(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    assert_int_equal(error_set(&err, STATUS_NOT_FOUND, "job %s", "a"), STATUS_NOT_FOUND);
    assert_int_equal(error_set(&err, STATUS_CONFLICT, "job %s", "b"), STATUS_CONFLICT);
    assert_int_equal(error_set_errno(&err, STATUS_INTERNAL, EIO, "job c"), STATUS_INTERNAL);
    assert_int_equal(err.status, STATUS_NOT_FOUND);
    assert_string_equal(err.text, "job a");
}

static void a_cleared_error_takes_the_next_one(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    (void)error_set(&err, STATUS_NOT_FOUND, "a");
    error_clear(&err);
    assert_int_equal(err.status, STATUS_OK);
    assert_string_equal(err.text, "");
    (void)error_set(&err, STATUS_BUSY, "b");
    assert_string_equal(err.text, "b");
    error_clear(NULL);
}

static void a_caller_without_an_error_still_gets_the_status(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, STATUS_BUSY, "queue"), STATUS_BUSY);
    assert_int_equal(error_set_errno(NULL, STATUS_CORRUPT, EIO, "file"), STATUS_CORRUPT);
}

static void an_errno_is_appended_as_words(void **state)
{
    (void)state;
    struct error err = {.status = STATUS_OK};
    assert_fails(error_set_errno(&err, STATUS_NOT_FOUND, ENOENT, "open %s", "/x"), &err,
                 STATUS_NOT_FOUND, "open /x: No such file or directory");
}

static void a_long_text_is_cut_and_terminated(void **state)
{
    (void)state;
    char name[2 * ERROR_TEXT_BYTES_MAX];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    struct error err = {.status = STATUS_OK};
    (void)error_set_errno(&err, STATUS_INVALID, ENOENT, "%s", name);
    assert_int_equal(strlen(err.text), ERROR_TEXT_BYTES_MAX - 1);
}

static void file_errors_map_to_what_someone_does_next(void **state)
{
    (void)state;
    assert_int_equal(status_of_errno(ENOENT), STATUS_NOT_FOUND);
    assert_int_equal(status_of_errno(EACCES), STATUS_FORBIDDEN);
    assert_int_equal(status_of_errno(EEXIST), STATUS_CONFLICT);
    assert_int_equal(status_of_errno(ENOSPC), STATUS_NO_SPACE);
    assert_int_equal(status_of_errno(EDQUOT), STATUS_NO_SPACE);
    assert_int_equal(status_of_errno(ENOMEM), STATUS_NO_MEMORY);
    assert_int_equal(status_of_errno(EIO), STATUS_INTERNAL);
}

static void every_status_has_its_own_word(void **state)
{
    (void)state;
    for (int a = 0; a < STATUS_COUNT; a++) {
        assert_non_null(status_name((enum status)a));
        for (int b = 0; b < a; b++)
            assert_string_not_equal(status_name((enum status)a), status_name((enum status)b));
    }
}

static enum status fails_after_try(bool *out_reached)
{
    TRY(STATUS_OK);
    TRY(error_set(NULL, STATUS_BUSY, "queue"));
    *out_reached = true;
    return STATUS_OK;
}

static void try_returns_the_failure(void **state)
{
    (void)state;
    bool reached = false;
    assert_int_equal(fails_after_try(&reached), STATUS_BUSY);
    assert_false(reached);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_error_wins),
        cmocka_unit_test(a_cleared_error_takes_the_next_one),
        cmocka_unit_test(a_caller_without_an_error_still_gets_the_status),
        cmocka_unit_test(an_errno_is_appended_as_words),
        cmocka_unit_test(a_long_text_is_cut_and_terminated),
        cmocka_unit_test(file_errors_map_to_what_someone_does_next),
        cmocka_unit_test(every_status_has_its_own_word),
        cmocka_unit_test(try_returns_the_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
