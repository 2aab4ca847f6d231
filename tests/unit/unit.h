#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

/* unit.h - cmocka with what it needs, and assertions in this repository's words. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

/* The call succeeds; else its error is the test's message. */
#define assert_ok(call, err)                                                  \
    do {                                                                      \
        const enum status status_ = (call);                                   \
        if (status_ != STATUS_OK)                                             \
            fail_msg("%s: %s: %s", #call, status_name(status_), (err)->text); \
    } while (0)

/* The call fails with this status and exactly this text; the error is cleared for the next. */
#define assert_fails(call, err, expected_status, expected_text) \
    do {                                                        \
        assert_int_equal((call), (expected_status));            \
        assert_string_equal((err)->text, (expected_text));      \
        assert_int_equal((err)->status, (expected_status));     \
        error_clear(err);                                       \
    } while (0)

#endif
