#include "trainer/compute/cpu/cpu.h"

CPU_CLONES
static void widen(float *restrict out, const uint8_t *restrict bytes, int width, float scale)
{
    for (int i = 0; i < width; i++)
        out[i] = scale * (float)bytes[i];
}

enum status cpu_gather_rows_u8(struct compute *compute, float *out, const uint8_t *table,
                               const int32_t *rows, int n, int width, float scale,
                               struct error *err)
{
    (void)compute;
    (void)err;
    for (int i = 0; i < n; i++)
        widen(out + (size_t)i * (size_t)width, table + (size_t)rows[i] * (size_t)width, width,
              scale);
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
