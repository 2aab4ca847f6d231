/* What the brain accepts, what it answers to repeats, and that a reloaded brain is the same brain. */

#include "tests/unit/brain_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "service/brain/map.h"
#include "service/brain/timer.h"
#include "service/store/store.h"

/* ---- submit */

static void a_known_key_with_the_same_body_answers_the_same_job(void **state)
{
    struct fixture *f = *state;
    struct brain_input input = {.kind = INPUT_JOB_SUBMIT};
    (void)snprintf(input.submit.job.id, ID_BYTES_MAX, "job_new");
    (void)snprintf(input.submit.job.body_sha256, BRAIN_SHA_BYTES, "aa");
    (void)snprintf(input.submit.existing_job, ID_BYTES_MAX, "job_old");
    (void)snprintf(input.submit.existing_body_sha256, BRAIN_SHA_BYTES, "aa");
    input.submit.job.request = fixture_request(1);
    fixture_step(f, &input);
    assert_int_equal(f->reply.status, STATUS_OK);
    assert_true(f->reply.replayed);
    assert_string_equal(f->reply.id, "job_old");
    assert_int_equal(f->effects.count, 0);
    (void)snprintf(input.submit.existing_body_sha256, BRAIN_SHA_BYTES, "bb");
    fixture_step(f, &input);
    assert_string_equal(f->reply.code, "idempotency_mismatch");
}

static void what_cannot_be_is_refused(void **state)
{
    struct fixture *f = *state;
    struct job_request request = fixture_request(0);
    (void)fixture_submit(f, &request);
    assert_string_equal(f->reply.code, "bad_request");
    request = fixture_request(1025);
    (void)fixture_submit(f, &request);
    assert_string_equal(f->reply.code, "bad_request");
    request = fixture_request(1);
    request.priority = 101;
    (void)fixture_submit(f, &request);
    assert_string_equal(f->reply.code, "bad_request");
}

static void more_live_jobs_than_allowed_are_refused_for_now(void **state)
{
    struct fixture *f = *state;
    const struct job_request request = fixture_request(1);
    for (int i = 0; i < 1000; i++) {
        (void)fixture_submit(f, &request);
        assert_int_equal(f->reply.status, STATUS_OK);
    }
    (void)fixture_submit(f, &request);
    assert_int_equal(f->reply.status, STATUS_BUSY);
}

/* ---- checkpoints and results */

static void a_checkpoint_is_committed_with_its_last_shard(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 2);
    const char *job = fixture_run(f, 2);
    fixture_shard(f, job, 1, 10, 0, 2);
    assert_false(f->reply.committed);
    assert_int_equal(fixture_count(f, EFFECT_SHARD_INSERT), 1);
    fixture_shard(f, job, 1, 10, 0, 2);
    assert_true(f->reply.duplicate);
    assert_int_equal(f->effects.count, 0);
    fixture_shard(f, job, 1, 10, 1, 2);
    assert_true(f->reply.committed);
    assert_int_equal(fixture_effect(f, EFFECT_CHECKPOINT_INSERT, 0)->checkpoint.bytes, 2000);
    fixture_shard(f, job, 1, 10, 1, 2);
    assert_true(f->reply.duplicate && f->reply.committed);
}

static void shards_that_contradict_are_refused(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 2);
    const char *job = fixture_run(f, 2);
    fixture_shard(f, job, 1, 10, 0, 2);
    fixture_shard(f, job, 1, 10, 0, 3);
    assert_string_equal(f->reply.code, "shard_differs");
    struct brain_input input = {.kind = INPUT_SHARD_STORED};
    input.shard = (struct shard_row){.attempt = 1, .step = 10, .of = 2, .bytes = 999};
    (void)snprintf(input.shard.job, ID_BYTES_MAX, "%s", job);
    (void)snprintf(input.shard.node, ID_BYTES_MAX, "node_a");
    fixture_step(f, &input);
    assert_string_equal(f->reply.code, "shard_differs");
    (void)snprintf(input.shard.node, ID_BYTES_MAX, "node_z");
    fixture_step(f, &input);
    assert_string_equal(f->reply.code, "not_assigned");
    fixture_shard(f, job, 1, 10, 2, 2);
    assert_string_equal(f->reply.code, "bad_shard");
    fixture_shard(f, job, 1, 20, 0, 1);
    assert_true(f->reply.committed);
    fixture_shard(f, job, 1, 10, 1, 2);
    assert_string_equal(f->reply.code, "superseded");
}

