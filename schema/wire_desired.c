/* wire_desired.c - what the controller answers: what should be running on the node. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "schema/wire_agent.h"
#include "schema/wire_private.h"

#define RANKS_MAX 1024
#define PORT_MAX  65535

const char *const desired_phase_names[] = {
    [DESIRED_RUN] = "run", [DESIRED_STOP] = "stop", [DESIRED_KILL] = "kill", NULL};

/* ------------------------------------------------------------------ encoding */

static json_t *encode_ranks(const struct wire_assignment *assignment)
{
    json_t *list = json_array();
    for (size_t i = 0; i < assignment->rank_count; i++) {
        const struct wire_assigned_rank *rank = &assignment->ranks[i];
        json_t *object = json_object();
        wire_set_int(object, "rank", rank->rank);
        wire_set_text(object, "slot", rank->slot);
        wire_set_text(object, "slot_uuid", rank->slot_uuid);
        (void)json_array_append_new(list, object);
    }
    return list;
}

static json_t *encode_resume(const struct wire_assignment *assignment)
{
    json_t *shards = json_array();
    for (size_t i = 0; i < assignment->shard_count; i++) {
        const struct wire_shard_source *shard = &assignment->shards[i];
        json_t *object = json_object();
        wire_set_int(object, "shard", shard->shard);
        wire_set_int(object, "of", shard->of);
        wire_set_int(object, "bytes", shard->bytes);
        wire_set_text(object, "sha256", shard->sha256);
        wire_set_text(object, "href", shard->href);
        (void)json_array_append_new(shards, object);
    }
    json_t *resume = json_object();
    wire_set_int(resume, "step", assignment->resume_step);
    wire_set(resume, "shards", shards);
    return resume;
}

static json_t *encode_rendezvous(const struct wire_assignment *assignment)
{
    json_t *object = json_object();
    wire_set_text(object, "address", assignment->master_address);
    wire_set_int(object, "port", assignment->master_port);
    wire_set_text(object, "secret", assignment->secret);
    return object;
}

/* The spec travels as an object; json_canonical() of it gives the same bytes at the other end. */
static json_t *encode_spec(const struct wire_assignment *assignment)
{
    json_t *spec = NULL;
    if (json_parse(assignment->spec, strlen(assignment->spec), &spec, NULL) != STATUS_OK)
        return json_null();
    return spec;
}

static json_t *encode_assignment(const struct wire_assignment *assignment)
{
    json_t *object = json_object();
    wire_set_text(object, "job", assignment->job);
    wire_set_int(object, "attempt", assignment->attempt);
    wire_set_text(object, "project", assignment->project);
    wire_set(object, "spec", encode_spec(assignment));
    wire_set(object, "ranks", encode_ranks(assignment));
    wire_set_int(object, "world_size", assignment->world_size);
    wire_set_int(object, "group_rank", assignment->group_rank);
    wire_set_int(object, "group_world_size", assignment->group_world_size);
    wire_set_text(object, "data_dir", assignment->data_dir);
    wire_set(object, "rendezvous", encode_rendezvous(assignment));
    wire_set(object, "resume", encode_resume(assignment));
    wire_set_int(object, "checkpoint_request", assignment->checkpoint_request);
    wire_set_text(object, "phase", desired_phase_names[assignment->phase]);
    wire_set_int(object, "grace_ms", assignment->grace_ms);
    wire_set_bool(object, "stop_on_controller_loss", assignment->stop_on_controller_loss);
    wire_set_int(object, "orphan_timeout_ms", assignment->orphan_timeout_ms);
    wire_set_int(object, "hang_timeout_ms", assignment->hang_timeout_ms);
    wire_set_int(object, "restart_count", assignment->restart_count);
    wire_set_int(object, "max_restarts", assignment->max_restarts);
    return object;
}

json_t *wire_assignments_encode(const struct wire_assignment *assignments, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(list, encode_assignment(&assignments[i]));
    return list;
}

json_t *wire_sync_answer_encode(const struct wire_sync_answer *answer)
{
    json_t *object = json_object();
    wire_set_int(object, "session", answer->session);
    wire_set_int(object, "seq", answer->seq);
    wire_set_int(object, "lease_ms", answer->lease_ms);
    wire_set_int(object, "heartbeat_ms", answer->heartbeat_ms);
    wire_set_int(object, "kill_budget_ms", answer->kill_budget_ms);
    wire_set_int(object, "revision", answer->revision);
    if (answer->has_desired)
        wire_set(object, "desired",
                 wire_assignments_encode(answer->assignments, answer->assignment_count));
    return object;
}

/* ------------------------------------------------------------------ decoding */

static void decode_ranks(const struct json_at *at, struct wire_assignment *out)
{
    out->ranks = wire_get_list(at, NODE_SLOTS_MAX, sizeof(out->ranks[0]), &out->rank_count);
    for (size_t i = 0; i < out->rank_count; i++) {
        const struct json_at rank = json_at_index(at, i);
        if (!json_get_open_object(&rank))
            continue;
        wire_get_int(&rank, "rank", 0, &out->ranks[i].rank);
        wire_get_text(&rank, "slot", out->ranks[i].slot, sizeof(out->ranks[i].slot));
        wire_opt_text(&rank, "slot_uuid", out->ranks[i].slot_uuid, sizeof(out->ranks[i].slot_uuid));
    }
}

