#include "service/brain/waiting.h"

#include <assert.h>
#include <string.h>

static bool is_older(const struct job *a, const struct job *b)
{
    if (a->row.created_at_ms != b->row.created_at_ms)
        return a->row.created_at_ms < b->row.created_at_ms;
    return strcmp(a->row.id, b->row.id) < 0;
}

bool waiting_is_before(const struct job *a, const struct job *b)
{
    if (a->row.request.priority != b->row.request.priority)
        return a->row.request.priority > b->row.request.priority;
    return is_older(a, b);
}

/* The job after which `job` belongs; NULL: at the front. Searched from the end where it is likely. */
static struct job *place_of(const struct brain *brain, const struct job *job, int64_t priority)
{
    struct job *after = NULL;
    if (job->row.attempt == 0) {
        after = brain->wait_last[priority];
        while (after != NULL && is_older(job, after))
            after = after->wait_previous;
        return after;
    }
    struct job *next = brain->wait_first[priority];
    while (next != NULL && is_older(next, job)) {
        after = next;
        next = next->wait_next;
    }
    return after;
}

void waiting_add(struct brain *brain, struct job *job)
{
    if (job->waiting)
        return;
    const int64_t priority = job->row.request.priority;
    assert(priority >= 0 && priority <= BRAIN_PRIORITY_MAX);
    struct job *after = place_of(brain, job, priority);
    job->wait_previous = after;
    job->wait_next = after == NULL ? brain->wait_first[priority] : after->wait_next;
    if (after == NULL)
        brain->wait_first[priority] = job;
    else
        after->wait_next = job;
    if (job->wait_next == NULL)
        brain->wait_last[priority] = job;
    else
        job->wait_next->wait_previous = job;
    job->waiting = true;
    brain->waiting_count++;
}

void waiting_remove(struct brain *brain, struct job *job)
{
    if (!job->waiting)
        return;
    const int64_t priority = job->row.request.priority;
    if (job->wait_previous == NULL)
        brain->wait_first[priority] = job->wait_next;
    else
        job->wait_previous->wait_next = job->wait_next;
    if (job->wait_next == NULL)
        brain->wait_last[priority] = job->wait_previous;
    else
        job->wait_next->wait_previous = job->wait_previous;
    job->wait_previous = NULL;
    job->wait_next = NULL;
    job->waiting = false;
    brain->waiting_count--;
    for (int kind = 0; kind < DEVICE_KINDS; kind++) {
        if (brain->blocker[kind] == job) {
            brain->blocker[kind] = NULL;
            brain->capacity_changed = true;
        }
    }
}

struct job *waiting_next(const struct brain *brain, const struct job *job)
{
    if (job != NULL && job->wait_next != NULL)
        return job->wait_next;
    int64_t priority = job == NULL ? BRAIN_PRIORITY_MAX : job->row.request.priority - 1;
    while (priority >= 0 && brain->wait_first[priority] == NULL)
        priority--;
    return priority < 0 ? NULL : brain->wait_first[priority];
}
