#include "agent/runner/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_PATH_BYTES (CGROUP_PATH_BYTES + 64)
#define READ_BYTES      4096
#define REMOVE_TRIES    20
#define REMOVE_PAUSE_US 1000

static bool write_file(const char *folder, const char *name, const char *text)
{
    char path[FILE_PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const ssize_t written = write(fd, text, strlen(text));
    (void)close(fd);
    return written == (ssize_t)strlen(text);
}

static bool read_file(const char *folder, const char *name, char out[READ_BYTES])
{
    char path[FILE_PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const ssize_t got = read(fd, out, READ_BYTES - 1);
    (void)close(fd);
    if (got < 0)
        return false;
    out[got] = 0;
    return true;
}

void cgroup_make(struct cgroup *group, const struct orders *orders, const struct rank_orders *rank)
{
    memset(group, 0, sizeof(*group));
    if (orders->cgroup == CGROUP_NONE)
        return;
    char path[CGROUP_PATH_BYTES];
    const int size = snprintf(path, sizeof(path), "%s/" RUNNER_CGROUP_FORMAT, orders->cgroup_parent,
                              orders->job, (long long)orders->attempt, (long long)rank->rank);
    if (size < 0 || (size_t)size >= sizeof(path))
        return;
    if (mkdir(path, 0755) != 0 && errno != EEXIST) {
        (void)fprintf(stderr, "rank %lld runs without a control group: mkdir %s: %s\n",
                      (long long)rank->rank, path, strerror(errno));
        return;
    }
    group->kind = orders->cgroup;
    memcpy(group->path, path, sizeof(path));
    if (rank->memory_bytes > 0) {
        char limit[32];
        (void)snprintf(limit, sizeof(limit), "%lld", (long long)rank->memory_bytes);
        const char *name = group->kind == CGROUP_V2 ? "memory.max" : "memory.limit_in_bytes";
        if (!write_file(path, name, limit))
            (void)fprintf(stderr, "rank %lld: memory is not limited: write %s/%s: %s\n",
                          (long long)rank->rank, path, name, strerror(errno));
    }
}

void cgroup_enter(const struct cgroup *group)
{
    if (group->path[0])
        (void)write_file(group->path, "cgroup.procs", "0");
}

int64_t cgroup_oom_kills(const struct cgroup *group)
{
    char text[READ_BYTES];
    const char *name = group->kind == CGROUP_V2 ? "memory.events" : "memory.oom_control";
    if (!group->path[0] || !read_file(group->path, name, text))
        return 0;
    const char *found = strstr(text, "oom_kill ");
    return found ? strtoll(found + strlen("oom_kill "), NULL, 10) : 0;
}

static void kill_members(const struct cgroup *group)
{
    char text[READ_BYTES];
    if (group->kind == CGROUP_V2 && write_file(group->path, "cgroup.kill", "1"))
        return;
    if (!read_file(group->path, "cgroup.procs", text))
        return;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        const long pid = strtol(line, NULL, 10);
        if (pid > 1)
            (void)kill((pid_t)pid, SIGKILL);
    }
}

void cgroup_remove(struct cgroup *group)
{
    if (!group->path[0])
        return;
    for (int tries = 0; tries < REMOVE_TRIES; tries++) {
        if (rmdir(group->path) == 0 || errno == ENOENT)
            break;
        kill_members(group);
        (void)usleep(REMOVE_PAUSE_US);
    }
    group->path[0] = 0;
}
