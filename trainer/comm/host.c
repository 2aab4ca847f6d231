/* host.c - what the parts of a host communicator share: trouble, heads of messages, scratch. */
#include "trainer/comm/host.h"

#include <stdlib.h>

const char *host_operation_name(enum host_operation operation)
{
    switch (operation) {
    case HOST_ALL_REDUCE:
        return "all_reduce";
    case HOST_REDUCE_SCATTER:
        return "reduce_scatter";
    case HOST_ALL_GATHER:
        return "all_gather";
    case HOST_ALL_TO_ALL:
        return "all_to_all";
    case HOST_BROADCAST:
        return "broadcast";
    case HOST_SEND:
        return "send";
    case HOST_BARRIER:
        return "barrier";
    case HOST_WINDOW:
        return "window";
    }
    return "unknown operation";
}

/* ---- failing */

enum status host_check(struct host *host, struct error *err)
{
    const char *operation = host_operation_name(host->operation);
    switch ((enum host_trouble)atomic_load(&host->trouble)) {
    case HOST_FINE:
        return STATUS_OK;
    case HOST_ABORTED:
        return error_set(err, STATUS_UNAVAILABLE, "rank %d: %s aborted", host->comm.rank,
                         operation);
    case HOST_PEER_DIED:
        return error_set(err, STATUS_UNAVAILABLE, "rank %d died, seen by rank %d in %s",
                         atomic_load(&host->died_rank), host->comm.rank, operation);
    case HOST_FAILED:
        break;
    }
    return error_set(err, STATUS_UNAVAILABLE, "rank %d: %s after the communicator failed",
                     host->comm.rank, operation);
}

enum status host_error_silent(const struct host *host, const struct host_peer *peer,
                              struct error *err)
{
    return error_set(err, STATUS_UNAVAILABLE, "rank %d is silent: rank %d waited %lld ms in %s",
                     peer->rank, host->comm.rank, (long long)host->timeout_ms,
                     host_operation_name(host->operation));
}

enum status host_error_lost(const struct host *host, const struct host_peer *peer, const char *how,
                            struct error *err)
{
    return error_set(err, STATUS_UNAVAILABLE, "rank %d is lost to rank %d in %s: %s", peer->rank,
                     host->comm.rank, host_operation_name(host->operation), how);
}

/* ---- what the parts share */

enum status host_scratch(struct host *host, size_t bytes, void **out, struct error *err)
{
    if (bytes > host->scratch_bytes) {
        free(host->scratch);
        host->scratch_bytes = 0;
        host->scratch = malloc(bytes);
        if (host->scratch == NULL)
            return error_set(err, STATUS_NO_MEMORY, "%s: no memory for %zu bytes",
                             host_operation_name(host->operation), bytes);
        host->scratch_bytes = bytes;
    }
    *out = host->scratch;
    return STATUS_OK;
}

struct host_head host_make_head(const struct host *host, size_t bytes)
{
    return (struct host_head){.magic = HOST_MESSAGE_MAGIC,
                              .operation = (uint16_t)host->operation,
                              .from = (uint16_t)host->comm.rank,
                              .bytes = bytes};
}

enum status host_check_head(const struct host *host, const struct host_peer *peer,
                            const struct host_head *head, size_t bytes, struct error *err)
{
    if (head->magic != HOST_MESSAGE_MAGIC || head->from != peer->rank)
        return error_set(err, STATUS_CORRUPT,
                         "rank %d speaks another protocol: magic %08x, rank %u", peer->rank,
                         head->magic, head->from);
    if (head->operation != host->operation || head->bytes != bytes)
        return error_set(err, STATUS_CORRUPT,
                         "rank %d is in %s with %llu bytes, rank %d in %s with %zu", peer->rank,
                         host_operation_name((enum host_operation)head->operation),
                         (unsigned long long)head->bytes, host->comm.rank,
                         host_operation_name(host->operation), bytes);
    return STATUS_OK;
}

void host_add(float *restrict target, const float *restrict source, size_t count)
{
    enum { LANES = 16 }; /* a known inner length is what the compiler vectorises */
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (size_t lane = 0; lane < LANES; lane++)
            target[i + lane] += source[i + lane];
    }
    for (; i < count; i++)
        target[i] += source[i];
}

int host_power_of_two_in(int world_size)
{
    int power = 1;
    while (power * 2 <= world_size)
        power *= 2;
    return power;
}
