/* test_store.c - every effect comes back from disk as it went in. */

#include "tests/unit/unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "service/store/store_private.h"
#include "tests/unit/store_fixture.h"

#define SHELL_HOLDS_MS       50
#define CHECKPOINT_LOCK_BYTE 121 /* of the -shm file, as SQLite's file format says */

static void reopen(struct store_room *room)
{
    store_close(room->store);
    room->store = store_test_open(room->folder);
}

/* ---- rows, compared column by column */

#define EQUAL_INT(field)           assert_int_equal(a->field, b->field);
#define EQUAL_FLAG(field)          assert_int_equal(a->field, b->field);
#define EQUAL_TEXT(field)          assert_string_equal(a->field, b->field);
#define EQUAL_WORD_DEVICE          EQUAL_INT
#define EQUAL_WORD_JOB_STATE       EQUAL_INT
#define EQUAL_WORD_ATTEMPT_STATE   EQUAL_INT
#define EQUAL_WORD_NODE_STATE      EQUAL_INT
#define EQUAL_WORD_REASON          EQUAL_INT
#define EQUAL_WORD_PHASE           EQUAL_INT
#define EQUAL(kind, column, field) EQUAL_##kind(field)

static void assert_job(const struct job_row *a, const struct job_row *b)
{
    assert_string_equal(a->id, b->id);
    JOB_FIXED_COLUMNS(EQUAL)
    JOB_LIFE_COLUMNS(EQUAL)
}

static void assert_attempt(const struct attempt_row *a, const struct attempt_row *b)
{
    assert_string_equal(a->job, b->job);
    assert_int_equal(a->attempt, b->attempt);
    ATTEMPT_FIXED_COLUMNS(EQUAL)
    ATTEMPT_LIFE_COLUMNS(EQUAL)
}

static void assert_rank(const struct rank_row *a, const struct rank_row *b)
{
    RANK_COLUMNS(EQUAL)
}

static void assert_node(const struct node_row *a, const struct node_row *b)
{
    assert_string_equal(a->labels, b->labels);
    NODE_COLUMNS(EQUAL)
}

static void assert_slot(const struct slot_row *a, const struct slot_row *b)
{
    assert_string_equal(a->job, b->job);
    assert_int_equal(a->attempt, b->attempt);
    assert_int_equal(a->rank, b->rank);
    SLOT_COLUMNS(EQUAL)
}

static void assert_checkpoint(const struct checkpoint_row *a, const struct checkpoint_row *b)
{
    CHECKPOINT_COLUMNS(EQUAL)
}

static void assert_shard(const struct shard_row *a, const struct shard_row *b)
{
    SHARD_COLUMNS(EQUAL)
}

static void get_job(struct store_room *room, const char *id, struct job_view *out)
{
    assert_ok(reader_job(store_reader(room->store), id, out, &room->err), &room->err);
}

static void a_job_comes_back_as_it_went_in(void **state)
{
    struct store_room *room = *state;
    struct job_row job = store_test_job("job_1", "key");
    store_test_put_job(room->store, &job);
    reopen(room);
    struct job_view view;
    get_job(room, "job_1", &view);
    assert_job(&view.row, &job);
    assert_string_equal(view.spec, "{\"name\":\"digits\"}");
    assert_int_equal(view.spec_bytes, strlen(view.spec));
    assert_string_equal(view.labels, "{\"owner\":\"risk\"}");
    assert_string_equal(view.metrics, "{}");
}

static void an_update_changes_the_whole_life_and_nothing_else(void **state)
{
    struct store_room *room = *state;
    struct job_row job = store_test_job("job_1", "key");
    store_test_put_job(room->store, &job);
    job.revision = 99;
    job.state = JOB_FAILED;
    job.reason = REASON_CRASH_LOOP;
    (void)snprintf(job.detail, sizeof job.detail, "the same step twice");
    job.attempt = 3;
    job.device = DEVICE_CPU;
    (void)snprintf(job.numerics, sizeof job.numerics, "abc");
    job.bit_exact = false;
    job.resume_step = 10;
    job.lost_steps = 4;
    job.restarts = 2;
    job.infra_restarts = 1;
    job.ends_without_checkpoint = 2;
    job.crash_step = 12;
    job.crash_reason = REASON_INTERNAL;
    job.checkpoint_request = 5;
    job.cancel_requested = true;
    job.started_at_ms = 1100;
    job.ended_at_ms = 1200;
    store_test_apply(room->store, &(struct effect){.kind = EFFECT_JOB_UPDATE, .job = job});
    reopen(room);
    struct job_view view;
    get_job(room, "job_1", &view);
    assert_job(&view.row, &job);
}

