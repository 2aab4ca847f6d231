/*
 * host_window.c - memory that all ranks of a gang on one node see: sums and gathers read it where it is.
 *
 * A window is a piece of the runner's memfd behind the rings, a part for each rank. Operations keep to
 * one rule: between two meetings a rank writes its own part alone, and there only what nobody reads.
 *
 *     meet    all parts are complete
 *     sum     rank r sums slice r of all parts into its own; others read other slices of its part
 *     meet    all slices are summed
 *     gather  every rank copies the other slices from where they were summed
 *     meet    nobody reads this rank's part any more
 */

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "trainer/comm/host_link.h"
#include "trainer/comm/host_window.h"

enum {
    PAGE_BYTES = 4096,
    BLOCK_FLOATS = 1024, /* summed at once: intermediate sums stay in the nearest cache */
    DEPTH_MAX = 10,      /* of the tree over at most HOST_LOCAL_RANK_MAX ranks, and the fold */
    SLICE_FLOATS = HOST_ALIGN / sizeof(float),
};

/* ---- making */

enum status host_window_open(struct host *host, size_t bytes, void **out, struct error *err)
{
    const size_t world = (size_t)host->comm.world_size;
    *out = NULL;
    if (host->shared_fd < 0)
        return host_meet(host, bytes, 0, err); /* so that a wrong call shows in any gang */
    if (host->window_count == COMM_WINDOWS_MAX)
        return error_set(err, STATUS_INVALID, "more than %d windows", COMM_WINDOWS_MAX);
    const size_t stride = (bytes / PAGE_BYTES + 1) * PAGE_BYTES;
    const size_t begin = (host->shared_end + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    if (host->local_rank == 0 && ftruncate(host->shared_fd, (off_t)(begin + world * stride)) != 0)
        return error_set_errno(err, STATUS_NO_MEMORY, errno, "window of %zu bytes for %zu ranks",
                               bytes, world);
    TRY(host_meet(host, bytes, begin, err)); /* now it is that large */
    void *map = mmap(NULL, world * stride, PROT_READ | PROT_WRITE, MAP_SHARED, host->shared_fd,
                     (off_t)begin);
    if (map == MAP_FAILED)
        return error_set_errno(err, STATUS_NO_MEMORY, errno, "map a window of %zu bytes", bytes);
    struct host_window *window = &host->windows[host->window_count++];
    *window = (struct host_window){.base = map, .stride = stride};
    host->shared_end = begin + world * stride;
    *out = window->base + (size_t)host->comm.rank * stride;
    return STATUS_OK;
}

void host_window_close_all(struct host *host)
{
    for (int i = 0; i < host->window_count; i++)
        (void)munmap(host->windows[i].base,
                     (size_t)host->comm.world_size * host->windows[i].stride);
    host->window_count = 0;
}

const struct host_window *host_window_of(const struct host *host, const void *data, size_t bytes)
{
    for (int i = 0; i < host->window_count; i++) {
        const struct host_window *window = &host->windows[i];
        const uintptr_t part = (uintptr_t)window->base + (size_t)host->comm.rank * window->stride;
        const uintptr_t begin = (uintptr_t)data;
        if (begin >= part && begin + bytes <= part + window->stride)
            return window;
    }
    return NULL;
}

/* ---- using */

/* One vector in all parts of a window. */
struct parts {
    const uint8_t *base; /* of rank 0's */
    size_t stride;
    int world, power; /* ranks from `power` on are added to rank - power first */
};

static struct parts parts_of(const struct host *host, const struct host_window *window,
                             const void *data)
{
    const uint8_t *own = window->base + (size_t)host->comm.rank * window->stride;
    return (struct parts){.base = window->base + ((const uint8_t *)data - own),
                          .stride = window->stride,
                          .world = host->comm.world_size,
                          .power = host_power_of_two_in(host->comm.world_size)};
}

static const float *part_at(const struct parts *parts, int rank, size_t first)
{
    return (const float *)(const void *)(parts->base + (size_t)rank * parts->stride) + first;
}

/* out may be a or b. */
static void add_pair(float *out, const float *a, const float *b, size_t count)
{
    enum { LANES = 16 }; /* in and out apart: that is what the compiler vectorises */
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        float lanes[LANES];
        for (size_t lane = 0; lane < LANES; lane++)
            lanes[lane] = a[i + lane] + b[i + lane];
        memcpy(out + i, lanes, sizeof(lanes));
    }
    for (; i < count; i++)
        out[i] = a[i] + b[i];
}

