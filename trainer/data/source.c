/*
 * source.c - one struct for three kinds of streams. Compressed ones hold SOURCE_READ_BYTES of input and
 * what zlib or zstd needs; several gzip members or zstd frames in a row are one stream, as the tools
 * gzip and zstd take them.
 */
#include "trainer/data/source.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>
#include <zstd.h>

#include "base/fs.h"

#define DEFLATE_RATIO_MAX     1032      /* no deflate stream expands more: zlib's technical notes */
#define GZIP_WINDOW_BITS      (15 + 16) /* the largest window; a gzip header is expected */
#define ZSTD_WINDOW_LOG_BOUND 27        /* 128 MiB, zstd's own default for untrusted frames */

struct source {
    char path[PATH_MAX];
    int fd;
    int64_t file_bytes;
    int64_t offset;    /* decoded bytes given out */
    int64_t input_end; /* compressed: bytes of the file that have come into `input` */
    enum source_compression compression;
    z_stream inflate;
    bool inflate_ready;
    ZSTD_DCtx *zstd;
    bool between; /* no member or frame is open: the file may end here */
    bool ended;
    size_t input_at, input_bytes;
    uint8_t input[SOURCE_READ_BYTES];
};

void source_close(struct source *source)
{
    if (source == NULL)
        return;
    if (source->inflate_ready)
        (void)inflateEnd(&source->inflate);
    (void)ZSTD_freeDCtx(source->zstd);
    fd_cleanup(&source->fd);
    free(source);
}

void source_cleanup(struct source *const *source)
{
    source_close(*source);
}

