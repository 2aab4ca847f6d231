/*
 * host_collectives.c - the operations of comm.h, made of exchanges between two ranks.
 *
 * Sums. With P the largest power of two in the world size, ranks P and above first give their vector
 * to rank - P. Then, at distance 1, 2, 4, ... < P, partners exchange halves of what they still hold:
 * each keeps one half, with both sums in it. So after log2(P) exchanges each rank holds 1/P of the
 * vector, summed as the balanced tree ((0+1)+(2+3))+((4+5)+(6+7)), and the way back gathers. Short
 * vectors go whole at each distance: the same tree, half as many waits. On memory that all ranks see
 * (host_window.c) each sums its part of the vector, in this order too.
 */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "trainer/comm/host_any.h"
#include "trainer/comm/host_collectives.h"
#include "trainer/comm/host_link.h"
#include "trainer/comm/host_shared.h"
#include "trainer/comm/host_window.h"

enum {
    WHOLE_BYTES_MAX = 16 * KIB, /* up to here a wait costs more than the bytes it saves */
    DISTANCES_MAX = 31,
    SPLIT_FLOATS = HOST_ALIGN / sizeof(float), /* halves begin on a cache line of the vector */
};

/* ---- entering and leaving an operation */

static void show_waiting(struct host *host, bool waiting)
{
    struct progress_page *page = host->progress;
    if (page == NULL)
        return;
    const uint64_t now_boot_ms = (uint64_t)clock_boot_ms();
    if (waiting)
        atomic_store_explicit(&page->collective, host->collective, memory_order_relaxed);
    atomic_store_explicit(&page->collective_since_boot_ms, waiting ? now_boot_ms : 0,
                          memory_order_relaxed);
    atomic_store_explicit(&page->beat_boot_ms, now_boot_ms, memory_order_release);
}

static enum status enter(struct host *host, enum host_operation operation, struct error *err)
{
    host->operation = operation;
    TRY(host_check(host, err));
    host->deadline_mono_ms = clock_mono_ms() + host->timeout_ms;
    host->collective++;
    show_waiting(host, true);
    return STATUS_OK;
}

static enum status leave(struct host *host, enum status status)
{
    show_waiting(host, false);
    if (status != STATUS_OK)
        host_break(host, HOST_FAILED);
    return status;
}

/* ---- sums */

struct span {
    size_t from, to;
};

/* The half of `span` that the rank with bit 0 (or 1) at this distance keeps. */
static struct span half_of(struct span span, bool upper)
{
    const size_t half = (span.to - span.from + 1) / 2;
    size_t middle = span.from + (half + SPLIT_FLOATS - 1) / SPLIT_FLOATS * SPLIT_FLOATS;
    if (middle > span.to)
        middle = span.to;
    return upper ? (struct span){middle, span.to} : (struct span){span.from, middle};
}

static enum status exchange_spans(struct host *host, int partner, float *data, struct span send,
                                  struct span recv, bool add, struct error *err)
{
    const struct host_exchange what = {
        .sends = true,
        .receives = true,
        .send = data + send.from,
        .send_bytes = (send.to - send.from) * sizeof(float),
        .recv = data + recv.from,
        .recv_bytes = (recv.to - recv.from) * sizeof(float),
        .add = add,
    };
    return host_exchange(host, partner, &what, err);
}

static enum status sum_by_halves(struct host *host, float *data, size_t count, int power,
                                 struct error *err)
{
    const int rank = host->comm.rank;
    struct span held[DISTANCES_MAX + 1] = {{0, count}};
    int depth = 0;

    for (int distance = 1; distance < power; distance *= 2, depth++) {
        const bool upper = (rank & distance) != 0;
        held[depth + 1] = half_of(held[depth], upper);
        TRY(exchange_spans(host, rank ^ distance, data, half_of(held[depth], !upper),
                           held[depth + 1], true, err));
    }
    for (int distance = power / 2; distance >= 1; distance /= 2, depth--) {
        const bool upper = (rank & distance) != 0;
        TRY(exchange_spans(host, rank ^ distance, data, held[depth],
                           half_of(held[depth - 1], !upper), false, err));
    }
    return STATUS_OK;
}

