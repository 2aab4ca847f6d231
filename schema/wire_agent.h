#ifndef SCHEMA_WIRE_AGENT_H
#define SCHEMA_WIRE_AGENT_H

/*
 * wire_agent.h - the messages between an agent and the controller, with their JSON codecs. Both ends
 * use these structs; unknown keys are ignored, so that versions may differ by one.
 *
 * Ownership: decoders copy everything; *_clear() frees; a zeroed struct is empty and may be cleared.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/id.h"
#include "base/json.h"
#include "schema/names.h"

#define SLOT_NAME_BYTES   24 /* "cpu:0", "cuda:3" */
#define ADDRESS_BYTES     64
#define HOSTNAME_BYTES    64
#define UUID_BYTES        64
#define NUMERICS_BYTES    65
#define SECRET_HEX_BYTES  65
#define NODE_SLOTS_MAX    256
#define NODE_LABELS_MAX   32
#define NODE_ATTEMPTS_MAX 256 /* distinct attempts on one node */
#define TOKEN_BYTES       128
#define PATH_BYTES_MAX    1024
#define RESUME_SHARDS_MAX 1024
#define SYNC_BYTES_MAX    (4 * MIB)

struct wire_slot {
    char slot[SLOT_NAME_BYTES]; /* "<kind>:<index>" */
    char kind[8];               /* "cpu" or "cuda" */
    int64_t index;
    char uuid[UUID_BYTES];
    char name[64];
    int64_t memory_bytes;
};

struct wire_label {
    char key[64];
    char value[128];
};

/* POST /v1/agent/join */
struct wire_join {
    char join_token[TOKEN_BYTES];
    char hostname[HOSTNAME_BYTES];
    char address[ADDRESS_BYTES]; /* where other nodes reach this node's ranks */
    char boot_id[64];
    char numerics[NUMERICS_BYTES];
    int64_t cpu_count;
    int64_t memory_bytes;
    int64_t port_first, port_last; /* range for rendezvous ports; 0, 0: the default 29500-29999 */
    char version[24];
    struct wire_slot slots[NODE_SLOTS_MAX];
    size_t slot_count;
    struct wire_label labels[NODE_LABELS_MAX];
    size_t label_count;
};

struct wire_join_answer {
    char node_id[ID_BYTES_MAX];
    char node_token[TOKEN_BYTES];
    char profile[16];
};

/* One rank as the agent sees it. */
struct wire_rank_report {
    int64_t rank;
    char slot[SLOT_NAME_BYTES];
    int64_t pid;
    enum verdict verdict;
    int phase; /* enum progress_phase */
    int64_t step;
    int64_t collective;
    int64_t waiting_ms; /* how long it has been inside `collective`; 0: not waiting */
    bool exited;
    int64_t exit_code;   /* -1 when ended by a signal */
    int64_t exit_signal; /* 0: none */
    bool exit_oom;
    enum reason
        exit_reason; /* REASON_NONE, or what the runner or agent knows: HANG, RUNNER_LOST, START_FAILED, ... */
    int64_t exit_age_ms; /* how long before this message was sent the rank ended */
    char detail[192];    /* for people; may be empty */
};

struct wire_attempt_report {
    char job[ID_BYTES_MAX];
    int64_t attempt;
    size_t rank_count;
    struct wire_rank_report *ranks;
};

/* POST /v1/agent/sync. `observed` is the whole truth each time. */
struct wire_sync {
    int64_t session; /* 0: give me one */
    char boot_id[64];
    int64_t seq;
    int64_t revision_seen;
    bool news; /* true: second connection, answer at once and let the held one go */
    size_t attempt_count;
    struct wire_attempt_report *attempts;
    size_t slot_count;
    struct wire_slot *slots; /* what the node has now */
};

struct wire_shard_source {
    int64_t shard; /* 0-based */
    int64_t of;
    int64_t bytes;
    char sha256[65];
    char href[192]; /* path on the agents' listener */
};

struct wire_assigned_rank {
    int64_t rank;
    char slot[SLOT_NAME_BYTES];
    char slot_uuid[UUID_BYTES];
};

enum desired_phase { DESIRED_RUN, DESIRED_STOP, DESIRED_KILL };
extern const char *const desired_phase_names[]; /* run, stop, kill */

/* What the node should be doing for one attempt. */
struct wire_assignment {
    char job[ID_BYTES_MAX];
    int64_t attempt;
    char project[64];
    char *spec; /* canonical JSON text of the complete spec */
    size_t rank_count;
    struct wire_assigned_rank *ranks; /* on this node, ascending */
    int64_t world_size;
    int64_t group_rank; /* index of this node in the gang */
    int64_t group_world_size;
    char data_dir[PATH_BYTES_MAX]; /* the dataset's root */
    char master_address[ADDRESS_BYTES];
    int64_t master_port;
    char secret[SECRET_HEX_BYTES];
    int64_t resume_step; /* 0 and no shards: fresh start */
    size_t shard_count;
    struct wire_shard_source *shards;
    int64_t checkpoint_request; /* grows by one with each POST .../checkpoint */
    enum desired_phase phase;
    int64_t grace_ms;
    bool stop_on_controller_loss;
    int64_t orphan_timeout_ms;
    int64_t hang_timeout_ms; /* 0: auto */
    int64_t restart_count;   /* attempt - 1, for TORCHELASTIC_RESTART_COUNT */
    int64_t max_restarts;
};

struct wire_sync_answer {
    int64_t session;
    int64_t seq;
    int64_t lease_ms;
    int64_t heartbeat_ms;
    int64_t kill_budget_ms;
    int64_t revision;
    bool has_desired; /* false: unchanged since revision_seen */
    size_t assignment_count;
    struct wire_assignment *assignments;
};

/* POST /v1/agent/results */
struct wire_result {
    char job[ID_BYTES_MAX];
    int64_t attempt;
    char model_sha256[65];      /* over the tensors' bytes in the order of their names */
    char model_file_sha256[65]; /* over the file; "": not said, the artifact's counts */
    int64_t model_bytes;
    json_t *metrics; /* object of numbers; owned */
};

/* Decoders report into at->problems; *out must be zeroed and is to be cleared in every case. */
void wire_join_decode(const struct json_at *at, struct wire_join *out);
json_t *wire_join_encode(const struct wire_join *join);
void wire_join_answer_decode(const struct json_at *at, struct wire_join_answer *out);
json_t *wire_join_answer_encode(const struct wire_join_answer *answer);

void wire_sync_decode(const struct json_at *at, struct wire_sync *out);
json_t *wire_sync_encode(const struct wire_sync *sync);
void wire_sync_clear(struct wire_sync *sync);

void wire_sync_answer_decode(const struct json_at *at, struct wire_sync_answer *out);
/* `desired` alone, so that the controller can render it once a revision: a new JSON array. */
json_t *wire_assignments_encode(const struct wire_assignment *assignments, size_t count);
json_t *wire_sync_answer_encode(const struct wire_sync_answer *answer);
void wire_sync_answer_clear(struct wire_sync_answer *answer);
void wire_assignment_clear(struct wire_assignment *assignment);

void wire_result_decode(const struct json_at *at, struct wire_result *out);
json_t *wire_result_encode(const struct wire_result *result);
void wire_result_clear(struct wire_result *result);

#endif
