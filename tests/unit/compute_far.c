#include "tests/unit/compute_far.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_BYTES    ((size_t)256 * MIB)
#define PAGE_BYTES     4096
#define RECORDINGS_MAX 64
#define CALLS_MAX      64

enum far_operation {
    FAR_ZERO,
    FAR_COPY,
    FAR_GATHER_ROWS_U8,
    FAR_GATHER_I32,
    FAR_DENSE_FORWARD,
    FAR_DENSE_BACKWARD,
    FAR_SOFTMAX_CROSS_ENTROPY,
    FAR_SIGMOID_CROSS_ENTROPY,
    FAR_SQUARED_ERROR,
    FAR_PROBABILITIES,
    FAR_ACTIVATION_FORWARD,
    FAR_ACTIVATION_BACKWARD,
    FAR_DROPOUT,
    FAR_GATHER_ROWS_F32,
    FAR_GATHER_ROWS_I32,
    FAR_EMBEDDING_GATHER,
    FAR_EMBEDDING_SCATTER_ADD,
    FAR_COPY_ROWS,
    FAR_EMBEDDING_PRODUCT,
    FAR_EMBEDDING_PRODUCT_BACKWARD,
    FAR_RANK_FIRST,
    FAR_LSTM_FORWARD,
    FAR_LSTM_BACKWARD,
    FAR_ADAM,
    FAR_SGD,
    FAR_ADAGRAD,
    FAR_ADD,
    FAR_SQUARE_SUMS,
    FAR_CLIP_SCALE,
};

/* One issued operation: outputs, inputs, and numbers in the order of its parameters. */
struct far_call {
    enum far_operation operation;
    void *out[4];
    const void *in[5];
    int number[6];
    size_t size; /* or Philox's key */
    float scale;
    struct compute_lstm_weights lstm_weights;
    struct compute_lstm_gradients lstm_gradients;
    struct compute_lstm_shape lstm_shape;
    struct compute_update update; /* of the optimizers */
};

struct far_recording {
    uint64_t key;
    size_t count;
    struct far_call calls[CALLS_MAX];
};

struct compute {
    struct compute *near; /* the CPU that does the work */
    uint8_t *arena;
    size_t used;
    struct far_recording *recordings;
    size_t recording_count;
    struct far_recording *open; /* being recorded; NULL outside a step */
    size_t replays;
};

size_t compute_far_replays(const struct compute *compute)
{
    return compute->replays;
}

static void allow(const struct compute *far, int protection)
{
    const int failed = mprotect(far->arena, ARENA_BYTES, protection);
    assert(failed == 0);
    (void)failed;
}

static enum status far_close_parts(struct compute *far, enum status status)
{
    if (far->arena != NULL)
        (void)munmap(far->arena, ARENA_BYTES);
    free(far->recordings);
    free(far);
    return status;
}