/* Up to `size` bytes of the file itself; 0 at its end. */
static enum status read_file(struct source *source, void *out, size_t size, size_t *out_got,
                             struct error *err)
{
    for (;;) {
        const ssize_t got = read(source->fd, out, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(err, status_of_errno(errno), errno, "read %s", source->path);
        *out_got = (size_t)got;
        return STATUS_OK;
    }
}

static enum status refill(struct source *source, struct error *err)
{
    source->input_at = 0;
    source->input_bytes = 0;
    TRY(read_file(source, source->input, sizeof(source->input), &source->input_bytes, err));
    source->input_end += (int64_t)source->input_bytes;
    return STATUS_OK;
}

/*
 * A stream that cannot be decoded: where in the file, for that is what its writer or a copy went wrong at, and how
 * many decoded bytes are whole. zlib stops at the byte that cannot be; zstd says of the bytes that it was given only
 * that something is wrong.
 */
static enum status refuse(const struct source *source, const char *what, const char *why,
                          struct error *err)
{
    const int64_t taken = source->input_end - (int64_t)(source->input_bytes - source->input_at);
    const bool within = source->compression == SOURCE_ZSTD && taken < source->input_end;
    return error_set(err, STATUS_INVALID, "%s: %sbyte %lld of %lld, after %lld decoded ones: %s%s",
                     source->path, within ? "behind " : "", (long long)taken,
                     (long long)source->file_bytes, (long long)source->offset, what, why);
}

static enum status cut_off(const struct source *source, struct error *err)
{
    return refuse(source, "the file ends within its ",
                  source->compression == SOURCE_GZIP ? "gzip stream" : "zstd stream", err);
}

/* Decodes what the input holds, at most `size` bytes. */
static enum status step_gzip(struct source *source, void *out, size_t size, size_t *out_got,
                             struct error *err)
{
    z_stream *stream = &source->inflate;
    if (source->between && inflateReset(stream) != Z_OK)
        return refuse(source, "damaged: ", "zlib does not start again", err);
    source->between = false;
    stream->next_in = source->input + source->input_at;
    stream->avail_in = (uInt)(source->input_bytes - source->input_at);
    stream->next_out = out;
    const size_t room = size < UINT_MAX ? size : UINT_MAX;
    stream->avail_out = (uInt)room;
    const int code = inflate(stream, Z_NO_FLUSH);
    source->input_at = source->input_bytes - stream->avail_in;
    source->between = code == Z_STREAM_END;
    *out_got = room - stream->avail_out;
    if (code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR)
        return STATUS_OK;
    source->offset += (int64_t)*out_got; /* they were whole */
    return refuse(source, "damaged: ", stream->msg != NULL ? stream->msg : zError(code), err);
}

static enum status step_zstd(struct source *source, void *out, size_t size, size_t *out_got,
                             struct error *err)
{
    ZSTD_inBuffer input = {source->input, source->input_bytes, source->input_at};
    ZSTD_outBuffer output = {out, size, 0};
    const size_t left = ZSTD_decompressStream(source->zstd, &output, &input);
    source->input_at = input.pos;
    source->offset += ZSTD_isError(left) ? (int64_t)output.pos : 0;
    if (ZSTD_isError(left))
        return refuse(source, "damaged: ", ZSTD_getErrorName(left), err);
    source->between = left == 0;
    *out_got = output.pos;
    return STATUS_OK;
}

/* Some bytes, or *out_got 0 and `ended`. */
static enum status read_decoded(struct source *source, void *out, size_t size, size_t *out_got,
                                struct error *err)
{
    for (;;) {
        if (source->input_at == source->input_bytes) {
            /* Bytes may still lie in the decoder when its output was full. */
            const bool was_between = source->between;
            TRY(refill(source, err));
            if (source->input_bytes == 0 && was_between) {
                source->ended = true;
                *out_got = 0;
                return STATUS_OK;
            }
        }
        const size_t input_left = source->input_bytes - source->input_at;
        if (source->compression == SOURCE_GZIP)
            TRY(step_gzip(source, out, size, out_got, err));
        else
            TRY(step_zstd(source, out, size, out_got, err));
        if (*out_got > 0)
            return STATUS_OK;
        if (input_left == 0 && !source->between)
            return cut_off(source, err);
    }
}

enum status source_read(struct source *source, void *out, size_t size, size_t *out_got,
                        struct error *err)
{
    size_t done = 0;
    while (done < size && !source->ended) {
        size_t got = 0;
        char *next = (char *)out + done;
        if (source->compression == SOURCE_PLAIN) {
            TRY(read_file(source, next, size - done, &got, err));
            source->ended = got == 0;
        } else {
            TRY(read_decoded(source, next, size - done, &got, err));
        }
        done += got;
        source->offset += (int64_t)got;
    }
    *out_got = done;
    return STATUS_OK;
}

/* By the first bytes, which stay in the file. */
static enum status recognise(struct source *source, struct error *err)
{
    static const uint8_t gzip[] = {0x1f, 0x8b};
    static const uint8_t zstd[] = {0x28, 0xb5, 0x2f, 0xfd};
    uint8_t magic[4] = {0};
    if (pread(source->fd, magic, sizeof(magic), 0) < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "read %s", source->path);
    source->between = true; /* decoders are made new */
    if (memcmp(magic, gzip, sizeof(gzip)) == 0) {
        source->compression = SOURCE_GZIP;
        if (inflateInit2(&source->inflate, GZIP_WINDOW_BITS) != Z_OK)
            return error_set(err, STATUS_NO_MEMORY, "open %s: zlib has no memory", source->path);
        source->inflate_ready = true;
    } else if (memcmp(magic, zstd, sizeof(zstd)) == 0) {
        source->compression = SOURCE_ZSTD;
        source->zstd = ZSTD_createDCtx();
        if (source->zstd == NULL)
            return error_set(err, STATUS_NO_MEMORY, "open %s: zstd has no memory", source->path);
        (void)ZSTD_DCtx_setParameter(source->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_BOUND);
    }
    return STATUS_OK;
}

enum status source_check_kind(const char *path, mode_t mode, struct error *err)
{
    if (S_ISREG(mode))
        return STATUS_OK;
    return error_set(err, STATUS_INVALID, "%s: expected a regular file, got %s", path,
                     S_ISDIR(mode)    ? "a folder"
                     : S_ISFIFO(mode) ? "a pipe"
                     : S_ISSOCK(mode) ? "a socket"
                                      : "a device");
}

enum status source_open(const char *path, struct source **out, struct error *err)
{
    CLEANUP(source_cleanup) struct source *source = calloc(1, sizeof(*source));
    if (source == NULL)
        return error_set(err, STATUS_NO_MEMORY, "open %s", path);
    source->fd = -1;
    TRY(fs_path(source->path, sizeof(source->path), err, "%s", path));
    source->fd =
        open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe has no writer to wait for */
    if (source->fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "open %s", path);
    struct stat found;
    if (fstat(source->fd, &found) != 0)
        return error_set_errno(err, status_of_errno(errno), errno, "stat %s", path);
    TRY(source_check_kind(path, found.st_mode, err));
    source->file_bytes = found.st_size;
    (void)posix_fadvise(source->fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* a hint */
    TRY(recognise(source, err));
    *out = TAKE(source);
    return STATUS_OK;
}

enum status source_read_all(struct source *source, void *out, size_t size, struct error *err)
{
    size_t got = 0;
    TRY(source_read(source, out, size, &got, err));
    if (got < size)
        return error_set(err, STATUS_INVALID, "%s: byte %lld: the file ends, %zu bytes are missing",
                         source->path, (long long)source->offset, size - got);
    return STATUS_OK;
}

enum status source_expect_end(struct source *source, struct error *err)
{
    uint8_t byte;
    size_t got = 0;
    TRY(source_read(source, &byte, 1, &got, err));
    if (got > 0)
        return error_set(err, STATUS_INVALID, "%s: byte %lld: expected the end, there is more",
                         source->path, (long long)source->offset - 1);
    return STATUS_OK;
}

const char *source_path(const struct source *source)
{
    return source->path;
}

enum source_compression source_compression_of(const struct source *source)
{
    return source->compression;
}

int64_t source_offset(const struct source *source)
{
    return source->offset;
}

int64_t source_bytes_max(const struct source *source)
{
    switch (source->compression) {
    case SOURCE_PLAIN:
        return source->file_bytes;
    case SOURCE_GZIP:
        return source->file_bytes < INT64_MAX / DEFLATE_RATIO_MAX
                   ? source->file_bytes * DEFLATE_RATIO_MAX
                   : INT64_MAX;
    case SOURCE_ZSTD: /* one byte may stand for a whole block of 128 KiB */
    default:
        return INT64_MAX;
    }
}
