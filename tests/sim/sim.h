#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

/*
 * sim.h - a whole cluster in virtual time, around the brain and the store that ship.
 *
 *     client ──▶ network ──▶ controller (brain + store) ◀── network ──▶ agents ──▶ gangs of ranks
 *                               ▲ oracle looks at every commit              ▲ faults
 *
 * One thread, one heap of events; every draw comes from a seeded stream of its own subsystem, so that one
 * more draw in one does not shift the others. The same seed gives the same trace and digest.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/brain/brain.h"
#include "service/store/store.h"

#define SIM_NODES_MAX    6
#define SIM_SLOTS_MAX    3
#define SIM_JOBS_MAX     10
#define SIM_RANKS_MAX    6
#define SIM_LOCALS_MAX   64 /* ranks that one node's disk knows */
#define SIM_UPLOADS_MAX  64 /* pending uploads of one node */
#define SIM_GANGS_MAX    2048
#define SIM_IDS_MAX      2048 /* submit requests */
#define SIM_DESIRED_MAX  16   /* attempts in one node's desired set */
#define SIM_QUEUE_MAX    4096
#define SIM_WALL_ZERO_MS 1790000000000
#define SIM_HANG_MS      35000

struct world;
typedef void event_fn(struct world *world, int64_t a, int64_t b, void *message);

enum stream { STREAM_NETWORK, STREAM_FAULTS, STREAM_WORK, STREAM_HOST, STREAM_COUNT };

/* ---- messages */

struct told_rank {
    int64_t rank;
    char slot[BRAIN_SLOT_BYTES];
};
struct told_attempt {
    char job[ID_BYTES_MAX];
    int64_t attempt;
    int64_t world_size;
    int64_t resume_step;
    bool stop, kill;
    size_t rank_count;
    struct told_rank ranks[SIM_RANKS_MAX];
};
struct told {
    int64_t revision;
    size_t count;
    struct told_attempt attempts[SIM_DESIRED_MAX];
};
struct seen_rank {
    char job[ID_BYTES_MAX];
    int64_t attempt, rank, pid, step, collective, waiting_ms;
    enum verdict verdict;
    bool exited;
    int64_t exit_code, exit_signal, exit_age_ms;
    enum reason exit_reason;
};
struct sync_message {
    int64_t session, seq, revision_seen, boot;
    uint64_t agent; /* which agent process: an answer to a former one is lost */
    bool news;
    size_t count;
    struct seen_rank ranks[SIM_LOCALS_MAX];
};
struct answer_message {
    int64_t session, seq;
    uint64_t agent;
    bool stale; /* 409 */
    bool has_desired;
    struct told told;
};
enum upload_kind { UPLOAD_SHARD, UPLOAD_RESULT };
struct upload {
    bool used;
    enum upload_kind kind;
    char job[ID_BYTES_MAX];
    int64_t attempt, step, shard, of;
    int64_t gang;
    uint64_t number;
};
struct upload_reply {
    uint64_t number;
    enum status status;
    bool committed;
};

/* ---- a machine */

enum local_state { LOCAL_NONE, LOCAL_STARTING, LOCAL_RUNNING, LOCAL_EXITED };
/* A rank as its node's disk and process table know it. */
struct local {
    enum local_state state;
    char job[ID_BYTES_MAX];
    int64_t attempt, rank;
    char slot[BRAIN_SLOT_BYTES];
    int64_t gang;
    int64_t pid;
    uint64_t serial; /* events of a former process are ignored */
    bool fenced_job;
    bool dying;
    enum reason dying_of;
    bool hung;
    int64_t term_at_ms; /* asked to stop; -1: not */
    int64_t exit_code, exit_signal, exited_at_ms;
    enum reason exit_reason;
};
struct host {
    char id[ID_BYTES_MAX];
    char numerics[8];
    int64_t slots;
    bool up;
    int64_t boot;
    int64_t down_since_ms;
    bool vouched;       /* an operator fenced it: it stays down until the heal */
    int64_t vouched_ms; /* when he said so */
    /* the agent */
    bool agent_up;
    uint64_t agent; /* process number */
    int64_t session, seq, outstanding;
    int64_t sent_at_ms[2]; /* send time and seq of the outstanding sync */
    int64_t adopt_until_ms;
    int64_t lease_until_ms;
    struct told told;
    struct local locals[SIM_LOCALS_MAX];
    int64_t started[SIM_JOBS_MAX][SIM_RANKS_MAX]; /* on disk: the newest attempt ever started */
    struct upload uploads[SIM_UPLOADS_MAX];
    /* the network between it and the controller */
    bool cut_up, cut_down;
    int64_t last_received_ms; /* at the listener */
};

