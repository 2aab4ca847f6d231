/* cpu_lstm_avx512.c - the LSTM's step in registers of 16 floats. */
#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>

#define LSTM_KERNEL    cpu_lstm_avx512
#define LSTM_LANES     16
#define LSTM_TARGET    __attribute__((target("avx512f")))
#define LSTM_TILE_ROWS 6
#define VEC_INLINE     LSTM_TARGET static inline __attribute__((always_inline))

typedef __m512 vec;
typedef uint32_t vec_bits __attribute__((vector_size(64)));

VEC_INLINE vec vec_set(float x)
{
    return _mm512_set1_ps(x);
}

VEC_INLINE vec vec_load(const float *from)
{
    return _mm512_loadu_ps(from);
}

VEC_INLINE void vec_store(float *to, vec x)
{
    _mm512_storeu_ps(to, x);
}

/* a * b + c, rounded once */
VEC_INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* x within -limit and limit; a NaN stays one: the second operand is what min and max give then. */
VEC_INLINE vec vec_clamp(vec x, float limit)
{
    return _mm512_max_ps(_mm512_set1_ps(-limit), _mm512_min_ps(_mm512_set1_ps(limit), x));
}

#include "trainer/compute/cpu/cpu_lstm_kernel.h"

#endif
