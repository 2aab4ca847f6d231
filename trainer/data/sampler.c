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
#define BLOCK         256 /* values of a range that are worked on together */

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

/* permute() of `count` values, which fit 32 bits, in place. The rounds of one wait for each other, those of many do not. */
VECTOR_CLONES
static void permute_many(const struct sampler *sampler, uint32_t *values, size_t count)
{
    const struct sampler s = *sampler;
    const uint32_t mask = (uint32_t)((UINT64_C(1) << s.half_bits) - 1);
    for (size_t i = 0; i < count; i++) {
        uint32_t left = values[i] >> s.half_bits, right = values[i] & mask;
        for (int round = 0; round < SAMPLER_ROUNDS; round++) {
            const uint32_t next = left ^ (mix(right ^ s.round_keys[round]) & mask);
            left = right;
            right = next;
        }
        values[i] = left << s.half_bits | right;
    }
}

/* The records of `count` (at most BLOCK) positions. Those that walk on move together at each turn. */
static void sample_block(const struct sampler *sampler, uint64_t first, size_t count, int32_t *out)
{
    uint32_t values[BLOCK] = {0};
    uint16_t places[BLOCK];
    for (size_t i = 0; i < count; i++) {
        values[i] = (uint32_t)(first + i);
        places[i] = (uint16_t)i;
    }
    while (count > 0) {
        size_t left = 0;
        permute_many(sampler, values, count);
        for (size_t i = 0; i < count; i++) { /* without a branch: half of them would be wrong */
            const uint32_t value = values[i];
            const uint16_t place = places[i];
            out[place] = (int32_t)value;
            values[left] = value;
            places[left] = place;
            left += value >= sampler->count;
        }
        count = left;
    }
}

void sampler_range(const struct sampler *sampler, uint64_t first, int64_t count, int32_t *out)
{
    assert(sampler->count <= DATA_RECORDS_MAX);
    assert(count >= 0);
    assert(first + (uint64_t)count <= sampler->count);
    for (int64_t done = 0; done < count; done += BLOCK) {
        const int64_t left = count - done;
        sample_block(sampler, first + (uint64_t)done, (size_t)(left < BLOCK ? left : BLOCK),
                     out + done);
    }
}

void sampler_share(int64_t rows, int rank, int world_size, int64_t *out_first, int64_t *out_count)
{
    assert(rank >= 0);
    assert(rank < world_size);
    const int64_t first = rows * rank / world_size;
    *out_first = first;
    *out_count = rows * (rank + 1) / world_size - first;
}
