/* compute_far_operations.c - each operation is written down as a call, and carried out from what was written. */
#include "tests/unit/compute_far_private.h"

static enum status play_zero(struct compute *near, const struct far_call *c, struct error *err)
{
    return compute_cpu.zero(near, c->out[0], c->size, err);
}

enum status far_zero(struct compute *far, void *memory, size_t bytes, struct error *err)
{
    return far_issue(far, (struct far_call){play_zero, .out = {memory}, .size = bytes}, err);
}

static enum status play_copy(struct compute *near, const struct far_call *c, struct error *err)
{
    return compute_cpu.copy(near, c->out[0], c->in[0], c->size, err);
}

enum status far_copy(struct compute *far, void *target, const void *source, size_t bytes,
                     struct error *err)
{
    return far_issue(
        far, (struct far_call){play_copy, .out = {target}, .in = {source}, .size = bytes}, err);
}

static enum status play_gather_rows_u8(struct compute *near, const struct far_call *c,
                                       struct error *err)
{
    return compute_cpu.gather_rows_u8(near, c->out[0], c->in[0], c->in[1], c->number[0],
                                      c->number[1], c->scale, err);
}

enum status far_gather_rows_u8(struct compute *far, float *out, const uint8_t *table,
                               const int32_t *rows, int n, int width, float scale,
                               struct error *err)
{
    return far_issue(far,
                     (struct far_call){play_gather_rows_u8, .out = {out}, .in = {table, rows},
                                       .number = {n, width}, .scale = scale},
                     err);
}

static enum status play_gather_i32(struct compute *near, const struct far_call *c,
                                   struct error *err)
{
    return compute_cpu.gather_i32(near, c->out[0], c->in[0], c->in[1], c->number[0], err);
}

enum status far_gather_i32(struct compute *far, int32_t *out, const int32_t *table,
                           const int32_t *rows, int n, struct error *err)
{
    return far_issue(
        far, (struct far_call){play_gather_i32, .out = {out}, .in = {table, rows}, .number = {n}},
        err);
}

static enum status play_dense_forward(struct compute *near, const struct far_call *c,
                                      struct error *err)
{
    return compute_cpu.dense_forward(near, c->out[0], c->in[0], c->in[1], c->in[2], c->number[0],
                                     c->number[1], c->number[2],
                                     (enum compute_activation)c->number[3], err);
}

enum status far_dense_forward(struct compute *far, float *out, const float *a, const float *w,
                              const float *bias, int m, int n, int k, enum compute_activation act,
                              struct error *err)
{
    return far_issue(far,
                     (struct far_call){play_dense_forward, .out = {out}, .in = {a, w, bias},
                                       .number = {m, n, k, (int)act}},
                     err);
}

static enum status play_dense_backward(struct compute *near, const struct far_call *c,
                                       struct error *err)
{
    return compute_cpu.dense_backward(near, c->out[0], c->out[1], c->out[2], c->out[3], c->in[0],
                                      c->in[1], c->in[2], c->number[0], c->number[1], c->number[2],
                                      (enum compute_activation)c->number[3], err);
}

enum status far_dense_backward(struct compute *far, float *d_a, float *d_w, float *d_bias,
                               float *d_out, const float *out, const float *a, const float *w,
                               int m, int n, int k, enum compute_activation act, struct error *err)
{
    return far_issue(far,
                     (struct far_call){play_dense_backward, .out = {d_a, d_w, d_bias, d_out},
                                       .in = {out, a, w}, .number = {m, n, k, (int)act}},
                     err);
}

static enum status play_softmax_cross_entropy(struct compute *near, const struct far_call *c,
                                              struct error *err)
{
    return compute_cpu.softmax_cross_entropy(near, c->out[0], c->out[1], c->out[2], c->in[0],
                                             c->in[1], c->in[2], c->in[3], c->number[0],
                                             c->number[1], err);
}

enum status far_softmax_cross_entropy(struct compute *far, float *loss_sum, float *correct,
                                      float *d_logits, const float *logits, const int32_t *labels,
                                      const float *class_weights, const float *scale, int m, int n,
                                      struct error *err)
{
    return far_issue(
        far,
        (struct far_call){play_softmax_cross_entropy, .out = {loss_sum, correct, d_logits},
                          .in = {logits, labels, class_weights, scale}, .number = {m, n}},
        err);
}