static enum status sum_whole(struct host *host, float *data, size_t count, int power,
                             struct error *err)
{
    void *theirs = NULL;
    TRY(host_scratch(host, WHOLE_BYTES_MAX, &theirs, err));
    for (int distance = 1; distance < power; distance *= 2) {
        const struct host_exchange what = {.sends = true,
                                           .receives = true,
                                           .send = data,
                                           .send_bytes = count * sizeof(float),
                                           .recv = theirs,
                                           .recv_bytes = count * sizeof(float)};
        TRY(host_exchange(host, host->comm.rank ^ distance, &what, err));
        host_add(data, theirs, count);
    }
    return STATUS_OK;
}

static enum status sum_everywhere(struct host *host, float *data, size_t count, struct error *err)
{
    const int rank = host->comm.rank;
    const int power = host_power_of_two_in(host->comm.world_size);
    const int extra = host->comm.world_size - power;
    const size_t bytes = count * sizeof(float);
    const struct host_window *window = host_window_of(host, data, bytes);
    if (window != NULL && bytes > WHOLE_BYTES_MAX)
        return host_window_all_reduce(host, window, data, count, err);
    if (rank >= power) {
        TRY(host_send_to(host, rank - power, data, bytes, err));
        return host_recv_from(host, rank - power, data, bytes, false, err);
    }
    if (rank < extra)
        TRY(host_recv_from(host, rank + power, data, bytes, true, err));
    if (bytes <= WHOLE_BYTES_MAX)
        TRY(sum_whole(host, data, count, power, err));
    else
        TRY(sum_by_halves(host, data, count, power, err));
    if (rank < extra)
        TRY(host_send_to(host, rank + power, data, bytes, err));
    return STATUS_OK;
}

/*
 * In a power of two: at each distance partners exchange those slices they still hold whose owner is
 * on the other's side. data (world_size, count) is used up; slice `rank` becomes the sum.
 */
static enum status scatter_sums(struct host *host, float *data, size_t count, struct error *err)
{
    const int rank = host->comm.rank;
    for (int distance = 1; distance < host->comm.world_size; distance *= 2) {
        const int first = rank & (2 * distance - 1);
        for (int slice = first; slice < host->comm.world_size; slice += 2 * distance) {
            const size_t mine = (size_t)slice * count;
            const size_t theirs = (size_t)(slice ^ distance) * count;
            TRY(exchange_spans(host, rank ^ distance, data, (struct span){theirs, theirs + count},
                               (struct span){mine, mine + count}, true, err));
        }
    }
    return STATUS_OK;
}

/* The vector that is summed: `data` itself if `out` lies in it, else a copy. */
static enum status summing_vector(struct host *host, float *out, const float *data, size_t count,
                                  float **out_vector, struct error *err)
{
    const size_t before = (size_t)host->comm.rank * count;
    const size_t bytes = (size_t)host->comm.world_size * count * sizeof(float);
    if (out == data + before) {
        *out_vector = out - before;
        return STATUS_OK;
    }
    void *memory = NULL;
    TRY(host_scratch(host, WHOLE_BYTES_MAX + bytes, &memory, err));
    /* The front of the scratch is sum_whole's. */
    *out_vector = (float *)(void *)((uint8_t *)memory + WHOLE_BYTES_MAX);
    if (count > 0)
        memcpy(*out_vector, data, bytes);
    return STATUS_OK;
}

static enum status reduce_scatter(struct host *host, float *out, const float *data, size_t count,
                                  struct error *err)
{
    float *vector = NULL;
    const size_t bytes = (size_t)host->comm.world_size * count * sizeof(float);
    TRY(summing_vector(host, out, data, count, &vector, err));
    const struct host_window *window = host_window_of(host, vector, bytes);
    if (window != NULL)
        return host_window_reduce_scatter(host, window, vector, count, err);
    if (host_power_of_two_in(host->comm.world_size) == host->comm.world_size)
        TRY(scatter_sums(host, vector, count, err));
    else
        TRY(sum_everywhere(host, vector, (size_t)host->comm.world_size * count, err));
    const float *slice = vector + (size_t)host->comm.rank * count;
    if (count > 0 && out != slice)
        memcpy(out, slice, count * sizeof(float));
    return STATUS_OK;
}

/* ---- exchanges of everyone with everyone */

/*
 * In turn t, rank r meets (t - r) mod world_size: that pairs all ranks in each turn, and every two
 * of them meet once in world_size turns. `rank` itself: no meeting.
 */
static int partner_in_turn(const struct host *host, int turn)
{
    const int world = host->comm.world_size;
    return (turn - host->comm.rank + world) % world;
}

