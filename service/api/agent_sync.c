/* agent_sync.c - POST /v1/agent/join and /v1/agent/sync. */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "schema/wire_agent.h"
#include "service/api/agent.h"
#include "service/api/agents.h"
#include "service/api/api.h"

/* ---------------------------------------------------------------- join */

struct joining {
    struct api_call call;
    struct wire_join join;
    struct slot_row slots[NODE_SLOTS_MAX];
    char *labels;
    struct auth_text credential; /* the join token */
    char node_token[AUTH_TOKEN_BYTES];
    char node_token_id[ID_BYTES_MAX];
    uint8_t node_token_sha256[SHA256_BYTES];
};

static void joining_free(void *context)
{
    struct joining *joining = context;
    free(joining->labels);
    free(joining);
}

static void slot_of_wire(const struct wire_slot *from, struct slot_row *out)
{
    snprintf(out->slot, sizeof(out->slot), "%s", from->slot);
    out->kind = strcmp(from->kind, "cuda") == 0 ? DEVICE_CUDA : DEVICE_CPU;
    out->index = from->index;
    snprintf(out->uuid, sizeof(out->uuid), "%s", from->uuid);
    snprintf(out->name, sizeof(out->name), "%s", from->name);
    out->memory_bytes = from->memory_bytes;
    out->present = true;
}

/* In the transaction that consumes it: the token must be there, right, unused and in time. */
static enum status check_join_token(struct loop_call *call, struct store *store,
                                    const struct brain *brain, struct error *err)
{
    (void)brain;
    const struct joining *joining = (struct joining *)(void *)call;
    struct join_token_row token = {0};
    struct error unknown = {0};
    const enum status status =
        reader_join_token(store_reader(store), joining->credential.id, &token, &unknown);
    uint8_t digest[SHA256_BYTES];
    auth_secret_sha256(joining->credential.secret, digest);
    const bool same = bytes_equal_constant_time(digest, token.sha256, SHA256_BYTES);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        return error_set(err, status, "%s", unknown.text);
    if (status == STATUS_NOT_FOUND || !same)
        return error_set(err, STATUS_DENIED, "the join token is unknown or wrong");
    if (token.used_by[0] != '\0')
        return error_set(err, STATUS_DENIED, "the join token was used by node %s", token.used_by);
    if (clock_wall_ms() >= token.expires_at_ms)
        return error_set(err, STATUS_DENIED, "the join token has expired");
    return STATUS_OK;
}

static void fill_join(struct joining *joining)
{
    const struct wire_join *join = &joining->join;
    struct brain_input *input = &joining->call.loop.input;
    struct node_row *node = &input->join.node;
    joining->call.loop.has_input = true;
    joining->call.loop.grows = true;
    joining->call.loop.prepare = check_join_token;
    input->kind = INPUT_NODE_JOIN;
    id_format(node->id, "node", clock_wall_ms(), random_u64());
    snprintf(node->hostname, sizeof(node->hostname), "%s", join->hostname);
    snprintf(node->address, sizeof(node->address), "%s", join->address);
    snprintf(node->boot_id, sizeof(node->boot_id), "%s", join->boot_id);
    snprintf(node->numerics, sizeof(node->numerics), "%s", join->numerics);
    snprintf(node->version, sizeof(node->version), "%s", join->version);
    node->labels = joining->labels;
    node->cpu_count = join->cpu_count;
    node->memory_bytes = join->memory_bytes;
    node->port_first = join->port_first;
    node->port_last = join->port_last;
    for (size_t i = 0; i < join->slot_count; i++) {
        slot_of_wire(&join->slots[i], &joining->slots[i]);
        memcpy(joining->slots[i].node, node->id, sizeof(node->id));
    }
    input->join.slots = joining->slots;
    input->join.slot_count = join->slot_count;
    auth_text_new(role_names[ROLE_NODE], clock_wall_ms(), joining->node_token,
                  joining->node_token_id, joining->node_token_sha256);
    input->join.join_token = joining->credential.id;
    input->join.node_token = joining->node_token_id;
    input->join.node_token_sha256 = joining->node_token_sha256;
}

