#include "service/brain/node.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "service/brain/emit.h"
#include "service/brain/ending.h"
#include "service/brain/lease.h"
#include "service/brain/memory.h"
#include "service/brain/transition.h"

static struct node *find_node(struct brain *brain, const char *id)
{
    struct node *node = state_node(brain, id);
    if (node == NULL) {
        reply_refuse(brain, STATUS_NOT_FOUND, "unknown_node", "node %s is not known", id);
        return NULL;
    }
    (void)text_copy(brain->reply->id, sizeof(brain->reply->id), node->row.id);
    brain->reply->revision = node->row.revision;
    return node;
}

void node_confirm_all(struct brain *brain, struct node *node, enum reason reason,
                      const char *detail)
{
    while (node->ranks != NULL) {
        struct rank *rank = node->ranks;
        if (attempt_state_is_live(rank->attempt->row.state))
            ending_attempt(brain, rank->attempt, reason, detail, rank);
        ending_rank(
            brain, rank,
            &(struct rank_end){
                .code = -1, .reason = reason, .detail = detail, .fault_boot_ms = TIMER_NEVER});
        assert(rank->row.ended);
    }
}

/* ---- slots */

static bool slot_differs(const struct slot_row *a, const struct slot_row *b)
{
    return !a->present || strcmp(a->uuid, b->uuid) != 0 || strcmp(a->name, b->name) != 0 ||
           a->memory_bytes != b->memory_bytes;
}

static void put_slot(struct brain *brain, struct node *node, const struct slot_row *reported)
{
    struct slot *slot = state_slot(node, reported->slot);
    if (slot == NULL) {
        if (node->slot_count == BRAIN_NODE_SLOTS_MAX)
            return;
        struct slot_row row = *reported;
        (void)text_copy(row.node, sizeof(row.node), node->row.id);
        row.present = true;
        row.job[0] = '\0';
        row.attempt = 0;
        row.rank = 0;
        slot = state_add_slot(node, &row);
    } else if (slot_differs(&slot->row, reported)) {
        (void)text_copy(slot->row.uuid, sizeof(slot->row.uuid), reported->uuid);
        (void)text_copy(slot->row.name, sizeof(slot->row.name), reported->name);
        slot->row.memory_bytes = reported->memory_bytes;
        slot->row.present = true;
    } else {
        return;
    }
    emit_slot(brain, slot);
    brain->capacity_changed = true;
}

static bool is_reported(const struct slot *slot, const struct slot_row *slots, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(slots[i].slot, slot->row.slot) == 0)
            return true;
    }
    return false;
}

/* A slot that is gone is deleted when nobody holds it. */
static void miss_slots(struct brain *brain, struct node *node, const struct slot_row *slots,
                       size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < node->slot_count; i++) {
        struct slot *slot = node->slots[i];
        const bool reported = is_reported(slot, slots, count);
        if (!reported && slot->row.job[0] == '\0') {
            struct effect *effect = emit_effect(brain, EFFECT_SLOT_DELETE);
            effect->slot = slot->row;
            state_tell_node(brain, node);
            memory_free(slot);
            brain->capacity_changed = true;
            continue;
        }
        if (!reported && slot->row.present) {
            slot->row.present = false;
            emit_slot(brain, slot);
            brain->capacity_changed = true;
        }
        node->slots[kept++] = slot;
    }
    node->slot_count = kept;
}

void node_update_slots(struct brain *brain, struct node *node, const struct slot_row *slots,
                       size_t count)
{
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++)
        put_slot(brain, node, &slots[i]);
    miss_slots(brain, node, slots, count);
    state_count_slots(node);
}

/* ---- joining and leaving */

