/* cpu.c - the CPU as a device: plain memory, operations done at once. */
#include "trainer/compute/cpu/cpu.h"

#include <gnu/libc-version.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *instruction_set(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f"))
        return "avx512f";
    if (__builtin_cpu_supports("avx2"))
        return __builtin_cpu_supports("fma") ? "avx2 fma" : "avx2";
    return "sse2";
#else
    return "portable";
#endif
}

static enum status cpu_open(int index, int threads, struct compute **out, struct error *err)
{
    if (index != 0)
        return error_set(err, STATUS_UNSUPPORTED, "cpu device %d: there is only device 0", index);
    struct compute *compute = calloc(1, sizeof(*compute));
    if (compute == NULL)
        return error_set(err, STATUS_NO_MEMORY, "open cpu device");
    compute->threads = threads > 0 ? threads : 1;
    cpu_dense_setup(compute->threads);
    char blas[CPU_TEXT_BYTES / 2];
    cpu_dense_describe(blas, sizeof(blas));
    (void)snprintf(compute->text, sizeof(compute->text), "cpu, %s, %s, glibc %s", instruction_set(),
                   blas, gnu_get_libc_version());
    *out = compute;
    return STATUS_OK;
}

static void cpu_close(struct compute *compute)
{
    if (compute == NULL)
        return;
    free(compute->scratch);
    free(compute);
}

static const char *cpu_describe(struct compute *compute)
{
    return compute->text;
}

static enum status cpu_alloc(struct compute *compute, size_t bytes, void **out, struct error *err)
{
    if (bytes > SIZE_MAX - CPU_ALIGNMENT)
        return error_set(err, STATUS_TOO_LARGE, "allocate %zu bytes", bytes);
    const size_t rounded = (bytes / CPU_ALIGNMENT + 1) * CPU_ALIGNMENT;
    void *memory = aligned_alloc(CPU_ALIGNMENT, rounded);
    if (memory == NULL)
        return error_set(err, STATUS_NO_MEMORY, "allocate %zu bytes", bytes);
    memset(memory, 0, rounded);
    compute->allocated += malloc_usable_size(memory);
    *out = memory;
    return STATUS_OK;
}

static void cpu_release(struct compute *compute, void *memory)
{
    if (memory != NULL)
        compute->allocated -= malloc_usable_size(memory);
    free(memory);
}

static size_t cpu_allocated(struct compute *compute)
{
    return compute->allocated + compute->scratch_bytes;
}

static enum status cpu_map_host(struct compute *compute, const void *host, size_t bytes,
                                const void **out, struct error *err)
{
    (void)compute;
    (void)bytes;
    (void)err;
    *out = host;
    return STATUS_OK;
}

static void cpu_unmap_host(struct compute *compute, const void *view)
{
    (void)compute;
    (void)view;
}

static enum status cpu_copy(struct compute *compute, void *target, const void *source, size_t bytes,
                            struct error *err)
{
    (void)compute;
    (void)err;
    memcpy(target, source, bytes);
    return STATUS_OK;
}

static enum status cpu_sync(struct compute *compute, struct error *err)
{
    (void)compute;
    (void)err;
    return STATUS_OK;
}

static enum status cpu_run(struct compute *compute, uint64_t key, compute_step_fn *step,
                           void *context, struct error *err)
{
    (void)compute;
    (void)key;
    return step(context, err);
}

static enum status cpu_zero(struct compute *compute, void *memory, size_t bytes, struct error *err)
{
    (void)compute;
    (void)err;
    memset(memory, 0, bytes);
    return STATUS_OK;
}

const struct compute_ops compute_cpu = {
    .abi = COMPUTE_ABI,
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .describe = cpu_describe,
    .alloc = cpu_alloc,
    .release = cpu_release,
    .allocated = cpu_allocated,
    .map_host = cpu_map_host,
    .unmap_host = cpu_unmap_host,
    .upload = cpu_copy,
    .download = cpu_copy,
    .sync = cpu_sync,
    .run = cpu_run,
    .zero = cpu_zero,
    .copy = cpu_copy,
    .gather_rows_u8 = cpu_gather_rows_u8,
    .gather_i32 = cpu_gather_i32,
    .dense_forward = cpu_dense_forward,
    .dense_backward = cpu_dense_backward,
    .softmax_cross_entropy = cpu_softmax_cross_entropy,
    .sigmoid_cross_entropy = cpu_sigmoid_cross_entropy,
    .squared_error = cpu_squared_error,
    .probabilities = cpu_probabilities,
    .activation_forward = cpu_activation_forward,
    .activation_backward = cpu_activation_backward,
    .dropout = cpu_dropout,
    .gather_rows_f32 = cpu_gather_rows_f32,
    .gather_rows_i32 = cpu_gather_rows_i32,
    .embedding_gather = cpu_embedding_gather,
    .embedding_scatter_add = cpu_embedding_scatter_add,
    .embedding_product = cpu_embedding_product,
    .embedding_product_backward = cpu_embedding_product_backward,
    .rank_first = cpu_rank_first,
    .copy_rows = cpu_copy_rows,
    .lstm_forward = cpu_lstm_forward,
    .lstm_backward = cpu_lstm_backward,
    .adam = cpu_adam,
    .sgd = cpu_sgd,
    .adagrad = cpu_adagrad,
    .add = cpu_add,
    .square_sums = cpu_square_sums,
    .clip_scale = cpu_clip_scale,
};
