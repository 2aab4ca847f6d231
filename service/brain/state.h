#ifndef SERVICE_BRAIN_STATE_H
#define SERVICE_BRAIN_STATE_H

/*
 * state.h - private to the brain: what it holds between inputs. Durable facts are in the rows; every
 * field beside a row is volatile, and a restart rebuilds it or does without.
 *
 *     brain --- jobs ------ attempts (newest first) ------ ranks --+-- node
 *        |                                                        +-- slot (while held)
 *        +----- nodes ----- slots, ranks that have not ended
 *
 * Held: live jobs, and finished ones while a rank of theirs is not confirmed to have ended; of each its
 * newest attempt and every attempt with such a rank.
 *
 * Time: `now_ms` is the brain's own time: boot time minus all pauses of the loop, so that a pause moves
 * every deadline. Fields named `..._ms` that are not in a row are in this time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/brain/attempt_machine.h"
#include "service/brain/brain.h"
#include "service/brain/job_machine.h"
#include "service/brain/map.h"
#include "service/brain/node_machine.h"
#include "service/brain/retry_policy.h"
#include "service/brain/timer.h"

#define BRAIN_RANKS_MAX      1024
#define BRAIN_PRIORITY_MAX   100
#define BRAIN_SHARDS_MAX     1024 /* of one checkpoint */
#define BRAIN_PENDING_MAX    8192 /* uncommitted shards of one attempt */
#define BRAIN_NODE_SLOTS_MAX 1024
#define BRAIN_AVOID_MAX      4 /* blamed nodes that a job remembers */
#define BRAIN_SETTLE_MS_MAX  250
#define BRAIN_PORT_FIRST     29500
#define BRAIN_PORT_LAST      29999
#define DEVICE_KINDS         3

/* What a job waits for. Each is a deadline; the earliest drives the job's timer. */
#define JOB_DUE_MAP(X)                                                      \
    X(START)      /* every rank alive by then */                            \
    X(ABSENT)     /* a rank that its agent does not report */               \
    X(NO_RESULT)  /* every rank is done, the result is missing */           \
    X(STOP)       /* asked to stop: ended by then, or ended by us */        \
    X(UPLOAD)     /* stopped; its last checkpoint may still come */         \
    X(TIME_LIMIT) /* the job's own */                                       \
    X(AMEND)      /* until then another end may turn out to be the cause */ \
    X(SETTLE)     /* slots of ranks whose end nobody confirmed may move */  \
    X(BACKOFF)    /* then it waits for slots again */                       \
    X(NUMERICS)   /* then it goes on with other arithmetic */

enum job_due {
#define X(name) DUE_##name,
    JOB_DUE_MAP(X) DUE_COUNT
#undef X
};

struct job;
struct node;
struct attempt;

struct slot {
    struct slot_row row;
    struct node *node;
};

struct rank {
    struct rank_row row;
    struct attempt *attempt;
    struct node *node;
    struct slot *slot;                      /* held; NULL when given back */
    struct rank *node_previous, *node_next; /* the node's ranks that have not ended */
    bool alive;                             /* seen alive by this brain */
    uint64_t seen;                          /* number of the last sync that reported it */
    int64_t absent_since_ms;                /* TIMER_NEVER: reported */
    int64_t step;
    enum progress_phase phase;
    int64_t stepped_ms; /* receipt of the sync that showed `step` first */
    int64_t collective;
    int64_t waiting_ms;
};

struct attempt {
    struct attempt_row row;
    struct job *job;
    struct attempt *older;
    struct rank *ranks; /* world_size of them */
    int64_t unended;    /* ranks that are not confirmed to have ended */
    int64_t highest_step;
    int64_t ended_ms;       /* when END was decided */
    int64_t fault_at_ms;    /* wall: when the cause happened; 0 unknown */
    int64_t detected_at_ms; /* wall */
    bool holds_port;
    bool shards_recorded; /* some may be uncommitted in the database */
};

struct job {
    struct job_row row;
    struct job *previous, *next; /* of all held jobs */
    struct attempt *newest;
    struct timer timer;
    int64_t due_ms[DUE_COUNT];
    /* The waiting list of its priority. */
    struct job *wait_previous, *wait_next;
    bool waiting;
    bool numerics_free;        /* waited long enough for its own arithmetic */
    bool touched;              /* may have become unnecessary to hold */
    enum retry_charge charged; /* what the last end cost: undone when its cause is amended */
    char avoid[BRAIN_AVOID_MAX][ID_BYTES_MAX];
    size_t avoid_count;
    struct shard_row *shards; /* uncommitted ones of the newest attempt */
    size_t shard_count, shard_capacity;
    struct checkpoint_row *checkpoints; /* steps rising */
    size_t checkpoint_count, checkpoint_capacity;
};

