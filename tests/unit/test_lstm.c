/*
 * test_lstm.c - the fused LSTM on every backend against a plain float64 form of it, which is itself
 * held against finite differences.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/compute_far.h"
#include "trainer/compute/cpu/cpu_lstm.h"
#include "trainer/data/philox.h"

#define TOLERANCE   1e-5
#define ROWS_MAX    70
#define TENSORS     8 /* w_ih, w_hh, b_ih, b_hh of each direction */
#define GATES       4
#define PADDING_NAN 3 /* tokens past the end in the input, all NaN: they must not be read */

#define OK(call) assert_int_equal((call), STATUS_OK)

struct lstm_case {
    int in, hidden, rows;
    int32_t lengths[ROWS_MAX]; /* falling */
};

static const struct lstm_case cases[] = {
    {1, 1, 1, {1}},
    {3, 2, 1, {4}},
    {5, 8, 3, {4, 2, 1}},
    {2, 5, 4, {3, 3, 3, 3}},
    {4, 7, 6, {5, 5, 2, 1, 0, 0}},
    {6, 33, 9, {9, 8, 7, 6, 5, 4, 3, 2, 1}},
    {16, 64, 13, {6, 6, 6, 6, 6, 2, 2, 2, 2, 2, 2, 2, 1}},
    {128, 128, 7, {12, 11, 11, 3, 3, 1, 0}},
    {10, 40, 2, {0, 0}},
};

/* One layer and batch in float64, or its gradients. */
struct reference {
    double *tensor[TENSORS]; /* of direction d: 4 d + {w_ih, w_hh, b_ih, b_hh} */
    double *input, *out;
};

enum { W_IH, W_HH, B_IH, B_HH };

static size_t tensor_count(const struct lstm_case *c, int tensor)
{
    const size_t width = GATES * (size_t)c->hidden;
    switch (tensor % GATES) {
    case W_IH:
        return width * (size_t)c->in;
    case W_HH:
        return width * (size_t)c->hidden;
    default:
        return width;
    }
}

static int token_count(const struct lstm_case *c)
{
    int total = 0;
    for (int r = 0; r < c->rows; r++)
        total += c->lengths[r];
    return total;
}

/* Where token t of row r lies in the packed order. */
static size_t position(const struct lstm_case *c, int r, int t)
{
    size_t at = 0;
    for (int i = 0; i < c->rows; i++) {
        at += (size_t)(c->lengths[i] < t ? c->lengths[i] : t); /* all steps before t */
        at += i < r && c->lengths[i] > t;
    }
    return at;
}

static struct reference reference_new(const struct lstm_case *c)
{
    struct reference out = {0};
    for (int i = 0; i < TENSORS; i++)
        out.tensor[i] = calloc(tensor_count(c, i), sizeof(double));
    out.input = calloc((size_t)(token_count(c) * c->in) + 1, sizeof(double));
    out.out = calloc((size_t)(2 * c->rows * c->hidden), sizeof(double));
    return out;
}

static void reference_free(struct reference *reference)
{
    for (int i = 0; i < TENSORS; i++)
        free(reference->tensor[i]);
    free(reference->input);
    free(reference->out);
}

/* ------------------------------------------------------------------ the float64 form */

/* All steps of one row in one direction: [step * hidden + unit]. */
struct row_states {
    double *gate[GATES], *c, *h;
};

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static size_t step_position(const struct lstm_case *c, int r, int d, int s)
{
    return position(c, r, d == 0 ? s : c->lengths[r] - 1 - s);
}

static void row_forward(const struct lstm_case *c, const struct reference *v, int r, int d,
                        struct row_states *states)
{
    const int hidden = c->hidden, width = GATES * hidden;
    double *const *w = v->tensor + (ptrdiff_t)GATES * d;
    for (int s = 0; s < c->lengths[r]; s++) {
        const double *x = v->input + step_position(c, r, d, s) * (size_t)c->in;
        for (int j = 0; j < width; j++) {
            double sum = w[B_IH][j] + w[B_HH][j];
            for (int p = 0; p < c->in; p++)
                sum += x[p] * w[W_IH][p * width + j];
            for (int p = 0; p < hidden && s > 0; p++)
                sum += states->h[(s - 1) * hidden + p] * w[W_HH][p * width + j];
            states->gate[j / hidden][s * hidden + j % hidden] =
                j / hidden == 2 ? tanh(sum) : sigmoid(sum);
        }
        for (int u = s * hidden; u < (s + 1) * hidden; u++) {
            const double before = s > 0 ? states->c[u - hidden] : 0.0;
            states->c[u] = states->gate[1][u] * before + states->gate[0][u] * states->gate[2][u];
            states->h[u] = states->gate[3][u] * tanh(states->c[u]);
        }
    }
}

