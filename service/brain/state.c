#include "service/brain/state.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "service/brain/memory.h"

const char *const device_kind_names[] = {"", "cpu", "cuda", NULL};

struct job *state_job(const struct brain *brain, const char *id)
{
    return map_find(&brain->jobs_by_id, id);
}

struct node *state_node(const struct brain *brain, const char *id)
{
    return map_find(&brain->nodes_by_id, id);
}

struct slot *state_slot(const struct node *node, const char *slot)
{
    for (size_t i = 0; i < node->slot_count; i++) {
        if (strcmp(node->slots[i]->row.slot, slot) == 0)
            return node->slots[i];
    }
    return NULL;
}

void state_count_slots(struct node *node)
{
    memset(node->free_slots, 0, sizeof(node->free_slots));
    memset(node->present_slots, 0, sizeof(node->present_slots));
    node->held_slots = 0;
    for (size_t i = 0; i < node->slot_count; i++) {
        const struct slot_row *row = &node->slots[i]->row;
        node->present_slots[row->kind] += row->present;
        node->held_slots += row->job[0] != '\0';
        node->free_slots[row->kind] += row->present && row->job[0] == '\0';
    }
}

struct attempt *state_attempt(const struct job *job, int64_t number)
{
    struct attempt *attempt = job->newest;
    while (attempt != NULL && attempt->row.attempt != number)
        attempt = attempt->older;
    return attempt;
}

struct attempt *state_live_attempt(const struct job *job)
{
    return job->newest != NULL && attempt_state_is_live(job->newest->row.state) ? job->newest
                                                                                : NULL;
}

struct job *state_add_job(struct brain *brain, const struct job_row *row)
{
    struct job *job = memory_new(1, sizeof(*job));
    job->row = *row;
    job->timer.owner = job;
    job->timer.at_ms = TIMER_NEVER;
    for (int due = 0; due < DUE_COUNT; due++)
        job->due_ms[due] = TIMER_NEVER;
    job->next = brain->jobs;
    if (job->next != NULL)
        job->next->previous = job;
    brain->jobs = job;
    map_insert(&brain->jobs_by_id, job->row.id, job);
    brain->job_count++;
    if (!job_state_is_terminal(row->state)) {
        brain->live_count++;
        brain->jobs_in_state[row->state]++;
    }
    return job;
}

/* Attempts may come in any order when they are loaded; the list stays newest first. */
struct attempt *state_add_attempt(struct brain *brain, struct job *job,
                                  const struct attempt_row *row)
{
    (void)brain;
    assert(row->world_size >= 1 && row->world_size <= BRAIN_RANKS_MAX);
    struct attempt *attempt = memory_new(1, sizeof(*attempt));
    attempt->row = *row;
    attempt->job = job;
    attempt->highest_step = row->resume_step;
    attempt->ranks = memory_new((size_t)row->world_size, sizeof(*attempt->ranks));
    for (int64_t i = 0; i < row->world_size; i++) {
        attempt->ranks[i].attempt = attempt;
        attempt->ranks[i].absent_since_ms = TIMER_NEVER;
    }
    struct attempt **at = &job->newest;
    while (*at != NULL && (*at)->row.attempt > row->attempt)
        at = &(*at)->older;
    attempt->older = *at;
    *at = attempt;
    return attempt;
}

struct node *state_add_node(struct brain *brain, const struct node_row *row)
{
    struct node *node = memory_new(1, sizeof(*node));
    node->row = *row;
    node->labels = memory_copy_text(row->labels == NULL ? "{}" : row->labels);
    node->row.labels = node->labels;
    node->heard_ms = brain->now_ms;
    node->disconnected_ms = TIMER_NEVER;
    node->gone_ms = TIMER_NEVER;
    brain->nodes =
        memory_grow(brain->nodes, brain->node_count, &brain->node_capacity, sizeof(struct node *));
    brain->nodes[brain->node_count++] = node;
    map_insert(&brain->nodes_by_id, node->row.id, node);
    return node;
}

static bool slot_is_before(const struct slot_row *a, const struct slot_row *b)
{
    return a->kind != b->kind ? a->kind < b->kind : a->index < b->index;
}

/* A node's slots stay sorted by kind and index. */
struct slot *state_add_slot(struct node *node, const struct slot_row *row)
{
    struct slot *slot = memory_new(1, sizeof(*slot));
    slot->row = *row;
    slot->node = node;
    node->slots =
        memory_grow(node->slots, node->slot_count, &node->slot_capacity, sizeof(struct slot *));
    size_t at = node->slot_count++;
    for (; at > 0 && slot_is_before(&slot->row, &node->slots[at - 1]->row); at--)
        node->slots[at] = node->slots[at - 1];
    node->slots[at] = slot;
    state_count_slots(node);
    return slot;
}

