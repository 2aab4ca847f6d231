#include "trainer/sync/tree.h"

#include <stdbool.h>

enum {
    DISTANCES_MAX = 31,
    SPLIT_FLOATS = 16, /* halves begin on a cache line of the vector */
};

struct span {
    size_t from, to;
};

size_t tree_scratch_floats(size_t count)
{
    return count / 2 + SPLIT_FLOATS;
}

/* The half that the rank with bit 0 (or 1) at this distance keeps. */
static struct span half_of(struct span span, bool upper)
{
    const size_t half = (span.to - span.from) / 2 / SPLIT_FLOATS * SPLIT_FLOATS;
    const size_t middle = span.to - half;
    return upper ? (struct span){middle, span.to} : (struct span){span.from, middle};
}

static size_t bytes_of(struct span span)
{
    return (span.to - span.from) * sizeof(float);
}

/* The lower rank speaks first: so no two ranks wait for each other. */
static enum status swap(struct comm *comm, int partner, const float *data, struct span send,
                        float *target, struct span recv, struct error *err)
{
    if (comm->rank < partner)
        TRY(comm->ops->send(comm, data + send.from, bytes_of(send), partner, err));
    TRY(comm->ops->recv(comm, target, bytes_of(recv), partner, err));
    if (comm->rank > partner)
        TRY(comm->ops->send(comm, data + send.from, bytes_of(send), partner, err));
    return STATUS_OK;
}

enum status tree_all_reduce(struct comm *comm, struct device device, float *data, size_t count,
                            float *scratch, struct error *err)
{
    struct span held[DISTANCES_MAX + 1] = {{0, count}};
    int depth = 0;
    for (int distance = 1; distance < comm->world_size; distance *= 2, depth++) {
        const bool upper = (comm->rank & distance) != 0;
        const struct span kept = half_of(held[depth], upper);
        TRY(swap(comm, comm->rank ^ distance, data, half_of(held[depth], !upper), scratch, kept,
                 err));
        TRY(device.ops->add(device.compute, data + kept.from, scratch, kept.to - kept.from, err));
        held[depth + 1] = kept;
    }
    for (int distance = comm->world_size / 2; distance >= 1; distance /= 2, depth--) {
        const bool upper = (comm->rank & distance) != 0;
        const struct span theirs = half_of(held[depth - 1], !upper);
        TRY(swap(comm, comm->rank ^ distance, data, held[depth], data + theirs.from, theirs, err));
    }
    return STATUS_OK;
}
