/* test_agent_reconcile.c - every cell of reconcile.h's table. */

#include <stdio.h>
#include <stdlib.h>

#include "agent/reconcile.h"
#include "tests/unit/unit.h"

#define ABSENT  (-1)
#define NOTHING (-1)

static struct wire_assigned_rank slot_0[] = {{.rank = 0, .slot = "cpu:0"}};
static struct wire_assigned_rank slot_1[] = {{.rank = 1, .slot = "cpu:1"}};

static struct wire_assignment wanted(const char *job, int64_t attempt, enum desired_phase phase,
                                     struct wire_assigned_rank *rank)
{
    struct wire_assignment assignment = {
        .attempt = attempt, .phase = phase, .rank_count = 1, .ranks = rank};
    (void)snprintf(assignment.job, sizeof(assignment.job), "%s", job);
    return assignment;
}

static struct local *have(const char *job, int64_t attempt, enum local_state state,
                          struct wire_assigned_rank *rank)
{
    struct error err = {0};
    struct local *local = NULL;
    const struct wire_assignment assignment = wanted(job, attempt, DESIRED_RUN, rank);
    assert_ok(local_new(&assignment, NULL, &local, &err), &err);
    local->state = state;
    local->ranks[0].ended = state == LOCAL_OVER;
    return local;
}

/* The one action for (desired phase or ABSENT) x (local state or ABSENT), or NOTHING. */
static int action_of(int phase, int state)
{
    struct wire_assignment assignment = wanted("job_a", 1, DESIRED_RUN, slot_0);
    struct local *local =
        state == ABSENT ? NULL : have("job_a", 1, (enum local_state)state, slot_0);
    struct action actions[2];
    if (phase != ABSENT)
        assignment.phase = (enum desired_phase)phase;
    const size_t count =
        reconcile(&assignment, phase == ABSENT ? 0 : 1, &local, local ? 1 : 0, actions, 2);
    assert_true(count <= 1);
    local_free(local);
    return count == 0 ? NOTHING : (int)actions[0].kind;
}

static void each_cell_has_its_action(void **state)
{
    (void)state;
    static const struct {
        int phase, state, action;
    } cells[] = {
        {DESIRED_RUN, ABSENT, ACTION_START},
        {DESIRED_STOP, ABSENT, ACTION_NEVER_RAN},
        {DESIRED_KILL, ABSENT, ACTION_NEVER_RAN},
        {DESIRED_RUN, LOCAL_PREPARING, NOTHING},
        {DESIRED_STOP, LOCAL_PREPARING, ACTION_CANCEL},
        {DESIRED_KILL, LOCAL_PREPARING, ACTION_CANCEL},
        {ABSENT, LOCAL_PREPARING, ACTION_CANCEL},
        {DESIRED_RUN, LOCAL_RUNNING, NOTHING},
        {DESIRED_STOP, LOCAL_RUNNING, ACTION_STOP},
        {DESIRED_KILL, LOCAL_RUNNING, ACTION_KILL},
        {ABSENT, LOCAL_RUNNING, ACTION_KILL},
        {DESIRED_RUN, LOCAL_OVER, NOTHING},
        {DESIRED_STOP, LOCAL_OVER, NOTHING},
        {DESIRED_KILL, LOCAL_OVER, NOTHING},
        {ABSENT, LOCAL_OVER, NOTHING}, /* not delivered yet */
    };
    for (size_t i = 0; i < COUNT_OF(cells); i++)
        assert_int_equal(action_of(cells[i].phase, cells[i].state), cells[i].action);
}

static void what_is_delivered_and_not_wanted_is_removed(void **state)
{
    (void)state;
    struct action action;
    struct local *local = have("job_a", 1, LOCAL_OVER, slot_0);
    local->delivered = true;
    assert_int_equal(reconcile(NULL, 0, &local, 1, &action, 1), 1);
    assert_int_equal(action.kind, ACTION_REMOVE);
    local_free(local);
}