static enum status far_open(int index, int threads, struct compute **out, struct error *err)
{
    struct compute *far = calloc(1, sizeof(*far));
    assert(far != NULL);
    const enum status status = compute_cpu.open(index, threads, &far->near, err);
    if (status != STATUS_OK)
        return far_close_parts(far, status);
    far->recordings = calloc(RECORDINGS_MAX, sizeof(*far->recordings));
    far->arena =
        mmap(NULL, ARENA_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert(far->recordings != NULL);
    assert(far->arena != MAP_FAILED);
    *out = far;
    return STATUS_OK;
}

static void far_close(struct compute *far)
{
    if (far == NULL)
        return;
    compute_cpu.close(far->near);
    (void)far_close_parts(far, STATUS_OK);
}

static const char *far_describe(struct compute *far)
{
    return compute_cpu.describe(far->near);
}

static enum status refuse_in_step(const struct compute *far, const char *operation,
                                  struct error *err)
{
    if (far->open == NULL)
        return STATUS_OK;
    return error_set(err, STATUS_INTERNAL, "%s inside a step", operation);
}

static enum status far_alloc(struct compute *far, size_t bytes, void **out, struct error *err)
{
    TRY(refuse_in_step(far, "alloc", err));
    const size_t rounded = (bytes / PAGE_BYTES + 1) * PAGE_BYTES;
    if (rounded > ARENA_BYTES - far->used)
        return error_set(err, STATUS_NO_MEMORY, "far device: %zu bytes", bytes);
    *out = far->arena + far->used; /* never used before, so zero */
    far->used += rounded;
    return STATUS_OK;
}

static void far_release(struct compute *far, void *memory)
{
    (void)far;
    (void)memory; /* the arena goes as a whole */
}

static size_t far_allocated(struct compute *far)
{
    return far->used;
}

static enum status far_upload(struct compute *far, void *target, const void *source, size_t bytes,
                              struct error *err)
{
    TRY(refuse_in_step(far, "upload", err));
    allow(far, PROT_READ | PROT_WRITE);
    memcpy(target, source, bytes);
    allow(far, PROT_NONE);
    return STATUS_OK;
}

static enum status far_download(struct compute *far, void *target, const void *source, size_t bytes,
                                struct error *err)
{
    return far_upload(far, target, source, bytes, err);
}

static enum status far_map_host(struct compute *far, const void *host, size_t bytes,
                                const void **out, struct error *err)
{
    void *copy = NULL;
    TRY(far_alloc(far, bytes, &copy, err));
    TRY(far_upload(far, copy, host, bytes, err));
    *out = copy;
    return STATUS_OK;
}

static void far_unmap_host(struct compute *far, const void *view)
{
    (void)far;
    (void)view;
}

static enum status far_sync(struct compute *far, struct error *err)
{
    return refuse_in_step(far, "sync", err);
}

/* ------------------------------------------------------------------ recording and replaying */

static enum status carry_out_dense(struct compute *near, const struct far_call *c,
                                   struct error *err)
{
    const enum compute_activation act = (enum compute_activation)c->number[3];
    if (c->operation == FAR_DENSE_FORWARD)
        return compute_cpu.dense_forward(near, c->out[0], c->in[0], c->in[1], c->in[2],
                                         c->number[0], c->number[1], c->number[2], act, err);
    return compute_cpu.dense_backward(near, c->out[0], c->out[1], c->out[2], c->out[3], c->in[0],
                                      c->in[1], c->in[2], c->number[0], c->number[1], c->number[2],
                                      act, err);
}

static enum status carry_out_loss(struct compute *near, const struct far_call *c, struct error *err)
{
    const int m = c->number[0], n = c->number[1];
    if (c->operation == FAR_SOFTMAX_CROSS_ENTROPY)
        return compute_cpu.softmax_cross_entropy(near, c->out[0], c->out[1], c->out[2], c->in[0],
                                                 c->in[1], c->in[2], c->in[3], m, n, err);
    if (c->operation == FAR_SIGMOID_CROSS_ENTROPY)
        return compute_cpu.sigmoid_cross_entropy(near, c->out[0], c->out[1], c->out[2], c->in[0],
                                                 c->in[1], c->in[2], c->in[3], m, err);
    if (c->operation == FAR_SQUARED_ERROR)
        return compute_cpu.squared_error(near, c->out[0], c->out[1], c->in[0], c->in[1], c->in[2],
                                         m, err);
    return compute_cpu.probabilities(near, c->out[0], c->in[0], m, n, err);
}

static enum status carry_out_elements(struct compute *near, const struct far_call *c,
                                      struct error *err)
{
    const enum compute_activation act = (enum compute_activation)c->number[0];
    if (c->operation == FAR_ACTIVATION_FORWARD)
        return compute_cpu.activation_forward(near, c->out[0], c->in[0], c->size, act, err);
    if (c->operation == FAR_ACTIVATION_BACKWARD)
        return compute_cpu.activation_backward(near, c->out[0], c->in[0], c->in[1], c->size, act,
                                               err);
    return compute_cpu.dropout(near, c->out[0], c->in[0], c->size, c->scale, c->number[0],
                               c->number[1], err);
}

static enum status carry_out_rows(struct compute *near, const struct far_call *c, struct error *err)
{
    const int *x = c->number;
    if (c->operation == FAR_GATHER_ROWS_F32)
        return compute_cpu.gather_rows_f32(near, c->out[0], x[0], c->in[0], c->in[1], x[1], x[2],
                                           err);
    if (c->operation == FAR_GATHER_ROWS_I32)
        return compute_cpu.gather_rows_i32(near, c->out[0], c->in[0], c->in[1], x[0], x[1], err);
    if (c->operation == FAR_EMBEDDING_GATHER)
        return compute_cpu.embedding_gather(near, c->out[0], x[0], c->in[0], c->in[1], x[1], x[2],
                                            x[3], err);
    if (c->operation == FAR_EMBEDDING_SCATTER_ADD)
        return compute_cpu.embedding_scatter_add(near, c->out[0], c->out[1], c->in[0], x[0],
                                                 c->in[1], x[1], x[2], x[3], err);
    return compute_cpu.copy_rows(near, c->out[0], x[0], c->in[0], x[1], x[2], x[3], err);
}

static enum status carry_out_pairs(struct compute *near, const struct far_call *c,
                                   struct error *err)
{
    const int *x = c->number;
    if (c->operation == FAR_EMBEDDING_PRODUCT)
        return compute_cpu.embedding_product(near, c->out[0], x[0], c->in[0], c->in[1], c->in[2],
                                             c->in[3], x[1], x[2], err);
    if (c->operation == FAR_EMBEDDING_PRODUCT_BACKWARD)
        return compute_cpu.embedding_product_backward(near, c->out[0], c->out[1], c->out[2],
                                                      c->out[3], c->in[4], x[0], c->in[0], c->in[1],
                                                      c->in[2], c->in[3], x[1], x[2], err);
    return compute_cpu.rank_first(near, c->out[0], c->in[0], c->in[1], x[0], x[1], x[2], err);
}

static enum status carry_out(struct compute *near, const struct far_call *c, struct error *err)
{
    switch (c->operation) {
    case FAR_ZERO:
        return compute_cpu.zero(near, c->out[0], c->size, err);
    case FAR_COPY:
        return compute_cpu.copy(near, c->out[0], c->in[0], c->size, err);
    case FAR_GATHER_ROWS_U8:
        return compute_cpu.gather_rows_u8(near, c->out[0], c->in[0], c->in[1], c->number[0],
                                          c->number[1], c->scale, err);
    case FAR_GATHER_I32:
        return compute_cpu.gather_i32(near, c->out[0], c->in[0], c->in[1], c->number[0], err);
    case FAR_DENSE_FORWARD:
    case FAR_DENSE_BACKWARD:
        return carry_out_dense(near, c, err);
    case FAR_SOFTMAX_CROSS_ENTROPY:
    case FAR_SIGMOID_CROSS_ENTROPY:
    case FAR_SQUARED_ERROR:
    case FAR_PROBABILITIES:
        return carry_out_loss(near, c, err);
    case FAR_ACTIVATION_FORWARD:
    case FAR_ACTIVATION_BACKWARD:
    case FAR_DROPOUT:
        return carry_out_elements(near, c, err);
    case FAR_GATHER_ROWS_F32:
    case FAR_GATHER_ROWS_I32:
    case FAR_EMBEDDING_GATHER:
    case FAR_EMBEDDING_SCATTER_ADD:
    case FAR_COPY_ROWS:
        return carry_out_rows(near, c, err);
    case FAR_EMBEDDING_PRODUCT:
    case FAR_EMBEDDING_PRODUCT_BACKWARD:
    case FAR_RANK_FIRST:
        return carry_out_pairs(near, c, err);
    case FAR_LSTM_FORWARD:
        return compute_cpu.lstm_forward(near, c->out[0], c->out[1], c->in[0], c->in[1],
                                        &c->lstm_weights, &c->lstm_shape, err);
    case FAR_LSTM_BACKWARD:
        return compute_cpu.lstm_backward(near, c->out[0], &c->lstm_gradients, c->in[0], c->out[1],
                                         c->in[1], c->in[2], &c->lstm_weights, &c->lstm_shape, err);
    case FAR_ADAM:
        return compute_cpu.adam(near, &c->update, c->out[0], c->out[1], c->in[0], err);
    case FAR_SGD:
        return compute_cpu.sgd(near, &c->update, c->out[0], c->in[0], err);
    case FAR_ADAGRAD:
        return compute_cpu.adagrad(near, &c->update, c->out[0], c->in[0], err);
    case FAR_ADD:
        return compute_cpu.add(near, c->out[0], c->in[0], c->size, err);
    case FAR_SQUARE_SUMS:
        return compute_cpu.square_sums(near, c->out[0], c->in[0], c->size, err);
    case FAR_CLIP_SCALE:
        return compute_cpu.clip_scale(near, c->out[0], c->in[0], c->size, c->scale, err);
    }
    return error_set(err, STATUS_INTERNAL, "operation %d", (int)c->operation);
}

static enum status issue(struct compute *far, const struct far_call call, struct error *err)
{
    if (far->open != NULL) {
        assert(far->open->count < CALLS_MAX);
        far->open->calls[far->open->count++] = call;
        return STATUS_OK;
    }
    allow(far, PROT_READ | PROT_WRITE);
    const enum status status = carry_out(far->near, &call, err);
    allow(far, PROT_NONE);
    return status;
}

static struct far_recording *find_recording(struct compute *far, uint64_t key)
{
    for (size_t i = 0; i < far->recording_count; i++) {
        if (far->recordings[i].key == key)
            return &far->recordings[i];
    }
    return NULL;
}

static enum status far_run(struct compute *far, uint64_t key, compute_step_fn *step, void *context,
                           struct error *err)
{
    TRY(refuse_in_step(far, "run", err));
    struct far_recording *recording = find_recording(far, key);
    if (recording == NULL) {
        assert(far->recording_count < RECORDINGS_MAX);
        recording = &far->recordings[far->recording_count++];
        recording->key = key;
        far->open = recording;
        const enum status status = step(context, err);
        far->open = NULL;
        if (status != STATUS_OK)
            return status;
    } else {
        far->replays++;
    }
    allow(far, PROT_READ | PROT_WRITE);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < recording->count && status == STATUS_OK; i++)
        status = carry_out(far->near, &recording->calls[i], err);
    allow(far, PROT_NONE);
    return status;
}

