#include "service/brain/starting.h"

#include "service/brain/emit.h"
#include "service/brain/transition.h"

static bool whole_gang_started(const struct attempt *attempt)
{
    for (int64_t i = 0; i < attempt->row.world_size; i++) {
        if (!attempt->ranks[i].alive && !attempt->ranks[i].row.ended)
            return false;
    }
    return true;
}

/* The job's own time limit counts from its first start, whatever comes later. */
static void start_job(struct brain *brain, struct job *job)
{
    const bool first = job->row.started_at_ms == 0;
    transition_job(brain, job, JOB_EVENT_START, REASON_NONE, "");
    if (first && job->row.request.time_limit_ms > 0)
        state_set_due(brain, job, DUE_TIME_LIMIT, brain->now_ms + job->row.request.time_limit_ms);
}

void starting_check(struct brain *brain, struct attempt *attempt)
{
    struct job *job = attempt->job;
    if (attempt->row.started_at_ms == 0) {
        attempt->row.started_at_ms = brain->wall_ms;
        emit_attempt(brain, EFFECT_ATTEMPT_UPDATE, attempt);
    }
    if (attempt->row.state != ATTEMPT_PLACED || !whole_gang_started(attempt))
        return;
    transition_attempt(brain, attempt, ATTEMPT_EVENT_ALIVE, REASON_NONE, "");
    state_set_due(brain, job, DUE_START, TIMER_NEVER);
    if (job->row.state == JOB_STARTING)
        start_job(brain, job);
}