/* d[g] of each unit: gradients of the gates before activation; d_h in, d_c in place. */
static void step_backward(const struct row_states *states, int hidden, int s, const double *d_h,
                          double *d_c, double *d_gates)
{
    for (int j = 0; j < hidden; j++) {
        const int u = s * hidden + j;
        const double i = states->gate[0][u], f = states->gate[1][u];
        const double g = states->gate[2][u], o = states->gate[3][u], t = tanh(states->c[u]);
        d_c[j] += d_h[j] * o * (1.0 - t * t);
        d_gates[j] = d_c[j] * g * i * (1.0 - i);
        d_gates[hidden + j] = d_c[j] * (s > 0 ? states->c[u - hidden] : 0.0) * f * (1.0 - f);
        d_gates[2 * hidden + j] = d_c[j] * i * (1.0 - g * g);
        d_gates[3 * hidden + j] = d_h[j] * t * o * (1.0 - o);
        d_c[j] *= f;
    }
}

static void row_backward(const struct lstm_case *c, const struct reference *v, struct reference *g,
                         int r, int d, const struct row_states *states)
{
    const int hidden = c->hidden, width = GATES * hidden;
    double *const *w = v->tensor + (ptrdiff_t)GATES * d, **dw = g->tensor + (ptrdiff_t)GATES * d;
    double *d_h = calloc((size_t)hidden, 8), *d_c = calloc((size_t)hidden, 8);
    double *d_gates = calloc((size_t)width, 8);
    memcpy(d_h, g->out + (ptrdiff_t)(2 * r + d) * hidden, (size_t)hidden * 8);
    for (int s = c->lengths[r] - 1; s >= 0; s--) {
        const size_t at = step_position(c, r, d, s) * (size_t)c->in;
        step_backward(states, hidden, s, d_h, d_c, d_gates);
        memset(d_h, 0, (size_t)hidden * 8);
        for (int j = 0; j < width; j++) {
            dw[B_IH][j] += d_gates[j];
            dw[B_HH][j] += d_gates[j];
            for (int p = 0; p < c->in; p++) {
                dw[W_IH][p * width + j] += v->input[at + (size_t)p] * d_gates[j];
                g->input[at + (size_t)p] += w[W_IH][p * width + j] * d_gates[j];
            }
            for (int p = 0; p < hidden && s > 0; p++) {
                dw[W_HH][p * width + j] += states->h[(s - 1) * hidden + p] * d_gates[j];
                d_h[p] += w[W_HH][p * width + j] * d_gates[j];
            }
        }
    }
    free(d_h);
    free(d_c);
    free(d_gates);
}

/* Fills v->out; with `g`, whose `out` is given, adds to its other members. */
static void reference_run(const struct lstm_case *c, struct reference *v, struct reference *g)
{
    for (int r = 0; r < c->rows; r++) {
        for (int d = 0; d < 2; d++) {
            const size_t count = (size_t)c->lengths[r] * (size_t)c->hidden;
            double *memory = calloc(6 * count + 1, sizeof(double));
            struct row_states states = {
                .gate = {memory, memory + count, memory + 2 * count, memory + 3 * count},
                .c = memory + 4 * count,
                .h = memory + 5 * count};
            row_forward(c, v, r, d, &states);
            double *out = v->out + (ptrdiff_t)(2 * r + d) * c->hidden;
            memset(out, 0, (size_t)c->hidden * sizeof(double));
            if (count > 0)
                memcpy(out, states.h + count - c->hidden, (size_t)c->hidden * sizeof(double));
            if (g != NULL)
                row_backward(c, v, g, r, d, &states);
            free(memory);
        }
    }
}

/* ------------------------------------------------------------------ numbers */

static uint64_t draws;