static enum status play_sigmoid_cross_entropy(struct compute *near, const struct far_call *c,
                                              struct error *err)
{
    return compute_cpu.sigmoid_cross_entropy(near, c->out[0], c->out[1], c->out[2], c->in[0],
                                             c->in[1], c->in[2], c->in[3], c->number[0], err);
}

enum status far_sigmoid_cross_entropy(struct compute *far, float *loss_sum, float *correct,
                                      float *d_logits, const float *logits, const int32_t *labels,
                                      const float *class_weights, const float *scale, int m,
                                      struct error *err)
{
    return far_issue(far,
                     (struct far_call){play_sigmoid_cross_entropy,
                                       .out = {loss_sum, correct, d_logits},
                                       .in = {logits, labels, class_weights, scale}, .number = {m}},
                     err);
}

static enum status play_squared_error(struct compute *near, const struct far_call *c,
                                      struct error *err)
{
    return compute_cpu.squared_error(near, c->out[0], c->out[1], c->in[0], c->in[1], c->in[2],
                                     c->number[0], err);
}

enum status far_squared_error(struct compute *far, float *loss_sum, float *d_out, const float *out,
                              const float *targets, const float *scale, int m, struct error *err)
{
    return far_issue(far,
                     (struct far_call){play_squared_error, .out = {loss_sum, d_out},
                                       .in = {out, targets, scale}, .number = {m}},
                     err);
}

static enum status play_probabilities(struct compute *near, const struct far_call *c,
                                      struct error *err)
{
    return compute_cpu.probabilities(near, c->out[0], c->in[0], c->number[0], c->number[1], err);
}

enum status far_probabilities(struct compute *far, float *out, const float *logits, int m, int n,
                              struct error *err)
{
    return far_issue(
        far, (struct far_call){play_probabilities, .out = {out}, .in = {logits}, .number = {m, n}},
        err);
}

static enum status play_activation_forward(struct compute *near, const struct far_call *c,
                                           struct error *err)
{
    return compute_cpu.activation_forward(near, c->out[0], c->in[0], c->size,
                                          (enum compute_activation)c->number[0], err);
}

enum status far_activation_forward(struct compute *far, float *out, const float *in, size_t count,
                                   enum compute_activation act, struct error *err)
{
    return far_issue(far,
                     (struct far_call){play_activation_forward, .out = {out}, .in = {in},
                                       .number = {(int)act}, .size = count},
                     err);
}

static enum status play_activation_backward(struct compute *near, const struct far_call *c,
                                            struct error *err)
{
    return compute_cpu.activation_backward(near, c->out[0], c->in[0], c->in[1], c->size,
                                           (enum compute_activation)c->number[0], err);
}

enum status far_activation_backward(struct compute *far, float *d, const float *in,
                                    const float *out, size_t count, enum compute_activation act,
                                    struct error *err)
{
    return far_issue(far,
                     (struct far_call){play_activation_backward, .out = {d}, .in = {in, out},
                                       .number = {(int)act}, .size = count},
                     err);
}

static enum status play_dropout(struct compute *near, const struct far_call *c, struct error *err)
{
    return compute_cpu.dropout(near, c->out[0], c->in[0], c->size, c->scale, c->number[0],
                               c->number[1], err);
}

enum status far_dropout(struct compute *far, float *values, const uint32_t *counter, uint64_t key,
                        float rate, int n, int width, struct error *err)
{
    return far_issue(far,
                     (struct far_call){play_dropout, .out = {values}, .in = {counter},
                                       .number = {n, width}, .size = key, .scale = rate},
                     err);
}

static enum status play_gather_rows_f32(struct compute *near, const struct far_call *c,
                                        struct error *err)
{
    return compute_cpu.gather_rows_f32(near, c->out[0], c->number[0], c->in[0], c->in[1],
                                       c->number[1], c->number[2], err);
}

enum status far_gather_rows_f32(struct compute *far, float *out, int out_stride, const float *table,
                                const int32_t *rows, int n, int width, struct error *err)
{
    return far_issue(far,
                     (struct far_call){play_gather_rows_f32, .out = {out}, .in = {table, rows},
                                       .number = {out_stride, n, width}},
                     err);
}

static enum status play_gather_rows_i32(struct compute *near, const struct far_call *c,
                                        struct error *err)
{
    return compute_cpu.gather_rows_i32(near, c->out[0], c->in[0], c->in[1], c->number[0],
                                       c->number[1], err);
}

