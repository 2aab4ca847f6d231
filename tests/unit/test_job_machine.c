/* Every cell of the table of jobs: what is not listed here must be refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/brain/job_machine.h"

#define NO JOB_STATE_COUNT

/* clang-format off */
static const enum job_state expected[JOB_STATE_COUNT][JOB_EVENT_COUNT] = {
    /*                   PLACE         START        INTERRUPT       SUCCEED        FAIL        CANCEL          GONE */
    [JOB_QUEUED]     = {JOB_STARTING, NO,          NO,             NO,            NO,         JOB_CANCELLING, NO},
    [JOB_STARTING]   = {JOB_STARTING, JOB_RUNNING, JOB_RECOVERING, JOB_SUCCEEDED, JOB_FAILED, JOB_CANCELLING, NO},
    [JOB_RUNNING]    = {NO,           JOB_RUNNING, JOB_RECOVERING, JOB_SUCCEEDED, JOB_FAILED, JOB_CANCELLING, NO},
    [JOB_RECOVERING] = {JOB_STARTING, NO,          JOB_RECOVERING, NO,            JOB_FAILED, JOB_CANCELLING, NO},
    [JOB_CANCELLING] = {NO,           NO,          NO,             NO,            NO,         JOB_CANCELLING, JOB_CANCELLED},
    [JOB_SUCCEEDED]  = {NO,           NO,          NO,             JOB_SUCCEEDED, NO,         NO,             NO},
    [JOB_FAILED]     = {NO,           NO,          NO,             NO,            JOB_FAILED, NO,             NO},
    [JOB_CANCELLED]  = {NO,           NO,          NO,             NO,            NO,         JOB_CANCELLED,  JOB_CANCELLED},
};
/* clang-format on */

static void every_cell_is_as_documented(void **state)
{
    (void)state;
    for (int from = 0; from < JOB_STATE_COUNT; from++) {
        for (int event = 0; event < JOB_EVENT_COUNT; event++)
            assert_int_equal(job_machine_next((enum job_state)from, (enum job_event)event),
                             expected[from][event]);
    }
}

static void a_repeated_event_changes_nothing(void **state)
{
    (void)state;
    for (int from = 0; from < JOB_STATE_COUNT; from++) {
        for (int event = 0; event < JOB_EVENT_COUNT; event++) {
            const enum job_state to = job_machine_next((enum job_state)from, (enum job_event)event);
            if (to != NO)
                assert_int_equal(job_machine_next(to, (enum job_event)event), to);
        }
    }
}

static void nothing_leads_out_of_a_terminal_state(void **state)
{
    (void)state;
    for (int from = 0; from < JOB_STATE_COUNT; from++) {
        for (int event = 0; event < JOB_EVENT_COUNT; event++) {
            const enum job_state to = job_machine_next((enum job_state)from, (enum job_event)event);
            if (job_state_is_terminal((enum job_state)from) && to != NO)
                assert_int_equal(to, from);
        }
    }
}

static void every_event_has_a_name(void **state)
{
    (void)state;
    for (int event = 0; event < JOB_EVENT_COUNT; event++)
        assert_non_null(job_event_names[event]);
    assert_null(job_event_names[JOB_EVENT_COUNT]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cell_is_as_documented),
        cmocka_unit_test(a_repeated_event_changes_nothing),
        cmocka_unit_test(nothing_leads_out_of_a_terminal_state),
        cmocka_unit_test(every_event_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
