/* wire_join.c - the messages of joining, and what they share with a sync: slots. */

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "schema/wire_agent.h"
#include "schema/wire_private.h"
#include "schema/wire_slot.h"

#define PORT_MAX 65535

static const char *const slot_kinds[] = {"cpu", "cuda", NULL};

void wire_slot_decode(const struct json_at *at, struct wire_slot *out)
{
    if (!json_get_open_object(at))
        return;
    const struct json_at index = json_at_key(at, "index");
    const struct json_at kind = json_at_key(at, "kind");
    int which = 0;
    if (json_get_enum(&kind, slot_kinds, &which))
        (void)snprintf(out->kind, sizeof(out->kind), "%s", slot_kinds[which]);
    (void)json_get_int(&index, 0, NODE_SLOTS_MAX - 1, &out->index);
    wire_opt_text(at, "uuid", out->uuid, sizeof(out->uuid));
    wire_opt_text(at, "name", out->name, sizeof(out->name));
    wire_opt_int(at, "memory_bytes", 0, &out->memory_bytes);
    (void)snprintf(out->slot, sizeof(out->slot), "%s:%d", out->kind, (int)out->index);
}

json_t *wire_slots_encode(const struct wire_slot *slots, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *slot = json_object();
        wire_set_text(slot, "kind", slots[i].kind);
        wire_set_int(slot, "index", slots[i].index);
        wire_set_text(slot, "uuid", slots[i].uuid);
        wire_set_text(slot, "name", slots[i].name);
        wire_set_int(slot, "memory_bytes", slots[i].memory_bytes);
        (void)json_array_append_new(list, slot);
    }
    return list;
}

/* ------------------------------------------------------------------ join */

static void decode_labels(const struct json_at *at, struct wire_join *out)
{
    if (!json_present(at) || !json_get_open_object(at))
        return;
    if (json_object_size(at->value) > NODE_LABELS_MAX) {
        json_problem_add(at, "object of at most %d labels", NODE_LABELS_MAX);
        return;
    }
    const char *key = NULL;
    const json_t *value = NULL;
    json_object_foreach(json_iterable(at->value), key, value) {
        const struct json_at label_at = json_at_key(at, key);
        struct wire_label *label = &out->labels[out->label_count];
        if (!text_copy(label->key, sizeof(label->key), key))
            json_problem_add(&label_at, "key of at most %zu bytes", sizeof(label->key) - 1);
        else if (json_get_string_copy(&label_at, label->value, sizeof(label->value)))
            out->label_count++;
    }
}

static void decode_port_range(const struct json_at *at, struct wire_join *out)
{
    const struct json_at first = json_at_key(at, "port_first");
    const struct json_at last = json_at_key(at, "port_last");
    (void)json_opt_int(&first, 0, PORT_MAX, &out->port_first);
    (void)json_opt_int(&last, 0, PORT_MAX, &out->port_last);
    if (out->port_last < out->port_first)
        json_problem_add(&last, "port >= %d", (int)out->port_first);
}

void wire_join_decode(const struct json_at *at, struct wire_join *out)
{
    if (!json_get_open_object(at))
        return;
    wire_get_text(at, "join_token", out->join_token, sizeof(out->join_token));
    wire_get_text(at, "hostname", out->hostname, sizeof(out->hostname));
    wire_get_text(at, "address", out->address, sizeof(out->address));
    wire_get_text(at, "boot_id", out->boot_id, sizeof(out->boot_id));
    wire_get_text(at, "numerics", out->numerics, sizeof(out->numerics));
    wire_opt_int(at, "cpu_count", 0, &out->cpu_count);
    wire_opt_int(at, "memory_bytes", 0, &out->memory_bytes);
    wire_opt_text(at, "version", out->version, sizeof(out->version));
    decode_port_range(at, out);
    const struct json_at labels = json_at_key(at, "labels");
    decode_labels(&labels, out);
    const struct json_at slots = json_at_key(at, "slots");
    if (!json_get_array(&slots, NODE_SLOTS_MAX, &out->slot_count))
        return;
    for (size_t i = 0; i < out->slot_count; i++) {
        const struct json_at slot = json_at_index(&slots, i);
        wire_slot_decode(&slot, &out->slots[i]);
    }
}

json_t *wire_join_encode(const struct wire_join *join)
{
    json_t *labels = json_object();
    for (size_t i = 0; i < join->label_count; i++)
        (void)json_object_set_new(labels, join->labels[i].key, json_string(join->labels[i].value));
    json_t *object = json_object();
    wire_set_text(object, "join_token", join->join_token);
    wire_set_text(object, "hostname", join->hostname);
    wire_set_text(object, "address", join->address);
    wire_set_text(object, "boot_id", join->boot_id);
    wire_set_text(object, "numerics", join->numerics);
    wire_set_int(object, "cpu_count", join->cpu_count);
    wire_set_int(object, "memory_bytes", join->memory_bytes);
    wire_set_int(object, "port_first", join->port_first);
    wire_set_int(object, "port_last", join->port_last);
    wire_set_text(object, "version", join->version);
    wire_set(object, "slots", wire_slots_encode(join->slots, join->slot_count));
    wire_set(object, "labels", labels);
    return object;
}

void wire_join_answer_decode(const struct json_at *at, struct wire_join_answer *out)
{
    if (!json_get_open_object(at))
        return;
    wire_get_text(at, "node_id", out->node_id, sizeof(out->node_id));
    wire_get_text(at, "node_token", out->node_token, sizeof(out->node_token));
    wire_get_text(at, "profile", out->profile, sizeof(out->profile));
}

json_t *wire_join_answer_encode(const struct wire_join_answer *answer)
{
    json_t *object = json_object();
    wire_set_text(object, "node_id", answer->node_id);
    wire_set_text(object, "node_token", answer->node_token);
    wire_set_text(object, "profile", answer->profile);
    return object;
}
