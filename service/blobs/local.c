#include "service/blobs/blobs.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "service/blobs/key.h"

/*
 * local.c - blobs in a folder. Bytes go to <folder>/tmp first; the commit syncs them, links them
 * to their place (a link never replaces) and syncs the folders that changed.
 */

#define LOCAL_PATH_BYTES   1024
#define LOCAL_FOLDER_BYTES 700 /* leaves room for a key */

struct local {
    struct blobs base;
    char folder[LOCAL_FOLDER_BYTES];
    int64_t free_percent_min;
    /* Held while folders appear or vanish, so that none vanishes between its making and its first blob. */
    pthread_mutex_t tree;
};

struct local_put {
    struct blob_put base;
    struct local *local;
    char key[BLOB_KEY_BYTES];
    char unfinished[LOCAL_PATH_BYTES]; /* in tmp; "" once it is gone */
    int fd;
    struct sha256 *hash;
    uint64_t bytes;
    uint64_t bytes_max;
};

static enum status path_of(const struct local *local, const char *key, char out[LOCAL_PATH_BYTES],
                           struct error *err)
{
    if (!blob_path_is_valid(key))
        return error_set(err, STATUS_INVALID, "\"%.100s\" cannot name a blob", key);
    return fs_path(out, LOCAL_PATH_BYTES, err, "%s/%s", local->folder, key);
}

/* ---- storing */

static enum status check_space(const struct local *local, struct error *err)
{
    struct statvfs space;
    if (statvfs(local->folder, &space) != 0)
        return error_set_errno(err, status_of_errno(errno), errno, "statvfs %s", local->folder);
    const uint64_t reserve = (uint64_t)space.f_blocks * (uint64_t)local->free_percent_min / 100;
    if (local->free_percent_min > 0 && (uint64_t)space.f_bavail < reserve)
        return error_set(err, STATUS_NO_SPACE, "the disk of %s has less than %d %% free",
                         local->folder, (int)local->free_percent_min);
    return STATUS_OK;
}

static void put_end(struct blob_put *base)
{
    struct local_put *put = (struct local_put *)base;
    fd_cleanup(&put->fd);
    if (put->unfinished[0] != '\0')
        (void)unlink(put->unfinished); /* a left-over goes at the next start */
    sha256_free(put->hash);
    free(put);
}

static void put_cleanup(struct local_put **put)
{
    if (*put != NULL)
        put_end(&(*put)->base);
}

static enum status put_begin(struct blobs *base, const char *key, uint64_t bytes_max,
                             struct blob_put **out, struct error *err)
{
    struct local *local = (struct local *)base;
    char path[LOCAL_PATH_BYTES];
    TRY(path_of(local, key, path, err));
    TRY(check_space(local, err));
    CLEANUP(put_cleanup) struct local_put *put = calloc(1, sizeof *put);
    if (put == NULL)
        return error_set(err, STATUS_NO_MEMORY, "upload of %s", key);
    put->base.ops = base->ops;
    put->local = local;
    put->fd = -1;
    put->hash = sha256_new();
    put->bytes_max = bytes_max;
    (void)snprintf(put->key, sizeof put->key, "%s", key); /* path_of() checked its length */
    char name[LOCAL_PATH_BYTES];
    TRY(fs_path(name, sizeof name, err, "%s/tmp/%016llx", local->folder,
                (unsigned long long)random_u64()));
    put->fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (put->fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "create %s", name);
    memcpy(put->unfinished, name, sizeof name);
    *out = &TAKE(put)->base;
    return STATUS_OK;
}

static enum status put_write(struct blob_put *base, const void *bytes, size_t size,
                             struct error *err)
{
    struct local_put *put = (struct local_put *)base;
    assert(put->unfinished[0] != '\0');
    if (size > put->bytes_max - put->bytes)
        return error_set(err, STATUS_TOO_LARGE, "%s has more than %llu bytes", put->key,
                         (unsigned long long)put->bytes_max);
    TRY(fs_write_all(put->fd, bytes, size, err));
    sha256_update(put->hash, bytes, size);
    put->bytes += size;
    return STATUS_OK;
}

/* Makes the folders above `path`, below the store's own, each synced into its parent. */
static enum status make_folders(const struct local *local, const char *path, struct error *err)
{
    char folder[LOCAL_PATH_BYTES];
    (void)snprintf(folder, sizeof folder, "%s", path); /* same size as path */
    size_t parent_length = strlen(local->folder);
    for (char *slash = strchr(folder + parent_length + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(folder, 0700) == 0) {
            folder[parent_length] = '\0';
            TRY(fs_fsync_dir(folder, err));
            folder[parent_length] = '/';
        } else if (errno != EEXIST) {
            return error_set_errno(err, status_of_errno(errno), errno, "mkdir %s", folder);
        }
        parent_length = (size_t)(slash - folder);
        *slash = '/';
    }
    return STATUS_OK;
}

