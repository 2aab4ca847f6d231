/* chunk.c - reads ahead by CHUNK_BYTES, cuts after the last whole record, carries the rest over. */
#include "trainer/data/chunk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_LOOK_BYTES 64 /* at the beginning, which are never zero in a text */

struct chunker {
    struct source *source;
    struct csv_dialect dialect;
    struct chunk rest; /* what was read and not given out: its bytes and size */
    int64_t number;
    int64_t line;
    bool begun;
    bool ended; /* the source has no more bytes */
};

void chunk_clear(struct chunk *chunk)
{
    free(chunk->bytes);
    *chunk = (struct chunk){.bytes = NULL};
}

void chunker_close(struct chunker *chunker)
{
    if (chunker == NULL)
        return;
    source_close(chunker->source);
    chunk_clear(&chunker->rest);
    free(chunker);
}

void chunker_cleanup(struct chunker *const *chunker)
{
    chunker_close(*chunker);
}

enum status chunker_open(const char *path, const struct csv_dialect *dialect, struct chunker **out,
                         struct error *err)
{
    CLEANUP(chunker_cleanup) struct chunker *chunker = calloc(1, sizeof(*chunker));
    if (chunker == NULL)
        return error_set(err, STATUS_NO_MEMORY, "read %s", path);
    chunker->dialect = *dialect;
    chunker->line = 1;
    TRY(source_open(path, &chunker->source, err));
    *out = TAKE(chunker);
    return STATUS_OK;
}

/* Room for `size` bytes and the padding; what is there stays. */
static enum status reserve(struct chunk *chunk, size_t size, struct error *err)
{
    assert(size <= (size_t)2 * CHUNK_RECORD_BYTES_MAX);
    if (size <= chunk->capacity)
        return STATUS_OK;
    char *const bytes = realloc(chunk->bytes, size + CSV_PADDING_BYTES);
    if (bytes == NULL)
        return error_set(err, STATUS_NO_MEMORY, "%zu bytes for records", size);
    chunk->bytes = bytes;
    chunk->capacity = size;
    return STATUS_OK;
}

static enum status append(struct chunk *chunk, const char *bytes, size_t size, struct error *err)
{
    TRY(reserve(chunk, chunk->size + size, err));
    if (size > 0)
        memcpy(chunk->bytes + chunk->size, bytes, size);
    chunk->size += size;
    return STATUS_OK;
}

/* What begins like this holds no records of text, whatever it is called. */
static const char *name_of_others(const char *bytes, size_t size)
{
    static const struct {
        size_t at;
        const char *bytes;
        size_t size;
        const char *name;
    } others[] = {{0, "\xFF\xFE\0\0", 4, "UTF-32"},
                  {0, "\0\0\xFE\xFF", 4, "UTF-32"},
                  {0, "\xFF\xFE", 2, "UTF-16"},
                  {0, "\xFE\xFF", 2, "UTF-16"},
                  {0, "PK\3\4", 4, "a zip archive (.xlsx files are some, too)"},
                  {0,
                   "\xFD"
                   "7zXZ\0",
                   6, "an xz file"},
                  {4, "1AY&SY", 6, "a bzip2 file"},
                  {0, "PAR1", 4, "a Parquet file"},
                  {0, "\x93NUMPY", 6, "an .npy file"}};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        if (size >= others[i].at + others[i].size &&
            memcmp(bytes + others[i].at, others[i].bytes, others[i].size) == 0)
            return others[i].name;
    }
    if (memchr(bytes, '\0', size < TEXT_LOOK_BYTES ? size : TEXT_LOOK_BYTES) != NULL)
        return "bytes of zero: UTF-16, or no text at all";
    const char *const carriage_return = memchr(bytes, '\r', size);
    if (carriage_return != NULL && carriage_return + 1 < bytes + size &&
        memchr(bytes, '\n', size) == NULL)
        return "lines that end with CR alone";
    return NULL;
}