static void retention_keeps_the_newest(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    for (int64_t step = 1; step <= 3; step++) {
        fixture_shard(f, job, 1, step, 0, 1);
        assert_int_equal(fixture_count(f, EFFECT_CHECKPOINT_DELETE), 0);
    }
    fixture_shard(f, job, 1, 4, 0, 1);
    assert_int_equal(fixture_effect(f, EFFECT_CHECKPOINT_DELETE, 0)->checkpoint.step, 1);
}

static void an_attempt_that_ends_drops_its_uncommitted_shards(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 2);
    const char *job = fixture_run(f, 2);
    fixture_shard(f, job, 1, 10, 0, 2);
    const struct observed_rank dead = fixture_exit(job, 1, 0, 70);
    fixture_sync(f, 'a', &dead, 1);
    assert_int_equal(fixture_count(f, EFFECT_SHARDS_DROP), 1);
    fixture_shard(f, job, 1, 10, 1, 2);
    assert_string_equal(f->reply.code, "stale_attempt");
}

static void a_checkpoint_may_be_asked_for_while_it_runs(void **state)
{
    struct fixture *f = *state;
    struct brain_input input = {.kind = INPUT_JOB_CHECKPOINT, .job = "job_none"};
    fixture_step(f, &input);
    assert_string_equal(f->reply.code, "not_live");
    const struct job_request request = fixture_request(1);
    input.job = fixture_submit(f, &request);
    fixture_step(f, &input);
    assert_string_equal(f->reply.code, "not_running");
    fixture_join(f, 'a', 1);
    fixture_step(f, &input);
    assert_int_equal(f->reply.status, STATUS_OK);
    assert_int_equal(fixture_count(f, EFFECT_DESIRED), 1);
    assert_int_equal(brain_job(f->brain, input.job)->checkpoint_request, 1);
}

static void a_repeated_result_is_fine_and_another_is_not(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    fixture_result(f, job, 1);
    fixture_result(f, job, 1);
    assert_true(f->reply.duplicate);
    struct brain_input input = {.kind = INPUT_RESULT};
    input.result = (struct input_result){.job = job,
                                         .attempt = 1,
                                         .node = "node_a",
                                         .model_sha256 = "other",
                                         .model_file_sha256 = "other",
                                         .metrics = "{}"};
    fixture_step(f, &input);
    assert_string_equal(f->reply.code, "result_differs");
}

static void the_first_step_is_noted_once(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    /* After the attempt's start: no first step is noted before that. */
    const int64_t at_ms = f->wall_ms + 42;
    struct brain_input input = {
        .kind = INPUT_FIRST_STEP, .job = job, .attempt = 1, .at_wall_ms = at_ms};
    fixture_step(f, &input);
    assert_int_equal(brain_attempt(f->brain, job)->first_step_at_ms, at_ms);
    input.at_wall_ms = at_ms + 1;
    fixture_step(f, &input);
    assert_int_equal(brain_attempt(f->brain, job)->first_step_at_ms, at_ms);
    input.attempt = 9;
    fixture_step(f, &input);
    assert_int_equal(f->effects.count, 0);
}

/* ---- nodes */

static struct slot_row slot_of(const char *name, int64_t index)
{
    struct slot_row row = {.kind = DEVICE_CPU, .index = index};
    (void)snprintf(row.slot, sizeof(row.slot), "%s", name);
    return row;
}

static void sync_slots(struct fixture *f, const struct slot_row *slots, size_t count)
{
    struct brain_input input = {.kind = INPUT_NODE_SYNC};
    input.sync = (struct input_sync){.node = "node_a",
                                     .session = f->sessions,
                                     .seq = ++f->seq,
                                     .boot_id = "boot-1",
                                     .received_boot_ms = f->boot_ms,
                                     .slots = slots,
                                     .slot_count = count};
    fixture_step(f, &input);
}

