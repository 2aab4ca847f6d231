#include "agent/shelf.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/local.h"
#include "base/fs.h"
#include "base/hash.h"

#define SHELF_MODE  0700
#define STEP_DIGITS 12
#define ENTRY_BYTES (STEP_DIGITS + 1 + SHA256_HEX_BYTES)
#define PATH_ROOM   (LOCAL_FOLDER_BYTES + 128)

static int is_entry(const struct dirent *entry)
{
    return strlen(entry->d_name) == ENTRY_BYTES - 1 && entry->d_name[STEP_DIGITS] == '-';
}

/* Removes all but the entries of the newest steps. Names sort by step. */
static void prune_steps(const char *folder)
{
    struct dirent **entries = NULL;
    char path[PATH_ROOM + ENTRY_BYTES];
    const int count = scandir(folder, &entries, is_entry, alphasort);
    int steps = 0;
    for (int i = count - 1; i >= 0; i--) {
        if (i == count - 1 || strncmp(entries[i]->d_name, entries[i + 1]->d_name, STEP_DIGITS) != 0)
            steps++;
        if (steps > SHELF_STEPS_MAX &&
            fs_path(path, sizeof(path), NULL, "%s/%s", folder, entries[i]->d_name) == STATUS_OK)
            (void)unlink(path);
    }
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
}

/* What the shelf holds, and the job whose folder has been unchanged for longest. */
struct shelf_sum {
    int64_t bytes;
    int jobs;
    time_t oldest_time;
    char oldest[PATH_ROOM];
};

static int64_t folder_bytes(const char *folder)
{
    struct dirent **entries = NULL;
    int64_t bytes = 0;
    const int count = scandir(folder, &entries, is_entry, NULL);
    for (int i = 0; i < count; i++) {
        char path[PATH_ROOM + ENTRY_BYTES];
        struct stat info;
        if (fs_path(path, sizeof(path), NULL, "%s/%s", folder, entries[i]->d_name) == STATUS_OK &&
            stat(path, &info) == 0)
            bytes += info.st_size;
        free(entries[i]);
    }
    free(entries);
    return bytes;
}

static void sum_up(const char *root, struct shelf_sum *out)
{
    memset(out, 0, sizeof(*out));
    DIR *folder = opendir(root);
    for (const struct dirent *entry = folder ? readdir(folder) : NULL; entry;
         entry = readdir(folder)) {
        char path[PATH_ROOM];
        struct stat info;
        if (entry->d_name[0] == '.' ||
            fs_path(path, sizeof(path), NULL, "%s/%s", root, entry->d_name) != STATUS_OK ||
            stat(path, &info) != 0)
            continue;
        out->jobs++;
        out->bytes += folder_bytes(path);
        if (!out->oldest[0] || info.st_mtime < out->oldest_time) {
            out->oldest_time = info.st_mtime;
            memcpy(out->oldest, path, sizeof(out->oldest));
        }
    }
    if (folder)
        (void)closedir(folder);
}

/* Too many jobs or bytes: the job longest untouched goes, but never the last one. */
static void prune_jobs(const char *root)
{
    struct shelf_sum sum;
    for (sum_up(root, &sum); sum.jobs > 1; sum_up(root, &sum)) {
        const bool over = sum.jobs > SHELF_JOBS_MAX || sum.bytes > SHELF_BYTES_MAX;
        if (!over || fs_remove_tree(sum.oldest, NULL) != STATUS_OK)
            return;
    }
}

enum status shelf_put(const char *data_dir, const char *job, int64_t step, const char *sha256,
                      const char *path, struct error *err)
{
    char folder[PATH_ROOM];
    char target[PATH_ROOM + ENTRY_BYTES];
    TRY(fs_path(folder, sizeof(folder), err, "%s/shards/%s", data_dir, job));
    TRY(fs_path(target, sizeof(target), err, "%s/%0*lld-%s", folder, STEP_DIGITS, (long long)step,
                sha256));
    const bool is_new = !fs_exists(folder);
    TRY(fs_make_dirs(folder, SHELF_MODE, err));
    if (link(path, target) != 0 && errno != EEXIST)
        return error_set_errno(err, status_of_errno(errno), errno, "link %s to %s", path, target);
    prune_steps(folder);
    if (is_new) {
        char root[PATH_ROOM];
        TRY(fs_path(root, sizeof(root), err, "%s/shards", data_dir));
        prune_jobs(root);
    }
    return STATUS_OK;
}

static enum status check_shard(const char *path, const char *sha256, struct error *err)
{
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES];
    uint64_t bytes;
    TRY(sha256_file(path, digest, &bytes, err));
    sha256_hex(digest, hex);
    if (strcmp(hex, sha256) != 0)
        return error_set(err, STATUS_NOT_FOUND, "%s changed on disk: its hash is %s", path, hex);
    return STATUS_OK;
}

enum status shelf_take(const char *data_dir, const char *job, const char *sha256,
                       const char *target, struct error *err)
{
    char folder[PATH_ROOM];
    char path[PATH_ROOM + ENTRY_BYTES] = "";
    TRY(fs_path(folder, sizeof(folder), err, "%s/shards/%s", data_dir, job));
    struct dirent **entries = NULL;
    const int count = scandir(folder, &entries, is_entry, alphasort);
    for (int i = 0; i < count; i++) {
        if (strcmp(entries[i]->d_name + STEP_DIGITS + 1, sha256) == 0)
            (void)!fs_path(path, sizeof(path), err, "%s/%s", folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    if (!path[0])
        return error_set(err, STATUS_NOT_FOUND, "shard %s is not on this node", sha256);
    const enum status status = check_shard(path, sha256, err);
    if (status != STATUS_OK) {
        (void)unlink(path);
        return status;
    }
    if (link(path, target) != 0 && errno != EEXIST)
        return error_set_errno(err, STATUS_NOT_FOUND, errno, "link %s to %s", path, target);
    return STATUS_OK;
}

void shelf_forget(const char *data_dir, const char *job)
{
    char folder[PATH_ROOM];
    if (fs_path(folder, sizeof(folder), NULL, "%s/shards/%s", data_dir, job) == STATUS_OK)
        (void)!fs_remove_tree(folder, NULL);
}
