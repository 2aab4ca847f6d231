#ifndef TRAINER_COMM_HOST_H
#define TRAINER_COMM_HOST_H

/*
 * host.h - private to host*.c: a communicator between CPUs, and what its parts share.
 *
 * Everything a collective does is made of one thing: exchange() one message with one peer, both ways
 * at once. Ranks of one node exchange through shared memory (host_shared.c), ranks of different
 * nodes through one TCP connection per pair (host_tcp.c). The algorithms (host_collectives.c) know
 * neither.
 *
 * How a loss is seen. `trouble` is the one word that ends every wait; it is set once, never reset:
 *   - a killed peer on this node: the watcher thread polls a pidfd per such peer;
 *   - a killed peer elsewhere: its connection is closed;
 *   - a peer on this node that failed: it says so in the shared page and wakes us;
 *   - abort() from another thread.
 * A rank that fails shuts its connections and marks the shared page at once, so that the loss
 * reaches everyone who waits for it without waiting for the caller to close. A peer that has left in
 * order is no loss until somebody waits for it.
 *
 * Threads: operations belong to the thread that opened; host_break() is for any thread.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/progress_page.h"
#include "trainer/comm/comm.h"
#include "trainer/comm/handshake.h"

#define HOST_SPIN_NS        50000                /* then sleep */
#define HOST_MESSAGE_MAGIC  UINT32_C(0x4d525052) /* "RPRM" */
#define HOST_ALIGN          64
#define HOST_LOCAL_RANK_MAX 256
#define HOST_STAGE_BYTES    (256 * KIB)

enum host_operation {
    HOST_ALL_REDUCE = 1,
    HOST_REDUCE_SCATTER,
    HOST_ALL_GATHER,
    HOST_ALL_TO_ALL,
    HOST_BROADCAST,
    HOST_SEND,
    HOST_BARRIER,
    HOST_WINDOW,
};

/* Goes before each message's bytes on either transport. */
struct host_head {
    uint32_t magic;
    uint16_t operation;
    uint16_t from; /* rank */
    uint64_t bytes;
    uint8_t padding[HOST_ALIGN - 16];
};

struct shared_page;
struct shared_ring;

/* This rank's end of one ring in shared memory. */
struct shared_lane {
    struct shared_ring *ring;
    uint8_t *data;
    uint64_t position; /* ours: bytes put in (or taken out) so far */
    uint64_t seen;     /* the other end's position when last looked at */
};

struct host_peer {
    int rank;
    int fd;         /* link to a peer elsewhere; -1 */
    int pidfd;      /* of a peer on this node; -1 */
    int local_rank; /* of a peer on this node; -1 */
    struct shared_lane out, in;
};

/* One message each way; NULL with `sends` or `receives` means no bytes. */
struct host_exchange {
    bool sends, receives;
    const void *send;
    size_t send_bytes;
    void *recv;
    size_t recv_bytes;
    bool add; /* received floats are added to `recv` */
};

/* Memory of all ranks of the node: rank r's part begins at base + r * stride. */
struct host_window {
    uint8_t *base;
    size_t stride;
};

enum host_trouble { HOST_FINE = 0, HOST_ABORTED, HOST_FAILED, HOST_PEER_DIED };

struct host {
    struct comm comm; /* first */
    int64_t timeout_ms;
    int64_t spin_ns;
    struct progress_page *progress;
    uint64_t collective;           /* operations entered */
    enum host_operation operation; /* the current one */
    int64_t deadline_mono_ms;      /* of it */
    struct host_peer *peers;       /* (world_size); the own entry is empty */

    struct shared_page *shared; /* NULL: no peer on this node */
    size_t shared_bytes;
    int shared_fd;     /* what windows are cut from; -1: there are none */
    size_t shared_end; /* of the page, the rings and the windows in it */
    struct host_window windows[COMM_WINDOWS_MAX];
    int window_count;
    int local_rank;
    int local_world_size;

    atomic_int trouble;   /* enum host_trouble */
    atomic_int died_rank; /* with HOST_PEER_DIED */
    int wake_fd;          /* readable once there is trouble */
    pthread_t watcher;
    bool watcher_runs;
    int watcher_quit_fd;

    int any_next; /* whose turn it is in recv_any */

    uint8_t *scratch; /* grows to the largest use */
    size_t scratch_bytes;
    uint8_t
        *stage; /* (HOST_STAGE_BYTES): floats from a link on their way to be added; NULL: no link */
};

/* Failure of the current operation if there is trouble. */
MUST_CHECK enum status host_check(struct host *host, struct error *err);
/* At least `bytes` of scratch, aligned for floats. */
MUST_CHECK enum status host_scratch(struct host *host, size_t bytes, void **out, struct error *err);
const char *host_operation_name(enum host_operation operation);
struct host_head host_make_head(const struct host *host, size_t bytes);
/* Is the head what this exchange expects of this peer? */
MUST_CHECK enum status host_check_head(const struct host *host, const struct host_peer *peer,
                                       const struct host_head *head, size_t bytes,
                                       struct error *err);
/* target[i] += source[i]; they do not overlap */
void host_add(float *restrict target, const float *restrict source, size_t count);
int host_power_of_two_in(int world_size);
/* For errors. */
enum status host_error_silent(const struct host *host, const struct host_peer *peer,
                              struct error *err);
enum status host_error_lost(const struct host *host, const struct host_peer *peer, const char *how,
                            struct error *err);

#endif
