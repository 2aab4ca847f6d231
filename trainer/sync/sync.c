/* sync.c - the table of modes, who works in them, and the check that replicas are equal. */
#include "trainer/sync/sync.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/fs.h"
#include "trainer/sync/sync_private.h"

#define HASH_CHUNK_BYTES MIB
#define RANKS_TEXT_BYTES 160

const struct sync_ops *const sync_registry[] = {
    [SYNC_ALLREDUCE] = &sync_allreduce,
    [SYNC_PARAMETER_SERVER] = &sync_parameter_server,
    [SYNC_SHARDED] = &sync_sharded,
};

enum status sync_check_world(const struct training_spec *spec, int world_size, struct error *err)
{
    const bool has_servers = spec->sync == SYNC_PARAMETER_SERVER && world_size > 1;
    if (has_servers && spec->servers >= world_size)
        return error_set(err, STATUS_INVALID,
                         "/training/servers: expected integer 1..%d, one of %d ranks must work, "
                         "got %lld",
                         world_size - 1, world_size, (long long)spec->servers);
    const bool is_power = (world_size & (world_size - 1)) == 0;
    if (spec->reproducible && (!is_power || spec->micro_shards % world_size != 0))
        return error_set(err, STATUS_INVALID,
                         "/training/reproducible: %d ranks, expected a divisor of %lld, the "
                         "\"micro_shards\"",
                         world_size, (long long)spec->micro_shards);
    return STATUS_OK;
}

enum status sync_open(const struct sync_parts *parts, struct sync **out, struct error *err)
{
    const bool is_alone = parts->comm->world_size == 1;
    TRY(sync_check_world(parts->training, parts->comm->world_size, err));
    const int mode = is_alone ? SYNC_ALLREDUCE : parts->training->sync;
    return sync_registry[mode]->open(parts, out, err);
}

int sync_workers(const struct training_spec *spec, int world_size)
{
    if (spec->sync != SYNC_PARAMETER_SERVER || world_size == 1)
        return world_size;
    return world_size - (int)spec->servers;
}

bool sync_is_worker(const struct training_spec *spec, int rank, int world_size)
{
    return rank < sync_workers(spec, world_size);
}

enum status sync_memory_open(struct device device, struct comm *comm, size_t floats,
                             struct sync_memory *out, struct error *err)
{
    void *memory = NULL;
    TRY(comm->ops->window(comm, floats * sizeof(float), &memory, err));
    const bool is_shared = memory != NULL;
    if (!is_shared)
        TRY(device.ops->alloc(device.compute, floats * sizeof(float), &memory, err));
    *out = (struct sync_memory){.data = memory, .is_shared = is_shared};
    return STATUS_OK;
}

void sync_memory_close(struct device device, struct sync_memory *memory)
{
    if (memory->data != NULL && !memory->is_shared)
        device.ops->release(device.compute, memory->data);
    *memory = (struct sync_memory){.data = NULL};
}

/* ---- replicas */

static enum status hash_parameters(const struct sync_parts *parts, XXH128_hash_t *out,
                                   struct error *err)
{
    CLEANUP(free_cleanup) uint8_t *chunk = malloc(HASH_CHUNK_BYTES);
    XXH3_state_t *state = XXH3_createState();
    if (chunk == NULL || state == NULL) {
        (void)XXH3_freeState(state);
        return error_set(err, STATUS_NO_MEMORY, "check the replicas");
    }
    (void)XXH3_128bits_reset(state);
    const uint8_t *bytes = (const uint8_t *)parts->parameters;
    const size_t total = parts->count * sizeof(float);
    enum status status = STATUS_OK;
    for (size_t done = 0; done < total && status == STATUS_OK;) {
        const size_t size = total - done < HASH_CHUNK_BYTES ? total - done : HASH_CHUNK_BYTES;
        status = parts->device.ops->download(parts->device.compute, chunk, bytes + done, size, err);
        (void)XXH3_128bits_update(state, chunk, size);
        done += size;
    }
    *out = XXH3_128bits_digest(state);
    (void)XXH3_freeState(state);
    return status;
}

/* The value that most ranks have; of equal counts the one of the lowest rank. */
static size_t most_common(const XXH128_hash_t *hashes, size_t count)
{
    size_t best = 0, best_votes = 0;
    for (size_t i = 0; i < count; i++) {
        size_t votes = 0;
        for (size_t j = 0; j < count; j++)
            votes += XXH128_isEqual(hashes[i], hashes[j]) ? 1 : 0;
        if (votes > best_votes) {
            best = i;
            best_votes = votes;
        }
    }
    return best;
}

static enum status compare(const XXH128_hash_t *hashes, size_t count, struct error *err)
{
    const size_t best = most_common(hashes, count);
    char ranks[RANKS_TEXT_BYTES] = "";
    size_t used = 0, differing = 0;
    for (size_t i = 0; i < count; i++) {
        if (XXH128_isEqual(hashes[i], hashes[best]))
            continue;
        differing++;
        if (used + 16 < sizeof(ranks))
            used += (size_t)snprintf(ranks + used, sizeof(ranks) - used, " %zu", i);
    }
    if (differing == 0)
        return STATUS_OK;
    return error_set(err, STATUS_CORRUPT,
                     "replicas differ: XXH3 of the parameters is %016llx%016llx on rank %zu and "
                     "something else on %zu of %zu ranks:%s",
                     (unsigned long long)hashes[best].high64,
                     (unsigned long long)hashes[best].low64, best, differing, count, ranks);
}

enum status sync_check_replicas(struct sync *sync, struct error *err)
{
    const struct sync_base *base = (const struct sync_base *)sync;
    const struct sync_parts *parts = &base->parts;
    const size_t world = (size_t)parts->comm->world_size;
    static_assert(sizeof(XXH128_hash_t) == SYNC_WORD_BYTES, "a hash is a word");
    TRY(sync->ops->settle(sync, err));
    XXH128_hash_t own;
    TRY(hash_parameters(parts, &own, err));
    CLEANUP(free_cleanup) XXH128_hash_t *hashes = calloc(world, sizeof(*hashes));
    if (hashes == NULL)
        return error_set(err, STATUS_NO_MEMORY, "check the replicas");
    uint8_t *mine = base->words + (size_t)parts->comm->rank * SYNC_WORD_BYTES;
    TRY(parts->device.ops->upload(parts->device.compute, mine, &own, sizeof(own), err));
    TRY(parts->comm->ops->all_gather(parts->comm, base->words, mine, SYNC_WORD_BYTES, err));
    TRY(parts->device.ops->download(parts->device.compute, hashes, base->words,
                                    world * sizeof(*hashes), err));
    return compare(hashes, world, err);
}
