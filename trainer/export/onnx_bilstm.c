/*
 * onnx_bilstm.c - embedding, ONNX's LSTM operator in both directions, a head over its last states.
 *
 * PyTorch has, for each direction, weight_ih (4H, E), weight_hh (4H, H) and two biases (4H), gates in
 * the order i, f, g, o. ONNX has W (2, 4H, E), R (2, 4H, H) and B (2, 8H), both biases behind each
 * other, gates in the order i, o, f, c (c being g).
 */
#include <stdio.h>
#include <string.h>

#include "trainer/export/onnx_model.h"

#define GATES      4
#define DIRECTIONS 2

/* gate_of[g]: PyTorch's number of ONNX's gate g. */
static const int gate_of[GATES] = {0, 3, 1, 2};

/* target (4H, width) = source with its blocks of H rows in ONNX's order. */
static void reorder_gates(float *target, const float *source, int64_t hidden, int64_t width)
{
    const size_t block = (size_t)(hidden * width);
    for (int g = 0; g < GATES; g++)
        memcpy(target + (size_t)g * block, source + (size_t)gate_of[g] * block,
               block * sizeof(float));
}

static enum status take(float *target, const struct onnx_source *source, const char *name,
                        int direction, int64_t hidden, int64_t width, struct error *err)
{
    char full[ONNX_NAME_BYTES];
    (void)snprintf(full, sizeof(full), "lstm.%s_l0%s", name, direction == 0 ? "" : "_reverse");
    const int64_t shape[] = {GATES * hidden, width};
    const struct safetensors_tensor *tensor = NULL;
    const bool is_bias = strncmp(name, "bias", 4) == 0;
    TRY(onnx_tensor_find(source, full, is_bias ? 1 : 2, shape, &tensor, err));
    reorder_gates(target, tensor->values, hidden, width);
    return STATUS_OK;
}

static enum status add_lstm_weights(struct onnx_graph *graph, const struct onnx_source *source,
                                    struct error *err)
{
    const int64_t hidden = source->spec->model.bilstm.hidden;
    const int64_t embedding = source->spec->model.bilstm.embedding;
    const int64_t rows = GATES * hidden;
    float *w = onnx_new_floats(graph, "lstm.W", 3, (int64_t[]){DIRECTIONS, rows, embedding});
    float *r = onnx_new_floats(graph, "lstm.R", 3, (int64_t[]){DIRECTIONS, rows, hidden});
    float *b = onnx_new_floats(graph, "lstm.B", 2, (int64_t[]){DIRECTIONS, 2 * rows});
    if (w == NULL || r == NULL || b == NULL)
        return error_set(err, STATUS_NO_MEMORY, "LSTM of %lld hidden units", (long long)hidden);
    for (int d = 0; d < DIRECTIONS; d++) {
        TRY(take(w + d * rows * embedding, source, "weight_ih", d, hidden, embedding, err));
        TRY(take(r + d * rows * hidden, source, "weight_hh", d, hidden, hidden, err));
        TRY(take(b + d * 2 * rows, source, "bias_ih", d, hidden, 1, err));
        TRY(take(b + d * 2 * rows + rows, source, "bias_hh", d, hidden, 1, err));
    }
    return STATUS_OK;
}

/* tokens, and lengths unless every text is padded to the same: "lengths32", or "" for none. */
static const char *add_inputs(struct onnx_graph *graph, const struct job_spec *spec)
{
    const bool skips = spec->model.bilstm.padding == PADDING_SKIP;
    struct onnx_value tokens = {.name = "tokens",
                                .type = ONNX_INT64,
                                .dims = {{.name = "batch"}, {.name = "steps"}},
                                .dim_count = 2,
                                .about = "numbers of words, first word first; anything behind a "
                                         "text's length"};
    if (!skips) {
        tokens.dims[1] = (struct onnx_dim){.size = spec->data.length};
        tokens.about = "numbers of words, 0 in front of a text that is shorter";
    }
    onnx_input(graph, &tokens);
    if (!skips)
        return "";
    onnx_input(graph, &(struct onnx_value){.name = "lengths",
                                           .type = ONNX_INT64,
                                           .dims = {{.name = "batch"}},
                                           .dim_count = 1,
                                           .about = "words of each text; one without any is "
                                                    "the single token 0"});
    onnx_add(graph, &(struct onnx_node){.op = "Cast",
                                        .inputs = {"lengths"},
                                        .outputs = {"lengths32"},
                                        .attributes = {{.name = "to", .integer = ONNX_INT32}}});
    return "lengths32";
}

enum status onnx_bilstm(struct onnx_graph *graph, const struct onnx_source *source,
                        struct error *err)
{
    const int64_t hidden = source->spec->model.bilstm.hidden;
    const char *lengths = add_inputs(graph, source->spec);
    const struct safetensors_tensor *table = NULL;
    const int64_t table_shape[] = {-1, source->spec->model.bilstm.embedding};
    TRY(onnx_weight(graph, source, "embedding.weight", 2, table_shape, &table, err));
    TRY(add_lstm_weights(graph, source, err));
    onnx_add(graph,
             &(struct onnx_node){.op = "Transpose",
                                 .inputs = {"tokens"},
                                 .outputs = {"steps"}, /* (steps, batch) */
                                 .attributes = {{.name = "perm", .ints = {1, 0}, .int_count = 2}}});
    onnx_add(graph, &(struct onnx_node){.op = "Gather",
                                        .inputs = {"embedding.weight", "steps"},
                                        .outputs = {"vectors"}}); /* (steps, batch, E) */
    onnx_add(graph,
             &(struct onnx_node){.op = "LSTM",
                                 .inputs = {"vectors", "lstm.W", "lstm.R", "lstm.B", lengths},
                                 .outputs = {"", "states"}, /* (2, batch, H) */
                                 .attributes = {{.name = "direction", .text = "bidirectional"},
                                                {.name = "hidden_size", .integer = hidden}}});
    onnx_add(graph, &(struct onnx_node){
                        .op = "Transpose",
                        .inputs = {"states"},
                        .outputs = {"pairs"}, /* (batch, 2, H) */
                        .attributes = {{.name = "perm", .ints = {1, 0, 2}, .int_count = 3}}});
    const int64_t shape[] = {-1, DIRECTIONS * hidden};
    onnx_int64s(graph, "pairs.shape", 1, shape, 2);
    onnx_add(graph, &(struct onnx_node){
                        .op = "Reshape", .inputs = {"pairs", "pairs.shape"}, .outputs = {"text"}});
    int64_t width = 0;
    TRY(onnx_dense(graph, source, "output", "text", "logits", &width, err));
    onnx_head(graph, "logits", source->spec->model.bilstm.head, width);
    return STATUS_OK;
}