static void joined(struct http_request *request)
{
    struct api *api = api_of(request);
    const struct joining *joining = http_context(request);
    if (!api_succeeded(request, &joining->call))
        return;
    struct auth_token token = {.role = ROLE_NODE};
    struct error err = {0};
    memcpy(token.id, joining->node_token_id, sizeof(token.id));
    memcpy(token.node, joining->call.loop.reply.id, sizeof(token.node));
    memcpy(token.secret_sha256, joining->node_token_sha256, SHA256_BYTES);
    if (auth_put(api->auth, &token, &err) != STATUS_OK) {
        http_reply_error(request, &err);
        return;
    }
    struct wire_join_answer answer = {0};
    memcpy(answer.node_id, token.node, sizeof(answer.node_id));
    snprintf(answer.node_token, sizeof(answer.node_token), "%s", joining->node_token);
    snprintf(answer.profile, sizeof(answer.profile), "%s", api->profile->name);
    http_reply_json(request, 201, wire_join_answer_encode(&answer));
}

static char *labels_text(const struct wire_join *join)
{
    CLEANUP(json_cleanup) json_t *labels = json_object();
    for (size_t i = 0; i < join->label_count; i++)
        json_object_set_new(labels, join->labels[i].key, json_string(join->labels[i].value));
    return json_dumps(labels, JSON_COMPACT | JSON_SORT_KEYS);
}

void agent_join(struct http_request *request)
{
    CLEANUP(json_cleanup) json_t *document = NULL;
    if (!http_body_json(request, &document))
        return;
    struct joining *joining = calloc(1, sizeof(*joining));
    if (joining == NULL) {
        http_reply_problem(request, 503, "no_memory", "out of memory");
        return;
    }
    http_set_context(request, joining, joining_free);
    struct json_problems problems = {.count = 0};
    const struct json_at root = json_at_root(document, &problems);
    wire_join_decode(&root, &joining->join);
    if (problems.count > 0) {
        http_reply_problems(request, &problems);
        return;
    }
    if (!auth_text_parse(joining->join.join_token, &joining->credential) ||
        strcmp(joining->credential.role, AGENT_JOIN_ROLE) != 0) {
        http_reply_problem(request, 401, "denied", "join_token has not the shape of a join token");
        return;
    }
    joining->labels = labels_text(&joining->join);
    if (joining->labels == NULL) {
        http_reply_problem(request, 503, "no_memory", "out of memory");
        return;
    }
    fill_join(joining);
    api_run(request, &joining->call, joined);
}

/* ---------------------------------------------------------------- sync */

/* A sync on its way to the brain: outlives its request, whose answer does not wait for it. */
struct observation {
    struct loop_call call;
    struct api *api;
    char node[ID_BYTES_MAX];
    struct wire_sync sync;
    struct observed_rank *ranks;
    struct slot_row *slots;
};

static void observation_free(struct observation *observation)
{
    if (observation == NULL)
        return;
    wire_sync_clear(&observation->sync);
    free(observation->ranks);
    free(observation->slots);
    free(observation);
}

static void observation_cleanup(struct observation **observation)
{
    observation_free(*observation);
}

static void observation_done(struct loop_call *call)
{
    observation_free((struct observation *)call); /* its first member */
}

/* What the answer needs when the hold ends. */
struct syncing {
    int64_t session;
    int64_t seq;
    int64_t revision_seen;
    uint64_t hold;
};

static void observed_of_wire(const struct wire_attempt_report *attempt,
                             const struct wire_rank_report *from, struct observed_rank *out)
{
    *out = (struct observed_rank){
        .job = attempt->job,
        .attempt = attempt->attempt,
        .rank = from->rank,
        .slot = from->slot,
        .pid = from->pid,
        .verdict = from->verdict,
        .phase = from->phase,
        .step = from->step,
        .collective = from->collective,
        .waiting_ms = from->waiting_ms,
        .exited = from->exited,
        .exit_code = from->exit_code,
        .exit_signal = from->exit_signal,
        .exit_oom = from->exit_oom,
        .exit_reason = from->exit_reason,
        .exit_age_ms = from->exit_age_ms,
        .detail = from->detail,
    };
}

