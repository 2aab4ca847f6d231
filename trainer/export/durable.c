#include "trainer/export/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"

enum status durable_open(struct durable_file *file, const char *path, struct error *err)
{
    TRY(fs_path(file->path, sizeof(file->path), err, "%s.tmp", path));
    file->fd = open(file->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file->fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "create %s", file->path);
    file->hash = sha256_new();
    return STATUS_OK;
}

void durable_cleanup(const struct durable_file *file)
{
    if (file->fd >= 0)
        (void)close(file->fd);
    if (file->path[0] != '\0')
        (void)unlink(file->path); /* best effort: a leftover harms nobody */
    sha256_free(file->hash);
}

enum status durable_append(struct durable_file *file, const void *bytes, size_t size,
                           struct error *err)
{
    sha256_update(file->hash, bytes, size);
    file->bytes += size;
    const enum status written = fs_write_all(file->fd, bytes, size, NULL);
    if (written != STATUS_OK)
        return error_set_errno(err, written, errno, "write %s", file->path);
    return STATUS_OK;
}

enum status durable_publish(struct durable_file *file, const char *path, struct error *err)
{
    if (fsync(file->fd) != 0)
        return error_set_errno(err, status_of_errno(errno), errno, "fsync %s", file->path);
    if (rename(file->path, path) != 0)
        return error_set_errno(err, status_of_errno(errno), errno, "rename %s to %s", file->path,
                               path);
    file->path[0] = '\0';
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX];
    TRY(fs_path(folder, sizeof(folder), err, "%.*s", slash == NULL ? 1 : (int)(slash - path),
                slash == NULL ? "." : path));
    return fs_fsync_dir(folder, err);
}

void durable_sha256(struct durable_file *file, char out[SHA256_HEX_BYTES])
{
    uint8_t digest[SHA256_BYTES];
    sha256_final(file->hash, digest);
    sha256_hex(digest, out);
}