static void what_was_told_is_not_told_again_but_a_kill_outranks_a_stop(void **state)
{
    (void)state;
    struct action action;
    struct wire_assignment stop = wanted("job_a", 1, DESIRED_STOP, slot_0);
    struct local *local = have("job_a", 1, LOCAL_RUNNING, slot_0);
    local->asked = DESIRED_STOP;
    assert_int_equal(reconcile(&stop, 1, &local, 1, &action, 1), 0);
    stop.phase = DESIRED_KILL;
    assert_int_equal(reconcile(&stop, 1, &local, 1, &action, 1), 1);
    assert_int_equal(action.kind, ACTION_KILL);
    local->asked = DESIRED_KILL;
    assert_int_equal(reconcile(&stop, 1, &local, 1, &action, 1), 0);
    assert_int_equal(reconcile(NULL, 0, &local, 1, &action, 1), 0);
    local->state = LOCAL_PREPARING; /* its cancel was told */
    assert_int_equal(reconcile(&stop, 1, &local, 1, &action, 1), 0);
    local_free(local);
}

static void a_checkpoint_is_asked_for_once_a_request(void **state)
{
    (void)state;
    struct action action;
    struct wire_assignment run = wanted("job_a", 1, DESIRED_RUN, slot_0);
    struct local *local = have("job_a", 1, LOCAL_RUNNING, slot_0);
    run.checkpoint_request = 3;
    local->checkpoint_request = 2;
    assert_int_equal(reconcile(&run, 1, &local, 1, &action, 1), 1);
    assert_int_equal(action.kind, ACTION_CHECKPOINT);
    local->checkpoint_request = 3;
    assert_int_equal(reconcile(&run, 1, &local, 1, &action, 1), 0);
    local_free(local);
}

static void a_slot_is_free_only_after_the_former_rank_has_ended(void **state)
{
    (void)state;
    struct action actions[3];
    struct wire_assignment desired[] = {wanted("job_a", 1, DESIRED_KILL, slot_0),
                                        wanted("job_a", 2, DESIRED_RUN, slot_0)};
    struct local *local = have("job_a", 1, LOCAL_RUNNING, slot_0);
    assert_int_equal(reconcile(desired, 2, &local, 1, actions, 3), 1);
    assert_int_equal(actions[0].kind, ACTION_KILL);
    local->asked = DESIRED_KILL;
    local->state = LOCAL_PREPARING;
    assert_int_equal(reconcile(desired, 2, &local, 1, actions, 3), 0);
    local->state = LOCAL_RUNNING;
    local->ranks[0].ended = true; /* on record, though its runner still says so */
    assert_int_equal(reconcile(desired, 2, &local, 1, actions, 3), 1);
    assert_int_equal(actions[0].kind, ACTION_START);
    assert_ptr_equal(actions[0].assignment, &desired[1]);
    local_free(local);
}

static void two_starts_never_share_a_slot(void **state)
{
    (void)state;
    struct action actions[3];
    const struct wire_assignment desired[] = {wanted("job_a", 1, DESIRED_RUN, slot_0),
                                              wanted("job_b", 1, DESIRED_RUN, slot_0),
                                              wanted("job_c", 1, DESIRED_RUN, slot_1)};
    assert_int_equal(reconcile(desired, 3, NULL, 0, actions, 3), 2);
    assert_ptr_equal(actions[0].assignment, &desired[0]);
    assert_ptr_equal(actions[1].assignment, &desired[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_cell_has_its_action),
        cmocka_unit_test(what_is_delivered_and_not_wanted_is_removed),
        cmocka_unit_test(what_was_told_is_not_told_again_but_a_kill_outranks_a_stop),
        cmocka_unit_test(a_checkpoint_is_asked_for_once_a_request),
        cmocka_unit_test(a_slot_is_free_only_after_the_former_rank_has_ended),
        cmocka_unit_test(two_starts_never_share_a_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
