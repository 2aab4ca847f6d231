#include "service/brain/placement.h"

#include <assert.h>
#include <string.h>

#include "service/brain/launch.h"
#include "service/brain/memory.h"
#include "service/brain/waiting.h"

bool placement_node_usable(const struct node *node)
{
    if (node->row.state != NODE_READY || !node->connected || node->suspect)
        return false;
    for (const struct rank *rank = node->ranks; rank != NULL; rank = rank->node_next) {
        if (rank->slot != NULL && !attempt_state_is_live(rank->attempt->row.state))
            return false;
    }
    return true;
}

bool placement_may_start(const struct job *job)
{
    if (job->row.request.fenced)
        return true;
    for (const struct attempt *attempt = job->newest; attempt != NULL; attempt = attempt->older) {
        for (int64_t i = 0; i < attempt->row.world_size; i++) {
            const struct rank *rank = &attempt->ranks[i];
            if (!rank->row.ended && rank->node->row.state != NODE_LOST)
                return false;
        }
    }
    return true;
}

void placement_clear(struct placement *placement)
{
    memory_free(placement->picks);
    *placement = (struct placement){.picks = NULL};
}

static struct pool *pool_of(struct pools *pools, enum device_kind kind, const char *numerics)
{
    for (size_t i = 0; i < pools->count; i++) {
        if (pools->items[i].kind == kind && strcmp(pools->items[i].numerics, numerics) == 0)
            return &pools->items[i];
    }
    pools->items = memory_grow(pools->items, pools->count, &pools->capacity, sizeof(*pools->items));
    struct pool *pool = &pools->items[pools->count++];
    *pool = (struct pool){.kind = kind};
    memcpy(pool->numerics, numerics, strlen(numerics) + 1);
    return pool;
}

void placement_count_pools(const struct brain *brain)
{
    brain->pools->count = 0;
    for (size_t n = 0; n < brain->node_count; n++) {
        const struct node *node = brain->nodes[n];
        if (node->row.state != NODE_READY)
            continue;
        for (int kind = DEVICE_CPU; kind < DEVICE_KINDS; kind++) {
            if (node->present_slots[kind] == 0)
                continue;
            struct pool *pool = pool_of(brain->pools, (enum device_kind)kind, node->row.numerics);
            pool->total += node->present_slots[kind];
            if (node->free_slots[kind] > 0 && placement_node_usable(node))
                pool->free += node->free_slots[kind];
        }
    }
}

static bool is_avoided(const struct job *job, const struct node *node)
{
    if (job == NULL)
        return false;
    for (size_t i = 0; i < BRAIN_AVOID_MAX; i++) {
        if (strcmp(job->avoid[i], node->row.id) == 0)
            return true;
    }
    return false;
}

/* Usable nodes of the pool with free slots, as candidates. */
static size_t list_candidates(const struct brain *brain, const struct pool *pool,
                              const struct job *job, bool avoid, struct placement_pick *out)
{
    size_t count = 0;
    for (size_t n = 0; n < brain->node_count; n++) {
        struct node *node = brain->nodes[n];
        const int64_t free_slots = node->free_slots[pool->kind];
        if (free_slots == 0 || strcmp(node->row.numerics, pool->numerics) != 0 ||
            !placement_node_usable(node) || (avoid && is_avoided(job, node)))
            continue;
        out[count++] = (struct placement_pick){.node = node, .free = free_slots};
    }
    return count;
}

/* The smallest candidate that holds `ranks`, else the largest; equal ones by id. */
static size_t best_candidate(const struct placement_pick *candidates, size_t count, int64_t ranks)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++) {
        const struct placement_pick *a = &candidates[i];
        const struct placement_pick *b = &candidates[best];
        const bool a_holds = a->free >= ranks;
        const bool b_holds = b->free >= ranks;
        bool better = false;
        if (a_holds != b_holds)
            better = a_holds;
        else if (a->free != b->free)
            better = a_holds ? a->free < b->free : a->free > b->free;
        else
            better = strcmp(a->node->row.id, b->node->row.id) < 0;
        if (better)
            best = i;
    }
    return best;
}

/* Takes the largest nodes until the rest fits on one: that is the fewest nodes. */
static bool pick_nodes(const struct brain *brain, const struct pool *pool, const struct job *job,
                       int64_t ranks, bool avoid, struct placement *out)
{
    struct placement_pick *all = memory_new(brain->node_count, sizeof(*all));
    size_t count = list_candidates(brain, pool, job, avoid, all);
    int64_t free_total = 0;
    for (size_t i = 0; i < count; i++)
        free_total += all[i].free;
    if (free_total < ranks) {
        memory_free(all);
        return false;
    }
    for (size_t taken = 0; ranks > 0; taken++) {
        const size_t best = taken + best_candidate(all + taken, count - taken, ranks);
        struct placement_pick pick = all[best];
        all[best] = all[taken];
        pick.ranks = pick.free < ranks ? pick.free : ranks;
        ranks -= pick.ranks;
        all[taken] = pick;
        out->count = taken + 1;
    }
    out->picks = all;
    out->kind = pool->kind;
    out->numerics = pool->numerics;
    return true;
}

bool placement_kind_fits(const struct job_request *request, const struct job *job,
                         enum device_kind kind)
{
    assert(request != NULL);
    if (job != NULL && job->row.device != DEVICE_NONE)
        return job->row.device == kind;
    return request->device == DEVICE_NONE || request->device == kind;
}

