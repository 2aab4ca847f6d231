#include "tests/sim/sim.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * controller.c - the loop: takes a batch, steps the brain, applies its effects in one transaction of the
 * real store, commits, answers. It may die before and after each commit. The database survives.
 */

#define BATCH_DELAY_MS_MAX 3
#define KEY_LIFE_MS        INT64_C(86400000)

static void wake(struct world *world, int64_t life, int64_t b, void *message);

static int64_t wall_ms(const struct world *world)
{
    return SIM_WALL_ZERO_MS + world->now_ms;
}

/* ---- start and end */

static struct brain *load_brain(struct world *world)
{
    struct brain *brain = NULL;
    struct error err = {.status = STATUS_OK};
    if (brain_new(&world->config, &brain, &err) != STATUS_OK ||
        store_load(world->controller.store, brain, &err) != STATUS_OK) {
        world_violate(world, "the database does not load: %s", err.text);
        return brain;
    }
    brain_start(brain, world->now_ms, store_revision(world->controller.store));
    return brain;
}

static void compare_reload(struct world *world, const struct brain *brain)
{
    const uint64_t digest = brain_digest(brain);
    world->oracle.reloads++;
    if (digest != world->oracle.committed_digest)
        world_violate(world, "a reloaded brain differs: %016" PRIx64 ", was %016" PRIx64, digest,
                      world->oracle.committed_digest);
}

void controller_start(struct world *world)
{
    struct controller *controller = &world->controller;
    if (controller->up)
        return;
    controller->up = true;
    controller->life++;
    controller->started_ms = world->now_ms;
    controller->stall_ms = 0;
    controller->stalled_until_ms = 0;
    controller->tick_at_ms = INT64_MAX;
    memset(controller->listeners, 0, sizeof(controller->listeners));
    controller->brain = load_brain(world);
    if (world->failed)
        return;
    compare_reload(world, controller->brain);
    for (size_t i = 0; i < world->host_count; i++) {
        if (brain_node(controller->brain, world->hosts[i].id) != NULL)
            listener_publish(world, (int64_t)i);
    }
    world_trace(world, "controller starts");
    world_after(world, 1, wake, (int64_t)controller->life, 0, NULL);
}

static void free_queued(struct queued *item)
{
    free(item->sync);
    free(item);
}

void controller_crash(struct world *world, const char *how)
{
    struct controller *controller = &world->controller;
    if (!controller->up)
        return;
    world_trace(world, "controller dies %s", how);
    controller->up = false;
    controller->life++;
    store_rollback(controller->store);
    brain_free(controller->brain);
    controller->brain = NULL;
    for (size_t i = 0; i < controller->queue_count; i++)
        free_queued(controller->queue[i]);
    controller->queue_count = 0;
    controller->batch_due = false;
}

static void restart(struct world *world, int64_t a, int64_t b, void *message)
{
    (void)a;
    (void)b;
    (void)message;
    controller_start(world);
}

static void crash_in_commit(struct world *world, const char *how)
{
    controller_crash(world, how);
    world_after(world, world_draw(world, STREAM_FAULTS, 50, 3000), restart, 0, 0, NULL);
}

/* ---- the batch */

static void fill_input(struct world *world, struct queued *item, struct observed_rank *ranks)
{
    struct brain_input *input = &item->input;
    input->boot_ms = world->now_ms;
    input->wall_ms = wall_ms(world);
    input->job = item->job;
    input->node = item->node;
    if (input->kind == INPUT_RESULT) {
        input->result.job = item->job;
        input->result.node = item->node;
        input->result.model_sha256 = item->model;
        input->result.model_file_sha256 = item->model;
        input->result.metrics = "{}";
    }
    if (input->kind != INPUT_NODE_SYNC)
        return;
    const struct sync_message *sync = item->sync;
    for (size_t i = 0; i < sync->count; i++) {
        const struct seen_rank *seen = &sync->ranks[i];
        ranks[i] = (struct observed_rank){.job = seen->job,
                                          .attempt = seen->attempt,
                                          .rank = seen->rank,
                                          .slot = "",
                                          .pid = seen->pid,
                                          .verdict = seen->verdict,
                                          .step = seen->step,
                                          .collective = seen->collective,
                                          .waiting_ms = seen->waiting_ms,
                                          .exited = seen->exited,
                                          .exit_code = seen->exit_code,
                                          .exit_signal = seen->exit_signal,
                                          .exit_reason = seen->exit_reason,
                                          .exit_age_ms = seen->exit_age_ms,
                                          .detail = ""};
    }
    (void)snprintf(item->boot, sizeof(item->boot), "boot-%" PRId64, sync->boot);
    input->sync.node = world->hosts[item->origin].id;
    input->sync.boot_id = item->boot;
    input->sync.session = sync->session;
    input->sync.seq = sync->seq;
    input->sync.revision_seen = sync->revision_seen;
    input->sync.ranks = ranks;
    input->sync.rank_count = sync->count;
}

