/*
 * bench_comm.c - two ranks: how long a sum takes, over shared memory and over TCP.
 *
 * The probe beside each figure is the same machine's bare exchange of the same bytes in the same
 * run: shared memory: copy your vector out, meet by spinning, add the other's; TCP: both ways over
 * one loopback connection. The sum does more than the probe (it brings the result back, sleeps
 * instead of spinning, checks each message), and moves less (each rank adds one half only).
 *
 * comm_loss_*: from kill -9 of a rank in the middle of sums until the other's sum has failed.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "tests/bench/bench.h"
#include "trainer/comm/comm.h"

enum { RANKS = 2, ROUNDS_MAX = 2000, WARM_UP = 20, BYTES_MAX = 26214400 };

static const struct {
    size_t bytes;
    int rounds, rounds_short;
} cases[] = {
    {4, 2000, 300},     {407080 + 64, 2000, 300}, /* the MNIST model's gradient and its tail */
    {1570404, 400, 60},                           /* NeuMF's */
    {6177796, 100, 20},                           /* the BiLSTM's */
    {BYTES_MAX, 30, 5},                           /* a bucket of DDP */
};

/* Shared by the two processes of a measurement. */
struct arena {
    _Atomic uint32_t met;
    _Atomic int64_t noticed_ns;
    double us[ROUNDS_MAX]; /* written by rank 0 */
    _Alignas(4096) uint8_t vectors[RANKS][BYTES_MAX];
};

