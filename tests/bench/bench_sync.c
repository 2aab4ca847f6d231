/*
 * bench_sync.c - what a step costs beyond the model: sums over the ranks and the update with Adam, by
 * each way to synchronise, for the gradients of the model families, on one node.
 *
 * The probe of each figure is `allreduce` from the same run; its own is one rank alone. So the ratio of
 * `reproducible` is the price of sums in an order of our own.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "tests/bench/bench.h"
#include "trainer/sync/sync.h"

enum { RANKS_MAX = 3, ROUNDS_MAX = 2000, WARM_UP = 20 };

static const struct {
    const char *name;
    size_t count;
    int rounds, rounds_short;
} models[] = {
    {"mlp", 101770, 2000, 300},
    {"neumf", 392585, 600, 100},
    {"bilstm", 1544433, 150, 30},
};

static const struct {
    const char *name;
    int ranks;
    struct training_spec training;
} modes[] = {
    {"alone", 1, {.sync = SYNC_ALLREDUCE}},
    {"allreduce", 2, {.sync = SYNC_ALLREDUCE}},
    {"sharded", 2, {.sync = SYNC_SHARDED}},
    {"reproducible", 2, {.sync = SYNC_ALLREDUCE, .reproducible = true}},
    {"server", 2, {.sync = SYNC_PARAMETER_SERVER, .servers = 1}},
    {"stale_server", 2, {.sync = SYNC_PARAMETER_SERVER, .servers = 1, .staleness = 1}},
};

/* Shared with the ranks. */
struct arena {
    double us[ROUNDS_MAX]; /* written by rank 0 */
};

struct measurement {
    size_t model, mode;
    int rounds;
    int port;
    int memory_fd;
    struct arena *arena;
};

static void die(const char *what)
{
    fprintf(stderr, "bench_sync: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void check(enum status status, const struct error *err)
{
    if (status == STATUS_OK)
        return;
    fprintf(stderr, "bench_sync: %s\n", err->text);
    _exit(1);
}

static struct comm *open_comm(const struct measurement *measurement, int rank)
{
    static const uint8_t secret[] = "bench";
    const int ranks = modes[measurement->mode].ranks;
    const struct comm_place place = {
        .rank = rank,
        .world_size = ranks,
        .local_rank = rank,
        .local_world_size = ranks,
        .group_world_size = 1,
        .master_address = "127.0.0.1",
        .master_port = measurement->port,
        .secret = secret,
        .secret_bytes = sizeof(secret),
        .bind_address = "127.0.0.1",
        .shared_memory_fd = measurement->memory_fd,
        .setup_timeout_ms = 10000,
        .timeout_ms = 10000,
    };
    struct comm *comm = NULL;
    struct error err = {0};
    check(ranks == 1 ? comm_self_open(&comm, &err) : comm_host_open(&place, &comm, &err), &err);
    return comm;
}

static void time_steps(const struct measurement *measurement, const struct sync_parts *parts)
{
    struct sync *sync = NULL;
    struct error err = {0};
    float *tail = parts->gradients + parts->count;
    check(sync_open(parts, &sync, &err), &err);
    for (int round = -WARM_UP; round < measurement->rounds; round++) {
        /* As a backward pass leaves them: in this core's cache. */
        for (size_t i = 0; i < parts->count; i++)
            parts->gradients[i] = 1e-3F;
        memset(tail, 0, SYNC_TAIL * sizeof(float));
        const int64_t begin_ns = clock_mono_ns();
        check(sync->ops->prepare(sync, round + WARM_UP + 1, 1.0, &err), &err);
        check(sync->ops->step(sync, &err), &err);
        if (parts->comm->rank == 0 && round >= 0)
            measurement->arena->us[round] = (double)(clock_mono_ns() - begin_ns) / 1000;
    }
    check(sync->ops->settle(sync, &err), &err);
    sync->ops->close(sync);
}

static void run_rank(const struct measurement *measurement, int rank)
{
    static const struct optimizer_spec adam = {
        .type = OPTIMIZER_ADAM, .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    struct error err = {0};
    struct sync_parts parts = {.device = {.ops = &compute_cpu},
                               .comm = open_comm(measurement, rank),
                               .training = &modes[measurement->mode].training,
                               .optimizer = &adam,
                               .count = models[measurement->model].count};
    check(compute_cpu.open(0, 1, &parts.device.compute, &err), &err);
    struct sync_memory parameters, gradients;
    check(sync_memory_open(parts.device, parts.comm, parts.count, &parameters, &err), &err);
    check(sync_memory_open(parts.device, parts.comm, parts.count + SYNC_TAIL, &gradients, &err),
          &err);
    parts.parameters = parameters.data;
    parts.gradients = gradients.data;
    time_steps(measurement, &parts);
    comm_close(parts.comm);
}

static void run_gang(const struct measurement *measurement)
{
    pid_t pids[RANKS_MAX];
    fflush(NULL);
    for (int rank = 0; rank < modes[measurement->mode].ranks; rank++) {
        pids[rank] = fork();
        if (pids[rank] < 0)
            die("fork");
        if (pids[rank] == 0) {
            run_rank(measurement, rank);
            _exit(0);
        }
    }
    for (int rank = 0; rank < modes[measurement->mode].ranks; rank++) {
        int status = 0;
        if (waitpid(pids[rank], &status, 0) != pids[rank] || status != 0) {
            fprintf(stderr, "bench_sync: rank %d ended with %d\n", rank, status);
            exit(1);
        }
    }
}

/* The median in microseconds. */
static double measure(struct arena *arena, size_t model, size_t mode, double probe)
{
    struct measurement measurement = {
        .model = model,
        .mode = mode,
        .rounds = bench_is_short() ? models[model].rounds_short : models[model].rounds,
        .port = bench_free_port(),
        .memory_fd = memfd_create("bench_sync", MFD_CLOEXEC),
        .arena = arena,
    };
    struct bench_samples samples = {0};
    char name[64];
    run_gang(&measurement);
    for (int round = 0; round < measurement.rounds; round++)
        bench_add(&samples, arena->us[round]);
    const double median = bench_quantile(&samples, 0.5);
    snprintf(name, sizeof(name), "sync_%s_%s", modes[mode].name, models[model].name);
    bench_report(name, "us", &samples, probe);
    bench_clear(&samples);
    fd_cleanup(&measurement.memory_fd);
    return median;
}

int main(void)
{
    struct arena *arena =
        mmap(NULL, sizeof(*arena), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (arena == MAP_FAILED)
        die("mmap");
    bench_load_start();
    for (size_t model = 0; model < COUNT_OF(models); model++) {
        const double alone = measure(arena, model, 0, 0);
        const double allreduce = measure(arena, model, 1, alone);
        for (size_t mode = 2; mode < COUNT_OF(modes); mode++)
            (void)measure(arena, model, mode, allreduce);
    }
    (void)munmap(arena, sizeof(*arena));
    return 0;
}
