/*
 * bilstm.c - texts: a word table, a bidirectional LSTM, and one dense layer over the last state of
 * each direction; one logit with binary cross entropy, or a softmax over classes.
 *
 * Names, gates and both biases are PyTorch's (nn.Embedding, nn.LSTM, nn.Linear), matrices lie
 * transposed. Initial values are theirs too, but for the word table's, which is U(-0.05, 0.05) as in
 * Keras.
 *
 * padding "skip": a text is as long as it is; one without a word has the states that the LSTM begins
 * with, zeros. "compute": every text is data.length long, with token 0 in front, and that is computed
 * like any word, as Keras' pad_sequences does it without a mask.
 *
 * The rows of a call are worked on group by group (text_pack.h); gradients add up over the groups.
 */
#include <math.h>
#include <stdlib.h>

#include "trainer/model/model.h"
#include "trainer/model/text_pack.h"

#define SUM_COUNT  2 /* loss, rows predicted right */
#define WORD_BOUND 0.05F
#define GATES      4

enum {
    EMBEDDING,
    LSTM, /* W_ih, W_hh, b_ih, b_hh of each direction */
    OUTPUT_WEIGHT = LSTM + GATES * COMPUTE_LSTM_DIRECTIONS,
    OUTPUT_BIAS,
    PARAMETERS
};

enum { W_IH, W_HH, B_IH, B_HH };

static const char *const parameter_names[PARAMETERS] = {
    "embedding.weight",
    "lstm.weight_ih_l0",
    "lstm.weight_hh_l0",
    "lstm.bias_ih_l0",
    "lstm.bias_hh_l0",
    "lstm.weight_ih_l0_reverse",
    "lstm.weight_hh_l0_reverse",
    "lstm.bias_ih_l0_reverse",
    "lstm.bias_hh_l0_reverse",
    "output.weight",
    "output.bias",
};

struct bilstm {
    struct model model;
    struct device device;
    int vocabulary, length, embedding, hidden, outputs;
    bool is_sigmoid, pads;
    struct parameter parameters[PARAMETERS];
    /* Device memory, of one group: */
    float *words, *d_words;   /* (tokens, embedding) */
    float *workspace;         /* of the LSTM */
    float *states, *d_states; /* (TEXT_GROUP_ROWS, 2 hidden) */
    float *d_logits;          /* (TEXT_GROUP_ROWS, outputs) */
    /* of a call: */
    float *logits, *probabilities; /* (rows, outputs), sorted by length */
    float *class_weights;          /* NULL: all 1 */
};

/* One group of a call: its rows of everything. */
struct group {
    int rows;
    const int32_t *labels, *lengths, *ids;
    struct compute_lstm_shape shape;
    float *logits;
};

static void bilstm_close(struct model *model)
{
    struct bilstm *bilstm = (struct bilstm *)model;
    if (bilstm == NULL)
        return;
    float *const owned[] = {bilstm->words,         bilstm->d_words,  bilstm->workspace,
                            bilstm->states,        bilstm->d_states, bilstm->logits,
                            bilstm->probabilities, bilstm->d_logits, bilstm->class_weights};
    for (size_t i = 0; i < COUNT_OF(owned); i++)
        bilstm->device.ops->release(bilstm->device.compute, owned[i]);
    free(bilstm);
}

static void bilstm_cleanup(struct bilstm **bilstm)
{
    bilstm_close(*bilstm == NULL ? NULL : &(*bilstm)->model);
}

/* ------------------------------------------------------------------ parameters */

/* A matrix (rows, columns) or, with one row, a vector. */
static void describe(struct bilstm *bilstm, int p, int64_t rows, int64_t columns, float bound)
{
    const struct parameter *before = p == 0 ? NULL : &bilstm->parameters[p - 1];
    struct parameter *out = &bilstm->parameters[p];
    *out = (struct parameter){.name = parameter_names[p],
                              .dims = rows == 1 ? 1 : 2,
                              .shape = {rows == 1 ? columns : rows, rows == 1 ? 0 : columns},
                              .offset = before == NULL ? 0 : before->offset + before->count,
                              .count = (size_t)(rows * columns),
                              .init = PARAMETER_UNIFORM,
                              .bound = bound,
                              .transposed = rows != 1};
}

