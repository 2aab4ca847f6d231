#ifndef SERVICE_BRAIN_JOB_MACHINE_H
#define SERVICE_BRAIN_JOB_MACHINE_H

/*
 * job_machine.h - the life of a job.
 *
 *              PLACE              START            SUCCEED
 *     QUEUED ---------> STARTING --------> RUNNING ---------> SUCCEEDED
 *                        |   ^                |
 *              INTERRUPT |   | PLACE          | INTERRUPT
 *                        v   |                |
 *                      RECOVERING <-----------+
 *
 *     SUCCEED also leads from STARTING (a rank may be done before a slow one was seen alive).
 *     FAIL    leads from STARTING, RUNNING and RECOVERING to FAILED.
 *     CANCEL  leads from every live state to CANCELLING, and GONE from there to CANCELLED.
 *
 *     QUEUED      waits for its first gang's slots.
 *     STARTING    an attempt is placed; not every rank was seen alive yet.
 *     RUNNING     every rank was seen alive.
 *     RECOVERING  an attempt ended before its time; waits for back-off or slots.
 *     CANCELLING  a user wants it gone; a rank may still run.
 *     SUCCEEDED, FAILED, CANCELLED absorb: nothing leads out of them.
 *
 * A repeated event changes nothing. Why something happened is a reason, in its own column.
 */

#include "schema/names.h"

#define JOB_EVENT_MAP(X)      \
    X(PLACE, "place")         \
    X(START, "start")         \
    X(INTERRUPT, "interrupt") \
    X(SUCCEED, "succeed")     \
    X(FAIL, "fail")           \
    X(CANCEL, "cancel")       \
    X(GONE, "gone")

enum job_event {
#define X(name, text) JOB_EVENT_##name,
    JOB_EVENT_MAP(X) JOB_EVENT_COUNT
#undef X
};

extern const char *const job_event_names[];

/* The state after `event`, or JOB_STATE_COUNT when the table does not allow it. */
enum job_state job_machine_next(enum job_state from, enum job_event event);

#endif
