#include "trainer/places.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/fs.h"

enum status places_find_data(const char *folder, const char *root, char out[PATH_MAX],
                             struct error *err)
{
    struct stat found;
    TRY(fs_path(out, PATH_MAX, err, "%s/%s", folder, root));
    if (stat(out, &found) == 0 && S_ISDIR(found.st_mode))
        return STATUS_OK;
    return fs_path(out, PATH_MAX, err, "%s", folder);
}

enum status places_cache_open(struct places_cache *out, struct error *err)
{
    out->path[0] = '\0';
    char path[] = "/tmp/reprise-trainer-XXXXXX";
    if (mkdtemp(path) == NULL)
        return error_set_errno(err, status_of_errno(errno), errno, "create %s", path);
    return fs_path(out->path, sizeof(out->path), err, "%s", path);
}

void places_cache_close(struct places_cache *cache)
{
    if (cache->path[0] != '\0')
        (void)!fs_remove_tree(cache->path, NULL); /* best effort: a leftover harms nobody */
    cache->path[0] = '\0';
}
