#include "service/brain/lease.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "service/brain/emit.h"
#include "service/brain/ending.h"
#include "service/brain/transition.h"

const struct brain_profile brain_profiles[] = {
    {.name = "default",
     .heartbeat_ms = 2000,
     .ttl_ms = 15000,
     .kill_budget_ms = 3000,
     .suspect_ms = 6000},
    {.name = "fast", .heartbeat_ms = 200, .ttl_ms = 1500, .kill_budget_ms = 500, .suspect_ms = 600},
    {.name = "relaxed",
     .heartbeat_ms = 5000,
     .ttl_ms = 60000,
     .kill_budget_ms = 10000,
     .suspect_ms = 15000},
    {.name = NULL},
};

#define RATE_ERROR_PERCENT 1 /* rho: how wrong a clock's rate may be */

/* W = (1 + rho) * (TTL / (1 - rho) + K): a slow clock there, a fast one here. Rounded up. */
int64_t brain_profile_wait_ms(const struct brain_profile *profile)
{
    const int64_t slow = 100 - RATE_ERROR_PERCENT;
    const int64_t fast = 100 + RATE_ERROR_PERCENT;
    const int64_t numerator = fast * (profile->ttl_ms * 100 + profile->kill_budget_ms * slow);
    return (numerator + slow * 100 - 1) / (slow * 100);
}

static int64_t at_least(int64_t value, int64_t floor)
{
    return value > floor ? value : floor;
}

int64_t lease_suspect_at(const struct brain *brain, const struct node *node)
{
    int64_t at_ms = node->heard_ms + brain->profile.suspect_ms;
    if (node->disconnected_ms != TIMER_NEVER &&
        node->disconnected_ms + brain->profile.heartbeat_ms < at_ms)
        at_ms = node->disconnected_ms + brain->profile.heartbeat_ms;
    return at_least(at_ms, brain->start_ms + brain->wait_ms);
}

int64_t lease_lost_at(const struct brain *brain, const struct node *node)
{
    return at_least(node->heard_ms, brain->start_ms) + brain->wait_ms;
}

int64_t lease_witness_ms(const struct brain *brain)
{
    return brain->profile.suspect_ms - brain->profile.heartbeat_ms;
}

void lease_look_again(struct brain *brain, int64_t at_ms)
{
    if (at_ms < brain->nodes_due_ms)
        brain->nodes_due_ms = at_ms;
}

/* Some rank on a node that is heard of did a step lately: then all ranks of the gang did. */
static bool gang_steps(const struct brain *brain, const struct attempt *attempt)
{
    for (int64_t i = 0; i < attempt->row.world_size; i++) {
        const struct rank *rank = &attempt->ranks[i];
        if (!rank->row.ended && rank->node->connected && !rank->node->suspect &&
            rank->node->row.state != NODE_LOST && rank->step > 0 &&
            rank->stepped_ms >= brain->now_ms - brain->wait_ms)
            return true;
    }
    return false;
}

/* The node's agent may be away alone, while its ranks train on. */
static bool is_spared(const struct brain *brain, const struct node *node,
                      const struct attempt *attempt)
{
    if (!attempt->job->row.request.fenced || brain->now_ms >= node->heard_ms + LEASE_SPARE_MS)
        return false;
    const bool still_listening = brain->now_ms < brain->start_ms + brain->wait_ms;
    return still_listening || gang_steps(brain, attempt);
}

void lease_lose(struct brain *brain, struct node *node, enum reason reason, const char *detail)
{
    transition_node(brain, node, NODE_EVENT_LOSE, reason, detail);
    node->gone_ms = brain->now_ms;
    node->connected = false;
    node->suspect = false;
    struct rank *next = NULL;
    for (struct rank *rank = node->ranks; rank != NULL; rank = next) {
        next = rank->node_next;
        struct attempt *attempt = rank->attempt;
        if (reason == REASON_NODE_LOST && is_spared(brain, node, attempt))
            continue;
        if (attempt_state_is_live(attempt->row.state)) {
            attempt->fault_at_ms = brain->wall_ms - (brain->now_ms - node->heard_ms);
            ending_attempt(brain, attempt, reason, detail, rank);
        }
        ending_check_gone(brain, attempt->job);
    }
}

static void note_suspects(struct brain *brain)
{
    for (size_t i = 0; i < brain->node_count; i++) {
        struct node *node = brain->nodes[i];
        if (node->row.state == NODE_LOST || node->suspect ||
            brain->now_ms < lease_suspect_at(brain, node))
            continue;
        node->suspect = true;
        node->gone_ms = brain->now_ms;
        brain->capacity_changed = true;
    }
}

/* ---- the brake */

static bool gone_recently(const struct brain *brain, const struct node *node)
{
    return node->gone_ms != TIMER_NEVER && node->gone_ms >= brain->now_ms - brain->wait_ms;
}

static bool most_are_gone(const struct brain *brain)
{
    size_t gone = 0;
    size_t counted = 0;
    for (size_t i = 0; i < brain->node_count; i++) {
        const struct node *node = brain->nodes[i];
        const bool is_gone =
            node->suspect || (node->row.state == NODE_LOST && gone_recently(brain, node));
        if (is_gone)
            gone++;
        if (is_gone || node->row.state != NODE_LOST)
            counted++;
    }
    return gone >= LEASE_BRAKE_NODES_MIN && gone * 2 > counted;
}

