/*
 * npy.c - NumPy's array files (NEP 1, versions 1 to 3): features of 1 to 4 dimensions, of which the first
 * counts records, and labels of one. Little-endian, C order; float32, float64, uint8, int32, int64. Bytes
 * stay bytes, scaled to 0..1 as images are; other features become float32. Integer labels are classes.
 * Plain, gzip or zstd; offsets in errors are those of the decoded stream.
 */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/fs.h"
#include "trainer/data/data.h"
#include "trainer/data/number.h"
#include "trainer/data/source.h"

#define NPY_MAGIC          "\x93NUMPY"
#define NPY_MAGIC_BYTES    6
#define NPY_HEADER_MAX     (64 * KIB)
#define NPY_DIMENSIONS_MAX 4
#define NPY_CHUNK_VALUES   8192
#define NPY_SHOWN_BYTES    20 /* of a header's value in an error */
#define NPY_BYTE_SCALE     (1.0F / 255.0F)

enum npy_type { NPY_F4, NPY_F8, NPY_U1, NPY_I4, NPY_I8, NPY_TYPE_COUNT };
static const char *const npy_words[NPY_TYPE_COUNT] = {"<f4", "<f8", "|u1", "<i4", "<i8"};
static const size_t npy_bytes[NPY_TYPE_COUNT] = {4, 8, 1, 4, 8};

struct npy {
    char path[PATH_MAX];
    struct source *source;
    enum npy_type type;
    int64_t count; /* records */
    int64_t width; /* values of each */
};

static void npy_close(struct npy *npy)
{
    source_close(npy->source);
}

/* ------------------------------------------------------------------ the header */

/* What stands behind 'key': in the dictionary's text, or NULL. */
static const char *value_of(const char *text, const char *key)
{
    const char *const found = strstr(text, key);
    if (found == NULL)
        return NULL;
    const char *at = found + strlen(key);
    return at + strspn(at, " ");
}

static enum status parse_type(struct npy *npy, const char *text, struct error *err)
{
    const char *const value = value_of(text, "'descr':");
    for (int type = 0; value != NULL && type < NPY_TYPE_COUNT; type++) {
        const size_t size = strlen(npy_words[type]);
        if (value[0] == '\'' && strncmp(value + 1, npy_words[type], size) == 0 &&
            value[1 + size] == '\'') {
            npy->type = (enum npy_type)type;
            return STATUS_OK;
        }
    }
    const char *const got = value != NULL ? value : "nothing";
    const int shown = (int)strcspn(got, ",}");
    return error_set(err, STATUS_UNSUPPORTED,
                     "%s: header: expected 'descr' '<f4', '<f8', '|u1', '<i4' or '<i8', got %.*s",
                     npy->path, shown < NPY_SHOWN_BYTES ? shown : NPY_SHOWN_BYTES, got);
}

static enum status parse_shape(struct npy *npy, const char *text, int dimensions_max,
                               struct error *err)
{
    const char *at = value_of(text, "'shape':");
    const char *const end = at == NULL ? NULL : strchr(at, ')');
    int dimensions = 0;
    npy->width = 1;
    if (at == NULL || *at != '(' || end == NULL)
        return error_set(err, STATUS_INVALID, "%s: header: expected a 'shape'", npy->path);
    for (at++; at < end; at += strspn(at, ", ")) {
        const size_t digits = strspn(at, "0123456789");
        int64_t size = 0;
        if (!number_parse_int(at, digits, &size) || size < 1 || size > DATA_RECORDS_MAX ||
            dimensions == dimensions_max)
            return error_set(
                err, STATUS_INVALID, "%s: header: expected 1 to %d dimensions of 1..%d, got %.40s",
                npy->path, dimensions_max, DATA_RECORDS_MAX, value_of(text, "'shape':"));
        if (dimensions++ == 0)
            npy->count = size;
        else if (size > DATA_WIDTH_MAX / npy->width)
            return error_set(err, STATUS_TOO_LARGE, "%s: header: over %d values a record",
                             npy->path, DATA_WIDTH_MAX);
        else
            npy->width *= size;
        at += digits;
    }
    if (dimensions == 0)
        return error_set(err, STATUS_INVALID, "%s: header: a single value, no records", npy->path);
    return STATUS_OK;
}