static void a_result_comes_with_its_metrics(void **state)
{
    struct store_room *room = *state;
    store_test_put_running(room->store, "job_1");
    struct job_row job = store_test_job("job_1", "");
    job.attempt = 1;
    job.state = JOB_SUCCEEDED;
    job.result_attempt = 1;
    job.model_bytes = 407592;
    memset(job.model_sha256, 'd', sizeof job.model_sha256 - 1);
    memset(job.model_file_sha256, 'e', sizeof job.model_file_sha256 - 1);
    store_test_apply(
        room->store,
        &(struct effect){.kind = EFFECT_JOB_RESULT, .job = job, .metrics = "{\"accuracy\":0.97}"});
    struct job_view view;
    get_job(room, "job_1", &view);
    assert_job(&view.row, &job);
    assert_string_equal(view.metrics, "{\"accuracy\":0.97}");
}

struct attempts_seen {
    size_t count;
    struct attempt_row attempt;
    size_t rank_count;
    struct rank_row rank;
};

static void see_attempt(void *context, const struct attempt_row *attempt,
                        const struct rank_row *ranks, size_t rank_count)
{
    struct attempts_seen *seen = context;
    seen->count++;
    seen->attempt = *attempt;
    seen->rank_count = rank_count;
    if (rank_count > 0)
        seen->rank = ranks[0];
}

static void attempts_and_ranks_come_back_as_they_went_in(void **state)
{
    struct store_room *room = *state;
    store_test_put_running(room->store, "job_1");
    struct attempt_row attempt = store_test_attempt("job_1", 1);
    attempt.state = ATTEMPT_ENDED;
    attempt.reason = REASON_PEER_LOST;
    (void)snprintf(attempt.detail, sizeof attempt.detail, "rank 1");
    attempt.resume_step = 5;
    attempt.lost_steps = 6;
    attempt.cause = REASON_NODE_LOST;
    attempt.fault_at_ms = 1;
    attempt.detected_at_ms = 2;
    attempt.fenced_at_ms = 3;
    attempt.started_at_ms = 4;
    attempt.first_step_at_ms = 5;
    attempt.ended_at_ms = 6;
    struct rank_row rank = store_test_rank("job_1", 1, 0, "n1");
    rank.ended = true;
    rank.exit_code = -1;
    rank.exit_signal = 9;
    rank.exit_oom = true;
    rank.exit_reason = REASON_OOM;
    store_test_apply(room->store,
                     &(struct effect){.kind = EFFECT_ATTEMPT_UPDATE, .attempt = attempt});
    store_test_apply(room->store, &(struct effect){.kind = EFFECT_RANK_PUT, .rank = rank});
    reopen(room);
    struct attempts_seen seen = {.count = 0};
    assert_ok(
        reader_attempts(store_reader(room->store), "job_1", 0, 10, see_attempt, &seen, &room->err),
        &room->err);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.rank_count, 1);
    assert_attempt(&seen.attempt, &attempt);
    assert_rank(&seen.rank, &rank);
    struct attempt_row one;
    assert_ok(reader_attempt(store_reader(room->store), "job_1", 1, &one, &room->err), &room->err);
    assert_attempt(&one, &attempt);
}

struct nodes_seen {
    size_t count;
    char labels[64];
    struct node_row node;
    size_t slot_count;
    struct slot_row slot;
};

static void see_node(void *context, const struct node_row *node, const struct slot_row *slots,
                     size_t slot_count)
{
    struct nodes_seen *seen = context;
    seen->count++;
    (void)snprintf(seen->labels, sizeof seen->labels, "%s", node->labels);
    seen->node = *node;
    seen->node.labels = seen->labels;
    seen->slot_count = slot_count;
    if (slot_count > 0)
        seen->slot = slots[0];
}

