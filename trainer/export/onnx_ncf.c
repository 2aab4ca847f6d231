/* onnx_ncf.c - GMF's product of two vectors, a perceptron over two others, or both, under one output. */
#include <stdio.h>

#include "trainer/export/onnx_model.h"

static void add_id_input(struct onnx_graph *graph, const char *name)
{
    onnx_input(graph, &(struct onnx_value){.name = name,
                                           .type = ONNX_INT64,
                                           .dims = {{.name = "batch"}},
                                           .dim_count = 1,
                                           .about = "numbered as in the training data"});
}

/* The rows of PART_user and PART_item, whose width is `width`, through `op`. */
static enum status add_pair(struct onnx_graph *graph, const struct onnx_source *source,
                            const char *part, int64_t width, const struct onnx_node *op,
                            struct error *err)
{
    static const char *const sides[] = {"user", "item"};
    char names[COUNT_OF(sides)][ONNX_NAME_BYTES];
    for (size_t i = 0; i < COUNT_OF(sides); i++) {
        char table[ONNX_NAME_BYTES];
        const struct safetensors_tensor *tensor = NULL;
        const int64_t shape[] = {-1, width};
        (void)snprintf(names[i], sizeof(names[i]), "%s_%s", part, sides[i]);
        (void)snprintf(table, sizeof(table), "%s_%s.weight", part, sides[i]);
        TRY(onnx_weight(graph, source, table, 2, shape, &tensor, err));
        onnx_add(graph, &(struct onnx_node){
                            .op = "Gather", .inputs = {table, sides[i]}, .outputs = {names[i]}});
    }
    struct onnx_node node = *op;
    node.inputs[0] = names[0];
    node.inputs[1] = names[1];
    onnx_add(graph, &node);
    return STATUS_OK;
}

/* The perceptron over both vectors, each layer with ReLU; the last one's name in `out`. */
static enum status add_perceptron(struct onnx_graph *graph, const struct onnx_source *source,
                                  char out[ONNX_NAME_BYTES], struct error *err)
{
    const struct onnx_node concat = {
        .op = "Concat", .outputs = {"mlp"}, .attributes = {{.name = "axis", .integer = 1}}};
    TRY(add_pair(graph, source, "mlp", source->spec->model.ncf.layers[0] / 2, &concat, err));
    (void)snprintf(out, ONNX_NAME_BYTES, "mlp");
    for (size_t l = 1; l < source->spec->model.ncf.layer_count; l++) {
        char layer[ONNX_NAME_BYTES], sum[ONNX_NAME_BYTES];
        (void)snprintf(layer, sizeof(layer), "mlp%zu", l - 1);
        (void)snprintf(sum, sizeof(sum), "mlp%zu.sum", l - 1);
        int64_t width = 0;
        TRY(onnx_dense(graph, source, layer, out, sum, &width, err));
        onnx_add(graph, &(struct onnx_node){.op = "Relu", .inputs = {sum}, .outputs = {layer}});
        (void)snprintf(out, ONNX_NAME_BYTES, "%s", layer);
    }
    return STATUS_OK;
}

enum status onnx_ncf(struct onnx_graph *graph, const struct onnx_source *source, struct error *err)
{
    const int variant = source->spec->model.ncf.variant;
    char last[ONNX_NAME_BYTES] = "gmf";
    add_id_input(graph, "user");
    add_id_input(graph, "item");
    if (variant != NCF_MLP) {
        const struct onnx_node product = {.op = "Mul", .outputs = {"gmf"}};
        TRY(add_pair(graph, source, "gmf", source->spec->model.ncf.factors, &product, err));
    }
    if (variant != NCF_GMF)
        TRY(add_perceptron(graph, source, last, err));
    const char *joined = last;
    if (variant == NCF_NEUMF) {
        onnx_add(graph, &(struct onnx_node){.op = "Concat",
                                            .inputs = {"gmf", last},
                                            .outputs = {"both"},
                                            .attributes = {{.name = "axis", .integer = 1}}});
        joined = "both";
    }
    int64_t width = 0;
    TRY(onnx_dense(graph, source, "output", joined, "logit", &width, err));
    const int64_t flat = -1;
    onnx_int64s(graph, "flat", 1, &flat, 1);
    onnx_add(graph,
             &(struct onnx_node){.op = "Sigmoid", .inputs = {"logit"}, .outputs = {"column"}});
    onnx_add(graph, &(struct onnx_node){
                        .op = "Reshape", .inputs = {"column", "flat"}, .outputs = {"score"}});
    onnx_output(graph, &(struct onnx_value){.name = "score",
                                            .type = ONNX_FLOAT,
                                            .dims = {{.name = "batch"}},
                                            .dim_count = 1});
    return STATUS_OK;
}
