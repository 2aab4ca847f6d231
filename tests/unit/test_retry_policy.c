/* What counts against whom, and how long a job waits. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/brain/ending.h"
#include "service/brain/retry_policy.h"

enum kind { FAILS, FREE, JOB, INFRA };

/* clang-format off */
static const struct {
    enum reason reason;
    enum kind kind;
} expected[REASON_COUNT] = {
    {REASON_NONE, FAILS}, {REASON_DONE, FAILS}, {REASON_BAD_SPEC, FAILS}, {REASON_BAD_DATA, FAILS},
    {REASON_PEER_LOST, INFRA}, {REASON_INTERNAL, JOB}, {REASON_DEVICE_FAULT, INFRA},
    {REASON_CANNOT_WRITE, INFRA}, {REASON_STOPPED, FREE}, {REASON_FENCED, INFRA}, {REASON_KILLED, JOB},
    {REASON_OOM, JOB}, {REASON_HANG, JOB}, {REASON_NODE_LOST, INFRA}, {REASON_NODE_REBOOTED, INFRA},
    {REASON_NODE_FENCED, INFRA}, {REASON_RUNNER_LOST, INFRA}, {REASON_START_FAILED, INFRA},
    {REASON_START_TIMEOUT, INFRA}, {REASON_PORT_IN_USE, INFRA}, {REASON_DATA_MISSING, INFRA},
    {REASON_CHECKPOINT_CORRUPT, INFRA}, {REASON_NO_RESULT, JOB}, {REASON_DRAINED, FREE},
    {REASON_PREEMPTED, FREE}, {REASON_CANCELLED, FAILS}, {REASON_TIME_LIMIT, FAILS},
    {REASON_RESTARTS_EXHAUSTED, FAILS}, {REASON_CRASH_LOOP, FAILS},
};
/* clang-format on */

static void every_reason_is_charged_as_documented(void **state)
{
    (void)state;
    for (int i = 0; i < REASON_COUNT; i++) {
        assert_int_equal(expected[i].reason, i);
        const struct retry_policy *policy = retry_policy_of((enum reason)i);
        assert_int_equal(policy->retry, expected[i].kind != FAILS);
        const enum retry_charge charge = expected[i].kind == JOB     ? CHARGE_JOB
                                         : expected[i].kind == INFRA ? CHARGE_INFRA
                                                                     : CHARGE_FREE;
        assert_int_equal(policy->charge, charge);
        if (policy->blames_node)
            assert_int_equal(policy->charge, CHARGE_INFRA);
    }
}

static void backoff_starts_with_the_second_end_and_has_a_maximum(void **state)
{
    (void)state;
    assert_int_equal(retry_backoff_ms(0, 1), 0);
    assert_int_equal(retry_backoff_ms(1, 1), 0);
    int64_t middle_ms = 1000;
    for (int64_t ends = 2; ends < 20; ends++) {
        for (uint64_t random = 0; random < 1000; random += 7) {
            const int64_t wait_ms = retry_backoff_ms(ends, random * UINT64_C(0x9e3779b97f4a7c15));
            assert_in_range(wait_ms, middle_ms * 3 / 4, middle_ms * 5 / 4);
        }
        middle_ms = middle_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : middle_ms * 2;
    }
}

static void exit_codes_say_what_the_contract_says(void **state)
{
    (void)state;
    assert_int_equal(ending_reason_of(0, 0, false), REASON_NONE);
    assert_int_equal(ending_reason_of(64, 0, false), REASON_BAD_SPEC);
    assert_int_equal(ending_reason_of(65, 0, false), REASON_BAD_DATA);
    assert_int_equal(ending_reason_of(69, 0, false), REASON_PEER_LOST);
    assert_int_equal(ending_reason_of(70, 0, false), REASON_INTERNAL);
    assert_int_equal(ending_reason_of(71, 0, false), REASON_DEVICE_FAULT);
    assert_int_equal(ending_reason_of(73, 0, false), REASON_CANNOT_WRITE);
    assert_int_equal(ending_reason_of(75, 0, false), REASON_STOPPED);
    assert_int_equal(ending_reason_of(76, 0, false), REASON_FENCED);
    assert_int_equal(ending_reason_of(1, 0, false), REASON_INTERNAL);
    assert_int_equal(ending_reason_of(-1, 11, false), REASON_KILLED);
    assert_int_equal(ending_reason_of(-1, 0, false), REASON_KILLED);
    assert_int_equal(ending_reason_of(-1, 9, true), REASON_OOM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reason_is_charged_as_documented),
        cmocka_unit_test(backoff_starts_with_the_second_end_and_has_a_maximum),
        cmocka_unit_test(exit_codes_say_what_the_contract_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
