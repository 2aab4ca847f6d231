#include "tests/unit/brain_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MAX     26
#define START_BOOT_MS 1000000
#define START_WALL_MS 1700000000000

int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->boot_ms = START_BOOT_MS;
    f->wall_ms = START_WALL_MS;
    f->sessions = 1;
    f->config = (struct brain_config){.profile = &brain_profiles[1],
                                      .seed = 7,
                                      .start_limit_ms = 60000,
                                      .no_result_ms = 60000,
                                      .numerics_wait_ms = 60000,
                                      .grace_ms = 30000,
                                      .amend_ms = 2000,
                                      .jobs_live_max = 1000};
    if (brain_new(&f->config, &f->brain, NULL) != STATUS_OK)
        return -1;
    brain_start(f->brain, f->boot_ms, 0);
    *state = f;
    return 0;
}

int fixture_setup_stored(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    struct fixture *f = *state;
    return store_open(STORE_MEMORY, &f->store, NULL) == STATUS_OK ? 0 : -1;
}

static void apply(struct fixture *f)
{
    struct error err = {.status = STATUS_OK};
    if (store_begin(f->store, &err) != STATUS_OK ||
        store_apply(f->store, &f->effects, &err) != STATUS_OK ||
        store_commit(f->store, &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

void fixture_restart(struct fixture *f)
{
    struct error err = {.status = STATUS_OK};
    const uint64_t digest = brain_digest(f->brain);
    brain_free(f->brain);
    f->brain = NULL;
    if (brain_new(&f->config, &f->brain, &err) != STATUS_OK ||
        store_load(f->store, f->brain, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    brain_start(f->brain, f->boot_ms, store_revision(f->store));
    assert_true(brain_digest(f->brain) == digest);
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    brain_free(f->brain);
    effects_clear(&f->effects);
    free(f);
    return 0;
}

void fixture_step(struct fixture *f, struct brain_input *input)
{
    input->boot_ms = f->boot_ms;
    input->wall_ms = f->wall_ms;
    brain_step(f->brain, input, &f->effects, &f->reply);
    if (f->store != NULL && f->effects.count > 0)
        apply(f);
    char why[256] = "";
    if (!brain_check(f->brain, why, sizeof(why)))
        fail_msg("%s", why);
}

void fixture_tick(struct fixture *f)
{
    fixture_step(f, &(struct brain_input){.kind = INPUT_TICK});
}

void fixture_advance(struct fixture *f, int64_t duration_ms)
{
    const int64_t until_ms = f->boot_ms + duration_ms;
    for (int turns = 0; turns < 100000; turns++) {
        int64_t next_ms = brain_next_deadline_boot_ms(f->brain);
        if (next_ms > until_ms)
            next_ms = until_ms;
        if (next_ms < f->boot_ms)
            next_ms = f->boot_ms;
        f->wall_ms += next_ms - f->boot_ms;
        f->boot_ms = next_ms;
        fixture_tick(f);
        if (f->boot_ms == until_ms && brain_next_deadline_boot_ms(f->brain) > until_ms)
            return;
    }
    fail_msg("time does not go on");
}

/* ---- nodes */

const char *fixture_node_id(char node)
{
    static char ids[NODES_MAX][ID_BYTES_MAX];
    assert_in_range(node, 'a', 'z');
    char *id = ids[node - 'a'];
    (void)snprintf(id, ID_BYTES_MAX, "node_%c", node);
    return id;
}

void fixture_join_with(struct fixture *f, char node, int64_t slots, const char *numerics)
{
    struct slot_row rows[FIXTURE_RANKS_MAX];
    memset(rows, 0, sizeof(rows));
    for (int64_t i = 0; i < slots; i++) {
        (void)snprintf(rows[i].slot, sizeof(rows[i].slot), "cpu:%d", (int)i);
        rows[i].kind = DEVICE_CPU;
        rows[i].index = i;
    }
    static const uint8_t sha256[32] = {7};
    static int tokens;
    char token[16];
    (void)snprintf(token, sizeof(token), "tok_%d", ++tokens);
    struct brain_input input = {.kind = INPUT_NODE_JOIN};
    input.join.node_token = token;
    input.join.node_token_sha256 = sha256;
    input.join.slots = rows;
    input.join.slot_count = (size_t)slots;
    struct node_row *row = &input.join.node;
    (void)snprintf(row->id, sizeof(row->id), "%s", fixture_node_id(node));
    (void)snprintf(row->hostname, sizeof(row->hostname), "host-%c", node);
    (void)snprintf(row->address, sizeof(row->address), "10.0.0.%d", node);
    (void)snprintf(row->boot_id, sizeof(row->boot_id), "boot-1");
    (void)snprintf(row->numerics, sizeof(row->numerics), "%s", numerics);
    fixture_step(f, &input);
    fixture_sync(f, node, NULL, 0);
}

void fixture_join(struct fixture *f, char node, int64_t slots)
{
    fixture_join_with(f, node, slots, "zen");
}

struct observed_rank fixture_alive(const char *job, int64_t attempt, int64_t rank)
{
    return (struct observed_rank){.job = job,
                                  .attempt = attempt,
                                  .rank = rank,
                                  .slot = "",
                                  .pid = 100 * attempt + rank + 1,
                                  .verdict = VERDICT_ALIVE,
                                  .detail = ""};
}

struct observed_rank fixture_exit(const char *job, int64_t attempt, int64_t rank, int64_t code)
{
    struct observed_rank seen = fixture_alive(job, attempt, rank);
    seen.verdict = VERDICT_DEAD;
    seen.exited = true;
    seen.exit_code = code;
    return seen;
}

struct observed_rank fixture_signal(const char *job, int64_t attempt, int64_t rank, int64_t signal)
{
    struct observed_rank seen = fixture_exit(job, attempt, rank, -1);
    seen.exit_signal = signal;
    return seen;
}

static void sync_node(struct fixture *f, char node, const char *boot_id,
                      const struct observed_rank *ranks, size_t count, int64_t revision_seen)
{
    struct brain_input input = {.kind = INPUT_NODE_SYNC};
    input.sync = (struct input_sync){.node = fixture_node_id(node),
                                     .session = f->sessions,
                                     .seq = ++f->seq,
                                     .revision_seen = revision_seen,
                                     .boot_id = boot_id,
                                     .received_boot_ms = f->boot_ms,
                                     .ranks = ranks,
                                     .rank_count = count};
    fixture_step(f, &input);
}

void fixture_sync_seen(struct fixture *f, char node, const struct observed_rank *ranks,
                       size_t count, int64_t revision_seen)
{
    sync_node(f, node, "boot-1", ranks, count, revision_seen);
}

void fixture_sync(struct fixture *f, char node, const struct observed_rank *ranks, size_t count)
{
    const struct node_row *row = brain_node(f->brain, fixture_node_id(node));
    fixture_sync_seen(f, node, ranks, count, row == NULL ? 0 : row->revision);
}

void fixture_sync_boot(struct fixture *f, char node, const char *boot_id)
{
    sync_node(f, node, boot_id, NULL, 0, 0);
}

void fixture_disconnect(struct fixture *f, char node)
{
    fixture_step(f, &(struct brain_input){.kind = INPUT_NODE_DISCONNECT,
                                          .node = fixture_node_id(node),
                                          .session = f->sessions});
}

void fixture_operate(struct fixture *f, enum input_kind kind, char node)
{
    fixture_step(f, &(struct brain_input){.kind = kind, .node = fixture_node_id(node)});
}

/* ---- jobs */

struct job_request fixture_request(int64_t ranks)
{
    return (struct job_request){.ranks = ranks,
                                .priority = 50,
                                .max_restarts = 5,
                                .max_infra_restarts = 50,
                                .keep_last = 3,
                                .fenced = true};
}

const char *fixture_submit(struct fixture *f, const struct job_request *request)
{
    static char ids[2048][ID_BYTES_MAX];
    char *id = ids[f->jobs++ % 2048];
    (void)snprintf(id, ID_BYTES_MAX, "job_%04d", (int)f->jobs);
    struct brain_input input = {.kind = INPUT_JOB_SUBMIT};
    (void)snprintf(input.submit.job.id, ID_BYTES_MAX, "%s", id);
    (void)snprintf(input.submit.job.project, BRAIN_NAME_BYTES, "default");
    input.submit.job.request = *request;
    input.submit.spec = "{}";
    input.submit.labels = "{}";
    fixture_step(f, &input);
    return id;
}

struct seen_nodes {
    const char *job;
    int64_t attempt;
    char nodes[FIXTURE_RANKS_MAX];
    bool ended[FIXTURE_RANKS_MAX];
    char node;
    char phase;
};

static void see_attempt(void *context, const struct desired_attempt *desired)
{
    struct seen_nodes *seen = context;
    if (strcmp(desired->job->id, seen->job) != 0 || desired->attempt->attempt != seen->attempt)
        return;
    seen->phase = desired->kill ? 'k' : desired->stop ? 's' : 'r';
    for (size_t i = 0; i < desired->rank_count; i++) {
        seen->nodes[desired->ranks[i]->rank] = seen->node;
        seen->ended[desired->ranks[i]->rank] = desired->ranks[i]->ended;
    }
}

static struct seen_nodes see_nodes(const struct fixture *f, const char *job)
{
    const struct attempt_row *attempt = brain_attempt(f->brain, job);
    assert_non_null(attempt);
    struct seen_nodes seen = {.job = job, .attempt = attempt->attempt};
    for (char node = 'a'; node <= 'z'; node++) {
        seen.node = node;
        (void)brain_desired(f->brain, fixture_node_id(node), see_attempt, &seen);
    }
    return seen;
}

char fixture_node_of(const struct fixture *f, const char *job, int64_t rank)
{
    return see_nodes(f, job).nodes[rank];
}

char fixture_desired(const struct fixture *f, char node, const char *job, int64_t attempt)
{
    struct seen_nodes seen = {.job = job, .attempt = attempt, .node = node, .phase = '-'};
    (void)brain_desired(f->brain, fixture_node_id(node), see_attempt, &seen);
    return seen.phase;
}

static void report_all(struct fixture *f, const char *job, bool exited, int64_t code)
{
    const struct attempt_row attempt = *brain_attempt(f->brain, job);
    const struct seen_nodes seen = see_nodes(f, job);
    for (char node = 'a'; node <= 'z'; node++) {
        struct observed_rank ranks[FIXTURE_RANKS_MAX];
        size_t count = 0;
        for (int64_t i = 0; i < attempt.world_size; i++) {
            if (seen.nodes[i] == node)
                ranks[count++] = exited ? fixture_exit(job, attempt.attempt, i, code)
                                        : fixture_alive(job, attempt.attempt, i);
        }
        if (count > 0)
            fixture_sync_seen(f, node, ranks, count, 0);
    }
}

void fixture_all_alive(struct fixture *f, const char *job)
{
    report_all(f, job, false, 0);
}

void fixture_all_exit(struct fixture *f, const char *job, int64_t code)
{
    report_all(f, job, true, code);
}

const char *fixture_run(struct fixture *f, int64_t ranks)
{
    const struct job_request request = fixture_request(ranks);
    const char *job = fixture_submit(f, &request);
    assert_job(f, job, JOB_STARTING);
    fixture_all_alive(f, job);
    assert_job(f, job, JOB_RUNNING);
    return job;
}

void fixture_cancel(struct fixture *f, const char *job)
{
    fixture_step(f, &(struct brain_input){.kind = INPUT_JOB_CANCEL, .job = job});
}

void fixture_shard(struct fixture *f, const char *job, int64_t attempt, int64_t step, int64_t shard,
                   int64_t of)
{
    struct brain_input input = {.kind = INPUT_SHARD_STORED};
    struct shard_row *row = &input.shard;
    (void)snprintf(row->job, sizeof(row->job), "%s", job);
    (void)snprintf(row->sha256, sizeof(row->sha256), "%064d", (int)step);
    const char node = brain_attempt(f->brain, job) == NULL ? 0 : fixture_node_of(f, job, 0);
    (void)snprintf(row->node, sizeof(row->node), "%s", node == 0 ? "" : fixture_node_id(node));
    row->attempt = attempt;
    row->step = step;
    row->shard = shard;
    row->of = of;
    row->bytes = 1000;
    fixture_step(f, &input);
}

void fixture_result(struct fixture *f, const char *job, int64_t attempt)
{
    struct brain_input input = {.kind = INPUT_RESULT};
    input.result = (struct input_result){.job = job,
                                         .attempt = attempt,
                                         .node = "node_a",
                                         .model_sha256 = "aa",
                                         .model_file_sha256 = "bb",
                                         .model_bytes = 10,
                                         .metrics = "{}"};
    fixture_step(f, &input);
}

/* ---- effects */

size_t fixture_count(const struct fixture *f, enum effect_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < f->effects.count; i++)
        count += f->effects.items[i].kind == kind;
    return count;
}

const struct effect *fixture_effect(const struct fixture *f, enum effect_kind kind, size_t index)
{
    for (size_t i = 0; i < f->effects.count; i++) {
        if (f->effects.items[i].kind == kind && index-- == 0)
            return &f->effects.items[i];
    }
    return NULL;
}
