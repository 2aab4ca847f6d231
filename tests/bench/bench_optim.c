/*
 * bench_optim.c - one update of as many parameters as NeuMF has on MovieLens-1M, beside what
 * must at least be moved: three vectors copied. The values are nanoseconds a parameter.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tests/bench/bench.h"
#include "trainer/compute/compute.h"

#define COUNT  393000
#define ROUNDS 400

struct vectors {
    struct compute *compute;
    float *p, *m, *v, *g, *flags;
    struct error err;
};

static void must(enum status status, const struct error *err)
{
    if (status == STATUS_OK)
        return;
    (void)fprintf(stderr, "bench_optim: %s\n", err->text);
    exit(1);
}

static void *allocate(struct vectors *vectors, size_t bytes)
{
    void *memory = NULL;
    must(compute_cpu.alloc(vectors->compute, bytes, &memory, &vectors->err), &vectors->err);
    return memory;
}

static void fill(float *target)
{
    for (size_t i = 0; i < COUNT; i++)
        target[i] = 1e-3F * (float)(i % 97);
}

static void move(const struct vectors *vectors)
{
    memcpy(vectors->p, vectors->g, COUNT * sizeof(float));
    memcpy(vectors->m, vectors->g, COUNT * sizeof(float));
    memcpy(vectors->v, vectors->g, COUNT * sizeof(float));
}

static double per_parameter(int64_t started_ns)
{
    return (double)(clock_mono_ns() - started_ns) / COUNT;
}

static void measure(struct vectors *vectors, const char *name, const struct compute_update *update,
                    const struct compute_adam_scalars *scalars)
{
    struct bench_samples samples = {0}, probes = {0};
    bench_load_start();
    for (int i = 0; i < (bench_is_short() ? ROUNDS / 10 : ROUNDS); i++) {
        fill(vectors->g);
        int64_t started_ns = clock_mono_ns();
        must(compute_cpu.adam(vectors->compute, update, vectors->m, vectors->v, scalars,
                              &vectors->err),
             &vectors->err);
        bench_add(&samples, per_parameter(started_ns));
        fill(vectors->g);
        started_ns = clock_mono_ns();
        move(vectors);
        bench_add(&probes, per_parameter(started_ns));
    }
    bench_report(name, "ns", &samples, bench_quantile(&probes, 0.5));
    bench_clear(&samples);
    bench_clear(&probes);
}

int main(void)
{
    enum { WIDTH = 8, TOUCHED = 20 }; /* one row in so many */
    struct vectors vectors = {.err = {.status = STATUS_OK}};
    must(compute_cpu.open(0, 1, &vectors.compute, &vectors.err), &vectors.err);
    float **const all[] = {&vectors.p, &vectors.m, &vectors.v, &vectors.g};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        *all[i] = allocate(&vectors, COUNT * sizeof(float));
    vectors.flags = allocate(&vectors, COUNT / WIDTH * sizeof(float));
    for (size_t row = 0; row < COUNT / WIDTH; row += TOUCHED)
        vectors.flags[row] = 1.0F;
    const struct compute_adam_scalars scalars = {.step_size = 1e-3F,
                                                 .beta1 = 0.9F,
                                                 .beta2 = 0.999F,
                                                 .complement1 = 0.1F,
                                                 .complement2 = 0.001F,
                                                 .eps = 1e-8F,
                                                 .root_correction = 1.2F};
    struct compute_update update = {
        .parameters = vectors.p, .gradients = vectors.g, .count = COUNT};
    measure(&vectors, "adam", &update, &scalars);
    update.clears = true;
    measure(&vectors, "adam_clearing_gradients", &update, &scalars);
    update.flags = vectors.flags;
    update.width = WIDTH;
    measure(&vectors, "adam_sparse_5_percent", &update, &scalars);

    void *const owned[] = {vectors.p, vectors.m, vectors.v, vectors.g, vectors.flags};
    for (size_t i = 0; i < COUNT_OF(owned); i++)
        compute_cpu.release(vectors.compute, owned[i]);
    compute_cpu.close(vectors.compute);
    return 0;
}