static enum status parse_header(struct npy *npy, const char *text, int dimensions_max,
                                struct error *err)
{
    const char *const order = value_of(text, "'fortran_order':");
    TRY(parse_type(npy, text, err));
    TRY(parse_shape(npy, text, dimensions_max, err));
    if (order == NULL || strncmp(order, "False", 5) != 0)
        return error_set(err, STATUS_UNSUPPORTED,
                         "%s: header: expected 'fortran_order' False: rows one after the other",
                         npy->path);
    const int64_t row_bytes = npy->width * (int64_t)npy_bytes[npy->type]; /* at most 2^23 */
    if (npy->count > DATA_BYTES_MAX / row_bytes)
        return error_set(err, STATUS_TOO_LARGE, "%s: header: over %lld bytes of values", npy->path,
                         (long long)DATA_BYTES_MAX);
    if (npy->count * row_bytes > source_bytes_max(npy->source))
        return error_set(err, STATUS_INVALID,
                         "%s: header: %lld records of %lld bytes, a file of this size cannot hold "
                         "them",
                         npy->path, (long long)npy->count, (long long)row_bytes);
    return STATUS_OK;
}

static enum status npy_open(struct npy *npy, const char *root, const char *file, int dimensions_max,
                            struct error *err)
{
    char text[NPY_HEADER_MAX + 1];
    uint8_t start[NPY_MAGIC_BYTES + 2], size_bytes[4] = {0};
    TRY(fs_path(npy->path, sizeof(npy->path), err, "%s/%s", root, file));
    TRY(source_open(npy->path, &npy->source, err));
    TRY(source_read_all(npy->source, start, sizeof(start), err));
    if (memcmp(start, NPY_MAGIC, NPY_MAGIC_BYTES) != 0)
        return error_set(err, STATUS_INVALID, "%s: byte 0: not a NumPy file", npy->path);
    const int version = start[NPY_MAGIC_BYTES];
    if (version < 1 || version > 3)
        return error_set(err, STATUS_UNSUPPORTED, "%s: byte 6: version %d, expected 1 to 3",
                         npy->path, version);
    TRY(source_read_all(npy->source, size_bytes, version == 1 ? 2 : 4, err));
    const uint32_t size = (uint32_t)size_bytes[0] | (uint32_t)size_bytes[1] << 8 |
                          (uint32_t)size_bytes[2] << 16 | (uint32_t)size_bytes[3] << 24;
    if (size > NPY_HEADER_MAX)
        return error_set(err, STATUS_TOO_LARGE, "%s: a header of %u bytes, the limit is %d",
                         npy->path, size, NPY_HEADER_MAX);
    TRY(source_read_all(npy->source, text, size, err));
    text[size] = '\0';
    return parse_header(npy, text, dimensions_max, err);
}

/* ------------------------------------------------------------------ values */

union npy_values {
    float f4[NPY_CHUNK_VALUES];
    double f8[NPY_CHUNK_VALUES];
    uint8_t u1[NPY_CHUNK_VALUES];
    int32_t i4[NPY_CHUNK_VALUES];
    int64_t i8[NPY_CHUNK_VALUES];
};

static float float_at(const struct npy *npy, const union npy_values *values, int64_t i)
{
    switch (npy->type) {
    case NPY_F4:
        return values->f4[i];
    case NPY_F8:
        return (float)values->f8[i];
    case NPY_U1:
        return (float)values->u1[i];
    case NPY_I4:
        return (float)values->i4[i];
    case NPY_I8:
    case NPY_TYPE_COUNT:
    default:
        return (float)values->i8[i];
    }
}

static int64_t integer_at(const struct npy *npy, const union npy_values *values, int64_t i)
{
    return npy->type == NPY_U1   ? values->u1[i]
           : npy->type == NPY_I4 ? values->i4[i]
                                 : values->i8[i];
}

static bool is_integer(const struct npy *npy)
{
    return npy->type != NPY_F4 && npy->type != NPY_F8;
}

/* The next values, at most a chunk of them; *out_count is 0 behind the last, where the file must end. */
static enum status next_values(struct npy *npy, int64_t done, union npy_values *values,
                               int64_t *out_count, struct error *err)
{
    const int64_t left = npy->count * npy->width - done;
    *out_count = left < NPY_CHUNK_VALUES ? left : NPY_CHUNK_VALUES;
    if (left > 0)
        return source_read_all(npy->source, values, (size_t)*out_count * npy_bytes[npy->type], err);
    return source_expect_end(npy->source, err);
}

