#ifndef TRAINER_EXPORT_ONNX_H
#define TRAINER_EXPORT_ONNX_H

/*
 * onnx.h - builds an ONNX graph and writes it as a file: nodes and small constants in a buffer, weights
 * by reference, so that they are never copied. onnx_model.h makes graphs of our model families.
 *
 * The file is a ModelProto of IR version 7 with operators of set 13 of the default domain; weights are
 * initializers with raw little-endian float32. The sources are onnx.proto and Operators.md.
 *
 * Errors: too many or too large parts, and STATUS_NO_MEMORY, are remembered and come from
 *         onnx_write(); so graphs are built without checks. Its own name the file.
 * Ownership: names and shapes are copied; the values of onnx_floats() are borrowed until the graph is
 *         freed, unless they came from onnx_new_floats().
 */

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define ONNX_IR_VERSION     7
#define ONNX_OPERATOR_SET   13
#define ONNX_GRAPH_MAX      (4 * 1024 * 1024)  /* bytes without weights */
#define ONNX_FILE_MAX       (INT64_C(2) << 30) /* protocol buffers' own limit */
#define ONNX_TENSORS_MAX    1024
#define ONNX_OWNED_MAX      16
#define ONNX_DIMS_MAX       4
#define ONNX_NODE_PORTS     8
#define ONNX_NODE_FIELDS    4
#define ONNX_NAME_BYTES     160
#define ONNX_ATTRIBUTE_INTS 4

enum onnx_type { ONNX_FLOAT = 1, ONNX_INT32 = 6, ONNX_INT64 = 7, ONNX_DOUBLE = 11 };

struct onnx_graph;

/* A dimension has a size, or a name where it is only known when the model runs. */
struct onnx_dim {
    const char *name; /* "batch"; NULL: fixed */
    int64_t size;
};

/* An input or output of the graph. */
struct onnx_value {
    const char *name;
    enum onnx_type type;
    struct onnx_dim dims[ONNX_DIMS_MAX];
    int dim_count;
    const char *about; /* doc string */
};

/* One of: a text, integers, one integer. */
struct onnx_attribute {
    const char *name; /* NULL ends the list */
    const char *text;
    int64_t ints[ONNX_ATTRIBUTE_INTS];
    int int_count; /* 0: `integer`, unless there is a text */
    int64_t integer;
};

struct onnx_node {
    const char *op; /* "Gemm" */
    /* Ended by NULL; "" leaves an optional input out. */
    const char *inputs[ONNX_NODE_PORTS];
    const char *outputs[ONNX_NODE_FIELDS];
    struct onnx_attribute attributes[ONNX_NODE_FIELDS];
};

struct onnx_property {
    const char *key, *value;
};

struct onnx_about {
    const char *text; /* doc string of the model */
    const char *producer_version;
    const struct onnx_property *properties;
    size_t property_count;
};

MUST_CHECK enum status onnx_graph_new(const char *name, struct onnx_graph **out, struct error *err);
void onnx_graph_free(struct onnx_graph *graph); /* accepts NULL */
void onnx_graph_cleanup(struct onnx_graph **graph);

void onnx_input(struct onnx_graph *graph, const struct onnx_value *value);
void onnx_output(struct onnx_graph *graph, const struct onnx_value *value);
/* Nodes come in the order of their execution. The node's name is that of its first output. */
void onnx_add(struct onnx_graph *graph, const struct onnx_node *node);
/* A weight; `count` is the product of `shape`. */
void onnx_floats(struct onnx_graph *graph, const char *name, int dims, const int64_t *shape,
                 const float *values, size_t count);
/* The same with zeroed memory of the graph's own, to be filled; NULL: the graph has failed. */
float *onnx_new_floats(struct onnx_graph *graph, const char *name, int dims, const int64_t *shape);
/* Small constants, copied. dims 0: a scalar. */
void onnx_scalar(struct onnx_graph *graph, const char *name, float value);
void onnx_doubles(struct onnx_graph *graph, const char *name, const double *values, size_t count);
void onnx_int64s(struct onnx_graph *graph, const char *name, int dims, const int64_t *values,
                 size_t count);

/* Writes `path` durably. */
MUST_CHECK enum status onnx_write(const char *path, const struct onnx_graph *graph,
                                  const struct onnx_about *about, struct error *err);

#endif