static void nodes_and_slots_come_back_as_they_went_in(void **state)
{
    struct store_room *room = *state;
    store_test_put_running(room->store, "job_1");
    struct node_row node = store_test_node("n1");
    node.state = NODE_LOST;
    node.drain = true;
    node.lost_at_ms = 9;
    store_test_apply(room->store, &(struct effect){.kind = EFFECT_NODE_PUT, .node = node});
    reopen(room);
    struct nodes_seen seen = {.count = 0};
    assert_ok(reader_node(store_reader(room->store), "n1", see_node, &seen, &room->err),
              &room->err);
    struct slot_row slot = store_test_slot("n1", "cpu:0");
    (void)snprintf(slot.job, sizeof slot.job, "job_1");
    slot.attempt = 1;
    assert_node(&seen.node, &node);
    assert_int_equal(seen.slot_count, 1);
    assert_slot(&seen.slot, &slot);
    assert_int_equal(reader_node(store_reader(room->store), "n2", see_node, &seen, NULL),
                     STATUS_NOT_FOUND);

    struct slot_row freed = store_test_slot("n1", "cpu:0");
    store_test_apply(room->store, &(struct effect){.kind = EFFECT_SLOT_PUT, .slot = freed});
    store_test_apply(room->store, &(struct effect){.kind = EFFECT_SLOT_DELETE, .slot = freed});
    assert_ok(reader_node(store_reader(room->store), "n1", see_node, &seen, &room->err),
              &room->err);
    assert_int_equal(seen.slot_count, 0);
}

struct checkpoints_seen {
    size_t count;
    struct checkpoint_row checkpoint;
    size_t shard_count;
    struct shard_row shard;
};

static void see_checkpoint(void *context, const struct checkpoint_row *checkpoint,
                           const struct shard_row *shards, size_t shard_count)
{
    struct checkpoints_seen *seen = context;
    seen->count++;
    seen->checkpoint = *checkpoint;
    seen->shard_count = shard_count;
    seen->shard = shards[0];
}

static void put_checkpoint(struct store_room *room, int64_t step)
{
    for (int64_t shard = 0; shard < 2; shard++)
        store_test_apply(room->store, &(struct effect){.kind = EFFECT_SHARD_INSERT,
                                                       .shard = store_test_shard("job_1", 1, step,
                                                                                 shard, 2, "n1")});
    store_test_apply(room->store,
                     &(struct effect){.kind = EFFECT_CHECKPOINT_INSERT,
                                      .checkpoint = store_test_checkpoint("job_1", 1, step, 2)});
}

static void checkpoints_come_back_with_their_shards_until_they_are_deleted(void **state)
{
    struct store_room *room = *state;
    store_test_put_running(room->store, "job_1");
    put_checkpoint(room, 10);
    put_checkpoint(room, 20);
    const struct checkpoint_row expected = store_test_checkpoint("job_1", 1, 20, 2);
    const struct shard_row shard = store_test_shard("job_1", 1, 20, 0, 2, "n1");
    struct checkpoints_seen seen = {.count = 0};
    struct reader *reader = store_reader(room->store);
    assert_ok(reader_checkpoints(reader, "job_1", 0, 10, see_checkpoint, &seen, &room->err),
              &room->err);
    assert_int_equal(seen.count, 2);
    assert_checkpoint(&seen.checkpoint, &expected);
    assert_int_equal(seen.shard_count, 2);
    assert_shard(&seen.shard, &shard);
    struct shard_row one;
    assert_ok(reader_shard(reader, "job_1", 1, 20, 1, &one, &room->err), &room->err);
    assert_int_equal(one.shard, 1);

    store_test_apply(room->store,
                     &(struct effect){.kind = EFFECT_CHECKPOINT_DELETE,
                                      .checkpoint = store_test_checkpoint("job_1", 1, 10, 2)});
    assert_int_equal(reader_checkpoint(reader, "job_1", 10, see_checkpoint, &seen, NULL),
                     STATUS_NOT_FOUND);
    assert_int_equal(reader_shard(reader, "job_1", 1, 10, 0, &one, NULL), STATUS_NOT_FOUND);
    assert_ok(reader_checkpoint(reader, "job_1", 20, see_checkpoint, &seen, &room->err),
              &room->err);
}