static enum status all_gather(struct host *host, uint8_t *out, const void *data, size_t bytes,
                              struct error *err)
{
    uint8_t *mine = out + (size_t)host->comm.rank * bytes;
    if (bytes > 0 && mine != data)
        memmove(mine, data, bytes);
    const struct host_window *window =
        host_window_of(host, out, (size_t)host->comm.world_size * bytes);
    if (window != NULL)
        return host_window_all_gather(host, window, out, bytes, err);
    for (int turn = 0; turn < host->comm.world_size; turn++) {
        const int partner = partner_in_turn(host, turn);
        if (partner == host->comm.rank)
            continue;
        const struct host_exchange what = {.sends = true,
                                           .receives = true,
                                           .send = mine,
                                           .send_bytes = bytes,
                                           .recv = out + (size_t)partner * bytes,
                                           .recv_bytes = bytes};
        TRY(host_exchange(host, partner, &what, err));
    }
    return STATUS_OK;
}

struct all_to_all {
    uint8_t *out;
    const size_t *recv_offset, *recv_bytes;
    const uint8_t *data;
    const size_t *send_offset, *send_bytes;
};

static enum status all_to_all(struct host *host, const struct all_to_all *plan, struct error *err)
{
    for (int turn = 0; turn < host->comm.world_size; turn++) {
        const int partner = partner_in_turn(host, turn);
        const struct host_exchange what = {.sends = true,
                                           .receives = true,
                                           .send = plan->data + plan->send_offset[partner],
                                           .send_bytes = plan->send_bytes[partner],
                                           .recv = plan->out + plan->recv_offset[partner],
                                           .recv_bytes = plan->recv_bytes[partner]};
        if (what.send_bytes == 0 && what.recv_bytes == 0)
            continue;
        if (partner != host->comm.rank)
            TRY(host_exchange(host, partner, &what, err));
        else
            memmove(what.recv, what.send, what.send_bytes);
    }
    return STATUS_OK;
}

/* A binomial tree over the ranks counted from the root. */
static enum status broadcast(struct host *host, void *data, size_t bytes, int root,
                             struct error *err)
{
    const int world = host->comm.world_size;
    const int place = (host->comm.rank - root + world) % world;
    int distance = 1;

    for (; distance < world; distance *= 2) {
        if ((place & distance) != 0) {
            TRY(host_recv_from(host, (place - distance + root) % world, data, bytes, false, err));
            break;
        }
    }
    for (distance /= 2; distance >= 1; distance /= 2) {
        if (place + distance < world)
            TRY(host_send_to(host, (place + distance + root) % world, data, bytes, err));
    }
    return STATUS_OK;
}

/* After turn k each rank knows of 2^(k+1) ranks before it that they have come. */
static enum status barrier(struct host *host, struct error *err)
{
    const int world = host->comm.world_size;
    for (int distance = 1; distance < world; distance *= 2) {
        TRY(host_send_to(host, (host->comm.rank + distance) % world, NULL, 0, err));
        TRY(host_recv_from(host, (host->comm.rank - distance + world) % world, NULL, 0, false,
                           err));
    }
    return STATUS_OK;
}

/* ---- the table */

static struct host *host_of(struct comm *comm)
{
    return (struct host *)comm;
}

static enum status check_rank(const struct comm *comm, int rank, bool may_be_self, const char *what,
                              struct error *err)
{
    if (rank < 0 || rank >= comm->world_size || (rank == comm->rank && !may_be_self))
        return error_set(err, STATUS_INVALID, "rank %d of %d: %s rank %d", comm->rank,
                         comm->world_size, what, rank);
    return STATUS_OK;
}

static enum status host_all_reduce_sum(struct comm *comm, float *data, size_t count,
                                       struct error *err)
{
    struct host *host = host_of(comm);
    TRY(enter(host, HOST_ALL_REDUCE, err));
    return leave(host, sum_everywhere(host, data, count, err));
}

static enum status host_reduce_scatter_sum(struct comm *comm, float *out, const float *data,
                                           size_t count, struct error *err)
{
    struct host *host = host_of(comm);
    TRY(enter(host, HOST_REDUCE_SCATTER, err));
    return leave(host, reduce_scatter(host, out, data, count, err));
}

static enum status host_all_gather(struct comm *comm, void *out, const void *data, size_t bytes,
                                   struct error *err)
{
    struct host *host = host_of(comm);
    TRY(enter(host, HOST_ALL_GATHER, err));
    return leave(host, all_gather(host, out, data, bytes, err));
}

