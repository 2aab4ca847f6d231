/*
 * test_agent_delivery.c - what an attempt says reaches the controller, whatever the controller answers
 * and whenever the agent is started anew: the real agent and runner with a fake controller.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/agent_rig.h"
#include "tests/unit/unit.h"

#define WAIT_FOR_GO "while ! test -e \"$REPRISE_DATA_DIR/go\"; do sleep 0.01; done\n"
#define OTHER_JOB   "job_zyxwvtsrqpnmkjhgfedcba"

static bool has_broken(const struct fake_seen *seen, void *context)
{
    return seen->broken >= *(const size_t *)context;
}

static bool has_upload_of(const struct fake_seen *seen, void *context)
{
    for (size_t i = 0; i < seen->upload_count; i++) {
        if (strstr(seen->uploads[i].path, context))
            return true;
    }
    return false;
}

/* Starts the script and waits until it stands at WAIT_FOR_GO, with `lines` told. */
static void begin_script(struct rig *rig, const char *script, size_t lines)
{
    train(rig, script);
    begin(rig);
    desire(rig);
    (void)await(rig, runs);
    assert_true(fake_wait(rig->fake, has_lines, &lines));
}

static void an_attempt_that_ended_is_kept_until_its_last_line_is_taken(void **state)
{
    struct rig *rig = *state;
    size_t times = 4;
    size_t lines = 4;
    size_t uploads = 1;
    begin_script(rig, "step 1;" WAIT_FOR_GO "step 2; save 3; exit 3\n", 2);
    fake_break(rig->fake, "/v1/agent/telemetry", 503, "{}", (int)times);
    let_go_on(rig);
    assert_int_equal(await(rig, ended).number, 3);
    assert_true(fake_wait(rig->fake, has_broken, &times));
    assert_true(fake_wait(rig->fake, has_lines, &lines));
    assert_true(fake_wait(rig->fake, has_uploads, &uploads));
}

static void an_answer_that_makes_no_sense_loses_no_line(void **state)
{
    struct rig *rig = *state;
    size_t times = 2;
    size_t lines = 4;
    size_t uploads = 1;
    begin_script(rig, "step 1;" WAIT_FOR_GO "step 2; save 3; exit 3\n", 2);
    fake_break(rig->fake, "/v1/agent/telemetry", 200, "<html>welcome</html>", (int)times);
    let_go_on(rig);
    assert_true(fake_wait(rig->fake, has_broken, &times));
    assert_true(fake_wait(rig->fake, has_lines, &lines));
    assert_true(fake_wait(rig->fake, has_uploads, &uploads));
}

static void a_long_error_page_loses_no_shard(void **state)
{
    struct rig *rig = *state;
    static char page[256 * 1024];
    size_t times = 2;
    size_t uploads = 1;
    memset(page, 'x', sizeof(page) - 1);
    begin_script(rig, "step 1;" WAIT_FOR_GO "save 3; exit 3\n", 2);
    fake_break(rig->fake, "/v1/agent/checkpoints", 502, page, (int)times);
    let_go_on(rig);
    assert_true(fake_wait(rig->fake, has_broken, &times));
    assert_true(fake_wait(rig->fake, has_uploads, &uploads));
}

static void a_shard_that_was_owed_survives_a_new_agent_and_a_failed_batch(void **state)
{
    struct rig *rig = *state;
    size_t lines = 3;
    size_t uploads = 1;
    size_t times = 1000;
    size_t one = 1;
    fake_break(rig->fake, "/v1/agent/checkpoints", 503, "{}", (int)times);
    begin_script(rig, "step 1; save 2;" WAIT_FOR_GO "step 3; exit 3\n", lines);
    assert_true(fake_wait(rig->fake, has_broken, &one));
    (void)end_agent(rig, SIGKILL);
    /* The next one owes the shard, and has news that is not taken at first. */
    let_go_on(rig);
    times = look(rig)->seen.broken + 3;
    fake_break(rig->fake, "/v1/agent/telemetry", 503, "{}", 3);
    start_agent(rig, "cpu:2", false);
    assert_true(fake_wait(rig->fake, has_broken, &times));
    lines = 4;
    assert_true(fake_wait(rig->fake, has_lines, &lines));
    assert_true(fake_wait(rig->fake, has_uploads, &uploads));
}

static void a_shard_that_hangs_holds_up_no_other_job(void **state)
{
    struct rig *rig = *state;
    struct wire_assigned_rank other_rank = {.rank = 0, .slot = "cpu:1"};
    struct wire_assignment both[2] = {rig->assignment, rig->assignment};
    (void)snprintf(both[1].job, sizeof(both[1].job), OTHER_JOB);
    both[1].ranks = &other_rank;
    train(rig, "save 1; exit 1\n");
    begin(rig);
    fake_hold_uploads(rig->fake, JOB);
    fake_desire(rig->fake, both, 1);
    assert_int_equal(await(rig, ended).number, 1);
    fake_desire(rig->fake, both, 2);
    assert_true(fake_wait(rig->fake, has_upload_of, (void *)(uintptr_t)OTHER_JOB));
    fake_hold_uploads(rig->fake, NULL);
    assert_true(fake_wait(rig->fake, has_upload_of, (void *)(uintptr_t)JOB));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_attempt_that_ended_is_kept_until_its_last_line_is_taken),
        TEST(an_answer_that_makes_no_sense_loses_no_line),
        TEST(a_long_error_page_loses_no_shard),
        TEST(a_shard_that_was_owed_survives_a_new_agent_and_a_failed_batch),
        TEST(a_shard_that_hangs_holds_up_no_other_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
