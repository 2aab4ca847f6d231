#include "agent/runner/rank.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define STAT_BYTES       1024
#define STAT_START_FIELD 22
#define FIRST_HIDDEN_FD  (RUNNER_SHARED_FD + 1)
#define OOM_SCORE        "500"
#define OUTPUT_MODE      0644

static void end_unstarted(struct rank *rank, int64_t now_boot_ms, const char *what, int errnum)
{
    rank->ended = true;
    rank->exit_code = -1;
    rank->reason = RUNNER_REASON_START_FAILED;
    rank->end_boot_ms = now_boot_ms;
    (void)snprintf(rank->detail, sizeof(rank->detail), "%s: %s", what, strerror(errnum));
}

bool rank_prepare(struct rank *rank, const struct orders *orders, const struct rank_orders *own,
                  int64_t now_boot_ms)
{
    *rank = (struct rank){.orders = own, .page_fd = -1, .exec_pipe = -1};
    rank->page_fd = memfd_create("progress", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    /* Sealed in its size: a rank that truncated it would kill its readers with SIGBUS. */
    if (rank->page_fd < 0 || ftruncate(rank->page_fd, PROGRESS_PAGE_BYTES) != 0 ||
        fcntl(rank->page_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        end_unstarted(rank, now_boot_ms, "make progress page", errno);
        return false;
    }
    void *page = mmap(NULL, PROGRESS_PAGE_BYTES, PROT_READ, MAP_SHARED, rank->page_fd, 0);
    if (page == MAP_FAILED) {
        end_unstarted(rank, now_boot_ms, "map progress page", errno);
        return false;
    }
    rank->page = page;
    cgroup_make(&rank->cgroup, orders, own);
    return true;
}

uint64_t process_start_time(pid_t pid)
{
    char path[64];
    char text[STAT_BYTES];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    const ssize_t got = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    if (got <= 0)
        return 0;
    text[got] = 0;
    /* The name in field 2 may hold anything, so count from the last parenthesis. */
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < STAT_START_FIELD; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at + 1, NULL, 10) : 0;
}

static bool redirect(const char *path, int flags, int fd)
{
    const int opened = open(path, flags | O_CLOEXEC, OUTPUT_MODE);
    return opened >= 0 && dup2(opened, fd) >= 0;
}

/* When the machine runs out of memory a trainer is to go, not the agent or a runner. */
static void prefer_as_oom_victim(void)
{
    const int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)!write(fd, OOM_SCORE, strlen(OOM_SCORE));
    (void)close(fd);
}

/* In the child: everything that can fail reports its errno through the pipe. */
static void become_rank(const struct rank *rank, int shared_fd, int pipe_fd, pid_t runner)
{
    const struct rank_orders *orders = rank->orders;
    sigset_t none;
    (void)sigemptyset(&none);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != runner)
        _exit(EXIT_FAILURE); /* the runner died before the line above could bind us to it */
    (void)setsid();
    cgroup_enter(&rank->cgroup);
    prefer_as_oom_victim();
    const struct rlimit no_core = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    /* Descriptors move upwards first, so that none is overwritten while it is still needed. */
    const int page = fcntl(rank->page_fd, F_DUPFD, FIRST_HIDDEN_FD);
    const int shared = shared_fd < 0 ? -1 : fcntl(shared_fd, F_DUPFD, FIRST_HIDDEN_FD);
    const int told = fcntl(pipe_fd, F_DUPFD_CLOEXEC, FIRST_HIDDEN_FD);
    bool fine = told >= 0 && page >= 0 && (shared_fd < 0 || shared >= 0);
    fine = fine && redirect("/dev/null", O_RDONLY, STDIN_FILENO);
    fine = fine && redirect(orders->stdout_path, O_WRONLY | O_APPEND | O_CREAT, STDOUT_FILENO);
    fine = fine && redirect(orders->stderr_path, O_WRONLY | O_APPEND | O_CREAT, STDERR_FILENO);
    fine = fine && dup2(page, RUNNER_PROGRESS_FD) >= 0;
    fine = fine && (shared < 0 || dup2(shared, RUNNER_SHARED_FD) >= 0);
    fine = fine && chdir(orders->cwd) == 0;
    if (fine) {
        (void)close_range(STDERR_FILENO + 1, RUNNER_PROGRESS_FD - 1, 0);
        (void)close_range(shared < 0 ? RUNNER_SHARED_FD : FIRST_HIDDEN_FD, (unsigned)told - 1, 0);
        (void)close_range((unsigned)told + 1, ~0U, 0);
        (void)execve(orders->args[0], orders->args, orders->env);
    }
    const int errnum = errno;
    (void)!write(told >= 0 ? told : pipe_fd, &errnum, sizeof(errnum));
    _exit(EXIT_FAILURE);
}

void rank_start(struct rank *rank, int shared_fd, int64_t now_boot_ms)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        end_unstarted(rank, now_boot_ms, "make exec pipe", errno);
        return;
    }
    const pid_t runner = getpid();
    rank->spawn_boot_ms = now_boot_ms;
    const pid_t pid = fork();
    if (pid == 0)
        become_rank(rank, shared_fd, ends[1], runner);
    const int errnum = errno;
    (void)close(ends[1]);
    if (pid < 0) {
        (void)close(ends[0]);
        end_unstarted(rank, now_boot_ms, "fork", errnum);
        return;
    }
    rank->pid = pid;
    rank->exec_pipe = ends[0];
    rank->start_time = process_start_time(pid);
}

void rank_started(struct rank *rank, int64_t now_boot_ms)
{
    if (rank->exec_pipe < 0)
        return;
    int errnum = 0;
    ssize_t got;
    do
        got = read(rank->exec_pipe, &errnum, sizeof(errnum));
    while (got < 0 && errno == EINTR);
    (void)close(rank->exec_pipe);
    rank->exec_pipe = -1;
    if (got != (ssize_t)sizeof(errnum))
        return; /* closed by exec, or the child died: the wait status will tell */
    char what[RUNNER_DETAIL_BYTES / 2];
    (void)snprintf(what, sizeof(what), "start %s", rank->orders->args[0]);
    (void)waitpid(rank->pid, NULL, 0);
    end_unstarted(rank, now_boot_ms, what, errnum);
    cgroup_remove(&rank->cgroup);
}

void rank_reaped(struct rank *rank, int wait_status, int64_t now_boot_ms)
{
    /* The process is gone, but its group may not be; nobody else can have taken its number yet. */
    (void)kill(-rank->pid, SIGKILL);
    rank->ended = true;
    rank->end_boot_ms = now_boot_ms;
    rank->exit_code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
    rank->exit_signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
    rank->oom =
        rank->exit_signal == SIGKILL && !rank->killed_by_us && cgroup_oom_kills(&rank->cgroup) > 0;
    cgroup_remove(&rank->cgroup);
}

bool rank_alive(const struct rank *rank)
{
    return rank->pid > 0 && !rank->ended;
}

void rank_signal(struct rank *rank, int signal)
{
    if (!rank_alive(rank))
        return;
    /* Its children get the end too; a request to checkpoint or stop is for the rank alone. */
    if (signal == SIGKILL) {
        rank->killed_by_us = true;
        (void)kill(-rank->pid, SIGKILL);
    }
    (void)kill(rank->pid, signal);
}
