/* onnx_mlp.c - input (bytes, or columns with their normaliser and tables), dense layers, a head. */
#include <stdio.h>

#include "trainer/export/onnx_model.h"

#define SQRT_HALF 0.70710678118654752440F

/* Records without columns, of bytes that are scaled or of numbers; the first layer's input in `out`. */
static void add_features_input(struct onnx_graph *graph, const struct onnx_source *source,
                               int64_t width, char out[ONNX_NAME_BYTES])
{
    const bool is_bytes = source->bytes_scale != 0.0F;
    onnx_input(graph, &(struct onnx_value){.name = "features",
                                           .type = ONNX_FLOAT,
                                           .dims = {{.name = "batch"}, {.size = width}},
                                           .dim_count = 2,
                                           .about = is_bytes ? "bytes of the records, 0 to 255"
                                                             : "values of the records"});
    (void)snprintf(out, ONNX_NAME_BYTES, is_bytes ? "input" : "features");
    if (!is_bytes)
        return;
    onnx_scalar(graph, "features.scale", source->bytes_scale);
    onnx_add(graph, &(struct onnx_node){
                        .op = "Mul", .inputs = {"features", "features.scale"}, .outputs = {out}});
}

static void cast(struct onnx_graph *graph, const char *in, const char *out, enum onnx_type type)
{
    onnx_add(graph, &(struct onnx_node){.op = "Cast",
                                        .inputs = {in},
                                        .outputs = {out},
                                        .attributes = {{.name = "to", .integer = type}}});
}

/* (value - mean) / std in double, as the training data were made: "numeric.scaled". */
static void add_normaliser(struct onnx_graph *graph, const struct onnx_source *source)
{
    onnx_doubles(graph, "numeric.mean", source->means, source->numeric_count);
    onnx_doubles(graph, "numeric.std", source->stds, source->numeric_count);
    cast(graph, "numeric", "numeric.double", ONNX_DOUBLE);
    onnx_add(graph, &(struct onnx_node){.op = "Sub",
                                        .inputs = {"numeric.double", "numeric.mean"},
                                        .outputs = {"numeric.centred"}});
    onnx_add(graph, &(struct onnx_node){.op = "Div",
                                        .inputs = {"numeric.centred", "numeric.std"},
                                        .outputs = {"numeric.quotient"}});
    cast(graph, "numeric.quotient", "numeric.scaled", ONNX_FLOAT);
}

/* The numeric columns as the first layer takes them: "numeric.normal". */
static void add_numeric_input(struct onnx_graph *graph, const struct onnx_source *source)
{
    onnx_input(graph, &(struct onnx_value){
                          .name = "numeric",
                          .type = ONNX_FLOAT,
                          .dims = {{.name = "batch"}, {.size = (int64_t)source->numeric_count}},
                          .dim_count = 2,
                          .about = "numeric columns in the spec's order, as in the data; NaN where "
                                   "missing"});
    const bool is_scaled = source->stds != NULL;
    if (is_scaled) {
        add_normaliser(graph, source);
        onnx_scalar(graph, "numeric.fill", 0.0F);
    } else {
        onnx_doubles(graph, "numeric.mean", source->means, source->numeric_count);
        cast(graph, "numeric.mean", "numeric.fill", ONNX_FLOAT);
    }
    onnx_add(graph, &(struct onnx_node){
                        .op = "IsNaN", .inputs = {"numeric"}, .outputs = {"numeric.missing"}});
    onnx_add(graph, &(struct onnx_node){.op = "Where",
                                        .inputs = {"numeric.missing", "numeric.fill",
                                                   is_scaled ? "numeric.scaled" : "numeric"},
                                        .outputs = {"numeric.normal"}});
}

static void join(struct onnx_graph *graph, const char *left, const char *right, const char *out)
{
    onnx_add(graph, &(struct onnx_node){.op = "Concat",
                                        .inputs = {left, right},
                                        .outputs = {out},
                                        .attributes = {{.name = "axis", .integer = 1}}});
}

