#include "service/brain/map.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "service/brain/memory.h"

#define MAP_CAPACITY_MIN 64

static size_t home_of(const struct map *map, const char *key)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (const char *c = key; *c != '\0'; c++)
        hash = (hash ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
    return (size_t)(hash ^ (hash >> 32)) & (map->capacity - 1);
}

/* The entry of `key`, or the empty one where it would go. */
static struct map_entry *entry_of(const struct map *map, const char *key)
{
    size_t at = home_of(map, key);
    while (map->entries[at].key != NULL && strcmp(map->entries[at].key, key) != 0)
        at = (at + 1) & (map->capacity - 1);
    return &map->entries[at];
}

static void grow(struct map *map)
{
    struct map old = *map;
    map->capacity = old.capacity == 0 ? MAP_CAPACITY_MIN : old.capacity * 2;
    map->entries = memory_new(map->capacity, sizeof(*map->entries));
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.entries[i].key != NULL)
            *entry_of(map, old.entries[i].key) = old.entries[i];
    }
    memory_free(old.entries);
}

void *map_find(const struct map *map, const char *key)
{
    return map->capacity == 0 ? NULL : entry_of(map, key)->value;
}

void map_insert(struct map *map, const char *key, void *value)
{
    assert(value != NULL);
    if ((map->count + 1) * 4 > map->capacity * 3)
        grow(map);
    struct map_entry *entry = entry_of(map, key);
    assert(entry->key == NULL);
    *entry = (struct map_entry){.key = key, .value = value};
    map->count++;
}

/* Later entries of the same run move back, so that no tombstones are needed. */
void map_remove(struct map *map, const char *key)
{
    assert(map->capacity > 0);
    const size_t mask = map->capacity - 1;
    size_t hole = (size_t)(entry_of(map, key) - map->entries);
    assert(map->entries[hole].key != NULL);
    for (size_t at = (hole + 1) & mask; map->entries[at].key != NULL; at = (at + 1) & mask) {
        const size_t home = home_of(map, map->entries[at].key);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            map->entries[hole] = map->entries[at];
            hole = at;
        }
    }
    map->entries[hole] = (struct map_entry){.key = NULL};
    map->count--;
}

void map_clear(struct map *map)
{
    memory_free(map->entries);
    *map = (struct map){.entries = NULL};
}
