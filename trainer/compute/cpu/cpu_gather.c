#include <string.h>

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

enum status cpu_gather_rows_f32(struct compute *compute, float *out, int out_stride,
                                const float *table, const int32_t *rows, int n, int width,
                                struct error *err)
{
    return cpu_embedding_gather(compute, out, out_stride, table, rows, 1, n, width, err);
}

enum status cpu_gather_rows_i32(struct compute *compute, int32_t *out, const int32_t *table,
                                const int32_t *rows, int n, int width, struct error *err)
{
    (void)compute;
    (void)err;
    const size_t bytes = (size_t)width * sizeof(int32_t);
    for (int i = 0; i < n; i++)
        memcpy(out + (size_t)i * (size_t)width, table + (size_t)rows[i] * (size_t)width, bytes);
    return STATUS_OK;
}

enum status cpu_embedding_gather(struct compute *compute, float *out, int out_stride,
                                 const float *table, const int32_t *ids, int id_stride, int n,
                                 int width, struct error *err)
{
    (void)compute;
    (void)err;
    const size_t bytes = (size_t)width * sizeof(float);
    for (int i = 0; i < n; i++) {
        if (i + PREFETCH_ROWS < n)
            __builtin_prefetch(table +
                               (size_t)ids[(size_t)(i + PREFETCH_ROWS) * (size_t)id_stride] *
                                   (size_t)width);
        memcpy(out + (size_t)i * (size_t)out_stride,
               table + (size_t)ids[(size_t)i * (size_t)id_stride] * (size_t)width, bytes);
    }
    return STATUS_OK;
}

CPU_CLONES
static void add_row(float *restrict target, const float *restrict source, int width)
{
    for (int j = 0; j < width; j++)
        target[j] += source[j];
}

enum status cpu_embedding_scatter_add(struct compute *compute, float *d_table, float *flags,
                                      const float *d_out, int out_stride, const int32_t *ids,
                                      int id_stride, int n, int width, struct error *err)
{
    (void)compute;
    (void)err;
    for (int i = 0; i < n; i++) {
        const size_t id = (size_t)ids[(size_t)i * (size_t)id_stride];
        add_row(d_table + id * (size_t)width, d_out + (size_t)i * (size_t)out_stride, width);
        if (flags != NULL)
            flags[id] += 1.0F;
    }
    return STATUS_OK;
}

enum status cpu_copy_rows(struct compute *compute, float *out, int out_stride, const float *in,
                          int in_stride, int n, int width, struct error *err)
{
    (void)compute;
    (void)err;
    const size_t bytes = (size_t)width * sizeof(float);
    for (int i = 0; i < n; i++)
        memcpy(out + (size_t)i * (size_t)out_stride, in + (size_t)i * (size_t)in_stride, bytes);
    return STATUS_OK;
}
