#include "service/brain/port.h"

#include <assert.h>
#include <string.h>

#include "service/brain/emit.h"
#include "service/brain/memory.h"

static bool is_held(const struct brain *brain, const char *address, int64_t port)
{
    for (size_t i = 0; i < brain->port_count; i++) {
        if (brain->ports[i].row.port == port && strcmp(brain->ports[i].row.address, address) == 0)
            return true;
    }
    return false;
}

static struct address *address_of(struct brain *brain, const char *text)
{
    for (size_t i = 0; i < brain->address_count; i++) {
        if (strcmp(brain->addresses[i].address, text) == 0)
            return &brain->addresses[i];
    }
    brain->addresses = memory_grow(brain->addresses, brain->address_count, &brain->address_capacity,
                                   sizeof(*brain->addresses));
    struct address *address = &brain->addresses[brain->address_count++];
    copy_text(address->address, sizeof(address->address), text);
    return address;
}

int64_t port_find(struct brain *brain, const struct node *node)
{
    const bool has_range = node->row.port_first > 0;
    const int64_t first = has_range ? node->row.port_first : BRAIN_PORT_FIRST;
    const int64_t last = has_range ? node->row.port_last : BRAIN_PORT_LAST;
    int64_t port = address_of(brain, node->row.address)->next_port;
    for (int64_t tried = 0; tried <= last - first; tried++, port++) {
        if (port < first || port > last)
            port = first;
        if (!is_held(brain, node->row.address, port))
            return port;
    }
    return 0;
}

void port_load(struct brain *brain, const struct port_row *row)
{
    brain->ports =
        memory_grow(brain->ports, brain->port_count, &brain->port_capacity, sizeof(*brain->ports));
    brain->ports[brain->port_count++].row = *row;
    struct address *address = address_of(brain, row->address);
    if (address->next_port <= row->port)
        address->next_port = row->port + 1;
}

void port_take(struct brain *brain, struct attempt *attempt, const struct node *node, int64_t port)
{
    assert(!attempt->holds_port && !is_held(brain, node->row.address, port));
    struct port_row row = {.port = port, .attempt = attempt->row.attempt};
    copy_text(row.address, sizeof(row.address), node->row.address);
    copy_text(row.job, sizeof(row.job), attempt->row.job);
    port_load(brain, &row);
    address_of(brain, row.address)->next_port = port + 1;
    attempt->holds_port = true;
    emit_port(brain, EFFECT_PORT_INSERT, attempt);
}

void port_release(struct brain *brain, struct attempt *attempt)
{
    if (!attempt->holds_port)
        return;
    attempt->holds_port = false;
    for (size_t i = 0; i < brain->port_count; i++) {
        const struct port_row *row = &brain->ports[i].row;
        if (row->port == attempt->row.master_port &&
            strcmp(row->address, attempt->row.master_address) == 0) {
            brain->ports[i] = brain->ports[--brain->port_count];
            break;
        }
    }
    emit_port(brain, EFFECT_PORT_DELETE, attempt);
}
