/*
 * reprise-runner FOLDER - runs the ranks of one attempt on this node and outlives the agent.
 *
 * FOLDER holds runner.orders; descriptor 3 is the listening runner.sock. One thread, one epoll, libc
 * only. Its life:
 *
 *   orders read -> ranks forked -> watching -> every rank ended, exit.json whole, agent told -> exit 0
 *
 * While it watches, these end ranks: a command (stop, kill), the lease (if the orders say so, else
 * orphan_timeout after it), a hang, SIGTERM to the runner. Whatever ends them, each end goes to
 * exit.json first and to the agent next. A runner that is killed takes its ranks with it.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/runner/exit_record.h"
#include "agent/runner/orders.h"
#include "agent/runner/rank.h"
#include "agent/runner/station.h"
#include "agent/runner/watch.h"
#include "base/version.h"

#define USAGE            "usage: reprise-runner FOLDER (started by reprise-agent)"
#define EXIT_BAD_ORDERS  64
#define EVENTS_MAX       16
#define NEVER            INT64_MAX
#define RECORD_TRIES_MAX 60 /* looks, about a second each, before a full disk is given up on */

struct runner {
    struct orders orders;
    struct rank *ranks;
    struct watch *watches;
    struct station station;
    int epoll_fd;
    int signal_fd;
    int shared_fd;
    int64_t lease_boot_ms;
    int64_t kill_boot_ms;     /* SIGKILL to all that still live; NEVER: not stopping */
    int64_t look_boot_ms;     /* next look at progress and lease */
    enum runner_reason cause; /* given to ranks that end from now on */
    char cause_detail[RUNNER_DETAIL_BYTES];
    bool unwritten; /* exit.json lacks an end */
    int record_tries;
};

static int64_t now_boot_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void signal_all(struct runner *runner, int signal)
{
    for (size_t i = 0; i < runner->orders.rank_count; i++)
        rank_signal(&runner->ranks[i], signal);
}

static bool any_alive(const struct runner *runner)
{
    for (size_t i = 0; i < runner->orders.rank_count; i++) {
        if (rank_alive(&runner->ranks[i]))
            return true;
    }
    return false;
}

/* Ends all ranks by `signal`, and by SIGKILL after the grace. An earlier SIGKILL is never put off. */
static void end_all(struct runner *runner, int signal, int64_t grace_ms, int64_t now_ms)
{
    const int64_t kill_at = now_ms + grace_ms;
    if (kill_at < runner->kill_boot_ms)
        runner->kill_boot_ms = kill_at;
    if (signal == SIGKILL || grace_ms <= 0)
        signal_all(runner, SIGKILL);
    else
        signal_all(runner, signal);
}

static void end_all_because(struct runner *runner, enum runner_reason cause, const char *detail,
                            int signal, int64_t grace_ms, int64_t now_ms)
{
    if (runner->cause == RUNNER_REASON_NONE) {
        runner->cause = cause;
        (void)snprintf(runner->cause_detail, sizeof(runner->cause_detail), "%s", detail);
    }
    end_all(runner, signal, grace_ms, now_ms);
}

static void record(struct runner *runner)
{
    runner->unwritten =
        !exit_record_write(&runner->orders, runner->ranks, runner->orders.rank_count);
}

/* Takes every end there is, writes them down once, then tells. Also reaps adopted orphans. */
static void reap(struct runner *runner)
{
    bool told[RUNNER_RANKS_MAX] = {false};
    bool any = false;
    int status;
    pid_t pid;
    const int64_t now_ms = now_boot_ms();
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (size_t i = 0; i < runner->orders.rank_count; i++) {
            struct rank *rank = &runner->ranks[i];
            if (rank->pid != pid || rank->ended)
                continue;
            rank_reaped(rank, status, now_ms);
            if (rank->exit_code != 0 && rank->reason == RUNNER_REASON_NONE) {
                rank->reason = runner->cause;
                memcpy(rank->detail, runner->cause_detail, sizeof(rank->detail));
            }
            told[i] = true;
            any = true;
        }
    }
    if (!any)
        return;
    record(runner);
    for (size_t i = 0; i < runner->orders.rank_count; i++) {
        if (told[i])
            station_tell_rank(&runner->station, &runner->ranks[i]);
    }
}