/* ------------------------------------------------------------------ the operations */

static enum status far_zero(struct compute *far, void *memory, size_t bytes, struct error *err)
{
    return issue(far, (struct far_call){FAR_ZERO, .out = {memory}, .size = bytes}, err);
}

static enum status far_copy(struct compute *far, void *target, const void *source, size_t bytes,
                            struct error *err)
{
    return issue(far, (struct far_call){FAR_COPY, .out = {target}, .in = {source}, .size = bytes},
                 err);
}

static enum status far_gather_rows_u8(struct compute *far, float *out, const uint8_t *table,
                                      const int32_t *rows, int n, int width, float scale,
                                      struct error *err)
{
    return issue(far,
                 (struct far_call){FAR_GATHER_ROWS_U8, .out = {out}, .in = {table, rows},
                                   .number = {n, width}, .scale = scale},
                 err);
}

static enum status far_gather_i32(struct compute *far, int32_t *out, const int32_t *table,
                                  const int32_t *rows, int n, struct error *err)
{
    return issue(
        far, (struct far_call){FAR_GATHER_I32, .out = {out}, .in = {table, rows}, .number = {n}},
        err);
}

static enum status far_dense_forward(struct compute *far, float *out, const float *a,
                                     const float *w, const float *bias, int m, int n, int k,
                                     enum compute_activation act, struct error *err)
{
    return issue(far,
                 (struct far_call){FAR_DENSE_FORWARD, .out = {out}, .in = {a, w, bias},
                                   .number = {m, n, k, (int)act}},
                 err);
}

