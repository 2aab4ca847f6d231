#include "service/store/logs.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"

#define LOGS_PATH_BYTES   1024
#define LOGS_FOLDER_BYTES 700
#define LOGS_STREAM_BYTES 16
/* Holes start new segments early; a stream of nothing but holes still has an end. */
#define LOGS_SEGMENTS_MAX  64
#define LOGS_OFFSET_DIGITS 20
#define LOGS_HOLE_BYTES    64 /* the line that names a hole */

struct logs {
    char folder[LOGS_FOLDER_BYTES];
    pthread_mutex_t append;
};

/* One file of a stream: bytes start .. start + size. */
struct segment {
    int64_t start;
    int64_t size;
};

/* What is on disk of one stream, ascending. */
struct listing {
    char folder[LOGS_PATH_BYTES]; /* of the rank */
    const char *stream;
    size_t count;
    struct segment segments[LOGS_SEGMENTS_MAX + 1];
};

enum status logs_open(const char *data_dir, struct logs **out, struct error *err)
{
    char folder[LOGS_FOLDER_BYTES];
    TRY(fs_path(folder, sizeof folder, err, "%s/logs", data_dir));
    TRY(fs_make_dirs(folder, 0700, err));
    struct logs *logs = calloc(1, sizeof *logs);
    if (logs == NULL)
        return error_set(err, STATUS_NO_MEMORY, "logs of %zu bytes", sizeof *logs);
    memcpy(logs->folder, folder, sizeof folder);
    (void)pthread_mutex_init(&logs->append, NULL); /* never fails on Linux */
    *out = logs;
    return STATUS_OK;
}

void logs_close(struct logs *logs)
{
    if (logs == NULL)
        return;
    (void)pthread_mutex_destroy(&logs->append);
    free(logs);
}

void logs_cleanup(struct logs **logs)
{
    logs_close(*logs);
}

/* ---- names */