static void draw(float *out, size_t count, float scale)
{
    const struct philox_key key = philox_key_of(1, PHILOX_INIT);
    for (size_t i = 0; i < count; i++) {
        uint32_t word[4];
        philox_4x32(key, 0, draws++, word);
        out[i] = scale * (2.0F * philox_unit(word[0]) - 1.0F);
    }
}

static void widen(double *out, const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (double)values[i];
}

/* The same numbers in float32 and float64. */
static float *draw_both(double *wide, size_t count, float scale)
{
    float *out = malloc((count + 1) * sizeof(float));
    assert_non_null(out);
    draw(out, count, scale);
    widen(wide, out, count);
    return out;
}

static double loss_of(const struct lstm_case *c, struct reference *v, const double *d_out)
{
    reference_run(c, v, NULL);
    double sum = 0.0;
    for (int i = 0; i < 2 * c->rows * c->hidden; i++)
        sum += v->out[i] * d_out[i];
    return sum;
}

static void assert_difference_quotients(const struct lstm_case *c, struct reference *v,
                                        const struct reference *g, double *values,
                                        const double *gradients, size_t count)
{
    const double h = 1e-5;
    for (size_t i = 0; i < count; i += count / 20 + 1) {
        const double kept = values[i];
        values[i] = kept + h;
        const double above = loss_of(c, v, g->out);
        values[i] = kept - h;
        const double quotient = (above - loss_of(c, v, g->out)) / (2.0 * h);
        values[i] = kept;
        if (fabs(quotient - gradients[i]) > 1e-8 * (1.0 + fabs(quotient)))
            fail_msg("element %zu of %zu: %.12g, by differences %.12g", i, count, gradients[i],
                     quotient);
    }
}

static void the_float64_gradients_are_the_finite_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < 6; i++) {
        const struct lstm_case *c = &cases[i];
        struct reference v = reference_new(c), g = reference_new(c);
        for (int t = 0; t < TENSORS; t++)
            free(draw_both(v.tensor[t], tensor_count(c, t), 0.5F));
        const size_t inputs = (size_t)(token_count(c) * c->in);
        free(draw_both(v.input, inputs, 1.0F));
        free(draw_both(g.out, (size_t)(2 * c->rows * c->hidden), 1.0F));
        reference_run(c, &v, &g);
        for (int t = 0; t < TENSORS; t++)
            assert_difference_quotients(c, &v, &g, v.tensor[t], g.tensor[t], tensor_count(c, t));
        assert_difference_quotients(c, &v, &g, v.input, g.input, inputs);
        reference_free(&v);
        reference_free(&g);
    }
}

/* ------------------------------------------------------------------ the operation */

#define MEMORY_MAX 64

struct rig {
    const struct compute_ops *ops;
    struct compute *compute;
    struct error err;
    void *memory[MEMORY_MAX];
    size_t memory_count;
    float *tensor[TENSORS], *gradient[TENSORS];
    float *input, *out, *d_out, *d_input, *workspace;
    int32_t *lengths;
    struct compute_lstm_shape shape;
};

static void *to_device(struct rig *rig, const void *host, size_t bytes)
{
    assert_true(rig->memory_count < MEMORY_MAX);
    void *memory = NULL;
    OK(rig->ops->alloc(rig->compute, bytes, &memory, &rig->err));
    rig->memory[rig->memory_count++] = memory;
    if (host != NULL)
        OK(rig->ops->upload(rig->compute, memory, host, bytes, &rig->err));
    return memory;
}

static void assert_near(struct rig *rig, const char *what, const float *device,
                        const double *expected, size_t count)
{
    float *actual = malloc((count + 1) * sizeof(float));
    OK(rig->ops->download(rig->compute, actual, device, count * sizeof(float), &rig->err));
    for (size_t i = 0; i < count; i++) {
        if (!(fabs((double)actual[i] - expected[i]) <= TOLERANCE * (1.0 + fabs(expected[i]))))
            fail_msg("%s, element %zu of %zu: %.9g, expected %.9g (%s)", what, i, count,
                     (double)actual[i], expected[i], rig->ops->name);
    }
    free(actual);
}

static void rig_open(struct rig *rig, const struct compute_ops *ops)
{
    *rig = (struct rig){.ops = ops};
    OK(ops->open(0, 1, &rig->compute, &rig->err));
}

