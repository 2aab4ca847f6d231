#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "service/api/agents.h"

#define NODE    "node_a"
#define WALL_MS 1700000000000

struct fixture {
    struct http_holds *holds;
    struct agents *agents;
};

static int setup(void **state)
{
    static struct fixture fixture;
    struct error err = {.status = STATUS_OK};
    assert_ok(http_holds_new(&fixture.holds, &err), &err);
    assert_ok(agents_new(fixture.holds, &fixture.agents, &err), &err);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    const struct fixture *fixture = *state;
    agents_free(fixture->agents);
    http_holds_stop(fixture->holds);
    http_holds_free(fixture->holds);
    return 0;
}

static enum status enter(const struct fixture *fixture, int64_t session, int64_t seq,
                         int64_t revision_seen, struct agents_entry *out)
{
    struct error err = {.status = STATUS_OK};
    const struct agents_sync sync = {.node = NODE,
                                     .session = session,
                                     .seq = seq,
                                     .revision_seen = revision_seen,
                                     .received_boot_ms = 1000 + seq,
                                     .wall_ms = WALL_MS};
    return agents_enter(fixture->agents, &sync, out, &err);
}

static void sessions_rise_and_the_replaced_one_is_refused(void **state)
{
    const struct fixture *fixture = *state;
    struct agents_entry first;
    struct agents_entry second;
    struct agents_entry out;
    assert_int_equal(enter(fixture, 0, 1, 0, &first), STATUS_OK);
    assert_true(first.session >= WALL_MS); /* above those of a controller before this one */
    assert_true(first.fresh);
    assert_false(first.hold);
    assert_int_equal(enter(fixture, 0, 1, 0, &second), STATUS_OK);
    assert_true(second.session > first.session);
    assert_int_equal(enter(fixture, first.session, 2, 0, &out), STATUS_CONFLICT);
    assert_int_equal(enter(fixture, second.session, 2, 0, &out), STATUS_OK);
}

static void a_session_that_a_former_controller_gave_goes_on(void **state)
{
    const struct fixture *fixture = *state;
    struct agents_entry out;
    assert_int_equal(enter(fixture, WALL_MS - 5, 70, 0, &out), STATUS_OK);
    assert_true(out.session == WALL_MS - 5);
    assert_true(out.fresh);
    assert_int_equal(enter(fixture, WALL_MS - 6, 71, 0, &out), STATUS_CONFLICT);
}

static void a_late_or_repeated_message_is_answered_and_no_news(void **state)
{
    const struct fixture *fixture = *state;
    struct agents_entry out;
    assert_int_equal(enter(fixture, WALL_MS, 5, 0, &out), STATUS_OK);
    assert_true(out.fresh);
    assert_int_equal(agents_heard_boot_ms(fixture->agents, NODE), 1005);
    for (int64_t seq = 4; seq <= 5; seq++) {
        assert_int_equal(enter(fixture, WALL_MS, seq, 0, &out), STATUS_OK);
        assert_false(out.fresh);
        assert_false(out.hold);
    }
    assert_int_equal(agents_heard_boot_ms(fixture->agents, NODE), 1005);
    assert_int_equal(agents_heard_boot_ms(fixture->agents, "node_b"), 0);
}

static void the_answer_is_held_while_the_node_has_seen_everything(void **state)
{
    const struct fixture *fixture = *state;
    struct agents_entry out;
    agents_publish(fixture->agents, NODE, 7, strdup("[{\"job\":\"job_a\"}]"));
    assert_int_equal(enter(fixture, WALL_MS, 1, 6, &out), STATUS_OK);
    assert_false(out.hold); /* revision 7 is news for it */
    assert_int_equal(enter(fixture, WALL_MS, 2, 7, &out), STATUS_OK);
    assert_true(out.hold);
    assert_int_equal(enter(fixture, 0, 3, 7, &out), STATUS_OK);
    assert_false(out.hold); /* a new agent is told its session at once */
}

static void desired_comes_only_to_who_has_not_seen_it(void **state)
{
    const struct fixture *fixture = *state;
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, 4096);
    agents_write_desired(fixture->agents, NODE, 0, &text);
    assert_string_equal(text.data, "\"revision\":0");
    buf_reset(&text);
    agents_publish(fixture->agents, NODE, 7, strdup("[1]"));
    agents_write_desired(fixture->agents, NODE, 7, &text);
    assert_string_equal(text.data, "\"revision\":7");
    buf_reset(&text);
    agents_write_desired(fixture->agents, NODE, 6, &text);
    assert_string_equal(text.data, "\"revision\":7,\"desired\":[1]");
    buf_reset(&text);
    agents_publish(fixture->agents, NODE, 8, strdup("[]"));
    agents_write_desired(fixture->agents, NODE, 7, &text);
    assert_string_equal(text.data, "\"revision\":8,\"desired\":[]");
}

static void only_the_newest_hold_speaks_for_the_node(void **state)
{
    const struct fixture *fixture = *state;
    struct agents_entry out;
    assert_int_equal(enter(fixture, WALL_MS, 1, 0, &out), STATUS_OK);
    agents_held(fixture->agents, NODE, WALL_MS, 1, 0, 11);
    assert_int_equal(enter(fixture, WALL_MS, 2, 0, &out), STATUS_OK); /* lets hold 11 go */
    agents_held(fixture->agents, NODE, WALL_MS, 2, 0, 12);
    agents_held(fixture->agents, NODE, WALL_MS, 1, 0, 13); /* an older message's hold */
    assert_false(agents_let_go(fixture->agents, NODE, 11));
    assert_false(agents_let_go(fixture->agents, NODE, 13));
    assert_true(agents_let_go(fixture->agents, NODE, 12));
    assert_false(agents_let_go(fixture->agents, NODE, 12));
}

#define case_of(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        case_of(sessions_rise_and_the_replaced_one_is_refused),
        case_of(a_session_that_a_former_controller_gave_goes_on),
        case_of(a_late_or_repeated_message_is_answered_and_no_news),
        case_of(the_answer_is_held_while_the_node_has_seen_everything),
        case_of(desired_comes_only_to_who_has_not_seen_it),
        case_of(only_the_newest_hold_speaks_for_the_node),
    };
    return cmocka_run_group_tests_name("api_agents", tests, NULL, NULL);
}
