#ifndef SERVICE_BRAIN_BRAIN_H
#define SERVICE_BRAIN_BRAIN_H

/*
 * brain.h - every decision of the controller: jobs, attempts, nodes, leases, suspicion, placement.
 *
 * Pure: no I/O, no clock, no threads, no globals, no randomness but a seeded generator that the
 * configuration starts. The same object files run in the service and in the simulator. It holds only
 * live jobs, nodes and slots; everything else is in the database.
 *
 *     input ──▶ brain_step ──▶ effects (rows, in order) + reply
 *
 * Durability: the caller writes the effects in one transaction and only then lets the reply out and
 * publishes desired sets. If the transaction fails the process ends: the brain is ahead of the disk.
 *
 * Restart: brain_new, brain_load_* for every live row, brain_start. Nothing volatile is needed:
 * each node gets a full term before it is judged, nobody is suspect before.
 *
 * Jobs that it does not hold are answered STATUS_NOT_FOUND ("not_live"): the API knows from the
 * database whether they have finished. A stale attempt is STATUS_CONFLICT ("stale_attempt").
 *
 * Time: deadlines are judged by INPUT_TICK alone, with boot time; brain_next_deadline_boot_ms()
 * says when the next tick is due.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "schema/names.h"
#include "service/brain/effect.h"
#include "service/brain/input.h"
#include "service/brain/rows.h"

struct brain;

/* A timing profile; rho is the clock-rate error that is allowed for, in 1/1000. */
struct brain_profile {
    const char *name;
    int64_t heartbeat_ms;
    int64_t ttl_ms;
    int64_t kill_budget_ms;
    int64_t suspect_ms;
};
extern const struct brain_profile brain_profiles[]; /* default, fast, relaxed; name NULL ends */
/* W = (1 + rho) * (TTL / (1 - rho) + K), rounded up: how long the controller waits. */
int64_t brain_profile_wait_ms(const struct brain_profile *profile);

struct brain_config {
    const struct brain_profile *profile;
    uint64_t seed;            /* jitter, attempt secrets in the simulator */
    int64_t start_limit_ms;   /* a gang that is not up by then ends as start_timeout; 60 s */
    int64_t no_result_ms;     /* exits 0 without a result: 60 s */
    int64_t numerics_wait_ms; /* 60 s */
    int64_t grace_ms;         /* for cancel and drain: 30 s */
    int64_t amend_ms;         /* the cause may be amended this long: 2 s */
    int64_t jobs_live_max;    /* submissions beyond are refused with STATUS_BUSY */
    /* Fills an attempt's secret; NULL: from `seed` (simulator). */
    void (*secret)(void *context, char out[BRAIN_SHA_BYTES]);
    void *secret_context;
};

struct brain_reply {
    enum status status; /* STATUS_OK, NOT_FOUND, CONFLICT, BUSY, ... */
    char code[32];      /* stable word: "stale_attempt", "idempotency_mismatch", ... */
    char text[BRAIN_DETAIL_BYTES];
    char id[ID_BYTES_MAX]; /* the job or node concerned */
    int64_t revision;
    bool replayed;  /* submit: the key was known */
    bool committed; /* shard: it was the last, the checkpoint is committed */
    bool duplicate; /* shard: was recorded already */
};

MUST_CHECK enum status brain_new(const struct brain_config *config, struct brain **out,
                                 struct error *err);
void brain_free(struct brain *brain); /* accepts NULL */

/*
 * Loading, before brain_start(), in this order: every node, then slot; every job that is live or has a
 * rank that has not ended (a lost node may still run it: its slot and port stay held); of each such
 * job its newest attempt and each attempt with a rank that has not ended; all ranks of these attempts;
 * every held port; the uncommitted shards of live attempts; the checkpoints of live jobs, steps rising.
 */
