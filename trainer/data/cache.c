/*
 * cache.c - decoded datasets on disk: one file a part, written once, mapped by everyone.
 *
 *   0      struct cache_header, padded to a page; ends with its own checksum
 *   4096   the arrays one after the other, each aligned; then the fit's text and a NUL
 *
 * The file's name is made from the spec's section "data", the classes of its labels, root and role; the header holds the state of the source files that
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
#include "trainer/data/source.h"

#define CACHE_MAGIC        "repdata2"
#define CACHE_HEADER_BYTES 4096
#define CACHE_ALIGNMENT    64
#define CACHE_NAME_DIGITS  32
#define CLASSES_BYTES      24

struct source_state {
    int64_t bytes;
    int64_t modified_ns;
    uint64_t inode;
    uint64_t device;
};

struct cache_array {
    char name[DATA_NAME_BYTES];
    int64_t type;
    int64_t rows;
    int64_t width;
    uint64_t offset;
};

/* On disk, little-endian as the machine; a foreign file fails its checksum and is decoded anew. */
struct cache_header {
    char magic[8];
    int64_t kind;
    int64_t count;
    int64_t classes;
    int64_t classes_record;
    double scale;
    uint64_t array_count;
    struct cache_array arrays[DATA_ARRAYS_MAX];
    uint64_t fit_offset;
    uint64_t fit_bytes;
    uint64_t file_bytes;
    uint8_t sha256[SHA256_BYTES];
    XXH128_hash_t payload_checksum;
    struct source_state sources[DATA_SOURCES_MAX];
    uint64_t header_checksum; /* XXH3 of all above */
};
_Static_assert(sizeof(struct cache_header) <= CACHE_HEADER_BYTES, "the header fits its page");

/* Where a part's cache lies and what it must have been made from. */
struct cache_place {
    char path[PATH_MAX];
    struct source_state sources[DATA_SOURCES_MAX]; /* unused ones are zero */
};

struct dataset_writer {
    char path[PATH_MAX]; /* the temporary file */
    int fd;
    struct cache_header header;
    uint8_t *mapping; /* NULL until the shape is known */
    uint64_t mapped_bytes;
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
    TRY(source_check_kind(path, found.st_mode, err));
    *out = (struct source_state){
        .bytes = found.st_size,
        .modified_ns = (int64_t)found.st_mtim.tv_sec * 1000000000 + found.st_mtim.tv_nsec,
        .inode = found.st_ino,
        .device = found.st_dev,
    };
    return STATUS_OK;
}

bool data_has_eval(const struct data_spec *spec)
{
    return spec->eval.features[0] != '\0' || spec->eval.file[0] != '\0' ||
           spec->split.by != SPLIT_NONE;
}

const struct data_part *data_part_of(const struct data_spec *spec, enum data_role role)
{
    return role == DATA_TRAIN || spec->split.by != SPLIT_NONE ? &spec->train : &spec->eval;
}

/* The files that a part is made from; the evaluation part uses what was fitted on the training one. */
static size_t source_files(const struct data_request *request, const char *out[DATA_SOURCES_MAX])
{
    const struct data_spec *spec = request->spec;
    const struct data_part *part = data_part_of(spec, request->role);
    const char *const files[] = {part->features, part->labels, part->file,
                                 request->role == DATA_EVAL ? spec->negatives_file : "",
                                 request->role == DATA_EVAL ? spec->train.file : ""};
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        if (files[i][0] != '\0')
            out[count++] = files[i];
    }
    assert(count <= DATA_SOURCES_MAX); /* a part has either two files or one */
    return count;
}

static enum status sources_look(const struct data_request *request,
                                struct source_state out[DATA_SOURCES_MAX], struct error *err)
{
    const char *files[DATA_SOURCES_MAX];
    const size_t count = source_files(request, files);
    memset(out, 0, DATA_SOURCES_MAX * sizeof(out[0]));
    for (size_t i = 0; i < count; i++) {
        char path[PATH_MAX];
        TRY(fs_path(path, sizeof(path), err, "%s/%s", request->root, files[i]));
        TRY(source_look(path, &out[i], err));
    }
    return STATUS_OK;
}

