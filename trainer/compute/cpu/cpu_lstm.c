/*
 * cpu_lstm.c - a bidirectional LSTM over packed sequences: OpenBLAS for what can be done for all
 * tokens at once, own kernels (cpu_lstm_kernel.h) for what must go step by step.
 *
 *   forward,  each direction:  gates = x W_ih for all tokens; step by step gates += h W_hh + biases,
 *                              activations, next state; each step notes what backward will need
 *   backward, each direction:  the steps in the opposite order turn gates into their gradients;
 *                              then d_W_ih, d_W_hh and d_x are one product each over all tokens
 *
 * Rows are sorted by length, so those alive at a step are the first ones, and so are those whose
 * state comes from the step before ("carried"): forward all of them, in the reverse direction those
 * that have a later token. The others start from zeros and skip the product.
 *
 * W_hh is packed once a call and then stays in the second-level cache for all steps.
 */
#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/compute/cpu/cpu.h"
#include "trainer/compute/cpu/cpu_lstm.h"

#define GATES 4

/* Where a direction's notes lie in the workspace: (tokens, width) each. */
struct notes {
    float *gates; /* (tokens, 4 hidden) */
    float *h_in, *c_in, *tanh_c;
};

/* One call; what changes from step to step is in struct cpu_lstm_step. */
struct walk {
    const struct cpu_lstm_kernel *kernel;
    const struct compute_lstm_shape *shape;
    int steps;  /* of the longest row */
    int tokens; /* of all rows */
    int *start; /* (steps + 1): the first token of each step */
    float *forward_panels, *backward_panels, *bias;
    float *h, *c; /* (rows, hidden): the running state, or its gradients */
};

static const struct cpu_lstm_kernel *best_kernel(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        return &cpu_lstm_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &cpu_lstm_avx2;
#endif
    return &cpu_lstm_portable;
}

/* ------------------------------------------------------------------ scratch memory */

static size_t round_up(size_t count, size_t unit)
{
    return (count + unit - 1) / unit * unit;
}

/* `count` floats of the scratch memory, or only its size when there is none yet. */
static float *take(char *scratch, size_t *used, size_t count)
{
    char *out = scratch == NULL ? NULL : scratch + *used;
    *used += round_up(count * sizeof(float), CPU_ALIGNMENT);
    return (float *)(void *)out;
}

static size_t lay_out(struct walk *walk, char *scratch)
{
    const size_t lanes = (size_t)walk->kernel->lanes, hidden = (size_t)walk->shape->hidden;
    const size_t rows = (size_t)walk->shape->rows;
    size_t used = 0;
    walk->forward_panels = take(scratch, &used, GATES * hidden * round_up(hidden, lanes));
    walk->backward_panels = take(scratch, &used, GATES * hidden * round_up(hidden, GATES * lanes));
    walk->bias = take(scratch, &used, GATES * round_up(hidden, lanes));
    walk->h = take(scratch, &used, rows * hidden);
    walk->c = take(scratch, &used, rows * hidden);
    walk->start = (int *)(void *)take(scratch, &used, (size_t)walk->shape->steps + 1);
    return used;
}

static enum status reserve(struct compute *compute, size_t bytes, struct error *err)
{
    if (bytes <= compute->scratch_bytes)
        return STATUS_OK;
    free(compute->scratch);
    compute->scratch = aligned_alloc(CPU_ALIGNMENT, bytes);
    compute->scratch_bytes = compute->scratch == NULL ? 0 : bytes;
    return compute->scratch != NULL
               ? STATUS_OK
               : error_set(err, STATUS_NO_MEMORY, "lstm: %zu bytes of scratch memory", bytes);
}

/* ------------------------------------------------------------------ the packed sequences */

/* Says where each step's rows lie. Lengths are data: what does not fit the shape is an error here. */
static enum status find_steps(struct walk *walk, const int32_t *lengths, struct error *err)
{
    const struct compute_lstm_shape *shape = walk->shape;
    for (int r = 0; r < shape->rows; r++) {
        if (lengths[r] < 0 || lengths[r] > (r == 0 ? shape->steps : lengths[r - 1]))
            return error_set(err, STATUS_INTERNAL,
                             "lstm: row %d has length %d; lengths fall from at most %d to 0", r,
                             (int)lengths[r], shape->steps);
    }
    walk->steps = shape->rows == 0 ? 0 : lengths[0];
    int active = shape->rows;
    int64_t total = 0;
    for (int t = 0; t < walk->steps; t++) {
        while (lengths[active - 1] <= t)
            active--;
        walk->start[t] = (int)total;
        total += active;
        if (total > shape->tokens)
            return error_set(err, STATUS_INTERNAL, "lstm: more than %d tokens", shape->tokens);
    }
    walk->start[walk->steps] = (int)total;
    walk->tokens = (int)total;
    return STATUS_OK;
}

