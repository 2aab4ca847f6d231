/*
 * bench_lstm.c - the fused bidirectional LSTM (128 to 128) against raw sgemm of the same shapes: the
 * products of every step and those over all tokens, without a gate being computed or a row moved. So
 * the ratio says what the own kernels win on small products and what everything else costs.
 */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/compiler.h"
#include "tests/bench/bench.h"
#include "trainer/compute/compute.h"

enum { WIDTH = 128, ROWS_MAX = 256, GATES_WIDTH = 4 * WIDTH, RUNS = 15, RUNS_SHORT = 3 };

struct lstm_case {
    const char *name;
    int rows, shortest, longest; /* lengths fall evenly from the longest to the shortest */
};

static const struct lstm_case cases[] = {
    {"len100_batch32", 32, 100, 100}, {"len100_batch128", 128, 100, 100},
    {"natural_batch32", 32, 4, 44},   {"len100_batch1", 1, 100, 100},
    {"len100_batch7", 7, 100, 100},
};

struct layer {
    const struct compute_ops *ops;
    struct compute *compute;
    struct compute_lstm_shape shape;
    struct compute_lstm_weights weights;
    struct compute_lstm_gradients gradients;
    float *input, *d_input, *out, *d_out, *workspace;
    int32_t *lengths;
};

/* Of processor time: there is one thread, and others on the machine shall not count. */
static double seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void must(enum status status, const struct error *err)
{
    if (status == STATUS_OK)
        return;
    (void)fprintf(stderr, "%s\n", err->text);
    exit(1);
}

/* Device memory with small numbers in it. */
static float *numbers(const struct layer *layer, size_t count)
{
    struct error err = {.status = STATUS_OK};
    void *memory = NULL;
    float *host = malloc(count * sizeof(float));
    if (host == NULL)
        abort();
    for (size_t i = 0; i < count; i++)
        host[i] = ((float)(i * 2654435761U % 1000) - 500.0F) / 10000.0F;
    must(layer->ops->alloc(layer->compute, count * sizeof(float), &memory, &err), &err);
    must(layer->ops->upload(layer->compute, memory, host, count * sizeof(float), &err), &err);
    free(host);
    return memory;
}

static void open_layer(struct layer *layer, const struct lstm_case *c)
{
    struct error err = {.status = STATUS_OK};
    int32_t lengths[ROWS_MAX];
    *layer = (struct layer){.ops = &compute_cpu};
    must(layer->ops->open(0, 1, &layer->compute, &err), &err);
    layer->shape = (struct compute_lstm_shape){
        .rows = c->rows, .steps = c->longest, .in = WIDTH, .hidden = WIDTH};
    for (int r = 0; r < c->rows; r++) {
        lengths[r] = c->longest - (c->longest - c->shortest) * r / c->rows;
        layer->shape.tokens += lengths[r];
    }
    const size_t tokens = (size_t)layer->shape.tokens, outs = (size_t)c->rows * 2 * WIDTH;
    for (int d = 0; d < COMPUTE_LSTM_DIRECTIONS; d++) {
        layer->weights.w_ih[d] = numbers(layer, (size_t)WIDTH * GATES_WIDTH);
        layer->weights.w_hh[d] = numbers(layer, (size_t)WIDTH * GATES_WIDTH);
        layer->weights.b_ih[d] = numbers(layer, GATES_WIDTH);
        layer->weights.b_hh[d] = numbers(layer, GATES_WIDTH);
        layer->gradients.w_ih[d] = numbers(layer, (size_t)WIDTH * GATES_WIDTH);
        layer->gradients.w_hh[d] = numbers(layer, (size_t)WIDTH * GATES_WIDTH);
        layer->gradients.b_ih[d] = numbers(layer, GATES_WIDTH);
        layer->gradients.b_hh[d] = numbers(layer, GATES_WIDTH);
    }
    layer->input = numbers(layer, tokens * WIDTH);
    layer->d_input = numbers(layer, tokens * WIDTH);
    layer->out = numbers(layer, outs);
    layer->d_out = numbers(layer, outs);
    layer->workspace = numbers(layer, compute_lstm_workspace_bytes(&layer->shape) / sizeof(float));
    layer->lengths = (int32_t *)(void *)numbers(layer, (size_t)c->rows);
    must(layer->ops->upload(layer->compute, layer->lengths, lengths, (size_t)c->rows * 4, &err),
         &err);
}

/* The device goes with the process; only what is large is handed back between cases. */
static void close_layer(struct layer *layer)
{
    float *const large[] = {layer->input, layer->d_input, layer->workspace};
    for (size_t i = 0; i < COUNT_OF(large); i++)
        layer->ops->release(layer->compute, large[i]);
    layer->ops->close(layer->compute);
}

static double run_forward(const struct layer *layer)
{
    struct error err = {.status = STATUS_OK};
    const double start = seconds();
    must(layer->ops->lstm_forward(layer->compute, layer->out, layer->workspace, layer->input,
                                  layer->lengths, &layer->weights, &layer->shape, &err),
         &err);
    return seconds() - start;
}