static bool pool_fits(const struct pool *pool, const struct job_request *request,
                      const struct job *job)
{
    if (!placement_kind_fits(request, job, pool->kind))
        return false;
    return job == NULL || job->row.numerics[0] == '\0' || job->numerics_free ||
           strcmp(job->row.numerics, pool->numerics) == 0;
}

/* Of two pools that hold the gang: its former arithmetic, then a GPU before a CPU, then the larger. */
static bool pool_is_better(const struct pool *a, const struct pool *b, const struct job *job)
{
    if (job != NULL && job->row.numerics[0] != '\0') {
        const bool a_same = strcmp(a->numerics, job->row.numerics) == 0;
        const bool b_same = strcmp(b->numerics, job->row.numerics) == 0;
        if (a_same != b_same)
            return a_same;
    }
    if (a->kind != b->kind)
        return a->kind == DEVICE_CUDA;
    if (a->total != b->total)
        return a->total > b->total;
    return strcmp(a->numerics, b->numerics) < 0;
}

enum placement_verdict placement_choose(const struct brain *brain,
                                        const struct job_request *request, const struct job *job,
                                        struct placement *out)
{
    const struct pool *best = NULL;
    bool would_fit = false;
    for (size_t i = 0; i < brain->pools->count; i++) {
        const struct pool *pool = &brain->pools->items[i];
        if (!pool_fits(pool, request, job) || pool->total < request->ranks)
            continue;
        would_fit = true;
        const struct job *blocker = brain->blocker[pool->kind];
        if (blocker != NULL && (job == NULL || !waiting_is_before(job, blocker)))
            continue;
        if (pool->free >= request->ranks && (best == NULL || pool_is_better(pool, best, job)))
            best = pool;
    }
    if (best == NULL)
        return would_fit ? PLACEMENT_BUSY : PLACEMENT_LARGE;
    if (pick_nodes(brain, best, job, request->ranks, true, out) ||
        pick_nodes(brain, best, job, request->ranks, false, out))
        return PLACEMENT_FITS;
    return PLACEMENT_BUSY;
}

static void count_taken(struct brain *brain, const struct placement *placement)
{
    struct pool *pool = pool_of(brain->pools, placement->kind, placement->numerics);
    for (size_t i = 0; i < placement->count; i++)
        pool->free -= placement->picks[i].ranks;
    assert(pool->free >= 0);
}

/* Waits for the same arithmetic only so long; the wait is measured while no ready node has it. */
static void watch_numerics(struct brain *brain, struct job *job, enum placement_verdict verdict)
{
    const bool misses =
        verdict == PLACEMENT_LARGE && job->row.numerics[0] != '\0' && !job->numerics_free;
    if (!misses)
        state_set_due(brain, job, DUE_NUMERICS, TIMER_NEVER);
    else if (job->due_ms[DUE_NUMERICS] == TIMER_NEVER)
        state_set_due(brain, job, DUE_NUMERICS, brain->now_ms + brain->config.numerics_wait_ms);
}

/* Whether nobody after `job` in the order can get a slot of the kind; NULL: nobody at all. */
static bool is_closed(const struct brain *brain, enum device_kind kind, const struct job *job)
{
    const struct job *blocker = brain->blocker[kind];
    if (blocker != NULL && (job == NULL || waiting_is_before(blocker, job)))
        return true;
    for (size_t i = 0; i < brain->pools->count; i++) {
        if (brain->pools->items[i].kind == kind && brain->pools->items[i].free > 0)
            return false;
    }
    return true;
}

static bool is_shut_out(const struct brain *brain, const struct job *job)
{
    for (int kind = DEVICE_CPU; kind < DEVICE_KINDS; kind++) {
        if (placement_kind_fits(&job->row.request, job, (enum device_kind)kind) &&
            !is_closed(brain, (enum device_kind)kind, job))
            return false;
    }
    return true;
}

static void block(struct brain *brain, struct job *job)
{
    for (int kind = DEVICE_CPU; kind < DEVICE_KINDS; kind++) {
        struct job *blocker = brain->blocker[kind];
        if (placement_kind_fits(&job->row.request, job, (enum device_kind)kind) &&
            (blocker == NULL || waiting_is_before(job, blocker)))
            brain->blocker[kind] = job;
    }
}

static void try_job(struct brain *brain, struct job *job)
{
    if (!placement_may_start(job))
        return;
    struct placement placement = {.picks = NULL};
    const enum placement_verdict verdict =
        placement_choose(brain, &job->row.request, job, &placement);
    watch_numerics(brain, job, verdict);
    if (verdict == PLACEMENT_FITS && launch_attempt(brain, job, &placement))
        count_taken(brain, &placement);
    else if (verdict == PLACEMENT_BUSY)
        block(brain, job);
    placement_clear(&placement);
}

void placement_run(struct brain *brain)
{
    placement_count_pools(brain);
    memset(brain->blocker, 0, sizeof(brain->blocker));
    brain->capacity_changed = false;
    struct job *next = NULL;
    for (struct job *job = waiting_next(brain, NULL); job != NULL; job = next) {
        next = waiting_next(brain, job);
        if (is_closed(brain, DEVICE_CPU, NULL) && is_closed(brain, DEVICE_CUDA, NULL))
            break;
        if (!is_shut_out(brain, job))
            try_job(brain, job);
    }
}

/* Who is shut out now would be shut out in the full walk, too: capacity only shrank since. */
void placement_offer(struct brain *brain, struct job *job)
{
    if (!brain->capacity_changed && !is_shut_out(brain, job))
        try_job(brain, job);
}