static void dropping_shards_spares_those_of_a_checkpoint(void **state)
{
    struct store_room *room = *state;
    store_test_put_running(room->store, "job_1");
    put_checkpoint(room, 10);
    store_test_apply(room->store,
                     &(struct effect){.kind = EFFECT_SHARD_INSERT,
                                      .shard = store_test_shard("job_1", 1, 20, 0, 2, "n1")});
    store_test_apply(
        room->store,
        &(struct effect){.kind = EFFECT_SHARDS_DROP, .drop_job = "job_1", .drop_attempt = 1});
    struct shard_row shard;
    struct reader *reader = store_reader(room->store);
    assert_int_equal(reader_shard(reader, "job_1", 1, 20, 0, &shard, NULL), STATUS_NOT_FOUND);
    assert_ok(reader_shard(reader, "job_1", 1, 10, 0, &shard, &room->err), &room->err);
}

static void see_event(void *context, int64_t seq, const struct event_row *event)
{
    char *out = context;
    (void)snprintf(out + strlen(out), 200 - strlen(out), "%lld:%s:%s>%s:%s ", (long long)seq,
                   event->job, event->from, event->to, reason_names[event->reason]);
}

static void history_is_numbered_within_a_job(void **state)
{
    struct store_room *room = *state;
    struct job_row job = store_test_job("job_1", "");
    store_test_put_job(room->store, &job);
    struct event_row event = {.job = "job_1",
                              .at_ms = 5,
                              .actor = "controller",
                              .kind = "state",
                              .from = "queued",
                              .to = "starting"};
    store_test_apply(room->store, &(struct effect){.kind = EFFECT_EVENT, .event = event});
    struct event_row other = {.node = "n1", .kind = "state", .to = "ready"};
    store_test_apply(room->store, &(struct effect){.kind = EFFECT_EVENT, .event = other});
    event.reason = REASON_HANG;
    store_test_apply(room->store, &(struct effect){.kind = EFFECT_EVENT, .event = event});
    char text[200] = "";
    struct reader *reader = store_reader(room->store);
    assert_ok(reader_events(reader, "job_1", 0, 10, see_event, text, &room->err), &room->err);
    assert_ok(reader_events(reader, "", 0, 10, see_event, text, &room->err), &room->err);
    assert_ok(reader_events(reader, "job_1", 1, 10, see_event, text, &room->err), &room->err);
    assert_string_equal(text, "1:job_1:queued>starting:none 2:job_1:queued>starting:hang "
                              "1::>ready:none 2:job_1:queued>starting:hang ");
}

/* ---- credentials */

static void a_join_uses_up_its_token_and_ends_earlier_credentials(void **state)
{
    struct store_room *room = *state;
    struct join_token_row join = {.id = "jt_1", .created_by = "tok_1", .expires_at_ms = 9};
    assert_ok(store_begin(room->store, &room->err), &room->err);
    assert_ok(store_insert_join_token(room->store, &join, &room->err), &room->err);
    assert_ok(store_commit(room->store, &room->err), &room->err);
    store_test_put_node(room->store, "n1");
    static const uint8_t sha256[SHA256_BYTES] = {7};
    struct effect effect = {
        .kind = EFFECT_NODE_TOKEN,
        .token = {
            .join_token = "jt_1", .node_token = "nt_1", .node_token_sha256 = sha256, .node = "n1"}};
    store_test_apply(room->store, &effect);
    struct reader *reader = store_reader(room->store);
    struct token_row token;
    assert_ok(reader_token(reader, "nt_1", &token, &room->err), &room->err);
    assert_int_equal(token.role, ROLE_NODE);
    assert_string_equal(token.node, "n1");
    assert_memory_equal(token.sha256, sha256, SHA256_BYTES);
    assert_int_equal(token.revoked_at_ms, 0);
    assert_ok(reader_join_token(reader, "jt_1", &join, &room->err), &room->err);
    assert_string_equal(join.used_by, "n1");

    effect.token.node_token = "nt_2";
    assert_int_equal(store_test_try(room->store, &effect, NULL), STATUS_INTERNAL); /* used */
    effect.token.join_token = "";
    store_test_apply(room->store, &effect);
    assert_ok(reader_token(reader, "nt_1", &token, &room->err), &room->err);
    assert_true(token.revoked_at_ms > 0);
    assert_ok(reader_token(reader, "nt_2", &token, &room->err), &room->err);
    assert_int_equal(token.revoked_at_ms, 0);
}