enum status far_gather_rows_i32(struct compute *far, int32_t *out, const int32_t *table,
                                const int32_t *rows, int n, int width, struct error *err)
{
    return far_issue(far,
                     (struct far_call){play_gather_rows_i32, .out = {out}, .in = {table, rows},
                                       .number = {n, width}},
                     err);
}

static enum status play_embedding_gather(struct compute *near, const struct far_call *c,
                                         struct error *err)
{
    return compute_cpu.embedding_gather(near, c->out[0], c->number[0], c->in[0], c->in[1],
                                        c->number[1], c->number[2], c->number[3], err);
}

enum status far_embedding_gather(struct compute *far, float *out, int out_stride,
                                 const float *table, const int32_t *ids, int id_stride, int n,
                                 int width, struct error *err)
{
    return far_issue(far,
                     (struct far_call){play_embedding_gather, .out = {out}, .in = {table, ids},
                                       .number = {out_stride, id_stride, n, width}},
                     err);
}

static enum status play_embedding_scatter_add(struct compute *near, const struct far_call *c,
                                              struct error *err)
{
    return compute_cpu.embedding_scatter_add(near, c->out[0], c->out[1], c->in[0], c->number[0],
                                             c->in[1], c->number[1], c->number[2], c->number[3],
                                             err);
}

enum status far_embedding_scatter_add(struct compute *far, float *d_table, float *flags,
                                      const float *d_out, int out_stride, const int32_t *ids,
                                      int id_stride, int n, int width, struct error *err)
{
    return far_issue(far,
                     (struct far_call){play_embedding_scatter_add, .out = {d_table, flags},
                                       .in = {d_out, ids},
                                       .number = {out_stride, id_stride, n, width}},
                     err);
}

static enum status play_embedding_product(struct compute *near, const struct far_call *c,
                                          struct error *err)
{
    return compute_cpu.embedding_product(near, c->out[0], c->number[0], c->in[0], c->in[1],
                                         c->in[2], c->in[3], c->number[1], c->number[2], err);
}

enum status far_embedding_product(struct compute *far, float *out, int out_stride, const float *a,
                                  const int32_t *a_ids, const float *b, const int32_t *b_ids, int n,
                                  int width, struct error *err)
{
    return far_issue(far,
                     (struct far_call){play_embedding_product, .out = {out},
                                       .in = {a, a_ids, b, b_ids},
                                       .number = {out_stride, n, width}},
                     err);
}

static enum status play_embedding_product_backward(struct compute *near, const struct far_call *c,
                                                   struct error *err)
{
    return compute_cpu.embedding_product_backward(
        near, c->out[0], c->out[1], c->out[2], c->out[3], c->in[4], c->number[0], c->in[0],
        c->in[1], c->in[2], c->in[3], c->number[1], c->number[2], err);
}

enum status far_embedding_product_backward(struct compute *far, float *d_a, float *a_flags,
                                           float *d_b, float *b_flags, const float *d_out,
                                           int out_stride, const float *a, const int32_t *a_ids,
                                           const float *b, const int32_t *b_ids, int n, int width,
                                           struct error *err)
{
    return far_issue(
        far,
        (struct far_call){play_embedding_product_backward, .out = {d_a, a_flags, d_b, b_flags},
                          .in = {a, a_ids, b, b_ids, d_out}, .number = {out_stride, n, width}},
        err);
}

static enum status play_rank_first(struct compute *near, const struct far_call *c,
                                   struct error *err)
{
    return compute_cpu.rank_first(near, c->out[0], c->in[0], c->in[1], c->number[0], c->number[1],
                                  c->number[2], err);
}

enum status far_rank_first(struct compute *far, float *sums, const float *scores,
                           const int32_t *ids, int rows, int width, int top_k, struct error *err)
{
    return far_issue(far,
                     (struct far_call){play_rank_first, .out = {sums}, .in = {scores, ids},
                                       .number = {rows, width, top_k}},
                     err);
}

static enum status play_copy_rows(struct compute *near, const struct far_call *c, struct error *err)
{
    return compute_cpu.copy_rows(near, c->out[0], c->number[0], c->in[0], c->number[1],
                                 c->number[2], c->number[3], err);
}

enum status far_copy_rows(struct compute *far, float *out, int out_stride, const float *in,
                          int in_stride, int n, int width, struct error *err)
{
    return far_issue(far,
                     (struct far_call){play_copy_rows, .out = {out}, .in = {in},
                                       .number = {out_stride, in_stride, n, width}},
                     err);
}