static void describe_all(struct bilstm *bilstm)
{
    const int64_t width = (int64_t)GATES * bilstm->hidden;
    const float lstm_bound = (float)(1.0 / sqrt((double)bilstm->hidden));
    const float output_bound = (float)(1.0 / sqrt(2.0 * (double)bilstm->hidden));
    describe(bilstm, EMBEDDING, bilstm->vocabulary, bilstm->embedding, WORD_BOUND);
    bilstm->parameters[EMBEDDING].transposed = false;
    bilstm->parameters[EMBEDDING].is_table = true;
    for (int d = 0; d < COMPUTE_LSTM_DIRECTIONS; d++) {
        const int first = LSTM + GATES * d;
        describe(bilstm, first + W_IH, bilstm->embedding, width, lstm_bound);
        describe(bilstm, first + W_HH, bilstm->hidden, width, lstm_bound);
        describe(bilstm, first + B_IH, 1, width, lstm_bound);
        describe(bilstm, first + B_HH, 1, width, lstm_bound);
    }
    describe(bilstm, OUTPUT_WEIGHT, 2 * (int64_t)bilstm->hidden, bilstm->outputs, output_bound);
    describe(bilstm, OUTPUT_BIAS, 1, bilstm->outputs, output_bound);
}

/* ------------------------------------------------------------------ opening */

static enum status allocate(struct bilstm *bilstm, size_t rows, int width, float **out,
                            struct error *err)
{
    void *memory = NULL;
    TRY(bilstm->device.ops->alloc(bilstm->device.compute, rows * (size_t)width * sizeof(float),
                                  &memory, err));
    *out = memory;
    return STATUS_OK;
}

static struct compute_lstm_shape lstm_shape(const struct bilstm *bilstm, int rows, int steps,
                                            int tokens)
{
    return (struct compute_lstm_shape){.rows = rows,
                                       .steps = steps,
                                       .tokens = tokens,
                                       .in = bilstm->embedding,
                                       .hidden = bilstm->hidden};
}

static enum status allocate_all(struct bilstm *bilstm, int64_t rows_max, struct error *err)
{
    const struct text_layout largest = text_layout_largest((int)rows_max, bilstm->length);
    const struct compute_lstm_shape shape =
        lstm_shape(bilstm, TEXT_GROUP_ROWS, largest.steps, largest.tokens);
    const size_t tokens = (size_t)largest.tokens, rows = (size_t)rows_max;
    const size_t notes = compute_lstm_workspace_bytes(&shape) / sizeof(float);
    TRY(allocate(bilstm, tokens, bilstm->embedding, &bilstm->words, err));
    TRY(allocate(bilstm, tokens, bilstm->embedding, &bilstm->d_words, err));
    TRY(allocate(bilstm, notes, 1, &bilstm->workspace, err));
    TRY(allocate(bilstm, TEXT_GROUP_ROWS, 2 * bilstm->hidden, &bilstm->states, err));
    TRY(allocate(bilstm, TEXT_GROUP_ROWS, 2 * bilstm->hidden, &bilstm->d_states, err));
    TRY(allocate(bilstm, TEXT_GROUP_ROWS, bilstm->outputs, &bilstm->d_logits, err));
    TRY(allocate(bilstm, rows, bilstm->outputs, &bilstm->logits, err));
    return allocate(bilstm, rows, bilstm->outputs, &bilstm->probabilities, err);
}

static enum status take_class_weights(struct bilstm *bilstm, const float *weights,
                                      struct error *err)
{
    if (weights == NULL)
        return STATUS_OK;
    const int classes = bilstm->is_sigmoid ? 2 : bilstm->outputs;
    TRY(allocate(bilstm, (size_t)classes, 1, &bilstm->class_weights, err));
    return bilstm->device.ops->upload(bilstm->device.compute, bilstm->class_weights, weights,
                                      (size_t)classes * sizeof(float), err);
}

