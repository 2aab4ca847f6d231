#include "trainer/export/onnx.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/text.h"
#include "trainer/export/durable.h"
#include "trainer/export/protobuf.h"

#define TENSOR_HEADER_MAX 512

/* Field numbers of onnx.proto's messages. */
enum {
    MODEL_IR_VERSION = 1,
    MODEL_PRODUCER = 2,
    MODEL_PRODUCER_VERSION = 3,
    MODEL_DOC = 6,
    MODEL_GRAPH = 7,
    MODEL_OPERATOR_SET = 8,
    MODEL_PROPERTY = 14
};
enum { OPERATOR_SET_VERSION = 2 };
enum { PROPERTY_KEY = 1, PROPERTY_VALUE = 2 };
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP = 4, NODE_ATTRIBUTE = 5 };
enum {
    ATTRIBUTE_NAME = 1,
    ATTRIBUTE_INTEGER = 3,
    ATTRIBUTE_TEXT = 4,
    ATTRIBUTE_INTS = 8,
    ATTRIBUTE_TYPE = 20
};
enum { TYPE_INTEGER = 2, TYPE_TEXT = 3, TYPE_INTS = 7 }; /* AttributeProto.AttributeType */
enum { TENSOR_DIM = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9 };
enum { VALUE_NAME = 1, VALUE_TYPE = 2, VALUE_DOC = 3 };
enum { TYPE_TENSOR = 1, TENSOR_TYPE_ELEMENT = 1, TENSOR_TYPE_SHAPE = 2 };
enum { SHAPE_DIM = 1, DIM_SIZE = 1, DIM_NAME = 2 };

struct onnx_tensor {
    char name[ONNX_NAME_BYTES];
    int dims;
    int64_t shape[ONNX_DIMS_MAX];
    const float *values;
    size_t count;
};

struct onnx_graph {
    struct buf body; /* all fields of the GraphProto but the weights */
    struct onnx_tensor tensors[ONNX_TENSORS_MAX];
    size_t tensor_count;
    float *owned[ONNX_OWNED_MAX];
    size_t owned_count;
    enum status failed; /* the first failure that is not the body's */
};

enum status onnx_graph_new(const char *name, struct onnx_graph **out, struct error *err)
{
    struct onnx_graph *graph = calloc(1, sizeof(*graph));
    if (graph == NULL)
        return error_set(err, STATUS_NO_MEMORY, "build the graph of %s", name);
    buf_init(&graph->body, ONNX_GRAPH_MAX);
    protobuf_text(&graph->body, GRAPH_NAME, name);
    *out = graph;
    return STATUS_OK;
}

void onnx_graph_free(struct onnx_graph *graph)
{
    if (graph == NULL)
        return;
    for (size_t i = 0; i < graph->owned_count; i++)
        free(graph->owned[i]);
    buf_clear(&graph->body);
    free(graph);
}

void onnx_graph_cleanup(struct onnx_graph **graph)
{
    onnx_graph_free(*graph);
}

static void append_value(struct buf *out, int field, const struct onnx_value *value)
{
    assert(value->dim_count <= ONNX_DIMS_MAX);
    const struct protobuf_mark whole = protobuf_begin(out, field);
    protobuf_text(out, VALUE_NAME, value->name);
    const struct protobuf_mark type = protobuf_begin(out, VALUE_TYPE);
    const struct protobuf_mark tensor = protobuf_begin(out, TYPE_TENSOR);
    protobuf_varint(out, TENSOR_TYPE_ELEMENT, value->type);
    const struct protobuf_mark shape = protobuf_begin(out, TENSOR_TYPE_SHAPE);
    for (int i = 0; i < value->dim_count; i++) {
        const struct protobuf_mark dim = protobuf_begin(out, SHAPE_DIM);
        if (value->dims[i].name != NULL)
            protobuf_text(out, DIM_NAME, value->dims[i].name);
        else
            protobuf_int64(out, DIM_SIZE, value->dims[i].size);
        protobuf_end(out, dim);
    }
    protobuf_end(out, shape);
    protobuf_end(out, tensor);
    protobuf_end(out, type);
    if (value->about != NULL)
        protobuf_text(out, VALUE_DOC, value->about);
    protobuf_end(out, whole);
}

void onnx_input(struct onnx_graph *graph, const struct onnx_value *value)
{
    append_value(&graph->body, GRAPH_INPUT, value);
}

void onnx_output(struct onnx_graph *graph, const struct onnx_value *value)
{
    append_value(&graph->body, GRAPH_OUTPUT, value);
}