static void tokens_projects_and_data_sets_come_back(void **state)
{
    struct store_room *room = *state;
    struct store *store = room->store;
    struct reader *reader = store_reader(store);
    struct error *err = &room->err;
    struct token_row token = {.id = "tok_1",
                              .role = ROLE_SUBMITTER,
                              .project = "risk",
                              .name = "ci",
                              .sha256 = {1, 2, 3},
                              .created_at_ms = 4,
                              .expires_at_ms = 5};
    bool created = false;
    assert_ok(store_begin(store, err), err);
    assert_fails(store_insert_token(store, &token, err), err, STATUS_INVALID,
                 "there is no project risk");
    assert_ok(store_ensure_project(store, "risk", 3, &created, err), err);
    assert_true(created);
    assert_ok(store_ensure_project(store, "risk", 4, &created, err), err);
    assert_false(created);
    assert_ok(store_insert_token(store, &token, err), err);
    assert_int_equal(store_revoke_token(store, "tok_9", 9, NULL), STATUS_NOT_FOUND);
    struct dataset_row dataset = {.name = "mnist", .path = "/data/mnist", .created_at_ms = 1};
    assert_ok(store_put_dataset(store, &dataset, err), err);
    (void)snprintf(dataset.path, sizeof dataset.path, "/other");
    dataset.created_at_ms = 2;
    dataset.updated_at_ms = 2;
    assert_ok(store_put_dataset(store, &dataset, err), err);
    assert_ok(store_revoke_token(store, "tok_1", 9, err), err);
    assert_ok(store_revoke_token(store, "tok_1", 10, err), err);
    assert_ok(store_commit(store, err), err);

    struct token_row got;
    assert_ok(reader_token(reader, "tok_1", &got, err), err);
    assert_int_equal(got.role, ROLE_SUBMITTER);
    assert_string_equal(got.project, "risk");
    assert_memory_equal(got.sha256, token.sha256, SHA256_BYTES);
    assert_int_equal(got.revoked_at_ms, 9);
    struct dataset_row found;
    assert_ok(reader_dataset(reader, "mnist", &found, err), err);
    assert_string_equal(found.path, "/other");
    assert_int_equal(found.created_at_ms, 1);
    struct project_row project;
    assert_ok(reader_project(reader, "default", &project, err), err);
    assert_fails(reader_project(reader, "nobody", &project, err), err, STATUS_NOT_FOUND,
                 "there is no project nobody");
}

/* ---- idempotency keys */

static enum status find_key(struct store_room *room, const char *key, int64_t not_before_ms,
                            char out_job[ID_BYTES_MAX])
{
    char sha256[BRAIN_SHA_BYTES];
    assert_ok(store_begin(room->store, &room->err), &room->err);
    const enum status status =
        store_find_key(room->store, "default", key, not_before_ms, out_job, sha256, NULL);
    assert_ok(store_commit(room->store, &room->err), &room->err);
    if (status == STATUS_OK)
        assert_int_equal(sha256[0], 'a');
    return status;
}

static void a_key_finds_its_job_until_it_expires(void **state)
{
    struct store_room *room = *state;
    char job[ID_BYTES_MAX] = "";
    struct job_row row = store_test_job("job_1", "key");
    store_test_put_job(room->store, &row);
    assert_int_equal(find_key(room, "key", 1000, job), STATUS_OK);
    assert_string_equal(job, "job_1");
    assert_int_equal(find_key(room, "other", 1000, job), STATUS_NOT_FOUND);
    assert_int_equal(find_key(room, "key", 1001, job), STATUS_NOT_FOUND);
    struct job_row next = store_test_job("job_2", "key"); /* the key was released */
    store_test_put_job(room->store, &next);
    assert_int_equal(find_key(room, "key", 1000, job), STATUS_OK);
    assert_string_equal(job, "job_2");
}

static void old_keys_are_released_in_batches(void **state)
{
    struct store_room *room = *state;
    for (int i = 0; i < 10; i++) {
        char id[ID_BYTES_MAX];
        char key[16];
        (void)snprintf(id, sizeof id, "job_%d", i);
        (void)snprintf(key, sizeof key, "key%d", i);
        struct job_row job = store_test_job(id, key);
        job.created_at_ms = 1000 + i;
        store_test_put_job(room->store, &job);
    }
    for (int i = 0; i < 2; i++) {
        assert_ok(store_begin(room->store, &room->err), &room->err);
        assert_ok(store_release_keys(room->store, 1005, &room->err), &room->err);
        assert_ok(store_commit(room->store, &room->err), &room->err);
    }
    char job[ID_BYTES_MAX];
    assert_int_equal(find_key(room, "key4", 0, job), STATUS_NOT_FOUND);
    assert_int_equal(find_key(room, "key5", 0, job), STATUS_OK);
}