static void rig_close(struct rig *rig)
{
    while (rig->memory_count > 0)
        rig->ops->release(rig->compute, rig->memory[--rig->memory_count]);
    rig->ops->close(rig->compute);
}

/* Random weights and input for a case, the same in `v`; gradients begin as `g` says. */
static void rig_fill(struct rig *rig, const struct lstm_case *c, struct reference *v,
                     struct reference *g)
{
    const int tokens = token_count(c);
    rig->shape = (struct compute_lstm_shape){.rows = c->rows,
                                             .steps = c->lengths[0] + 2,
                                             .tokens = tokens + PADDING_NAN,
                                             .in = c->in,
                                             .hidden = c->hidden};
    for (int t = 0; t < TENSORS; t++) {
        const size_t count = tensor_count(c, t);
        float *weights = draw_both(v->tensor[t], count, 0.4F);
        float *before = draw_both(g->tensor[t], count, 1.0F);
        rig->tensor[t] = to_device(rig, weights, count * sizeof(float));
        rig->gradient[t] = to_device(rig, before, count * sizeof(float));
        free(weights);
        free(before);
    }
    const size_t inputs = (size_t)(tokens * c->in), padded = inputs + (size_t)(PADDING_NAN * c->in);
    float *input = malloc(padded * sizeof(float));
    for (size_t i = 0; i < padded; i++)
        input[i] = NAN;
    draw(input, inputs, 1.0F);
    widen(v->input, input, inputs);
    rig->input = to_device(rig, input, padded * sizeof(float));
    rig->d_input = to_device(rig, input, padded * sizeof(float));
    free(input);
    const size_t outs = (size_t)(2 * c->rows * c->hidden);
    float *d_out = draw_both(g->out, outs, 1.0F);
    rig->d_out = to_device(rig, d_out, outs * sizeof(float));
    rig->out = to_device(rig, d_out, outs * sizeof(float));
    free(d_out);
    rig->lengths = to_device(rig, c->lengths, (size_t)c->rows * sizeof(int32_t));
    rig->workspace = to_device(rig, NULL, compute_lstm_workspace_bytes(&rig->shape));
}

static struct compute_lstm_weights rig_weights(const struct rig *rig)
{
    struct compute_lstm_weights out;
    for (int d = 0; d < COMPUTE_LSTM_DIRECTIONS; d++) {
        float *const *tensor = rig->tensor + (ptrdiff_t)GATES * d;
        out.w_ih[d] = tensor[W_IH];
        out.w_hh[d] = tensor[W_HH];
        out.b_ih[d] = tensor[B_IH];
        out.b_hh[d] = tensor[B_HH];
    }
    return out;
}

static enum status forward_and_backward(void *context, struct error *err)
{
    struct rig *rig = context;
    const struct compute_lstm_weights weights = rig_weights(rig);
    struct compute_lstm_gradients gradients;
    for (int d = 0; d < COMPUTE_LSTM_DIRECTIONS; d++) {
        float *const *tensor = rig->gradient + (ptrdiff_t)GATES * d;
        gradients.w_ih[d] = tensor[W_IH];
        gradients.w_hh[d] = tensor[W_HH];
        gradients.b_ih[d] = tensor[B_IH];
        gradients.b_hh[d] = tensor[B_HH];
    }
    TRY(rig->ops->lstm_forward(rig->compute, rig->out, rig->workspace, rig->input, rig->lengths,
                               &weights, &rig->shape, err));
    return rig->ops->lstm_backward(rig->compute, rig->d_input, &gradients, rig->d_out,
                                   rig->workspace, rig->input, rig->lengths, &weights, &rig->shape,
                                   err);
}

static void check_case(const struct compute_ops *ops, const struct lstm_case *c)
{
    struct rig rig;
    struct reference v = reference_new(c), g = reference_new(c);
    rig_open(&rig, ops);
    rig_fill(&rig, c, &v, &g);
    reference_run(c, &v, &g);

    OK(ops->run(rig.compute, 1, forward_and_backward, &rig, &rig.err));

    const size_t inputs = (size_t)(token_count(c) * c->in);
    const double zeros[PADDING_NAN * 128] = {0.0};
    assert_near(&rig, "out", rig.out, v.out, (size_t)(2 * c->rows * c->hidden));
    assert_near(&rig, "d_input", rig.d_input, g.input, inputs);
    assert_near(&rig, "d_input of padding", rig.d_input + inputs, zeros,
                (size_t)(PADDING_NAN * c->in));
    for (int t = 0; t < TENSORS; t++)
        assert_near(&rig, "gradient", rig.gradient[t], g.tensor[t], tensor_count(c, t));
    rig_close(&rig);
    reference_free(&v);
    reference_free(&g);
}

