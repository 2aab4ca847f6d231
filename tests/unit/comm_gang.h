#ifndef TESTS_UNIT_COMM_GANG_H
#define TESTS_UNIT_COMM_GANG_H

/*
 * comm_gang.h - forks the ranks of a gang, each with a host communicator, for the tests of comm/.
 *
 * Ranks are dealt to nodes in order, `ranks_per_node` each; the ranks of a node share a memfd if
 * `shares_memory`, else they use TCP over the loopback.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "trainer/comm/comm.h"

#define GANG_RANKS_MAX 8

struct gang {
    int world_size;
    int ranks_per_node;
    bool shares_memory;
    int64_t timeout_ms; /* of each operation; 0: 20 s */
    struct progress_page *progress_of_rank_0;

    /* Set by gang_start(). */
    int port;
    int memory_fds[GANG_RANKS_MAX]; /* per node */
    pid_t pids[GANG_RANKS_MAX];
};

/* What a rank does with its communicator; returns the exit code. */
typedef int gang_rank_fn(struct comm *comm, void *context);

/* A port that was free a moment ago. */
int gang_free_port(void);
/* Everything but the secret's owner is filled in; borrows from the gang. */
struct comm_place gang_place(const struct gang *gang, int rank);
void gang_start(struct gang *gang, gang_rank_fn *run, void *context);
/* The exit code of a rank, or 128 + signal; -1 (and the rank is killed) after `timeout_ms`. */
int gang_wait(struct gang *gang, int rank, int64_t timeout_ms);
/* Starts, waits and fails the test unless every rank returned 0. */
void gang_run(struct gang *gang, gang_rank_fn *run, void *context);

/* In a rank: says what is wrong and leaves with 1. */
#define GANG_CHECK(condition)                                                                    \
    do {                                                                                         \
        if (!(condition)) {                                                                      \
            fprintf(stderr, "%s:%d: rank %d: %s\n", __FILE__, __LINE__, comm->rank, #condition); \
            return 1;                                                                            \
        }                                                                                        \
    } while (0)
#define GANG_TRY(call)                                                                          \
    do {                                                                                        \
        struct error gang_err_ = {0};                                                           \
        struct error *err = &gang_err_;                                                         \
        if ((call) != STATUS_OK) {                                                              \
            fprintf(stderr, "%s:%d: rank %d: %s\n", __FILE__, __LINE__, comm->rank, err->text); \
            return 1;                                                                           \
        }                                                                                       \
    } while (0)

#endif
