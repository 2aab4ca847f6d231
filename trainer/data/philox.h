#ifndef TRAINER_DATA_PHILOX_H
#define TRAINER_DATA_PHILOX_H

/*
 * philox.h - Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2,
 * 3", SC'11): a counter-based generator. Keyed by (seed, purpose), counted by (step, element), so
 * there is no state to save and the same numbers come on every device. Plain C that also compiles
 * as CUDA.
 */

#include <stdint.h>

/* The constants of the paper, for whoever computes several counters together. */
#define PHILOX_ROUNDS       10
#define PHILOX_MULTIPLIER_0 UINT32_C(0xD2511F53)
#define PHILOX_MULTIPLIER_1 UINT32_C(0xCD9E8D57)
#define PHILOX_WEYL_0       UINT32_C(0x9E3779B9)
#define PHILOX_WEYL_1       UINT32_C(0xBB67AE85)

enum philox_purpose {
    PHILOX_SHUFFLE = 1,
    PHILOX_INIT = 2,
    PHILOX_DROPOUT = 3,
    PHILOX_NEGATIVES = 4,
    PHILOX_MAKE_DATA = 5,
    PHILOX_CANDIDATES = 6
};

struct philox_key {
    uint32_t word[2];
};

struct philox_key philox_key_of(uint64_t seed, enum philox_purpose purpose);
/* Four 32-bit numbers for one counter. */
void philox_4x32(struct philox_key key, uint64_t high, uint64_t low, uint32_t out[4]);
/* out[i] = the first of the four for the counter (high, low[i]), low[i] not negative. (count) */
void philox_first(struct philox_key key, uint64_t high, const int32_t *low, int count,
                  uint32_t *out);
/* [0, 1) with 24 bits. */
float philox_unit(uint32_t number);

#endif