/* Shows what the node says of one attempt, as far as it is the node's to say. */
static void show_attempt(void *context, const struct desired_attempt *attempt)
{
    const struct observation *observation = context;
    for (size_t i = 0; i < observation->call.input.sync.rank_count; i++) {
        const struct observed_rank *seen = &observation->ranks[i];
        if (seen->exited || seen->verdict != VERDICT_ALIVE ||
            seen->attempt != attempt->attempt->attempt || strcmp(seen->job, attempt->job->id) != 0)
            continue;
        for (size_t j = 0; j < attempt->rank_count; j++) {
            if (attempt->ranks[j]->rank == seen->rank)
                live_rank(observation->api->live, seen->job, seen->attempt, seen->rank, seen->phase,
                          seen->step);
        }
    }
}

static enum status show_live(struct loop_call *call, struct store *store, const struct brain *brain,
                             struct error *err)
{
    (void)store;
    (void)err;
    struct observation *observation = (struct observation *)call; /* its first member */
    if (call->input.sync.rank_count > 0)
        (void)brain_desired(brain, observation->node, show_attempt, observation);
    return STATUS_OK;
}

/* Points the brain's input at the decoded message; false when out of memory. */
static bool fill_observation(struct observation *observation)
{
    const struct wire_sync *sync = &observation->sync;
    struct input_sync *input = &observation->call.input.sync;
    size_t rank_count = 0;
    for (size_t i = 0; i < sync->attempt_count; i++)
        rank_count += sync->attempts[i].rank_count;
    observation->ranks = calloc(rank_count + 1, sizeof(*observation->ranks));
    observation->slots = calloc(sync->slot_count + 1, sizeof(*observation->slots));
    if (observation->ranks == NULL || observation->slots == NULL)
        return false;
    size_t at = 0;
    for (size_t i = 0; i < sync->attempt_count; i++) {
        for (size_t j = 0; j < sync->attempts[i].rank_count; j++)
            observed_of_wire(&sync->attempts[i], &sync->attempts[i].ranks[j],
                             &observation->ranks[at++]);
    }
    for (size_t i = 0; i < sync->slot_count; i++) {
        slot_of_wire(&sync->slots[i], &observation->slots[i]);
        memcpy(observation->slots[i].node, observation->node, sizeof(observation->node));
    }
    observation->call.has_input = true;
    observation->call.prepare = show_live;
    observation->call.done = observation_done;
    observation->call.input.kind = INPUT_NODE_SYNC;
    input->node = observation->node;
    input->seq = sync->seq;
    input->revision_seen = sync->revision_seen;
    input->boot_id = sync->boot_id;
    input->ranks = observation->ranks;
    input->rank_count = rank_count;
    input->slots = observation->slots;
    input->slot_count = sync->slot_count;
    return true;
}

static void answer(struct http_request *request)
{
    struct api *api = api_of(request);
    const struct syncing *syncing = http_context(request);
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, API_ANSWER_BYTES_MAX);
    buf_printf(&body,
               "{\"session\":%lld,\"seq\":%lld,\"lease_ms\":%lld,\"heartbeat_ms\":%lld,"
               "\"kill_budget_ms\":%lld,",
               (long long)syncing->session, (long long)syncing->seq,
               (long long)api->profile->ttl_ms, (long long)api->profile->heartbeat_ms,
               (long long)api->profile->kill_budget_ms);
    agents_write_desired(api->agents, http_caller(request)->node, syncing->revision_seen, &body);
    buf_append_text(&body, "}");
    http_reply_buf(request, 200, "application/json", &body);
}

struct disconnect {
    struct loop_call call;
    char node[ID_BYTES_MAX];
};

static void disconnect_done(struct loop_call *call)
{
    free(call); /* its first member */
}

