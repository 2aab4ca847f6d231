#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "trainer/export/durable.h"
#include "trainer/export/safetensors.h"

#define HEADER_ALIGNMENT 64

static json_t *encode_shape(const struct safetensors_tensor *tensor)
{
    json_t *shape = json_array();
    for (int i = 0; i < tensor->dims; i++)
        (void)json_array_append_new(shape, json_integer(tensor->shape[i])); /* checked at the end */
    return shape;
}

/* NULL only when out of memory. */
static json_t *encode_header(const struct safetensors_content *content)
{
    json_t *header = json_object();
    json_t *metadata = json_object();
    for (size_t i = 0; i < content->metadata_count; i++)
        (void)json_object_set_new(metadata, content->metadata[i].key,
                                  json_string(content->metadata[i].value));
    (void)json_object_set_new(header, "__metadata__", metadata);
    size_t offset = 0;
    for (size_t i = 0; i < content->tensor_count; i++) {
        const struct safetensors_tensor *tensor = &content->tensors[i];
        const size_t end = offset + tensor->count * sizeof(float);
        json_t *entry =
            json_pack("{s:s, s:o, s:[I,I]}", "dtype", "F32", "shape", encode_shape(tensor),
                      "data_offsets", (json_int_t)offset, (json_int_t)end);
        (void)json_object_set_new(header, tensor->name, entry);
        offset = end;
    }
    if (json_object_size(header) != content->tensor_count + 1 ||
        json_object_size(metadata) != content->metadata_count) {
        json_decref(header);
        return NULL;
    }
    return header;
}

/* The length word and the padded JSON. */
static enum status append_header(struct buf *out, const struct safetensors_content *content,
                                 struct error *err)
{
    CLEANUP(json_cleanup) json_t *header = encode_header(content);
    CLEANUP(free_cleanup)
    char *text = header == NULL ? NULL : json_dumps(header, JSON_COMPACT);
    if (text == NULL)
        return error_set(err, STATUS_NO_MEMORY, "encode a safetensors header");
    const size_t text_bytes = strlen(text);
    const size_t padded = (sizeof(uint64_t) + text_bytes + HEADER_ALIGNMENT - 1) /
                              HEADER_ALIGNMENT * HEADER_ALIGNMENT -
                          sizeof(uint64_t);
    const uint64_t length = padded; /* little-endian, as all machines that we build for */
    buf_append(out, &length, sizeof(length));
    buf_append(out, text, text_bytes);
    for (size_t i = text_bytes; i < padded; i++)
        buf_append(out, " ", 1);
    return buf_status(out, "safetensors header", err);
}

enum status safetensors_write(const char *path, const struct safetensors_content *content,
                              struct safetensors_written *out, struct error *err)
{
    assert(content->tensor_count <= SAFETENSORS_TENSORS_MAX);
    CLEANUP(buf_clear) struct buf header;
    buf_init(&header, SAFETENSORS_HEADER_MAX);
    TRY(append_header(&header, content, err));

    CLEANUP(durable_cleanup) struct durable_file file = {.fd = -1};
    TRY(durable_open(&file, path, err));
    TRY(durable_append(&file, header.data, header.size, err));
    for (size_t i = 0; i < content->tensor_count; i++)
        TRY(durable_append(&file, content->tensors[i].values,
                           content->tensors[i].count * sizeof(float), err));
    TRY(durable_publish(&file, path, err));

    durable_sha256(&file, out->sha256);
    out->bytes = file.bytes;
    return STATUS_OK;
}

static int compare_names(const void *a, const void *b)
{
    const struct safetensors_tensor *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

void safetensors_digest(const struct safetensors_tensor *tensors, size_t count,
                        char out[SHA256_HEX_BYTES])
{
    assert(count <= SAFETENSORS_TENSORS_MAX);
    const struct safetensors_tensor *sorted[SAFETENSORS_TENSORS_MAX];
    for (size_t i = 0; i < count; i++)
        sorted[i] = &tensors[i];
    qsort((void *)sorted, count, sizeof(const struct safetensors_tensor *), compare_names);
    CLEANUP(sha256_cleanup) struct sha256 *hash = sha256_new();
    for (size_t i = 0; i < count; i++)
        sha256_update(hash, sorted[i]->values, sorted[i]->count * sizeof(float));
    uint8_t digest[SHA256_BYTES];
    sha256_final(hash, digest);
    sha256_hex(digest, out);
}