static void keep_effects(struct world *world)
{
    struct effects *pending = &world->controller.pending;
    const struct effects *effects = &world->controller.effects;
    if (pending->count + effects->count > pending->capacity) {
        pending->capacity = (pending->count + effects->count) * 2;
        pending->items = reallocarray(pending->items, pending->capacity, sizeof(*pending->items));
        assert(pending->items != NULL);
    }
    memcpy(pending->items + pending->count, effects->items,
           effects->count * sizeof(*pending->items));
    pending->count += effects->count;
}

static void step_one(struct world *world, struct queued *item, struct brain_reply *reply)
{
    struct controller *controller = &world->controller;
    struct observed_rank ranks[SIM_LOCALS_MAX];
    struct error err = {.status = STATUS_OK};
    fill_input(world, item, ranks);
    item->input.stall_ms = controller->stall_ms;
    controller->stall_ms = 0;
    if (!store_in_transaction(controller->store) &&
        store_begin(controller->store, &err) != STATUS_OK)
        world_violate(world, "store_begin: %s", err.text);
    struct input_submit *submit = &item->input.submit;
    if (item->input.kind == INPUT_JOB_SUBMIT) {
        const enum status status = store_find_key(
            controller->store, "default", submit->job.idempotency_key, wall_ms(world) - KEY_LIFE_MS,
            submit->existing_job, submit->existing_body_sha256, &err);
        if (status != STATUS_OK && status != STATUS_NOT_FOUND)
            world_violate(world, "store_find_key: %s", err.text);
        error_clear(&err);
    }
    brain_step(controller->brain, &item->input, &controller->effects, reply);
    char why[256] = "";
    if (!brain_check(controller->brain, why, sizeof(why)))
        world_violate(world, "brain_check: %s", why);
    if (controller->effects.count == 0)
        return;
    if (store_apply(controller->store, &controller->effects, &err) != STATUS_OK)
        world_violate(world, "the database refuses (S1, S2, S4, S9): %s", err.text);
    keep_effects(world);
}

static void reply_to(struct world *world, const struct queued *item,
                     const struct brain_reply *reply)
{
    if (item->input.kind == INPUT_SHARD_STORED || item->input.kind == INPUT_RESULT) {
        const struct upload_reply message = {
            .number = item->number, .status = reply->status, .committed = reply->committed};
        if (reply->status == STATUS_OK && reply->committed) {
            struct oracle_job *job = oracle_job(world, item->job);
            if (job != NULL && item->input.shard.step > job->acknowledged_step)
                job->acknowledged_step = item->input.shard.step;
        }
        network_to_host(world, item->origin, agent_hear_upload, 0, &message, sizeof(message));
        return;
    }
    struct client_reply message = {.status = reply->status};
    memcpy(message.id, reply->id, sizeof(message.id));
    if (item->input.kind == INPUT_JOB_SUBMIT)
        network_to_host(world, -1, client_hear_submit, item->origin, &message, sizeof(message));
    if (item->input.kind == INPUT_JOB_CANCEL)
        network_to_host(world, -1, client_hear_cancel, item->origin, &message, sizeof(message));
}

static int64_t host_of(const struct world *world, const char *node)
{
    for (size_t i = 0; i < world->host_count; i++) {
        if (strcmp(world->hosts[i].id, node) == 0)
            return (int64_t)i;
    }
    assert(false);
    return -1;
}

static void publish(struct world *world)
{
    const struct effects *pending = &world->controller.pending;
    for (size_t i = 0; i < pending->count; i++) {
        if (pending->items[i].kind == EFFECT_DESIRED || pending->items[i].kind == EFFECT_NODE_PUT)
            listener_publish(world, host_of(world, pending->items[i].node.id));
    }
}

/* False when the controller died of it. */
static bool commit(struct world *world)
{
    struct controller *controller = &world->controller;
    struct error err = {.status = STATUS_OK};
    const bool dies =
        !world->healed && world_chance(world, STREAM_FAULTS, world->swarm.crash_commit);
    if (dies && world_chance(world, STREAM_FAULTS, 500)) {
        controller->pending.count = 0;
        crash_in_commit(world, "before a commit");
        return false;
    }
    if (store_commit(controller->store, &err) != STATUS_OK)
        world_violate(world, "store_commit: %s", err.text);
    world->oracle.commits++;
    world->oracle.committed_digest = brain_digest(controller->brain);
    oracle_note(world, &controller->pending);
    if (dies) {
        controller->pending.count = 0;
        crash_in_commit(world, "after a commit");
        return false;
    }
    if (world->oracle.commits % 16 == 0 && !world->failed) {
        struct brain *second = load_brain(world);
        if (!world->failed)
            compare_reload(world, second);
        brain_free(second);
    }
    return true;
}