static enum status far_dense_backward(struct compute *far, float *d_a, float *d_w, float *d_bias,
                                      float *d_out, const float *out, const float *a,
                                      const float *w, int m, int n, int k,
                                      enum compute_activation act, struct error *err)
{
    return issue(far,
                 (struct far_call){FAR_DENSE_BACKWARD, .out = {d_a, d_w, d_bias, d_out},
                                   .in = {out, a, w}, .number = {m, n, k, (int)act}},
                 err);
}

static enum status far_softmax_cross_entropy(struct compute *far, float *loss_sum, float *correct,
                                             float *d_logits, const float *logits,
                                             const int32_t *labels, const float *class_weights,
                                             const float *scale, int m, int n, struct error *err)
{
    return issue(far,
                 (struct far_call){FAR_SOFTMAX_CROSS_ENTROPY, .out = {loss_sum, correct, d_logits},
                                   .in = {logits, labels, class_weights, scale}, .number = {m, n}},
                 err);
}

static enum status far_sigmoid_cross_entropy(struct compute *far, float *loss_sum, float *correct,
                                             float *d_logits, const float *logits,
                                             const int32_t *labels, const float *class_weights,
                                             const float *scale, int m, struct error *err)
{
    return issue(far,
                 (struct far_call){FAR_SIGMOID_CROSS_ENTROPY, .out = {loss_sum, correct, d_logits},
                                   .in = {logits, labels, class_weights, scale}, .number = {m}},
                 err);
}

static enum status far_squared_error(struct compute *far, float *loss_sum, float *d_out,
                                     const float *out, const float *targets, const float *scale,
                                     int m, struct error *err)
{
    return issue(far,
                 (struct far_call){FAR_SQUARED_ERROR, .out = {loss_sum, d_out},
                                   .in = {out, targets, scale}, .number = {m}},
                 err);
}