/* One attempt's ranks as they really are. */
struct gang {
    char job[ID_BYTES_MAX];
    int64_t client; /* which job of the workload */
    int64_t attempt;
    int64_t world_size;
    int64_t step, resume_step;
    int64_t last_step_ms;
    int64_t longest_wait_ms;
    int64_t host[SIM_RANKS_MAX]; /* -1: not started anywhere */
    int64_t local[SIM_RANKS_MAX];
    bool stepping;
    bool first_step_told;
    bool stop;
    int64_t uploading; /* shards not acknowledged */
    int64_t snapshot_step;
    int64_t acked_at_step; /* where the gang was when its last snapshot was committed */
    int64_t acked_snapshot;
    bool finished;
};

/* ---- the controller */

struct queued {
    struct brain_input input;
    int64_t origin;  /* host, or client job; -1: nobody */
    uint64_t number; /* of an upload */
    char job[ID_BYTES_MAX];
    char node[ID_BYTES_MAX];
    char boot[32];
    char model[BRAIN_SHA_BYTES];
    struct sync_message *sync;
};
struct listener {
    int64_t session, seq;
    struct told told; /* the committed snapshot */
    bool held;
    uint64_t hold; /* number of the held request */
    int64_t held_seq, held_seen;
    uint64_t held_agent;
};
struct controller {
    bool up;
    struct brain *brain;
    struct store *store;
    struct effects effects;
    struct effects pending; /* of the open transaction, for the oracle */
    struct queued *queue[SIM_QUEUE_MAX];
    size_t queue_count;
    bool batch_due;
    int64_t stall_ms, stalled_until_ms;
    int64_t started_ms;
    int64_t tick_at_ms;
    uint64_t life;
    struct listener listeners[SIM_NODES_MAX];
    uint64_t holds;
};

/* ---- what users want */

struct client_job {
    struct job_request request;
    int64_t total_steps, every_steps, step_ms, shards;
    char key[32];
    char id[ID_BYTES_MAX]; /* acknowledged; "" before */
    bool acknowledged;
    bool wants_cancel, cancel_acknowledged;
    int64_t charged_faults;
};

/* ---- what must be true */

struct oracle_job {
    char id[ID_BYTES_MAX];
    int64_t client;
    enum job_state state;
    enum reason reason;
    int64_t restarts;
    int64_t attempt;    /* highest ever inserted */
    bool attempt_ended; /* of that one */
    enum attempt_state attempt_state;
    int64_t placed_at_ms;
    int64_t committed_step;    /* highest ever committed */
    int64_t acknowledged_step; /* highest that an agent was told is committed */
    int64_t resume_step;
    bool fenced;
};
struct oracle {
    struct oracle_job jobs[SIM_IDS_MAX];
    size_t job_count;
    struct {
        int64_t revision;
        uint64_t hash;
    } desired[SIM_NODES_MAX];
    uint64_t committed_digest;
    int64_t disturbed_ms; /* the controller was down or paused until then */
    int64_t commits, reloads, attempts, checkpoints, failovers, witnessed;
};

struct swarm {
    bool enabled[32];
    int64_t loss, repeat, delay_long; /* per mille of messages */
    int64_t crash_commit;             /* per mille of commits */
    int64_t upload_ms_max;
};

struct event {
    int64_t at_ms;
    uint64_t order;
    event_fn *fn;
    int64_t a, b;
    void *message;
};

struct world {
    uint64_t seed;
    bool trace;
    int64_t now_ms, until_ms, heal_ms;
    bool healed;
    struct event *heap;
    size_t heap_count, heap_capacity;
    uint64_t orders;
    uint64_t streams[STREAM_COUNT];
    uint64_t digest;
    uint64_t serials;
    const struct brain_profile *profile;
    struct brain_config config;
    int64_t wait_ms;
    struct controller controller;
    size_t host_count;
    struct host hosts[SIM_NODES_MAX];
    bool peers_cut[SIM_NODES_MAX][SIM_NODES_MAX];
    size_t client_count;
    struct client_job clients[SIM_JOBS_MAX];
    struct {
        char id[ID_BYTES_MAX];
        int64_t client;
    } ids[SIM_IDS_MAX];
    size_t id_count;
    struct gang *gangs;
    size_t gang_count;
    struct swarm swarm;
    struct oracle oracle;
    bool failed;
    char why[512];
};

