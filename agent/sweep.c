#include "agent/sweep.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/runner/runner_orders.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/pidfd.h"

#define ENVIRONMENT_BYTES_MAX (256 * KIB)
#define REMOVE_TRIES          20
#define REMOVE_PAUSE_MS       1
#define END_WAIT_MS           500 /* for one process; what does not die of SIGKILL is not waited for */
#define ROUNDS_MAX            3 /* what is killed may have forked in between */

/* Whether the process's environment has a variable that starts with `wanted`. */
static bool belongs(pid_t pid, const char *wanted)
{
    char path[64];
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, ENVIRONMENT_BYTES_MAX);
    (void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    if (fs_read_file(path, &text, NULL) != STATUS_OK)
        return false;
    const size_t wanted_bytes = strlen(wanted);
    for (size_t at = 0; at < text.size; at += strlen(text.data + at) + 1) {
        if (strncmp(text.data + at, wanted, wanted_bytes) == 0)
            return true;
    }
    return false;
}

static bool kill_if_ours(pid_t pid, const char *wanted)
{
    CLEANUP(fd_cleanup) const int fd = pidfd_of(pid);
    /* Opened before looked at: if the number changes hands now, the signal reaches nobody. */
    if (fd < 0 || !belongs(pid, wanted) || pidfd_kill(fd, SIGKILL) != 0)
        return false;
    /* Its end is what the caller is about to report. */
    struct pollfd end = {.fd = fd, .events = POLLIN};
    (void)poll(&end, 1, END_WAIT_MS);
    return true;
}

static size_t sweep_once(const char *wanted)
{
    DIR *proc = opendir("/proc");
    size_t killed = 0;
    if (!proc)
        return 0;
    for (const struct dirent *entry = readdir(proc); entry; entry = readdir(proc)) {
        const long pid =
            isdigit((unsigned char)entry->d_name[0]) ? strtol(entry->d_name, NULL, 10) : 0;
        if (pid > 1 && pid != getpid() && kill_if_ours((pid_t)pid, wanted))
            killed++;
    }
    (void)closedir(proc);
    return killed;
}

size_t sweep_attempt(const char *folder)
{
    char wanted[LOCAL_FOLDER_BYTES + 32];
    size_t killed = 0;
    if (fs_path(wanted, sizeof(wanted), NULL, "REPRISE_EVENTS=%s/", folder) != STATUS_OK)
        return 0;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        const size_t now = sweep_once(wanted);
        killed += now;
        if (now == 0)
            break;
    }
    return killed;
}

static void remove_group(const char *path)
{
    char file[LOCAL_FOLDER_BYTES + 64];
    if (fs_path(file, sizeof(file), NULL, "%s/cgroup.kill", path) == STATUS_OK) {
        /* Only version 2 has this file; elsewhere the sweep by environment has done the work. */
        CLEANUP(fd_cleanup) const int fd = open(file, O_WRONLY | O_CLOEXEC);
        if (fd >= 0)
            (void)!write(fd, "1", 1);
    }
    for (int tries = 0; tries < REMOVE_TRIES && fs_exists(path); tries++) {
        if (rmdir(path) == 0)
            return;
        clock_sleep_ms(REMOVE_PAUSE_MS);
    }
}

void sweep_groups(const char *parent, const struct local *local)
{
    for (size_t i = 0; parent[0] && i < local->rank_count; i++) {
        char path[LOCAL_FOLDER_BYTES];
        if (fs_path(path, sizeof(path), NULL, "%s/" RUNNER_CGROUP_FORMAT, parent, local->job,
                    (long long)local->attempt, (long long)local->ranks[i].rank) == STATUS_OK &&
            fs_exists(path))
            remove_group(path);
    }
}