void state_link_rank(struct rank *rank, struct node *node)
{
    rank->node = node;
    rank->node_previous = NULL;
    rank->node_next = node->ranks;
    if (node->ranks != NULL)
        node->ranks->node_previous = rank;
    node->ranks = rank;
    rank->attempt->unended++;
}

void state_unlink_rank(struct rank *rank)
{
    if (rank->node_previous != NULL)
        rank->node_previous->node_next = rank->node_next;
    else
        rank->node->ranks = rank->node_next;
    if (rank->node_next != NULL)
        rank->node_next->node_previous = rank->node_previous;
    rank->node_previous = NULL;
    rank->node_next = NULL;
    rank->attempt->unended--;
    assert(rank->attempt->unended >= 0);
}

void state_set_due(struct brain *brain, struct job *job, enum job_due due, int64_t at_ms)
{
    job->due_ms[due] = at_ms;
    int64_t first = TIMER_NEVER;
    for (int i = 0; i < DUE_COUNT; i++) {
        if (job->due_ms[i] < first)
            first = job->due_ms[i];
    }
    timer_set(&brain->timers, &job->timer, first);
}

void state_touch(struct brain *brain, struct job *job)
{
    if (job->touched)
        return;
    job->touched = true;
    brain->touched = memory_grow(brain->touched, brain->touched_count, &brain->touched_capacity,
                                 sizeof(struct job *));
    brain->touched[brain->touched_count++] = job;
}

void state_tell_node(struct brain *brain, struct node *node)
{
    if (node->desired_changed)
        return;
    node->desired_changed = true;
    brain->told =
        memory_grow(brain->told, brain->told_count, &brain->told_capacity, sizeof(struct node *));
    brain->told[brain->told_count++] = node;
}

static void free_attempt(struct attempt *attempt)
{
    memory_free(attempt->ranks);
    memory_free(attempt);
}

void state_free_job(struct brain *brain, struct job *job)
{
    while (job->newest != NULL) {
        struct attempt *attempt = job->newest;
        job->newest = attempt->older;
        free_attempt(attempt);
    }
    timer_set(&brain->timers, &job->timer, TIMER_NEVER);
    map_remove(&brain->jobs_by_id, job->row.id);
    if (job->previous != NULL)
        job->previous->next = job->next;
    else
        brain->jobs = job->next;
    if (job->next != NULL)
        job->next->previous = job->previous;
    brain->job_count--;
    memory_free(job->shards);
    memory_free(job->checkpoints);
    memory_free(job);
}

void state_free_node(struct node *node)
{
    for (size_t i = 0; i < node->slot_count; i++)
        memory_free(node->slots[i]);
    memory_free(node->slots);
    memory_free(node->labels);
    memory_free(node);
}

/* Older attempts go when their last rank has ended; a finished job when all of its have. */
static void drop_unneeded_of(struct brain *brain, struct job *job)
{
    int64_t unended = 0;
    struct attempt **at = &job->newest;
    while (*at != NULL) {
        struct attempt *attempt = *at;
        unended += attempt->unended;
        if (attempt != job->newest && attempt->unended == 0) {
            *at = attempt->older;
            free_attempt(attempt);
        } else {
            at = &attempt->older;
        }
    }
    if (job_state_is_terminal(job->row.state)) {
        memory_free(job->checkpoints);
        job->checkpoints = NULL;
        job->checkpoint_count = job->checkpoint_capacity = 0;
        if (unended == 0)
            state_free_job(brain, job);
    }
}

void state_drop_unneeded(struct brain *brain)
{
    for (size_t i = 0; i < brain->touched_count; i++) {
        brain->touched[i]->touched = false;
        drop_unneeded_of(brain, brain->touched[i]);
    }
    brain->touched_count = 0;
}

void reply_refuse(struct brain *brain, enum status status, const char *code, const char *fmt, ...)
{
    assert(status != STATUS_OK);
    struct brain_reply *reply = brain->reply;
    reply->status = status;
    (void)text_copy(reply->code, sizeof(reply->code), code);
    va_list arguments;
    va_start(arguments, fmt);
    (void)vsnprintf(reply->text, sizeof(reply->text), fmt, arguments);
    va_end(arguments);
}
