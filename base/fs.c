#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FS_READ_BYTES     (64 * KIB)
#define FS_TREE_DEPTH_MAX 64

void fd_cleanup(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* whoever must know whether the bytes are safe has called fsync() */
}

void file_cleanup(FILE *const *file)
{
    if (*file != NULL)
        (void)fclose(*file);
}

void free_cleanup(void *pointer)
{
    void *memory = NULL;
    memcpy(&memory, pointer,
           sizeof(memory)); /* `pointer` is the address of a pointer of any type */
    free(memory);
}

enum status fs_write_all(int fd, const void *bytes, size_t size, struct error *err)
{
    const char *next = bytes;
    while (size > 0) {
        const ssize_t written = write(fd, next, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return error_set_errno(err, status_of_errno(errno), errno, "write %zu bytes", size);
        next += written;
        size -= (size_t)written;
    }
    return STATUS_OK;
}

enum status fs_pread_all(int fd, void *bytes, size_t size, off_t offset, struct error *err)
{
    char *next = bytes;
    size_t left = size;
    while (left > 0) {
        const ssize_t got = pread(fd, next, left, offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(err, status_of_errno(errno), errno, "read %zu bytes at %jd",
                                   size, (intmax_t)offset);
        if (got == 0)
            return error_set(err, STATUS_CORRUPT, "file ends at %jd, %zu bytes too early",
                             (intmax_t)offset, left);
        next += got;
        offset += got;
        left -= (size_t)got;
    }
    return STATUS_OK;
}

enum status fs_pwrite_all(int fd, const void *bytes, size_t size, off_t offset, struct error *err)
{
    const char *next = bytes;
    size_t left = size;
    while (left > 0) {
        const ssize_t put = pwrite(fd, next, left, offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return error_set_errno(err, status_of_errno(errno), errno, "write %zu bytes at %jd",
                                   size, (intmax_t)offset);
        next += put;
        offset += put;
        left -= (size_t)put;
    }
    return STATUS_OK;
}

enum status fs_read_file(const char *path, struct buf *out, struct error *err)
{
    CLEANUP(fd_cleanup) const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "open %s", path);
    char chunk[FS_READ_BYTES];
    for (;;) {
        const ssize_t got = read(fd, chunk, sizeof(chunk));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(err, status_of_errno(errno), errno, "read %s", path);
        if (got == 0)
            return STATUS_OK;
        buf_append(out, chunk, (size_t)got);
        TRY(buf_status(out, path, err));
    }
}

/* A temporary file that vanishes unless it is renamed. */
struct temporary {
    char path[PATH_MAX];
    bool exists;
};

static void temporary_cleanup(const struct temporary *temporary)
{
    if (temporary->exists)
        (void)unlink(temporary->path); /* best effort: a leftover harms nobody */
}

static enum status folder_of(const char *path, char out[PATH_MAX], struct error *err)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return fs_path(out, PATH_MAX, err, ".");
    if (slash == path)
        return fs_path(out, PATH_MAX, err, "/");
    return fs_path(out, PATH_MAX, err, "%.*s", (int)(slash - path), path);
}

enum status fs_replace_file(const char *path, const void *bytes, size_t size, mode_t mode,
                            struct error *err)
{
    char folder[PATH_MAX];
    TRY(folder_of(path, folder, err));
    CLEANUP(temporary_cleanup) struct temporary temporary = {.exists = false};
    TRY(fs_path(temporary.path, sizeof(temporary.path), err, "%s.tmp-XXXXXX", path));
    CLEANUP(fd_cleanup) const int fd = mkostemp(temporary.path, O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "create %s", temporary.path);
    temporary.exists = true;
    if (fchmod(fd, mode) != 0)
        return error_set_errno(err, status_of_errno(errno), errno, "chmod %s", temporary.path);
    const enum status written = fs_write_all(fd, bytes, size, NULL);
    if (written != STATUS_OK)
        return error_set_errno(err, written, errno, "write %s", temporary.path);
    if (fsync(fd) != 0)
        return error_set_errno(err, status_of_errno(errno), errno, "fsync %s", temporary.path);
    if (rename(temporary.path, path) != 0)
        return error_set_errno(err, status_of_errno(errno), errno, "rename %s to %s",
                               temporary.path, path);
    temporary.exists = false;
    return fs_fsync_dir(folder, err);
}

enum status fs_fsync_dir(const char *path, struct error *err)
{
    CLEANUP(fd_cleanup) const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "open folder %s", path);
    if (fsync(fd) != 0)
        return error_set_errno(err, status_of_errno(errno), errno, "fsync folder %s", path);
    return STATUS_OK;
}

