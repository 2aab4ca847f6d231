#ifndef RUNNER_PROTOCOL_H
#define RUNNER_PROTOCOL_H

/*
 * runner_protocol.h - the messages on runner.sock, between one runner and the agent of its node.
 *
 * The socket is a Unix SOCK_SEQPACKET, so one message is one struct. The agent makes the listening
 * socket before it spawns the runner, who inherits it: whoever can connect talks to a living runner,
 * whoever is refused knows that it is dead. No pid is needed to tell.
 *
 * On a new connection the runner says HELLO, then RANK once for each of its ranks, with the memfd of
 * the rank's progress page beside it (SCM_RIGHTS); then RANK again, without it, whenever a rank
 * ends. By then exit.json says so too. A RANK message is all that is known of the rank, so losing or
 * repeating one is harmless. When every rank has ended the runner ends, and the connection closes.
 *
 * Both ends may be of different releases: a message of another version is ignored and logged.
 */

#include <stdint.h>

#define RUNNER_PROTOCOL_VERSION 1
#define RUNNER_DETAIL_BYTES     160
#define RUNNER_SOCKET_NAME      "runner.sock"
#define RUNNER_EXIT_NAME        "exit.json"
#define RUNNER_ORDERS_NAME      "runner.orders"
#define RUNNER_LISTEN_FD        3 /* where the runner finds its listening socket */

enum runner_command_kind {
    RUNNER_STOP = 1,   /* SIGTERM now, SIGKILL after value_ms */
    RUNNER_KILL,       /* SIGKILL now */
    RUNNER_CHECKPOINT, /* SIGUSR1 now */
    RUNNER_LEASE,      /* the lease lasts until boot time value_ms */
    RUNNER_STATUS,     /* say HELLO and RANKs again, without memfds */
};

struct runner_command {
    uint32_t version;
    uint32_t kind;
    int64_t value_ms;
};

enum runner_news_kind { RUNNER_HELLO = 1, RUNNER_RANK };

/* What the runner itself knows of an end; the words in exit.json are in runner_reason_name(). */
enum runner_reason {
    RUNNER_REASON_NONE = 0,
    RUNNER_REASON_HANG,
    RUNNER_REASON_START_FAILED,
    RUNNER_REASON_NODE_LOST, /* its lease ran out */
    RUNNER_REASON_COUNT
};

struct runner_news {
    uint32_t version;
    uint32_t kind;
    int64_t pid;         /* HELLO: the runner; RANK: the rank, 0 if it never started */
    uint64_t start_time; /* of that process, in clock ticks since boot (field 22 of stat) */
    int64_t rank;        /* HELLO: number of ranks */
    int32_t ended;
    int32_t exit_code;   /* -1 when ended by a signal */
    int32_t exit_signal; /* 0: none */
    int32_t oom;
    int32_t reason; /* enum runner_reason */
    int32_t reserved;
    int64_t end_boot_ms;
    char detail[RUNNER_DETAIL_BYTES];
};

#endif
