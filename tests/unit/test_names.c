#include "tests/unit/unit.h"

#include "schema/names.h"
#include "schema/progress_page.h"
#include "schema/wire_agent.h"
#include "schema/wire_event.h"

static size_t length_of(const char *const names[])
{
    size_t count = 0;
    while (names[count] != NULL)
        count++;
    return count;
}

static void every_enumerator_has_a_word_and_no_word_is_twice(void **state)
{
    (void)state;
    const struct {
        const char *const *names;
        size_t count;
    } lists[] = {
        {job_state_names, JOB_STATE_COUNT},   {attempt_state_names, ATTEMPT_STATE_COUNT},
        {node_state_names, NODE_STATE_COUNT}, {reason_names, REASON_COUNT},
        {verdict_names, VERDICT_COUNT},       {role_names, ROLE_COUNT},
        {phase_names, PROGRESS_PHASE_COUNT},  {desired_phase_names, DESIRED_KILL + 1},
        {event_kind_names, EVENT_OTHER},
    };
    for (size_t l = 0; l < COUNT_OF(lists); l++) {
        assert_int_equal(length_of(lists[l].names), lists[l].count);
        for (int i = 0; lists[l].names[i] != NULL; i++)
            assert_int_equal(name_index(lists[l].names, lists[l].names[i]), i);
    }
}

static void the_words_are_the_contract(void **state)
{
    (void)state;
    assert_string_equal(job_state_names[JOB_RECOVERING], "recovering");
    assert_string_equal(attempt_state_names[ATTEMPT_STOPPING], "stopping");
    assert_string_equal(node_state_names[NODE_LOST], "lost");
    assert_string_equal(reason_names[REASON_NODE_LOST], "node_lost");
    assert_string_equal(verdict_names[VERDICT_UNKNOWN], "unknown");
    assert_string_equal(role_names[ROLE_SUBMITTER], "submitter");
    assert_string_equal(phase_names[PROGRESS_STEP], "step");
}

static void other_words_are_in_no_list(void **state)
{
    (void)state;
    assert_int_equal(name_index(job_state_names, "Queued"), -1);
    assert_int_equal(name_index(job_state_names, ""), -1);
    assert_int_equal(name_index(job_state_names, "queue"), -1);
}

static void only_the_last_states_are_terminal(void **state)
{
    (void)state;
    for (int s = 0; s < JOB_STATE_COUNT; s++) {
        const bool expected = s == JOB_SUCCEEDED || s == JOB_FAILED || s == JOB_CANCELLED;
        assert_int_equal(job_state_is_terminal((enum job_state)s), expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_enumerator_has_a_word_and_no_word_is_twice),
        cmocka_unit_test(the_words_are_the_contract),
        cmocka_unit_test(other_words_are_in_no_list),
        cmocka_unit_test(only_the_last_states_are_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
