#include "service/brain/port.h"

#include <assert.h>
#include <string.h>

#include "base/text.h"
#include "service/brain/emit.h"
#include "service/brain/memory.h"

static struct address *address_of(struct brain *brain, const char *text)
{
    struct address *address = map_find(&brain->addresses_by_text, text);
    if (address != NULL)
        return address;
    address = memory_new(1, sizeof(*address));
    (void)text_copy(address->address, sizeof(address->address), text);
    brain->addresses = memory_grow(brain->addresses, brain->address_count, &brain->address_capacity,
                                   sizeof(struct address *));
    brain->addresses[brain->address_count++] = address;
    map_insert(&brain->addresses_by_text, address->address, address);
    return address;
}

/* Index of the port among those held, or their number. */
static size_t find_held(const struct address *address, int64_t port)
{
    size_t at = 0;
    while (at < address->held_count && address->held[at] != port)
        at++;
    return at;
}

int64_t port_find(struct brain *brain, const struct node *node)
{
    const bool has_range = node->row.port_first > 0;
    const int64_t first = has_range ? node->row.port_first : BRAIN_PORT_FIRST;
    const int64_t last = has_range ? node->row.port_last : BRAIN_PORT_LAST;
    const struct address *address = address_of(brain, node->row.address);
    int64_t port = address->next_port;
    for (int64_t tried = 0; tried <= last - first; tried++, port++) {
        if (port < first || port > last)
            port = first;
        if (find_held(address, port) == address->held_count)
            return port;
    }
    return 0;
}

void port_load(struct brain *brain, struct attempt *attempt)
{
    const int64_t port = attempt->row.master_port;
    struct address *address = address_of(brain, attempt->row.master_address);
    assert(!attempt->holds_port && find_held(address, port) == address->held_count);
    address->held = memory_grow(address->held, address->held_count, &address->held_capacity,
                                sizeof(*address->held));
    address->held[address->held_count++] = port;
    attempt->holds_port = true;
    if (address->next_port <= port)
        address->next_port = port + 1;
}

void port_take(struct brain *brain, struct attempt *attempt)
{
    port_load(brain, attempt);
    address_of(brain, attempt->row.master_address)->next_port = attempt->row.master_port + 1;
    emit_port(brain, EFFECT_PORT_INSERT, attempt);
}

void port_release(struct brain *brain, struct attempt *attempt)
{
    if (!attempt->holds_port)
        return;
    struct address *address = address_of(brain, attempt->row.master_address);
    const size_t at = find_held(address, attempt->row.master_port);
    assert(at < address->held_count);
    address->held[at] = address->held[--address->held_count];
    attempt->holds_port = false;
    emit_port(brain, EFFECT_PORT_DELETE, attempt);
}

void port_clear(struct brain *brain)
{
    for (size_t i = 0; i < brain->address_count; i++) {
        memory_free(brain->addresses[i]->held);
        memory_free(brain->addresses[i]);
    }
    memory_free(brain->addresses);
    map_clear(&brain->addresses_by_text);
}
