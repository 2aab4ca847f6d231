#include "trainer/compute/cpu/cpu.h"

#define PREFETCH_ROWS    4
#define CACHE_LINE_BYTES 64

CPU_CLONES
static void widen(float *restrict out, const uint8_t *restrict bytes, int width, float scale)
{
    for (int i = 0; i < width; i++)
        out[i] = scale * (float)bytes[i];
}

/* Records come in random order: their lines are asked for some rows ahead. */
static void prefetch(const uint8_t *bytes, int width)
{
    for (int i = 0; i < width; i += CACHE_LINE_BYTES)
        __builtin_prefetch(bytes + i);
}

enum status cpu_gather_rows_u8(struct compute *compute, float *out, const uint8_t *table,
                               const int32_t *rows, int n, int width, float scale,
                               struct error *err)
{
    (void)compute;
    (void)err;
    for (int i = 0; i < n; i++) {
        if (i + PREFETCH_ROWS < n)
            prefetch(table + (size_t)rows[i + PREFETCH_ROWS] * (size_t)width, width);
        widen(out + (size_t)i * (size_t)width, table + (size_t)rows[i] * (size_t)width, width,
              scale);
    }
    return STATUS_OK;
}

enum status cpu_gather_i32(struct compute *compute, int32_t *out, const int32_t *table,
                           const int32_t *rows, int n, struct error *err)
{
    (void)compute;
    (void)err;
    for (int i = 0; i < n; i++)
        out[i] = table[rows[i]];
    return STATUS_OK;
}
