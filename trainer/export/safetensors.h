#ifndef TRAINER_EXPORT_SAFETENSORS_H
#define TRAINER_EXPORT_SAFETENSORS_H

/*
 * safetensors.h - named tensors in one file: checkpoints and models.
 *
 * Layout: 8 bytes little-endian N; N bytes of JSON ("name": {dtype, shape, data_offsets}, and
 * "__metadata__": string to string); the tensors' bytes, packed. We write float32 only, pad the
 * header with spaces so that the bytes begin at a multiple of 64, and write durably.
 *
 * The reader takes nothing on trust: offsets, shapes and sizes are checked against the file before
 * a tensor is handed out, and the whole buffer must be covered without holes or overlaps.
 *
 * Errors: STATUS_CORRUPT names the file and what is wrong with it; STATUS_NOT_FOUND a missing tensor.
 * Ownership: what a reader returns lies in its mapping and lives as long as it.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

#define SAFETENSORS_DIMS_MAX     4
#define SAFETENSORS_TENSORS_MAX  1024
#define SAFETENSORS_METADATA_MAX 32
#define SAFETENSORS_HEADER_MAX   (64 * 1024 * 1024) /* the format's own limit is 100 MB */
#define SAFETENSORS_NAME_BYTES   128

struct safetensors_tensor {
    char name[SAFETENSORS_NAME_BYTES];
    int dims;
    int64_t shape[SAFETENSORS_DIMS_MAX];
    const float *values;
    size_t count;
};

struct safetensors_metadata {
    const char *key;
    const char *value;
};

struct safetensors_content {
    const struct safetensors_tensor *tensors; /* written in this order */
    size_t tensor_count;
    const struct safetensors_metadata *metadata;
    size_t metadata_count;
};

struct safetensors_written {
    uint64_t bytes;
    char sha256[SHA256_HEX_BYTES]; /* of the file */
};

/* Writes `path` durably: temporary name, fsync, rename, fsync of the folder. */
MUST_CHECK enum status safetensors_write(const char *path,
                                         const struct safetensors_content *content,
                                         struct safetensors_written *out, struct error *err);
/* SHA-256 over the tensors' bytes in the order of their names: independent of metadata and layout. */
void safetensors_digest(const struct safetensors_tensor *tensors, size_t count,
                        char out[SHA256_HEX_BYTES]);

struct safetensors; /* an opened file */

MUST_CHECK enum status safetensors_open(const char *path, struct safetensors **out,
                                        struct error *err);
void safetensors_close(struct safetensors *file); /* accepts NULL */
void safetensors_cleanup(struct safetensors **file);
/* NULL if there is none. */
const char *safetensors_metadata(const struct safetensors *file, const char *key);
const struct safetensors_tensor *safetensors_tensors(const struct safetensors *file,
                                                     size_t *out_count);
/* The values of the tensor of this name, which must have `count` elements. */
MUST_CHECK enum status safetensors_find(const struct safetensors *file, const char *name,
                                        size_t count, const float **out, struct error *err);

#endif