static enum status cache_locate(const struct data_request *request, const char *cache,
                                struct cache_place *out, struct error *err)
{
    TRY(sources_look(request, out->sources, err));
    char real_root[PATH_MAX];
    if (realpath(request->root, real_root) == NULL)
        return error_set_errno(err, status_of_errno(errno), errno, "data folder %s", request->root);
    CLEANUP(free_cleanup) char *spec = data_spec_text(request->spec);
    if (spec == NULL)
        return error_set(err, STATUS_NO_MEMORY, "name of the cache in %s", cache);
    CLEANUP(sha256_cleanup) struct sha256 *hash = sha256_new();
    char classes[CLASSES_BYTES];
    (void)snprintf(classes, sizeof(classes), "%lld", (long long)request->spec->label_classes);
    const char *const words[] = {CACHE_MAGIC, real_root, spec, classes,
                                 request->role == DATA_TRAIN ? "train" : "eval"};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        sha256_update(hash, words[i], strlen(words[i]) + 1);
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES];
    sha256_final(hash, digest);
    sha256_hex(digest, hex);
    return fs_path(out->path, sizeof(out->path), err, "%s/%.*s.data", cache, CACHE_NAME_DIGITS,
                   hex);
}

size_t data_type_bytes(enum data_type type)
{
    switch (type) {
    case DATA_U8:
        return 1;
    case DATA_I64:
        return 8;
    case DATA_I32:
    case DATA_F32:
        break;
    }
    return 4;
}

const struct data_array *dataset_array(const struct dataset *set, const char *name)
{
    for (size_t i = 0; i < set->array_count; i++) {
        if (strcmp(set->arrays[i].name, name) == 0)
            return &set->arrays[i];
    }
    return NULL;
}

static uint64_t align(uint64_t offset)
{
    return (offset + CACHE_ALIGNMENT - 1) / CACHE_ALIGNMENT * CACHE_ALIGNMENT;
}

/* Where the bytes behind the array end; 0 when it cannot be right. */
static uint64_t array_end(const struct cache_array *array)
{
    if (array->rows < 0 || array->rows > DATA_BYTES_MAX || array->width < 1 ||
        array->width > DATA_WIDTH_MAX || array->type < DATA_U8 || array->type > DATA_F32 ||
        array->offset > (uint64_t)DATA_BYTES_MAX)
        return 0;
    uint64_t bytes = 0;
    const uint64_t row_bytes =
        (uint64_t)array->width * data_type_bytes((enum data_type)array->type);
    if (__builtin_mul_overflow((uint64_t)array->rows, row_bytes, &bytes) ||
        bytes > (uint64_t)DATA_BYTES_MAX)
        return 0;
    return array->offset + bytes;
}

/* Whether a header of this many file bytes describes exactly what lies behind it. */
static bool header_is_sound(const struct cache_header *header, uint64_t file_bytes)
{
    if (memcmp(header->magic, CACHE_MAGIC, sizeof(header->magic)) != 0)
        return false;
    if (header->header_checksum != header_checksum(header) || header->file_bytes != file_bytes)
        return false;
    if (header->count < 1 || header->count > DATA_RECORDS_MAX || header->array_count < 1 ||
        header->array_count > DATA_ARRAYS_MAX)
        return false;
    uint64_t end = CACHE_HEADER_BYTES;
    for (uint64_t i = 0; i < header->array_count; i++) {
        if (header->arrays[i].offset != align(end))
            return false;
        end = array_end(&header->arrays[i]);
        if (end == 0)
            return false;
    }
    return header->fit_offset == align(end) && header->fit_bytes <= DATA_FIT_MAX &&
           header->fit_offset + header->fit_bytes + 1 == file_bytes;
}

static void describe_mapping(const struct cache_header *header, uint8_t *mapping,
                             struct dataset *out)
{
    *out = (struct dataset){
        .kind = (enum data_kind)header->kind,
        .count = header->count,
        .array_count = header->array_count,
        .scale = (float)header->scale,
        .classes = header->classes,
        .classes_record = header->classes_record,
        .fit = (const char *)(mapping + header->fit_offset),
        .fit_bytes = header->fit_bytes,
        .mapping = mapping,
        .mapping_bytes = header->file_bytes,
    };
    for (size_t i = 0; i < header->array_count; i++) {
        const struct cache_array *from = &header->arrays[i];
        struct data_array *array = &out->arrays[i];
        memcpy(array->name, from->name, sizeof(array->name));
        array->name[sizeof(array->name) - 1] = '\0';
        array->type = (enum data_type)from->type;
        array->rows = from->rows;
        array->width = from->width;
        array->values = mapping + from->offset;
    }
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
        (void)munmap(writer->mapping, writer->mapped_bytes);
    if (writer->fd >= 0)
        (void)close(writer->fd);
    if (writer->path[0] != '\0')
        (void)unlink(writer->path); /* best effort: a leftover harms nobody */
}