static enum status bilstm_open(const struct job_spec *spec, const struct model_input *input,
                               struct device device, struct model **out, struct error *err)
{
    struct text_source texts;
    TRY(text_source_of(input->train, &texts, err));
    if (input->eval != NULL)
        TRY(text_source_of(input->eval, &texts, err));
    CLEANUP(bilstm_cleanup) struct bilstm *bilstm = calloc(1, sizeof(*bilstm));
    if (bilstm == NULL)
        return error_set(err, STATUS_NO_MEMORY, "open bilstm");
    bilstm->model.ops = model_registry[MODEL_BILSTM];
    bilstm->device = device;
    bilstm->vocabulary = (int)spec->data.vocabulary;
    bilstm->length = (int)spec->data.length;
    bilstm->embedding = (int)spec->model.bilstm.embedding;
    bilstm->hidden = (int)spec->model.bilstm.hidden;
    bilstm->is_sigmoid = spec->model.bilstm.head == HEAD_SIGMOID;
    bilstm->outputs = bilstm->is_sigmoid ? 1 : (int)spec->model.bilstm.classes;
    bilstm->pads = spec->model.bilstm.padding == PADDING_COMPUTE;
    bilstm->model.score_width = bilstm->outputs;
    bilstm->model.is_binary = bilstm->is_sigmoid || bilstm->outputs == 2;
    describe_all(bilstm);
    TRY(allocate_all(bilstm, input->rows_max, err));
    TRY(take_class_weights(bilstm, input->class_weights, err));
    *out = &TAKE(bilstm)->model;
    return STATUS_OK;
}

static const struct parameter *bilstm_parameters(const struct model *model, size_t *out_count)
{
    *out_count = PARAMETERS;
    return ((const struct bilstm *)model)->parameters;
}

static int64_t bilstm_records(const struct model *model, const struct dataset *set, bool training)
{
    (void)model;
    (void)training;
    return set->count;
}

/* ------------------------------------------------------------------ feed */

static size_t bilstm_feed_bytes(const struct model *model, int64_t rows)
{
    const struct bilstm *bilstm = (const struct bilstm *)model;
    return text_layout_largest((int)rows, bilstm->length).count * sizeof(int32_t);
}

static enum status bilstm_fill(const struct model *model, const struct model_rows *rows,
                               bool training, void *feed, size_t *out_bytes,
                               struct model_shape *out, struct error *err)
{
    (void)training;
    const struct bilstm *bilstm = (const struct bilstm *)model;
    struct text_source source;
    struct text_layout layout;
    TRY(text_source_of(rows->set, &source, err));
    source.length = bilstm->length;
    source.vocabulary = bilstm->vocabulary;
    source.pads = bilstm->pads;
    TRY(text_pack(&source, rows->records, rows->count, feed, &layout, err));
    *out_bytes = layout.count * sizeof(int32_t);
    *out = (struct model_shape){.rows = rows->count, .dims = {layout.steps, layout.tokens}};
    return STATUS_OK;
}

static struct text_layout layout_of(const struct model_call *call)
{
    return text_layout_of(call->shape.rows, call->shape.dims[0], call->shape.dims[1]);
}

static struct group group_of(const struct bilstm *bilstm, const struct model_call *call, int g)
{
    const struct text_layout layout = layout_of(call);
    const int32_t *feed = call->feed;
    const int first = g * TEXT_GROUP_ROWS, left = call->shape.rows - first;
    const int rows = left < TEXT_GROUP_ROWS ? left : TEXT_GROUP_ROWS;
    return (struct group){.rows = rows,
                          .labels = feed + layout.labels + first,
                          .lengths = feed + layout.lengths + first,
                          .ids = feed + layout.ids + (size_t)g * (size_t)layout.tokens,
                          .shape = lstm_shape(bilstm, rows, layout.steps, layout.tokens),
                          .logits = bilstm->logits + (size_t)first * (size_t)bilstm->outputs};
}