static void append_attribute(struct buf *out, const struct onnx_attribute *attribute)
{
    const struct protobuf_mark mark = protobuf_begin(out, NODE_ATTRIBUTE);
    protobuf_text(out, ATTRIBUTE_NAME, attribute->name);
    if (attribute->text != NULL) {
        protobuf_text(out, ATTRIBUTE_TEXT, attribute->text);
        protobuf_varint(out, ATTRIBUTE_TYPE, TYPE_TEXT);
    } else if (attribute->int_count > 0) {
        for (int i = 0; i < attribute->int_count; i++)
            protobuf_int64(out, ATTRIBUTE_INTS, attribute->ints[i]);
        protobuf_varint(out, ATTRIBUTE_TYPE, TYPE_INTS);
    } else {
        protobuf_int64(out, ATTRIBUTE_INTEGER, attribute->integer);
        protobuf_varint(out, ATTRIBUTE_TYPE, TYPE_INTEGER);
    }
    protobuf_end(out, mark);
}

void onnx_add(struct onnx_graph *graph, const struct onnx_node *node)
{
    struct buf *out = &graph->body;
    const struct protobuf_mark mark = protobuf_begin(out, GRAPH_NODE);
    for (int i = 0; i < ONNX_NODE_PORTS && node->inputs[i] != NULL; i++)
        protobuf_text(out, NODE_INPUT, node->inputs[i]);
    const char *name = NULL; /* of the first output that is wanted */
    for (int i = 0; i < ONNX_NODE_FIELDS && node->outputs[i] != NULL; i++) {
        protobuf_text(out, NODE_OUTPUT, node->outputs[i]);
        if (name == NULL && node->outputs[i][0] != '\0')
            name = node->outputs[i];
    }
    assert(name != NULL);
    protobuf_text(out, NODE_NAME, name);
    protobuf_text(out, NODE_OP, node->op);
    for (int i = 0; i < ONNX_NODE_FIELDS && node->attributes[i].name != NULL; i++)
        append_attribute(out, &node->attributes[i]);
    protobuf_end(out, mark);
}

static size_t shape_count(int dims, const int64_t *shape)
{
    size_t count = 1;
    for (int i = 0; i < dims; i++)
        count *= (size_t)shape[i];
    return count;
}

void onnx_floats(struct onnx_graph *graph, const char *name, int dims, const int64_t *shape,
                 const float *values, size_t count)
{
    assert(dims <= ONNX_DIMS_MAX && count == shape_count(dims, shape));
    if (graph->tensor_count == ONNX_TENSORS_MAX) {
        graph->failed = STATUS_TOO_LARGE;
        return;
    }
    struct onnx_tensor *tensor = &graph->tensors[graph->tensor_count++];
    *tensor = (struct onnx_tensor){.dims = dims, .values = values, .count = count};
    memcpy(tensor->shape, shape, (size_t)dims * sizeof(shape[0]));
    const bool fits = text_copy(tensor->name, sizeof(tensor->name), name);
    assert(fits);
}

float *onnx_new_floats(struct onnx_graph *graph, const char *name, int dims, const int64_t *shape)
{
    assert(graph->owned_count < ONNX_OWNED_MAX);
    const size_t count = shape_count(dims, shape);
    float *values = calloc(count > 0 ? count : 1, sizeof(*values));
    if (values == NULL) {
        graph->failed = STATUS_NO_MEMORY;
        return NULL;
    }
    graph->owned[graph->owned_count++] = values;
    onnx_floats(graph, name, dims, shape, values, count);
    return values;
}

void onnx_scalar(struct onnx_graph *graph, const char *name, float value)
{
    const struct protobuf_mark mark = protobuf_begin(&graph->body, GRAPH_INITIALIZER);
    protobuf_varint(&graph->body, TENSOR_TYPE, ONNX_FLOAT);
    protobuf_text(&graph->body, TENSOR_NAME, name);
    protobuf_bytes(&graph->body, TENSOR_RAW, &value, sizeof(value));
    protobuf_end(&graph->body, mark);
}

void onnx_doubles(struct onnx_graph *graph, const char *name, const double *values, size_t count)
{
    const struct protobuf_mark mark = protobuf_begin(&graph->body, GRAPH_INITIALIZER);
    protobuf_int64(&graph->body, TENSOR_DIM, (int64_t)count);
    protobuf_varint(&graph->body, TENSOR_TYPE, ONNX_DOUBLE);
    protobuf_text(&graph->body, TENSOR_NAME, name);
    protobuf_bytes(&graph->body, TENSOR_RAW, values, count * sizeof(values[0]));
    protobuf_end(&graph->body, mark);
}

void onnx_int64s(struct onnx_graph *graph, const char *name, int dims, const int64_t *values,
                 size_t count)
{
    assert(dims == 1 || (dims == 0 && count == 1));
    const struct protobuf_mark mark = protobuf_begin(&graph->body, GRAPH_INITIALIZER);
    if (dims == 1)
        protobuf_int64(&graph->body, TENSOR_DIM, (int64_t)count);
    protobuf_varint(&graph->body, TENSOR_TYPE, ONNX_INT64);
    protobuf_text(&graph->body, TENSOR_NAME, name);
    protobuf_bytes(&graph->body, TENSOR_RAW, values, count * sizeof(values[0]));
    protobuf_end(&graph->body, mark);
}