static bool is_holding(const struct brain *brain)
{
    return brain->hold_until_ms != TIMER_NEVER;
}

static void judge_brake(struct brain *brain)
{
    if (!most_are_gone(brain)) {
        brain->hold_until_ms = TIMER_NEVER;
        brain->hold_passed = false;
    } else if (is_holding(brain)) {
        if (brain->now_ms < brain->hold_until_ms)
            return;
        brain->hold_until_ms = TIMER_NEVER;
        brain->hold_passed = true;
    } else if (!brain->hold_passed) {
        brain->hold_until_ms = brain->now_ms + 2 * brain->wait_ms;
        emit_event(brain, &(struct emit_event){
                              .kind = "warning",
                              .detail = "more than half of the nodes went silent at once: probably "
                                        "the controller's own network; nobody is judged for now"});
    }
}

/* ---- witnesses */

static const struct rank *find_witness(const struct brain *brain, const struct attempt *attempt)
{
    for (int64_t i = 0; i < attempt->row.world_size; i++) {
        const struct rank *rank = &attempt->ranks[i];
        if (!rank->row.ended && rank->node->connected && !rank->node->suspect &&
            rank->node->row.state != NODE_LOST && rank->collective > 0 &&
            rank->waiting_ms >= lease_witness_ms(brain))
            return rank;
    }
    return NULL;
}

static void ask_witnesses(struct brain *brain, const struct node *node)
{
    struct rank *next = NULL;
    for (struct rank *rank = node->ranks; rank != NULL; rank = next) {
        next = rank->node_next;
        struct attempt *attempt = rank->attempt;
        if (!attempt_state_is_live(attempt->row.state) || !attempt->job->row.request.fenced)
            continue;
        const struct rank *witness = find_witness(brain, attempt);
        if (witness == NULL)
            continue;
        char detail[BRAIN_DETAIL_BYTES];
        (void)snprintf(detail, sizeof(detail),
                       "node %s is silent, and rank %" PRId64 " has waited %" PRId64
                       " ms in collective %" PRId64,
                       node->row.id, witness->row.rank, witness->waiting_ms, witness->collective);
        attempt->fault_at_ms = brain->wall_ms - (brain->now_ms - node->heard_ms);
        ending_attempt(brain, attempt, REASON_NODE_LOST, detail, rank);
    }
}

/* ---- judging */

static bool has_live_rank(const struct node *node)
{
    for (const struct rank *rank = node->ranks; rank != NULL; rank = rank->node_next) {
        if (attempt_state_is_live(rank->attempt->row.state))
            return true;
    }
    return false;
}

/* What was spared when the node was lost ends when its gang no longer steps, or after a limit. */
static void judge_spared(struct brain *brain, struct node *node)
{
    ask_witnesses(brain, node);
    struct rank *next = NULL;
    for (struct rank *rank = node->ranks; rank != NULL; rank = next) {
        next = rank->node_next;
        struct attempt *attempt = rank->attempt;
        if (!attempt_state_is_live(attempt->row.state) || is_spared(brain, node, attempt))
            continue;
        char detail[BRAIN_DETAIL_BYTES];
        (void)snprintf(detail, sizeof(detail),
                       "node %s is lost, and its gang was not seen to step any more", node->row.id);
        attempt->fault_at_ms = brain->wall_ms - (brain->now_ms - node->heard_ms);
        ending_attempt(brain, attempt, REASON_NODE_LOST, detail, rank);
        ending_check_gone(brain, attempt->job);
    }
}

static int64_t next_due(const struct brain *brain)
{
    int64_t due_ms = brain->hold_until_ms;
    for (size_t i = 0; i < brain->node_count; i++) {
        const struct node *node = brain->nodes[i];
        if (node->row.state == NODE_LOST && has_live_rank(node) && !is_holding(brain) &&
            brain->now_ms + brain->profile.heartbeat_ms < due_ms)
            due_ms = brain->now_ms + brain->profile.heartbeat_ms;
        if (node->row.state == NODE_LOST || (node->suspect && is_holding(brain)))
            continue;
        const int64_t at_ms =
            node->suspect ? lease_lost_at(brain, node) : lease_suspect_at(brain, node);
        if (at_ms < due_ms)
            due_ms = at_ms;
    }
    return due_ms;
}

void lease_judge(struct brain *brain)
{
    if (brain->now_ms < brain->nodes_due_ms)
        return;
    note_suspects(brain);
    judge_brake(brain);
    for (size_t i = 0; i < brain->node_count && !is_holding(brain); i++) {
        struct node *node = brain->nodes[i];
        if (node->row.state == NODE_LOST) {
            judge_spared(brain, node);
        } else if (node->suspect && brain->now_ms >= lease_lost_at(brain, node)) {
            char detail[BRAIN_DETAIL_BYTES];
            (void)snprintf(detail, sizeof(detail), "node %s was not heard of for %" PRId64 " ms",
                           node->row.id, brain->now_ms - node->heard_ms);
            lease_lose(brain, node, REASON_NODE_LOST, detail);
        } else if (node->suspect) {
            ask_witnesses(brain, node);
        }
    }
    brain->nodes_due_ms = next_due(brain);
}