static enum status refuse_value(const struct npy *npy, int64_t index, const char *expected,
                                struct error *err)
{
    return error_set(err, STATUS_INVALID, "%s: record %lld, value %lld: expected %s", npy->path,
                     (long long)(index / npy->width), (long long)(index % npy->width), expected);
}

static enum status read_floats(struct npy *npy, float *out, struct error *err)
{
    union npy_values values;
    int64_t count = 0;
    for (int64_t done = 0;; done += count) {
        TRY(next_values(npy, done, &values, &count, err));
        for (int64_t i = 0; i < count; i++) {
            out[done + i] = float_at(npy, &values, i);
            if (!isfinite(out[done + i]))
                return refuse_value(npy, done + i, "a number that is finite in 32 bits", err);
        }
        if (count == 0)
            return STATUS_OK;
    }
}

static enum status read_bytes(struct npy *npy, uint8_t *out, struct error *err)
{
    union npy_values values;
    int64_t count = 0;
    for (int64_t done = 0;; done += count) {
        TRY(next_values(npy, done, &values, &count, err));
        memcpy(out + done, values.u1, (size_t)count);
        if (count == 0)
            return STATUS_OK;
    }
}

static enum status read_classes(struct npy *npy, int32_t *out, struct error *err)
{
    union npy_values values;
    int64_t count = 0;
    for (int64_t done = 0;; done += count) {
        TRY(next_values(npy, done, &values, &count, err));
        for (int64_t i = 0; i < count; i++) {
            const int64_t value = integer_at(npy, &values, i);
            if (value < 0 || value >= INT32_MAX)
                return refuse_value(npy, done + i, "a class from 0 on", err);
            out[done + i] = (int32_t)value;
        }
        if (count == 0)
            return STATUS_OK;
    }
}

/* ------------------------------------------------------------------ the part */

static enum status npy_decode(const struct data_request *request, struct dataset_writer *writer,
                              struct error *err)
{
    const struct data_part *part = data_part_of(request->spec, request->role);
    CLEANUP(npy_close) struct npy features = {.source = NULL};
    CLEANUP(npy_close) struct npy labels = {.source = NULL};
    TRY(npy_open(&features, request->root, part->features, NPY_DIMENSIONS_MAX, err));
    /* Records to be predicted have no labels. */
    const bool is_labelled = part->labels[0] != '\0';
    if (is_labelled)
        TRY(npy_open(&labels, request->root, part->labels, 2, err));
    if (is_labelled && (labels.width != 1 || labels.count != features.count))
        return error_set(
            err, STATUS_INVALID,
            "%s: %lld labels of %lld values, expected one for each of the %lld records "
            "of %s",
            labels.path, (long long)labels.count, (long long)labels.width,
            (long long)features.count, part->features);
    const bool bytes = features.type == NPY_U1;
    const struct dataset_shape of_bytes = {
        .kind = DATA_KIND_BYTES,
        .count = features.count,
        .scale = NPY_BYTE_SCALE,
        .arrays =
            {{.name = "features", .type = DATA_U8, .rows = features.count, .width = features.width},
             {.name = "label",
              .type = is_integer(&labels) ? DATA_I32 : DATA_F32,
              .rows = features.count,
              .width = 1}},
        .array_count = is_labelled ? 2 : 1};
    struct dataset_shape shape = of_bytes;
    if (!bytes) {
        shape.kind = DATA_KIND_TABLE;
        shape.arrays[0] = (struct data_array){
            .name = "numeric", .type = DATA_F32, .rows = features.count, .width = features.width};
    }
    void *memory[DATA_ARRAYS_MAX];
    TRY(dataset_writer_shape(writer, &shape, memory, err));
    TRY(bytes ? read_bytes(&features, memory[0], err) : read_floats(&features, memory[0], err));
    if (!is_labelled)
        return STATUS_OK;
    return is_integer(&labels) ? read_classes(&labels, memory[1], err)
                               : read_floats(&labels, memory[1], err);
}

const struct data_reader data_reader_npy = {.name = "npy", .decode = npy_decode};
