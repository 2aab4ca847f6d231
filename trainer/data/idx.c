/*
 * idx.c - the IDX format of the MNIST family: four bytes (0, 0, type, dimensions), the sizes as
 * big-endian 32-bit numbers, then the elements.
 *
 * Features are unsigned bytes with 2 to 4 dimensions, of which the first counts records; labels are
 * unsigned bytes with one. Offsets in errors are those of the decoded stream.
 */
#include <limits.h>
#include <stdbool.h>

#include "base/fs.h"
#include "trainer/data/data.h"
#include "trainer/data/source.h"

#define IDX_DIMENSIONS_MAX 4
#define IDX_TYPE_U8        0x08
#define IDX_BYTE_SCALE     (1.0F / 255.0F)

struct idx_stream {
    char path[PATH_MAX];
    struct source *source;
};

static void idx_cleanup(const struct idx_stream *stream)
{
    source_close(stream->source);
}

static enum status idx_open(struct idx_stream *stream, const char *root, const char *name,
                            struct error *err)
{
    TRY(fs_path(stream->path, sizeof(stream->path), err, "%s/%s", root, name));
    return source_open(stream->path, &stream->source, err);
}

struct idx_shape {
    int64_t count;
    int64_t width;
};

static enum status idx_read_magic(struct idx_stream *stream, int dimensions_min, int dimensions_max,
                                  int *out_dimensions, struct error *err)
{
    uint8_t magic[4];
    TRY(source_read_all(stream->source, magic, sizeof(magic), err));
    if (magic[0] != 0 || magic[1] != 0)
        return error_set(err, STATUS_INVALID,
                         "%s: byte 0: not an IDX file: it begins with %02x %02x, not 00 00",
                         stream->path, magic[0], magic[1]);
    if (magic[2] != IDX_TYPE_U8)
        return error_set(err, STATUS_UNSUPPORTED,
                         "%s: byte 2: element type 0x%02x, only unsigned bytes (0x08) are read",
                         stream->path, magic[2]);
    if (magic[3] < dimensions_min || magic[3] > dimensions_max)
        return error_set(err, STATUS_INVALID, "%s: byte 3: expected %d to %d dimensions, got %d",
                         stream->path, dimensions_min, dimensions_max, magic[3]);
    *out_dimensions = magic[3];
    return STATUS_OK;
}

static enum status idx_read_sizes(struct idx_stream *stream, int dimensions, struct idx_shape *out,
                                  struct error *err)
{
    struct idx_shape shape = {.width = 1};
    for (int i = 0; i < dimensions; i++) {
        const int64_t at = source_offset(stream->source);
        uint8_t bytes[4];
        TRY(source_read_all(stream->source, bytes, sizeof(bytes), err));
        const int64_t size = (int64_t)bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3];
        if (size < 1 || size > DATA_RECORDS_MAX)
            return error_set(err, STATUS_INVALID, "%s: byte %lld: a dimension of size %lld",
                             stream->path, (long long)at, (long long)size);
        if (i == 0)
            shape.count = size;
        else if (size > DATA_WIDTH_MAX / shape.width)
            return error_set(err, STATUS_TOO_LARGE,
                             "%s: byte %lld: a record has more than %d features", stream->path,
                             (long long)at, DATA_WIDTH_MAX);
        else
            shape.width *= size;
    }
    const int64_t total = shape.count * shape.width; /* at most 2^31 * 2^20 */
    if (total > DATA_BYTES_MAX)
        return error_set(err, STATUS_TOO_LARGE, "%s: %lld bytes of records are over the limit",
                         stream->path, (long long)total);
    if (total > source_bytes_max(stream->source))
        return error_set(err, STATUS_INVALID,
                         "%s: byte 4: the header says %lld records of %lld bytes, a file of this "
                         "size cannot hold them",
                         stream->path, (long long)shape.count, (long long)shape.width);
    *out = shape;
    return STATUS_OK;
}

static enum status idx_read_labels(struct idx_stream *stream, int32_t *out, int64_t count,
                                   struct error *err)
{
    uint8_t chunk[4096];
    for (int64_t done = 0; done < count;) {
        const int64_t left = count - done;
        const int64_t size = left < (int64_t)sizeof(chunk) ? left : (int64_t)sizeof(chunk);
        TRY(source_read_all(stream->source, chunk, (size_t)size, err));
        for (int64_t i = 0; i < size; i++)
            out[done + i] = chunk[i];
        done += size;
    }
    return source_expect_end(stream->source, err);
}

static enum status idx_decode(const struct data_request *request, struct dataset_writer *writer,
                              struct error *err)
{
    const struct data_part *part = data_part_of(request->spec, request->role);
    const char *root = request->root;
    CLEANUP(idx_cleanup) struct idx_stream features = {.source = NULL};
    CLEANUP(idx_cleanup) struct idx_stream labels = {.source = NULL};
    /* Images to be predicted have no labels. */
    const bool is_labelled = part->labels[0] != '\0';
    TRY(idx_open(&features, root, part->features, err));
    if (is_labelled)
        TRY(idx_open(&labels, root, part->labels, err));

    int dimensions = 0;
    struct idx_shape records, marks;
    TRY(idx_read_magic(&features, 2, IDX_DIMENSIONS_MAX, &dimensions, err));
    TRY(idx_read_sizes(&features, dimensions, &records, err));
    marks = records;
    if (is_labelled) {
        TRY(idx_read_magic(&labels, 1, 1, &dimensions, err));
        TRY(idx_read_sizes(&labels, dimensions, &marks, err));
    }
    if (records.count != marks.count)
        return error_set(err, STATUS_INVALID, "%s: byte 4: %lld labels for the %lld records of %s",
                         labels.path, (long long)marks.count, (long long)records.count,
                         part->features);

    const struct dataset_shape shape = {
        .kind = DATA_KIND_BYTES,
        .count = records.count,
        .scale = IDX_BYTE_SCALE,
        .arrays = {{"features", DATA_U8, records.count, records.width, NULL},
                   {"label", DATA_I32, records.count, 1, NULL}},
        .array_count = is_labelled ? 2 : 1};
    void *arrays[DATA_ARRAYS_MAX];
    TRY(dataset_writer_shape(writer, &shape, arrays, err));
    TRY(source_read_all(features.source, arrays[0], (size_t)(records.count * records.width), err));
    TRY(source_expect_end(features.source, err));
    return is_labelled ? idx_read_labels(&labels, arrays[1], records.count, err) : STATUS_OK;
}

const struct data_reader data_reader_idx = {.name = "idx", .decode = idx_decode};
