#ifndef RUNNER_RANK_H
#define RUNNER_RANK_H

/*
 * rank.h - one trainer process: how it is started, and what is known of it until its end.
 *
 *   rank_start()   forks; the child waits for nothing and execs
 *   rank_started() reads whether exec worked (close-on-exec pipe); a failed start is an end
 *   rank_reaped()  takes the wait status
 *
 * A rank leads its own session and process group, dies with the runner (PR_SET_PDEATHSIG), reads
 * /dev/null, appends to its own output files, and inherits two descriptors: its progress page and
 * the node's shared memory. When it ends, what is left of its group is killed.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/runner/cgroup.h"
#include "agent/runner/orders.h"
#include "agent/runner/runner_protocol.h"
#include "schema/progress_page.h"

struct rank {
    const struct rank_orders *orders;
    struct cgroup cgroup;
    int page_fd; /* memfd of the progress page */
    struct progress_page *page;
    int exec_pipe; /* -1: not started or known to run */
    pid_t pid;     /* 0: never started */
    uint64_t start_time;
    int64_t spawn_boot_ms;
    bool ended;
    bool killed_by_us; /* SIGKILL came from the runner, so it is no OOM */
    int exit_code;
    int exit_signal;
    bool oom;
    enum runner_reason reason;
    int64_t end_boot_ms;
    char detail[RUNNER_DETAIL_BYTES];
};

/* Makes page and control group; false (with an end recorded) when the machine refuses. */
bool rank_prepare(struct rank *rank, const struct orders *orders, const struct rank_orders *own,
                  int64_t now_boot_ms);
/* `shared_fd` is -1 without shared memory. */
void rank_start(struct rank *rank, int shared_fd, int64_t now_boot_ms);
void rank_started(struct rank *rank, int64_t now_boot_ms);
void rank_reaped(struct rank *rank, int wait_status, int64_t now_boot_ms);
bool rank_alive(const struct rank *rank);
void rank_signal(struct rank *rank, int signal);
/* Start time of a process in clock ticks since boot; 0 when there is no such process. */
uint64_t process_start_time(pid_t pid);

#endif
