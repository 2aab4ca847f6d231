#include "tests/unit/comm_gang.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/pidfd.h"

static const uint8_t secret[] = "a secret of the test, 32 bytes..";

int gang_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof(address);
    CLEANUP(fd_cleanup) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    return ntohs(address.sin_port);
}

struct comm_place gang_place(const struct gang *gang, int rank)
{
    const int node = rank / gang->ranks_per_node;
    const int nodes = (gang->world_size + gang->ranks_per_node - 1) / gang->ranks_per_node;
    int on_node = gang->world_size - node * gang->ranks_per_node;
    if (on_node > gang->ranks_per_node)
        on_node = gang->ranks_per_node;
    return (struct comm_place){
        .rank = rank,
        .world_size = gang->world_size,
        .local_rank = rank % gang->ranks_per_node,
        .local_world_size = on_node,
        .group_rank = node,
        .group_world_size = nodes,
        .master_address = "127.0.0.1",
        .master_port = gang->port,
        .secret = secret,
        .secret_bytes = sizeof(secret),
        .bind_address = "127.0.0.1",
        .shared_memory_fd = gang->memory_fds[node],
        .setup_timeout_ms = 20000,
        .timeout_ms = gang->timeout_ms != 0 ? gang->timeout_ms : 20000,
        .progress = rank == 0 ? gang->progress_of_rank_0 : NULL,
    };
}

static int run_rank(const struct gang *gang, int rank, gang_rank_fn *run, void *context)
{
    const struct comm_place place = gang_place(gang, rank);
    struct error err = {0};
    CLEANUP(comm_cleanup) struct comm *comm = NULL;

    if (comm_host_open(&place, &comm, &err) != STATUS_OK) {
        fprintf(stderr, "rank %d does not open: %s\n", rank, err.text);
        return 2;
    }
    return run(comm, context);
}

void gang_start(struct gang *gang, gang_rank_fn *run, void *context)
{
    const int nodes = (gang->world_size + gang->ranks_per_node - 1) / gang->ranks_per_node;
    assert_true(gang->world_size <= GANG_RANKS_MAX);
    gang->port = gang_free_port();
    for (int node = 0; node < nodes; node++) {
        gang->memory_fds[node] = gang->shares_memory ? memfd_create("gang", MFD_CLOEXEC) : -1;
        assert_true(!gang->shares_memory || gang->memory_fds[node] >= 0);
    }
    fflush(NULL);
    for (int rank = 0; rank < gang->world_size; rank++) {
        gang->pids[rank] = fork();
        assert_true(gang->pids[rank] >= 0);
        if (gang->pids[rank] == 0)
            _exit(run_rank(gang, rank, run, context));
    }
    for (int node = 0; node < nodes; node++)
        fd_cleanup(&gang->memory_fds[node]);
}

int gang_wait(struct gang *gang, int rank, int64_t timeout_ms)
{
    int status = 0;
    CLEANUP(fd_cleanup) int pidfd = pidfd_of(gang->pids[rank]);
    struct pollfd entry = {.fd = pidfd, .events = POLLIN};
    assert_true(pidfd >= 0);
    const bool ended = poll(&entry, 1, (int)timeout_ms) == 1;
    if (!ended)
        (void)kill(gang->pids[rank], SIGKILL);
    assert_int_equal(waitpid(gang->pids[rank], &status, 0), gang->pids[rank]);
    if (!ended)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void gang_run(struct gang *gang, gang_rank_fn *run, void *context)
{
    int failures = 0;
    gang_start(gang, run, context);
    for (int rank = 0; rank < gang->world_size; rank++) {
        const int code = gang_wait(gang, rank, 120000);
        if (code != 0) {
            fprintf(stderr, "rank %d of %d, %d on a node: exit %d\n", rank, gang->world_size,
                    gang->ranks_per_node, code);
            failures++;
        }
    }
    assert_int_equal(failures, 0);
}