static enum status far_probabilities(struct compute *far, float *out, const float *logits, int m,
                                     int n, struct error *err)
{
    return issue(
        far, (struct far_call){FAR_PROBABILITIES, .out = {out}, .in = {logits}, .number = {m, n}},
        err);
}

static enum status far_activation_forward(struct compute *far, float *out, const float *in,
                                          size_t count, enum compute_activation act,
                                          struct error *err)
{
    return issue(far,
                 (struct far_call){FAR_ACTIVATION_FORWARD, .out = {out}, .in = {in},
                                   .number = {(int)act}, .size = count},
                 err);
}

static enum status far_activation_backward(struct compute *far, float *d, const float *in,
                                           const float *out, size_t count,
                                           enum compute_activation act, struct error *err)
{
    return issue(far,
                 (struct far_call){FAR_ACTIVATION_BACKWARD, .out = {d}, .in = {in, out},
                                   .number = {(int)act}, .size = count},
                 err);
}

static enum status far_dropout(struct compute *far, float *values, const uint32_t *counter,
                               uint64_t key, float rate, int n, int width, struct error *err)
{
    return issue(far,
                 (struct far_call){FAR_DROPOUT, .out = {values}, .in = {counter},
                                   .number = {n, width}, .size = key, .scale = rate},
                 err);
}

static enum status far_gather_rows_f32(struct compute *far, float *out, int out_stride,
                                       const float *table, const int32_t *rows, int n, int width,
                                       struct error *err)
{
    return issue(far,
                 (struct far_call){FAR_GATHER_ROWS_F32, .out = {out}, .in = {table, rows},
                                   .number = {out_stride, n, width}},
                 err);
}

static enum status far_gather_rows_i32(struct compute *far, int32_t *out, const int32_t *table,
                                       const int32_t *rows, int n, int width, struct error *err)
{
    return issue(far,
                 (struct far_call){FAR_GATHER_ROWS_I32, .out = {out}, .in = {table, rows},
                                   .number = {n, width}},
                 err);
}

static enum status far_embedding_gather(struct compute *far, float *out, int out_stride,
                                        const float *table, const int32_t *ids, int id_stride,
                                        int n, int width, struct error *err)
{
    return issue(far,
                 (struct far_call){FAR_EMBEDDING_GATHER, .out = {out}, .in = {table, ids},
                                   .number = {out_stride, id_stride, n, width}},
                 err);
}

static enum status far_embedding_scatter_add(struct compute *far, float *d_table, float *flags,
                                             const float *d_out, int out_stride, const int32_t *ids,
                                             int id_stride, int n, int width, struct error *err)
{
    return issue(far,
                 (struct far_call){FAR_EMBEDDING_SCATTER_ADD, .out = {d_table, flags},
                                   .in = {d_out, ids}, .number = {out_stride, id_stride, n, width}},
                 err);
}

static enum status far_embedding_product(struct compute *far, float *out, int out_stride,
                                         const float *a, const int32_t *a_ids, const float *b,
                                         const int32_t *b_ids, int n, int width, struct error *err)
{
    return issue(far,
                 (struct far_call){FAR_EMBEDDING_PRODUCT, .out = {out}, .in = {a, a_ids, b, b_ids},
                                   .number = {out_stride, n, width}},
                 err);
}

static enum status far_embedding_product_backward(struct compute *far, float *d_a, float *a_flags,
                                                  float *d_b, float *b_flags, const float *d_out,
                                                  int out_stride, const float *a,
                                                  const int32_t *a_ids, const float *b,
                                                  const int32_t *b_ids, int n, int width,
                                                  struct error *err)
{
    return issue(
        far,
        (struct far_call){FAR_EMBEDDING_PRODUCT_BACKWARD, .out = {d_a, a_flags, d_b, b_flags},
                          .in = {a, a_ids, b, b_ids, d_out}, .number = {out_stride, n, width}},
        err);
}

static enum status far_rank_first(struct compute *far, float *sums, const float *scores,
                                  const int32_t *ids, int rows, int width, int top_k,
                                  struct error *err)
{
    return issue(far,
                 (struct far_call){FAR_RANK_FIRST, .out = {sums}, .in = {scores, ids},
                                   .number = {rows, width, top_k}},
                 err);
}

static enum status far_copy_rows(struct compute *far, float *out, int out_stride, const float *in,
                                 int in_stride, int n, int width, struct error *err)
{
    return issue(far,
                 (struct far_call){FAR_COPY_ROWS, .out = {out}, .in = {in},
                                   .number = {out_stride, in_stride, n, width}},
                 err);
}