static void slots_come_and_go_as_the_node_reports_them(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 2);
    const char *job = fixture_run(f, 1);
    const struct slot_row both[] = {slot_of("cpu:0", 0), slot_of("cpu:1", 1)};
    sync_slots(f, both, 2);
    assert_int_equal(f->effects.count, 0);
    sync_slots(f, both, 0);
    assert_int_equal(f->effects.count, 0);
    const struct slot_row other[] = {slot_of("cpu:2", 2)};
    sync_slots(f, other, 1);
    assert_int_equal(fixture_count(f, EFFECT_SLOT_DELETE), 1);
    assert_int_equal(fixture_count(f, EFFECT_SLOT_PUT), 2);
    struct brain_counts counts;
    brain_count(f->brain, &counts);
    assert_int_equal(counts.slots, 1);
    assert_int_equal(counts.slots_held, 1);
    sync_slots(f, both, 2);
    brain_count(f->brain, &counts);
    assert_int_equal(counts.slots, 2);
    assert_job(f, job, JOB_RUNNING);
}

static void a_node_that_joins_again_keeps_its_id_and_its_ranks(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    const char *job = fixture_run(f, 1);
    const struct node_row before = *brain_node(f->brain, "node_a");
    struct brain_input input = {.kind = INPUT_NODE_JOIN};
    input.join.node = before;
    input.join.node.labels = (char[]){"{}"}; /* `before`'s belong to the brain */
    (void)snprintf(input.join.node.hostname, BRAIN_NAME_BYTES, "renamed");
    fixture_step(f, &input);
    assert_string_equal(brain_node(f->brain, "node_a")->hostname, "renamed");
    assert_job(f, job, JOB_RUNNING);
    (void)snprintf(input.join.node.boot_id, sizeof(input.join.node.boot_id), "boot-9");
    fixture_step(f, &input);
    assert_int_equal(brain_attempt(f->brain, job)->cause, REASON_NODE_REBOOTED);
}

static void a_late_disconnect_of_a_former_session_says_nothing(void **state)
{
    struct fixture *f = *state;
    fixture_join(f, 'a', 1);
    fixture_step(f, &(struct brain_input){.kind = INPUT_NODE_DISCONNECT,
                                          .node = "node_a",
                                          .session = f->sessions - 1});
    const struct job_request request = fixture_request(1);
    const char *job = fixture_submit(f, &request);
    assert_job(f, job, JOB_STARTING);
}

/* ---- reload */