static enum status job_folder(const struct logs *logs, const char *job, char out[LOGS_PATH_BYTES],
                              struct error *err)
{
    const size_t length = strlen(job);
    if (length == 0 || length >= ID_BYTES_MAX ||
        strspn(job, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != length)
        return error_set(err, STATUS_INVALID, "\"%.40s\" is no job id", job);
    return fs_path(out, LOGS_PATH_BYTES, err, "%s/%s", logs->folder, job);
}

static bool stream_is_valid(const char *stream)
{
    return strcmp(stream, "stdout") == 0 || strcmp(stream, "stderr") == 0;
}

static enum status rank_folder(const struct logs *logs, const struct logs_stream *stream,
                               char out[LOGS_PATH_BYTES], struct error *err)
{
    char folder[LOGS_PATH_BYTES];
    TRY(job_folder(logs, stream->job, folder, err));
    if (stream->attempt < 1 || stream->rank < 0 || !stream_is_valid(stream->stream))
        return error_set(err, STATUS_INVALID,
                         "no stream \"%.16s\" of attempt %" PRId64 " rank %" PRId64, stream->stream,
                         stream->attempt, stream->rank);
    return fs_path(out, LOGS_PATH_BYTES, err, "%s/%" PRId64 "/%" PRId64, folder, stream->attempt,
                   stream->rank);
}

static enum status segment_path(const struct listing *listing, int64_t start,
                                char out[LOGS_PATH_BYTES], struct error *err)
{
    return fs_path(out, LOGS_PATH_BYTES, err, "%s/%s.%0*" PRId64, listing->folder, listing->stream,
                   LOGS_OFFSET_DIGITS, start);
}

/* The position in a segment's name, or -1 for other files. */
static int64_t start_of(const char *name, const char *stream)
{
    const size_t length = strlen(stream);
    if (strncmp(name, stream, length) != 0 || name[length] != '.' ||
        strlen(name) != length + 1 + LOGS_OFFSET_DIGITS)
        return -1;
    char *end = NULL;
    const int64_t start = strtoll(name + length + 1, &end, 10);
    return *end == '\0' ? start : -1;
}

/* ---- what there is */

static void insert_sorted(struct listing *listing, struct segment segment)
{
    size_t i = listing->count++;
    for (; i > 0 && listing->segments[i - 1].start > segment.start; i--)
        listing->segments[i] = listing->segments[i - 1];
    listing->segments[i] = segment;
}

static enum status read_folder(struct listing *listing, DIR *folder, struct error *err)
{
    const struct dirent *entry = NULL;
    while ((entry = readdir(folder)) != NULL) {
        const int64_t start = start_of(entry->d_name, listing->stream);
        if (start < 0)
            continue;
        if (listing->count > LOGS_SEGMENTS_MAX)
            return error_set(err, STATUS_CORRUPT, "%s has more than %d segments of %s",
                             listing->folder, LOGS_SEGMENTS_MAX, listing->stream);
        struct stat stat;
        if (fstatat(dirfd(folder), entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) != 0)
            continue; /* dropped meanwhile */
        insert_sorted(listing, (struct segment){.start = start, .size = (int64_t)stat.st_size});
    }
    return STATUS_OK;
}

/* STATUS_NOT_FOUND when there is nothing. */
static enum status list_stream(const struct logs *logs, const struct logs_stream *stream,
                               struct listing *out, struct error *err)
{
    out->stream = stream->stream;
    out->count = 0;
    TRY(rank_folder(logs, stream, out->folder, err));
    DIR *folder = opendir(out->folder);
    enum status status = STATUS_OK;
    if (folder != NULL) {
        status = read_folder(out, folder, err);
        (void)closedir(folder); /* was only read */
    } else if (errno != ENOENT) {
        return error_set_errno(err, status_of_errno(errno), errno, "open %s", out->folder);
    }
    if (status == STATUS_OK && out->count == 0)
        status = error_set(err, STATUS_NOT_FOUND,
                           "job %s attempt %" PRId64 " rank %" PRId64 " has no %s", stream->job,
                           stream->attempt, stream->rank, stream->stream);
    return status;
}

static int64_t end_of(const struct listing *listing)
{
    if (listing->count == 0)
        return 0;
    const struct segment *last = &listing->segments[listing->count - 1];
    return last->start + last->size;
}

enum status logs_end(struct logs *logs, const struct logs_stream *stream, int64_t *out_end,
                     struct error *err)
{
    struct listing listing;
    struct error missing = {0};
    const enum status status = list_stream(logs, stream, &listing, &missing);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        return error_set(err, status, "%s", missing.text);
    *out_end = end_of(&listing);
    return STATUS_OK;
}

/* ---- appending */

/* The most that a segment holds: the head is the one at 0, so that it can stay when the rest goes. */
static int64_t segment_bytes_max(int64_t start)
{
    return start == 0 ? LOGS_HEAD_BYTES : LOGS_SEGMENT_BYTES;
}

static enum status append_to_segment(struct listing *listing, int64_t start, const char *bytes,
                                     size_t size, struct error *err)
{
    char path[LOGS_PATH_BYTES];
    TRY(segment_path(listing, start, path, err));
    CLEANUP(fd_cleanup)
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "open %s", path);
    return fs_write_all(fd, bytes, size, err);
}

/* Drops the oldest tail segments until the others alone hold LOGS_TAIL_BYTES, or are too many. */
static enum status trim(struct listing *listing, struct error *err)
{
    size_t first = listing->segments[0].start == 0 ? 1 : 0; /* the head stays */
    while (listing->count - first > 1) {
        const int64_t kept = end_of(listing) - listing->segments[first + 1].start;
        if (kept < LOGS_TAIL_BYTES && listing->count <= LOGS_SEGMENTS_MAX)
            return STATUS_OK;
        char path[LOGS_PATH_BYTES];
        TRY(segment_path(listing, listing->segments[first].start, path, err));
        if (unlink(path) != 0 && errno != ENOENT)
            return error_set_errno(err, status_of_errno(errno), errno, "remove %s", path);
        listing->count--;
        memmove(&listing->segments[first], &listing->segments[first + 1],
                (listing->count - first) * sizeof listing->segments[0]);
    }
    return STATUS_OK;
}

/* Appends at or above the end, segment by segment. */
static enum status append_new(struct listing *listing, int64_t offset, const char *bytes,
                              size_t size, struct error *err)
{
    while (size > 0) {
        struct segment *last = listing->count > 0 ? &listing->segments[listing->count - 1] : NULL;
        if (last == NULL || offset > last->start + last->size ||
            last->size >= segment_bytes_max(last->start)) {
            TRY(trim(listing, err));
            last = &listing->segments[listing->count++];
            *last = (struct segment){.start = offset};
        }
        const size_t room = (size_t)(segment_bytes_max(last->start) - last->size);
        const size_t piece = size < room ? size : room;
        TRY(append_to_segment(listing, last->start, bytes, piece, err));
        last->size += (int64_t)piece;
        offset += (int64_t)piece;
        bytes += piece;
        size -= piece;
    }
    return trim(listing, err);
}

