/*
 * host_shared.c - messages between ranks of one node, through a memfd that all of them have mapped.
 *
 *     page: what it is | seats, one per local rank | ring controls | ring data
 *
 * A ring carries the messages of one rank to one other. `head` counts the bytes that were put in,
 * `tail` those that were taken out; both only rise, in steps of HOST_ALIGN, and each has one writer.
 *
 * Sleeping. A rank has one doorbell, whoever it waits for. It writes into `wants` whom it waits for
 * and why, looks once more, and sleeps until the doorbell changes. Who publishes a position reads
 * `wants` after it, and rings only if it is meant. Both orders are sequentially consistent, so at
 * least one of the two sees the other: no wake-up is lost.
 */

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "trainer/comm/host_shared.h"

#define PAGE_MAGIC UINT64_C(0x3167707370657270) /* "prepspg1" */

enum {
    PAGE_VERSION = 1,
    RING_BYTES_MIN = 16 * KIB,
    RING_BYTES_MAX = 1 * MIB,
    RINGS_BYTES_MAX = 256 * MIB, /* of all rings together, as long as each has its minimum */
    /* Published at once. Smaller pieces would overlap better, but make two ranks on one core take turns. */
    CHUNK_BYTES = 256 * KIB,
    SPINS_PER_CLOCK = 32, /* looks between two readings of the clock */
    DATA_ALIGN = 4096,
};

enum wants { WANTS_NOTHING = 0, WANTS_DATA = 1, WANTS_SPACE = 2, WANTS_BITS = 2 };
#define WANTS_ANYONE (UINT32_MAX >> WANTS_BITS)

enum seat_state { SEAT_TAKEN = 0, SEAT_LEFT };

struct shared_seat {
    _Alignas(HOST_ALIGN) _Atomic uint32_t doorbell;
    /* enum wants, and above WANTS_BITS the local rank it waits for, or WANTS_ANYONE */
    _Atomic uint32_t wants;
    _Atomic uint32_t state; /* enum seat_state */
    _Atomic uint32_t cpu;   /* where the rank was last seen running */
};

struct shared_ring {
    _Alignas(HOST_ALIGN) _Atomic uint64_t head;
    _Alignas(HOST_ALIGN) _Atomic uint64_t tail;
};

struct shared_page {
    _Atomic uint64_t magic; /* written last */
    uint32_t version;
    uint32_t local_world_size;
    uint64_t ring_bytes; /* a power of two */
    uint64_t total_bytes;
    _Atomic uint32_t failed; /* rank + 1 of the first rank that failed, 0: none */
    struct shared_seat seats[];
};

static_assert(sizeof(_Atomic uint64_t) == 8 && sizeof(_Atomic uint32_t) == 4, "plain words");
static_assert(sizeof(struct host_head) == HOST_ALIGN, "a head keeps positions aligned");

/* ---- layout */

static uint64_t ring_bytes_for(int local_world_size)
{
    const uint64_t rings = (uint64_t)local_world_size * (uint64_t)local_world_size;
    uint64_t bytes = RING_BYTES_MAX;
    while (bytes > RING_BYTES_MIN && bytes * rings > RINGS_BYTES_MAX)
        bytes /= 2;
    return bytes;
}

static size_t rings_offset(int local_world_size)
{
    return offsetof(struct shared_page, seats) +
           (size_t)local_world_size * sizeof(struct shared_seat);
}

