#include "service/blobs/blobs.h"

/* blobs.c - the calls, through the table of the store at hand. */

void blobs_close(struct blobs *blobs)
{
    if (blobs != NULL)
        blobs->ops->close(blobs);
}

void blobs_cleanup(struct blobs **blobs)
{
    blobs_close(*blobs);
}

enum status blob_put_begin(struct blobs *blobs, const char *key, uint64_t bytes_max,
                           struct blob_put **out, struct error *err)
{
    return blobs->ops->put_begin(blobs, key, bytes_max, out, err);
}

enum status blob_put_write(struct blob_put *put, const void *bytes, size_t size, struct error *err)
{
    return put->ops->put_write(put, bytes, size, err);
}

enum status blob_put_commit(struct blob_put *put, const char *expected_sha256,
                            char out_sha256[SHA256_HEX_BYTES], uint64_t *out_bytes,
                            struct error *err)
{
    return put->ops->put_commit(put, expected_sha256, out_sha256, out_bytes, err);
}

void blob_put_end(struct blob_put *put)
{
    if (put != NULL)
        put->ops->put_end(put);
}

void blob_put_cleanup(struct blob_put **put)
{
    blob_put_end(*put);
}

enum status blob_get(struct blobs *blobs, const char *key, int *out_fd, uint64_t *out_bytes,
                     struct error *err)
{
    return blobs->ops->get(blobs, key, out_fd, out_bytes, err);
}

enum status blob_remove(struct blobs *blobs, const char *key, struct error *err)
{
    return blobs->ops->remove(blobs, key, err);
}

enum status blob_remove_under(struct blobs *blobs, const char *prefix, struct error *err)
{
    return blobs->ops->remove_under(blobs, prefix, err);
}

enum status blobs_sweep(struct blobs *blobs, const char *job, blob_keep_fn *keep, void *context,
                        size_t *out_removed, struct error *err)
{
    return blobs->ops->sweep(blobs, job, keep, context, out_removed, err);
}
