#include "trainer/export/onnx_model.h"

#include <stdio.h>
#include <string.h>

#include "base/version.h"

struct family {
    const char *name; /* of the graph */
    onnx_family_fn *build;
    const char *about;
};

static const struct family families[] = {
    [MODEL_MLP] = {"mlp", onnx_mlp,
                   "Multilayer perceptron. Numeric columns go in as they are in the data (NaN: "
                   "missing); categories as the row numbers of their tables, already hashed."},
    [MODEL_BILSTM] = {"bilstm", onnx_bilstm,
                      "Bidirectional LSTM over a text. Tokens are numbers of the vocabulary in "
                      "model.safetensors: 0 is padding, 1 any other word."},
    [MODEL_NCF] = {"ncf", onnx_ncf,
                   "Neural collaborative filtering. Users and items are numbered as in the "
                   "training data; the score orders items for a user."},
};

bool onnx_allows(const struct job_spec *spec)
{
    const size_t type = (size_t)spec->model.type;
    return type < COUNT_OF(families) && families[type].build != NULL;
}

enum status onnx_export(const char *path, const struct onnx_source *source, struct error *err)
{
    if (!onnx_allows(source->spec))
        return error_set(err, STATUS_UNSUPPORTED, "%s: this family of models has no ONNX form",
                         path);
    const struct family *family = &families[source->spec->model.type];
    CLEANUP(onnx_graph_cleanup) struct onnx_graph *graph = NULL;
    TRY(onnx_graph_new(family->name, &graph, err));
    TRY(family->build(graph, source, err));
    const struct onnx_about about = {.text = family->about,
                                     .producer_version = REPRISE_VERSION,
                                     .properties = source->properties,
                                     .property_count = source->property_count};
    return onnx_write(path, graph, &about, err);
}

enum status onnx_tensor_find(const struct onnx_source *source, const char *name, int dims,
                             const int64_t *shape, const struct safetensors_tensor **out,
                             struct error *err)
{
    const struct safetensors_tensor *tensor = NULL;
    for (size_t i = 0; i < source->tensor_count && tensor == NULL; i++) {
        if (strcmp(source->tensors[i].name, name) == 0)
            tensor = &source->tensors[i];
    }
    if (tensor == NULL)
        return error_set(err, STATUS_NOT_FOUND, "tensor %s is missing", name);
    if (tensor->dims != dims)
        return error_set(err, STATUS_CORRUPT, "tensor %s has %d dimensions, expected %d", name,
                         tensor->dims, dims);
    for (int i = 0; i < dims; i++) {
        if (shape[i] >= 0 && tensor->shape[i] != shape[i])
            return error_set(err, STATUS_CORRUPT,
                             "tensor %s has size %lld in dimension %d, expected %lld", name,
                             (long long)tensor->shape[i], i, (long long)shape[i]);
    }
    *out = tensor;
    return STATUS_OK;
}

enum status onnx_weight(struct onnx_graph *graph, const struct onnx_source *source,
                        const char *name, int dims, const int64_t *shape,
                        const struct safetensors_tensor **out, struct error *err)
{
    const struct safetensors_tensor *tensor = NULL;
    TRY(onnx_tensor_find(source, name, dims, shape, &tensor, err));
    onnx_floats(graph, name, dims, tensor->shape, tensor->values, tensor->count);
    *out = tensor;
    return STATUS_OK;
}

enum status onnx_dense(struct onnx_graph *graph, const struct onnx_source *source, const char *name,
                       const char *in, const char *out, int64_t *out_width, struct error *err)
{
    char weight_name[ONNX_NAME_BYTES], bias_name[ONNX_NAME_BYTES];
    (void)snprintf(weight_name, sizeof(weight_name), "%s.weight", name);
    (void)snprintf(bias_name, sizeof(bias_name), "%s.bias", name);
    const struct safetensors_tensor *weight = NULL, *bias = NULL;
    const int64_t any[] = {-1, -1};
    TRY(onnx_weight(graph, source, weight_name, 2, any, &weight, err));
    TRY(onnx_weight(graph, source, bias_name, 1, weight->shape, &bias, err));
    onnx_add(graph, &(struct onnx_node){.op = "Gemm",
                                        .inputs = {in, weight_name, bias_name},
                                        .outputs = {out},
                                        .attributes = {{.name = "transB", .integer = 1}}});
    *out_width = weight->shape[0];
    return STATUS_OK;
}

void onnx_head(struct onnx_graph *graph, const char *logits, int head, int64_t classes)
{
    static const struct {
        const char *op, *output;
    } heads[] = {
        [HEAD_SOFTMAX] = {"Softmax", "probabilities"},
        [HEAD_SIGMOID] = {"Sigmoid", "probability"},
        [HEAD_LINEAR] = {"Identity", "value"},
    };
    struct onnx_node node = {
        .op = heads[head].op, .inputs = {logits}, .outputs = {heads[head].output}};
    if (head == HEAD_SOFTMAX)
        node.attributes[0] = (struct onnx_attribute){.name = "axis", .integer = 1};
    onnx_add(graph, &node);
    onnx_output(graph, &(struct onnx_value){.name = heads[head].output,
                                            .type = ONNX_FLOAT,
                                            .dims = {{.name = "batch"}, {.size = classes}},
                                            .dim_count = 2});
}