/* Each category column's row of its table, one behind the other, joined to `in`; its name in `out`. */
static enum status add_category_input(struct onnx_graph *graph, const struct onnx_source *source,
                                      int64_t columns, const char *in, char out[ONNX_NAME_BYTES],
                                      struct error *err)
{
    onnx_input(graph, &(struct onnx_value){.name = "category",
                                           .type = ONNX_INT64,
                                           .dims = {{.name = "batch"}, {.size = columns}},
                                           .dim_count = 2,
                                           .about = "category columns in the spec's order: row "
                                                    "numbers of their tables, already hashed"});
    const int64_t any[] = {-1, source->spec->model.mlp.embedding_width};
    (void)snprintf(out, ONNX_NAME_BYTES, "%s", in);
    for (int64_t i = 0; i < columns; i++) {
        char table[ONNX_NAME_BYTES], column[ONNX_NAME_BYTES], ids[ONNX_NAME_BYTES];
        char vector[ONNX_NAME_BYTES], joined[ONNX_NAME_BYTES];
        (void)snprintf(table, sizeof(table), "embedding.%lld.weight", (long long)i);
        (void)snprintf(column, sizeof(column), "category.%lld.column", (long long)i);
        (void)snprintf(ids, sizeof(ids), "category.%lld", (long long)i);
        (void)snprintf(vector, sizeof(vector), "embedding.%lld", (long long)i);
        (void)snprintf(joined, sizeof(joined), "input.%lld", (long long)i);
        const struct safetensors_tensor *tensor = NULL;
        TRY(onnx_weight(graph, source, table, 2, any, &tensor, err));
        onnx_int64s(graph, column, 0, &i, 1);
        onnx_add(graph, &(struct onnx_node){.op = "Gather",
                                            .inputs = {"category", column},
                                            .outputs = {ids},
                                            .attributes = {{.name = "axis", .integer = 1}}});
        onnx_add(graph,
                 &(struct onnx_node){.op = "Gather", .inputs = {table, ids}, .outputs = {vector}});
        if (out[0] != '\0')
            join(graph, out, vector, joined);
        (void)snprintf(out, ONNX_NAME_BYTES, "%s", out[0] != '\0' ? joined : vector);
    }
    return STATUS_OK;
}

static void add_activation(struct onnx_graph *graph, int activation, const char *in,
                           const char *out)
{
    if (activation != ACTIVATION_GELU) {
        onnx_add(graph, &(struct onnx_node){.op = activation == ACTIVATION_RELU ? "Relu" : "Tanh",
                                            .inputs = {in},
                                            .outputs = {out}});
        return;
    }
    /* x/2 (1 + erf(x / sqrt 2)); the operator Gelu came with set 20. */
    static const char *const steps[][2] = {
        {"Mul", "gelu.sqrt_half"}, {"Erf", NULL}, {"Add", "gelu.one"}, {"Mul", NULL}};
    char names[COUNT_OF(steps)][ONNX_NAME_BYTES];
    const char *value = in;
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        (void)snprintf(names[i], sizeof(names[i]), "%.120s.gelu%zu", out, i);
        struct onnx_node node = {.op = steps[i][0], .inputs = {value}, .outputs = {names[i]}};
        if (i != 1)
            node.inputs[1] = steps[i][1] != NULL ? steps[i][1] : in;
        onnx_add(graph, &node);
        value = names[i];
    }
    onnx_add(graph,
             &(struct onnx_node){.op = "Mul", .inputs = {value, "gelu.half"}, .outputs = {out}});
}

static enum status add_layers(struct onnx_graph *graph, const struct onnx_source *source,
                              const char *in, struct error *err)
{
    const size_t hidden = source->spec->model.mlp.hidden_count;
    const int activation = source->spec->model.mlp.activation;
    char value[ONNX_NAME_BYTES];
    (void)snprintf(value, sizeof(value), "%s", in);
    if (activation == ACTIVATION_GELU && hidden > 0) {
        onnx_scalar(graph, "gelu.sqrt_half", SQRT_HALF);
        onnx_scalar(graph, "gelu.one", 1.0F);
        onnx_scalar(graph, "gelu.half", 0.5F);
    }
    for (size_t l = 0; l <= hidden; l++) {
        char layer[ONNX_NAME_BYTES], sum[ONNX_NAME_BYTES];
        (void)snprintf(layer, sizeof(layer), "layer%zu", l);
        (void)snprintf(sum, sizeof(sum), "layer%zu.sum", l);
        int64_t width = 0;
        TRY(onnx_dense(graph, source, layer, value, sum, &width, err));
        if (l == hidden) {
            onnx_head(graph, sum, source->spec->model.mlp.head, width);
        } else {
            add_activation(graph, activation, sum, layer);
            (void)snprintf(value, sizeof(value), "%s", layer);
        }
    }
    return STATUS_OK;
}

static int64_t count_category_columns(const struct data_spec *spec)
{
    int64_t count = 0;
    for (size_t i = 0; i < spec->column_count; i++)
        count += spec->columns[i].kind == COLUMN_CATEGORY ? 1 : 0;
    return count;
}

enum status onnx_mlp(struct onnx_graph *graph, const struct onnx_source *source, struct error *err)
{
    char input[ONNX_NAME_BYTES] = "";
    const int format = source->spec->data.train.format;
    if (format == DATA_IDX || format == DATA_NPY) {
        const struct safetensors_tensor *first = NULL;
        const int64_t any[] = {-1, -1};
        TRY(onnx_tensor_find(source, "layer0.weight", 2, any, &first, err));
        add_features_input(graph, source, first->shape[1], input);
        return add_layers(graph, source, input, err);
    }
    const int64_t categories = count_category_columns(&source->spec->data);
    if (source->numeric_count > 0) {
        add_numeric_input(graph, source);
        (void)snprintf(input, sizeof(input), "numeric.normal");
    }
    if (categories > 0) {
        char joined[ONNX_NAME_BYTES];
        TRY(add_category_input(graph, source, categories, input, joined, err));
        return add_layers(graph, source, joined, err);
    }
    return add_layers(graph, source, input, err);
}