/* One name, for one process at a time decodes: what a killed one has left is cleared away by the next. */
static enum status writer_open(struct dataset_writer *writer, const char *path, struct error *err)
{
    TRY(fs_path(writer->path, sizeof(writer->path), err, "%s.tmp", path));
    (void)unlink(writer->path); /* open() says what is wrong */
    writer->fd = open(writer->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (writer->fd < 0) {
        const int errnum = errno;
        error_set_errno(err, status_of_errno(errnum), errnum, "create %s", writer->path);
        writer->path[0] = '\0';
        return status_of_errno(errnum);
    }
    if (fchmod(writer->fd, 0644) != 0) /* whatever the umask is: other users' ranks map it, too */
        return error_set_errno(err, status_of_errno(errno), errno, "chmod %s", writer->path);
    return STATUS_OK;
}

static enum status writer_reserve(struct dataset_writer *writer, uint64_t file_bytes,
                                  struct error *err)
{
    const int failure = posix_fallocate(writer->fd, 0, (off_t)file_bytes);
    if (failure != 0)
        return error_set_errno(err, status_of_errno(failure), failure, "reserve %llu bytes for %s",
                               (unsigned long long)file_bytes, writer->path);
    return STATUS_OK;
}

enum status dataset_writer_shape(struct dataset_writer *writer, const struct dataset_shape *shape,
                                 void *out[DATA_ARRAYS_MAX], struct error *err)
{
    assert(writer->mapping == NULL);
    assert(shape->count >= 1 && shape->count <= DATA_RECORDS_MAX);
    assert(shape->array_count >= 1 && shape->array_count <= DATA_ARRAYS_MAX);
    struct cache_header *header = &writer->header;
    header->kind = shape->kind;
    header->count = shape->count;
    header->scale = (double)shape->scale;
    header->array_count = shape->array_count;
    uint64_t end = CACHE_HEADER_BYTES;
    for (size_t i = 0; i < shape->array_count; i++) {
        const struct data_array *array = &shape->arrays[i];
        struct cache_array *to = &header->arrays[i];
        memcpy(to->name, array->name, sizeof(to->name));
        to->type = array->type;
        to->rows = array->rows;
        to->width = array->width;
        to->offset = align(end);
        end = array_end(to);
        if (end == 0 || end > (uint64_t)DATA_BYTES_MAX)
            return error_set(err, STATUS_TOO_LARGE,
                             "%s: %lld x %lld values are over %lld decoded bytes", array->name,
                             (long long)array->rows, (long long)array->width,
                             (long long)DATA_BYTES_MAX);
    }
    header->fit_offset = align(end);
    writer->mapped_bytes = header->fit_offset;
    TRY(writer_reserve(writer, writer->mapped_bytes, err));
    void *mapping =
        mmap(NULL, writer->mapped_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, writer->fd, 0);
    if (mapping == MAP_FAILED)
        return error_set_errno(err, STATUS_NO_MEMORY, errno, "map %s", writer->path);
    writer->mapping = mapping;
    for (size_t i = 0; i < shape->array_count; i++)
        out[i] = writer->mapping + header->arrays[i].offset;
    return STATUS_OK;
}

enum status dataset_writer_fit(struct dataset_writer *writer, const char *text, size_t bytes,
                               struct error *err)
{
    assert(writer->mapping != NULL);
    assert(writer->header.fit_bytes == 0);
    if (bytes > DATA_FIT_MAX)
        return error_set(err, STATUS_TOO_LARGE, "what was fitted takes %zu bytes, at most %zu fit",
                         bytes, (size_t)DATA_FIT_MAX);
    TRY(fs_pwrite_all(writer->fd, text, bytes, (off_t)writer->header.fit_offset, err));
    writer->header.fit_bytes = bytes;
    return STATUS_OK;
}

/* Integer labels have classes; numbers have none. */
static void find_classes(const struct dataset_writer *writer, struct cache_header *header)
{
    for (uint64_t a = 0; a < header->array_count; a++) {
        const struct cache_array *array = &header->arrays[a];
        if (strcmp(array->name, "label") != 0 || array->type != DATA_I32)
            continue;
        const int32_t *labels = (const int32_t *)(const void *)(writer->mapping + array->offset);
        int64_t record = 0;
        for (int64_t i = 1; i < header->count; i++) {
            if (labels[i] > labels[record])
                record = i;
        }
        header->classes = (int64_t)labels[record] + 1;
        header->classes_record = record;
    }
}

/* Everything behind the header's page: bytes, padding (zero) and labels. */
static XXH128_hash_t payload_checksum(const void *mapping, size_t file_bytes)
{
    return XXH3_128bits((const uint8_t *)mapping + CACHE_HEADER_BYTES,
                        file_bytes - CACHE_HEADER_BYTES);
}

/* The hash that goes with each model: of the arrays' bytes and the fit, without padding. */
static void hash_content(const uint8_t *mapping, const struct cache_header *header,
                         uint8_t out[SHA256_BYTES])
{
    CLEANUP(sha256_cleanup) struct sha256 *hash = sha256_new();
    for (uint64_t i = 0; i < header->array_count; i++) {
        const struct cache_array *array = &header->arrays[i];
        sha256_update(hash, mapping + array->offset, array_end(array) - array->offset);
    }
    sha256_update(hash, mapping + header->fit_offset, header->fit_bytes);
    sha256_final(hash, out);
}

/* The file in its last form, mapped anew since the fit came behind what was mapped. */
static enum status writer_seal(struct dataset_writer *writer, struct error *err)
{
    struct cache_header *header = &writer->header;
    TRY(fs_pwrite_all(writer->fd, "", 1, (off_t)(header->fit_offset + header->fit_bytes),
                      err)); /* its NUL */
    (void)munmap(writer->mapping, writer->mapped_bytes);
    writer->mapping = NULL;
    writer->mapped_bytes = header->file_bytes;
    void *mapping =
        mmap(NULL, writer->mapped_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, writer->fd, 0);
    if (mapping == MAP_FAILED)
        return error_set_errno(err, STATUS_NO_MEMORY, errno, "map %s", writer->path);
    writer->mapping = mapping;
    hash_content(writer->mapping, header, header->sha256);
    header->payload_checksum = payload_checksum(writer->mapping, header->file_bytes);
    header->header_checksum = header_checksum(header);
    memcpy(writer->mapping, header, sizeof(*header));
    return STATUS_OK;
}

static enum status writer_finish(struct dataset_writer *writer, const struct cache_place *place,
                                 struct error *err)
{
    assert(writer->mapping != NULL);
    struct cache_header *header = &writer->header;
    memcpy(header->magic, CACHE_MAGIC, sizeof(header->magic));
    header->file_bytes = header->fit_offset + header->fit_bytes + 1;
    memcpy(header->sources, place->sources, sizeof(header->sources));
    find_classes(writer, header);
    TRY(writer_seal(writer, err));
    if (fsync(writer->fd) != 0) /* of the mapping's pages too */
        return error_set_errno(err, status_of_errno(errno), errno, "fsync %s", writer->path);
    if (rename(writer->path, place->path) != 0)
        return error_set_errno(err, status_of_errno(errno), errno, "rename %s to %s", writer->path,
                               place->path);
    writer->path[0] = '\0';
    return STATUS_OK;
}

static enum status cache_decode(const struct data_request *request, const char *cache,
                                const struct cache_place *place, struct error *err)
{
    CLEANUP(writer_cleanup) struct dataset_writer writer = {.fd = -1};
    TRY(writer_open(&writer, place->path, err));
    const struct data_part *part = data_part_of(request->spec, request->role);
    TRY(data_readers[part->format]->decode(request, &writer, err));
    struct source_state after[DATA_SOURCES_MAX];
    TRY(sources_look(request, after, err));
    if (memcmp(after, place->sources, sizeof(after)) != 0)
        return error_set(err, STATUS_CONFLICT, "%s/%s changed while it was read", request->root,
                         part->file[0] == '\0' ? part->features : part->file);
    TRY(writer_finish(&writer, place, err));
    return fs_fsync_dir(cache, err);
}

enum status dataset_open(const struct data_request *request, const char *cache, struct dataset *out,
                         struct error *err)
{
    struct cache_place place;
    TRY(cache_locate(request, cache, &place, err));
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
    TRY(cache_decode(request, cache, &place, err));
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
