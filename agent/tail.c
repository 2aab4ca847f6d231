#include "agent/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"

#define OFFSETS_BYTES 128
#define OFFSETS_MODE  0600

/* Where the line that starts at `offset` ends, one past its newline; 0: it has no end yet. */
static int64_t find_line_end(int fd, int64_t offset)
{
    char bytes[4096];
    for (;;) {
        const ssize_t got = pread(fd, bytes, sizeof(bytes), offset);
        if (got <= 0)
            return 0;
        const char *newline = memchr(bytes, '\n', (size_t)got);
        if (newline)
            return offset + (newline - bytes) + 1;
        offset += got;
    }
}

enum status tail_read(int fd, int64_t offset, struct buf *chunk, int64_t *out_skipped,
                      struct error *err)
{
    static _Thread_local char bytes[TAIL_CHUNK_BYTES];
    buf_reset(chunk);
    *out_skipped = 0;
    const size_t want = chunk->bytes_max < sizeof(bytes) ? chunk->bytes_max : sizeof(bytes);
    ssize_t got;
    do
        got = pread(fd, bytes, want, offset);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return error_set_errno(err, STATUS_INTERNAL, errno, "read events at %" PRId64, offset);
    if (got == 0)
        return STATUS_OK;
    const char *newline = memrchr(bytes, '\n', (size_t)got);
    if (newline) {
        buf_append(chunk, bytes, (size_t)(newline - bytes) + 1);
        return buf_status(chunk, "a chunk of events", err);
    }
    if ((size_t)got == want) {
        const int64_t end = find_line_end(fd, offset + got);
        *out_skipped = end > 0 ? end - offset : 0;
    }
    return STATUS_OK;
}

struct tail_offsets tail_offsets_read(const char *path, int fd)
{
    CLEANUP(buf_clear) struct buf text;
    struct tail_offsets found = {0};
    struct stat file;
    int end = 0;
    buf_init(&text, OFFSETS_BYTES);
    if (fs_read_file(path, &text, NULL) != STATUS_OK ||
        sscanf(text.data, "%20" SCNd64 " %20" SCNd64 " end%n", &found.acked, &found.settled,
               &end) != 2 ||
        end == 0 || found.settled < 0 || found.acked < found.settled || fstat(fd, &file) != 0 ||
        found.acked > file.st_size)
        return (struct tail_offsets){0};
    return found;
}

enum status tail_offsets_write(const char *path, const struct tail_offsets *offsets,
                               struct error *err)
{
    char text[OFFSETS_BYTES];
    const int size = snprintf(text, sizeof(text), "%020" PRId64 " %020" PRId64 " end\n",
                              offsets->acked, offsets->settled);
    CLEANUP(fd_cleanup) const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, OFFSETS_MODE);
    if (fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "open %s", path);
    if (pwrite(fd, text, (size_t)size, 0) != size)
        return error_set_errno(err, status_of_errno(errno), errno, "write %s", path);
    return STATUS_OK;
}