/* ------------------------------------------------------------------ forward */

static const float *tensor(const struct bilstm *bilstm, const float *parameters, int p)
{
    return parameters + bilstm->parameters[p].offset;
}

static struct compute_lstm_weights lstm_weights(const struct bilstm *bilstm,
                                                const float *parameters)
{
    struct compute_lstm_weights out;
    for (int d = 0; d < COMPUTE_LSTM_DIRECTIONS; d++) {
        const int first = LSTM + GATES * d;
        out.w_ih[d] = tensor(bilstm, parameters, first + W_IH);
        out.w_hh[d] = tensor(bilstm, parameters, first + W_HH);
        out.b_ih[d] = tensor(bilstm, parameters, first + B_IH);
        out.b_hh[d] = tensor(bilstm, parameters, first + B_HH);
    }
    return out;
}

/* From the group's words to its logits. */
static enum status forward(struct bilstm *bilstm, const float *parameters,
                           const struct group *group, struct error *err)
{
    const struct compute_ops *ops = bilstm->device.ops;
    struct compute *compute = bilstm->device.compute;
    const struct compute_lstm_weights weights = lstm_weights(bilstm, parameters);
    TRY(ops->embedding_gather(compute, bilstm->words, bilstm->embedding,
                              tensor(bilstm, parameters, EMBEDDING), group->ids, 1,
                              group->shape.tokens, bilstm->embedding, err));
    TRY(ops->lstm_forward(compute, bilstm->states, bilstm->workspace, bilstm->words, group->lengths,
                          &weights, &group->shape, err));
    return ops->dense_forward(compute, group->logits, bilstm->states,
                              tensor(bilstm, parameters, OUTPUT_WEIGHT),
                              tensor(bilstm, parameters, OUTPUT_BIAS), group->rows, bilstm->outputs,
                              2 * bilstm->hidden, COMPUTE_LINEAR, err);
}

/* Adds to the sums; `scale` NULL: no gradient. */
static enum status add_loss(struct bilstm *bilstm, float *sums, const struct group *group,
                            const float *scale, struct error *err)
{
    const struct compute_ops *ops = bilstm->device.ops;
    float *d_logits = scale == NULL ? NULL : bilstm->d_logits;
    const float *class_weights = scale == NULL ? NULL : bilstm->class_weights; /* training's */
    if (bilstm->is_sigmoid)
        return ops->sigmoid_cross_entropy(bilstm->device.compute, &sums[0], &sums[1], d_logits,
                                          group->logits, group->labels, class_weights, scale,
                                          group->rows, err);
    return ops->softmax_cross_entropy(bilstm->device.compute, &sums[0], &sums[1], d_logits,
                                      group->logits, group->labels, class_weights, scale,
                                      group->rows, bilstm->outputs, err);
}

static enum status bilstm_evaluate(struct model *model, const float *parameters, float *sums,
                                   float *scores, const struct model_call *call, struct error *err)
{
    struct bilstm *bilstm = (struct bilstm *)model;
    const struct compute_ops *ops = bilstm->device.ops;
    struct compute *compute = bilstm->device.compute;
    const struct text_layout layout = layout_of(call);
    for (int g = 0; g < layout.groups; g++) {
        const struct group group = group_of(bilstm, call, g);
        TRY(forward(bilstm, parameters, &group, err));
        TRY(add_loss(bilstm, sums, &group, NULL, err));
    }
    if (scores == NULL)
        return STATUS_OK;
    /* Back into the order that was asked for. */
    const int32_t *places = (const int32_t *)call->feed + layout.places;
    TRY(ops->probabilities(compute, bilstm->probabilities, bilstm->logits, call->shape.rows,
                           bilstm->outputs, err));
    return ops->gather_rows_f32(compute, scores, bilstm->outputs, bilstm->probabilities, places,
                                call->shape.rows, bilstm->outputs, err);
}

/* ------------------------------------------------------------------ backward */

