#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
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

/* A file under a temporary name, hashed as it is written. */
struct durable_file {
    char path[PATH_MAX]; /* "" once it has its final name */
    int fd;
    struct sha256 *hash;
    uint64_t bytes;
};

static void durable_cleanup(const struct durable_file *file)
{
    if (file->fd >= 0)
        (void)close(file->fd);
    if (file->path[0] != '\0')
        (void)unlink(file->path); /* best effort: a leftover harms nobody */
    sha256_free(file->hash);
}

static enum status durable_append(struct durable_file *file, const void *bytes, size_t size,
                                  struct error *err)
{
    sha256_update(file->hash, bytes, size);
    file->bytes += size;
    const enum status written = fs_write_all(file->fd, bytes, size, NULL);
    if (written != STATUS_OK)
        return error_set_errno(err, written, errno, "write %s", file->path);
    return STATUS_OK;
}

static enum status durable_publish(struct durable_file *file, const char *path, struct error *err)
{
    if (fsync(file->fd) != 0)
        return error_set_errno(err, status_of_errno(errno), errno, "fsync %s", file->path);
    if (rename(file->path, path) != 0)
        return error_set_errno(err, status_of_errno(errno), errno, "rename %s to %s", file->path,
                               path);
    file->path[0] = '\0';
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX];
    TRY(fs_path(folder, sizeof(folder), err, "%.*s", slash == NULL ? 1 : (int)(slash - path),
                slash == NULL ? "." : path));
    return fs_fsync_dir(folder, err);
}

enum status safetensors_write(const char *path, const struct safetensors_content *content,
                              struct safetensors_written *out, struct error *err)
{
    assert(content->tensor_count <= SAFETENSORS_TENSORS_MAX);
    CLEANUP(buf_clear) struct buf header;
    buf_init(&header, SAFETENSORS_HEADER_MAX);
    TRY(append_header(&header, content, err));

    CLEANUP(durable_cleanup) struct durable_file file = {.fd = -1};
    TRY(fs_path(file.path, sizeof(file.path), err, "%s.tmp", path));
    file.fd = open(file.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file.fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "create %s", file.path);
    file.hash = sha256_new();
    TRY(durable_append(&file, header.data, header.size, err));
    for (size_t i = 0; i < content->tensor_count; i++)
        TRY(durable_append(&file, content->tensors[i].values,
                           content->tensors[i].count * sizeof(float), err));
    TRY(durable_publish(&file, path, err));

    uint8_t digest[SHA256_BYTES];
    sha256_final(file.hash, digest);
    sha256_hex(digest, out->sha256);
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
