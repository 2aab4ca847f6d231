#include "service/blobs/key.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "service/blobs/blobs.h"

#define PART_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

static bool part_is_valid(const char *part, size_t length)
{
    return length > 0 && part[0] != '.' && strspn(part, PART_CHARACTERS) >= length;
}

bool blob_path_is_valid(const char *path)
{
    if (strlen(path) >= BLOB_KEY_BYTES)
        return false;
    const char *part = path;
    for (int depth = 0;; depth++) {
        const size_t length = strcspn(part, "/");
        if (!part_is_valid(part, length))
            return false;
        if (depth == 0 && strncmp(part, BLOB_TOP_CHECKPOINTS "/", length + 1) != 0 &&
            strncmp(part, BLOB_TOP_ARTIFACTS "/", length + 1) != 0)
            return false;
        if (part[length] == '\0')
            return depth > 0;
        part += length + 1;
    }
}

static enum status check(const char key[BLOB_KEY_BYTES], int length, struct error *err)
{
    if (length < 0 || length >= BLOB_KEY_BYTES || !blob_path_is_valid(key))
        return error_set(err, STATUS_INVALID, "\"%.100s\" cannot name a blob", key);
    return STATUS_OK;
}

enum status blob_key_shard(char out[BLOB_KEY_BYTES], const char *job, int64_t attempt, int64_t step,
                           int64_t shard, int64_t of, struct error *err)
{
    if (!part_is_valid(job, strlen(job)) || attempt < 1 || step < 0 || shard < 0 || shard >= of)
        return error_set(err, STATUS_INVALID,
                         "no shard %" PRId64 " of %" PRId64 " of job %.40s attempt %" PRId64
                         " step %" PRId64,
                         shard, of, job, attempt, step);
    char key[BLOB_KEY_BYTES];
    const int length = snprintf(key, sizeof key,
                                BLOB_TOP_CHECKPOINTS "/%s/%" PRId64 "/%" PRId64 "/shard-%05" PRId64
                                                     "-of-%05" PRId64,
                                job, attempt, step, shard, of);
    TRY(check(key, length, err));
    memcpy(out, key, sizeof key);
    return STATUS_OK;
}

enum status blob_key_artifact(char out[BLOB_KEY_BYTES], const char *job, int64_t attempt,
                              const char *name, struct error *err)
{
    if (!part_is_valid(job, strlen(job)) || attempt < 1 || !part_is_valid(name, strlen(name)) ||
        strlen(name) >= BLOB_ARTIFACT_NAME_BYTES)
        return error_set(err, STATUS_INVALID, "no artifact \"%.64s\" of job %.40s attempt %" PRId64,
                         name, job, attempt);
    char key[BLOB_KEY_BYTES];
    const int length =
        snprintf(key, sizeof key, BLOB_TOP_ARTIFACTS "/%s/%" PRId64 "/%s", job, attempt, name);
    TRY(check(key, length, err));
    memcpy(out, key, sizeof key);
    return STATUS_OK;
}

bool blob_key_parse(const char *key, struct blob_key *out)
{
    struct blob_key parsed = {.is_shard = true};
    char again[BLOB_KEY_BYTES] = "";
    enum status status = STATUS_INVALID;
    if (sscanf(key,
               BLOB_TOP_CHECKPOINTS "/%31[^/]/%" SCNd64 "/%" SCNd64 "/shard-%" SCNd64
                                    "-of-%" SCNd64,
               parsed.job, &parsed.attempt, &parsed.step, &parsed.shard, &parsed.of) == 5) {
        status = blob_key_shard(again, parsed.job, parsed.attempt, parsed.step, parsed.shard,
                                parsed.of, NULL);
    } else if (sscanf(key, BLOB_TOP_ARTIFACTS "/%31[^/]/%" SCNd64 "/%63[^/]", parsed.job,
                      &parsed.attempt, parsed.name) == 3) {
        parsed.is_shard = false;
        status = blob_key_artifact(again, parsed.job, parsed.attempt, parsed.name, NULL);
    }
    /* Only the one spelling that we write ourselves is a key. */
    if (status != STATUS_OK || strcmp(again, key) != 0)
        return false;
    *out = parsed;
    return true;
}