static enum status append_locked(struct logs *logs, const struct logs_stream *stream,
                                 int64_t offset, const char *bytes, size_t size, int64_t *out_end,
                                 struct error *err)
{
    struct listing listing;
    struct error missing = {0};
    const enum status status = list_stream(logs, stream, &listing, &missing);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        return error_set(err, status, "%s", missing.text);
    const int64_t end = end_of(&listing);
    if (offset < end) {
        const size_t known = (size_t)(end - offset) < size ? (size_t)(end - offset) : size;
        offset += (int64_t)known;
        bytes += known;
        size -= known;
    }
    if (size > 0) {
        TRY(fs_make_dirs(listing.folder, 0700, err));
        TRY(append_new(&listing, offset, bytes, size, err));
    }
    *out_end = end_of(&listing);
    return STATUS_OK;
}

enum status logs_append(struct logs *logs, const struct logs_stream *stream, int64_t offset,
                        const void *bytes, size_t size, int64_t *out_end, struct error *err)
{
    if (offset < 0 || offset > INT64_MAX - (int64_t)size)
        return error_set(err, STATUS_INVALID, "no position %" PRId64 " of a log", offset);
    pthread_mutex_lock(&logs->append);
    const enum status status = append_locked(logs, stream, offset, bytes, size, out_end, err);
    pthread_mutex_unlock(&logs->append);
    return status;
}

/* ---- reading */

/* Appends at most `size` bytes of a segment; *out_got is less when the file is gone or shorter. */
static enum status read_segment(const struct listing *listing, const struct segment *segment,
                                int64_t offset, size_t size, struct buf *out, size_t *out_got,
                                struct error *err)
{
    char path[LOGS_PATH_BYTES];
    TRY(segment_path(listing, segment->start, path, err));
    CLEANUP(fd_cleanup) const int fd = open(path, O_RDONLY | O_CLOEXEC);
    *out_got = 0;
    if (fd < 0 && errno == ENOENT)
        return STATUS_OK; /* dropped meanwhile: a hole */
    if (fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "open %s", path);
    char piece[8 * KIB];
    while (*out_got < size) {
        const size_t wanted = size - *out_got < sizeof piece ? size - *out_got : sizeof piece;
        const ssize_t got =
            pread(fd, piece, wanted, (off_t)(offset - segment->start) + (off_t)*out_got);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(err, STATUS_INTERNAL, errno, "read %s", path);
        if (got == 0)
            break;
        buf_append(out, piece, (size_t)got);
        *out_got += (size_t)got;
    }
    return STATUS_OK;
}

enum status logs_read(struct logs *logs, const struct logs_stream *stream, int64_t offset,
                      struct buf *out, int64_t *out_next, struct error *err)
{
    struct listing listing;
    TRY(list_stream(logs, stream, &listing, err));
    int64_t next = offset > 0 ? offset : 0;
    size_t left = LOGS_READ_BYTES;
    for (size_t i = 0; i < listing.count && left > 0; i++) {
        const struct segment *segment = &listing.segments[i];
        const int64_t segment_end = segment->start + segment->size;
        if (next >= segment_end)
            continue;
        if (next < segment->start) {
            const size_t before = out->size;
            buf_printf(out, "[reprise: %" PRId64 " bytes left out]\n", segment->start - next);
            next = segment->start;
            left -= out->size - before < left ? out->size - before : left;
        }
        const size_t wanted =
            (size_t)(segment_end - next) < left ? (size_t)(segment_end - next) : left;
        size_t got = 0;
        TRY(read_segment(&listing, segment, next, wanted, out, &got, err));
        next += (int64_t)got;
        left -= got;
        if (got < wanted && i + 1 == listing.count)
            break; /* the last one vanished with its job */
    }
    TRY(buf_status(out, "log", err));
    *out_next = next;
    return STATUS_OK;
}

