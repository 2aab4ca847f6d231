/* Why a job waits, in words that an operator can act on. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "service/brain/placement.h"
#include "service/brain/state.h"
#include "service/brain/waiting.h"

const char *const explain_code_names[] = {"running",   "no_nodes", "too_large", "slots_busy",
                                          "behind",    "back_off", "numerics",  "settling",
                                          "would_run", NULL};

static void say(struct explanation *out, enum explain_code code, const char *detail)
{
    out->code = code;
    (void)text_copy(out->detail, sizeof(out->detail), detail);
}

static int64_t largest_pool(const struct brain *brain, const struct job_request *request,
                            const struct job *job)
{
    int64_t largest = 0;
    for (size_t i = 0; i < brain->pools->count; i++) {
        const struct pool *pool = &brain->pools->items[i];
        if (placement_kind_fits(request, job, pool->kind) && pool->total > largest)
            largest = pool->total;
    }
    return largest;
}

static void explain_large(const struct brain *brain, const struct job_request *request,
                          const struct job *job, struct explanation *out)
{
    const int64_t largest = largest_pool(brain, request, job);
    if (brain->pools->count == 0)
        say(out, EXPLAIN_NO_NODES, "no node is ready");
    else if (largest >= request->ranks)
        say(out, EXPLAIN_NUMERICS,
            "no ready nodes have the arithmetic that this job began with; it goes on elsewhere "
            "soon");
    else {
        say(out, EXPLAIN_TOO_LARGE, "");
        (void)snprintf(out->detail, sizeof(out->detail),
                       "it needs %" PRId64
                       " slots on nodes of one kind; the ready ones have %" PRId64,
                       request->ranks, largest);
    }
}

static void list_placement(const struct placement *placement, struct explanation *out)
{
    for (size_t i = 0; i < placement->count && i < COUNT_OF(out->placement); i++) {
        (void)text_copy(out->placement[i].node, ID_BYTES_MAX, placement->picks[i].node->row.id);
        out->placement[i].ranks = placement->picks[i].ranks;
        out->placement_count++;
    }
}

static void explain_busy(const struct brain *brain, const struct job_request *request,
                         const struct job *job, struct explanation *out)
{
    for (int kind = DEVICE_CPU; kind < DEVICE_KINDS; kind++) {
        const struct job *blocker = brain->blocker[kind];
        if (blocker == NULL || blocker == job ||
            !placement_kind_fits(request, job, (enum device_kind)kind))
            continue;
        if (job != NULL && waiting_is_before(job, blocker))
            continue;
        say(out, EXPLAIN_BEHIND, "");
        (void)snprintf(out->detail, sizeof(out->detail),
                       "job %s comes first and waits for %" PRId64 " slots", blocker->row.id,
                       blocker->row.request.ranks);
        return;
    }
    say(out, EXPLAIN_SLOTS_BUSY, "other jobs hold the slots that it needs");
}

static void explain(const struct brain *brain, const struct job_request *request,
                    const struct job *job, struct explanation *out)
{
    placement_count_pools(brain);
    struct placement placement = {.picks = NULL};
    switch (placement_choose(brain, request, job, &placement)) {
    case PLACEMENT_FITS:
        say(out, EXPLAIN_WOULD_RUN, "");
        list_placement(&placement, out);
        break;
    case PLACEMENT_BUSY:
        explain_busy(brain, request, job, out);
        break;
    case PLACEMENT_LARGE:
        explain_large(brain, request, job, out);
        break;
    }
    placement_clear(&placement);
}

static int64_t position_of(const struct brain *brain, const struct job *job)
{
    int64_t position = 1;
    for (const struct job *at = waiting_next(brain, NULL); at != NULL && at != job;
         at = waiting_next(brain, at))
        position++;
    return position;
}

static bool has_unsettled(const struct job *job)
{
    for (const struct attempt *attempt = job->newest; attempt != NULL; attempt = attempt->older) {
        for (int64_t i = 0; i < attempt->row.world_size; i++) {
            if (!attempt->ranks[i].row.ended && attempt->ranks[i].slot != NULL)
                return true;
        }
    }
    return false;
}

void brain_explain(const struct brain *brain, const char *job_id, int64_t boot_ms,
                   struct explanation *out)
{
    memset(out, 0, sizeof(*out));
    const struct job *job = state_job(brain, job_id);
    if (job == NULL || !(job->row.state == JOB_QUEUED || job->row.state == JOB_RECOVERING)) {
        say(out, EXPLAIN_RUNNING, "it does not wait");
        return;
    }
    if (!job->waiting) {
        const int64_t left_ms = job->due_ms[DUE_BACKOFF] + brain->stall_total_ms - boot_ms;
        say(out, EXPLAIN_BACKOFF, "");
        (void)snprintf(out->detail, sizeof(out->detail),
                       "it tries again in %" PRId64 " ms, after %" PRId64
                       " ends without a new checkpoint",
                       left_ms > 0 ? left_ms : 0, job->row.ends_without_checkpoint);
        return;
    }
    out->position = position_of(brain, job);
    explain(brain, &job->row.request, job, out);
    if (out->code == EXPLAIN_SLOTS_BUSY && has_unsettled(job))
        say(out, EXPLAIN_SETTLING, "ranks of its former attempt are not confirmed to have ended");
}

void brain_explain_request(const struct brain *brain, const struct job_request *request,
                           int64_t boot_ms, struct explanation *out)
{
    (void)boot_ms;
    memset(out, 0, sizeof(*out));
    explain(brain, request, NULL, out);
}
