#ifndef TRAINER_COMPUTE_COMPUTE_H
#define TRAINER_COMPUTE_COMPUTE_H

/*
 * compute.h - what a compute backend must do: the only thing that models, optimizers and the
 * training loop know about devices.
 *
 * Device memory is named by plain pointers (`float *`, `int32_t *`, `uint8_t *`) that come from
 * alloc(). They may be added to, passed to operations and nothing else: the host must not read or
 * write through them. Host data goes in by upload() and comes out by download(). The test backend
 * `far` keeps its memory unreadable outside operations, so a model that cheats dies in the tests.
 *
 * Operations are queued in order on one stream and may return before they finish. sync() waits,
 * download() waits for what it copies. Late device errors are reported by the next call that can see
 * them.
 *
 * A step is a function given to run(): a backend may record the operations it issues under `key`
 * and replay them on later calls with the same key (a CUDA graph). So what a step issues may depend
 * only on its key and on values in device memory: whatever changes from step to step (learning
 * rate, batch indices, powers of beta) lies in a device buffer that is uploaded before run().
 * upload() and download() are not allowed inside a step.
 *
 * There are no optional operations: a backend that cannot do something fast does it slowly.
 * Matrices are row-major float32. Shapes stand in comments as (rows, columns).
 *
 * Threads: one per opened device. Errors: STATUS_NO_MEMORY, STATUS_INTERNAL (device fault),
 * STATUS_UNSUPPORTED (no such device here).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define COMPUTE_ABI   4 /* bump with any change to struct compute_ops */
#define COMPUTE_ENTRY "reprise_compute_entry"
#define COMPUTE_BLOCK 1024 /* floats whose squares make one partial sum */

struct compute; /* one opened device */

/* GELU is the exact one, x times the normal distribution function; the dense operations know the first two. */
enum compute_activation { COMPUTE_LINEAR, COMPUTE_RELU, COMPUTE_TANH, COMPUTE_GELU };

typedef enum status compute_step_fn(void *context, struct error *err);

/* The scalars of one optimizer update, in device memory so that a recorded step can be replayed. */
struct compute_adam_scalars {
    float step_size; /* lr / (1 - beta1^t) */
    float beta1, beta2;
    float complement1, complement2; /* 1 - beta, rounded once from double */
    float eps;
    float root_correction; /* 1 / sqrt(1 - beta2^t) */
    float l2;              /* times the parameter, added to the gradient (Adam's weight decay) */
    float decay;           /* times the parameter, taken off it first (AdamW: lr * weight decay) */
};

struct compute_sgd_scalars {
    float lr, momentum, l2;
};

struct compute_adagrad_scalars {
    float lr, eps, l2;
};

/*
 * What one call of an optimizer works on: `count` parameters and their gradients, the pointers in
 * device memory. Each gradient counts times scale[0] (clipping); scale NULL: as it is.
 *
 * With `flags` the parameters are a piece of a table of rows of `width`: element i belongs to row
 * (skip + i) / width, and flags[row] > 0 says that the step touched it. Rows that it did not touch
 * keep their parameters and their state to the bit. flags NULL: all elements, width is not read.
 *
 * With `clears` the gradients of what was updated are zero afterwards, for the next step to add to: the
 * store costs nothing where the update itself waits for a root and a quotient.
 */
struct compute_update {
    float *parameters;
    float *gradients;
    size_t count;
    bool clears;
    const float *scale;
    const float *flags;
    size_t skip; /* elements of the first row that lie before parameters[0], less than width */
    int width;
};

#define COMPUTE_LSTM_DIRECTIONS 2 /* [0] from the first token to the last, [1] the other way */

/* One bidirectional LSTM layer over one packed batch: numbers that may be part of run()'s key. */
struct compute_lstm_shape {
    int rows;
    int steps;  /* at least the longest row's length */
    int tokens; /* at least the sum of the rows' lengths */
    int in, hidden;
};

/*
 * PyTorch's nn.LSTM: gates in the order i, f, g, o; two biases, which are added. Matrices lie as
 * (in, 4 hidden) and (hidden, 4 hidden), the transpose of PyTorch's. Host structs of device pointers,
 * read while the operation is issued.
 */
struct compute_lstm_weights {
    const float *w_ih[COMPUTE_LSTM_DIRECTIONS]; /* (in, 4 hidden) */
    const float *w_hh[COMPUTE_LSTM_DIRECTIONS]; /* (hidden, 4 hidden) */
    const float *b_ih[COMPUTE_LSTM_DIRECTIONS]; /* (4 hidden) */
    const float *b_hh[COMPUTE_LSTM_DIRECTIONS]; /* (4 hidden) */
};