static struct compute_lstm_gradients lstm_gradients(const struct bilstm *bilstm, float *gradients)
{
    struct compute_lstm_gradients out;
    for (int d = 0; d < COMPUTE_LSTM_DIRECTIONS; d++) {
        const struct parameter *first = &bilstm->parameters[LSTM + GATES * d];
        out.w_ih[d] = gradients + first[W_IH].offset;
        out.w_hh[d] = gradients + first[W_HH].offset;
        out.b_ih[d] = gradients + first[B_IH].offset;
        out.b_hh[d] = gradients + first[B_HH].offset;
    }
    return out;
}

/* Tells the listener after the last group: only then are gradients final. */
static enum status ready(const struct bilstm *bilstm, const struct model_call *call, bool is_last,
                         int p, struct error *err)
{
    return is_last ? model_ready(call, bilstm->parameters[p].offset, err) : STATUS_OK;
}

static enum status backward(struct bilstm *bilstm, const float *parameters, float *gradients,
                            const struct group *group, const struct model_call *call, bool is_last,
                            struct error *err)
{
    const struct compute_ops *ops = bilstm->device.ops;
    struct compute *compute = bilstm->device.compute;
    const struct compute_lstm_weights weights = lstm_weights(bilstm, parameters);
    const struct compute_lstm_gradients lstm = lstm_gradients(bilstm, gradients);
    TRY(ops->dense_backward(
        compute, bilstm->d_states, gradients + bilstm->parameters[OUTPUT_WEIGHT].offset,
        gradients + bilstm->parameters[OUTPUT_BIAS].offset, bilstm->d_logits, group->logits,
        bilstm->states, tensor(bilstm, parameters, OUTPUT_WEIGHT), group->rows, bilstm->outputs,
        2 * bilstm->hidden, COMPUTE_LINEAR, err));
    TRY(ready(bilstm, call, is_last, OUTPUT_WEIGHT, err));
    TRY(ops->lstm_backward(compute, bilstm->d_words, &lstm, bilstm->d_states, bilstm->workspace,
                           bilstm->words, group->lengths, &weights, &group->shape, err));
    TRY(ready(bilstm, call, is_last, LSTM, err));
    TRY(ops->embedding_scatter_add(compute, gradients + bilstm->parameters[EMBEDDING].offset,
                                   call->flags, bilstm->d_words, bilstm->embedding, group->ids, 1,
                                   group->shape.tokens, bilstm->embedding, err));
    return ready(bilstm, call, is_last, EMBEDDING, err);
}

static enum status bilstm_train_step(struct model *model, const float *parameters, float *gradients,
                                     float *sums, const struct model_call *call, struct error *err)
{
    struct bilstm *bilstm = (struct bilstm *)model;
    const int groups = layout_of(call).groups;
    for (int g = 0; g < groups; g++) {
        const struct group group = group_of(bilstm, call, g);
        TRY(forward(bilstm, parameters, &group, err));
        TRY(add_loss(bilstm, sums, &group, &call->head->loss_scale, err));
        TRY(backward(bilstm, parameters, gradients, &group, call, g == groups - 1, err));
    }
    return STATUS_OK;
}

static int bilstm_metrics(const struct model *model, const double *sums, double rows,
                          const char *names[MODEL_METRICS_MAX], double values[MODEL_METRICS_MAX])
{
    (void)model;
    names[0] = "loss";
    values[0] = sums[0] / rows;
    names[1] = "accuracy";
    values[1] = sums[1] / rows;
    return SUM_COUNT;
}

const struct model_ops model_bilstm = {
    .type = "bilstm",
    .open = bilstm_open,
    .close = bilstm_close,
    .parameters = bilstm_parameters,
    .records = bilstm_records,
    .feed_bytes = bilstm_feed_bytes,
    .fill = bilstm_fill,
    .train_step = bilstm_train_step,
    .evaluate = bilstm_evaluate,
    .sum_count = SUM_COUNT,
    .metrics = bilstm_metrics,
};