static void store_all(struct store *store, const struct fixture *f)
{
    struct error err = {.status = STATUS_OK};
    assert_int_equal(store_begin(store, &err), STATUS_OK);
    if (store_apply(store, &f->effects, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(store_commit(store, &err), STATUS_OK);
}

static void assert_reloads(struct fixture *f, struct store *store)
{
    struct error err = {.status = STATUS_OK};
    struct brain *second = NULL;
    assert_int_equal(brain_new(&f->config, &second, &err), STATUS_OK);
    assert_int_equal(store_load(store, second, &err), STATUS_OK);
    brain_start(second, f->boot_ms, store_revision(store));
    assert_true(brain_digest(second) == brain_digest(f->brain));
    char why[256] = "";
    if (!brain_check(second, why, sizeof(why)))
        fail_msg("%s", why);
    brain_free(second);
}

static void a_reloaded_brain_has_the_same_digest_in_every_state(void **state)
{
    struct fixture *f = *state;
    struct store *store = NULL;
    static const uint8_t sha256[32] = {7};
    assert_int_equal(store_open(STORE_MEMORY, &store, NULL), STATUS_OK);
    const struct slot_row slots[] = {slot_of("cpu:0", 0), slot_of("cpu:1", 1)};
    struct brain_input join = {.kind = INPUT_NODE_JOIN};
    join.join = (struct input_join){.slots = slots,
                                    .slot_count = 2,
                                    .join_token = "",
                                    .node_token = "tok_1",
                                    .node_token_sha256 = sha256};
    (void)snprintf(join.join.node.id, ID_BYTES_MAX, "node_a");
    (void)snprintf(join.join.node.boot_id, sizeof(join.join.node.boot_id), "boot-1");
    fixture_step(f, &join);
    store_all(store, f);
    fixture_sync(f, 'a', NULL, 0);
    store_all(store, f);
    struct brain_input submit = {.kind = INPUT_JOB_SUBMIT};
    (void)snprintf(submit.submit.job.id, ID_BYTES_MAX, "job_r");
    (void)snprintf(submit.submit.job.project, BRAIN_NAME_BYTES, "default");
    submit.submit.job.request = fixture_request(2);
    submit.submit.spec = "{}";
    submit.submit.labels = "{}";
    fixture_step(f, &submit);
    store_all(store, f);
    assert_reloads(f, store);
    const struct observed_rank alive[] = {fixture_alive("job_r", 1, 0),
                                          fixture_alive("job_r", 1, 1)};
    fixture_sync(f, 'a', alive, 2);
    store_all(store, f);
    assert_reloads(f, store);
    fixture_shard(f, "job_r", 1, 10, 0, 1);
    store_all(store, f);
    fixture_shard(f, "job_r", 1, 20, 0, 2);
    store_all(store, f);
    assert_reloads(f, store);
    const struct observed_rank dead[] = {fixture_exit("job_r", 1, 0, 70),
                                         fixture_alive("job_r", 1, 1)};
    fixture_sync(f, 'a', dead, 2);
    store_all(store, f);
    assert_reloads(f, store);
    fixture_cancel(f, "job_r");
    store_all(store, f);
    assert_reloads(f, store);
    fixture_sync(f, 'a', NULL, 0);
    store_all(store, f);
    assert_null(brain_job(f->brain, "job_r"));
    assert_reloads(f, store);
    store_close(store);
}

/* ---- containers */

static void a_map_finds_what_it_holds_after_many_changes(void **state)
{
    (void)state;
    static char keys[500][16];
    struct map map = {.entries = NULL};
    assert_null(map_find(&map, "nothing"));
    for (int i = 0; i < 500; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "key-%d", i);
        map_insert(&map, keys[i], keys[i]);
    }
    for (int i = 0; i < 500; i += 3)
        map_remove(&map, keys[i]);
    for (int i = 0; i < 500; i++)
        assert_ptr_equal(map_find(&map, keys[i]), i % 3 == 0 ? NULL : keys[i]);
    map_clear(&map);
}

static void timers_come_out_in_order(void **state)
{
    (void)state;
    struct timer items[200];
    memset(items, 0, sizeof(items));
    struct timers timers = {.heap = NULL};
    uint64_t random = 5;
    for (int i = 0; i < 200; i++)
        timer_set(&timers, &items[i], (int64_t)(splitmix64_next(&random) % 50));
    for (int i = 0; i < 200; i += 4)
        timer_set(&timers, &items[i], TIMER_NEVER);
    for (int i = 1; i < 200; i += 4)
        timer_set(&timers, &items[i], (int64_t)(splitmix64_next(&random) % 50));
    int64_t last_ms = -1;
    int count = 0;
    for (struct timer *first = timer_first(&timers); first != NULL; first = timer_first(&timers)) {
        assert_true(first->at_ms >= last_ms);
        last_ms = first->at_ms;
        timer_set(&timers, first, TIMER_NEVER);
        count++;
    }
    assert_int_equal(count, 150);
    timers_clear(&timers);
}

static void a_configuration_without_a_profile_is_refused(void **state)
{
    (void)state;
    struct brain *brain = NULL;
    struct error err = {.status = STATUS_OK};
    assert_int_equal(brain_new(&(struct brain_config){.jobs_live_max = 1}, &brain, &err),
                     STATUS_INVALID);
    brain_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(a_known_key_with_the_same_body_answers_the_same_job),
        TEST(what_cannot_be_is_refused),
        TEST(more_live_jobs_than_allowed_are_refused_for_now),
        TEST(a_checkpoint_is_committed_with_its_last_shard),
        TEST(shards_that_contradict_are_refused),
        TEST(retention_keeps_the_newest),
        TEST(an_attempt_that_ends_drops_its_uncommitted_shards),
        TEST(a_checkpoint_may_be_asked_for_while_it_runs),
        TEST(a_repeated_result_is_fine_and_another_is_not),
        TEST(the_first_step_is_noted_once),
        TEST(slots_come_and_go_as_the_node_reports_them),
        TEST(a_node_that_joins_again_keeps_its_id_and_its_ranks),
        TEST(a_late_disconnect_of_a_former_session_says_nothing),
        TEST(a_reloaded_brain_has_the_same_digest_in_every_state),
        cmocka_unit_test(a_map_finds_what_it_holds_after_many_changes),
        cmocka_unit_test(timers_come_out_in_order),
        cmocka_unit_test(a_configuration_without_a_profile_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
