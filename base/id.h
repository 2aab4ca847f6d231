#ifndef BASE_ID_H
#define BASE_ID_H

/*
 * id.h - opaque, sortable, prefixed ids: "job_" + 10 characters of milliseconds + 12 random ones,
 * in Crockford's base 32, lower case. Text order is creation order to the millisecond. The functions
 * are pure: time and randomness are arguments, so that a simulation can repeat them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define ID_BYTES_MAX 32 /* longest id and the NUL */

/* Writes `<prefix>_<22 characters>`. `random` supplies 60 bits. */
void id_format(char out[ID_BYTES_MAX], const char *prefix, int64_t wall_ms, uint64_t random);
/* Whether `text` is an id with this prefix. */
bool id_is_valid(const char *text, const char *prefix);

/* Fills `bytes` from getrandom(2); aborts if the kernel has none, because nothing is safe then. */
void random_bytes(void *bytes, size_t size);
uint64_t random_u64(void);

/* Seeded generator (SplitMix64) for jitter and for the simulator: no hidden state. */
uint64_t splitmix64_next(uint64_t *state);

#endif