static enum status host_all_to_all(struct comm *comm, void *out, const size_t *recv_offset,
                                   const size_t *recv_bytes, const void *data,
                                   const size_t *send_offset, const size_t *send_bytes,
                                   struct error *err)
{
    struct host *host = host_of(comm);
    const struct all_to_all plan = {.out = out,
                                    .recv_offset = recv_offset,
                                    .recv_bytes = recv_bytes,
                                    .data = data,
                                    .send_offset = send_offset,
                                    .send_bytes = send_bytes};
    if (send_bytes[comm->rank] != recv_bytes[comm->rank])
        return error_set(err, STATUS_INVALID, "rank %d sends itself %zu bytes and expects %zu",
                         comm->rank, send_bytes[comm->rank], recv_bytes[comm->rank]);
    TRY(enter(host, HOST_ALL_TO_ALL, err));
    return leave(host, all_to_all(host, &plan, err));
}

static enum status host_broadcast(struct comm *comm, void *data, size_t bytes, int root,
                                  struct error *err)
{
    struct host *host = host_of(comm);
    TRY(check_rank(comm, root, true, "broadcast from", err));
    TRY(enter(host, HOST_BROADCAST, err));
    return leave(host, broadcast(host, data, bytes, root, err));
}

static enum status host_send(struct comm *comm, const void *data, size_t bytes, int target,
                             struct error *err)
{
    struct host *host = host_of(comm);
    TRY(check_rank(comm, target, false, "send to", err));
    TRY(enter(host, HOST_SEND, err));
    return leave(host, host_send_to(host, target, data, bytes, err));
}

static enum status host_recv(struct comm *comm, void *data, size_t bytes, int source,
                             struct error *err)
{
    struct host *host = host_of(comm);
    TRY(check_rank(comm, source, false, "receive from", err));
    TRY(enter(host, HOST_SEND, err));
    return leave(host, host_recv_from(host, source, data, bytes, false, err));
}

static enum status host_recv_any(struct comm *comm, void *data, size_t bytes, int first, int count,
                                 int *out_source, struct error *err)
{
    struct host *host = host_of(comm);
    if (count < 1 || (comm->rank >= first && comm->rank < first + count))
        return error_set(err, STATUS_INVALID, "rank %d: receive from any of ranks %d..%d",
                         comm->rank, first, first + count - 1);
    TRY(check_rank(comm, first, false, "receive from", err));
    TRY(check_rank(comm, first + count - 1, false, "receive from", err));
    TRY(enter(host, HOST_SEND, err));
    int source = 0;
    enum status status = host_wait_any(host, first, count, &source, err);
    if (status == STATUS_OK)
        status = host_recv_from(host, source, data, bytes, false, err);
    if (status == STATUS_OK)
        *out_source = source;
    return leave(host, status);
}

static enum status host_barrier(struct comm *comm, struct error *err)
{
    struct host *host = host_of(comm);
    TRY(enter(host, HOST_BARRIER, err));
    return leave(host, barrier(host, err));
}

static enum status host_window(struct comm *comm, size_t bytes, void **out, struct error *err)
{
    struct host *host = host_of(comm);
    TRY(enter(host, HOST_WINDOW, err));
    return leave(host, host_window_open(host, bytes, out, err));
}

static void host_abort(struct comm *comm)
{
    host_break(host_of(comm), HOST_ABORTED);
}

static void host_close(struct comm *comm)
{
    struct host *host = (struct host *)comm;
    if (host == NULL)
        return;
    if (atomic_load(&host->trouble) == HOST_FINE)
        shared_announce(host, false);
    host_stop_watcher(host);
    for (int i = 0; host->peers != NULL && i < host->comm.world_size; i++) {
        fd_cleanup(&host->peers[i].fd);
        fd_cleanup(&host->peers[i].pidfd);
    }
    host_window_close_all(host);
    shared_unmap(host);
    fd_cleanup(&host->shared_fd);
    fd_cleanup(&host->wake_fd);
    fd_cleanup(&host->watcher_quit_fd);
    free(host->peers);
    free(host->scratch);
    free(host->stage);
    free(host);
}

const struct comm_ops host_ops = {
    .name = "host",
    .all_reduce_sum = host_all_reduce_sum,
    .reduce_scatter_sum = host_reduce_scatter_sum,
    .all_gather = host_all_gather,
    .all_to_all = host_all_to_all,
    .broadcast = host_broadcast,
    .send = host_send,
    .recv = host_recv,
    .recv_any = host_recv_any,
    .barrier = host_barrier,
    .window = host_window,
    .abort = host_abort,
    .close = host_close,
};
