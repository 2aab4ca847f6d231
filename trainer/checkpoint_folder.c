#include "trainer/checkpoint_folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "schema/wire_agent.h"

#define STEP_PREFIX "step-"

enum status checkpoint_folder(const char *folder, int64_t step, char *out, size_t out_bytes,
                              struct error *err)
{
    return fs_path(out, out_bytes, err, "%s/" STEP_PREFIX "%06lld", folder, (long long)step);
}

/* The step of a folder named step-000123; -1 for any other name. */
static int64_t step_of_name(const char *name)
{
    if (strncmp(name, STEP_PREFIX, strlen(STEP_PREFIX)) != 0)
        return -1;
    const char *digits = name + strlen(STEP_PREFIX);
    char *end = NULL;
    errno = 0;
    const long long step = strtoll(digits, &end, 10);
    return errno != 0 || end == digits || *end != '\0' || step < 0 ? -1 : step;
}

enum status checkpoint_newest(const char *folder, int64_t before, char *out, size_t out_bytes,
                              int64_t *out_step, struct error *err)
{
    DIR *listing = opendir(folder);
    if (listing == NULL)
        return error_set_errno(err, status_of_errno(errno), errno, "open folder %s", folder);
    int64_t newest = -1;
    for (const struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        const int64_t step = step_of_name(entry->d_name);
        char shard[PATH_BYTES_MAX];
        if (step <= newest || (before >= 0 && step >= before))
            continue;
        if (fs_path(shard, sizeof(shard), NULL, "%s/%s/%s", folder, entry->d_name,
                    CHECKPOINT_SHARD_NAME) == STATUS_OK &&
            fs_exists(shard))
            newest = step;
    }
    (void)closedir(listing);
    if (newest < 0)
        return error_set(err, STATUS_NOT_FOUND, "no checkpoint in %s", folder);
    *out_step = newest;
    return checkpoint_folder(folder, newest, out, out_bytes, err);
}
