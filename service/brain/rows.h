#ifndef SERVICE_BRAIN_ROWS_H
#define SERVICE_BRAIN_ROWS_H

/*
 * rows.h - the facts that survive a restart, as plain structs: what the brain decides, what the store
 * writes, what the simulator checks. One struct a table of state.db; field names are column names.
 *
 * Durations end in _ms. `..._at_ms` is wall time, for people. Whatever timeouts are judged by is boot
 * time and never stored.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"
#include "schema/names.h"
#include "schema/progress_page.h"

#define BRAIN_NAME_BYTES     64
#define BRAIN_SLOT_BYTES     24
#define BRAIN_ADDRESS_BYTES  64
#define BRAIN_NUMERICS_BYTES 65
#define BRAIN_DETAIL_BYTES   256
#define BRAIN_KEY_BYTES      128 /* Idempotency-Key */
#define BRAIN_SHA_BYTES      65  /* hexadecimal SHA-256 and the NUL */

enum device_kind { DEVICE_NONE, DEVICE_CPU, DEVICE_CUDA };
extern const char *const device_kind_names[]; /* "", "cpu", "cuda" */

/* What the brain needs of a spec; api/ makes it from struct job_spec. Immutable. */
struct job_request {
    int64_t ranks;
    enum device_kind device; /* DEVICE_NONE: auto */
    int64_t priority;        /* 0..100 */
    int64_t time_limit_ms;   /* 0: none */
    int64_t max_restarts;
    int64_t max_infra_restarts;
    int64_t hang_timeout_ms; /* 0: auto */
    int64_t orphan_timeout_ms;
    int64_t keep_last;   /* checkpoints */
    int64_t total_steps; /* 0: unknown until the trainer says */
    bool fenced;         /* built-in trainer: its only effect is the fenced commit */
    bool stop_on_controller_loss;
};

struct job_row {
    char id[ID_BYTES_MAX];
    int64_t revision; /* from one counter for all objects: rises with each change */
    char name[BRAIN_NAME_BYTES];
    char project[BRAIN_NAME_BYTES];
    char dataset[BRAIN_NAME_BYTES];
    enum job_state state;
    enum reason reason; /* REASON_NONE while nothing is wrong */
    char detail[BRAIN_DETAIL_BYTES];
    int64_t attempt; /* the fencing token: number of the newest attempt, 0 before the first */
    struct job_request request;
    enum device_kind device;             /* fixed at the first placement */
    char numerics[BRAIN_NUMERICS_BYTES]; /* fixed at the first placement */
    bool bit_exact;
    int64_t committed_step;          /* of the newest committed checkpoint; 0: none */
    int64_t resume_step;             /* of the current attempt */
    int64_t lost_steps;              /* by the last recovery */
    int64_t restarts;                /* charged to max_restarts */
    int64_t infra_restarts;          /* charged to max_infra_restarts */
    int64_t ends_without_checkpoint; /* consecutive: drives back-off */
    int64_t crash_step;              /* step of the last end charged to max_restarts; -1: none */
    enum reason crash_reason;        /* and its reason: the same twice is a crash loop */
    int64_t checkpoint_request;
    bool cancel_requested;
    int64_t created_at_ms;
    int64_t started_at_ms; /* 0: not yet */
    int64_t ended_at_ms;
    char idempotency_key[BRAIN_KEY_BYTES]; /* "": none */
    char body_sha256[BRAIN_SHA_BYTES];     /* of the request body, for the key's comparison */
    char spec_sha256[BRAIN_SHA_BYTES];
    char retry_of[ID_BYTES_MAX];
    char submitted_by[ID_BYTES_MAX]; /* token id */
    /* The result; empty until it is posted. */
    char model_sha256[BRAIN_SHA_BYTES];
    char model_file_sha256[BRAIN_SHA_BYTES];
    int64_t model_bytes;
    int64_t result_attempt; /* 0: no result yet */
};