/* ---- transactions */

static void a_rollback_leaves_nothing(void **state)
{
    struct store_room *room = *state;
    struct effect effect = {
        .kind = EFFECT_JOB_INSERT, .job = store_test_job("job_1", ""), .spec = "{}"};
    const struct effects effects = {.items = &effect, .count = 1};
    assert_ok(store_begin(room->store, &room->err), &room->err);
    assert_ok(store_apply(room->store, &effects, &room->err), &room->err);
    struct job_view view;
    get_job(room, "job_1", &view); /* the writer sees its own rows */
    store_rollback(room->store);
    assert_false(store_in_transaction(room->store));
    assert_int_equal(reader_job(store_reader(room->store), "job_1", &view, NULL), STATUS_NOT_FOUND);
    assert_int_equal(store_revision(room->store), 0);
}

static void the_revision_never_falls(void **state)
{
    struct store_room *room = *state;
    assert_int_equal(store_revision(room->store), 0);
    struct job_row job = store_test_job("job_1", "");
    job.revision = 41;
    store_test_put_job(room->store, &job);
    assert_int_equal(store_revision(room->store), 41);
    store_test_put_node(room->store, "n1"); /* its revision is 3 */
    assert_int_equal(store_revision(room->store), 41);
    store_test_apply(room->store, &(struct effect){.kind = EFFECT_DESIRED,
                                                   .node = {.id = "n1", .revision = 50}});
    reopen(room);
    assert_int_equal(store_revision(room->store), 50);
}

static void a_row_that_is_not_there_is_not_updated_silently(void **state)
{
    struct store_room *room = *state;
    const struct effect effect = {.kind = EFFECT_JOB_UPDATE, .job = store_test_job("job_9", "")};
    assert_int_equal(store_test_try(room->store, &effect, &room->err), STATUS_INTERNAL);
    assert_string_equal(room->err.text, "database: no job job_9 to change");
}

static void a_second_controller_is_refused(void **state)
{
    struct store_room *room = *state;
    struct store *second = NULL;
    struct error err = {0};
    assert_int_equal(store_open(room->folder, &second, &err), STATUS_CONFLICT);
    assert_non_null(strstr(err.text, "another controller runs on /tmp/reprise-store-"));
}

static void a_full_disk_is_told_apart(void **state)
{
    struct store_room *room = *state;
    struct job_row job = store_test_job("job_1", "");
    store_test_put_job(room->store, &job);
    assert_ok(sql_exec(room->store->db, "PRAGMA max_page_count = 1", &room->err), &room->err);
    enum status status = STATUS_OK;
    for (int i = 0; status == STATUS_OK && i < 1000; i++) {
        char id[ID_BYTES_MAX];
        (void)snprintf(id, sizeof id, "job_full_%d", i);
        const struct effect effect = {
            .kind = EFFECT_JOB_INSERT, .job = store_test_job(id, ""), .spec = "{}"};
        status = store_test_try(room->store, &effect, NULL);
    }
    assert_int_equal(status, STATUS_NO_SPACE);
    assert_false(store_in_transaction(room->store));
    struct job_view view;
    get_job(room, "job_1", &view);
}

static void the_wal_is_moved_when_that_is_due(void **state)
{
    struct store_room *room = *state;
    int made = 0;
    while (store_wal_pages(room->store) < STORE_WAL_PAGES_IDLE) {
        char id[ID_BYTES_MAX];
        (void)snprintf(id, sizeof id, "job_%d", made++);
        struct job_row job = store_test_job(id, "");
        store_test_put_job(room->store, &job);
    }
    assert_ok(store_maintain(room->store, false, &room->err), &room->err);
    assert_true(store_wal_pages(room->store) >= STORE_WAL_PAGES_IDLE);
    assert_ok(store_maintain(room->store, true, &room->err), &room->err);
    assert_int_equal(store_wal_pages(room->store), 0);
    struct job_row job = store_test_job("job_last", "");
    store_test_put_job(room->store, &job);
    assert_true(store_wal_pages(room->store) > 0);
    assert_true(store_wal_pages(room->store) < 50);
}

/* ---- other programs at the database */

