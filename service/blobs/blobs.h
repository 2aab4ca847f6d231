#ifndef SERVICE_BLOBS_BLOBS_H
#define SERVICE_BLOBS_BLOBS_H

/*
 * blobs.h - immutable files: checkpoint shards and model artifacts. A blob is named by a key that
 * carries job and attempt, so an attempt that has been replaced can only write where nobody looks:
 *
 *     checkpoints/<job>/<attempt>/<step>/shard-00000-of-00002
 *     artifacts/<job>/<attempt>/model.safetensors
 *
 * A blob exists whole and synced, or not at all. It is never changed: a second PUT of the same bytes is
 * fine, of other bytes STATUS_CONFLICT. A blob counts only once the database names it; what the database does not name
 * is an orphan of a crash and is swept at start.
 *
 * This is a vtable, complete in each implementation: `local` (a folder) now, S3 later.
 *
 * Threads: any thread may use the store; one struct blob_put belongs to one thread at a time.
 * Errors:  STATUS_TOO_LARGE beyond the limit; STATUS_INVALID when the bytes are not those that were
 *          announced; STATUS_NO_SPACE when the disk is full or less than the reserve would be free.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

#define BLOB_KEY_BYTES           192
#define BLOB_FREE_PERCENT_MIN    5 /* below that a PUT is refused */
#define BLOB_ARTIFACT_NAME_BYTES 64

struct blobs;
struct blob_put;

/* Answers false for what may be removed. */
typedef bool blob_keep_fn(void *context, const char *key);

struct blob_ops {
    const char *name;
    void (*close)(struct blobs *blobs);
    enum status (*put_begin)(struct blobs *blobs, const char *key, uint64_t bytes_max,
                             struct blob_put **out, struct error *err);
    enum status (*put_write)(struct blob_put *put, const void *bytes, size_t size,
                             struct error *err);
    enum status (*put_commit)(struct blob_put *put, const char *expected_sha256,
                              char out_sha256[SHA256_HEX_BYTES], uint64_t *out_bytes,
                              struct error *err);
    void (*put_end)(struct blob_put *put);
    enum status (*get)(struct blobs *blobs, const char *key, int *out_fd, uint64_t *out_bytes,
                       struct error *err);
    enum status (*remove)(struct blobs *blobs, const char *key, struct error *err);
    enum status (*remove_under)(struct blobs *blobs, const char *prefix, struct error *err);
    enum status (*sweep)(struct blobs *blobs, const char *job, blob_keep_fn *keep, void *context,
                         size_t *out_removed, struct error *err);
};

/* Every implementation's struct begins with this; likewise struct blob_put. */
struct blobs {
    const struct blob_ops *ops;
};
struct blob_put {
    const struct blob_ops *ops;
};

/* A folder, made if missing. Unfinished uploads of a former process are removed. `free_percent_min`:
 * BLOB_FREE_PERCENT_MIN; 0 switches the guard off. */
MUST_CHECK enum status blobs_local_open(const char *folder, int64_t free_percent_min,
                                        struct blobs **out, struct error *err);
void blobs_close(struct blobs *blobs); /* accepts NULL */
void blobs_cleanup(struct blobs **blobs);

/* ---- keys. STATUS_INVALID for parts that are no names ("..", "/", empty). */
MUST_CHECK enum status blob_key_shard(char out[BLOB_KEY_BYTES], const char *job, int64_t attempt,
                                      int64_t step, int64_t shard, int64_t of, struct error *err);
MUST_CHECK enum status blob_key_artifact(char out[BLOB_KEY_BYTES], const char *job, int64_t attempt,
                                         const char *name, struct error *err);
/* What a key says: for the sweep, which asks the database. */
struct blob_key {
    bool is_shard; /* else an artifact */
    char job[32];
    int64_t attempt;
    int64_t step, shard, of;             /* shard */
    char name[BLOB_ARTIFACT_NAME_BYTES]; /* artifact */
};
bool blob_key_parse(const char *key, struct blob_key *out);

/* ---- storing: begin, write the pieces as they come, commit; end in every case. */
MUST_CHECK enum status blob_put_begin(struct blobs *blobs, const char *key, uint64_t bytes_max,
                                      struct blob_put **out, struct error *err);
MUST_CHECK enum status blob_put_write(struct blob_put *put, const void *bytes, size_t size,
                                      struct error *err);
/*
 * Durable and in its place after STATUS_OK. `expected_sha256` (hexadecimal; NULL: not known) is compared
 * with what came: STATUS_INVALID, and nothing stays. May be called once.
 */
MUST_CHECK enum status blob_put_commit(struct blob_put *put, const char *expected_sha256,
                                       char out_sha256[SHA256_HEX_BYTES], uint64_t *out_bytes,
                                       struct error *err);
void blob_put_end(struct blob_put *put); /* frees; removes what was not committed; accepts NULL */
void blob_put_cleanup(struct blob_put **put);

/* A descriptor at offset 0 that the caller closes (of a fetched copy where the store is remote). */
MUST_CHECK enum status blob_get(struct blobs *blobs, const char *key, int *out_fd,
                                uint64_t *out_bytes, struct error *err);
/* A missing blob is fine: deletions are repeated after a crash. */
MUST_CHECK enum status blob_remove(struct blobs *blobs, const char *key, struct error *err);
/* All blobs of "checkpoints/<job>/<attempt>/<step>", "checkpoints/<job>", "artifacts/<job>", ... */
MUST_CHECK enum status blob_remove_under(struct blobs *blobs, const char *prefix,
                                         struct error *err);
/*
 * Removes every blob of the job (NULL: of all jobs) that `keep` does not want. Others may upload
 * meanwhile: what may still be named by the database is wanted.
 */
MUST_CHECK enum status blobs_sweep(struct blobs *blobs, const char *job, blob_keep_fn *keep,
                                   void *context, size_t *out_removed, struct error *err);

#endif