static void obey(struct runner *runner, int peer, const struct runner_command *command)
{
    const int64_t now_ms = now_boot_ms();
    switch ((enum runner_command_kind)command->kind) {
    case RUNNER_STOP:
        end_all(runner, SIGTERM, command->value_ms, now_ms);
        break;
    case RUNNER_KILL:
        end_all(runner, SIGKILL, 0, now_ms);
        break;
    case RUNNER_CHECKPOINT:
        signal_all(runner, SIGUSR1);
        break;
    case RUNNER_LEASE:
        runner->lease_boot_ms = command->value_ms;
        break;
    case RUNNER_STATUS:
        station_tell_all(&runner->station, peer, false);
        break;
    default:
        (void)fprintf(stderr, "ignored command %u\n", command->kind);
    }
}

static void look_at_lease(struct runner *runner, int64_t now_ms)
{
    const struct orders *orders = &runner->orders;
    const int64_t end =
        runner->lease_boot_ms + (orders->stop_on_lease_loss ? 0 : orders->orphan_timeout_ms);
    if (now_ms < end || runner->kill_boot_ms != NEVER)
        return;
    end_all_because(runner, RUNNER_REASON_NODE_LOST, "the node's lease ran out", SIGTERM,
                    orders->kill_budget_ms / 2, now_ms);
}

static void look_at_progress(struct runner *runner, int64_t now_ms)
{
    char detail[RUNNER_DETAIL_BYTES];
    for (size_t i = 0; i < runner->orders.rank_count; i++) {
        struct rank *rank = &runner->ranks[i];
        if (!rank_alive(rank) || runner->kill_boot_ms != NEVER)
            continue;
        if (watch_look(&runner->watches[i], rank, &runner->orders, now_ms, detail))
            end_all_because(runner, RUNNER_REASON_HANG, detail, SIGABRT,
                            runner->orders.hang_grace_ms, now_ms);
    }
}

static void look(struct runner *runner)
{
    const int64_t now_ms = now_boot_ms();
    if (now_ms >= runner->kill_boot_ms)
        signal_all(runner, SIGKILL);
    if (now_ms < runner->look_boot_ms)
        return;
    look_at_lease(runner, now_ms);
    look_at_progress(runner, now_ms);
    if (runner->unwritten && runner->record_tries++ < RECORD_TRIES_MAX)
        record(runner);
    runner->look_boot_ms = now_ms + watch_tick_ms(&runner->orders);
}

static int wait_ms(const struct runner *runner)
{
    const int64_t now_ms = now_boot_ms();
    int64_t until = runner->look_boot_ms;
    if (runner->kill_boot_ms > now_ms && runner->kill_boot_ms < until)
        until = runner->kill_boot_ms;
    if (!runner->orders.stop_on_lease_loss)
        return until > now_ms ? (int)(until - now_ms) : 0;
    if (runner->lease_boot_ms > now_ms && runner->lease_boot_ms < until)
        until = runner->lease_boot_ms;
    return until > now_ms ? (int)(until - now_ms) : 0;
}

static void take_signals(struct runner *runner)
{
    struct signalfd_siginfo info;
    while (read(runner->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGTERM)
            end_all(runner, SIGTERM, runner->orders.kill_budget_ms, now_boot_ms());
    }
    reap(runner);
}

static void take_event(struct runner *runner, int fd)
{
    if (fd == runner->signal_fd) {
        take_signals(runner);
        return;
    }
    if (fd == runner->station.listen_fd) {
        station_accept(&runner->station);
        return;
    }
    const int peer = station_find(&runner->station, fd);
    struct runner_command command;
    while (peer >= 0 && runner->station.peers[peer] == fd &&
           station_receive(&runner->station, peer, &command))
        obey(runner, peer, &command);
}

static bool watch_signals(struct runner *runner)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)sigprocmask(SIG_SETMASK, &set, NULL);
    runner->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = runner->signal_fd};
    return runner->signal_fd >= 0 &&
           epoll_ctl(runner->epoll_fd, EPOLL_CTL_ADD, runner->signal_fd, &event) == 0;
}

