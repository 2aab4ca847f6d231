#ifndef TRAINER_DATA_NAMES_H
#define TRAINER_DATA_NAMES_H

/*
 * names.h - different byte strings, numbered 0, 1, ... in the order in which they first came: words of a
 * vocabulary, users, items. A hash table over one block of bytes; both have a maximum.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define NAMES_COUNT_MAX (1 << 24)
#define NAMES_BYTES_MAX ((size_t)512 * MIB)

/* A zeroed one is empty and ready. */
struct names {
    char *bytes; /* all of them, one behind the other */
    size_t bytes_used, bytes_capacity;
    uint32_t *begins; /* (count + 1) */
    uint32_t *hashes; /* (count) */
    uint32_t count, capacity;
    uint32_t *slots; /* 1 + number; 0: free */
    uint32_t slot_count;
};

void names_clear(struct names *names); /* CLEANUP(names_clear); frees, and it is ready again */
void names_reset(struct names *names); /* empties, keeps the memory */

/* The number of the string, new or not. STATUS_TOO_LARGE beyond the maxima; `what` is for its text. */
MUST_CHECK enum status names_add(struct names *names, const char *text, size_t size,
                                 const char *what, uint32_t *out_number, struct error *err);
/* -1: not there. */
int64_t names_find(const struct names *names, const char *text, size_t size);
const char *names_at(const struct names *names, uint32_t number, size_t *out_size);

#endif
