/*
 * cache.c - decoded datasets on disk: one file a part, written once, mapped by everyone.
 *
 *   0      struct cache_header, padded to a page; ends with its own checksum
 *   4096   the records' bytes, then (aligned) their labels
 *
 * The file's name is made from the source's path; the header holds the state of the source files that
 * it was decoded from. Whoever finds another state decodes anew under a lock and renames over the old
 * file. Writing goes through fallocate, so that a full disk is an error here and not a SIGBUS later.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/fs.h"
#include "base/hash.h"
#include "trainer/data/data.h"

#define CACHE_MAGIC        "repdata1"
#define CACHE_HEADER_BYTES 4096
#define CACHE_ALIGNMENT    64
#define CACHE_SOURCES      2 /* features, labels */
#define CACHE_NAME_DIGITS  32

struct source_state {
    int64_t bytes;
    int64_t modified_ns;
    uint64_t inode;
    uint64_t device;
};

/* On disk, little-endian as the machine; a foreign file fails its checksum and is decoded anew. */
struct cache_header {
    char magic[8];
    int64_t kind;
    int64_t count;
    int64_t width;
    int64_t classes;
    int64_t classes_record;
    double scale;
    uint64_t labels_offset;
    uint64_t file_bytes;
    uint8_t sha256[SHA256_BYTES];
    XXH128_hash_t payload_checksum;
    struct source_state sources[CACHE_SOURCES];
    uint64_t header_checksum; /* XXH3 of all above */
};
_Static_assert(sizeof(struct cache_header) <= CACHE_HEADER_BYTES, "the header fits its page");

/* Where a part's cache lies and what it must have been made from. */
struct cache_place {
    char path[PATH_MAX];
    struct source_state sources[CACHE_SOURCES];
};

struct dataset_writer {
    char path[PATH_MAX]; /* the temporary file */
    int fd;
    struct dataset_shape shape;
    struct cache_header header;
    uint8_t *mapping; /* NULL until the shape is known */
};

static uint64_t header_checksum(const struct cache_header *header)
{
    return XXH3_64bits(header, offsetof(struct cache_header, header_checksum));
}

static enum status source_look(const char *path, struct source_state *out, struct error *err)
{
    struct stat found;
    if (stat(path, &found) != 0)
        return error_set_errno(err, status_of_errno(errno), errno, "data file %s", path);
    *out = (struct source_state){
        .bytes = found.st_size,
        .modified_ns = (int64_t)found.st_mtim.tv_sec * 1000000000 + found.st_mtim.tv_nsec,
        .inode = found.st_ino,
        .device = found.st_dev,
    };
    return STATUS_OK;
}

static enum status sources_look(const struct data_part *part, const char *root,
                                struct source_state out[CACHE_SOURCES], struct error *err)
{
    const char *const files[CACHE_SOURCES] = {part->features, part->labels};
    for (int i = 0; i < CACHE_SOURCES; i++) {
        char path[PATH_MAX];
        TRY(fs_path(path, sizeof(path), err, "%s/%s", root, files[i]));
        TRY(source_look(path, &out[i], err));
    }
    return STATUS_OK;
}

static enum status cache_locate(const struct data_part *part, const char *root, const char *cache,
                                struct cache_place *out, struct error *err)
{
    TRY(sources_look(part, root, out->sources, err));
    char real_root[PATH_MAX];
    if (realpath(root, real_root) == NULL)
        return error_set_errno(err, status_of_errno(errno), errno, "data folder %s", root);
    CLEANUP(sha256_cleanup) struct sha256 *hash = sha256_new();
    const char *const words[] = {data_readers[part->format]->name, real_root, part->features,
                                 part->labels};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        sha256_update(hash, words[i], strlen(words[i]) + 1);
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES];
    sha256_final(hash, digest);
    sha256_hex(digest, hex);
    return fs_path(out->path, sizeof(out->path), err, "%s/%.*s.data", cache, CACHE_NAME_DIGITS,
                   hex);
}

/* Whether a header of this many file bytes describes exactly what lies behind it. */
static bool header_is_sound(const struct cache_header *header, uint64_t file_bytes)
{
    if (memcmp(header->magic, CACHE_MAGIC, sizeof(header->magic)) != 0)
        return false;
    if (header->header_checksum != header_checksum(header) || header->file_bytes != file_bytes)
        return false;
    if (header->count < 1 || header->count > DATA_RECORDS_MAX || header->width < 1 ||
        header->width > DATA_WIDTH_MAX)
        return false;
    const uint64_t payload = (uint64_t)header->count * (uint64_t)header->width;
    return header->labels_offset >= CACHE_HEADER_BYTES + payload &&
           header->labels_offset % CACHE_ALIGNMENT == 0 &&
           header->labels_offset + (uint64_t)header->count * sizeof(int32_t) == file_bytes;
}