/*
 * The balanced tree over ranks lowest .. lowest + ranks - 1: at elements first .. first + count - 1, to
 * `out` or, where nothing is to be added, left where it is. `spare` is for right halves.
 */
static const float *sum_block(const struct parts *parts, int lowest, int ranks, size_t first,
                              size_t count, float *out, float (*spare)[BLOCK_FLOATS])
{
    if (ranks == 1 && lowest + parts->power >= parts->world)
        return part_at(parts, lowest, first);
    if (ranks == 1) {
        add_pair(out, part_at(parts, lowest, first), part_at(parts, lowest + parts->power, first),
                 count);
        return out;
    }
    const int half = ranks / 2;
    const float *left = sum_block(parts, lowest, half, first, count, spare[0], spare + 2);
    const float *right = sum_block(parts, lowest + half, half, first, count, spare[1], spare + 2);
    add_pair(out, left, right, count);
    return out;
}

/* Elements [first, end) of all parts to `own`'s. */
static void sum_slice(const struct parts *parts, float *own, size_t first, size_t end)
{
    float spare[2 * DEPTH_MAX][BLOCK_FLOATS];
    for (size_t at = first; at < end; at += BLOCK_FLOATS) {
        const size_t count = end - at < BLOCK_FLOATS ? end - at : BLOCK_FLOATS;
        const float *sum = sum_block(parts, 0, parts->power, at, count, own + at, spare);
        assert(sum == own + at);
        (void)sum;
    }
}

/* Slice `rank` of a vector of `count` floats begins here. */
static size_t slice_begin(const struct parts *parts, size_t count, int rank)
{
    const size_t lines = (count + SLICE_FLOATS - 1) / SLICE_FLOATS;
    const size_t begin = lines * (size_t)rank / (size_t)parts->world * SLICE_FLOATS;
    return begin < count ? begin : count;
}

enum status host_window_all_reduce(struct host *host, const struct host_window *window, float *data,
                                   size_t count, struct error *err)
{
    const struct parts parts = parts_of(host, window, data);
    const uint64_t at = (uint64_t)(parts.base - window->base);
    const int rank = host->comm.rank;
    TRY(host_meet(host, at, count, err));
    sum_slice(&parts, data, slice_begin(&parts, count, rank), slice_begin(&parts, count, rank + 1));
    TRY(host_meet(host, at, count, err));
    for (int turn = 1; turn < parts.world; turn++) { /* not all from one rank at once */
        const int other = (rank + turn) % parts.world;
        const size_t first = slice_begin(&parts, count, other);
        const size_t end = slice_begin(&parts, count, other + 1);
        memcpy(data + first, part_at(&parts, other, first), (end - first) * sizeof(float));
    }
    return host_meet(host, at, count, err);
}

enum status host_window_reduce_scatter(struct host *host, const struct host_window *window,
                                       float *data, size_t count, struct error *err)
{
    const struct parts parts = parts_of(host, window, data);
    const uint64_t at = (uint64_t)(parts.base - window->base);
    const size_t first = (size_t)host->comm.rank * count;
    TRY(host_meet(host, at, count, err));
    sum_slice(&parts, data, first, first + count);
    return host_meet(host, at, count, err);
}

enum status host_window_all_gather(struct host *host, const struct host_window *window,
                                   uint8_t *data, size_t bytes, struct error *err)
{
    const struct parts parts = parts_of(host, window, data);
    const uint64_t at = (uint64_t)(parts.base - window->base);
    TRY(host_meet(host, at, bytes, err));
    for (int turn = 1; turn < parts.world; turn++) {
        const size_t other = (size_t)((host->comm.rank + turn) % parts.world);
        memcpy(data + other * bytes, parts.base + other * (parts.stride + bytes), bytes);
    }
    return host_meet(host, at, bytes, err);
}