/* What stands before the raw bytes of a weight: tag and length of the TensorProto, its other fields. */
static void append_tensor_header(struct buf *out, const struct onnx_tensor *tensor)
{
    CLEANUP(buf_clear) struct buf fields;
    buf_init(&fields, TENSOR_HEADER_MAX);
    for (int i = 0; i < tensor->dims; i++)
        protobuf_int64(&fields, TENSOR_DIM, tensor->shape[i]);
    protobuf_varint(&fields, TENSOR_TYPE, ONNX_FLOAT);
    protobuf_text(&fields, TENSOR_NAME, tensor->name);
    protobuf_length(&fields, TENSOR_RAW, tensor->count * sizeof(float));
    protobuf_length(out, GRAPH_INITIALIZER, fields.size + tensor->count * sizeof(float));
    buf_append(out, fields.data, fields.size);
    if (fields.failed != STATUS_OK && out->failed == STATUS_OK)
        out->failed = fields.failed;
}

static void append_model_header(struct buf *out, const struct onnx_about *about)
{
    protobuf_int64(out, MODEL_IR_VERSION, ONNX_IR_VERSION);
    protobuf_text(out, MODEL_PRODUCER, "reprise-trainer");
    protobuf_text(out, MODEL_PRODUCER_VERSION, about->producer_version);
    protobuf_text(out, MODEL_DOC, about->text);
    const struct protobuf_mark set = protobuf_begin(out, MODEL_OPERATOR_SET);
    protobuf_int64(out, OPERATOR_SET_VERSION, ONNX_OPERATOR_SET);
    protobuf_end(out, set);
    for (size_t i = 0; i < about->property_count; i++) {
        const struct protobuf_mark property = protobuf_begin(out, MODEL_PROPERTY);
        protobuf_text(out, PROPERTY_KEY, about->properties[i].key);
        protobuf_text(out, PROPERTY_VALUE, about->properties[i].value);
        protobuf_end(out, property);
    }
}

/* The header of each weight, one behind the other; ends[i] is where that of weight i ends. */
static enum status encode_headers(const struct onnx_graph *graph, struct buf *out,
                                  size_t ends[ONNX_TENSORS_MAX], struct error *err)
{
    for (size_t i = 0; i < graph->tensor_count; i++) {
        append_tensor_header(out, &graph->tensors[i]);
        ends[i] = out->size;
    }
    return buf_status(out, "ONNX weights", err);
}

static enum status check(const struct onnx_graph *graph, const char *path, struct error *err)
{
    TRY(buf_status(&graph->body, "ONNX graph", err));
    if (graph->failed == STATUS_NO_MEMORY)
        return error_set(err, STATUS_NO_MEMORY, "%s: weights of the graph", path);
    if (graph->failed != STATUS_OK)
        return error_set(err, graph->failed, "%s: a graph of more than %d weights", path,
                         ONNX_TENSORS_MAX);
    return STATUS_OK;
}

enum status onnx_write(const char *path, const struct onnx_graph *graph,
                       const struct onnx_about *about, struct error *err)
{
    TRY(check(graph, path, err));
    CLEANUP(buf_clear) struct buf headers;
    CLEANUP(buf_clear) struct buf model;
    buf_init(&headers, ONNX_TENSORS_MAX * TENSOR_HEADER_MAX);
    buf_init(&model, ONNX_GRAPH_MAX);
    size_t ends[ONNX_TENSORS_MAX];
    TRY(encode_headers(graph, &headers, ends, err));
    uint64_t graph_bytes = graph->body.size + headers.size;
    for (size_t i = 0; i < graph->tensor_count; i++)
        graph_bytes += graph->tensors[i].count * sizeof(float);
    append_model_header(&model, about);
    if (graph_bytes + model.size >= (uint64_t)ONNX_FILE_MAX)
        return error_set(err, STATUS_TOO_LARGE, "%s: %llu bytes, an ONNX file has at most %lld",
                         path, (unsigned long long)graph_bytes, (long long)ONNX_FILE_MAX);
    protobuf_length(&model, MODEL_GRAPH, graph_bytes);
    TRY(buf_status(&model, "ONNX model", err));

    CLEANUP(durable_cleanup) struct durable_file file = {.fd = -1};
    TRY(durable_open(&file, path, err));
    TRY(durable_append(&file, model.data, model.size, err));
    TRY(durable_append(&file, graph->body.data, graph->body.size, err));
    for (size_t i = 0; i < graph->tensor_count; i++) {
        const size_t begin = i == 0 ? 0 : ends[i - 1];
        const struct onnx_tensor *tensor = &graph->tensors[i];
        TRY(durable_append(&file, headers.data + begin, ends[i] - begin, err));
        TRY(durable_append(&file, tensor->values, tensor->count * sizeof(float), err));
    }
    return durable_publish(&file, path, err);
}