static enum status play_lstm_forward(struct compute *near, const struct far_call *c,
                                     struct error *err)
{
    return compute_cpu.lstm_forward(near, c->out[0], c->out[1], c->in[0], c->in[1],
                                    &c->lstm_weights, &c->lstm_shape, err);
}

enum status far_lstm_forward(struct compute *far, float *out, float *workspace, const float *input,
                             const int32_t *lengths, const struct compute_lstm_weights *weights,
                             const struct compute_lstm_shape *shape, struct error *err)
{
    return far_issue(far,
                     (struct far_call){play_lstm_forward, .out = {out, workspace},
                                       .in = {input, lengths}, .lstm_weights = *weights,
                                       .lstm_shape = *shape},
                     err);
}

static enum status play_lstm_backward(struct compute *near, const struct far_call *c,
                                      struct error *err)
{
    return compute_cpu.lstm_backward(near, c->out[0], &c->lstm_gradients, c->in[0], c->out[1],
                                     c->in[1], c->in[2], &c->lstm_weights, &c->lstm_shape, err);
}

enum status far_lstm_backward(struct compute *far, float *d_input,
                              const struct compute_lstm_gradients *gradients, const float *d_out,
                              float *workspace, const float *input, const int32_t *lengths,
                              const struct compute_lstm_weights *weights,
                              const struct compute_lstm_shape *shape, struct error *err)
{
    return far_issue(far,
                     (struct far_call){play_lstm_backward, .out = {d_input, workspace},
                                       .in = {d_out, input, lengths}, .lstm_weights = *weights,
                                       .lstm_gradients = *gradients, .lstm_shape = *shape},
                     err);
}

static enum status play_adam(struct compute *near, const struct far_call *c, struct error *err)
{
    return compute_cpu.adam(near, &c->update, c->out[0], c->out[1], c->in[0], err);
}

enum status far_adam(struct compute *far, const struct compute_update *update, float *m, float *v,
                     const struct compute_adam_scalars *scalars, struct error *err)
{
    return far_issue(
        far, (struct far_call){play_adam, .out = {m, v}, .in = {scalars}, .update = *update}, err);
}

static enum status play_sgd(struct compute *near, const struct far_call *c, struct error *err)
{
    return compute_cpu.sgd(near, &c->update, c->out[0], c->in[0], err);
}

enum status far_sgd(struct compute *far, const struct compute_update *update, float *velocity,
                    const struct compute_sgd_scalars *scalars, struct error *err)
{
    return far_issue(
        far, (struct far_call){play_sgd, .out = {velocity}, .in = {scalars}, .update = *update},
        err);
}

static enum status play_adagrad(struct compute *near, const struct far_call *c, struct error *err)
{
    return compute_cpu.adagrad(near, &c->update, c->out[0], c->in[0], err);
}

enum status far_adagrad(struct compute *far, const struct compute_update *update, float *sums,
                        const struct compute_adagrad_scalars *scalars, struct error *err)
{
    return far_issue(
        far, (struct far_call){play_adagrad, .out = {sums}, .in = {scalars}, .update = *update},
        err);
}

static enum status play_add(struct compute *near, const struct far_call *c, struct error *err)
{
    return compute_cpu.add(near, c->out[0], c->in[0], c->size, err);
}

enum status far_add(struct compute *far, float *out, const float *in, size_t count,
                    struct error *err)
{
    return far_issue(far, (struct far_call){play_add, .out = {out}, .in = {in}, .size = count},
                     err);
}

static enum status play_square_sums(struct compute *near, const struct far_call *c,
                                    struct error *err)
{
    return compute_cpu.square_sums(near, c->out[0], c->in[0], c->size, err);
}

enum status far_square_sums(struct compute *far, double *out, const float *in, size_t count,
                            struct error *err)
{
    return far_issue(
        far, (struct far_call){play_square_sums, .out = {out}, .in = {in}, .size = count}, err);
}

static enum status play_clip_scale(struct compute *near, const struct far_call *c,
                                   struct error *err)
{
    return compute_cpu.clip_scale(near, c->out[0], c->in[0], c->size, c->scale, err);
}

enum status far_clip_scale(struct compute *far, float *scale, const double *partials, size_t count,
                           float max_norm, struct error *err)
{
    return far_issue(far,
                     (struct far_call){play_clip_scale, .out = {scale}, .in = {partials},
                                       .size = count, .scale = max_norm},
                     err);
}