static enum status make_dir(const char *path, mode_t mode, struct error *err)
{
    if (mkdir(path, mode) == 0)
        return STATUS_OK;
    const int errnum = errno;
    struct stat found;
    if (errnum == EEXIST && stat(path, &found) == 0 && S_ISDIR(found.st_mode))
        return STATUS_OK;
    return error_set_errno(err, status_of_errno(errnum), errnum, "make folder %s", path);
}

enum status fs_make_dirs(const char *path, mode_t mode, struct error *err)
{
    char partial[PATH_MAX];
    TRY(fs_path(partial, sizeof(partial), err, "%s", path));
    if (partial[0] == '\0')
        return error_set(err, STATUS_INVALID, "make folder: the path is empty");
    for (char *slash = strchr(partial + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        TRY(make_dir(partial, mode, err));
        *slash = '/';
    }
    return make_dir(partial, mode, err);
}

static void dir_cleanup(DIR *const *dir)
{
    if (*dir != NULL)
        (void)closedir(*dir);
}

/* Removes what `parent_fd` knows as `name`; `path` is for messages. */
static enum status remove_at(int parent_fd, const char *name, const char *path, int depth,
                             struct error *err);

static enum status remove_entries(int fd, const char *path, int depth, struct error *err)
{
    CLEANUP(dir_cleanup) DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        const int errnum = errno;
        (void)close(fd);
        return error_set_errno(err, status_of_errno(errnum), errnum, "list %s", path);
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL && errno != 0)
            return error_set_errno(err, status_of_errno(errno), errno, "list %s", path);
        if (entry == NULL)
            return STATUS_OK;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            TRY(remove_at(dirfd(dir), entry->d_name, path, depth, err));
    }
}

static enum status remove_at(int parent_fd, const char *name, const char *path, int depth,
                             struct error *err)
{
    if (depth > FS_TREE_DEPTH_MAX)
        return error_set(err, STATUS_TOO_LARGE, "remove %s: over %d folders deep", path,
                         FS_TREE_DEPTH_MAX);
    if (unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT)
        return STATUS_OK;
    if (errno != EISDIR && errno != EPERM)
        return error_set_errno(err, status_of_errno(errno), errno, "remove %s in %s", name, path);
    const int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return STATUS_OK; /* somebody else removes here, too */
    if (fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "remove %s in %s", name, path);
    TRY(remove_entries(fd, path, depth + 1, err));
    if (unlinkat(parent_fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        return error_set_errno(err, status_of_errno(errno), errno, "remove %s in %s", name, path);
    return STATUS_OK;
}

enum status fs_remove_tree(const char *path, struct error *err)
{
    return remove_at(AT_FDCWD, path, path, 0, err);
}

enum status fs_path(char *out, size_t size, struct error *err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const int length = vsnprintf(out, size, fmt, args);
    va_end(args);
    if (length < 0 || (size_t)length >= size)
        return error_set(err, STATUS_TOO_LARGE, "path is over %zu bytes: %.64s...", size - 1, out);
    return STATUS_OK;
}

bool fs_exists(const char *path)
{
    return access(path, F_OK) == 0;
}