static enum status far_lstm_forward(struct compute *far, float *out, float *workspace,
                                    const float *input, const int32_t *lengths,
                                    const struct compute_lstm_weights *weights,
                                    const struct compute_lstm_shape *shape, struct error *err)
{
    return issue(far,
                 (struct far_call){FAR_LSTM_FORWARD, .out = {out, workspace},
                                   .in = {input, lengths}, .lstm_weights = *weights,
                                   .lstm_shape = *shape},
                 err);
}

static enum status far_lstm_backward(struct compute *far, float *d_input,
                                     const struct compute_lstm_gradients *gradients,
                                     const float *d_out, float *workspace, const float *input,
                                     const int32_t *lengths,
                                     const struct compute_lstm_weights *weights,
                                     const struct compute_lstm_shape *shape, struct error *err)
{
    return issue(far,
                 (struct far_call){FAR_LSTM_BACKWARD, .out = {d_input, workspace},
                                   .in = {d_out, input, lengths}, .lstm_weights = *weights,
                                   .lstm_gradients = *gradients, .lstm_shape = *shape},
                 err);
}

static enum status far_adam(struct compute *far, const struct compute_update *update, float *m,
                            float *v, const struct compute_adam_scalars *scalars, struct error *err)
{
    return issue(
        far, (struct far_call){FAR_ADAM, .out = {m, v}, .in = {scalars}, .update = *update}, err);
}

static enum status far_sgd(struct compute *far, const struct compute_update *update,
                           float *velocity, const struct compute_sgd_scalars *scalars,
                           struct error *err)
{
    return issue(far,
                 (struct far_call){FAR_SGD, .out = {velocity}, .in = {scalars}, .update = *update},
                 err);
}

static enum status far_adagrad(struct compute *far, const struct compute_update *update,
                               float *sums, const struct compute_adagrad_scalars *scalars,
                               struct error *err)
{
    return issue(far,
                 (struct far_call){FAR_ADAGRAD, .out = {sums}, .in = {scalars}, .update = *update},
                 err);
}

static enum status far_add(struct compute *far, float *out, const float *in, size_t count,
                           struct error *err)
{
    return issue(far, (struct far_call){FAR_ADD, .out = {out}, .in = {in}, .size = count}, err);
}

static enum status far_square_sums(struct compute *far, double *out, const float *in, size_t count,
                                   struct error *err)
{
    return issue(far, (struct far_call){FAR_SQUARE_SUMS, .out = {out}, .in = {in}, .size = count},
                 err);
}

static enum status far_clip_scale(struct compute *far, float *scale, const double *partials,
                                  size_t count, float max_norm, struct error *err)
{
    return issue(far,
                 (struct far_call){FAR_CLIP_SCALE, .out = {scale}, .in = {partials}, .size = count,
                                   .scale = max_norm},
                 err);
}

const struct compute_ops compute_far = {
    .abi = COMPUTE_ABI,
    .name = "far",
    .open = far_open,
    .close = far_close,
    .describe = far_describe,
    .alloc = far_alloc,
    .release = far_release,
    .allocated = far_allocated,
    .map_host = far_map_host,
    .unmap_host = far_unmap_host,
    .upload = far_upload,
    .download = far_download,
    .sync = far_sync,
    .run = far_run,
    .zero = far_zero,
    .copy = far_copy,
    .gather_rows_u8 = far_gather_rows_u8,
    .gather_i32 = far_gather_i32,
    .dense_forward = far_dense_forward,
    .dense_backward = far_dense_backward,
    .softmax_cross_entropy = far_softmax_cross_entropy,
    .sigmoid_cross_entropy = far_sigmoid_cross_entropy,
    .squared_error = far_squared_error,
    .probabilities = far_probabilities,
    .activation_forward = far_activation_forward,
    .activation_backward = far_activation_backward,
    .dropout = far_dropout,
    .gather_rows_f32 = far_gather_rows_f32,
    .gather_rows_i32 = far_gather_rows_i32,
    .embedding_gather = far_embedding_gather,
    .embedding_scatter_add = far_embedding_scatter_add,
    .embedding_product = far_embedding_product,
    .embedding_product_backward = far_embedding_product_backward,
    .rank_first = far_rank_first,
    .copy_rows = far_copy_rows,
    .lstm_forward = far_lstm_forward,
    .lstm_backward = far_lstm_backward,
    .adam = far_adam,
    .sgd = far_sgd,
    .adagrad = far_adagrad,
    .add = far_add,
    .square_sums = far_square_sums,
    .clip_scale = far_clip_scale,
};
