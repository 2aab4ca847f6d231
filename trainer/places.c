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

enum status places_cache_open(const char *folder, struct places_cache *out, struct error *err)
{
    *out = (struct places_cache){.is_temporary = false};
    if (folder != NULL) {
        TRY(fs_path(out->path, sizeof(out->path), err, "%s", folder));
        return fs_make_dirs(folder, 0755, err);
    }
    TRY(fs_path(out->path, sizeof(out->path), err, "/tmp/reprise-trainer-XXXXXX"));
    if (mkdtemp(out->path) == NULL)
        return error_set_errno(err, status_of_errno(errno), errno, "create %s", out->path);
    out->is_temporary = true;
    return STATUS_OK;
}

void places_cache_close(struct places_cache *cache)
{
    if (cache->is_temporary)
        (void)!fs_remove_tree(cache->path, NULL); /* best effort: a leftover harms nobody */
}
