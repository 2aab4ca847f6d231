#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "trainer/export/safetensors.h"

struct safetensors {
    uint8_t *mapping;
    size_t mapping_bytes;
    json_t *header;
    struct safetensors_tensor *tensors;
    size_t tensor_count;
};

void safetensors_close(struct safetensors *file)
{
    if (file == NULL)
        return;
    if (file->mapping != NULL)
        (void)munmap(file->mapping, file->mapping_bytes);
    json_decref(file->header);
    free(file->tensors);
    free(file);
}

void safetensors_cleanup(struct safetensors **file)
{
    safetensors_close(*file);
}

static enum status map_file(struct safetensors *file, const char *path, struct error *err)
{
    CLEANUP(fd_cleanup) const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "open %s", path);
    struct stat found;
    if (fstat(fd, &found) != 0)
        return error_set_errno(err, status_of_errno(errno), errno, "stat %s", path);
    if (found.st_size < (off_t)sizeof(uint64_t))
        return error_set(err, STATUS_CORRUPT, "%s: %lld bytes are no safetensors file", path,
                         (long long)found.st_size);
    void *mapping = mmap(NULL, (size_t)found.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapping == MAP_FAILED)
        return error_set_errno(err, STATUS_NO_MEMORY, errno, "map %s", path);
    file->mapping = mapping;
    file->mapping_bytes = (size_t)found.st_size;
    return STATUS_OK;
}

/* Reads the shape; false when it is malformed or its product is not `count`. */
static bool read_shape(const json_t *shape, size_t count, struct safetensors_tensor *out)
{
    if (!json_is_array(shape) || json_array_size(shape) > SAFETENSORS_DIMS_MAX)
        return false;
    size_t product = 1;
    for (size_t i = 0; i < json_array_size(shape); i++) {
        const json_t *value = json_array_get(shape, i);
        if (!json_is_integer(value) || json_integer_value(value) < 0)
            return false;
        out->shape[i] = json_integer_value(value);
        const size_t size = (size_t)out->shape[i];
        if (size != 0 && product > SIZE_MAX / size)
            return false;
        product *= size;
    }
    out->dims = (int)json_array_size(shape);
    return product == count;
}

static enum status read_entry(const char *path, const char *name, const json_t *entry,
                              const uint8_t *data, size_t data_bytes,
                              struct safetensors_tensor *out, struct error *err)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const char *type = json_string_value(json_object_get(entry, "dtype"));
    if (strlen(name) >= sizeof(out->name))
        return error_set(err, STATUS_CORRUPT, "%s: a tensor's name is over %zu bytes", path,
                         sizeof(out->name) - 1);
    if (type == NULL || strcmp(type, "F32") != 0)
        return error_set(err, STATUS_UNSUPPORTED, "%s: tensor %s is %s, only F32 is read", path,
                         name, type == NULL ? "without a type" : type);
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return error_set(err, STATUS_CORRUPT, "%s: tensor %s has no data_offsets", path, name);
    const json_int_t begin = json_integer_value(first), end = json_integer_value(last);
    if (begin < 0 || end < begin || (uint64_t)end > data_bytes ||
        begin % (json_int_t)sizeof(float) != 0 || (end - begin) % (json_int_t)sizeof(float) != 0)
        return error_set(err, STATUS_CORRUPT, "%s: tensor %s: bytes %lld to %lld of %zu", path,
                         name, (long long)begin, (long long)end, data_bytes);
    out->count = (size_t)(end - begin) / sizeof(float);
    if (!read_shape(json_object_get(entry, "shape"), out->count, out))
        return error_set(err, STATUS_CORRUPT, "%s: tensor %s: its shape is not that of %zu floats",
                         path, name, out->count);
    out->values = (const float *)(const void *)(data + begin);
    (void)memcpy(out->name, name, strlen(name) + 1);
    return STATUS_OK;
}

static int compare_places(const void *a, const void *b)
{
    const struct safetensors_tensor *left = a, *right = b;
    if (left->values != right->values)
        return left->values < right->values ? -1 : 1;
    return (left->count > right->count) - (left->count < right->count);
}

