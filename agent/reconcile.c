#include "agent/reconcile.h"

#include <assert.h>
#include <string.h>

struct plan {
    struct action *out;
    size_t count, max;
};

static void add(struct plan *plan, enum action_kind kind, const struct wire_assignment *assignment,
                struct local *local)
{
    assert(plan->count < plan->max);
    plan->out[plan->count++] = (struct action){kind, assignment, local};
}

const struct wire_assignment *assignment_find(const struct wire_assignment *desired, size_t count,
                                              const char *job, int64_t attempt)
{
    for (size_t i = 0; i < count; i++) {
        if (desired[i].attempt == attempt && strcmp(desired[i].job, job) == 0)
            return &desired[i];
    }
    return NULL;
}

static bool has_local(struct local *const *locals, size_t count,
                      const struct wire_assignment *assignment)
{
    for (size_t i = 0; i < count; i++) {
        if (locals[i]->attempt == assignment->attempt &&
            strcmp(locals[i]->job, assignment->job) == 0)
            return true;
    }
    return false;
}

static bool local_holds(const struct local *local, const char *slot)
{
    if (local->state == LOCAL_OVER)
        return false;
    for (size_t i = 0; i < local->rank_count; i++) {
        if (!local->ranks[i].ended && strcmp(local->ranks[i].slot, slot) == 0)
            return true;
    }
    return false;
}

static bool assignment_wants(const struct wire_assignment *assignment, const char *slot)
{
    for (size_t i = 0; i < assignment->rank_count; i++) {
        if (strcmp(assignment->ranks[i].slot, slot) == 0)
            return true;
    }
    return false;
}

/* Whether its slots are free of running ranks and of those that this plan starts. */
static bool slots_free(const struct plan *plan, struct local *const *locals, size_t local_count,
                       const struct wire_assignment *assignment)
{
    for (size_t i = 0; i < assignment->rank_count; i++) {
        const char *slot = assignment->ranks[i].slot;
        for (size_t j = 0; j < local_count; j++) {
            if (local_holds(locals[j], slot))
                return false;
        }
        for (size_t j = 0; j < plan->count; j++) {
            if (plan->out[j].kind == ACTION_START &&
                assignment_wants(plan->out[j].assignment, slot))
                return false;
        }
    }
    return true;
}

static void plan_running(struct plan *plan, const struct wire_assignment *wanted,
                         struct local *local)
{
    const enum desired_phase phase = wanted ? wanted->phase : DESIRED_KILL;
    if (phase == DESIRED_KILL && local->asked != DESIRED_KILL)
        add(plan, ACTION_KILL, wanted, local);
    else if (phase == DESIRED_STOP && local->asked == DESIRED_RUN)
        add(plan, ACTION_STOP, wanted, local);
    else if (phase == DESIRED_RUN && wanted->checkpoint_request > local->checkpoint_request)
        add(plan, ACTION_CHECKPOINT, wanted, local);
}

static void plan_local(struct plan *plan, const struct wire_assignment *wanted, struct local *local)
{
    switch (local->state) {
    case LOCAL_PREPARING:
        if ((!wanted || wanted->phase != DESIRED_RUN) && local->asked == DESIRED_RUN)
            add(plan, ACTION_CANCEL, wanted, local);
        break;
    case LOCAL_RUNNING:
        plan_running(plan, wanted, local);
        break;
    case LOCAL_OVER:
        if (!wanted && local->delivered && local->runner_pid_fd < 0)
            add(plan, ACTION_REMOVE, NULL, local);
        break;
    }
}

size_t reconcile(const struct wire_assignment *desired, size_t desired_count,
                 struct local *const *locals, size_t local_count, struct action *out, size_t max)
{
    struct plan plan = {.out = out, .max = max};
    for (size_t i = 0; i < local_count; i++) {
        const struct wire_assignment *wanted =
            assignment_find(desired, desired_count, locals[i]->job, locals[i]->attempt);
        plan_local(&plan, wanted, locals[i]);
    }
    for (size_t i = 0; i < desired_count; i++) {
        if (has_local(locals, local_count, &desired[i]))
            continue;
        if (desired[i].phase != DESIRED_RUN)
            add(&plan, ACTION_NEVER_RAN, &desired[i], NULL);
        else if (slots_free(&plan, locals, local_count, &desired[i]))
            add(&plan, ACTION_START, &desired[i], NULL);
    }
    return plan.count;
}