static void *begin_and_roll_back(void *argument)
{
    struct store_room *room = argument;
    const enum status status = store_begin(room->store, &room->err);
    if (status == STATUS_OK)
        store_rollback(room->store);
    return NULL;
}

static void a_shell_that_holds_the_lock_is_waited_for(void **state)
{
    struct store_room *room = *state;
    char path[STORE_TEST_PATH_BYTES + 16];
    snprintf(path, sizeof(path), "%s/state.db", room->folder);
    sqlite3 *shell = NULL;
    assert_int_equal(sqlite3_open(path, &shell), SQLITE_OK);
    assert_int_equal(sqlite3_exec(shell, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, begin_and_roll_back, room), 0);
    clock_sleep_ms(SHELL_HOLDS_MS);
    assert_int_equal(sqlite3_exec(shell, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_ok(room->err.status, &room->err);
    sqlite3_close(shell);
}

/* Takes the lock of whoever moves the WAL until the pipe closes; such locks only work between processes. */
static void hold_checkpoint_lock(const char *folder, int told_fd, int until_fd)
{
    char path[STORE_TEST_PATH_BYTES + 16];
    char byte = 0;
    snprintf(path, sizeof(path), "%s/state.db-shm", folder);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = CHECKPOINT_LOCK_BYTE, .l_len = 1};
    if (fd < 0 || fcntl(fd, F_SETLK, &lock) != 0)
        _exit(1);
    _exit(write(told_fd, "t", 1) == 1 && read(until_fd, &byte, 1) == 0 ? 0 : 1);
}

static void a_wal_that_another_program_moves_is_left_for_later(void **state)
{
    struct store_room *room = *state;
    store_test_put_running(room->store, "job_1");
    int told[2];
    int until[2];
    char byte = 0;
    assert_int_equal(pipe(told), 0);
    assert_int_equal(pipe(until), 0);
    const pid_t other = fork();
    assert_true(other >= 0);
    if (other == 0) {
        close(until[1]);
        hold_checkpoint_lock(room->folder, told[1], until[0]);
    }
    close(told[1]);
    assert_int_equal(read(told[0], &byte, 1), 1);
    room->store->wal_pages = STORE_WAL_PAGES_MAX;
    assert_ok(store_maintain(room->store, false, &room->err), &room->err);
    assert_int_equal(store_wal_pages(room->store), STORE_WAL_PAGES_MAX);
    close(until[1]);
    int end = 0;
    assert_int_equal(waitpid(other, &end, 0), other);
    assert_int_equal(end, 0);
    assert_ok(store_maintain(room->store, false, &room->err), &room->err);
    assert_int_equal(store_wal_pages(room->store), 0);
    close(told[0]);
    close(until[0]);
}

static void a_store_in_memory_does_the_same(void **state)
{
    (void)state;
    struct store *store = store_test_open(STORE_MEMORY);
    store_test_put_running(store, "job_1");
    struct job_view view;
    struct error err = {0};
    assert_ok(reader_job(store_reader(store), "job_1", &view, &err), &err);
    assert_int_equal(view.row.state, JOB_RUNNING);
    store_close(store);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, store_room_set_up, store_room_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_job_comes_back_as_it_went_in),
        CASE(an_update_changes_the_whole_life_and_nothing_else),
        CASE(a_result_comes_with_its_metrics),
        CASE(attempts_and_ranks_come_back_as_they_went_in),
        CASE(nodes_and_slots_come_back_as_they_went_in),
        CASE(checkpoints_come_back_with_their_shards_until_they_are_deleted),
        CASE(dropping_shards_spares_those_of_a_checkpoint),
        CASE(history_is_numbered_within_a_job),
        CASE(a_join_uses_up_its_token_and_ends_earlier_credentials),
        CASE(tokens_projects_and_data_sets_come_back),
        CASE(a_key_finds_its_job_until_it_expires),
        CASE(old_keys_are_released_in_batches),
        CASE(a_rollback_leaves_nothing),
        CASE(the_revision_never_falls),
        CASE(a_row_that_is_not_there_is_not_updated_silently),
        CASE(a_second_controller_is_refused),
        CASE(a_full_disk_is_told_apart),
        CASE(the_wal_is_moved_when_that_is_due),
        CASE(a_shell_that_holds_the_lock_is_waited_for),
        CASE(a_wal_that_another_program_moves_is_left_for_later),
        cmocka_unit_test(a_store_in_memory_does_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
