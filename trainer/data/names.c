/* names.c - open addressing with linear probing, at most half full; the slots hold numbers alone. */
#include "trainer/data/names.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#define FIRST_CAPACITY 256
#define FIRST_BYTES    (4 * KIB)

_Static_assert(NAMES_BYTES_MAX < UINT32_MAX, "places of bytes fit 32 bits");

void names_clear(struct names *names)
{
    free(names->bytes);
    free(names->begins);
    free(names->hashes);
    free(names->slots);
    *names = (struct names){.bytes = NULL};
}

void names_reset(struct names *names)
{
    names->count = 0;
    names->bytes_used = 0;
    if (names->slots != NULL)
        memset(names->slots, 0, names->slot_count * sizeof(names->slots[0]));
}

/* The slot that holds the string, or the free one where it belongs. */
static uint32_t find_slot(const struct names *names, const char *text, size_t size, uint32_t hash)
{
    const uint32_t mask = names->slot_count - 1;
    uint32_t slot = hash & mask;
    for (; names->slots[slot] != 0; slot = (slot + 1) & mask) {
        const uint32_t number = names->slots[slot] - 1;
        const uint32_t begin = names->begins[number];
        if (names->hashes[number] == hash && names->begins[number + 1] - begin == size &&
            memcmp(names->bytes + begin, text, size) == 0)
            break;
    }
    return slot;
}

static void fill_slots(struct names *names)
{
    const uint32_t mask = names->slot_count - 1;
    memset(names->slots, 0, names->slot_count * sizeof(names->slots[0]));
    for (uint32_t number = 0; number < names->count; number++) {
        uint32_t slot = names->hashes[number] & mask;
        while (names->slots[slot] != 0)
            slot = (slot + 1) & mask;
        names->slots[slot] = number + 1;
    }
}

static bool grow_count(struct names *names)
{
    const uint32_t capacity = names->capacity == 0 ? FIRST_CAPACITY : names->capacity * 2;
    uint32_t *const begins = realloc(names->begins, ((size_t)capacity + 1) * sizeof(*begins));
    if (begins != NULL)
        names->begins = begins;
    uint32_t *const hashes = realloc(names->hashes, capacity * sizeof(*hashes));
    if (hashes != NULL)
        names->hashes = hashes;
    uint32_t *const slots = realloc(names->slots, (size_t)capacity * 2 * sizeof(*slots));
    if (slots != NULL)
        names->slots = slots;
    if (begins == NULL || hashes == NULL || slots == NULL)
        return false; /* what grew is larger than it says, which does no harm */
    names->begins[names->count] = (uint32_t)names->bytes_used;
    names->capacity = capacity;
    names->slot_count = capacity * 2;
    fill_slots(names);
    return true;
}

static bool grow_bytes(struct names *names, size_t size)
{
    size_t capacity = names->bytes_capacity == 0 ? FIRST_BYTES : names->bytes_capacity;
    while (capacity - names->bytes_used < size)
        capacity *= 2;
    char *const bytes = realloc(names->bytes, capacity);
    if (bytes == NULL)
        return false;
    names->bytes = bytes;
    names->bytes_capacity = capacity;
    return true;
}

enum status names_add(struct names *names, const char *text, size_t size, const char *what,
                      uint32_t *out_number, struct error *err)
{
    const uint32_t hash = (uint32_t)XXH3_64bits(text, size);
    if (names->count > 0) {
        const uint32_t slot = find_slot(names, text, size, hash);
        if (names->slots[slot] != 0) {
            *out_number = names->slots[slot] - 1;
            return STATUS_OK;
        }
    }
    if (names->count == NAMES_COUNT_MAX || size > NAMES_BYTES_MAX - names->bytes_used)
        return error_set(err, STATUS_TOO_LARGE, "more than %d different %s, or %zu MiB of them",
                         NAMES_COUNT_MAX, what, NAMES_BYTES_MAX / MIB);
    if ((names->count == names->capacity && !grow_count(names)) ||
        ((names->bytes == NULL || names->bytes_capacity - names->bytes_used < size) &&
         !grow_bytes(names, size))) /* an empty string has an address, too */
        return error_set(err, STATUS_NO_MEMORY, "%u different %s", names->count, what);
    if (names->count == 0)
        names->begins[0] = 0;
    const uint32_t slot = find_slot(names, text, size, hash);
    const uint32_t number = names->count++;
    if (size > 0)
        memcpy(names->bytes + names->bytes_used, text, size);
    names->bytes_used += size;
    names->hashes[number] = hash;
    names->begins[number + 1] = (uint32_t)names->bytes_used;
    names->slots[slot] = number + 1;
    *out_number = number;
    return STATUS_OK;
}

int64_t names_find(const struct names *names, const char *text, size_t size)
{
    if (names->count == 0)
        return -1;
    const uint32_t slot = find_slot(names, text, size, (uint32_t)XXH3_64bits(text, size));
    return (int64_t)names->slots[slot] - 1;
}

const char *names_at(const struct names *names, uint32_t number, size_t *out_size)
{
    assert(number < names->count);
    *out_size = names->begins[number + 1] - names->begins[number];
    return names->bytes + names->begins[number];
}