void brain_load_node(struct brain *brain, const struct node_row *row);
void brain_load_slot(struct brain *brain, const struct slot_row *row);
void brain_load_job(struct brain *brain, const struct job_row *row);
void brain_load_attempt(struct brain *brain, const struct attempt_row *row);
void brain_load_rank(struct brain *brain, const struct rank_row *row);
void brain_load_port(struct brain *brain, const struct port_row *row);
void brain_load_shard(struct brain *brain, const struct shard_row *row);
void brain_load_checkpoint(struct brain *brain, const struct checkpoint_row *row);
/* `revision` is the highest that was ever given out: the maximum over all rows of jobs and nodes. */
void brain_start(struct brain *brain, int64_t boot_ms, int64_t revision);

/* Takes one input; `effects` is emptied first. Deterministic and total. */
void brain_step(struct brain *brain, const struct brain_input *input, struct effects *effects,
                struct brain_reply *reply);
void effects_clear(struct effects *effects); /* frees */

int64_t brain_next_deadline_boot_ms(const struct brain *brain);

/* What a node should be doing: one entry for each live or stopping attempt with ranks there. */
struct desired_attempt {
    const struct job_row *job;
    const struct attempt_row *attempt;
    const struct rank_row *const *ranks; /* on this node, ascending; also those that have ended */
    size_t rank_count;
    const struct slot_row *const *slots; /* beside ranks */
    int64_t group_rank;
    int64_t group_world_size;
    bool stop; /* false: run */
    bool kill; /* with stop: at once; else with grace */
    int64_t grace_ms;
};
typedef void desired_fn(void *context, const struct desired_attempt *attempt);
/* Calls back for each; returns the node's desired revision, 0 when there is no such node. */
int64_t brain_desired(const struct brain *brain, const char *node, desired_fn *fn, void *context);

/* Read-only views for answers and checks. NULL when not held. */
const struct job_row *brain_job(const struct brain *brain, const char *id);
const struct attempt_row *brain_attempt(const struct brain *brain, const char *job);
const struct node_row *brain_node(const struct brain *brain, const char *id);

/* Why a live job waits, or where a request would be placed now (dry run). */
enum explain_code {
    EXPLAIN_RUNNING,    /* it does not wait */
    EXPLAIN_NO_NODES,   /* no node is ready */
    EXPLAIN_TOO_LARGE,  /* more ranks than slots of the kind exist */
    EXPLAIN_SLOTS_BUSY, /* would fit on an empty cluster */
    EXPLAIN_BEHIND,     /* another job comes first */
    EXPLAIN_BACKOFF,    /* waits after a failure */
    EXPLAIN_NUMERICS,   /* waits for a node with the same arithmetic */
    EXPLAIN_SETTLING,   /* waits for former ranks' ends to be confirmed */
    EXPLAIN_WOULD_RUN,  /* dry run: it would be placed at once */
};
extern const char *const explain_code_names[];
struct explanation {
    enum explain_code code;
    int64_t position; /* 1: next; 0: not queued */
    char detail[BRAIN_DETAIL_BYTES];
    size_t placement_count; /* WOULD_RUN: first ranks' nodes */
    struct {
        char node[ID_BYTES_MAX];
        int64_t ranks;
    } placement[32];
};
void brain_explain(const struct brain *brain, const char *job, int64_t boot_ms,
                   struct explanation *out);
void brain_explain_request(const struct brain *brain, const struct job_request *request,
                           int64_t boot_ms, struct explanation *out);

/* Counts for /metrics. */
struct brain_counts {
    int64_t jobs[JOB_STATE_COUNT]; /* live ones */
    int64_t nodes[NODE_STATE_COUNT];
    int64_t slots;
    int64_t slots_held;
    int64_t nodes_suspect;
};
void brain_count(const struct brain *brain, struct brain_counts *out);

/* State hash over everything that must equal its reloaded self; and local invariants. */
uint64_t brain_digest(const struct brain *brain);
bool brain_check(const struct brain *brain, char *why, size_t why_bytes);

#endif
