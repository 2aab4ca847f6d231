/* test_store_fence.c - what must never be is refused by the database itself: raw SQL, none of our code between. */

#include "tests/unit/unit.h"

#include <sqlite3.h>
#include <stdio.h>

#include "tests/unit/store_fixture.h"

struct fence {
    char folder[STORE_TEST_PATH_BYTES];
    struct store *store;
    sqlite3 *raw;
};

/* Two nodes; job j1 runs as attempt 1 on n1 with a checkpoint of step 10; job j2 waits. */
static int set_up(void **state)
{
    static struct fence fence;
    memset(&fence, 0, sizeof fence);
    store_test_folder(fence.folder);
    fence.store = store_test_open(fence.folder);
    store_test_put_running(fence.store, "j1");
    store_test_put_node(fence.store, "n2");
    struct job_row waiting = store_test_job("j2", "key");
    store_test_put_job(fence.store, &waiting);
    store_test_apply(fence.store,
                     &(struct effect){.kind = EFFECT_SHARD_INSERT,
                                      .shard = store_test_shard("j1", 1, 10, 0, 1, "n1")});
    store_test_apply(fence.store,
                     &(struct effect){.kind = EFFECT_CHECKPOINT_INSERT,
                                      .checkpoint = store_test_checkpoint("j1", 1, 10, 1)});
    char path[STORE_TEST_PATH_BYTES + 16];
    (void)snprintf(path, sizeof path, "%s/state.db", fence.folder);
    assert_int_equal(sqlite3_open(path, &fence.raw), SQLITE_OK);
    assert_int_equal(sqlite3_exec(fence.raw, "PRAGMA foreign_keys=ON", NULL, NULL, NULL),
                     SQLITE_OK);
    *state = &fence;
    return 0;
}

static int tear_down(void **state)
{
    struct fence *fence = *state;
    (void)sqlite3_close(fence->raw);
    store_close(fence->store);
    store_test_drop(fence->folder);
    return 0;
}

