#ifndef SERVICE_BLOBS_KEY_H
#define SERVICE_BLOBS_KEY_H

/* key.h - private to service/blobs: which texts may become paths. */

#include <stdbool.h>

#define BLOB_TOP_CHECKPOINTS "checkpoints"
#define BLOB_TOP_ARTIFACTS   "artifacts"

/*
 * Whether this is a key or the beginning of one, made of whole parts: below one of the two folders above, parts
 * of letters, digits, '.', '_' and '-', none that begins with '.', none empty.
 */
bool blob_path_is_valid(const char *path);

#endif