/* Sorts by place and checks that the tensors cover the buffer without holes or overlaps. */
static enum status check_cover(const char *path, struct safetensors *file, const uint8_t *data,
                               size_t data_bytes, struct error *err)
{
    if (file->tensor_count > 0)
        qsort(file->tensors, file->tensor_count, sizeof(*file->tensors), compare_places);
    const uint8_t *next = data;
    for (size_t i = 0; i < file->tensor_count; i++) {
        if ((const uint8_t *)file->tensors[i].values != next)
            return error_set(err, STATUS_CORRUPT,
                             "%s: tensor %s begins at byte %td, the one before it ends at %td",
                             path, file->tensors[i].name,
                             (const uint8_t *)file->tensors[i].values - data, next - data);
        next += file->tensors[i].count * sizeof(float);
    }
    if (next != data + data_bytes)
        return error_set(err, STATUS_CORRUPT, "%s: %td bytes behind the last tensor", path,
                         data + data_bytes - next);
    return STATUS_OK;
}

static enum status read_header(struct safetensors *file, const char *path, struct error *err)
{
    uint64_t length = 0;
    assert(file->mapping != NULL);
    memcpy(&length, file->mapping, sizeof(length));
    if (length > SAFETENSORS_HEADER_MAX || length > file->mapping_bytes - sizeof(length))
        return error_set(err, STATUS_CORRUPT, "%s: a header of %llu bytes in a file of %zu", path,
                         (unsigned long long)length, file->mapping_bytes);
    const char *text = (const char *)file->mapping + sizeof(length);
    struct error cause = {.status = STATUS_OK};
    if (json_parse(text, length, &file->header, &cause) != STATUS_OK)
        return error_set(err, STATUS_CORRUPT, "%s: header: %s", path, cause.text);
    if (!json_is_object(file->header) ||
        json_object_size(file->header) > SAFETENSORS_TENSORS_MAX + 1)
        return error_set(err, STATUS_CORRUPT, "%s: the header is no object of at most %d tensors",
                         path, SAFETENSORS_TENSORS_MAX);

    const uint8_t *data = file->mapping + sizeof(length) + length;
    const size_t data_bytes = file->mapping_bytes - sizeof(length) - length;
    if ((uintptr_t)data % sizeof(float) != 0)
        return error_set(err, STATUS_CORRUPT, "%s: a header of %llu bytes leaves floats unaligned",
                         path, (unsigned long long)length);
    file->tensors = calloc(json_object_size(file->header) + 1, sizeof(*file->tensors));
    if (file->tensors == NULL)
        return error_set(err, STATUS_NO_MEMORY, "read %s", path);
    const char *name;
    json_t *entry;
    json_object_foreach(file->header, name, entry) {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        TRY(read_entry(path, name, entry, data, data_bytes, &file->tensors[file->tensor_count],
                       err));
        file->tensor_count++;
    }
    return check_cover(path, file, data, data_bytes, err);
}

enum status safetensors_open(const char *path, struct safetensors **out, struct error *err)
{
    CLEANUP(safetensors_cleanup) struct safetensors *file = calloc(1, sizeof(*file));
    if (file == NULL)
        return error_set(err, STATUS_NO_MEMORY, "open %s", path);
    TRY(map_file(file, path, err));
    TRY(read_header(file, path, err));
    *out = TAKE(file);
    return STATUS_OK;
}

const char *safetensors_metadata(const struct safetensors *file, const char *key)
{
    return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}

const struct safetensors_tensor *safetensors_tensors(const struct safetensors *file,
                                                     size_t *out_count)
{
    *out_count = file->tensor_count;
    return file->tensors;
}

enum status safetensors_find(const struct safetensors *file, const char *name, size_t count,
                             const float **out, struct error *err)
{
    for (size_t i = 0; i < file->tensor_count; i++) {
        const struct safetensors_tensor *tensor = &file->tensors[i];
        if (strcmp(tensor->name, name) != 0)
            continue;
        if (tensor->count != count)
            return error_set(err, STATUS_CORRUPT, "tensor %s has %zu elements, expected %zu", name,
                             tensor->count, count);
        *out = tensor->values;
        return STATUS_OK;
    }
    return error_set(err, STATUS_NOT_FOUND, "tensor %s is missing", name);
}