static int active_rows(const struct walk *walk, int t)
{
    return t < walk->steps ? walk->start[t + 1] - walk->start[t] : 0;
}

static int carried_rows(const struct walk *walk, int t, bool is_reverse)
{
    if (is_reverse)
        return active_rows(walk, t + 1);
    return t == 0 ? 0 : active_rows(walk, t);
}

static enum status walk_open(struct compute *compute, const struct compute_lstm_shape *shape,
                             const int32_t *lengths, struct walk *out, struct error *err)
{
    *out = (struct walk){.kernel = best_kernel(), .shape = shape};
    TRY(reserve(compute, lay_out(out, NULL), err));
    (void)lay_out(out, compute->scratch);
    return find_steps(out, lengths, err);
}

static struct notes notes_of(const struct walk *walk, float *workspace, int direction)
{
    const size_t width = (size_t)walk->shape->tokens * (size_t)walk->shape->hidden;
    float *base = workspace + (size_t)direction * COMPUTE_LSTM_NOTES * width;
    return (struct notes){.gates = base,
                          .h_in = base + GATES * width,
                          .c_in = base + (GATES + 1) * width,
                          .tanh_c = base + (GATES + 2) * width};
}

/* The step of time t; its rows of the notes. */
static struct cpu_lstm_step step_at(const struct walk *walk, const struct notes *notes, int t,
                                    bool is_reverse)
{
    const size_t hidden = (size_t)walk->shape->hidden, at = (size_t)walk->start[t] * hidden;
    return (struct cpu_lstm_step){.rows = active_rows(walk, t),
                                  .carried = carried_rows(walk, t, is_reverse),
                                  .hidden = walk->shape->hidden,
                                  .gates = notes->gates + GATES * at,
                                  .h_in = notes->h_in + at,
                                  .c_in = notes->c_in + at,
                                  .tanh_c = notes->tanh_c + at};
}

/* ------------------------------------------------------------------ packing */

/* Panel u / lanes: W_hh's columns of the units u .. u + lanes - 1, gate by gate; biases alike. */
static void pack_forward(const struct walk *walk, const struct compute_lstm_weights *weights,
                         int direction)
{
    const size_t hidden = (size_t)walk->shape->hidden, lanes = (size_t)walk->kernel->lanes;
    const float *w = weights->w_hh[direction];
    const float *b_ih = weights->b_ih[direction], *b_hh = weights->b_hh[direction];
    float *to = walk->forward_panels, *bias = walk->bias;
    memset(bias, 0, GATES * round_up(hidden, lanes) * sizeof(float));
    for (size_t unit = 0; unit < hidden; unit += lanes) {
        const size_t count = hidden - unit < lanes ? hidden - unit : lanes;
        for (size_t p = 0; p < hidden; p++) {
            for (size_t q = 0; q < GATES; q++, to += lanes) {
                memset(to, 0, lanes * sizeof(float));
                memcpy(to, w + (p * GATES + q) * hidden + unit, count * sizeof(float));
            }
        }
        for (size_t q = 0; q < GATES; q++, bias += lanes) {
            for (size_t j = 0; j < count; j++)
                bias[j] = b_ih[q * hidden + unit + j] + b_hh[q * hidden + unit + j];
        }
    }
}

/* Panels of W_hh transposed: (4 hidden, hidden). */
static void pack_backward(const struct walk *walk, const float *w)
{
    const size_t hidden = (size_t)walk->shape->hidden, depth = GATES * hidden;
    const size_t width = GATES * (size_t)walk->kernel->lanes;
    for (size_t unit = 0; unit < hidden; unit += width) {
        float *panel = walk->backward_panels + unit * depth;
        for (size_t p = 0; p < depth; p++) {
            for (size_t j = 0; j < width; j++)
                panel[p * width + j] = unit + j < hidden ? w[(unit + j) * depth + p] : 0.0F;
        }
    }
}

/* ------------------------------------------------------------------ forward */