static bool open_runner(struct runner *runner, const char *folder)
{
    *runner = (struct runner){.kill_boot_ms = NEVER, .shared_fd = -1};
    if (chdir(folder) != 0) {
        perror(folder);
        return false;
    }
    if (!orders_read(RUNNER_ORDERS_NAME, &runner->orders))
        return false;
    const size_t count = runner->orders.rank_count;
    runner->lease_boot_ms = runner->orders.lease_boot_ms;
    runner->ranks = calloc(count, sizeof(*runner->ranks));
    runner->watches = calloc(count, sizeof(*runner->watches));
    runner->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!runner->ranks || !runner->watches || runner->epoll_fd < 0 || !watch_signals(runner)) {
        perror("start runner");
        return false;
    }
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    (void)prctl(PR_SET_NAME, "reprise-runner");
    if (runner->orders.shared_memory)
        runner->shared_fd = memfd_create("shared", MFD_CLOEXEC);
    return true;
}

/* If one rank can't start, the gang can't: the others are killed before they do anything. */
static void start_ranks(struct runner *runner)
{
    const size_t count = runner->orders.rank_count;
    bool failed = false;
    for (size_t i = 0; i < count; i++) {
        struct rank *rank = &runner->ranks[i];
        if (rank_prepare(rank, &runner->orders, &runner->orders.ranks[i], now_boot_ms()))
            rank_start(rank, runner->shared_fd, now_boot_ms());
    }
    for (size_t i = 0; i < count; i++) {
        rank_started(&runner->ranks[i], now_boot_ms());
        failed = failed || runner->ranks[i].ended;
    }
    if (!failed)
        return;
    end_all(runner, SIGKILL, 0, now_boot_ms());
    record(runner);
}

/* Grandchildren that left their group came to us as subreaper: nothing of the attempt may stay. */
static void end_orphans(void)
{
    char path[64];
    char text[4096];
    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    for (int round = 0; round < EVENTS_MAX; round++) {
        FILE *file = fopen(path, "re");
        if (!file)
            return;
        const size_t got = fread(text, 1, sizeof(text) - 1, file);
        (void)fclose(file);
        text[got] = 0;
        /* A list that does not fit ends within a number, which would be another process's. */
        char *last = strrchr(text, ' ');
        if (!last)
            return;
        *last = 0;
        char *at = text;
        for (long pid = strtol(at, &at, 10); pid > 0; pid = strtol(at, &at, 10)) {
            (void)kill((pid_t)pid, SIGKILL);
            (void)waitpid((pid_t)pid, NULL, 0);
        }
    }
}

int main(int argc, char **argv)
{
    static struct runner runner;
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)puts("reprise-runner " REPRISE_VERSION);
        return EXIT_SUCCESS;
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        (void)puts(USAGE);
        return EXIT_SUCCESS;
    }
    if (argc != 2) {
        (void)fprintf(stderr, "%s\n", USAGE);
        return EXIT_BAD_ORDERS;
    }
    if (!open_runner(&runner, argv[1]))
        return EXIT_BAD_ORDERS;
    start_ranks(&runner);
    if (!station_open(&runner.station, runner.epoll_fd, RUNNER_LISTEN_FD, runner.ranks,
                      runner.orders.rank_count)) {
        perror("listen on descriptor 3");
        end_all(&runner, SIGKILL, 0, now_boot_ms());
    }
    station_accept(&runner.station); /* the agent connected before it started us */
    runner.look_boot_ms = now_boot_ms() + watch_tick_ms(&runner.orders);
    while (any_alive(&runner) || (runner.unwritten && runner.record_tries < RECORD_TRIES_MAX)) {
        struct epoll_event events[EVENTS_MAX];
        const int count = epoll_wait(runner.epoll_fd, events, EVENTS_MAX, wait_ms(&runner));
        for (int i = 0; i < count; i++)
            take_event(&runner, events[i].data.fd);
        look(&runner);
    }
    end_orphans();
    /* Before the peers' ends close: who sees one of them close can't connect again. */
    (void)close(RUNNER_LISTEN_FD);
    return EXIT_SUCCESS;
}