static void the_lstm_and_its_gradients_are_those_of_the_float64_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        check_case(&compute_cpu, &cases[i]);
        check_case(&compute_far, &cases[i]);
    }
}

static void every_number_of_rows_alive_at_a_step_is_right(void **state)
{
    (void)state;
    struct lstm_case c = {.in = 3, .hidden = 24, .rows = ROWS_MAX};
    for (int r = 0; r < c.rows; r++)
        c.lengths[r] = 1 + (c.rows - 1 - r) / 2; /* 70, 68, 66, ... rows */
    check_case(&compute_cpu, &c);
    for (int r = 0; r < c.rows; r++)
        c.lengths[r] = 1 + (c.rows - r) / 2; /* 70, 69, 67, ... */
    check_case(&compute_cpu, &c);
}

static void a_rows_state_does_not_depend_on_the_other_rows(void **state)
{
    (void)state;
    enum { HIDDEN = 40, IN = 6, STEPS = 5 };
    float alone[2 * HIDDEN], among[ROWS_MAX * 2 * HIDDEN];
    for (int rows = 2; rows < 12; rows++) {
        struct lstm_case c = {IN, HIDDEN, rows, {STEPS, STEPS, 4, 4, 3, 3, 3, 1, 1, 1, 1, 1}};
        struct reference v = reference_new(&c), g = reference_new(&c);
        struct rig rig;
        rig_open(&rig, &compute_cpu);
        rig_fill(&rig, &c, &v, &g);
        OK(forward_and_backward(&rig, &rig.err));
        OK(rig.ops->download(rig.compute, among, rig.out, (size_t)rows * 2 * HIDDEN * 4, &rig.err));

        float input[STEPS * IN], *packed = malloc((size_t)rig.shape.tokens * IN * 4);
        OK(rig.ops->download(rig.compute, packed, rig.input, (size_t)rig.shape.tokens * IN * 4,
                             &rig.err));
        for (int t = 0; t < STEPS; t++)
            memcpy(input + (ptrdiff_t)IN * t, packed + position(&c, 0, t) * IN, IN * 4);
        free(packed);
        const struct compute_lstm_weights weights = rig_weights(&rig);
        const struct compute_lstm_shape shape = {1, STEPS, STEPS, IN, HIDDEN};
        OK(rig.ops->lstm_forward(rig.compute, rig.out, rig.workspace,
                                 to_device(&rig, input, sizeof(input)), rig.lengths, &weights,
                                 &shape, &rig.err));
        OK(rig.ops->download(rig.compute, alone, rig.out, sizeof(alone), &rig.err));

        for (int i = 0; i < 2 * HIDDEN; i++)
            assert_true(fabsf(alone[i] - among[i]) < 1e-6F);
        rig_close(&rig);
        reference_free(&v);
        reference_free(&g);
    }
}

static void lengths_that_do_not_fit_the_shape_are_refused(void **state)
{
    (void)state;
    const struct lstm_case c = {2, 3, 3, {4, 2, 1}};
    const int32_t wrong[][3] = {{2, 4, 1}, {7, 2, 1}, {4, 2, -1}, {6, 6, 6}};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct reference v = reference_new(&c), g = reference_new(&c);
        struct rig rig;
        rig_open(&rig, &compute_cpu);
        rig_fill(&rig, &c, &v, &g);
        rig.lengths = to_device(&rig, wrong[i], sizeof(wrong[i]));
        assert_int_equal(forward_and_backward(&rig, &rig.err), STATUS_INTERNAL);
        rig_close(&rig);
        reference_free(&v);
        reference_free(&g);
    }
}

/* ------------------------------------------------------------------ each instruction set by itself */

