#include "tests/unit/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "tests/unit/unit.h"

void store_test_folder(char out[STORE_TEST_PATH_BYTES])
{
    (void)snprintf(out, STORE_TEST_PATH_BYTES, "/tmp/reprise-store-XXXXXX");
    assert_non_null(mkdtemp(out));
}

void store_test_drop(const char *folder)
{
    assert_int_equal(fs_remove_tree(folder, NULL), STATUS_OK);
}

struct store *store_test_open(const char *folder)
{
    struct store *store = NULL;
    struct error err = {0};
    if (store_open(folder, &store, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    return store;
}

static void fill_sha(char out[BRAIN_SHA_BYTES], char digit)
{
    memset(out, digit, BRAIN_SHA_BYTES - 1);
    out[BRAIN_SHA_BYTES - 1] = '\0';
}

struct job_row store_test_job(const char *id, const char *key)
{
    struct job_row job = {.revision = 7,
                          .name = "digits",
                          .project = "default",
                          .dataset = "mnist",
                          .state = JOB_QUEUED,
                          .request = {.ranks = 2,
                                      .device = DEVICE_CPU,
                                      .priority = 50,
                                      .time_limit_ms = 1,
                                      .max_restarts = 5,
                                      .max_infra_restarts = 50,
                                      .hang_timeout_ms = 2,
                                      .orphan_timeout_ms = 3,
                                      .keep_last = 3,
                                      .total_steps = 100,
                                      .fenced = true},
                          .bit_exact = true,
                          .crash_step = -1,
                          .created_at_ms = 1000,
                          .submitted_by = "tok_1"};
    (void)snprintf(job.id, sizeof job.id, "%s", id);
    (void)snprintf(job.idempotency_key, sizeof job.idempotency_key, "%s", key);
    fill_sha(job.body_sha256, 'a');
    fill_sha(job.spec_sha256, 'b');
    return job;
}

struct node_row store_test_node(const char *id)
{
    static char labels[] = "{\"zone\":\"a\"}";
    struct node_row node = {.revision = 3,
                            .hostname = "gpu-07",
                            .address = "127.0.0.2",
                            .boot_id = "boot",
                            .numerics = "n",
                            .version = "0.1.0",
                            .labels = labels,
                            .state = NODE_READY,
                            .cpu_count = 8,
                            .memory_bytes = 1 << 30,
                            .port_first = 29500,
                            .port_last = 29999,
                            .joined_at_ms = 500};
    (void)snprintf(node.id, sizeof node.id, "%s", id);
    return node;
}

struct slot_row store_test_slot(const char *node, const char *slot)
{
    struct slot_row row = {.kind = DEVICE_CPU, .name = "core", .memory_bytes = 1, .present = true};
    (void)snprintf(row.node, sizeof row.node, "%s", node);
    (void)snprintf(row.slot, sizeof row.slot, "%s", slot);
    return row;
}

struct attempt_row store_test_attempt(const char *job, int64_t attempt)
{
    struct attempt_row row = {.attempt = attempt,
                              .state = ATTEMPT_PLACED,
                              .world_size = 1,
                              .master_address = "127.0.0.2",
                              .master_port = 29500,
                              .secret = "s",
                              .placed_at_ms = 1100};
    (void)snprintf(row.job, sizeof row.job, "%s", job);
    return row;
}

struct rank_row store_test_rank(const char *job, int64_t attempt, int64_t rank, const char *node)
{
    struct rank_row row = {.attempt = attempt,
                           .rank = rank,
                           .slot = "cpu:0",
                           .pid = 4711,
                           .step = 812,
                           .phase = PROGRESS_STEP};
    (void)snprintf(row.job, sizeof row.job, "%s", job);
    (void)snprintf(row.node, sizeof row.node, "%s", node);
    return row;
}

struct shard_row store_test_shard(const char *job, int64_t attempt, int64_t step, int64_t shard,
                                  int64_t of, const char *node)
{
    struct shard_row row = {
        .attempt = attempt, .step = step, .shard = shard, .of = of, .bytes = 10};
    (void)snprintf(row.job, sizeof row.job, "%s", job);
    (void)snprintf(row.node, sizeof row.node, "%s", node);
    fill_sha(row.sha256, 'c');
    return row;
}

struct checkpoint_row store_test_checkpoint(const char *job, int64_t attempt, int64_t step,
                                            int64_t shards)
{
    struct checkpoint_row row = {.attempt = attempt,
                                 .step = step,
                                 .shards = shards,
                                 .bytes = 10 * shards,
                                 .committed_at_ms = 1200,
                                 .lag_ms = 41};
    (void)snprintf(row.job, sizeof row.job, "%s", job);
    return row;
}

enum status store_test_try(struct store *store, const struct effect *effect, struct error *err)
{
    struct effect item = *effect;
    const struct effects effects = {.items = &item, .count = 1, .capacity = 1};
    enum status status = store_begin(store, err);
    if (status == STATUS_OK)
        status = store_apply(store, &effects, err);
    if (status == STATUS_OK)
        status = store_commit(store, err);
    if (status != STATUS_OK)
        store_rollback(store);
    return status;
}

void store_test_apply(struct store *store, const struct effect *effect)
{
    struct error err = {0};
    if (store_test_try(store, effect, &err) != STATUS_OK)
        fail_msg("effect %d: %s", (int)effect->kind, err.text);
}

void store_test_put_job(struct store *store, const struct job_row *job)
{
    store_test_apply(store, &(struct effect){.kind = EFFECT_JOB_INSERT,
                                             .job = *job,
                                             .spec = "{\"name\":\"digits\"}",
                                             .labels = "{\"owner\":\"risk\"}"});
}

void store_test_put_node(struct store *store, const char *id)
{
    store_test_apply(store, &(struct effect){.kind = EFFECT_NODE_PUT, .node = store_test_node(id)});
}

void store_test_put_running(struct store *store, const char *job)
{
    store_test_put_node(store, "n1");
    struct slot_row slot = store_test_slot("n1", "cpu:0");
    store_test_apply(store, &(struct effect){.kind = EFFECT_SLOT_PUT, .slot = slot});
    struct job_row row = store_test_job(job, "");
    store_test_put_job(store, &row);
    row.attempt = 1;
    row.state = JOB_RUNNING;
    store_test_apply(store, &(struct effect){.kind = EFFECT_JOB_UPDATE, .job = row});
    store_test_apply(store, &(struct effect){.kind = EFFECT_ATTEMPT_INSERT,
                                             .attempt = store_test_attempt(job, 1)});
    store_test_apply(
        store, &(struct effect){.kind = EFFECT_RANK_PUT, .rank = store_test_rank(job, 1, 0, "n1")});
    memcpy(slot.job, row.id, sizeof slot.job);
    slot.attempt = 1;
    store_test_apply(store, &(struct effect){.kind = EFFECT_SLOT_PUT, .slot = slot});
}

int store_room_set_up(void **state)
{
    static struct store_room room;
    memset(&room, 0, sizeof room);
    store_test_folder(room.folder);
    room.store = store_test_open(room.folder);
    *state = &room;
    return 0;
}

int store_room_tear_down(void **state)
{
    struct store_room *room = *state;
    store_close(room->store);
    store_test_drop(room->folder);
    return 0;
}
