#ifndef TRAINER_COMM_COMM_H
#define TRAINER_COMM_COMM_H

/*
 * comm.h - collectives between the ranks of one gang: self (one rank), host (CPU), nccl (GPU).
 *
 * Every rank calls the same operations with the same sizes in the same order. A peer that is gone
 * shows as a closed link: the call returns STATUS_UNAVAILABLE and the communicator is dead; closing
 * it closes the links, so the loss cascades to all survivors within milliseconds. A silent peer shows
 * only by the deadline. Operations are for one thread at a time; abort() is for any.
 *
 * all_reduce_sum adds in one fixed order that depends on the world size alone: a balanced binary
 * tree over the ranks (butterfly: vector halving with distance 1, 2, 4, ..., then all-gather; worlds
 * that are no power of two fold the extra ranks in first). All ranks get the same bits.
 *
 * Buffers are device memory of the compute backend that the communicator was opened with: plain host
 * memory for `self` and `host` over the cpu backend.
 *
 * Progress: before it waits, an operation notes (sequence number, boot time) in the progress page,
 * if one was given, and clears it after: a rank that waits is the witness of a silent peer.
 *
 * Errors: STATUS_UNAVAILABLE (peer lost, deadline passed, aborted), STATUS_CORRUPT (a peer that
 * speaks another protocol or size).
 */

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define COMM_SECRET_BYTES_MAX 64
#define COMM_WINDOWS_MAX      4

struct comm;
struct progress_page; /* schema/progress_page.h */

struct comm_place {
    int rank;
    int world_size;
    int local_rank;
    int local_world_size;
    int group_rank; /* index of this rank's node */
    int group_world_size;
    const char *master_address; /* rank 0's rendezvous store */
    int master_port;
    const uint8_t *secret; /* the attempt's: both sides prove that they know it, it never travels */
    size_t secret_bytes;
    /* This node's address for links from other nodes; NULL: the one that reaches rank 0. */
    const char *bind_address;
    int shared_memory_fd;     /* memfd shared by the node's ranks, empty when fresh; -1: use TCP */
    int64_t setup_timeout_ms; /* the rendezvous waits this long for the whole gang */
    int64_t timeout_ms;       /* deadline of each collective */
    struct progress_page *progress; /* NULL: not reported */
};

struct comm_ops {
    const char *name;
    /* data[i] = sum over ranks of data[i] */
    enum status (*all_reduce_sum)(struct comm *comm, float *data, size_t count, struct error *err);
    /*
     * out (count) = this rank's slice of the sum of data (world_size * count); same tree. `out` may be
     * the slice itself, data + rank * count: then nothing is copied and the rest of data is used up.
     */
    enum status (*reduce_scatter_sum)(struct comm *comm, float *out, const float *data,
                                      size_t count, struct error *err);
    /* out (world_size, bytes) = every rank's `data` (bytes) in rank order; out + rank * bytes may be data */
    enum status (*all_gather)(struct comm *comm, void *out, const void *data, size_t bytes,
                              struct error *err);
    /*
     * rank r gets, at out + recv_offset[s], recv_bytes[s] bytes that rank s had at data + send_offset[r].
     * Two ranks that have nothing for each other do not meet.
     */
    enum status (*all_to_all)(struct comm *comm, void *out, const size_t *recv_offset,
                              const size_t *recv_bytes, const void *data, const size_t *send_offset,
                              const size_t *send_bytes, struct error *err);
    enum status (*broadcast)(struct comm *comm, void *data, size_t bytes, int root,
                             struct error *err);
    enum status (*send)(struct comm *comm, const void *data, size_t bytes, int target,
                        struct error *err);
    enum status (*recv)(struct comm *comm, void *data, size_t bytes, int source, struct error *err);
    /*
     * recv() from whichever of the ranks first .. first + count - 1 has sent; each gets its turn. One that
     * is in another operation is passed over; one that is gone is a loss, even if others are there.
     */
    enum status (*recv_any)(struct comm *comm, void *data, size_t bytes, int first, int count,
                            int *out_source, struct error *err);
    enum status (*barrier)(struct comm *comm, struct error *err);
    /*
     * By all ranks, at most COMM_WINDOWS_MAX times: memory of `bytes`, zeroed, that the other ranks can
     * read too, if all of them are on this node; else *out is NULL. Sums and gathers in place on it move
     * each byte once. It is the communicator's until close().
     */
    enum status (*window)(struct comm *comm, size_t bytes, void **out, struct error *err);
    void (*abort)(struct comm *comm); /* from any thread */
    void (*close)(struct comm *comm); /* accepts NULL */
};

/* First member of each communicator's own struct. */
struct comm {
    const struct comm_ops *ops;
    int rank;
    int world_size;
};

/* One rank: every operation is the identity. */
MUST_CHECK enum status comm_self_open(struct comm **out, struct error *err);
/* Rendezvous (the gang's barrier), then links. */
MUST_CHECK enum status comm_host_open(const struct comm_place *place, struct comm **out,
                                      struct error *err);
/* STATUS_INTERNAL naming the first missing operation. */
MUST_CHECK enum status comm_check(const struct comm_ops *ops, struct error *err);
void comm_close(struct comm *comm); /* accepts NULL */
void comm_cleanup(struct comm **comm);

#endif
