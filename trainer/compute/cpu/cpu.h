#ifndef TRAINER_COMPUTE_CPU_CPU_H
#define TRAINER_COMPUTE_CPU_CPU_H

/*
 * cpu.h - private to compute/cpu: the operations that cpu.c puts into its table.
 *
 * One thread of ours does everything; OpenBLAS may use `threads` inside a matrix product. Loops are
 * compiled for several instruction sets and the best is taken at load. None of them reassociates
 * or contracts floating point, so all clones of a loop give the same bits; what differs between
 * machines is OpenBLAS's kernel alone.
 */

#include "base/compiler.h"
#include "trainer/compute/compute.h"

#define CPU_CLONES VECTOR_CLONES

#define CPU_ALIGNMENT  64
#define CPU_TEXT_BYTES 256

struct compute {
    int threads;
    void *scratch; /* of one operation at a time */
    size_t scratch_bytes;
    size_t allocated; /* bytes, as the allocator rounds them */
    char text[CPU_TEXT_BYTES];
};

/* cpu_dense.c */
void cpu_dense_setup(int threads);
void cpu_dense_describe(char *out, size_t size);
enum status cpu_dense_forward(struct compute *compute, float *out, const float *a, const float *w,
                              const float *bias, int m, int n, int k, enum compute_activation act,
                              struct error *err);
enum status cpu_dense_backward(struct compute *compute, float *d_a, float *d_w, float *d_bias,
                               float *d_out, const float *out, const float *a, const float *w,
                               int m, int n, int k, enum compute_activation act, struct error *err);

/* cpu_sparse.c */
bool cpu_sparse_is_worth(const float *a, int m, int n, int k);
/* out = a w + bias, without activation. */
enum status cpu_sparse_forward(struct compute *compute, float *out, const float *a, const float *w,
                               const float *bias, int m, int n, int k, struct error *err);
/* d_w += a^T d_out */
void cpu_sparse_backward(float *d_w, const float *d_out, const float *a, int m, int n, int k);

/* cpu_small.c */
bool cpu_small_is_worth(int n, int k);
/* out = act(a w + bias) */
void cpu_small_forward(float *out, const float *a, const float *w, const float *bias, int m, int n,
                       int k, bool relu);
/* d_w += a^T d_out, d_a = d_out w^T (NULL: skip) */
void cpu_small_backward(float *d_a, float *d_w, const float *d_out, const float *a, const float *w,
                        int m, int n, int k);

/* cpu_gather.c */
enum status cpu_gather_rows_u8(struct compute *compute, float *out, const uint8_t *table,
                               const int32_t *rows, int n, int width, float scale,
                               struct error *err);
enum status cpu_gather_i32(struct compute *compute, int32_t *out, const int32_t *table,
                           const int32_t *rows, int n, struct error *err);

enum status cpu_gather_rows_f32(struct compute *compute, float *out, int out_stride,
                                const float *table, const int32_t *rows, int n, int width,
                                struct error *err);
enum status cpu_gather_rows_i32(struct compute *compute, int32_t *out, const int32_t *table,
                                const int32_t *rows, int n, int width, struct error *err);
enum status cpu_embedding_gather(struct compute *compute, float *out, int out_stride,
                                 const float *table, const int32_t *ids, int id_stride, int n,
                                 int width, struct error *err);
enum status cpu_embedding_scatter_add(struct compute *compute, float *d_table, float *flags,
                                      const float *d_out, int out_stride, const int32_t *ids,
                                      int id_stride, int n, int width, struct error *err);
enum status cpu_copy_rows(struct compute *compute, float *out, int out_stride, const float *in,
                          int in_stride, int n, int width, struct error *err);

/* cpu_pairs.c */
enum status cpu_embedding_product(struct compute *compute, float *out, int out_stride,
                                  const float *a, const int32_t *a_ids, const float *b,
                                  const int32_t *b_ids, int n, int width, struct error *err);
enum status cpu_embedding_product_backward(struct compute *compute, float *d_a, float *a_flags,
                                           float *d_b, float *b_flags, const float *d_out,
                                           int out_stride, const float *a, const int32_t *a_ids,
                                           const float *b, const int32_t *b_ids, int n, int width,
                                           struct error *err);
enum status cpu_rank_first(struct compute *compute, float *sums, const float *scores,
                           const int32_t *ids, int rows, int width, int top_k, struct error *err);

/* cpu_activation.c */
enum status cpu_activation_forward(struct compute *compute, float *out, const float *in,
                                   size_t count, enum compute_activation act, struct error *err);
enum status cpu_activation_backward(struct compute *compute, float *d, const float *in,
                                    const float *out, size_t count, enum compute_activation act,
                                    struct error *err);

/* cpu_dropout.c */
enum status cpu_dropout(struct compute *compute, float *values, const uint32_t *counter,
                        uint64_t key, float rate, int n, int width, struct error *err);

/* cpu_loss.c */
enum status cpu_softmax_cross_entropy(struct compute *compute, float *loss_sum, float *correct,
                                      float *d_logits, const float *logits, const int32_t *labels,
                                      const float *class_weights, const float *scale, int m, int n,
                                      struct error *err);
enum status cpu_sigmoid_cross_entropy(struct compute *compute, float *loss_sum, float *correct,
                                      float *d_logits, const float *logits, const int32_t *labels,
                                      const float *class_weights, const float *scale, int m,
                                      struct error *err);
enum status cpu_squared_error(struct compute *compute, float *loss_sum, float *d_out,
                              const float *out, const float *targets, const float *scale, int m,
                              struct error *err);
enum status cpu_probabilities(struct compute *compute, float *out, const float *logits, int m,
                              int n, struct error *err);

/* cpu_lstm.c */
enum status cpu_lstm_forward(struct compute *compute, float *out, float *workspace,
                             const float *input, const int32_t *lengths,
                             const struct compute_lstm_weights *weights,
                             const struct compute_lstm_shape *shape, struct error *err);
enum status cpu_lstm_backward(struct compute *compute, float *d_input,
                              const struct compute_lstm_gradients *gradients, const float *d_out,
                              float *workspace, const float *input, const int32_t *lengths,
                              const struct compute_lstm_weights *weights,
                              const struct compute_lstm_shape *shape, struct error *err);

/* cpu_optim.c */
enum status cpu_adam(struct compute *compute, const struct compute_update *update, float *m,
                     float *v, const struct compute_adam_scalars *scalars, struct error *err);
enum status cpu_sgd(struct compute *compute, const struct compute_update *update, float *velocity,
                    const struct compute_sgd_scalars *scalars, struct error *err);
enum status cpu_adagrad(struct compute *compute, const struct compute_update *update, float *sums,
                        const struct compute_adagrad_scalars *scalars, struct error *err);

/* cpu_vector.c */
enum status cpu_add(struct compute *compute, float *out, const float *in, size_t count,
                    struct error *err);
enum status cpu_square_sums(struct compute *compute, double *out, const float *in, size_t count,
                            struct error *err);
enum status cpu_clip_scale(struct compute *compute, float *scale, const double *partials,
                           size_t count, float max_norm, struct error *err);

#endif
