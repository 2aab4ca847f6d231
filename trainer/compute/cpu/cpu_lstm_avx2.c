/* cpu_lstm_avx2.c - the LSTM's step in registers of 8 floats. */
#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>

#define LSTM_KERNEL    cpu_lstm_avx2
#define LSTM_LANES     8
#define LSTM_TARGET    __attribute__((target("avx2,fma")))
#define LSTM_TILE_ROWS 3
#define VEC_INLINE     LSTM_TARGET static inline __attribute__((always_inline))

typedef __m256 vec;
typedef uint32_t vec_bits __attribute__((vector_size(32)));

VEC_INLINE vec vec_set(float x)
{
    return _mm256_set1_ps(x);
}

VEC_INLINE vec vec_load(const float *from)
{
    return _mm256_loadu_ps(from);
}

VEC_INLINE void vec_store(float *to, vec x)
{
    _mm256_storeu_ps(to, x);
}

/* a * b + c, rounded once */
VEC_INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

/* x within -limit and limit; a NaN stays one: the second operand is what min and max give then. */
VEC_INLINE vec vec_clamp(vec x, float limit)
{
    return _mm256_max_ps(_mm256_set1_ps(-limit), _mm256_min_ps(_mm256_set1_ps(limit), x));
}

#include "trainer/compute/cpu/cpu_lstm_kernel.h"

#endif
