#ifndef SCHEMA_WIRE_SLOT_H
#define SCHEMA_WIRE_SLOT_H

/* wire_slot.h - private to wire_*.c: slots as join and sync carry them. */

#include "schema/wire_agent.h"

void wire_slot_decode(const struct json_at *at, struct wire_slot *out);
json_t *wire_slots_encode(const struct wire_slot *slots, size_t count);

#endif
