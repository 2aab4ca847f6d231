#ifndef SCHEMA_NAMES_H
#define SCHEMA_NAMES_H

/*
 * names.h - the words of the contract: states, reasons, phases, roles. One X-macro a list, so that
 * enum, text, database CHECK and documentation cannot drift apart (tests compare them).
 */

#include <stdbool.h>

/* Life of a job; the transition table with its diagram is service/brain/job_machine.h. */
#define JOB_STATE_MAP(X)        \
    X(QUEUED, "queued")         \
    X(STARTING, "starting")     \
    X(RUNNING, "running")       \
    X(RECOVERING, "recovering") \
    X(CANCELLING, "cancelling") \
    X(SUCCEEDED, "succeeded")   \
    X(FAILED, "failed")         \
    X(CANCELLED, "cancelled")

#define ATTEMPT_STATE_MAP(X) \
    X(PLACED, "placed")      \
    X(RUNNING, "running")    \
    X(STOPPING, "stopping")  \
    X(ENDED, "ended")

#define NODE_STATE_MAP(X)   \
    X(READY, "ready")       \
    X(DRAINING, "draining") \
    X(LOST, "lost")

/* Why an attempt or a job ended, or why it waits. Data for the retry policy, never a state. */
#define REASON_MAP(X)                                                  \
    X(NONE, "none")                                                    \
    X(DONE, "done")                 /* every rank 0 and a result */    \
    X(BAD_SPEC, "bad_spec")         /* exit 64 */                      \
    X(BAD_DATA, "bad_data")         /* exit 65 */                      \
    X(PEER_LOST, "peer_lost")       /* exit 69 */                      \
    X(INTERNAL, "internal_error")   /* exit 70 or any other code */    \
    X(DEVICE_FAULT, "device_fault") /* exit 71 */                      \
    X(CANNOT_WRITE, "cannot_write") /* exit 73 */                      \
    X(STOPPED, "stopped")           /* exit 75 */                      \
    X(FENCED, "fenced")             /* exit 76 */                      \
    X(KILLED, "killed_by_signal")   /* a signal that is not ours */    \
    X(OOM, "out_of_memory")                                            \
    X(HANG, "hang")                                                    \
    X(NODE_LOST, "node_lost") /* lease out, or suspect + witness */    \
    X(NODE_REBOOTED, "node_rebooted")                                  \
    X(NODE_FENCED, "node_fenced") /* by an operator */                 \
    X(RUNNER_LOST, "runner_lost")                                      \
    X(START_FAILED, "start_failed") /* the agent could not start it */ \
    X(START_TIMEOUT, "start_timeout")                                  \
    X(PORT_IN_USE, "port_in_use")                                      \
    X(DATA_MISSING, "data_missing") /* dataset not on the node */      \
    X(CHECKPOINT_CORRUPT, "checkpoint_corrupt")                        \
    X(NO_RESULT, "no_result")                                          \
    X(DRAINED, "drained")                                              \
    X(PREEMPTED, "preempted")                                          \
    X(CANCELLED, "cancelled")                                          \
    X(TIME_LIMIT, "time_limit")                                        \
    X(RESTARTS_EXHAUSTED, "restarts_exhausted")                        \
    X(CRASH_LOOP, "crash_loop")

/* What an agent says of a rank: UNKNOWN never kills, restarts or completes anything. */
#define VERDICT_MAP(X) \
    X(ALIVE, "alive")  \
    X(DEAD, "dead")    \
    X(UNKNOWN, "unknown")

#define ROLE_MAP(X)           \
    X(NONE, "none")           \
    X(VIEWER, "viewer")       \
    X(SUBMITTER, "submitter") \
    X(OPERATOR, "operator")   \
    X(NODE, "node")

enum job_state {
#define X(name, text) JOB_##name,
    JOB_STATE_MAP(X) JOB_STATE_COUNT
#undef X
};
enum attempt_state {
#define X(name, text) ATTEMPT_##name,
    ATTEMPT_STATE_MAP(X) ATTEMPT_STATE_COUNT
#undef X
};
enum node_state {
#define X(name, text) NODE_##name,
    NODE_STATE_MAP(X) NODE_STATE_COUNT
#undef X
};
enum reason {
#define X(name, text) REASON_##name,
    REASON_MAP(X) REASON_COUNT
#undef X
};
enum verdict {
#define X(name, text) VERDICT_##name,
    VERDICT_MAP(X) VERDICT_COUNT
#undef X
};
enum role {
#define X(name, text) ROLE_##name,
    ROLE_MAP(X) ROLE_COUNT
#undef X
};

/* NULL-terminated, indexed by the enum: for json_get_enum() and for printing. */
extern const char *const job_state_names[];
extern const char *const attempt_state_names[];
extern const char *const node_state_names[];
extern const char *const reason_names[];
extern const char *const verdict_names[];
extern const char *const role_names[];
extern const char *const phase_names[]; /* enum progress_phase: setup, step, eval, ... */

/* Index of `text` in a NULL-terminated list, or -1. */
int name_index(const char *const names[], const char *text);

bool job_state_is_terminal(enum job_state state);

#endif
