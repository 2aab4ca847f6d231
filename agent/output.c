#include "agent/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/tail.h"
#include "base/fs.h"

#define OUTPUT_TIMEOUT_MS 10000
#define ANSWER_BYTES_MAX  (4 * KIB)

enum status output_open(struct output *output, const char *job, int64_t attempt, int64_t rank,
                        const char *folder, const char *stream, struct error *err)
{
    char path[LOCAL_FOLDER_BYTES + 64];
    *output = (struct output){.attempt = attempt, .rank = rank, .stream = stream, .fd = -1};
    TRY(fs_path(output->job, sizeof(output->job), err, "%s", job));
    TRY(fs_path(path, sizeof(path), err, "%s/rank-%lld/%s", folder, (long long)rank, stream));
    TRY(fs_path(output->offset_path, sizeof(output->offset_path), err, "%s.offset", path));
    output->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (output->fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "open %s", path);
    output->sent = tail_offsets_read(output->offset_path, output->fd).acked;
    return STATUS_OK;
}

void output_close(struct output *output)
{
    fd_cleanup(&output->fd);
    output->fd = -1;
}

static int64_t file_bytes(const struct output *output)
{
    struct stat info;
    return fstat(output->fd, &info) == 0 ? info.st_size : 0;
}

bool output_pending(const struct output *output)
{
    return !output->refused && file_bytes(output) > output->sent;
}

static void keep_offset(const struct output *output)
{
    const struct tail_offsets offsets = {output->sent, output->sent};
    /* Unsaved it is only sent again. */
    (void)!tail_offsets_write(output->offset_path, &offsets, NULL);
}

enum status output_send(struct output *output, struct http_client *client, struct error *err)
{
    const int64_t size = file_bytes(output);
    if (output->sent >= OUTPUT_HEAD_BYTES && size - output->sent > OUTPUT_TAIL_BYTES)
        output->sent = size - OUTPUT_TAIL_BYTES;
    int64_t wanted = size - output->sent;
    if (wanted > OUTPUT_CHUNK_BYTES)
        wanted = OUTPUT_CHUNK_BYTES;
    CLEANUP(free_cleanup) char *bytes = malloc((size_t)wanted + 1);
    if (!bytes)
        return error_set(err, STATUS_NO_MEMORY, "no memory for output");
    const ssize_t got = pread(output->fd, bytes, (size_t)wanted, output->sent);
    if (got <= 0)
        return STATUS_OK;
    char url[256];
    CLEANUP(buf_clear) struct buf answer;
    buf_init(&answer, ANSWER_BYTES_MAX);
    TRY(fs_path(url, sizeof(url), err,
                "/v1/agent/logs?job=%s&attempt=%lld&rank=%lld&stream=%s&offset=%lld", output->job,
                (long long)output->attempt, (long long)output->rank, output->stream,
                (long long)output->sent));
    struct http_exchange exchange = {
        .method = "POST",
        .path = url,
        .content_type = "application/octet-stream",
        .body = bytes,
        .body_bytes = (size_t)got,
        .timeout_ms = OUTPUT_TIMEOUT_MS,
        .out_body = &answer,
    };
    TRY(http_client_send(client, &exchange, err));
    if (exchange.out_code >= 500 || exchange.out_code == 429 || exchange.out_code == 401)
        return error_set(err, STATUS_UNAVAILABLE, "logs were answered %ld", exchange.out_code);
    output->refused = exchange.out_code >= 400;
    output->sent += got;
    keep_offset(output);
    return STATUS_OK;
}
