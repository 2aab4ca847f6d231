/* What each node should be doing: a function of durable rows alone, so that it survives a restart. */

#include <stdlib.h>
#include <string.h>

#include "service/brain/memory.h"
#include "service/brain/state.h"

static int compare_attempts(const void *a, const void *b)
{
    const struct attempt *left = *(struct attempt *const *)a;
    const struct attempt *right = *(struct attempt *const *)b;
    const int by_job = strcmp(left->row.job, right->row.job);
    if (by_job != 0)
        return by_job;
    return (left->row.attempt > right->row.attempt) - (left->row.attempt < right->row.attempt);
}

static bool has_attempt(struct attempt *const *attempts, size_t count,
                        const struct attempt *attempt)
{
    for (size_t i = 0; i < count; i++) {
        if (attempts[i] == attempt)
            return true;
    }
    return false;
}

struct attempt_list {
    struct attempt **items;
    size_t count;
    size_t capacity;
};

static void add_once(struct attempt_list *list, struct attempt *attempt)
{
    if (has_attempt(list->items, list->count, attempt))
        return;
    list->items = memory_grow(list->items, list->count, &list->capacity, sizeof(struct attempt *));
    list->items[list->count++] = attempt;
}

/* Attempts with a rank on the node that has not ended, and live ones, which still hold its slots. */
static struct attempt_list list_attempts(const struct brain *brain, const struct node *node)
{
    struct attempt_list list = {.items = NULL};
    for (const struct rank *rank = node->ranks; rank != NULL; rank = rank->node_next)
        add_once(&list, rank->attempt);
    for (size_t i = 0; i < node->slot_count; i++) {
        const struct slot_row *row = &node->slots[i]->row;
        const struct job *job = row->job[0] == '\0' ? NULL : state_job(brain, row->job);
        struct attempt *live = job == NULL ? NULL : state_live_attempt(job);
        if (live != NULL && live->row.attempt == row->attempt)
            add_once(&list, live);
    }
    if (list.count > 1)
        qsort(list.items, list.count, sizeof(struct attempt *), compare_attempts);
    return list;
}

/* Nodes of a gang are numbered in the order of their first ranks. */
static void count_groups(const struct attempt *attempt, const struct node *node,
                         struct desired_attempt *out)
{
    const struct node *last = NULL;
    for (int64_t i = 0; i < attempt->row.world_size; i++) {
        if (attempt->ranks[i].node == last)
            continue;
        last = attempt->ranks[i].node;
        if (last == node)
            out->group_rank = out->group_world_size;
        out->group_world_size++;
    }
}

static void tell(const struct brain *brain, const struct node *node, const struct attempt *attempt,
                 desired_fn *fn, void *context)
{
    const size_t world_size = (size_t)attempt->row.world_size;
    const struct rank_row **ranks = memory_new(world_size, sizeof(*ranks));
    const struct slot_row **slots = memory_new(world_size, sizeof(*slots));
    struct desired_attempt desired = {.job = &attempt->job->row,
                                      .attempt = &attempt->row,
                                      .ranks = ranks,
                                      .slots = slots,
                                      .stop = attempt->row.state == ATTEMPT_STOPPING ||
                                              attempt->row.state == ATTEMPT_ENDED,
                                      .kill = attempt->row.state == ATTEMPT_ENDED,
                                      .grace_ms = brain->config.grace_ms};
    for (size_t i = 0; i < world_size; i++) {
        const struct rank *rank = &attempt->ranks[i];
        if (rank->node != node)
            continue;
        const struct slot *slot = state_slot(node, rank->row.slot);
        ranks[desired.rank_count] = &rank->row;
        slots[desired.rank_count] = slot == NULL ? NULL : &slot->row;
        desired.rank_count++;
    }
    count_groups(attempt, node, &desired);
    fn(context, &desired);
    memory_free(ranks);
    memory_free(slots);
}

int64_t brain_desired(const struct brain *brain, const char *node_id, desired_fn *fn, void *context)
{
    const struct node *node = state_node(brain, node_id);
    if (node == NULL)
        return 0;
    const struct attempt_list list = list_attempts(brain, node);
    for (size_t i = 0; i < list.count; i++)
        tell(brain, node, list.items[i], fn, context);
    memory_free(list.items);
    return node->row.revision;
}