static void schedule_tick(struct world *world)
{
    struct controller *controller = &world->controller;
    int64_t at_ms = brain_next_deadline_boot_ms(controller->brain);
    if (at_ms == INT64_MAX ||
        (controller->tick_at_ms <= at_ms && controller->tick_at_ms > world->now_ms))
        return;
    if (at_ms < world->now_ms + 1)
        at_ms = world->now_ms + 1;
    controller->tick_at_ms = at_ms;
    world_after(world, at_ms - world->now_ms, wake, (int64_t)controller->life, 0, NULL);
}

static void run_batch(struct world *world)
{
    struct controller *controller = &world->controller;
    struct queued *batch[SIM_QUEUE_MAX];
    struct brain_reply replies[64];
    const size_t count = controller->queue_count < COUNT_OF(replies) - 1 ? controller->queue_count
                                                                         : COUNT_OF(replies) - 1;
    memcpy(batch, controller->queue, count * sizeof(struct queued *));
    memmove(controller->queue, controller->queue + count,
            (controller->queue_count - count) * sizeof(struct queued *));
    controller->queue_count -= count;
    controller->pending.count = 0;
    for (size_t i = 0; i < count && !world->failed; i++)
        step_one(world, batch[i], &replies[i]);
    /* A tick is judged last, and only when every received sync has been heard. */
    if (controller->queue_count == 0 && !world->failed &&
        brain_next_deadline_boot_ms(controller->brain) <= world->now_ms + controller->stall_ms) {
        struct queued tick = {.input = {.kind = INPUT_TICK}};
        step_one(world, &tick, &replies[count]);
    }
    bool lives = true;
    if (!world->failed && controller->pending.count > 0)
        lives = commit(world);
    else
        store_rollback(controller->store);
    for (size_t i = 0; i < count; i++) {
        if (lives && !world->failed)
            reply_to(world, batch[i], &replies[i]);
        free_queued(batch[i]);
    }
    if (!lives || world->failed)
        return;
    publish(world);
    controller->pending.count = 0;
    schedule_tick(world);
    if (controller->queue_count > 0)
        world_after(world, 0, wake, (int64_t)controller->life, 0, NULL);
}

static void wake(struct world *world, int64_t life, int64_t b, void *message)
{
    (void)b;
    (void)message;
    struct controller *controller = &world->controller;
    if (!controller->up || (uint64_t)life != controller->life)
        return;
    if (world->now_ms < controller->stalled_until_ms) {
        world_after(world, controller->stalled_until_ms - world->now_ms, wake, life, 0, NULL);
        return;
    }
    controller->batch_due = false;
    run_batch(world);
}

void controller_enqueue(struct world *world, const struct queued *item)
{
    struct controller *controller = &world->controller;
    if (!controller->up || controller->queue_count == SIM_QUEUE_MAX) {
        free(item->sync);
        return;
    }
    controller->queue[controller->queue_count++] = world_copy(item, sizeof(*item));
    if (!controller->batch_due) {
        controller->batch_due = true;
        world_after(world, world_draw(world, STREAM_HOST, 0, BATCH_DELAY_MS_MAX), wake,
                    (int64_t)controller->life, 0, NULL);
    }
}

/* ---- what arrives */

void controller_hear_sync(struct world *world, int64_t host, int64_t b, void *message)
{
    (void)b;
    if (world->controller.up)
        listener_hear(world, host, message);
}

void controller_hear_disconnect(struct world *world, int64_t host, int64_t session, void *message)
{
    (void)message;
    struct queued item = {.input = {.kind = INPUT_NODE_DISCONNECT, .session = session},
                          .origin = host};
    memcpy(item.node, world->hosts[host].id, sizeof(item.node));
    controller_enqueue(world, &item);
}

void controller_hear_upload(struct world *world, int64_t host, int64_t b, void *message)
{
    (void)b;
    const struct upload *upload = message;
    struct queued item = {.origin = host, .number = upload->number};
    memcpy(item.job, upload->job, sizeof(item.job));
    memcpy(item.node, world->hosts[host].id, sizeof(item.node));
    if (upload->kind == UPLOAD_SHARD) {
        item.input.kind = INPUT_SHARD_STORED;
        struct shard_row *shard = &item.input.shard;
        *shard = (struct shard_row){.attempt = upload->attempt,
                                    .step = upload->step,
                                    .shard = upload->shard,
                                    .of = upload->of,
                                    .bytes = 1000 + upload->step};
        memcpy(shard->job, upload->job, sizeof(shard->job));
        memcpy(shard->node, world->hosts[host].id, sizeof(shard->node));
        (void)snprintf(shard->sha256, sizeof(shard->sha256), "%032" PRIx64 "%032" PRIx64,
                       (uint64_t)upload->step, (uint64_t)upload->shard);
    } else {
        item.input.kind = INPUT_RESULT;
        item.input.result.attempt = upload->attempt;
        item.input.result.model_bytes = 100;
        (void)snprintf(item.model, sizeof(item.model), "%064" PRIx64, (uint64_t)upload->attempt);
    }
    controller_enqueue(world, &item);
}