/* world.c: time, randomness, trace */
void world_init(struct world *world, uint64_t seed, bool trace);
void world_clear(struct world *world);
bool world_run(struct world *world, int64_t until_ms); /* false: something was violated */
/* Calls `fn` after `delay_ms`; `message` is malloc'ed, and freed after the call. */
void world_after(struct world *world, int64_t delay_ms, event_fn *fn, int64_t a, int64_t b,
                 void *message);
void *world_copy(const void *message, size_t size);
int64_t world_draw(struct world *world, enum stream stream, int64_t low, int64_t high);
bool world_chance(struct world *world, enum stream stream, int64_t per_mille);
void world_trace(struct world *world, const char *fmt, ...) PRINTF_LIKE(2, 3);
void world_violate(struct world *world, const char *fmt, ...) PRINTF_LIKE(2, 3);
int64_t world_client_of(const struct world *world, const char *job); /* -1: unknown */

/* network.c: between hosts (or clients: host -1) and the controller */
void network_to_controller(struct world *world, int64_t host, event_fn *fn, int64_t b,
                           const void *message, size_t size);
void network_to_host(struct world *world, int64_t host, event_fn *fn, int64_t b,
                     const void *message, size_t size);

/* controller.c */
void controller_open(struct world *world); /* first start, with every node joined */
void controller_start(struct world *world);
void controller_crash(struct world *world, const char *how);
void controller_close(struct world *world);
void controller_enqueue(struct world *world, const struct queued *item);
event_fn controller_hear_sync, controller_hear_upload, controller_hear_submit,
    controller_hear_cancel, controller_hear_disconnect, controller_hear_first_step;
void controller_operate(struct world *world, enum input_kind kind, int64_t host);

/* listener.c */
void listener_publish(struct world *world, int64_t host);
void listener_hear(struct world *world, int64_t host, const struct sync_message *message);

/* agent.c */
void agent_start(struct world *world, int64_t host);
void agent_crash(struct world *world, int64_t host);
void agent_news(struct world *world, int64_t host);
event_fn agent_hear_answer, agent_hear_upload;
void agent_add_upload(struct world *world, int64_t host_index, const struct upload *wanted);

/* gang.c */
void host_crash(struct world *world, int64_t host, bool silent);
void host_boot(struct world *world, int64_t host);
int64_t gang_find(struct world *world, const char *job, int64_t attempt); /* -1: none */
int64_t gang_join(struct world *world, int64_t host, int64_t local,
                  const struct told_attempt *told);
void gang_exit(struct world *world, int64_t host, int64_t local, int64_t code, int64_t signal,
               enum reason reason);
/* SIGKILL by agent or runner; `reason` is what the runner writes down, NONE: the signal alone. */
void gang_kill(struct world *world, int64_t host, int64_t local, enum reason reason);
void gang_stop(struct world *world, int64_t index);
void gang_ack_shard(struct world *world, int64_t index, int64_t step);
bool gang_is_stalled(const struct world *world, const struct gang *gang);

/* client.c */
void client_plan(struct world *world);
event_fn client_hear_submit, client_hear_cancel;
struct client_reply {
    enum status status;
    char id[ID_BYTES_MAX];
};
struct client_request {
    char id[ID_BYTES_MAX];
    char key[32];
};

/* faults.c */
void faults_plan(struct world *world);
void faults_heal(struct world *world);

/* oracle.c */
void oracle_note(struct world *world,
                 const struct effects *effects); /* of a committed transaction */
void oracle_check(struct world *world);          /* after every event */
void oracle_check_end(struct world *world);      /* after the heal: liveness */
void oracle_rank_up(struct world *world, const char *id, int64_t attempt);
void oracle_desired(struct world *world, int64_t host, const struct told *told);
struct oracle_job *oracle_job(struct world *world, const char *id);

#endif