/* One unit, one step, no products: gates are the biases, so h = sigmoid(o) tanh(sigmoid(i) tanh(g)). */
static double cell(const struct cpu_lstm_kernel *kernel, float i, float g, float o, float *tanh_g)
{
    float bias[GATES * 16] = {0}, gates[GATES] = {0}, h = 0, c = 0, c_in = 0, tanh_c = 0;
    bias[0] = i;
    bias[2 * kernel->lanes] = g;
    bias[3 * kernel->lanes] = o;
    const struct cpu_lstm_step step = {.rows = 1,
                                       .hidden = 1,
                                       .gates = gates,
                                       .h_in = &h,
                                       .c_in = &c_in,
                                       .tanh_c = &tanh_c,
                                       .panels = bias,
                                       .bias = bias,
                                       .h = &h,
                                       .c = &c};
    kernel->forward(&step);
    *tanh_g = gates[2];
    return (double)gates[0];
}

static size_t supported(const struct cpu_lstm_kernel *out[3])
{
    size_t count = 0;
    out[count++] = &cpu_lstm_portable;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        out[count++] = &cpu_lstm_avx2;
    if (__builtin_cpu_supports("avx512f"))
        out[count++] = &cpu_lstm_avx512;
#endif
    return count;
}

static void sigmoid_and_tanh_have_the_accuracy_that_is_promised(void **state)
{
    (void)state;
    const struct cpu_lstm_kernel *kernels[3];
    const size_t count = supported(kernels);
    for (size_t k = 0; k < count; k++) {
        double worst_sigmoid = 0.0, worst_tanh = 0.0;
        float x = 1e-20F;
        while (x < 79.0F) {
            for (int sign = -1; sign <= 1; sign += 2) {
                const float at = (float)sign * x;
                float t = 0.0F;
                const double s = cell(kernels[k], at, at, 0.0F, &t);
                const double exact_s = sigmoid((double)at), exact_t = tanh((double)at);
                worst_sigmoid = fmax(worst_sigmoid, fabs(s - exact_s) / exact_s);
                worst_tanh = fmax(worst_tanh, fabs((double)t - exact_t) / fabs(exact_t));
            }
            x *= x < 1e-3F ? 1.7F : 1.0002F;
        }
        assert_true(worst_sigmoid < 2e-7);
        assert_true(worst_tanh < 2e-7);
    }
}

static void a_nan_in_a_gate_reaches_the_state(void **state)
{
    (void)state;
    const struct cpu_lstm_kernel *kernels[3];
    const size_t count = supported(kernels);
    for (size_t k = 0; k < count; k++) {
        float t = 0.0F;
        assert_true(isnan(cell(kernels[k], NAN, NAN, 0.0F, &t)));
        assert_true(isnan(t));
    }
}

static void every_kernel_multiplies_every_shape(void **state)
{
    (void)state;
    enum { M = 17, N = 77, K = 300 };
    const struct cpu_lstm_kernel *kernels[3];
    const size_t count = supported(kernels);
    static float a[M * K], b[K * N], panels[K * 128], out[M * N];
    draw(a, M * K, 1.0F);
    draw(b, (size_t)K * N, 1.0F);
    for (size_t i = 0; i < count; i++) {
        const int width = GATES * kernels[i]->lanes;
        for (int p = 0; p < K; p++) {
            for (int j = 0; j < 128; j++)
                panels[(j / width * K + p) * width + j % width] = j < N ? b[p * N + j] : 0.0F;
        }
        for (int m = 0; m <= M; m++) {
            kernels[i]->multiply(out, a, panels, m, N, K);
            for (int e = 0; e < m * N; e++) {
                double sum = 0.0;
                for (int p = 0; p < K; p++)
                    sum += (double)a[e / N * K + p] * (double)b[p * N + e % N];
                assert_true(fabs((double)out[e] - sum) < 1e-4);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_float64_gradients_are_the_finite_differences),
        cmocka_unit_test(the_lstm_and_its_gradients_are_those_of_the_float64_form),
        cmocka_unit_test(every_number_of_rows_alive_at_a_step_is_right),
        cmocka_unit_test(a_rows_state_does_not_depend_on_the_other_rows),
        cmocka_unit_test(lengths_that_do_not_fit_the_shape_are_refused),
        cmocka_unit_test(sigmoid_and_tanh_have_the_accuracy_that_is_promised),
        cmocka_unit_test(a_nan_in_a_gate_reaches_the_state),
        cmocka_unit_test(every_kernel_multiplies_every_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