/* The node's connection closed: it is no place for new ranks until it syncs again. */
static void tell_disconnect(struct api *api, const char *node, int64_t session)
{
    struct disconnect *disconnect = calloc(1, sizeof(*disconnect));
    if (disconnect == NULL)
        return; /* its missing heartbeats will tell */
    memcpy(disconnect->node, node, sizeof(disconnect->node));
    disconnect->call.has_input = true;
    disconnect->call.done = disconnect_done;
    disconnect->call.input.kind = INPUT_NODE_DISCONNECT;
    disconnect->call.input.node = disconnect->node;
    disconnect->call.input.session = session;
    if (!loop_push(api->loop, &disconnect->call))
        free(disconnect);
}

static void hold_ended(struct http_request *request)
{
    struct api *api = api_of(request);
    const struct syncing *syncing = http_context(request);
    const char *node = http_caller(request)->node;
    const bool mine = agents_let_go(api->agents, node, syncing->hold);
    if (mine && http_hold_end_of(request) == HTTP_HOLD_GONE)
        tell_disconnect(api, node, syncing->session);
    answer(request);
}

static void hold_or_answer(struct http_request *request, const struct agents_entry *entry,
                           struct syncing *syncing)
{
    struct api *api = api_of(request);
    if (entry->hold)
        syncing->hold = http_hold(api->holds, request, clock_mono_ms() + api->profile->heartbeat_ms,
                                  hold_ended);
    if (syncing->hold == 0) {
        answer(request);
        return;
    }
    agents_held(api->agents, http_caller(request)->node, syncing->session, syncing->seq,
                syncing->revision_seen, syncing->hold);
}

static bool decode_sync(struct http_request *request, struct wire_sync *out)
{
    CLEANUP(json_cleanup) json_t *document = NULL;
    if (!http_body_json(request, &document))
        return false;
    struct json_problems problems;
    problems.count = 0;
    problems.dropped = 0;
    const struct json_at root = json_at_root(document, &problems);
    wire_sync_decode(&root, out);
    if (problems.count > 0)
        http_reply_problems(request, &problems);
    return problems.count == 0;
}

void agent_sync(struct http_request *request)
{
    struct api *api = api_of(request);
    const char *node = http_caller(request)->node;
    struct syncing *syncing = calloc(1, sizeof(*syncing));
    CLEANUP(observation_cleanup) struct observation *observation = calloc(1, sizeof(*observation));
    if (syncing != NULL)
        http_set_context(request, syncing, free);
    if (syncing == NULL || observation == NULL) {
        http_reply_problem(request, 503, "no_memory", "out of memory");
        return;
    }
    observation->api = api;
    memcpy(observation->node, node, sizeof(observation->node));
    if (!decode_sync(request, &observation->sync))
        return;
    const struct wire_sync *sync = &observation->sync;
    const struct agents_sync entering = {
        .node = node,
        .session = sync->session,
        .seq = sync->seq,
        .revision_seen = sync->revision_seen,
        .received_boot_ms = http_received_boot_ms(request),
        .wall_ms = clock_wall_ms(),
        .news = sync->news,
    };
    struct agents_entry entry = {0};
    struct error err = {0};
    if (!fill_observation(observation))
        error_set(&err, STATUS_NO_MEMORY, "out of memory");
    else if (agents_enter(api->agents, &entering, &entry, &err) == STATUS_CONFLICT)
        err.status = STATUS_CONFLICT;
    if (err.status != STATUS_OK) {
        http_reply_problem(request, http_code_of_status(err.status),
                           err.status == STATUS_CONFLICT ? "stale_session" : "unavailable", "%s",
                           err.text);
        return;
    }
    *syncing = (struct syncing){
        .session = entry.session, .seq = sync->seq, .revision_seen = sync->revision_seen};
    observation->call.input.sync.session = entry.session;
    observation->call.input.sync.received_boot_ms = entering.received_boot_ms;
    if (entry.fresh) {
        if (loop_push(api->loop, &observation->call)) {
            TAKE(observation); /* freed by observation_done() */
        } else {
            http_reply_problem(request, 503, "busy", "the queue is full: try again");
            return;
        }
    }
    hold_or_answer(request, &entry, syncing);
}
