#include "trainer/data/philox.h"

#include <string.h>

#include "base/compiler.h"

struct philox_key philox_key_of(uint64_t seed, enum philox_purpose purpose)
{
    return (struct philox_key){
        .word = {(uint32_t)seed, (uint32_t)(seed >> 32) ^ (uint32_t)purpose * PHILOX_WEYL_0}};
}

/* The ten rounds, on a counter in place. Inlined, so that a loop over counters becomes vectors. */
__attribute__((always_inline)) static inline void mix(struct philox_key key, uint32_t c[4])
{
    uint32_t k0 = key.word[0], k1 = key.word[1];
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        const uint64_t p0 = (uint64_t)PHILOX_MULTIPLIER_0 * c[0];
        const uint64_t p1 = (uint64_t)PHILOX_MULTIPLIER_1 * c[2];
        c[0] = (uint32_t)(p1 >> 32) ^ c[1] ^ k0;
        c[1] = (uint32_t)p1;
        c[2] = (uint32_t)(p0 >> 32) ^ c[3] ^ k1;
        c[3] = (uint32_t)p0;
        k0 += PHILOX_WEYL_0;
        k1 += PHILOX_WEYL_1;
    }
}

void philox_4x32(struct philox_key key, uint64_t high, uint64_t low, uint32_t out[4])
{
    uint32_t c[4] = {(uint32_t)low, (uint32_t)(low >> 32), (uint32_t)high, (uint32_t)(high >> 32)};
    mix(key, c);
    memcpy(out, c, sizeof(c));
}

float philox_unit(uint32_t number)
{
    return (float)(number >> 8) * 0x1p-24f;
}

VECTOR_CLONES
static void first_of_many(struct philox_key key, uint64_t high, const int32_t *low, int count,
                          uint32_t *out)
{
    for (int i = 0; i < count; i++) {
        uint32_t c[4] = {(uint32_t)low[i], 0, (uint32_t)high, (uint32_t)(high >> 32)};
        mix(key, c);
        out[i] = c[0];
    }
}

/* clang 14 gives a function with clones no name of its own outside its file. */
void philox_first(struct philox_key key, uint64_t high, const int32_t *low, int count,
                  uint32_t *out)
{
    first_of_many(key, high, low, count, out);
}