/* A blob is there already: fine if it has the same bytes. */
static enum status compare(const char *path, const char *key, const char *sha256, struct error *err)
{
    uint8_t digest[SHA256_BYTES];
    uint64_t bytes = 0;
    char hex[SHA256_HEX_BYTES];
    TRY(sha256_file(path, digest, &bytes, err));
    sha256_hex(digest, hex);
    if (strcmp(hex, sha256) != 0)
        return error_set(err, STATUS_CONFLICT, "%s is stored with other bytes (sha256 %.12s...)",
                         key, hex);
    return STATUS_OK;
}

/* Links the finished file to its place. *out_existed: there was a blob already. */
static enum status link_into_place(struct local_put *put, const char *path, bool *out_existed,
                                   struct error *err)
{
    pthread_mutex_lock(&put->local->tree);
    enum status status = make_folders(put->local, path, err);
    if (status == STATUS_OK && link(put->unfinished, path) != 0) {
        *out_existed = errno == EEXIST;
        if (!*out_existed)
            status = error_set_errno(err, status_of_errno(errno), errno, "link %s", path);
    }
    pthread_mutex_unlock(&put->local->tree);
    return status;
}

static enum status sync_folder_of(const char *path, struct error *err)
{
    char folder[LOCAL_PATH_BYTES];
    (void)snprintf(folder, sizeof folder, "%s", path); /* same size as path */
    *strrchr(folder, '/') = '\0';
    return fs_fsync_dir(folder, err);
}

static enum status put_commit(struct blob_put *base, const char *expected_sha256,
                              char out_sha256[SHA256_HEX_BYTES], uint64_t *out_bytes,
                              struct error *err)
{
    struct local_put *put = (struct local_put *)base;
    assert(put->unfinished[0] != '\0');
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES];
    sha256_final(put->hash, digest);
    sha256_hex(digest, hex);
    if (expected_sha256 != NULL && strcasecmp(expected_sha256, hex) != 0)
        return error_set(err, STATUS_INVALID, "%s: announced sha256 %.12s..., got %.12s...",
                         put->key, expected_sha256, hex);
    if (fsync(put->fd) != 0)
        return error_set_errno(err, STATUS_INTERNAL, errno, "fsync %s", put->unfinished);
    char path[LOCAL_PATH_BYTES];
    TRY(path_of(put->local, put->key, path, err));
    bool existed = false;
    TRY(link_into_place(put, path, &existed, err));
    if (existed)
        TRY(compare(path, put->key, hex, err));
    TRY(sync_folder_of(path, err));
    (void)unlink(put->unfinished); /* a left-over goes at the next start */
    put->unfinished[0] = '\0';
    memcpy(out_sha256, hex, sizeof hex);
    *out_bytes = put->bytes;
    return STATUS_OK;
}

/* ---- reading */

static enum status get(struct blobs *base, const char *key, int *out_fd, uint64_t *out_bytes,
                       struct error *err)
{
    char path[LOCAL_PATH_BYTES];
    TRY(path_of((struct local *)base, key, path, err));
    CLEANUP(fd_cleanup) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "open blob %s", key);
    struct stat stat;
    if (fstat(fd, &stat) != 0)
        return error_set_errno(err, STATUS_INTERNAL, errno, "stat blob %s", key);
    if (!S_ISREG(stat.st_mode))
        return error_set(err, STATUS_NOT_FOUND, "%s is no blob", key);
    *out_bytes = (uint64_t)stat.st_size;
    *out_fd = fd;
    fd = -1;
    return STATUS_OK;
}

/* ---- removing */

/* Removes the folders above a removed blob that are empty now, but not the two at the top. */
static void remove_empty_folders(const struct local *local, char path[LOCAL_PATH_BYTES])
{
    const size_t top = strlen(local->folder) + 1;
    for (;;) {
        char *slash = strrchr(path, '/');
        *slash = '\0';
        if (strchr(path + top, '/') == NULL || rmdir(path) != 0)
            return; /* not empty: in use */
    }
}

static enum status remove_blob(struct blobs *base, const char *key, struct error *err)
{
    struct local *local = (struct local *)base;
    char path[LOCAL_PATH_BYTES];
    TRY(path_of(local, key, path, err));
    pthread_mutex_lock(&local->tree);
    const int rc = unlink(path);
    const int errnum = errno;
    if (rc == 0)
        remove_empty_folders(local, path);
    pthread_mutex_unlock(&local->tree);
    if (rc != 0 && errnum != ENOENT)
        return error_set_errno(err, status_of_errno(errnum), errnum, "remove blob %s", key);
    return STATUS_OK;
}

static enum status remove_under(struct blobs *base, const char *prefix, struct error *err)
{
    struct local *local = (struct local *)base;
    char path[LOCAL_PATH_BYTES];
    TRY(path_of(local, prefix, path, err));
    pthread_mutex_lock(&local->tree);
    const enum status status = fs_remove_tree(path, err);
    if (status == STATUS_OK)
        remove_empty_folders(local, path);
    pthread_mutex_unlock(&local->tree);
    return status;
}

struct sweep {
    struct local *local;
    blob_keep_fn *keep;
    void *context;
    short keep_level; /* folders at and above this level stay */
    size_t removed;
};