struct attempt_row {
    char job[ID_BYTES_MAX];
    int64_t attempt;
    enum attempt_state state;
    enum reason reason; /* of the end; amended within 2 s by an end that is not peer_lost */
    char detail[BRAIN_DETAIL_BYTES];
    int64_t resume_step;
    int64_t lost_steps;
    int64_t world_size;
    char master_address[BRAIN_ADDRESS_BYTES];
    int64_t master_port;
    char secret[BRAIN_SHA_BYTES]; /* hexadecimal */
    /* The incident that ended the attempt before this one, and how this one came up; 0: unknown. */
    enum reason cause;
    int64_t fault_at_ms;
    int64_t detected_at_ms;
    int64_t fenced_at_ms;
    int64_t placed_at_ms;
    int64_t started_at_ms;    /* first rank reported alive */
    int64_t first_step_at_ms; /* first step of its own done */
    int64_t ended_at_ms;
};

struct rank_row {
    char job[ID_BYTES_MAX];
    int64_t attempt;
    int64_t rank;
    char node[ID_BYTES_MAX];
    char slot[BRAIN_SLOT_BYTES];
    int64_t pid;
    bool ended; /* confirmed: exit known, node rebooted or fenced; a lost node confirms nothing */
    int64_t exit_code; /* -1: by signal */
    int64_t exit_signal;
    bool exit_oom;
    enum reason exit_reason;
    /* Once it has ended: how far it had come, as its node saw it last; before, that is in memory alone. */
    int64_t step;
    enum progress_phase phase;
};

struct node_row {
    char id[ID_BYTES_MAX];
    int64_t revision; /* from the same counter; also the revision of the node's desired set */
    char hostname[BRAIN_NAME_BYTES];
    char address[BRAIN_ADDRESS_BYTES];
    char boot_id[64];
    char numerics[BRAIN_NUMERICS_BYTES];
    char version[24];
    char *labels; /* JSON object text; borrowed in effects, owned by whoever made the row */
    enum node_state state;
    bool drain; /* an operator wants it empty: survives that it is lost meanwhile */
    int64_t cpu_count;
    int64_t memory_bytes;
    int64_t port_first, port_last;
    int64_t joined_at_ms;
    int64_t lost_at_ms;
};

struct slot_row {
    char node[ID_BYTES_MAX];
    char slot[BRAIN_SLOT_BYTES];
    enum device_kind kind;
    int64_t index;
    char uuid[64];
    char name[64];
    int64_t memory_bytes;
    bool present;           /* the node still reports it */
    char job[ID_BYTES_MAX]; /* "": free */
    int64_t attempt;
    int64_t rank;
};

/* A rendezvous port that is held until every rank of the attempt is known to have ended. */
struct port_row {
    char address[BRAIN_ADDRESS_BYTES];
    int64_t port;
    char job[ID_BYTES_MAX];
    int64_t attempt;
};

struct shard_row {
    char job[ID_BYTES_MAX];
    int64_t attempt;
    int64_t step;
    int64_t shard;
    int64_t of;
    int64_t bytes;
    char sha256[BRAIN_SHA_BYTES];
    char node[ID_BYTES_MAX]; /* who sent it */
};

struct checkpoint_row {
    char job[ID_BYTES_MAX];
    int64_t attempt;
    int64_t step;
    int64_t shards;
    int64_t bytes;
    int64_t committed_at_ms;
    int64_t lag_ms; /* from the trainer's snapshot to the commit; -1: unknown */
};

/* The history of a job, and audit: every transition with its time, actor and cause. */
struct event_row {
    char job[ID_BYTES_MAX]; /* "" for a node's event */
    char node[ID_BYTES_MAX];
    int64_t attempt;
    int64_t at_ms;
    char actor[BRAIN_NAME_BYTES]; /* token id, node id or "controller" */
    char kind[32];                /* "state", "attempt", "checkpoint", "request", "warning", ... */
    char from[16];
    char to[16];
    enum reason reason;
    char detail[BRAIN_DETAIL_BYTES];
};

#endif