struct compute_lstm_gradients {
    float *w_ih[COMPUTE_LSTM_DIRECTIONS];
    float *w_hh[COMPUTE_LSTM_DIRECTIONS];
    float *b_ih[COMPUTE_LSTM_DIRECTIONS];
    float *b_hh[COMPUTE_LSTM_DIRECTIONS];
};

/* What forward notes of a token, in multiples of `hidden`: four gates, states in, tanh of the cell. */
#define COMPUTE_LSTM_NOTES 7

/*
 * The list of operations; one line each: X(return type, name, parameters). From it come the table,
 * the check for a missing member (with its name) and the backends' static tables.
 */
/* An operation is added by its lines alone, without moving the others. */
/* clang-format off */
#define COMPUTE_OPS(X) \
    /* Opens device `index`, with at most `threads` host threads. */ \
    X(enum status, open, (int index, int threads, struct compute **out, struct error *err)) \
    X(void, close, (struct compute * compute)) \
    /* A line that identifies the arithmetic: library, version, kernel, instruction set. */ \
    X(const char *, describe, (struct compute * compute)) \
    X(enum status, alloc, \
      (struct compute * compute, size_t bytes, void **out, struct error *err)) /* zeroed */ \
    X(void, release, (struct compute * compute, void *memory))                 /* accepts NULL */ \
    /* Bytes of what alloc() gave and nobody released, and of the scratch memory of operations. */ \
    X(size_t, allocated, (struct compute * compute)) \
    /* A read-only device view of host memory that outlives it: the memory itself where the device \
       can read it, a copy elsewhere. For whole datasets. */ \
    X(enum status, map_host, \
      (struct compute * compute, const void *host, size_t bytes, const void **out, \
       struct error *err)) \
    X(void, unmap_host, (struct compute * compute, const void *view)) /* accepts NULL */ \
    X(enum status, upload, \
      (struct compute * compute, void *target, const void *source, size_t bytes, \
       struct error *err)) \
    X(enum status, download, \
      (struct compute * compute, void *target, const void *source, size_t bytes, \
       struct error *err)) \
    X(enum status, sync, (struct compute * compute, struct error * err)) \
    X(enum status, run, \
      (struct compute * compute, uint64_t key, compute_step_fn * step, void *context, \
       struct error *err)) \
    /* bytes of `memory` to zero */ \
    X(enum status, zero, \
      (struct compute * compute, void *memory, size_t bytes, struct error *err)) \
    X(enum status, copy, \
      (struct compute * compute, void *target, const void *source, size_t bytes, \
       struct error *err)) \
    /* out[i, :] = scale * (float)table[rows[i], :]; out (n, width), table (*, width) of bytes */ \
    X(enum status, gather_rows_u8, \
      (struct compute * compute, float *out, const uint8_t *table, const int32_t *rows, int n, \
       int width, float scale, struct error *err)) \
    /* out[i] = table[rows[i]] */ \
    X(enum status, gather_i32, \
      (struct compute * compute, int32_t * out, const int32_t *table, const int32_t *rows, int n, \
       struct error *err)) \
    /* out (m, n) = act(a (m, k) * w (k, n) + bias (n)) */ \
    X(enum status, dense_forward, \
      (struct compute * compute, float *out, const float *a, const float *w, const float *bias, \
       int m, int n, int k, enum compute_activation act, struct error *err)) \
    /* Given d_out (m, n) and the forward's out: d_out *= act'(out) in place, then \
       d_w (k, n) += a^T d_out, d_bias (n) += column sums, d_a (m, k) = d_out w^T (NULL: skip) */ \
    X(enum status, dense_backward, \
      (struct compute * compute, float *d_a, float *d_w, float *d_bias, float *d_out, \
       const float *out, const float *a, const float *w, int m, int n, int k, \
       enum compute_activation act, struct error *err)) \
    /* loss_sum[0] += sum of -log softmax(logits)[label]; correct[0] += number of rows whose \
       arg max is the label; d_logits = (softmax - onehot) * scale[0] (NULL: only the sums, scale is not read). \
       class_weights (n): times a row's loss and gradient, by its label; NULL: 1. \
       logits (m, n); a label outside 0..n-1 makes loss_sum NaN. */ \
    X(enum status, softmax_cross_entropy, \
      (struct compute * compute, float *loss_sum, float *correct, float *d_logits, \
       const float *logits, const int32_t *labels, const float *class_weights, const float *scale, \
       int m, int n, struct error *err)) \
    /* The same for one logit a row and labels 0 and 1: log(1 + exp(-z)) in its stable form; \
       a row counts as right when z > 0 is its label. d_logits (m) may be NULL. */ \
    X(enum status, sigmoid_cross_entropy, \
      (struct compute * compute, float *loss_sum, float *correct, float *d_logits, \
       const float *logits, const int32_t *labels, const float *class_weights, const float *scale, \
       int m, struct error *err)) \
    /* loss_sum[0] += sum of (out - target)^2; d_out = 2 (out - target) * scale[0] (NULL: skip) */ \
    X(enum status, squared_error, \
      (struct compute * compute, float *loss_sum, float *d_out, const float *out, \
       const float *targets, const float *scale, int m, struct error *err)) \
    /* out (m, n) = the rows' softmax; n = 1: the logistic function of each */ \
    X(enum status, probabilities, \
      (struct compute * compute, float *out, const float *logits, int m, int n, struct error *err)) \
    /* out[i] = act(in[i]); may be in place where act's derivative follows from its value */ \
    X(enum status, activation_forward, \
      (struct compute * compute, float *out, const float *in, size_t count, \
       enum compute_activation act, struct error *err)) \
    /* d[i] *= act'(in[i]); in is read for GELU, out for the others */ \
    X(enum status, activation_backward, \
      (struct compute * compute, float *d, const float *in, const float *out, size_t count, \
       enum compute_activation act, struct error *err)) \
    /* values (n, width): zero with probability `rate`, else times 1 / (1 - rate). Element (i, j) is \
       judged by Philox under `key` at counter (step, (first row + i) * width + j), with the step's \
       low and high word and the first row in counter[0..2] on the device: the same call does it \
       forward and backward. */ \
    X(enum status, dropout, \
      (struct compute * compute, float *values, const uint32_t *counter, uint64_t key, float rate, \
       int n, int width, struct error *err)) \
    /* out[i * out_stride + j] = table[rows[i] * width + j] */ \
    X(enum status, gather_rows_f32, \
      (struct compute * compute, float *out, int out_stride, const float *table, \
       const int32_t *rows, int n, int width, struct error *err)) \
    X(enum status, gather_rows_i32, \
      (struct compute * compute, int32_t * out, const int32_t *table, const int32_t *rows, int n, \
       int width, struct error *err)) \
    /* out[i * out_stride + j] = table[ids[i * id_stride] * width + j] */ \
    X(enum status, embedding_gather, \
      (struct compute * compute, float *out, int out_stride, const float *table, \
       const int32_t *ids, int id_stride, int n, int width, struct error *err)) \
    /* d_table[ids[i * id_stride]] += d_out[i * out_stride ...], in the order of i for each row; \
       flags[id] += 1 (NULL: not counted) */ \
    X(enum status, embedding_scatter_add, \
      (struct compute * compute, float *d_table, float *flags, const float *d_out, int out_stride, \
       const int32_t *ids, int id_stride, int n, int width, struct error *err)) \
    /* out[i * out_stride + j] = a[a_ids[i] * width + j] * b[b_ids[i] * width + j] */ \
    X(enum status, embedding_product, \
      (struct compute * compute, float *out, int out_stride, const float *a, const int32_t *a_ids, \
       const float *b, const int32_t *b_ids, int n, int width, struct error *err)) \
    /* Its gradients, in the order of i: with d = d_out[i * out_stride + j], \
       d_a[a_ids[i] * width + j] += d * b[b_ids[i] * width + j], and d_b likewise; \
       a_flags[a_ids[i]] += 1, b_flags[b_ids[i]] += 1 (NULL: not counted) */ \
    X(enum status, embedding_product_backward, \
      (struct compute * compute, float *d_a, float *a_flags, float *d_b, float *b_flags, \
       const float *d_out, int out_stride, const float *a, const int32_t *a_ids, const float *b, \
       const int32_t *b_ids, int n, int width, struct error *err)) \
    /* Where the first candidate of each row stands: rank = number of the others whose score is not \
       less or equal (so a NaN is the worst, and ties are won). A candidate with the id of the first \
       does not count. sums[0] += rows, sums[1] += rows with rank < top_k (hits), sums[2] += \
       log 2 / log(rank + 2) of those (NDCG with one relevant item: Jarvelin and Kekalainen 2002). \
       scores, ids (rows, width) */ \
    X(enum status, rank_first, \
      (struct compute * compute, float *sums, const float *scores, const int32_t *ids, int rows, \
       int width, int top_k, struct error *err)) \
    /* out[i * out_stride + j] = in[i * in_stride + j] for j < width */ \
    X(enum status, copy_rows, \
      (struct compute * compute, float *out, int out_stride, const float *in, int in_stride, int n, \
       int width, struct error *err)) \
    /* One bidirectional LSTM layer (struct compute_lstm_weights) over packed sequences: rows sorted by
       length, longest first; input (tokens, in) holds step after step, step t the rows of length > t in
       their order, each row from its first token on; what follows the last token is padding, which is not
       read. lengths (rows). out (rows, 2 hidden): the forward direction's hidden state after each
       row's last token, then the reverse direction's after its first; zeros for a row of length 0.
         i, f, o = sigmoid(x W_ih + b_ih + h W_hh + b_hh), g = tanh(of the same)
         c' = f c + i g, h' = o tanh(c'); h and c begin with zeros
       workspace (compute_lstm_workspace_bytes()): notes for lstm_backward. A row's result does not
       depend on the other rows but for rounding. Lengths that do not fit the shape: STATUS_INTERNAL. */ \
    X(enum status, lstm_forward, \
      (struct compute * compute, float *out, float *workspace, const float *input, \
       const int32_t *lengths, const struct compute_lstm_weights *weights, \
       const struct compute_lstm_shape *shape, struct error *err)) \
    /* Given d_out (rows, 2 hidden) and the forward's workspace, which is used up: gradients of all eight
       tensors are added, in a fixed order; d_input (tokens, in) is set, to zeros where there is padding. \
       The two biases of a direction get the same. */ \
    X(enum status, lstm_backward, \
      (struct compute * compute, float *d_input, const struct compute_lstm_gradients *gradients, \
       const float *d_out, float *workspace, const float *input, const int32_t *lengths, \
       const struct compute_lstm_weights *weights, const struct compute_lstm_shape *shape, \
       struct error *err)) \
    /* Kingma and Ba 2015, in PyTorch's form, g = gradient * scale: p -= decay p; g += l2 p; \
       m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; \
       p -= step_size * m / (sqrt(v) * root_correction + eps). m, v (count) */ \
    X(enum status, adam, \
      (struct compute * compute, const struct compute_update *update, float *m, float *v, \
       const struct compute_adam_scalars *scalars, struct error *err)) \
    /* g += l2 p; velocity = momentum * velocity + g; p -= lr * velocity (PyTorch's form) */ \
    X(enum status, sgd, \
      (struct compute * compute, const struct compute_update *update, float *velocity, \
       const struct compute_sgd_scalars *scalars, struct error *err)) \
    /* Duchi et al. 2011, in PyTorch's form: g += l2 p; sums += g^2; p -= lr g / (sqrt(sums) + eps) */ \
    X(enum status, adagrad, \
      (struct compute * compute, const struct compute_update *update, float *sums, \
       const struct compute_adagrad_scalars *scalars, struct error *err)) \
    /* out[i] += in[i] */ \
    X(enum status, add, \
      (struct compute * compute, float *out, const float *in, size_t count, struct error *err)) \
    /* out[b] = sum of the squares of block b's floats, in one fixed order; out (count / COMPUTE_BLOCK, rounded up) */ \
    X(enum status, square_sums, \
      (struct compute * compute, double *out, const float *in, size_t count, struct error *err)) \
    /* scale[0] = min(1, max_norm / (norm + 1e-6)), norm = sqrt(sum of partials (count), in order): PyTorch's clip_grad_norm_ */ \
    X(enum status, clip_scale, \
      (struct compute * compute, float *scale, const double *partials, size_t count, \
       float max_norm, struct error *err))
/* clang-format on */

struct compute_ops {
    uint32_t abi;
    const char *name; /* "cpu", "cuda", "far" */
#define X(type, name, parameters) type(*name) parameters;
    COMPUTE_OPS(X)
#undef X
};

/* STATUS_INTERNAL naming the first missing operation or a wrong ABI. */
MUST_CHECK enum status compute_check(const struct compute_ops *ops, struct error *err);

/* The backend named "cpu" is linked in; "cuda" is loaded from `libreprise-cuda.so` beside the program. */
MUST_CHECK enum status compute_find(const char *name, const struct compute_ops **out,
                                    struct error *err);

/* Of the workspace of lstm_forward and lstm_backward. */
size_t compute_lstm_workspace_bytes(const struct compute_lstm_shape *shape);

extern const struct compute_ops compute_cpu;

/* An opened device with its table: what is handed around. */
struct device {
    const struct compute_ops *ops;
    struct compute *compute;
};

#endif