/* Reads up to `wanted` more bytes into the chunk. */
static enum status read_more(struct chunker *chunker, struct chunk *chunk, size_t wanted,
                             struct error *err)
{
    size_t got = 0;
    TRY(reserve(chunk, chunk->size + wanted, err));
    TRY(source_read(chunker->source, chunk->bytes + chunk->size, wanted, &got, err));
    chunk->size += got;
    chunker->ended = got < wanted;
    const char *const other = chunker->begun ? NULL : name_of_others(chunk->bytes, chunk->size);
    if (other != NULL)
        return error_set(err, STATUS_INVALID, "%s:1: expected UTF-8 text in lines, got %s",
                         source_path(chunker->source), other);
    if (!chunker->begun && got >= 3 && memcmp(chunk->bytes, "\xEF\xBB\xBF", 3) == 0) {
        chunk->size -= 3;
        memmove(chunk->bytes, chunk->bytes + 3, chunk->size);
    }
    chunker->begun = true;
    return STATUS_OK;
}

/* The first record does not end within the longest record's bytes. */
static enum status cut_overlong(const struct chunker *chunker, const struct chunk *chunk,
                                size_t *out_size, struct error *err)
{
    const size_t size = csv_first(&chunker->dialect, chunk->bytes, chunk->size);
    if (size == chunk->size && chunk->bytes[size - 1] != '\n')
        return error_set(err, STATUS_TOO_LARGE, "%s:%lld: a record of more than %d MiB",
                         source_path(chunker->source), (long long)chunker->line,
                         CHUNK_RECORD_BYTES_MAX / MIB);
    *out_size = size; /* a quote that is never closed: whoever reads the record will say so */
    return STATUS_OK;
}

/* Fills the chunk until it holds at least one whole record, or the source ends; the size of whole ones. */
static enum status fill(struct chunker *chunker, struct chunk *chunk, size_t *out_size,
                        struct error *err)
{
    TRY(append(chunk, chunker->rest.bytes, chunker->rest.size, err));
    chunker->rest.size = 0;
    size_t wanted = CHUNK_BYTES;
    for (;;) {
        if (!chunker->ended)
            TRY(read_more(chunker, chunk, wanted, err));
        *out_size = csv_cut(&chunker->dialect, chunk->bytes, chunk->size, chunker->ended);
        if (*out_size > 0 || chunker->ended)
            return STATUS_OK;
        if (chunk->size >= CHUNK_RECORD_BYTES_MAX)
            return cut_overlong(chunker, chunk, out_size, err);
        wanted = chunk->size; /* twice as much */
        if (wanted > CHUNK_RECORD_BYTES_MAX - chunk->size)
            wanted = CHUNK_RECORD_BYTES_MAX - chunk->size;
    }
}

/* Gives out the first `size` bytes; the others wait for the next chunk. */
static enum status give(struct chunker *chunker, struct chunk *chunk, size_t size,
                        struct error *err)
{
    TRY(append(&chunker->rest, chunk->bytes + size, chunk->size - size, err));
    chunk->size = size;
    chunk->first_line = chunker->line;
    chunker->line += csv_count_lines(chunk->bytes, size);
    return STATUS_OK;
}

enum status chunker_next(struct chunker *chunker, struct chunk *chunk, struct error *err)
{
    chunk->size = 0;
    if (chunker->ended && chunker->rest.size == 0)
        return STATUS_OK;
    size_t size = 0;
    TRY(fill(chunker, chunk, &size, err));
    if (chunk->size == 0)
        return STATUS_OK;
    TRY(give(chunker, chunk, size, err));
    chunk->number = chunker->number++;
    return STATUS_OK;
}

enum status chunker_first(struct chunker *chunker, struct chunk *chunk, struct error *err)
{
    assert(!chunker->begun);
    chunk->size = 0;
    size_t size = 0;
    TRY(fill(chunker, chunk, &size, err));
    if (chunk->size == 0)
        return STATUS_OK;
    size = csv_first(&chunker->dialect, chunk->bytes, chunk->size);
    return give(chunker, chunk, size, err);
}

const struct source *chunker_source(const struct chunker *chunker)
{
    return chunker->source;
}

const struct csv_dialect *chunker_dialect(const struct chunker *chunker)
{
    return &chunker->dialect;
}
