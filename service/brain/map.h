#ifndef SERVICE_BRAIN_MAP_H
#define SERVICE_BRAIN_MAP_H

/*
 * map.h - private to the brain: text key to object, by open addressing.
 *
 * Ownership: keys are borrowed from the objects, which must outlive their entries.
 * Order: none; whoever needs an order keeps a list.
 */

#include <stddef.h>

struct map_entry {
    const char *key; /* NULL: empty */
    void *value;
};

struct map {
    struct map_entry *entries;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

void *map_find(const struct map *map, const char *key);         /* NULL when absent */
void map_insert(struct map *map, const char *key, void *value); /* the key must be absent */
void map_remove(struct map *map, const char *key);              /* the key must be present */
void map_clear(struct map *map); /* frees the table, not the objects */

#endif
