#ifndef RUNNER_CGROUP_H
#define RUNNER_CGROUP_H

/*
 * cgroup.h - one control group per rank, where the machine lets us make one: it bounds the rank's
 * memory and tells an out-of-memory kill from any other SIGKILL. Where it can't be made the rank
 * runs without, and the runner's log says so.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/runner/orders.h"

#define CGROUP_PATH_BYTES 512

struct cgroup {
    enum cgroup_kind kind;
    char path[CGROUP_PATH_BYTES]; /* empty: none */
};

void cgroup_make(struct cgroup *group, const struct orders *orders, const struct rank_orders *rank);
/* Moves the calling process in; called between fork and exec of a process with one thread. */
void cgroup_enter(const struct cgroup *group);
/* Number of out-of-memory kills in the group. */
int64_t cgroup_oom_kills(const struct cgroup *group);
/* Removes the group; whatever still lives in it is killed before. */
void cgroup_remove(struct cgroup *group);

#endif