static void allow(struct fence *fence, const char *sql)
{
    char *why = NULL;
    if (sqlite3_exec(fence->raw, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("refused: %s: %s", sql, why);
}

/* The statement must be refused, with a text that contains `reason`. */
static void refuse(struct fence *fence, const char *sql, const char *reason)
{
    char *why = NULL;
    const int rc = sqlite3_exec(fence->raw, sql, NULL, NULL, &why);
    if (sqlite3_get_autocommit(fence->raw) == 0)
        (void)sqlite3_exec(fence->raw, "ROLLBACK", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        fail_msg("was allowed: %s", sql);
    if (rc != SQLITE_CONSTRAINT || strstr(why, reason) == NULL)
        fail_msg("%s: expected \"%s\", got %d \"%s\"", sql, reason, rc, why);
    sqlite3_free(why);
}

#define ATTEMPT_ROW(job, attempt, state)                                               \
    "INSERT INTO attempts VALUES ('" job "', " attempt ", 1, 'a', 29500, 's', '" state \
    "', 'none', '', 0, 0, 'none', 0, 0, 0, 0, 0, 0, 0)"
#define SHARD_ROW(job, attempt, step)                          \
    "INSERT INTO shards VALUES ('" job "', " attempt ", " step \
    ", 0, 1, 5, printf('%064d', 1), 'n1')"
#define CHECKPOINT_ROW(job, attempt, step) \
    "INSERT INTO checkpoints VALUES ('" job "', " attempt ", " step ", 1, 5, 0, -1)"
#define END_1 "UPDATE attempts SET state = 'ended' WHERE job = 'j1' AND attempt = 1;"
#define ATTEMPT_2 \
    END_1 "UPDATE jobs SET attempt = 2 WHERE id = 'j1';" ATTEMPT_ROW("j1", "2", "placed")

static void a_job_has_one_live_attempt(void **state)
{
    refuse(*state,
           "BEGIN; UPDATE jobs SET attempt = 2 WHERE id = 'j1';" ATTEMPT_ROW("j1", "2", "placed"),
           "attempts.job");
    allow(*state, ATTEMPT_2);
    refuse(*state, "UPDATE attempts SET state = 'running' WHERE job = 'j1' AND attempt = 1",
           "attempt only goes forward");
}

static void attempt_numbers_only_rise(void **state)
{
    allow(*state, ATTEMPT_2);
    refuse(*state, "UPDATE jobs SET attempt = 1 WHERE id = 'j1'", "attempt number only rises");
    allow(*state, "UPDATE attempts SET state = 'ended'");
    refuse(*state, ATTEMPT_ROW("j1", "2", "placed"), "attempt number only rises");
    refuse(*state, ATTEMPT_ROW("j1", "1", "placed"), "attempt number only rises");
    allow(*state, "UPDATE jobs SET attempt = 5 WHERE id = 'j1'");
    refuse(*state, ATTEMPT_ROW("j1", "4", "placed"), "attempt number only rises");
}

static void an_attempt_only_goes_forward(void **state)
{
    allow(*state, "UPDATE attempts SET state = 'stopping' WHERE job = 'j1'");
    refuse(*state, "UPDATE attempts SET state = 'running' WHERE job = 'j1'", "only goes forward");
    refuse(*state, "UPDATE attempts SET state = 'placed' WHERE job = 'j1'", "only goes forward");
    refuse(*state, "UPDATE attempts SET state = 'paused' WHERE job = 'j1'", "CHECK");
}

static void a_terminal_job_stays_as_it_is(void **state)
{
    allow(*state, "UPDATE jobs SET state = 'cancelled' WHERE id = 'j2'");
    refuse(*state, "UPDATE jobs SET state = 'queued' WHERE id = 'j2'", "terminal job");
    refuse(*state, "UPDATE jobs SET state = 'failed' WHERE id = 'j2'", "terminal job");
    refuse(*state, "UPDATE jobs SET attempt = 1 WHERE id = 'j2'", "terminal job");
    refuse(*state, ATTEMPT_ROW("j2", "1", "placed"), "terminal job");
    allow(*state, "UPDATE jobs SET reason = 'hang' WHERE id = 'j2'");
}

static void a_job_succeeds_only_with_the_result_of_its_attempt(void **state)
{
    refuse(*state, "UPDATE jobs SET state = 'succeeded' WHERE id = 'j1'", "CHECK");
    allow(*state, "UPDATE jobs SET result_attempt = 1, model_sha256 = 'x' WHERE id = 'j1'");
    refuse(*state, "UPDATE jobs SET model_sha256 = 'y' WHERE id = 'j1'", "result is recorded");
    allow(*state, ATTEMPT_2);
    refuse(*state, "UPDATE jobs SET state = 'succeeded' WHERE id = 'j1'", "CHECK");
    allow(*state, "UPDATE jobs SET state = 'succeeded', result_attempt = 2 WHERE id = 'j1'");
}

static void a_stale_attempt_posts_no_result(void **state)
{
    allow(*state, ATTEMPT_2);
    refuse(*state, "UPDATE jobs SET result_attempt = 1 WHERE id = 'j1'", "stale attempt");
}

static void a_stale_attempt_commits_no_checkpoint(void **state)
{
    allow(*state, SHARD_ROW("j1", "1", "20"));
    allow(*state, ATTEMPT_2);
    refuse(*state, CHECKPOINT_ROW("j1", "1", "20"), "stale attempt");
    refuse(*state, SHARD_ROW("j1", "1", "30"), "stale attempt");
    allow(*state, SHARD_ROW("j1", "2", "20"));
    allow(*state, CHECKPOINT_ROW("j1", "2", "20"));
}

static void an_ended_attempt_commits_no_checkpoint(void **state)
{
    allow(*state, SHARD_ROW("j1", "1", "20"));
    allow(*state, END_1);
    refuse(*state, CHECKPOINT_ROW("j1", "1", "20"), "stale attempt");
    refuse(*state, SHARD_ROW("j1", "1", "30"), "stale attempt");
}

static void a_finished_job_commits_no_checkpoint(void **state)
{
    allow(*state, SHARD_ROW("j1", "1", "20"));
    allow(*state, "UPDATE jobs SET state = 'failed' WHERE id = 'j1'");
    refuse(*state, CHECKPOINT_ROW("j1", "1", "20"), "stale attempt");
}

static void committed_steps_only_rise(void **state)
{
    refuse(*state, SHARD_ROW("j1", "1", "0"), "CHECK");
    allow(*state, SHARD_ROW("j1", "1", "9"));
    refuse(*state, CHECKPOINT_ROW("j1", "1", "9"), "committed step only rises");
    refuse(*state, CHECKPOINT_ROW("j1", "1", "10"), "committed step only rises");
    allow(*state, "UPDATE jobs SET committed_step = 10 WHERE id = 'j1'");
    refuse(*state, "UPDATE jobs SET committed_step = 9 WHERE id = 'j1'", "only rises");
    refuse(*state, "UPDATE jobs SET committed_step = 0 WHERE id = 'j1'", "only rises");
    refuse(*state, "UPDATE jobs SET committed_step = 11 WHERE id = 'j1'", "without checkpoint");
    refuse(*state, "UPDATE checkpoints SET step = 11 WHERE job = 'j1'", "immutable");
}

static void a_damaged_checkpoint_may_go_and_the_step_falls_to_the_one_before(void **state)
{
    allow(*state, SHARD_ROW("j1", "1", "20"));
    allow(*state, CHECKPOINT_ROW("j1", "1", "20"));
    allow(*state, "UPDATE jobs SET committed_step = 20 WHERE id = 'j1'");
    refuse(*state, "UPDATE jobs SET committed_step = 10 WHERE id = 'j1'", "only rises");
    allow(*state, "DELETE FROM checkpoints WHERE step = 20");
    allow(*state, "UPDATE jobs SET committed_step = 10 WHERE id = 'j1'");
}

static void a_checkpoint_has_all_its_shards(void **state)
{
    refuse(*state, CHECKPOINT_ROW("j1", "1", "20"), "without all its shards");
    refuse(*state, "DELETE FROM shards WHERE job = 'j1'", "shard is committed");
    refuse(*state, "UPDATE shards SET bytes = 1 WHERE job = 'j1'", "immutable");
    refuse(*state, "INSERT INTO shards VALUES ('j1', 1, 20, 2, 2, 5, printf('%064d', 1), 'n1')",
           "CHECK");
}

static void a_slot_has_one_holder(void **state)
{
    allow(*state, "UPDATE jobs SET attempt = 1 WHERE id = 'j2';" ATTEMPT_ROW("j2", "1", "placed"));
    refuse(*state, "UPDATE slots SET job = 'j2', attempt = 1, rank = 0 WHERE node = 'n1'",
           "slot is held");
    refuse(*state, "UPDATE slots SET rank = 1 WHERE node = 'n1'", "slot is held");
    refuse(*state, "DELETE FROM slots WHERE node = 'n1'", "slot is held");
    refuse(*state, "UPDATE slots SET job = NULL WHERE node = 'n1'", "CHECK");
    allow(*state, "UPDATE slots SET job = NULL, attempt = NULL, rank = NULL WHERE node = 'n1'");
    allow(*state, "UPDATE slots SET job = 'j2', attempt = 1, rank = 0 WHERE node = 'n1'");
}

static void a_rank_has_one_slot(void **state)
{
    refuse(*state, "INSERT INTO slots VALUES ('n2', 'cpu:0', 'cpu', 0, '', '', 0, 1, 'j1', 1, 0)",
           "slots.job");
}

static void a_slot_goes_to_no_ended_attempt(void **state)
{
    allow(*state, "UPDATE slots SET job = NULL, attempt = NULL, rank = NULL WHERE node = 'n1'");
    refuse(*state, "UPDATE slots SET job = 'j2', attempt = 9, rank = 0 WHERE node = 'n1'",
           "FOREIGN KEY");
    allow(*state, END_1);
    refuse(*state, "UPDATE slots SET job = 'j1', attempt = 1, rank = 0 WHERE node = 'n1'",
           "slot for an ended attempt");
}

static void a_port_has_one_holder(void **state)
{
    allow(*state, "INSERT INTO ports VALUES ('127.0.0.2', 29500, 'j1', 1)");
    refuse(*state, "INSERT INTO ports VALUES ('127.0.0.2', 29500, 'j1', 1)", "ports.address");
    allow(*state, "INSERT INTO ports VALUES ('127.0.0.3', 29500, 'j1', 1)");
}

static void a_rank_that_ended_stays_ended(void **state)
{
    allow(*state, "UPDATE ranks SET ended = 1, exit_code = 70 WHERE job = 'j1'");
    allow(*state, "UPDATE ranks SET exit_reason = 'out_of_memory' WHERE job = 'j1'");
    refuse(*state, "UPDATE ranks SET ended = 0 WHERE job = 'j1'", "rank has ended");
}

#define JOB_COPY(id, project, key)                                       \
    "CREATE TEMP TABLE copy AS SELECT * FROM main.jobs WHERE id = 'j2';" \
    "UPDATE copy SET number = NULL, id = '" id "', project = '" project  \
    "', idempotency_key = '" key "';"                                    \
    "INSERT INTO jobs SELECT * FROM copy; DROP TABLE copy"

static void a_key_names_one_job_of_a_project(void **state)
{
    refuse(*state, "BEGIN;" JOB_COPY("j3", "default", "key"), "idempotency_key");
    allow(*state, JOB_COPY("j3", "default", "other"));
    allow(*state, JOB_COPY("j4", "default", ""));
    allow(*state, JOB_COPY("j5", "default", ""));
    allow(*state, "INSERT INTO projects VALUES ('risk', 0)");
    allow(*state, JOB_COPY("j6", "risk", "key"));
    refuse(*state, "BEGIN;" JOB_COPY("j7", "nobody", "key"), "FOREIGN KEY");
}

static void a_request_never_changes(void **state)
{
    refuse(*state, "UPDATE jobs SET spec = '{}' WHERE id = 'j1'", "immutable");
    refuse(*state, "UPDATE jobs SET project = 'default' WHERE id = 'j1'", "immutable");
}

static void history_is_only_added_to(void **state)
{
    allow(*state, "INSERT INTO job_events VALUES ('j1', 1, '', 1, 0, 'c', 'state', 'a', 'b', "
                  "'none', '')");
    refuse(*state, "UPDATE job_events SET actor = 'x'", "history is immutable");
    refuse(*state, "DELETE FROM job_events", "history is immutable");
}

static void tokens_are_used_once_and_stay_revoked(void **state)
{
    allow(*state,
          "INSERT INTO tokens VALUES ('t', 'viewer', NULL, '', NULL, zeroblob(32), 0, 0, 0)");
    allow(*state, "UPDATE tokens SET revoked_at_ms = 5");
    refuse(*state, "UPDATE tokens SET revoked_at_ms = 0", "token is revoked");
    allow(*state, "INSERT INTO join_tokens VALUES ('g', zeroblob(32), 't', 0, 0, NULL)");
    allow(*state, "UPDATE join_tokens SET used_by = 'n1'");
    refuse(*state, "UPDATE join_tokens SET used_by = 'n2'", "join token is used");
    refuse(*state, "INSERT INTO tokens VALUES ('u', 'viewer', NULL, '', NULL, x'00', 0, 0, 0)",
           "CHECK");
    refuse(*state, "INSERT INTO tokens VALUES ('u', 'node', NULL, '', NULL, zeroblob(32), 0, 0, 0)",
           "CHECK");
}

static void counters_only_rise(void **state)
{
    allow(*state, "UPDATE counters SET value = 100 WHERE name = 'revision'");
    refuse(*state, "UPDATE counters SET value = 99 WHERE name = 'revision'", "only rises");
}

static void the_store_calls_a_broken_rule_fatal(void **state)
{
    struct fence *fence = *state;
    struct error err = {0};
    const struct effect stale = {.kind = EFFECT_SHARD_INSERT,
                                 .shard = store_test_shard("j1", 9, 50, 0, 1, "n1")};
    assert_int_equal(store_test_try(fence->store, &stale, &err), STATUS_INTERNAL);
    assert_non_null(strstr(err.text, "stale attempt"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_job_has_one_live_attempt),
        CASE(attempt_numbers_only_rise),
        CASE(an_attempt_only_goes_forward),
        CASE(a_terminal_job_stays_as_it_is),
        CASE(a_job_succeeds_only_with_the_result_of_its_attempt),
        CASE(a_stale_attempt_posts_no_result),
        CASE(a_stale_attempt_commits_no_checkpoint),
        CASE(an_ended_attempt_commits_no_checkpoint),
        CASE(a_finished_job_commits_no_checkpoint),
        CASE(committed_steps_only_rise),
        CASE(a_damaged_checkpoint_may_go_and_the_step_falls_to_the_one_before),
        CASE(a_checkpoint_has_all_its_shards),
        CASE(a_slot_has_one_holder),
        CASE(a_rank_has_one_slot),
        CASE(a_slot_goes_to_no_ended_attempt),
        CASE(a_port_has_one_holder),
        CASE(a_rank_that_ended_stays_ended),
        CASE(a_key_names_one_job_of_a_project),
        CASE(a_request_never_changes),
        CASE(history_is_only_added_to),
        CASE(tokens_are_used_once_and_stay_revoked),
        CASE(counters_only_rise),
        CASE(the_store_calls_a_broken_rule_fatal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
