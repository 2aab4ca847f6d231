#include "agent/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/backoff.h"
#include "agent/local.h"
#include "agent/shelf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"

#define FETCH_TRIES_MAX      5
#define FETCH_TIMEOUT_MS     60000
#define FETCH_BACKOFF_MS     100
#define FETCH_BACKOFF_MAX_MS 2000
#define SHARD_MODE           0600

static enum status check_file(const char *path, const struct wire_shard_source *shard,
                              struct error *err)
{
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES];
    uint64_t bytes;
    TRY(sha256_file(path, digest, &bytes, err));
    sha256_hex(digest, hex);
    if (strcmp(hex, shard->sha256) != 0)
        return error_set(err, STATUS_CORRUPT, "shard %lld of %s: expected sha-256 %s, got %s",
                         (long long)shard->shard, shard->href, shard->sha256, hex);
    return STATUS_OK;
}

static enum status download(struct http_client *client, const struct wire_shard_source *shard,
                            const char *target, struct error *err)
{
    char temporary[LOCAL_FOLDER_BYTES + 64];
    CLEANUP(buf_clear) struct buf complaint;
    buf_init(&complaint, 4 * KIB);
    TRY(fs_path(temporary, sizeof(temporary), err, "%s.tmp", target));
    CLEANUP(fd_cleanup)
    const int fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, SHARD_MODE);
    if (fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "open %s", temporary);
    struct http_exchange exchange = {
        .method = "GET",
        .path = shard->href,
        .timeout_ms = FETCH_TIMEOUT_MS,
        .out_fd = fd,
        .out_fd_bytes_max = (uint64_t)shard->bytes,
        .out_body = &complaint,
    };
    TRY(http_client_send(client, &exchange, err));
    if (exchange.out_code != 200)
        return error_set(err, exchange.out_code >= 500 ? STATUS_UNAVAILABLE : STATUS_NOT_FOUND,
                         "GET %s was answered %ld", shard->href, exchange.out_code);
    TRY(check_file(temporary, shard, err));
    if (rename(temporary, target) != 0)
        return error_set_errno(err, status_of_errno(errno), errno, "rename %s", temporary);
    return STATUS_OK;
}

static enum status fetch_one(const struct site *site, struct http_client *client, const char *job,
                             const struct wire_shard_source *shard, const char *target,
                             const bool *cancelled, struct error *err)
{
    if (shelf_take(site->data_dir, job, shard->sha256, target, NULL) == STATUS_OK)
        return STATUS_OK;
    struct backoff backoff = backoff_of(FETCH_BACKOFF_MS, FETCH_BACKOFF_MAX_MS);
    for (int tries = 1;; tries++) {
        struct error once = {0};
        const enum status status = download(client, shard, target, &once);
        if (status == STATUS_OK)
            return STATUS_OK;
        if (status != STATUS_UNAVAILABLE || tries == FETCH_TRIES_MAX ||
            __atomic_load_n(cancelled, __ATOMIC_ACQUIRE))
            return error_set(err, status, "%s", once.text);
        clock_sleep_ms(backoff_next_ms(&backoff));
    }
}

enum status fetch_shards(const struct site *site, struct http_client *client,
                         const struct wire_assignment *assignment, const char *folder,
                         const bool *cancelled, struct error *err)
{
    for (size_t i = 0; i < assignment->shard_count; i++) {
        const struct wire_shard_source *shard = &assignment->shards[i];
        char target[LOCAL_FOLDER_BYTES + 48];
        TRY(fs_path(target, sizeof(target), err, "%s/resume/shard-%05lld-of-%05lld", folder,
                    (long long)shard->shard, (long long)shard->of));
        TRY(fetch_one(site, client, assignment->job, shard, target, cancelled, err));
    }
    return STATUS_OK;
}