static struct node *join_again(struct brain *brain, struct node *node, const struct node_row *row)
{
    const bool rebooted = strcmp(node->row.boot_id, row->boot_id) != 0;
    struct node_row merged = *row;
    merged.state = node->row.state;
    merged.drain = node->row.drain;
    merged.joined_at_ms = node->row.joined_at_ms;
    merged.lost_at_ms = node->row.lost_at_ms;
    memory_free(node->labels);
    node->labels = memory_copy_text(row->labels == NULL ? "{}" : row->labels);
    merged.labels = node->labels;
    (void)text_copy(merged.id, sizeof(merged.id), node->row.id);
    node->row = merged;
    if (rebooted)
        node_confirm_all(brain, node, REASON_NODE_REBOOTED, "the node has rebooted");
    return node;
}

void node_join(struct brain *brain, const struct brain_input *input)
{
    const struct input_join *join = &input->join;
    struct node *node = state_node(brain, join->node.id);
    if (node != NULL) {
        node = join_again(brain, node, &join->node);
    } else {
        node = state_add_node(brain, &join->node);
        node->row.state = NODE_READY;
        node->row.drain = false;
        node->row.joined_at_ms = brain->wall_ms;
        node->row.lost_at_ms = 0;
    }
    emit_node(brain, node);
    state_tell_node(brain, node);
    struct effect *effect = emit_effect(brain, EFFECT_NODE_TOKEN);
    effect->token = (struct effect_token){.join_token = join->join_token,
                                          .node_token = join->node_token,
                                          .node_token_sha256 = join->node_token_sha256,
                                          .node = node->row.id};
    node_update_slots(brain, node, join->slots, join->slot_count);
    emit_event(brain, &(struct emit_event){.kind = "node",
                                           .node = node->row.id,
                                           .to = node_state_names[node->row.state],
                                           .detail = "joined"});
    lease_look_again(brain, brain->now_ms);
    (void)text_copy(brain->reply->id, sizeof(brain->reply->id), node->row.id);
    brain->reply->revision = node->row.revision;
}

void node_disconnect(struct brain *brain, const struct brain_input *input)
{
    struct node *node = find_node(brain, input->node);
    if (node == NULL || node->session != input->session || !node->connected)
        return;
    node->connected = false;
    node->disconnected_ms = brain->now_ms;
    brain->capacity_changed = true;
    lease_look_again(brain, lease_suspect_at(brain, node));
}

/* ---- operators */

void node_stop_attempts(struct brain *brain, struct node *node)
{
    char detail[BRAIN_DETAIL_BYTES];
    (void)snprintf(detail, sizeof(detail), "node %s is to be emptied", node->row.id);
    struct rank *next = NULL;
    for (struct rank *rank = node->ranks; rank != NULL; rank = next) {
        next = rank->node_next;
        if (attempt_state_is_live(rank->attempt->row.state))
            ending_stop_attempt(brain, rank->attempt, REASON_DRAINED, detail);
    }
}

static void wish_drain(struct brain *brain, struct node *node, bool drain)
{
    if (node->row.drain != drain) {
        node->row.drain = drain;
        emit_node(brain, node);
        state_tell_node(brain, node);
    }
    transition_node(brain, node, drain ? NODE_EVENT_DRAIN : NODE_EVENT_UNDRAIN, REASON_NONE, "");
    brain->reply->revision = node->row.revision;
}

void node_drain(struct brain *brain, const struct brain_input *input)
{
    struct node *node = find_node(brain, input->node);
    if (node == NULL)
        return;
    wish_drain(brain, node, true);
    node_stop_attempts(brain, node);
}

void node_undrain(struct brain *brain, const struct brain_input *input)
{
    struct node *node = find_node(brain, input->node);
    if (node != NULL)
        wish_drain(brain, node, false);
}

void node_fence(struct brain *brain, const struct brain_input *input)
{
    struct node *node = find_node(brain, input->node);
    if (node == NULL)
        return;
    if (node->connected && !node->suspect) {
        reply_refuse(brain, STATUS_CONFLICT, "node_alive",
                     "node %s is connected and alive: drain it, or stop its agent first",
                     node->row.id);
        return;
    }
    lease_lose(brain, node, REASON_NODE_FENCED, "an operator vouches that the node is dead");
    node_confirm_all(brain, node, REASON_NODE_FENCED, "an operator vouches that the node is dead");
    brain->reply->revision = node->row.revision;
}