static void die(const char *what)
{
    fprintf(stderr, "bench_comm: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *map_shared(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        die("mmap");
    return memory;
}

/* Both processes come here `turn` + 1 times. */
static void meet_spinning(struct arena *arena, uint32_t turn)
{
    atomic_fetch_add(&arena->met, 1);
    while (atomic_load(&arena->met) < (turn + 1) * RANKS)
        ;
}

struct measurement {
    size_t bytes;
    int rounds;
    bool shared;
    int port;
    int memory_fd;
    int sockets[RANKS]; /* the TCP probe's */
    struct arena *arena;
};

typedef void rank_fn(const struct measurement *measurement, int rank);

static void start_two(const struct measurement *measurement, rank_fn *run, pid_t pids[RANKS])
{
    atomic_store(&measurement->arena->met, 0);
    fflush(NULL);
    for (int rank = 0; rank < RANKS; rank++) {
        pids[rank] = fork();
        if (pids[rank] < 0)
            die("fork");
        if (pids[rank] == 0) {
            run(measurement, rank);
            _exit(0);
        }
    }
}

static void run_two(const struct measurement *measurement, rank_fn *run)
{
    pid_t pids[RANKS];
    start_two(measurement, run, pids);
    for (int rank = 0; rank < RANKS; rank++) {
        int status = 0;
        if (waitpid(pids[rank], &status, 0) != pids[rank] || status != 0) {
            fprintf(stderr, "bench_comm: rank %d ended with %d\n", rank, status);
            exit(1);
        }
    }
}

/* ---- ours */

static struct comm *open_comm(const struct measurement *measurement, int rank)
{
    static const uint8_t secret[] = "bench";
    const struct comm_place place = {
        .rank = rank,
        .world_size = RANKS,
        .local_rank = measurement->shared ? rank : 0,
        .local_world_size = measurement->shared ? RANKS : 1,
        .group_rank = measurement->shared ? 0 : rank,
        .group_world_size = measurement->shared ? 1 : RANKS,
        .master_address = "127.0.0.1",
        .master_port = measurement->port,
        .secret = secret,
        .secret_bytes = sizeof(secret),
        .bind_address = "127.0.0.1",
        .shared_memory_fd = measurement->shared ? measurement->memory_fd : -1,
        .setup_timeout_ms = 10000,
        .timeout_ms = 10000,
    };
    struct comm *comm = NULL;
    struct error err = {0};
    if (comm_host_open(&place, &comm, &err) != STATUS_OK) {
        fprintf(stderr, "bench_comm: %s\n", err.text);
        _exit(1);
    }
    return comm;
}

static void time_sums(const struct measurement *measurement, int rank)
{
    const size_t count = measurement->bytes / sizeof(float);
    CLEANUP(comm_cleanup) struct comm *comm = open_comm(measurement, rank);
    float *data = (float *)(void *)measurement->arena->vectors[rank];
    for (int round = -WARM_UP; round < measurement->rounds; round++) {
        const int64_t begin_ns = clock_mono_ns();
        if (comm->ops->all_reduce_sum(comm, data, count, NULL) != STATUS_OK)
            _exit(1);
        if (rank == 0 && round >= 0)
            measurement->arena->us[round] = (double)(clock_mono_ns() - begin_ns) / 1000;
    }
}

static void time_open(const struct measurement *measurement, int rank)
{
    meet_spinning(measurement->arena, 0);
    const int64_t begin_ns = clock_mono_ns();
    struct comm *comm = open_comm(measurement, rank);
    if (rank == 0)
        measurement->arena->us[0] = (double)(clock_mono_ns() - begin_ns) / 1000;
    comm_close(comm);
}

static void sum_until_loss(const struct measurement *measurement, int rank)
{
    CLEANUP(comm_cleanup) struct comm *comm = open_comm(measurement, rank);
    float *data = (float *)(void *)measurement->arena->vectors[rank];
    atomic_fetch_add(&measurement->arena->met, 1);
    while (comm->ops->all_reduce_sum(comm, data, cases[1].bytes / sizeof(float), NULL) == STATUS_OK)
        ;
    atomic_store(&measurement->arena->noticed_ns, clock_mono_ns());
}

/* ---- the probes */

static void probe_shared(const struct measurement *measurement, int rank)
{
    const size_t count = measurement->bytes / sizeof(float);
    float *data = calloc(count, sizeof(float));
    if (data == NULL)
        _exit(1);
    const float *theirs = (const float *)(const void *)measurement->arena->vectors[1 - rank];
    uint32_t turn = 0;
    for (int round = -WARM_UP; round < measurement->rounds; round++) {
        const int64_t begin_ns = clock_mono_ns();
        memcpy(measurement->arena->vectors[rank], data, measurement->bytes);
        meet_spinning(measurement->arena, turn++);
        for (size_t i = 0; i < count; i++)
            data[i] += theirs[i];
        meet_spinning(measurement->arena, turn++);
        if (rank == 0 && round >= 0)
            measurement->arena->us[round] = (double)(clock_mono_ns() - begin_ns) / 1000;
    }
    free(data);
}

static void probe_tcp(const struct measurement *measurement, int rank)
{
    const int fd = measurement->sockets[rank];
    uint8_t *in = malloc(measurement->bytes);
    if (in == NULL)
        _exit(1);
    for (int round = -WARM_UP; round < measurement->rounds; round++) {
        const int64_t begin_ns = clock_mono_ns();
        size_t sent = 0;
        size_t got = 0;
        while (sent < measurement->bytes || got < measurement->bytes) {
            struct pollfd entry = {.fd = fd,
                                   .events = (short)((sent < measurement->bytes ? POLLOUT : 0) |
                                                     (got < measurement->bytes ? POLLIN : 0))};
            (void)poll(&entry, 1, 10000);
            const ssize_t out = send(fd, measurement->arena->vectors[rank] + sent,
                                     measurement->bytes - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
            const ssize_t read = recv(fd, in + got, measurement->bytes - got, MSG_DONTWAIT);
            sent += out > 0 ? (size_t)out : 0;
            got += read > 0 ? (size_t)read : 0;
        }
        if (rank == 0 && round >= 0)
            measurement->arena->us[round] = (double)(clock_mono_ns() - begin_ns) / 1000;
    }
    free(in);
}

static void connect_pair(int sockets[RANKS])
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof(address);
    CLEANUP(fd_cleanup) int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockets[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &bytes) != 0 ||
        connect(sockets[0], (const struct sockaddr *)&address, sizeof(address)) != 0)
        die("loopback connection");
    sockets[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (sockets[1] < 0)
        die("accept");
}

/* ---- all cases */

static double median_of_arena(const struct measurement *measurement, struct bench_samples *samples)
{
    for (int round = 0; round < measurement->rounds; round++)
        bench_add(samples, measurement->arena->us[round]);
    return bench_quantile(samples, 0.5);
}

static void measure_sum(struct arena *arena, size_t i, bool shared)
{
    struct measurement measurement = {
        .bytes = cases[i].bytes,
        .rounds = bench_is_short() ? cases[i].rounds_short : cases[i].rounds,
        .shared = shared,
        .port = bench_free_port(),
        .memory_fd = memfd_create("bench_comm", MFD_CLOEXEC),
        .arena = arena,
    };
    struct bench_samples probe = {0};
    struct bench_samples sums = {0};
    char name[64];

    if (!shared)
        connect_pair(measurement.sockets);
    run_two(&measurement, shared ? probe_shared : probe_tcp);
    const double probe_us = median_of_arena(&measurement, &probe);
    run_two(&measurement, time_sums);
    (void)median_of_arena(&measurement, &sums);
    snprintf(name, sizeof(name), "comm_all_reduce_%s_%zu", shared ? "shared" : "tcp",
             cases[i].bytes);
    bench_report(name, "us", &sums, probe_us);
    bench_clear(&probe);
    bench_clear(&sums);
    fd_cleanup(&measurement.memory_fd);
    if (!shared) {
        fd_cleanup(&measurement.sockets[0]);
        fd_cleanup(&measurement.sockets[1]);
    }
}

static void measure_open(struct arena *arena, bool shared)
{
    struct bench_samples samples = {0};
    for (int round = 0; round < (bench_is_short() ? 10 : 50); round++) {
        struct measurement measurement = {.rounds = 1,
                                          .shared = shared,
                                          .port = bench_free_port(),
                                          .memory_fd = memfd_create("bench_comm", MFD_CLOEXEC),
                                          .arena = arena};
        run_two(&measurement, time_open);
        bench_add(&samples, arena->us[0]);
        fd_cleanup(&measurement.memory_fd);
    }
    bench_report(shared ? "comm_open_shared" : "comm_open_tcp", "us", &samples, 0);
    bench_clear(&samples);
}

static void measure_loss(struct arena *arena, bool shared)
{
    struct bench_samples samples = {0};
    for (int round = 0; round < (bench_is_short() ? 20 : 200); round++) {
        struct measurement measurement = {.shared = shared,
                                          .port = bench_free_port(),
                                          .memory_fd = memfd_create("bench_comm", MFD_CLOEXEC),
                                          .arena = arena};
        pid_t pids[RANKS];
        start_two(&measurement, sum_until_loss, pids);
        while (atomic_load(&arena->met) < RANKS)
            clock_sleep_ms(1);
        clock_sleep_ms(1 + round % 3);
        const int64_t killed_ns = clock_mono_ns();
        (void)kill(pids[1], SIGKILL);
        for (int rank = 0; rank < RANKS; rank++)
            (void)waitpid(pids[rank], NULL, 0);
        bench_add(&samples, (double)(atomic_load(&arena->noticed_ns) - killed_ns) / 1000);
        fd_cleanup(&measurement.memory_fd);
    }
    bench_report(shared ? "comm_loss_shared" : "comm_loss_tcp", "us", &samples, 0);
    bench_clear(&samples);
}

int main(void)
{
    struct arena *arena = map_shared(sizeof(struct arena));

    bench_load_start();
    for (int shared = 1; shared >= 0; shared--) {
        for (size_t i = 0; i < COUNT_OF(cases); i++)
            measure_sum(arena, i, shared == 1);
        measure_open(arena, shared == 1);
        measure_loss(arena, shared == 1);
    }
    (void)munmap(arena, sizeof(*arena));
    return 0;
}