/* `out` has 2 hidden columns; this direction's are the first or the second half. */
static void forward_direction(const struct walk *walk, float *out, const struct notes *notes,
                              const float *input, const struct compute_lstm_weights *weights,
                              int direction)
{
    const size_t hidden = (size_t)walk->shape->hidden, rows = (size_t)walk->shape->rows;
    const int width = GATES * walk->shape->hidden, in = walk->shape->in;
    const bool is_reverse = direction == 1;
    if (walk->tokens > 0)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, walk->tokens, width, in, 1.0F, input,
                    in, weights->w_ih[direction], width, 0.0F, notes->gates, width);
    pack_forward(walk, weights, direction);
    memset(walk->h, 0, rows * hidden * sizeof(float));
    memset(walk->c, 0, rows * hidden * sizeof(float));
    for (int i = 0; i < walk->steps; i++) {
        const int t = is_reverse ? walk->steps - 1 - i : i;
        struct cpu_lstm_step step = step_at(walk, notes, t, is_reverse);
        step.panels = walk->forward_panels;
        step.bias = walk->bias;
        step.h = walk->h;
        step.c = walk->c;
        /* Rows that begin here have zeros in walk->h still. */
        memcpy(notes->h_in + (size_t)walk->start[t] * hidden, walk->h,
               (size_t)step.rows * hidden * sizeof(float));
        walk->kernel->forward(&step);
    }
    for (size_t r = 0; r < rows; r++)
        memcpy(out + (2 * r + (size_t)direction) * hidden, walk->h + r * hidden,
               hidden * sizeof(float));
}

enum status cpu_lstm_forward(struct compute *compute, float *out, float *workspace,
                             const float *input, const int32_t *lengths,
                             const struct compute_lstm_weights *weights,
                             const struct compute_lstm_shape *shape, struct error *err)
{
    struct walk walk;
    TRY(walk_open(compute, shape, lengths, &walk, err));
    for (int direction = 0; direction < COMPUTE_LSTM_DIRECTIONS; direction++) {
        const struct notes notes = notes_of(&walk, workspace, direction);
        forward_direction(&walk, out, &notes, input, weights, direction);
    }
    return STATUS_OK;
}

/* ------------------------------------------------------------------ backward */

/* Turns the direction's gates into their gradients; walk->bias gets their sums over tokens. */
static void backward_steps(const struct walk *walk, const struct notes *notes, const float *d_out,
                           int direction)
{
    const size_t hidden = (size_t)walk->shape->hidden, rows = (size_t)walk->shape->rows;
    const bool is_reverse = direction == 1;
    for (size_t r = 0; r < rows; r++)
        memcpy(walk->h + r * hidden, d_out + (2 * r + (size_t)direction) * hidden,
               hidden * sizeof(float));
    memset(walk->c, 0, rows * hidden * sizeof(float));
    memset(walk->bias, 0, GATES * hidden * sizeof(float));
    for (int i = walk->steps - 1; i >= 0; i--) {
        const int t = is_reverse ? walk->steps - 1 - i : i;
        struct cpu_lstm_step step = step_at(walk, notes, t, is_reverse);
        step.d_h = walk->h;
        step.d_c = walk->c;
        step.d_bias = walk->bias;
        walk->kernel->backward(&step);
        walk->kernel->multiply(walk->h, step.gates, walk->backward_panels, step.carried,
                               walk->shape->hidden, GATES * walk->shape->hidden);
    }
}

static void add_weight_gradients(const struct walk *walk, const struct notes *notes,
                                 const struct compute_lstm_gradients *gradients, const float *input,
                                 int direction)
{
    const int hidden = walk->shape->hidden, width = GATES * hidden, in = walk->shape->in;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, in, width, walk->tokens, 1.0F, input, in,
                notes->gates, width, 1.0F, gradients->w_ih[direction], width);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, hidden, width, walk->tokens, 1.0F,
                notes->h_in, hidden, notes->gates, width, 1.0F, gradients->w_hh[direction], width);
    for (int j = 0; j < width; j++) {
        gradients->b_ih[direction][j] += walk->bias[j];
        gradients->b_hh[direction][j] += walk->bias[j];
    }
}

enum status cpu_lstm_backward(struct compute *compute, float *d_input,
                              const struct compute_lstm_gradients *gradients, const float *d_out,
                              float *workspace, const float *input, const int32_t *lengths,
                              const struct compute_lstm_weights *weights,
                              const struct compute_lstm_shape *shape, struct error *err)
{
    struct walk walk;
    TRY(walk_open(compute, shape, lengths, &walk, err));
    const int in = shape->in, width = GATES * shape->hidden;
    memset(d_input + (size_t)walk.tokens * (size_t)in, 0,
           (size_t)(shape->tokens - walk.tokens) * (size_t)in * sizeof(float));
    if (walk.tokens == 0)
        return STATUS_OK;
    for (int direction = 0; direction < COMPUTE_LSTM_DIRECTIONS; direction++) {
        const struct notes notes = notes_of(&walk, workspace, direction);
        pack_backward(&walk, weights->w_hh[direction]);
        backward_steps(&walk, &notes, d_out, direction);
        add_weight_gradients(&walk, &notes, gradients, input, direction);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, walk.tokens, in, width, 1.0F,
                    notes.gates, width, weights->w_ih[direction], width,
                    direction == 0 ? 0.0F : 1.0F, d_input, in);
    }
    return STATUS_OK;
}