static double run_backward(const struct layer *layer)
{
    struct error err = {.status = STATUS_OK};
    const double start = seconds();
    must(layer->ops->lstm_backward(layer->compute, layer->d_input, &layer->gradients, layer->d_out,
                                   layer->workspace, layer->input, layer->lengths, &layer->weights,
                                   &layer->shape, &err),
         &err);
    return seconds() - start;
}

static int active_rows(const struct layer *layer, int t)
{
    int rows = 0;
    while (rows < layer->shape.rows && layer->lengths[rows] > t)
        rows++;
    return rows;
}

/* c (m, n) = op(a) op(b), all tightly packed. */
static void sgemm(CBLAS_TRANSPOSE a_op, CBLAS_TRANSPOSE b_op, int m, int n, int k, const float *a,
                  const float *b, float *c)
{
    cblas_sgemm(CblasRowMajor, a_op, b_op, m, n, k, 1.0F, a, a_op == CblasTrans ? m : k, b,
                b_op == CblasTrans ? k : n, 0.0F, c, n);
}

/* The same products in both directions, one sgemm each. */
static double run_sgemm_forward(const struct layer *layer)
{
    const double start = seconds();
    for (int d = 0; d < COMPUTE_LSTM_DIRECTIONS; d++) {
        sgemm(CblasNoTrans, CblasNoTrans, layer->shape.tokens, GATES_WIDTH, WIDTH, layer->input,
              layer->weights.w_ih[d], layer->workspace);
        for (int t = 1; t < layer->shape.steps; t++)
            sgemm(CblasNoTrans, CblasNoTrans, active_rows(layer, t), GATES_WIDTH, WIDTH,
                  layer->input, layer->weights.w_hh[d], layer->workspace);
    }
    return seconds() - start;
}

static double run_sgemm_backward(const struct layer *layer)
{
    const int tokens = layer->shape.tokens;
    const double start = seconds();
    for (int d = 0; d < COMPUTE_LSTM_DIRECTIONS; d++) {
        for (int t = 1; t < layer->shape.steps; t++)
            sgemm(CblasNoTrans, CblasTrans, active_rows(layer, t), WIDTH, GATES_WIDTH,
                  layer->workspace, layer->weights.w_hh[d], layer->d_input);
        sgemm(CblasTrans, CblasNoTrans, WIDTH, GATES_WIDTH, tokens, layer->input, layer->workspace,
              layer->gradients.w_ih[d]);
        sgemm(CblasTrans, CblasNoTrans, WIDTH, GATES_WIDTH, tokens, layer->input, layer->workspace,
              layer->gradients.w_hh[d]);
        sgemm(CblasNoTrans, CblasTrans, tokens, WIDTH, GATES_WIDTH, layer->workspace,
              layer->weights.w_ih[d], layer->d_input);
    }
    return seconds() - start;
}

static void report(const char *what, const struct lstm_case *c, const struct bench_samples *ours,
                   const struct bench_samples *raw)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "lstm_%s_%s", what, c->name);
    bench_report(name, "GFLOP/s", ours, bench_quantile(raw, 0.5));
}

static void measure(const struct lstm_case *c)
{
    struct layer layer;
    struct bench_samples forward = {0}, backward = {0}, raw_forward = {0}, raw_backward = {0};
    struct bench_samples rows = {0};
    open_layer(&layer, c);
    /* Multiply and add, both directions, the input's and the state's product. */
    const double flop = 2.0 * 2.0 * layer.shape.tokens * GATES_WIDTH * (WIDTH + WIDTH);
    bench_load_start();
    (void)run_forward(&layer); /* touches the memory */
    for (int i = 0; i < (bench_is_short() ? RUNS_SHORT : RUNS); i++) {
        const double forward_s = run_forward(&layer), backward_s = run_backward(&layer);
        bench_add(&forward, flop / forward_s * 1e-9);
        bench_add(&backward, 2.0 * flop / backward_s * 1e-9);
        bench_add(&rows, c->rows / (forward_s + backward_s));
        bench_add(&raw_forward, flop / run_sgemm_forward(&layer) * 1e-9);
        bench_add(&raw_backward, 2.0 * flop / run_sgemm_backward(&layer) * 1e-9);
    }
    report("forward", c, &forward, &raw_forward);
    report("backward", c, &backward, &raw_backward);
    char name[64];
    (void)snprintf(name, sizeof(name), "lstm_rows_per_second_%s", c->name);
    bench_report(name, "rows/s", &rows, 0);
    bench_clear(&forward);
    bench_clear(&backward);
    bench_clear(&raw_forward);
    bench_clear(&raw_backward);
    bench_clear(&rows);
    close_layer(&layer);
}

int main(void)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        measure(&cases[i]);
    return 0;
}
