#ifndef RUNNER_ORDERS_READ_H
#define RUNNER_ORDERS_READ_H

/*
 * orders.h - reads runner.orders (runner_orders.h) into the runner's own structs.
 *
 * Ownership: the strings point into `text`, which lives as long as the process.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/runner/runner_orders.h"

enum cgroup_kind { CGROUP_NONE, CGROUP_V1, CGROUP_V2 };

struct rank_orders {
    int64_t rank;
    int64_t memory_bytes;
    const char *cwd;
    const char *stdout_path;
    const char *stderr_path;
    size_t arg_count;
    size_t env_count;
    char **args; /* end with NULL, ready for execve */
    char **env;
};

struct orders {
    const char *job;
    int64_t attempt;
    const char *boot_id;
    int64_t lease_boot_ms;
    bool stop_on_lease_loss;
    int64_t orphan_timeout_ms;
    int64_t kill_budget_ms;
    int64_t hang_timeout_ms;
    int64_t hang_grace_ms;
    int64_t setup_timeout_ms;
    bool shared_memory;
    enum cgroup_kind cgroup;
    const char *cgroup_parent;
    size_t rank_count;
    struct rank_orders *ranks;
};

/* Reads and checks the file; false with the reason on stderr. */
bool orders_read(const char *path, struct orders *out);

#endif