static void describe_mapping(const struct cache_header *header, uint8_t *mapping,
                             struct dataset *out)
{
    *out = (struct dataset){
        .kind = (enum data_kind)header->kind,
        .count = header->count,
        .width = header->width,
        .bytes = mapping + CACHE_HEADER_BYTES,
        .scale = (float)header->scale,
        .labels = (const int32_t *)(const void *)(mapping + header->labels_offset),
        .classes = header->classes,
        .classes_record = header->classes_record,
        .mapping = mapping,
        .mapping_bytes = header->file_bytes,
    };
    sha256_hex(header->sha256, out->sha256);
}

/* *out_fresh is false when there is no file, or one that is damaged or of other sources. */
static enum status cache_map(const struct cache_place *place, struct dataset *out, bool *out_fresh,
                             struct error *err)
{
    *out_fresh = false;
    CLEANUP(fd_cleanup) const int fd = open(place->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return STATUS_OK;
    if (fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "open %s", place->path);
    struct stat found;
    if (fstat(fd, &found) != 0)
        return error_set_errno(err, status_of_errno(errno), errno, "stat %s", place->path);
    if (found.st_size <= CACHE_HEADER_BYTES)
        return STATUS_OK;
    struct cache_header header;
    TRY(fs_pread_all(fd, &header, sizeof(header), 0, err));
    if (!header_is_sound(&header, (uint64_t)found.st_size) ||
        memcmp(header.sources, place->sources, sizeof(header.sources)) != 0)
        return STATUS_OK;
    void *mapping = mmap(NULL, header.file_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (mapping == MAP_FAILED)
        return error_set_errno(err, STATUS_NO_MEMORY, errno, "map %s", place->path);
    describe_mapping(&header, mapping, out);
    *out_fresh = true;
    return STATUS_OK;
}

static void writer_cleanup(const struct dataset_writer *writer)
{
    if (writer->mapping != NULL)
        (void)munmap(writer->mapping, writer->header.file_bytes);
    if (writer->fd >= 0)
        (void)close(writer->fd);
    if (writer->path[0] != '\0')
        (void)unlink(writer->path); /* best effort: a leftover harms nobody */
}

static enum status writer_open(struct dataset_writer *writer, const char *path, struct error *err)
{
    TRY(fs_path(writer->path, sizeof(writer->path), err, "%s.tmp-XXXXXX", path));
    writer->fd = mkostemp(writer->path, O_CLOEXEC);
    if (writer->fd < 0) {
        const int errnum = errno;
        error_set_errno(err, status_of_errno(errnum), errnum, "create %s", writer->path);
        writer->path[0] = '\0';
        return status_of_errno(errnum);
    }
    if (fchmod(writer->fd, 0644) != 0)
        return error_set_errno(err, status_of_errno(errno), errno, "chmod %s", writer->path);
    return STATUS_OK;
}

enum status dataset_writer_shape(struct dataset_writer *writer, const struct dataset_shape *shape,
                                 uint8_t **out_bytes, int32_t **out_labels, struct error *err)
{
    assert(writer->mapping == NULL);
    assert(shape->count >= 1 && shape->count <= DATA_RECORDS_MAX);
    assert(shape->width >= 1 && shape->width <= DATA_WIDTH_MAX);
    const uint64_t end = CACHE_HEADER_BYTES + (uint64_t)shape->count * (uint64_t)shape->width;
    const uint64_t labels_offset = (end + CACHE_ALIGNMENT - 1) / CACHE_ALIGNMENT * CACHE_ALIGNMENT;
    const uint64_t file_bytes = labels_offset + (uint64_t)shape->count * sizeof(int32_t);
    const int failure = posix_fallocate(writer->fd, 0, (off_t)file_bytes);
    if (failure != 0)
        return error_set_errno(err, status_of_errno(failure), failure, "reserve %llu bytes for %s",
                               (unsigned long long)file_bytes, writer->path);
    void *mapping = mmap(NULL, file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, writer->fd, 0);
    if (mapping == MAP_FAILED)
        return error_set_errno(err, STATUS_NO_MEMORY, errno, "map %s", writer->path);
    writer->shape = *shape;
    writer->mapping = mapping;
    writer->header.labels_offset = labels_offset;
    writer->header.file_bytes = file_bytes;
    *out_bytes = writer->mapping + CACHE_HEADER_BYTES;
    *out_labels = (int32_t *)(void *)(writer->mapping + labels_offset);
    return STATUS_OK;
}

static void find_classes(const int32_t *labels, struct cache_header *header)
{
    int64_t record = 0;
    for (int64_t i = 1; i < header->count; i++) {
        if (labels[i] > labels[record])
            record = i;
    }
    header->classes = (int64_t)labels[record] + 1;
    header->classes_record = record;
}

/* Everything behind the header's page: bytes, padding (zero) and labels. */
static XXH128_hash_t payload_checksum(const void *mapping, size_t file_bytes)
{
    return XXH3_128bits((const uint8_t *)mapping + CACHE_HEADER_BYTES,
                        file_bytes - CACHE_HEADER_BYTES);
}

static enum status writer_finish(struct dataset_writer *writer, const struct cache_place *place,
                                 struct error *err)
{
    assert(writer->mapping != NULL);
    struct cache_header *header = &writer->header;
    memcpy(header->magic, CACHE_MAGIC, sizeof(header->magic));
    header->kind = writer->shape.kind;
    header->count = writer->shape.count;
    header->width = writer->shape.width;
    header->scale = (double)writer->shape.scale;
    memcpy(header->sources, place->sources, sizeof(header->sources));
    find_classes((const int32_t *)(const void *)(writer->mapping + header->labels_offset), header);

    CLEANUP(sha256_cleanup) struct sha256 *hash = sha256_new();
    sha256_update(hash, writer->mapping + CACHE_HEADER_BYTES,
                  (size_t)header->count * (size_t)header->width);
    sha256_update(hash, writer->mapping + header->labels_offset,
                  (size_t)header->count * sizeof(int32_t));
    sha256_final(hash, header->sha256);
    header->payload_checksum = payload_checksum(writer->mapping, header->file_bytes);
    header->header_checksum = header_checksum(header);
    memcpy(writer->mapping, header, sizeof(*header));

    if (fsync(writer->fd) != 0) /* of the mapping's pages too */
        return error_set_errno(err, status_of_errno(errno), errno, "fsync %s", writer->path);
    if (rename(writer->path, place->path) != 0)
        return error_set_errno(err, status_of_errno(errno), errno, "rename %s to %s", writer->path,
                               place->path);
    writer->path[0] = '\0';
    return STATUS_OK;
}

static enum status cache_decode(const struct data_part *part, const char *root, const char *cache,
                                const struct cache_place *place, struct error *err)
{
    CLEANUP(writer_cleanup) struct dataset_writer writer = {.fd = -1};
    TRY(writer_open(&writer, place->path, err));
    TRY(data_readers[part->format]->decode(part, root, &writer, err));
    struct source_state after[CACHE_SOURCES];
    TRY(sources_look(part, root, after, err));
    if (memcmp(after, place->sources, sizeof(after)) != 0)
        return error_set(err, STATUS_CONFLICT, "%s/%s or %s changed while it was read", root,
                         part->features, part->labels);
    TRY(writer_finish(&writer, place, err));
    return fs_fsync_dir(cache, err);
}

enum status dataset_open(const struct data_part *part, const char *root, const char *cache,
                         struct dataset *out, struct error *err)
{
    struct cache_place place;
    TRY(cache_locate(part, root, cache, &place, err));
    bool fresh = false;
    TRY(cache_map(&place, out, &fresh, err));
    if (fresh)
        return STATUS_OK;

    TRY(fs_make_dirs(cache, 0755, err));
    char lock_path[PATH_MAX];
    TRY(fs_path(lock_path, sizeof(lock_path), err, "%s.lock", place.path));
    CLEANUP(fd_cleanup) const int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (lock < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "open %s", lock_path);
    while (flock(lock, LOCK_EX) != 0) { /* released by closing */
        if (errno != EINTR)
            return error_set_errno(err, STATUS_INTERNAL, errno, "lock %s", lock_path);
    }
    TRY(cache_map(&place, out, &fresh, err)); /* another process may have been first */
    if (fresh)
        return STATUS_OK;
    TRY(cache_decode(part, root, cache, &place, err));
    TRY(cache_map(&place, out, &fresh, err));
    if (!fresh)
        return error_set(err, STATUS_CORRUPT, "%s is damaged right after it was written",
                         place.path);
    return STATUS_OK;
}

void dataset_close(struct dataset *dataset)
{
    if (dataset->mapping != NULL)
        (void)munmap(dataset->mapping, dataset->mapping_bytes);
    *dataset = (struct dataset){.mapping = NULL};
}

enum status dataset_verify(const struct dataset *dataset, struct error *err)
{
    struct cache_header header;
    memcpy(&header, dataset->mapping, sizeof(header));
    const XXH128_hash_t now = payload_checksum(dataset->mapping, dataset->mapping_bytes);
    if (!XXH128_isEqual(now, header.payload_checksum))
        return error_set(err, STATUS_CORRUPT,
                         "decoded data no longer has the checksum it was written with");
    return STATUS_OK;
}