struct node {
    /* Counted anew with each change of a slot; first, because placement looks at these of every node. */
    int64_t free_slots[DEVICE_KINDS];
    int64_t present_slots[DEVICE_KINDS];
    int64_t held_slots;
    struct node_row row;
    char *labels; /* owned; row.labels points here */
    struct slot **slots;
    size_t slot_count, slot_capacity;
    struct rank *ranks;
    bool synced;    /* by this brain */
    bool connected; /* synced and its held connection did not close since */
    bool suspect;
    bool desired_changed;
    int64_t session, seq;
    int64_t heard_ms;        /* receipt of the last sync; the brain's start before the first */
    int64_t disconnected_ms; /* TIMER_NEVER: it is connected */
    int64_t gone_ms;         /* when it became suspect or lost; TIMER_NEVER: neither */
};

/* Slots that one gang could be placed on: of one kind, on nodes with the same arithmetic. */
struct pool {
    enum device_kind kind;
    char numerics[BRAIN_NUMERICS_BYTES];
    int64_t total; /* on nodes that are ready */
    int64_t free;  /* on nodes that may be used now */
};

/* Counted anew whenever capacity changed: a cache, so that also const views may count. */
struct pools {
    struct pool *items;
    size_t count;
    size_t capacity;
};

/* Rendezvous ports in use at one address; which attempt holds one stands in the attempt. */
struct address {
    char address[BRAIN_ADDRESS_BYTES];
    int64_t next_port;
    int64_t *held;
    size_t held_count, held_capacity;
};

struct brain {
    struct brain_config config;
    struct brain_profile profile;
    int64_t wait_ms; /* W */
    int64_t settle_ms;
    uint64_t random;
    int64_t revision;

    struct map jobs_by_id;
    struct job *jobs; /* newest first */
    int64_t job_count;
    int64_t live_count;
    int64_t jobs_in_state[JOB_STATE_COUNT]; /* live ones */
    struct map nodes_by_id;
    struct node **nodes;
    size_t node_count, node_capacity;
    struct timers timers;
    int64_t nodes_due_ms; /* when a node must be judged next, or earlier */

    struct job *wait_first[BRAIN_PRIORITY_MAX + 1], *wait_last[BRAIN_PRIORITY_MAX + 1];
    int64_t waiting_count;
    bool capacity_changed;             /* the waiting jobs must be looked at again */
    struct job *blocker[DEVICE_KINDS]; /* the first that waits for busy slots of the kind */
    struct pools *pools;
    struct map addresses_by_text;
    struct address **addresses;
    size_t address_count, address_capacity;

    /* The brake: while most nodes are gone at once, nobody is judged. */
    int64_t hold_until_ms; /* TIMER_NEVER: not braking */
    bool hold_passed;      /* held once for this loss; go on until nodes are back */

    /* The input at hand. */
    int64_t stall_total_ms;
    int64_t start_ms;
    int64_t now_ms;
    int64_t wall_ms;
    bool wall_known; /* since the start */
    const char *actor;
    uint64_t sync_number;
    struct effects *effects;
    struct brain_reply *reply;
    struct job **touched;
    size_t touched_count, touched_capacity;
    struct node **told;
    size_t told_count, told_capacity;
};

/* state.c: objects */
struct job *state_add_job(struct brain *brain, const struct job_row *row);
struct attempt *state_add_attempt(struct brain *brain, struct job *job,
                                  const struct attempt_row *row);
struct node *state_add_node(struct brain *brain, const struct node_row *row);
struct slot *state_add_slot(struct node *node, const struct slot_row *row);
struct job *state_job(const struct brain *brain, const char *id);   /* NULL when not held */
struct node *state_node(const struct brain *brain, const char *id); /* NULL when unknown */
struct slot *state_slot(const struct node *node, const char *slot);
void state_count_slots(struct node *node); /* after any change of a slot */
struct attempt *state_attempt(const struct job *job, int64_t number);
void state_link_rank(struct rank *rank, struct node *node);
void state_unlink_rank(struct rank *rank);
/* The newest attempt if it is live, else NULL. */
struct attempt *state_live_attempt(const struct job *job);
void state_set_due(struct brain *brain, struct job *job, enum job_due due, int64_t at_ms);
/* Remembers to look at the end of this input whether the job must still be held. */
void state_touch(struct brain *brain, struct job *job);
/* Remembers that the node's desired set changed: it is published at the end of this input. */
void state_tell_node(struct brain *brain, struct node *node);
void state_drop_unneeded(struct brain *brain);
void state_free_job(struct brain *brain, struct job *job);
void state_free_node(struct node *node);

/* Answers an input that cannot be done. */
void reply_refuse(struct brain *brain, enum status status, const char *code, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

#endif
