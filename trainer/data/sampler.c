/*
 * sampler.c - the order of records in an epoch, computed and never stored.
 *
 * A Feistel network permutes 0..2^(2h)-1, the smallest such power that holds the records; a result
 * beyond the last record is put through again until it is one ("cycle walking", fewer than four
 * times on average), which leaves a permutation of the records. The rounds' keys come from Philox,
 * so seed and epoch are mixed well; within a round a 32-bit finaliser is enough.
 */
#include <assert.h>

#include "trainer/data/data.h"
#include "trainer/data/philox.h"

#define HALF_BITS_MAX 31

void sampler_init(struct sampler *sampler, uint64_t seed, uint64_t epoch, uint64_t count)
{
    assert(count > 0);
    assert(count <= UINT64_C(1) << (2 * HALF_BITS_MAX));
    int half_bits = 1;
    while (count > UINT64_C(1) << (2 * half_bits))
        half_bits++;
    *sampler = (struct sampler){.count = count, .half_bits = half_bits};
    const struct philox_key key = philox_key_of(seed, PHILOX_SHUFFLE);
    for (int i = 0; i < SAMPLER_ROUNDS; i += 4)
        philox_4x32(key, epoch, (uint64_t)i, sampler->round_keys + i);
}

/* MurmurHash3's finaliser: every input bit changes every output bit with probability 1/2. */
static uint32_t mix(uint32_t x)
{
    x ^= x >> 16;
    x *= UINT32_C(0x85EBCA6B);
    x ^= x >> 13;
    x *= UINT32_C(0xC2B2AE35);
    return x ^ x >> 16;
}

static uint64_t permute(const struct sampler *sampler, uint64_t value)
{
    const uint32_t mask = (uint32_t)((UINT64_C(1) << sampler->half_bits) - 1);
    uint32_t left = (uint32_t)(value >> sampler->half_bits);
    uint32_t right = (uint32_t)value & mask;
    for (int round = 0; round < SAMPLER_ROUNDS; round++) {
        const uint32_t next = left ^ (mix(right ^ sampler->round_keys[round]) & mask);
        left = right;
        right = next;
    }
    return (uint64_t)left << sampler->half_bits | right;
}

uint64_t sampler_at(const struct sampler *sampler, uint64_t position)
{
    assert(position < sampler->count);
    uint64_t record = permute(sampler, position);
    while (record >= sampler->count)
        record = permute(sampler, record);
    return record;
}

void sampler_share(int64_t rows, int rank, int world_size, int64_t *out_first, int64_t *out_count)
{
    assert(rank >= 0);
    assert(rank < world_size);
    const int64_t first = rows * rank / world_size;
    *out_first = first;
    *out_count = rows * (rank + 1) / world_size - first;
}
