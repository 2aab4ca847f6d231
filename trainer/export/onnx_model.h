#ifndef TRAINER_EXPORT_ONNX_MODEL_H
#define TRAINER_EXPORT_ONNX_MODEL_H

/*
 * onnx_model.h - model.onnx from what model.safetensors holds: the spec, what was fitted on the data,
 * and the tensors by name. A family's graph is a function of these alone (onnx_<family>.c).
 *
 *   mlp     images:  features float (batch, width), raw bytes 0..255; other arrays: their values
 *           tables:  numeric float (batch, n), raw values, NaN where missing: the normaliser is in the
 *                    graph; category int64 (batch, m), row numbers of the tables, already hashed
 *           out:     probabilities (batch, classes) | probability (batch, 1) | value (batch, 1)
 *   ncf     user, item int64 (batch), numbers as in the training data -> score (batch), 0..1
 *   bilstm  padding skip:    tokens int64 (batch, steps), first token first, and lengths int64 (batch)
 *           padding compute: tokens int64 (batch, length), 0 in front of shorter texts
 *           out:     probabilities (batch, classes) | probability (batch, 1)
 */

#include "schema/job_spec.h"
#include "trainer/export/onnx.h"
#include "trainer/export/safetensors.h"

struct onnx_source {
    const struct job_spec *spec;
    const struct safetensors_tensor *tensors;
    size_t tensor_count;
    /* mlp: what a value is multiplied by if records are bytes; 0: they are not */
    float bytes_scale;
    /*
     * mlp on columns, (numeric_count) each: a value becomes (value - mean) / std in double, a missing one
     * 0; where stds is NULL values are taken as they are, and a missing one is the mean.
     */
    size_t numeric_count;
    const double *means;
    const double *stds;
    /* Shown by tools: hashes, names of columns and classes. */
    const struct onnx_property *properties;
    size_t property_count;
};

/* Whether the family can be written. */
bool onnx_allows(const struct job_spec *spec);
/* STATUS_NOT_FOUND and STATUS_CORRUPT name a tensor that is missing or of another shape. */
MUST_CHECK enum status onnx_export(const char *path, const struct onnx_source *source,
                                   struct error *err);

/* ---- between onnx_*.c ---- */

typedef enum status onnx_family_fn(struct onnx_graph *graph, const struct onnx_source *source,
                                   struct error *err);
onnx_family_fn onnx_mlp, onnx_ncf, onnx_bilstm;

/* The tensor of this name; `dims` of its shape are checked, a negative one may be anything. */
MUST_CHECK enum status onnx_tensor_find(const struct onnx_source *source, const char *name,
                                        int dims, const int64_t *shape,
                                        const struct safetensors_tensor **out, struct error *err);
/* The same, and adds it to the graph under its name. */
MUST_CHECK enum status onnx_weight(struct onnx_graph *graph, const struct onnx_source *source,
                                   const char *name, int dims, const int64_t *shape,
                                   const struct safetensors_tensor **out, struct error *err);
/* out = in * weight^T + bias for the layer's tensors NAME.weight (outputs, inputs) and NAME.bias. */
MUST_CHECK enum status onnx_dense(struct onnx_graph *graph, const struct onnx_source *source,
                                  const char *name, const char *in, const char *out,
                                  int64_t *out_width, struct error *err);
/* The graph's output from the head's logits (batch, classes): probabilities or a value. */
void onnx_head(struct onnx_graph *graph, const char *logits, int head, int64_t classes);

#endif
