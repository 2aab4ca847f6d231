#ifndef AGENT_PREPARE_H
#define AGENT_PREPARE_H

/*
 * prepare.h - from an assignment to a living runner, off the main thread: the folder with spec,
 * secret, empty event and output files; the intent; shards to resume from; decoded data; orders;
 * the spawned runner.
 *
 *   <data>/attempts/<job>/<attempt>/
 *     intent.json spec.json secret runner.orders runner.sock runner.log exit.json
 *     rank-<n>/{events.jsonl, stdout, stderr, *.offset}   checkpoints/   resume/   output/
 *
 * Threads: PREPARE_WORKERS workers, each with its own connection. The functions are the main thread's.
 * Ownership: a task is the preparer's until prepare_take() hands it out.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/local.h"
#include "agent/orders.h"
#include "agent/site.h"
#include "base/error.h"
#include "schema/wire_agent.h"

#define PREPARE_WORKERS 2

struct preparer;

enum prepare_stage { PREPARE_FILES, PREPARE_SHARDS, PREPARE_DATA, PREPARE_SPAWN, PREPARE_STAGES };

struct prepare_task {
    struct wire_sync_answer held; /* a copy of the assignment */
    char folder[LOCAL_FOLDER_BYTES];
    struct orders_lease lease;
    bool cancelled; /* atomic; set by prepare_cancel() */
    /* The outcome: a runner, or why there is none. */
    bool started;
    int link_fd;
    pid_t runner_pid;
    enum reason reason;
    int64_t exit_code; /* of the trainer's decode, -1 else */
    struct error error;
    int64_t took_ms[PREPARE_STAGES]; /* from the start to the end of each stage */
};

MUST_CHECK enum status prepare_start(const struct site *site, struct preparer **out,
                                     struct error *err);
/* Cancels what waits and ends the workers. Accepts NULL. */
void prepare_stop(struct preparer *preparer);
MUST_CHECK enum status prepare_submit(struct preparer *preparer,
                                      const struct wire_assignment *assignment, const char *folder,
                                      const struct orders_lease *lease, struct error *err);
/* The attempt in preparation will end as never started, unless its runner already lives. */
void prepare_cancel(struct preparer *preparer, const char *job, int64_t attempt);
/* Readable when a task is done. */
int prepare_fd(const struct preparer *preparer);
/* A finished task, or NULL. The caller frees it. */
struct prepare_task *prepare_take(struct preparer *preparer);
void prepare_task_free(struct prepare_task *task);

#endif
