#ifndef TRAINER_PLACES_H
#define TRAINER_PLACES_H

/* places.h - where a person's data lie, and where what is decoded from them goes for a while. */

#include <limits.h>

#include "base/error.h"

/* FOLDER/<root> if that is a folder, else FOLDER itself. */
MUST_CHECK enum status places_find_data(const char *folder, const char *root, char out[PATH_MAX],
                                        struct error *err);

/* A folder in /tmp for what is decoded once, removed by places_cache_close(). A zeroed one is fine. */
struct places_cache {
    char path[PATH_MAX]; /* "": not opened */
};

MUST_CHECK enum status places_cache_open(struct places_cache *out, struct error *err);
void places_cache_close(struct places_cache *cache);

#endif
