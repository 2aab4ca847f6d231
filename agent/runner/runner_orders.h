#ifndef RUNNER_ORDERS_H
#define RUNNER_ORDERS_H

/*
 * runner_orders.h - the file that tells a runner what to run: agent/orders.c writes it,
 * runner/orders.c reads it.
 *
 * One "key value" a line. In a value, "\n" stands for a newline and "\\" for a backslash. The first
 * line is "reprise-orders 1", the last one is "end": a file without it is not whole and is refused.
 *
 *     reprise-orders 1
 *     job job_01...            attempt 3              boot_id 5f0c...
 *     lease_boot_ms 81234      absolute; the lease as it was when the order was written
 *     stop_on_lease_loss 0     1: stop the ranks; 0: go on for orphan_timeout_ms
 *     orphan_timeout_ms 43200000
 *     kill_budget_ms 3000      how long stopping may take when the lease ran out
 *     hang_timeout_ms 0        0: max(30 s, 10 x the median step)
 *     hang_grace_ms 5000       between SIGABRT and SIGKILL of a hung rank
 *     setup_timeout_ms 600000
 *     shared_memory 1          make one memfd for all ranks
 *     cgroup v2 /sys/fs/cgroup/reprise     v1, v2 or none; parent of the ranks' groups
 *     rank 0                   starts a rank; what follows belongs to it
 *     memory_bytes 0           0: not limited
 *     cwd /...   stdout /...   stderr /...
 *     arg /usr/bin/reprise-trainer        once a word
 *     env RANK=0                          once a variable
 *     end
 *
 * Every rank finds its progress page and, with shared_memory, the shared memory at these
 * descriptors; the agent names them in the environment.
 */

#define RUNNER_ORDERS_VERSION 1
#define RUNNER_ORDERS_BYTES   (4 * 1024 * 1024)
#define RUNNER_RANKS_MAX      256
#define RUNNER_ARGS_MAX       256
#define RUNNER_ENV_MAX        512
#define RUNNER_PROGRESS_FD    8
#define RUNNER_SHARED_FD      9
#define RUNNER_PROGRESS_PATH  "/proc/self/fd/8"
#define RUNNER_SHARED_PATH    "/proc/self/fd/9"
/* A rank's control group: <parent>/<RUNNER_CGROUP_FORMAT of job, attempt, rank>. */
#define RUNNER_CGROUP_FORMAT "reprise.%s.%lld.%lld"

#endif