void controller_hear_submit(struct world *world, int64_t host, int64_t client, void *message)
{
    (void)host;
    const struct client_request *request = message;
    struct queued item = {.input = {.kind = INPUT_JOB_SUBMIT}, .origin = client};
    struct job_row *row = &item.input.submit.job;
    memcpy(row->id, request->id, sizeof(row->id));
    memcpy(row->idempotency_key, request->key, sizeof(request->key));
    (void)snprintf(row->name, sizeof(row->name), "job-%" PRId64, client);
    (void)snprintf(row->project, sizeof(row->project), "default");
    (void)snprintf(row->body_sha256, sizeof(row->body_sha256), "%064d", (int)client);
    row->request = world->clients[client].request;
    item.input.submit.spec = "{}";
    item.input.submit.labels = "{}";
    controller_enqueue(world, &item);
}

void controller_hear_cancel(struct world *world, int64_t host, int64_t client, void *message)
{
    (void)host;
    (void)message;
    struct queued item = {.input = {.kind = INPUT_JOB_CANCEL}, .origin = client};
    memcpy(item.job, world->clients[client].id, sizeof(item.job));
    controller_enqueue(world, &item);
}

void controller_hear_first_step(struct world *world, int64_t host, int64_t attempt, void *message)
{
    (void)host;
    struct queued item = {.input = {.kind = INPUT_FIRST_STEP, .attempt = attempt}, .origin = -1};
    memcpy(item.job, message, sizeof(item.job));
    item.input.at_wall_ms = wall_ms(world);
    controller_enqueue(world, &item);
}

void controller_operate(struct world *world, enum input_kind kind, int64_t host)
{
    struct queued item = {.input = {.kind = kind}, .origin = -1};
    memcpy(item.node, world->hosts[host].id, sizeof(item.node));
    controller_enqueue(world, &item);
}

/* ---- the first day */

static void join(struct world *world, size_t index)
{
    static const uint8_t secret[32] = {1};
    const struct host *host = &world->hosts[index];
    struct slot_row slots[SIM_SLOTS_MAX];
    memset(slots, 0, sizeof(slots));
    for (int64_t i = 0; i < host->slots; i++) {
        (void)snprintf(slots[i].slot, sizeof(slots[i].slot), "cpu:%d", (int)i);
        slots[i].kind = DEVICE_CPU;
        slots[i].index = i;
    }
    char token[32];
    (void)snprintf(token, sizeof(token), "tok_%zu", index);
    struct queued item = {.input = {.kind = INPUT_NODE_JOIN}, .origin = -1};
    struct input_join *joining = &item.input.join;
    *joining = (struct input_join){.slots = slots,
                                   .slot_count = (size_t)host->slots,
                                   .join_token = "",
                                   .node_token = token,
                                   .node_token_sha256 = secret};
    struct node_row *row = &joining->node;
    memcpy(row->id, host->id, sizeof(row->id));
    (void)snprintf(row->hostname, sizeof(row->hostname), "host-%zu", index);
    (void)snprintf(row->address, sizeof(row->address), "10.0.0.%zu", index / 2);
    (void)snprintf(row->boot_id, sizeof(row->boot_id), "boot-1");
    (void)snprintf(row->numerics, sizeof(row->numerics), "%s", host->numerics);
    struct brain_reply reply;
    step_one(world, &item, &reply);
}

void controller_open(struct world *world)
{
    struct controller *controller = &world->controller;
    struct error err = {.status = STATUS_OK};
    if (store_open(STORE_MEMORY, &controller->store, &err) != STATUS_OK) {
        world_violate(world, "store_open: %s", err.text);
        return;
    }
    struct brain *empty = load_brain(world);
    world->oracle.committed_digest = brain_digest(empty);
    brain_free(empty);
    controller_start(world);
    for (size_t i = 0; i < world->host_count && !world->failed; i++)
        join(world, i);
    if (store_commit(controller->store, &err) != STATUS_OK)
        world_violate(world, "store_commit: %s", err.text);
    world->oracle.committed_digest = brain_digest(controller->brain);
    publish(world);
    controller->pending.count = 0;
    schedule_tick(world);
}

void controller_close(struct world *world)
{
    struct controller *controller = &world->controller;
    for (size_t i = 0; i < controller->queue_count; i++)
        free_queued(controller->queue[i]);
    brain_free(controller->brain);
    store_close(controller->store);
    effects_clear(&controller->effects);
    free(controller->pending.items);
}
