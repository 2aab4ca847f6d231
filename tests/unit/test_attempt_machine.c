/* Every cell of the tables of attempts and nodes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/brain/attempt_machine.h"
#include "service/brain/node_machine.h"

#define NO ATTEMPT_STATE_COUNT

/* clang-format off */
static const enum attempt_state expected[ATTEMPT_STATE_COUNT][ATTEMPT_EVENT_COUNT] = {
    /*                     ALIVE             STOP              END */
    [ATTEMPT_PLACED]   = {ATTEMPT_RUNNING,  ATTEMPT_STOPPING, ATTEMPT_ENDED},
    [ATTEMPT_RUNNING]  = {ATTEMPT_RUNNING,  ATTEMPT_STOPPING, ATTEMPT_ENDED},
    [ATTEMPT_STOPPING] = {ATTEMPT_STOPPING, ATTEMPT_STOPPING, ATTEMPT_ENDED},
    [ATTEMPT_ENDED]    = {NO,               ATTEMPT_ENDED,    ATTEMPT_ENDED},
};
static const enum node_state expected_node[NODE_STATE_COUNT][NODE_EVENT_COUNT] = {
    /*                  RETURN         DRAIN          UNDRAIN     LOSE */
    [NODE_READY]    = {NODE_READY,    NODE_DRAINING, NODE_READY, NODE_LOST},
    [NODE_DRAINING] = {NODE_DRAINING, NODE_DRAINING, NODE_READY, NODE_LOST},
    [NODE_LOST]     = {NODE_READY,    NODE_LOST,     NODE_LOST,  NODE_LOST},
};
/* clang-format on */

static void every_cell_of_attempts_is_as_documented(void **state)
{
    (void)state;
    for (int from = 0; from < ATTEMPT_STATE_COUNT; from++) {
        for (int event = 0; event < ATTEMPT_EVENT_COUNT; event++) {
            const enum attempt_state to =
                attempt_machine_next((enum attempt_state)from, (enum attempt_event)event);
            assert_int_equal(to, expected[from][event]);
            if (to != NO)
                assert_int_equal(attempt_machine_next(to, (enum attempt_event)event), to);
        }
        assert_int_equal(attempt_state_is_live((enum attempt_state)from), from != ATTEMPT_ENDED);
    }
}

static void every_cell_of_nodes_is_as_documented(void **state)
{
    (void)state;
    for (int from = 0; from < NODE_STATE_COUNT; from++) {
        for (int event = 0; event < NODE_EVENT_COUNT; event++) {
            const enum node_state to =
                node_machine_next((enum node_state)from, (enum node_event)event);
            assert_int_equal(to, expected_node[from][event]);
            assert_int_equal(node_machine_next(to, (enum node_event)event), to);
        }
    }
}

static void every_event_has_a_name(void **state)
{
    (void)state;
    for (int event = 0; event < ATTEMPT_EVENT_COUNT; event++)
        assert_non_null(attempt_event_names[event]);
    for (int event = 0; event < NODE_EVENT_COUNT; event++)
        assert_non_null(node_event_names[event]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cell_of_attempts_is_as_documented),
        cmocka_unit_test(every_cell_of_nodes_is_as_documented),
        cmocka_unit_test(every_event_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