static size_t data_offset(int local_world_size)
{
    const size_t rings = (size_t)local_world_size * (size_t)local_world_size;
    const size_t end = rings_offset(local_world_size) + rings * sizeof(struct shared_ring);
    return (end + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN;
}

static size_t total_bytes_for(int local_world_size)
{
    const size_t rings = (size_t)local_world_size * (size_t)local_world_size;
    return data_offset(local_world_size) + rings * ring_bytes_for(local_world_size);
}

enum status shared_create(int fd, int local_world_size, struct error *err)
{
    const size_t bytes = total_bytes_for(local_world_size);
    struct stat info;

    if (fstat(fd, &info) != 0)
        return error_set_errno(err, STATUS_INVALID, errno, "shared memory, descriptor %d", fd);
    if (info.st_size != 0)
        return error_set(err, STATUS_INVALID, "shared memory is not fresh: it has %lld bytes",
                         (long long)info.st_size);
    if (ftruncate(fd, (off_t)bytes) != 0)
        return error_set_errno(err, STATUS_NO_MEMORY, errno, "shared memory of %zu bytes", bytes);
    struct shared_page *page = mmap(NULL, DATA_ALIGN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return error_set_errno(err, STATUS_NO_MEMORY, errno, "map shared memory");
    page->version = PAGE_VERSION;
    page->local_world_size = (uint32_t)local_world_size;
    page->ring_bytes = ring_bytes_for(local_world_size);
    page->total_bytes = bytes;
    atomic_store(&page->magic, PAGE_MAGIC);
    (void)munmap(page, DATA_ALIGN);
    return STATUS_OK;
}

enum status shared_map(struct host *host, int fd, struct error *err)
{
    const size_t bytes = total_bytes_for(host->local_world_size);
    struct stat info;

    if (fstat(fd, &info) != 0)
        return error_set_errno(err, STATUS_INVALID, errno, "shared memory, descriptor %d", fd);
    if ((size_t)info.st_size != bytes)
        return error_set(err, STATUS_CORRUPT, "shared memory has %lld bytes instead of %zu",
                         (long long)info.st_size, bytes);
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return error_set_errno(err, STATUS_NO_MEMORY, errno, "map %zu bytes of shared memory",
                               bytes);
    host->shared = map;
    host->shared_bytes = bytes;
    host->shared_end = bytes;
    const struct shared_page *page = host->shared;
    if (atomic_load(&page->magic) != PAGE_MAGIC || page->version != PAGE_VERSION ||
        page->local_world_size != (uint32_t)host->local_world_size ||
        page->ring_bytes != ring_bytes_for(host->local_world_size) || page->total_bytes != bytes)
        return error_set(
            err, STATUS_CORRUPT, "shared memory of version %u for %u ranks instead of %d for %d",
            page->version, page->local_world_size, PAGE_VERSION, host->local_world_size);
    return STATUS_OK;
}

static struct shared_lane lane_of(const struct host *host, int from, int to)
{
    uint8_t *base = (uint8_t *)host->shared;
    const size_t index = (size_t)from * (size_t)host->local_world_size + (size_t)to;
    struct shared_ring *rings =
        (struct shared_ring *)(void *)(base + rings_offset(host->local_world_size));
    return (struct shared_lane){
        .ring = &rings[index],
        .data = base + data_offset(host->local_world_size) + index * host->shared->ring_bytes,
    };
}

void shared_link_peer(struct host *host, struct host_peer *peer)
{
    peer->out = lane_of(host, host->local_rank, peer->local_rank);
    peer->in = lane_of(host, peer->local_rank, host->local_rank);
}

void shared_unmap(struct host *host)
{
    if (host->shared != NULL)
        (void)munmap(host->shared, host->shared_bytes);
    host->shared = NULL;
}

/* ---- sleeping and waking */

static void ring_doorbell(struct shared_seat *seat)
{
    atomic_fetch_add(&seat->doorbell, 1);
    (void)syscall(SYS_futex, &seat->doorbell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void shared_announce(struct host *host, bool failed)
{
    if (host->shared == NULL)
        return;
    uint32_t nobody = 0;
    if (failed)
        atomic_compare_exchange_strong(&host->shared->failed, &nobody,
                                       (uint32_t)host->comm.rank + 1);
    else
        atomic_store(&host->shared->seats[host->local_rank].state, SEAT_LEFT);
    for (int i = 0; i < host->local_world_size; i++)
        ring_doorbell(&host->shared->seats[i]);
}

bool shared_has_left(const struct host *host, int local_rank)
{
    return atomic_load(&host->shared->seats[local_rank].state) == SEAT_LEFT;
}

/* After a position was published: wakes the peer if that is what it waits for. */
static void notify(struct host *host, const struct host_peer *peer, enum wants what)
{
    struct shared_seat *seat = &host->shared->seats[peer->local_rank];
    const uint32_t wants = atomic_load(&seat->wants), whom = wants >> WANTS_BITS;
    if ((wants & what) != 0 && (whom == (uint32_t)host->local_rank || whom == WANTS_ANYONE))
        ring_doorbell(seat);
}

static bool has_news(const struct host_peer *peer, uint32_t wants)
{
    return ((wants & WANTS_DATA) != 0 && atomic_load(&peer->in.ring->head) != peer->in.position) ||
           ((wants & WANTS_SPACE) != 0 && atomic_load(&peer->out.ring->tail) != peer->out.seen);
}

static void relax_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst); /* looks again each time */
#endif
}

/* Spinning on the core that the peer needs would keep it from doing what we wait for. */
static bool shares_core(const struct host *host, const struct host_peer *peer)
{
    const struct shared_seat *seats = host->shared->seats;
    return atomic_load_explicit(&seats[peer->local_rank].cpu, memory_order_relaxed) ==
           atomic_load_explicit(&seats[host->local_rank].cpu, memory_order_relaxed);
}

static void note_core(struct host *host)
{
    atomic_store_explicit(&host->shared->seats[host->local_rank].cpu, (uint32_t)sched_getcpu(),
                          memory_order_relaxed);
}

static bool spin(const struct host *host, const struct host_peer *peer, uint32_t wants)
{
    if (host->spin_ns == 0 || shares_core(host, peer))
        return has_news(peer, wants);
    const int64_t until_ns = clock_mono_ns() + host->spin_ns;
    do {
        for (int i = 0; i < SPINS_PER_CLOCK; i++) {
            if (has_news(peer, wants))
                return true;
            relax_cpu();
        }
    } while (clock_mono_ns() < until_ns);
    return false;
}

static void futex_wait_until(_Atomic uint32_t *word, uint32_t value, int64_t deadline_mono_ms)
{
    const struct timespec until = {.tv_sec = deadline_mono_ms / 1000,
                                   .tv_nsec = deadline_mono_ms % 1000 * 1000000};
    (void)syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value, &until, NULL, FUTEX_BITSET_MATCH_ANY);
}

/* Why waiting for this peer is vain, if it is. News that came before its end still count. */
static enum status check_peer(struct host *host, const struct host_peer *peer, uint32_t wants,
                              struct error *err)
{
    TRY(host_check(host, err));
    const uint32_t failed = atomic_load(&host->shared->failed);
    const bool left = shared_has_left(host, peer->local_rank);
    if (failed != 0 && !has_news(peer, wants))
        return error_set(err, STATUS_UNAVAILABLE, "rank %u failed while rank %d waited in %s",
                         failed - 1, host->comm.rank, host_operation_name(host->operation));
    if (left && !has_news(peer, wants))
        return host_error_lost(host, peer, "it has left", err);
    if (clock_mono_ms() >= host->deadline_mono_ms && !has_news(peer, wants))
        return host_error_silent(host, peer, err);
    return STATUS_OK;
}

static enum status wait_for_news(struct host *host, const struct host_peer *peer, uint32_t wants,
                                 struct error *err)
{
    if (spin(host, peer, wants))
        return STATUS_OK;
    struct shared_seat *seat = &host->shared->seats[host->local_rank];
    enum status status = STATUS_OK;

    atomic_store(&seat->wants, (uint32_t)peer->local_rank << WANTS_BITS | wants);
    for (;;) {
        const uint32_t bell = atomic_load(&seat->doorbell);
        if (has_news(peer, wants))
            break;
        status = check_peer(host, peer, wants, err);
        if (status != STATUS_OK)
            break;
        futex_wait_until(&seat->doorbell, bell, host->deadline_mono_ms);
    }
    atomic_store(&seat->wants, WANTS_NOTHING);
    return status;
}

bool shared_has_send(const struct host *host, const struct host_peer *peer)
{
    if (!has_news(peer, WANTS_DATA))
        return false;
    struct host_head head; /* messages are taken whole, so one begins here */
    memcpy(&head, peer->in.data + (peer->in.position & (host->shared->ring_bytes - 1)),
           sizeof(head));
    return head.operation == HOST_SEND;
}

static bool any_has_sent(const struct host *host, int first, int count)
{
    for (int i = first; i < first + count; i++) {
        if (host->peers[i].local_rank >= 0 && shared_has_send(host, &host->peers[i]))
            return true;
    }
    return false;
}

static bool spin_for_any(const struct host *host, int first, int count)
{
    const int64_t until_ns = clock_mono_ns() + host->spin_ns;
    for (int i = first; i < first + count; i++) {
        if (host->peers[i].local_rank >= 0 && shares_core(host, &host->peers[i]))
            return any_has_sent(host, first, count);
    }
    do {
        if (any_has_sent(host, first, count))
            return true;
        relax_cpu();
    } while (clock_mono_ns() < until_ns);
    return false;
}

static enum status check_peers(struct host *host, int first, int count, struct error *err)
{
    for (int i = first; i < first + count; i++) {
        if (host->peers[i].local_rank >= 0)
            TRY(check_peer(host, &host->peers[i], WANTS_DATA, err));
    }
    return STATUS_OK;
}

enum status shared_wait_any(struct host *host, int first, int count, int64_t until_ms,
                            struct error *err)
{
    note_core(host);
    if (spin_for_any(host, first, count))
        return STATUS_OK;
    struct shared_seat *seat = &host->shared->seats[host->local_rank];
    enum status status = STATUS_OK;

    atomic_store(&seat->wants, WANTS_ANYONE << WANTS_BITS | WANTS_DATA);
    while (status == STATUS_OK) {
        const uint32_t bell = atomic_load(&seat->doorbell);
        if (any_has_sent(host, first, count))
            break;
        status = check_peers(host, first, count, err);
        if (status != STATUS_OK || clock_mono_ms() >= until_ms)
            break;
        futex_wait_until(&seat->doorbell, bell, until_ms);
    }
    atomic_store(&seat->wants, WANTS_NOTHING);
    return status;
}

/* ---- messages */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static uint64_t padded(size_t bytes)
{
    return ((uint64_t)bytes + HOST_ALIGN - 1) / HOST_ALIGN * HOST_ALIGN;
}

struct sending {
    bool head_sent;
    const uint8_t *bytes;
    size_t left;
    bool done;
};

struct receiving {
    bool head_received;
    uint8_t *bytes;
    size_t left;
    bool done;
};

/* Puts in what fits, one chunk at most. True if anything moved. */
static bool push(struct host *host, struct host_peer *peer, struct sending *sending)
{
    struct shared_lane *lane = &peer->out;
    const uint64_t ring_bytes = host->shared->ring_bytes;
    const uint64_t before = lane->position;

    if (ring_bytes - (lane->position - lane->seen) < CHUNK_BYTES)
        lane->seen = atomic_load_explicit(&lane->ring->tail, memory_order_acquire);
    uint64_t space = ring_bytes - (lane->position - lane->seen);
    if (!sending->head_sent && space >= HOST_ALIGN) {
        const struct host_head head = host_make_head(host, sending->left);
        memcpy(lane->data + (lane->position & (ring_bytes - 1)), &head, sizeof(head));
        lane->position += sizeof(head);
        space -= sizeof(head);
        sending->head_sent = true;
    }
    if (sending->head_sent) {
        const size_t offset = lane->position & (ring_bytes - 1);
        size_t size = smaller(sending->left, smaller(space, ring_bytes - offset));
        size = smaller(size, CHUNK_BYTES);
        if (size > 0)
            memcpy(lane->data + offset, sending->bytes, size);
        lane->position += padded(size);
        sending->bytes += size;
        sending->left -= size;
        sending->done = sending->left == 0;
    }
    if (lane->position == before)
        return false;
    atomic_store(&lane->ring->head, lane->position);
    notify(host, peer, WANTS_DATA);
    return true;
}

/* Takes out what is there. *out_moved: whether anything was. */
static enum status pull(struct host *host, struct host_peer *peer, struct receiving *receiving,
                        const struct host_exchange *what, bool *out_moved, struct error *err)
{
    struct shared_lane *lane = &peer->in;
    const uint64_t ring_bytes = host->shared->ring_bytes;

    lane->seen = atomic_load_explicit(&lane->ring->head, memory_order_acquire);
    uint64_t there = lane->seen - lane->position;
    if (there > ring_bytes || there % HOST_ALIGN != 0)
        return error_set(err, STATUS_CORRUPT, "rank %d left %llu bytes in a ring of %llu",
                         peer->rank, (unsigned long long)there, (unsigned long long)ring_bytes);
    if (there == 0)
        return STATUS_OK;
    if (!receiving->head_received) {
        struct host_head head;
        memcpy(&head, lane->data + (lane->position & (ring_bytes - 1)), sizeof(head));
        TRY(host_check_head(host, peer, &head, what->recv_bytes, err));
        lane->position += sizeof(head);
        there -= sizeof(head);
        receiving->head_received = true;
    }
    const size_t offset = lane->position & (ring_bytes - 1);
    const size_t size = smaller(receiving->left, smaller(there, ring_bytes - offset));
    if (what->add)
        host_add((float *)(void *)receiving->bytes, (const float *)(void *)(lane->data + offset),
                 size / sizeof(float));
    else if (size > 0)
        memcpy(receiving->bytes, lane->data + offset, size);
    lane->position += padded(size);
    receiving->bytes += size;
    receiving->left -= size;
    receiving->done = receiving->left == 0;
    atomic_store(&lane->ring->tail, lane->position);
    notify(host, peer, WANTS_SPACE);
    *out_moved = true;
    return STATUS_OK;
}

enum status shared_exchange(struct host *host, struct host_peer *peer,
                            const struct host_exchange *what, struct error *err)
{
    struct sending sending = {.bytes = what->send, .left = what->send_bytes, .done = !what->sends};
    struct receiving receiving = {
        .bytes = what->recv, .left = what->recv_bytes, .done = !what->receives};

    note_core(host);
    while (!sending.done || !receiving.done) {
        bool moved = !sending.done && push(host, peer, &sending);
        if (!receiving.done)
            TRY(pull(host, peer, &receiving, what, &moved, err));
        if (!moved)
            TRY(wait_for_news(
                host, peer, (receiving.done ? 0U : WANTS_DATA) | (sending.done ? 0U : WANTS_SPACE),
                err));
    }
    return STATUS_OK;
}
