/*
 * cpu_dropout.c - dropout by Philox. With AVX2 four counters are worked on at once; the numbers are those
 * of philox_4x32() either way.
 */
#include <stdalign.h>

#include "trainer/compute/cpu/cpu.h"
#include "trainer/data/philox.h"

#define WORDS    4 /* of a counter */
#define COUNTERS 32
#define CHUNK    (COUNTERS * WORDS)

/* Fills `out` (CHUNK) with the words of the counters (high, low), (high, low + 1), ... */
typedef void draw_fn(struct philox_key key, uint64_t high, uint64_t low, uint32_t *out);

static void draw_portable(struct philox_key key, uint64_t high, uint64_t low, uint32_t *out)
{
    for (uint64_t i = 0; i < COUNTERS; i++)
        philox_4x32(key, high, low + i, out + i * WORDS);
}

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define LANES \
    4 /* counters of a vector, a word in the low half of 64 bits: a product needs both halves */

/* The high halves are never read, so they may hold anything. */
struct counters {
    __m256i word[WORDS];
};

AVX2 static inline void philox_round(struct counters *c, __m256i k0, __m256i k1)
{
    const __m256i p0 = _mm256_mul_epu32(c->word[0], _mm256_set1_epi64x(PHILOX_MULTIPLIER_0));
    const __m256i p1 = _mm256_mul_epu32(c->word[2], _mm256_set1_epi64x(PHILOX_MULTIPLIER_1));
    c->word[0] = _mm256_xor_si256(_mm256_srli_epi64(p1, 32), _mm256_xor_si256(c->word[1], k0));
    c->word[1] = p1;
    c->word[2] = _mm256_xor_si256(_mm256_srli_epi64(p0, 32), _mm256_xor_si256(c->word[3], k1));
    c->word[3] = p0;
}

/* Two words of each counter side by side. */
AVX2 static inline __m256i pair(__m256i low, __m256i high)
{
    return _mm256_blend_epi32(low, _mm256_slli_epi64(high, 32), 0xAA);
}

/* out (LANES, WORDS) */
AVX2 static inline void store_counters(uint32_t *out, const struct counters *c)
{
    const __m256i front = pair(c->word[0], c->word[1]), back = pair(c->word[2], c->word[3]);
    const __m256i even = _mm256_unpacklo_epi64(front, back); /* counters 0 and 2 */
    const __m256i odd = _mm256_unpackhi_epi64(front, back);
    _mm256_storeu_si256((__m256i *)(void *)out, _mm256_permute2x128_si256(even, odd, 0x20));
    _mm256_storeu_si256((__m256i *)(void *)(out + (size_t)2 * WORDS),
                        _mm256_permute2x128_si256(even, odd, 0x31));
}

AVX2 static void draw_avx2(struct philox_key key, uint64_t high, uint64_t low, uint32_t *out)
{
    for (uint64_t i = 0; i < COUNTERS; i += LANES) {
        const uint64_t first = low + i;
        const __m256i lows =
            _mm256_add_epi64(_mm256_set1_epi64x((long long)first), _mm256_setr_epi64x(0, 1, 2, 3));
        struct counters c = {{lows, _mm256_srli_epi64(lows, 32),
                              _mm256_set1_epi64x((long long)high),
                              _mm256_set1_epi64x((long long)(high >> 32))}};
        uint32_t k0 = key.word[0], k1 = key.word[1];
        for (int round = 0; round < PHILOX_ROUNDS; round++) {
            philox_round(&c, _mm256_set1_epi64x(k0), _mm256_set1_epi64x(k1));
            k0 += PHILOX_WEYL_0;
            k1 += PHILOX_WEYL_1;
        }
        store_counters(out + i * WORDS, &c);
    }
}

static draw_fn *best_draw(void)
{
    return __builtin_cpu_supports("avx2") ? draw_avx2 : draw_portable;
}

#else

static draw_fn *best_draw(void)
{
    return draw_portable;
}

#endif

/* What philox_unit() gives, compared with the rate. */
CPU_CLONES
static void drop(float *restrict values, const uint32_t *restrict numbers, size_t count, float rate,
                 float kept)
{
    for (size_t i = 0; i < count; i++) {
        const float unit = (float)(int32_t)(numbers[i] >> 8) * 0x1p-24F;
        values[i] *= unit < rate ? 0.0F : kept;
    }
}

enum status cpu_dropout(struct compute *compute, float *values, const uint32_t *counter,
                        uint64_t key, float rate, int n, int width, struct error *err)
{
    (void)compute;
    (void)err;
    const struct philox_key philox = {{(uint32_t)key, (uint32_t)(key >> 32)}};
    const uint64_t step = (uint64_t)counter[1] << 32 | counter[0];
    const uint64_t first = (uint64_t)counter[2] * (uint64_t)width;
    const size_t count = (size_t)n * (size_t)width;
    const float kept = 1.0F / (1.0F - rate);
    draw_fn *const draw = best_draw();
    alignas(CPU_ALIGNMENT) uint32_t numbers[CHUNK];
    size_t skip = first % WORDS; /* words of the first counter that belong to the row before */
    uint64_t next = first / WORDS;
    for (size_t done = 0; done < count; next += COUNTERS) {
        const size_t left = count - done, some = left < CHUNK - skip ? left : CHUNK - skip;
        draw(philox, step, next, numbers);
        drop(values + done, numbers + skip, some, rate, kept);
        done += some;
        skip = 0;
    }
    return STATUS_OK;
}