enum status logs_tail(struct logs *logs, const struct logs_stream *stream, int64_t lines,
                      int64_t *out_offset, struct error *err)
{
    struct listing listing;
    TRY(list_stream(logs, stream, &listing, err));
    const struct segment *last = &listing.segments[listing.count - 1];
    /* Lines are counted backwards over the segments that follow one another without a hole. */
    size_t first = listing.count - 1;
    while (first > 0 && listing.segments[first - 1].start + listing.segments[first - 1].size ==
                            listing.segments[first].start)
        first--;
    const int64_t end = last->start + last->size;
    int64_t start = end - LOGS_READ_BYTES + LOGS_HOLE_BYTES;
    if (start < listing.segments[first].start)
        start = listing.segments[first].start;
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, LOGS_READ_BYTES + LOGS_HOLE_BYTES);
    int64_t next = 0;
    TRY(logs_read(logs, stream, start, &text, &next, err));
    size_t position = text.size;
    for (int64_t found = 0; position > 0; position--) {
        const bool ends_line = text.data[position - 1] == '\n' && position != text.size;
        if (ends_line && ++found == lines)
            break;
    }
    *out_offset = lines > 0 ? start + (int64_t)position : next;
    return STATUS_OK;
}

static int compare_ranks(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a;
    const int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

enum status logs_ranks(struct logs *logs, const char *job, int64_t attempt, const char *stream,
                       int64_t *out_ranks, size_t max, size_t *out_count, struct error *err)
{
    char folder[LOGS_PATH_BYTES];
    char path[LOGS_PATH_BYTES];
    TRY(job_folder(logs, job, folder, err));
    TRY(fs_path(path, sizeof path, err, "%s/%" PRId64, folder, attempt));
    DIR *ranks = opendir(path);
    *out_count = 0;
    if (ranks == NULL && errno == ENOENT)
        return STATUS_OK;
    if (ranks == NULL)
        return error_set_errno(err, status_of_errno(errno), errno, "open %s", path);
    const struct dirent *entry = NULL;
    while ((entry = readdir(ranks)) != NULL && *out_count < max) {
        char *end = NULL;
        const int64_t rank = strtoll(entry->d_name, &end, 10);
        int64_t bytes = 0;
        if (*end != '\0' || end == entry->d_name)
            continue;
        const struct logs_stream one = {job, attempt, rank, stream};
        if (logs_end(logs, &one, &bytes, err) == STATUS_OK && bytes > 0)
            out_ranks[(*out_count)++] = rank;
    }
    (void)closedir(ranks); /* was only read */
    qsort(out_ranks, *out_count, sizeof *out_ranks, compare_ranks);
    return STATUS_OK;
}

/* ---- retention */

enum status logs_drop_job(struct logs *logs, const char *job, struct error *err)
{
    char folder[LOGS_PATH_BYTES];
    TRY(job_folder(logs, job, folder, err));
    pthread_mutex_lock(&logs->append);
    const enum status status = fs_remove_tree(folder, err);
    pthread_mutex_unlock(&logs->append);
    return status;
}

/* The newest change of anything below `folder`, wall time; 0 when it cannot be read. */
static int64_t newest_change_ms(char *folder)
{
    char *roots[] = {folder, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    int64_t newest_ms = 0;
    const FTSENT *entry = NULL;
    while (walk != NULL && (entry = fts_read(walk)) != NULL) {
        const bool known = entry->fts_info == FTS_F || entry->fts_info == FTS_D;
        if (known && (int64_t)entry->fts_statp->st_mtime * 1000 > newest_ms)
            newest_ms = (int64_t)entry->fts_statp->st_mtime * 1000;
    }
    if (walk != NULL)
        (void)fts_close(walk); /* was only read */
    return newest_ms;
}

enum status logs_prune(struct logs *logs, int64_t not_before_ms, size_t jobs_max,
                       size_t *out_removed, struct error *err)
{
    DIR *jobs = opendir(logs->folder);
    if (jobs == NULL)
        return error_set_errno(err, status_of_errno(errno), errno, "open %s", logs->folder);
    size_t removed = 0;
    enum status status = STATUS_OK;
    const struct dirent *entry = NULL;
    while (status == STATUS_OK && removed < jobs_max && (entry = readdir(jobs)) != NULL) {
        char folder[LOGS_PATH_BYTES];
        if (job_folder(logs, entry->d_name, folder, NULL) != STATUS_OK)
            continue; /* "." and "..", and what is not ours */
        if (newest_change_ms(folder) >= not_before_ms)
            continue;
        status = logs_drop_job(logs, entry->d_name, err);
        removed++;
    }
    (void)closedir(jobs); /* was only read */
    if (status == STATUS_OK)
        *out_removed = removed;
    return status;
}
