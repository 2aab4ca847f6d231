#include "service/brain/emit.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "service/brain/memory.h"

struct effect *emit_effect(struct brain *brain, enum effect_kind kind)
{
    struct effects *effects = brain->effects;
    effects->items =
        memory_grow(effects->items, effects->count, &effects->capacity, sizeof(*effects->items));
    struct effect *effect = &effects->items[effects->count++];
    memset(effect, 0, sizeof(*effect));
    effect->kind = kind;
    return effect;
}

void effects_clear(struct effects *effects)
{
    memory_free(effects->items);
    *effects = (struct effects){.items = NULL};
}

void emit_job(struct brain *brain, struct job *job)
{
    job->row.revision = ++brain->revision;
    emit_effect(brain, EFFECT_JOB_UPDATE)->job = job->row;
}

void emit_attempt(struct brain *brain, enum effect_kind kind, const struct attempt *attempt)
{
    assert(kind == EFFECT_ATTEMPT_INSERT || kind == EFFECT_ATTEMPT_UPDATE);
    emit_effect(brain, kind)->attempt = attempt->row;
}

void emit_rank(struct brain *brain, const struct rank *rank)
{
    emit_effect(brain, EFFECT_RANK_PUT)->rank = rank->row;
}

void emit_node(struct brain *brain, struct node *node)
{
    node->row.revision = ++brain->revision;
    emit_effect(brain, EFFECT_NODE_PUT)->node = node->row;
}

void emit_slot(struct brain *brain, const struct slot *slot)
{
    emit_effect(brain, EFFECT_SLOT_PUT)->slot = slot->row;
    state_tell_node(brain, slot->node);
}

void emit_port(struct brain *brain, enum effect_kind kind, const struct attempt *attempt)
{
    assert(kind == EFFECT_PORT_INSERT || kind == EFFECT_PORT_DELETE);
    struct port_row *row = &emit_effect(brain, kind)->port;
    (void)text_copy(row->address, sizeof(row->address), attempt->row.master_address);
    row->port = attempt->row.master_port;
    (void)text_copy(row->job, sizeof(row->job), attempt->row.job);
    row->attempt = attempt->row.attempt;
}

void emit_event(struct brain *brain, const struct emit_event *event)
{
    struct event_row *row = &emit_effect(brain, EFFECT_EVENT)->event;
    (void)text_copy(row->job, sizeof(row->job), event->job);
    (void)text_copy(row->node, sizeof(row->node), event->node);
    row->attempt = event->attempt;
    row->at_ms = brain->wall_ms;
    (void)text_copy(row->actor, sizeof(row->actor),
                    brain->actor == NULL ? "controller" : brain->actor);
    (void)text_copy(row->kind, sizeof(row->kind), event->kind);
    (void)text_copy(row->from, sizeof(row->from), event->from);
    (void)text_copy(row->to, sizeof(row->to), event->to);
    row->reason = event->reason;
    (void)text_copy(row->detail, sizeof(row->detail), event->detail);
}