static void remove_if_empty(struct local *local, const char *folder)
{
    pthread_mutex_lock(&local->tree); /* nobody makes it for a blob that is about to come */
    (void)rmdir(folder);              /* stays when it is not empty */
    pthread_mutex_unlock(&local->tree);
}

static enum status sweep_entry(struct sweep *sweep, const FTSENT *entry, struct error *err)
{
    if (entry->fts_info == FTS_ERR || entry->fts_info == FTS_DNR)
        return error_set_errno(err, status_of_errno(entry->fts_errno), entry->fts_errno, "read %s",
                               entry->fts_path);
    if (entry->fts_info == FTS_DP && entry->fts_level > sweep->keep_level)
        remove_if_empty(sweep->local, entry->fts_path);
    if (entry->fts_info == FTS_D || entry->fts_info == FTS_DP || entry->fts_info == FTS_NS)
        return STATUS_OK; /* the last: it was never there, or is gone already */
    const char *key = entry->fts_path + strlen(sweep->local->folder) + 1;
    if (sweep->keep(sweep->context, key))
        return STATUS_OK;
    if (unlink(entry->fts_path) != 0 && errno != ENOENT)
        return error_set_errno(err, status_of_errno(errno), errno, "remove %s", entry->fts_path);
    sweep->removed++;
    return STATUS_OK;
}

static enum status sweep_root(const struct local *local, const char *top, const char *job,
                              char out[LOCAL_PATH_BYTES], struct error *err)
{
    if (job == NULL)
        return fs_path(out, LOCAL_PATH_BYTES, err, "%s/%s", local->folder, top);
    char key[BLOB_KEY_BYTES];
    TRY(fs_path(key, sizeof key, err, "%s/%s", top, job));
    return path_of(local, key, out, err);
}

static enum status sweep(struct blobs *base, const char *job, blob_keep_fn *keep, void *context,
                         size_t *out_removed, struct error *err)
{
    struct local *local = (struct local *)base;
    char checkpoints[LOCAL_PATH_BYTES];
    char artifacts[LOCAL_PATH_BYTES];
    TRY(sweep_root(local, BLOB_TOP_CHECKPOINTS, job, checkpoints, err));
    TRY(sweep_root(local, BLOB_TOP_ARTIFACTS, job, artifacts, err));
    char *roots[] = {checkpoints, artifacts, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (walk == NULL)
        return error_set_errno(err, status_of_errno(errno), errno, "walk %s", local->folder);
    struct sweep sweep = {.local = local,
                          .keep = keep,
                          .context = context,
                          .keep_level = job == NULL ? FTS_ROOTLEVEL : FTS_ROOTPARENTLEVEL};
    enum status status = STATUS_OK;
    const FTSENT *entry = NULL;
    while (status == STATUS_OK && (entry = fts_read(walk)) != NULL)
        status = sweep_entry(&sweep, entry, err);
    (void)fts_close(walk);
    if (status == STATUS_OK)
        *out_removed = sweep.removed;
    return status;
}

/* ---- opening */

static void close_local(struct blobs *base)
{
    struct local *local = (struct local *)base;
    (void)pthread_mutex_destroy(&local->tree);
    free(local);
}

static const struct blob_ops local_ops = {
    .name = "local",
    .close = close_local,
    .put_begin = put_begin,
    .put_write = put_write,
    .put_commit = put_commit,
    .put_end = put_end,
    .get = get,
    .remove = remove_blob,
    .remove_under = remove_under,
    .sweep = sweep,
};

enum status blobs_local_open(const char *folder, int64_t free_percent_min, struct blobs **out,
                             struct error *err)
{
    assert(free_percent_min >= 0 && free_percent_min < 100);
    char path[LOCAL_PATH_BYTES];
    if (strlen(folder) >= LOCAL_FOLDER_BYTES)
        return error_set(err, STATUS_TOO_LARGE, "path of the blobs' folder: %.100s...", folder);
    TRY(fs_path(path, sizeof path, err, "%s/tmp", folder));
    TRY(fs_remove_tree(path, err));
    TRY(fs_make_dirs(path, 0700, err));
    TRY(fs_path(path, sizeof path, err, "%s/" BLOB_TOP_CHECKPOINTS, folder));
    TRY(fs_make_dirs(path, 0700, err));
    TRY(fs_path(path, sizeof path, err, "%s/" BLOB_TOP_ARTIFACTS, folder));
    TRY(fs_make_dirs(path, 0700, err));
    TRY(fs_fsync_dir(folder, err));
    struct local *local = calloc(1, sizeof *local);
    if (local == NULL)
        return error_set(err, STATUS_NO_MEMORY, "blob store of %zu bytes", sizeof *local);
    local->base.ops = &local_ops;
    local->free_percent_min = free_percent_min;
    (void)snprintf(local->folder, sizeof local->folder, "%s", folder); /* length checked above */
    (void)pthread_mutex_init(&local->tree, NULL);                      /* never fails on Linux */
    *out = &local->base;
    return STATUS_OK;
}
