#ifndef SERVICE_LOOP_H
#define SERVICE_LOOP_H

/*
 * loop.h - one thread, one writer, one transaction a batch.
 *
 *     queue ──▶ begin ─▶ for each call: prepare, brain_step, store_apply ─▶ commit
 *                                                                             │ durable from here on
 *               answers (done), desired snapshots, changes, blobs to drop ◀───┘
 *
 * Whoever wants something of the state hands over a `loop_call` and hears of it by `done`, on the
 * loop's thread, after the transaction that holds it is on disk. Under load a batch is as large as
 * what came in during the commit before it: that is the group commit.
 *
 * A failed write or commit ends the process: the brain is ahead of the disk, and the start from disk
 * is the one recovery there is.
 *
 * Threads: loop_push() from any; hooks and `done` run on the loop's thread and must not wait.
 * Time:    deadlines on boot time; a pause of the loop itself (a stopped process, a starved machine)
 *          is measured and told to the brain, which adds it to each deadline.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "service/brain/brain.h"
#include "service/store/store.h"

#define LOOP_QUEUE_MAX 16384
#define LOOP_BATCH_MAX 512

struct loop;
struct loop_call;

/*
 * Runs inside the transaction, before the brain sees the input: reads and writes what is not the
 * brain's. A failure must change nothing; it ends this call alone.
 */
typedef enum status loop_prepare_fn(struct loop_call *call, struct store *store,
                                    const struct brain *brain, struct error *err);
/* Runs after the brain's step, still inside the transaction: keeps what the answer will need. */
typedef void loop_stepped_fn(struct loop_call *call, const struct brain *brain);
typedef void loop_done_fn(struct loop_call *call);

/* The caller owns it, with all that `input` points at, until `done`. */
struct loop_call {
    bool grows;     /* refused with STATUS_NO_SPACE while the disk is nearly full */
    bool has_input; /* false: only `prepare` runs (tokens, data sets, questions to the brain) */
    struct brain_input input; /* its times are set by the loop */
    loop_prepare_fn *prepare; /* may be NULL with an input */
    loop_stepped_fn *stepped; /* may be NULL */
    loop_done_fn *done;
    /* Set before `done`. */
    enum status status;       /* of prepare, or of the brain's reply */
    struct error error;       /* of prepare */
    struct brain_reply reply; /* with an input that prepare let pass */
};

/* What a committed batch changed. */
enum loop_change_kind { LOOP_JOB_CHANGED, LOOP_NODE_CHANGED };
struct loop_change {
    enum loop_change_kind kind;
    char id[ID_BYTES_MAX];
    int64_t revision;
    bool terminal; /* the job has come to its end */
    bool ran;      /* it has had an attempt */
};

struct loop_hooks {
    void *context;
    /* A node's desired set, rendered: a JSON array. The text is the hook's (free). */
    void (*desired)(void *context, const char *node, int64_t revision, char *json);
    void (*changed)(void *context, const struct loop_change *changes, size_t count);
    /* What an attempt stored of this step is of no use any more. */
    void (*drop_blobs)(void *context, const char *job, int64_t attempt, int64_t step);
};

struct loop_options {
    struct store *store; /* the loop's from here on, until loop_free() */
    const struct brain_profile *profile;
    struct loop_hooks hooks;
};

/* Numbers for /metrics. */
#define LOOP_LATENCY_BUCKETS 12
extern const double
    loop_latency_bounds_s[LOOP_LATENCY_BUCKETS]; /* upper bounds; the last: infinity */
struct loop_stats {
    uint64_t batches;
    uint64_t calls;
    uint64_t commits; /* batches that wrote */
    uint64_t commit_latency[LOOP_LATENCY_BUCKETS];
    uint64_t commit_ns; /* sum */
    uint64_t stalls;
    int64_t stall_ms; /* sum */
    int64_t wal_pages;
    size_t queue_length;
    struct brain_counts counts;
};

/* Loads the brain from the store and publishes every node's desired set by the hook. */
MUST_CHECK enum status loop_new(const struct loop_options *options, struct loop **out,
                                struct error *err);
MUST_CHECK enum status loop_start(struct loop *loop, struct error *err);
/* False when the queue is full or the loop stops: the call stays the caller's, `done` is not called. */
MUST_CHECK bool loop_push(struct loop *loop, struct loop_call *call);
/* Works off what is in the queue, then ends the thread. */
void loop_stop(struct loop *loop);
void loop_free(struct loop *loop); /* closes the store; accepts NULL */

/* False while the disk is nearly full. From any thread. */
bool loop_has_room(const struct loop *loop);
void loop_stats(struct loop *loop, struct loop_stats *out);

#endif