static void decode_shard(const struct json_at *at, struct wire_shard_source *out)
{
    if (!json_get_open_object(at))
        return;
    wire_get_int(at, "shard", 0, &out->shard);
    wire_get_int(at, "of", 1, &out->of);
    wire_get_int(at, "bytes", 0, &out->bytes);
    wire_get_sha256(at, "sha256", out->sha256);
    wire_get_text(at, "href", out->href, sizeof(out->href));
}

static void decode_resume(const struct json_at *at, struct wire_assignment *out)
{
    if (!json_get_open_object(at))
        return;
    wire_get_int(at, "step", 0, &out->resume_step);
    const struct json_at shards = json_at_key(at, "shards");
    out->shards =
        wire_get_list(&shards, RESUME_SHARDS_MAX, sizeof(out->shards[0]), &out->shard_count);
    for (size_t i = 0; i < out->shard_count; i++) {
        const struct json_at shard = json_at_index(&shards, i);
        decode_shard(&shard, &out->shards[i]);
    }
}

static void decode_rendezvous(const struct json_at *at, struct wire_assignment *out)
{
    if (!json_get_open_object(at))
        return;
    wire_get_text(at, "address", out->master_address, sizeof(out->master_address));
    const struct json_at port = json_at_key(at, "port");
    (void)json_get_int(&port, 0, PORT_MAX, &out->master_port);
    wire_get_text(at, "secret", out->secret, sizeof(out->secret));
}

static void decode_spec(const struct json_at *at, struct wire_assignment *out)
{
    if (!json_get_open_object(at))
        return;
    out->spec = json_canonical(at->value);
    if (out->spec == NULL)
        json_problem_add(at, "less: no memory for the spec");
}

/* How the attempt is run and ended; each has a meaning when an older controller leaves it out. */
static void decode_policy(const struct json_at *at, struct wire_assignment *out)
{
    wire_opt_int(at, "checkpoint_request", 0, &out->checkpoint_request);
    wire_opt_int(at, "grace_ms", 0, &out->grace_ms);
    wire_opt_bool(at, "stop_on_controller_loss", &out->stop_on_controller_loss);
    wire_opt_int(at, "orphan_timeout_ms", 0, &out->orphan_timeout_ms);
    wire_opt_int(at, "hang_timeout_ms", 0, &out->hang_timeout_ms);
    wire_opt_int(at, "restart_count", 0, &out->restart_count);
    wire_opt_int(at, "max_restarts", 0, &out->max_restarts);
    const struct json_at phase = json_at_key(at, "phase");
    int phase_index = DESIRED_RUN;
    (void)json_get_enum(&phase, desired_phase_names, &phase_index);
    out->phase = (enum desired_phase)phase_index;
}

static void decode_assignment(const struct json_at *at, struct wire_assignment *out)
{
    if (!json_get_open_object(at))
        return;
    wire_get_text(at, "job", out->job, sizeof(out->job));
    wire_get_int(at, "attempt", 1, &out->attempt);
    wire_opt_text(at, "project", out->project, sizeof(out->project));
    wire_get_text(at, "data_dir", out->data_dir, sizeof(out->data_dir));
    const struct json_at world_size = json_at_key(at, "world_size");
    const struct json_at group_rank = json_at_key(at, "group_rank");
    const struct json_at group_world_size = json_at_key(at, "group_world_size");
    (void)json_get_int(&world_size, 1, RANKS_MAX, &out->world_size);
    (void)json_get_int(&group_rank, 0, RANKS_MAX - 1, &out->group_rank);
    (void)json_get_int(&group_world_size, 1, RANKS_MAX, &out->group_world_size);
    const struct json_at spec = json_at_key(at, "spec");
    const struct json_at ranks = json_at_key(at, "ranks");
    const struct json_at rendezvous = json_at_key(at, "rendezvous");
    const struct json_at resume = json_at_key(at, "resume");
    decode_spec(&spec, out);
    decode_ranks(&ranks, out);
    decode_rendezvous(&rendezvous, out);
    decode_resume(&resume, out);
    decode_policy(at, out);
}

void wire_sync_answer_decode(const struct json_at *at, struct wire_sync_answer *out)
{
    if (!json_get_open_object(at))
        return;
    wire_get_int(at, "session", 1, &out->session);
    wire_get_int(at, "seq", 0, &out->seq);
    wire_get_int(at, "lease_ms", 1, &out->lease_ms);
    wire_get_int(at, "heartbeat_ms", 1, &out->heartbeat_ms);
    wire_opt_int(at, "kill_budget_ms", 0, &out->kill_budget_ms);
    wire_get_int(at, "revision", 0, &out->revision);
    const struct json_at desired = json_at_key(at, "desired");
    out->has_desired = json_present(&desired);
    if (!out->has_desired)
        return;
    out->assignments = wire_get_list(&desired, NODE_ATTEMPTS_MAX, sizeof(out->assignments[0]),
                                     &out->assignment_count);
    for (size_t i = 0; i < out->assignment_count; i++) {
        const struct json_at assignment = json_at_index(&desired, i);
        decode_assignment(&assignment, &out->assignments[i]);
    }
}

void wire_assignment_clear(struct wire_assignment *assignment)
{
    free(assignment->spec);
    free(assignment->ranks);
    free(assignment->shards);
    *assignment = (struct wire_assignment){.attempt = 0};
}

void wire_sync_answer_clear(struct wire_sync_answer *answer)
{
    for (size_t i = 0; i < answer->assignment_count; i++)
        wire_assignment_clear(&answer->assignments[i]);
    free(answer->assignments);
    *answer = (struct wire_sync_answer){.session = 0};
}
