#include "agent/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/adopt.h"
#include "agent/board.h"
#include "agent/intent.h"
#include "agent/link.h"
#include "agent/prepare.h"
#include "agent/reconcile.h"
#include "agent/runner_news.h"
#include "agent/spool.h"
#include "agent/sync.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/pidfd.h"

#define EVENTS_MAX  32
#define LOCALS_MAX  NODE_ATTEMPTS_MAX
#define ACTIONS_MAX (2 * LOCALS_MAX)

struct loop {
    const struct site *site;
    bool once;
    int epoll_fd, signal_fd;
    struct board *board;
    struct sync *sync;
    struct preparer *preparer;
    struct spool *spool;
    struct local *locals[LOCALS_MAX];
    size_t local_count;
    struct wire_sync_answer desired; /* the newest set; nothing is done before there is one */
    bool has_desired;
    struct orders_lease lease;
    bool changed;  /* the board is out of date */
    bool worked;   /* an attempt has been here */
    bool stopping; /* by signal, or done with --once */
    bool fenced;
};

/* ---------------------------------------------------------------- helpers */

static enum status watch(const struct loop *loop, int fd, struct error *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return error_set_errno(err, STATUS_INTERNAL, errno, "watch descriptor %d", fd);
    return STATUS_OK;
}

static struct local *find_local(const struct loop *loop, const char *job, int64_t attempt)
{
    for (size_t i = 0; i < loop->local_count; i++) {
        if (loop->locals[i]->attempt == attempt && strcmp(loop->locals[i]->job, job) == 0)
            return loop->locals[i];
    }
    return NULL;
}

static void log_attempt(enum log_level level, const char *event, const char *message,
                        const struct local *local)
{
    char attempt[24];
    (void)snprintf(attempt, sizeof(attempt), "%lld", (long long)local->attempt);
    log_write(level, event, message, "job", local->job, "attempt", attempt, NULL);
}

static void publish(struct loop *loop)
{
    struct error err = {0};
    if (!loop->changed)
        return;
    if (board_publish(loop->board, loop->locals, loop->local_count, &err) != STATUS_OK) {
        log_write(LOG_ERROR, "board_stale", err.text, NULL);
        return;
    }
    loop->changed = false;
    if (loop->sync)
        sync_news(loop->sync);
}

/* ---------------------------------------------------------------- ends */

/* No rank of it is left here. */
static void attempt_over(struct loop *loop, struct local *local)
{
    local->state = LOCAL_OVER;
    loop->changed = true;
    for (size_t i = 0; i < local->rank_count; i++) {
        const struct local_rank *rank = &local->ranks[i];
        char text[96];
        (void)snprintf(text, sizeof(text), "rank %lld ended: code %lld, signal %lld, %s",
                       (long long)rank->rank, (long long)rank->exit_code,
                       (long long)rank->exit_signal, reason_names[rank->exit_reason]);
        log_attempt(LOG_INFO, "rank_ended", text, local);
    }
    spool_ended(loop->spool, local->job, local->attempt);
}

static void runner_gone(struct loop *loop, struct local *local)
{
    fd_cleanup(&local->link_fd); /* closing takes it out of the epoll */
    local->link_fd = -1;
    if (local->state != LOCAL_RUNNING)
        return;
    adopt_bury(loop->site, local, false);
    attempt_over(loop, local);
}

static void hear_link(struct loop *loop, struct local *local)
{
    for (;;) {
        struct runner_news news;
        int page_fd = -1;
        switch (link_receive(local->link_fd, &news, &page_fd)) {
        case LINK_NEWS:
            if (runner_news_apply(local, &news, page_fd))
                loop->changed = true;
            break;
        case LINK_CLOSED:
            runner_gone(loop, local);
            return;
        case LINK_NOTHING:
            if (local->state == LOCAL_RUNNING && local_all_ended(local))
                attempt_over(loop, local);
            return;
        }
    }
}

/* ---------------------------------------------------------------- starting */

static void add_local(struct loop *loop, struct local *local)
{
    local->desired = true;
    loop->locals[loop->local_count++] = local;
    loop->changed = true;
}

static void end_unstarted(struct loop *loop, struct local *local, enum reason reason,
                          int64_t exit_code, const char *detail)
{
    struct error err = {0};
    local_end_rest(local, reason, detail, clock_boot_ms());
    for (size_t i = 0; i < local->rank_count; i++)
        local->ranks[i].exit_code = exit_code;
    if (fs_exists(local->folder) &&
        local_write_exits(local, loop->site->boot_id, &err) != STATUS_OK)
        log_attempt(LOG_WARN, "exits_not_kept", err.text, local);
    local->state = LOCAL_OVER;
    local->delivered = true;
    loop->changed = true;
    log_attempt(LOG_WARN, "start_failed", detail, local);
}

static void start_attempt(struct loop *loop, const struct wire_assignment *assignment)
{
    struct error err = {0};
    struct local *local = NULL;
    if (loop->local_count == LOCALS_MAX ||
        local_new(assignment, loop->site->data_dir, &local, &err) != STATUS_OK) {
        log_write(LOG_ERROR, "start_failed", err.text[0] ? err.text : "too many attempts", "job",
                  assignment->job, NULL);
        return;
    }
    add_local(loop, local);
    loop->worked = true;
    if (prepare_submit(loop->preparer, assignment, local->folder, &loop->lease, &err) != STATUS_OK)
        end_unstarted(loop, local, REASON_START_FAILED, -1, err.text);
}

/* The controller wants something stopped that we never had: it hears that, or it would wait. */
static void report_never_ran(struct loop *loop, const struct wire_assignment *assignment)
{
    struct error err = {0};
    struct local *local = NULL;
    if (loop->local_count == LOCALS_MAX || local_new(assignment, NULL, &local, &err) != STATUS_OK) {
        log_write(LOG_ERROR, "report_failed", err.text, "job", assignment->job, NULL);
        return;
    }
    local_end_rest(local, REASON_STOPPED, "it never ran on this node", clock_boot_ms());
    local->state = LOCAL_OVER;
    local->delivered = true;
    add_local(loop, local);
}

static enum status take_runner(struct loop *loop, struct local *local, struct prepare_task *task,
                               struct error *err)
{
    local->link_fd = task->link_fd;
    task->link_fd = -1;
    local->runner_pid_fd = pidfd_of(task->runner_pid);
    local->state = LOCAL_RUNNING;
    local->asked = DESIRED_RUN; /* a cancel that came too late becomes a kill at the next look */
    TRY(watch(loop, local->link_fd, err));
    if (local->runner_pid_fd >= 0)
        TRY(watch(loop, local->runner_pid_fd, err));
    return spool_follow(loop->spool, local, err);
}

static void take_prepared(struct loop *loop)
{
    struct prepare_task *task;
    while ((task = prepare_take(loop->preparer)) != NULL) {
        const struct wire_assignment *a = &task->held.assignments[0];
        struct local *local = find_local(loop, a->job, a->attempt);
        struct error err = {0};
        if (local && !task->started)
            end_unstarted(loop, local, task->reason, task->exit_code, task->error.text);
        else if (local && take_runner(loop, local, task, &err) != STATUS_OK)
            log_attempt(LOG_ERROR, "attempt_unwatched", err.text, local);
        if (local && task->started) {
            char text[96];
            (void)snprintf(
                text, sizeof(text), "files after %lld ms, shards %lld, data %lld, runner %lld",
                (long long)task->took_ms[PREPARE_FILES], (long long)task->took_ms[PREPARE_SHARDS],
                (long long)task->took_ms[PREPARE_DATA], (long long)task->took_ms[PREPARE_SPAWN]);
            log_attempt(LOG_INFO, "attempt_started", text, local);
            hear_link(loop, local);
        }
        prepare_task_free(task);
    }
}

/* ---------------------------------------------------------------- acting */

static void tell_runner(struct local *local, enum runner_command_kind kind, int64_t value_ms)
{
    struct error err = {0};
    /* A runner that can't hear is about to be found gone. */
    if (local->link_fd >= 0 && link_send(local->link_fd, kind, value_ms, &err) != STATUS_OK)
        log_attempt(LOG_WARN, "runner_deaf", err.text, local);
}

static void remove_local(struct loop *loop, struct local *local)
{
    struct error err = {0};
    for (size_t i = 0; i < loop->local_count; i++) {
        if (loop->locals[i] == local) {
            loop->locals[i] = loop->locals[--loop->local_count];
            break;
        }
    }
    /* Its pages must be off the board before they are unmapped. */
    loop->changed = true;
    if (board_publish(loop->board, loop->locals, loop->local_count, &err) != STATUS_OK) {
        log_attempt(LOG_ERROR, "attempt_kept", err.text, local);
        loop->locals[loop->local_count++] = local;
        return;
    }
    if (local->folder[0]) {
        intent_remove(local->folder);
        if (fs_remove_tree(local->folder, &err) != STATUS_OK)
            log_attempt(LOG_WARN, "folder_kept", err.text, local);
        *strrchr(local->folder, '/') = 0;
        (void)rmdir(local->folder); /* the job's, if this was its last attempt here */
    }
    log_attempt(LOG_DEBUG, "attempt_removed", "delivered and not wanted any more", local);
    local_free(local);
}

static void act(struct loop *loop, const struct action *action)
{
    struct local *local = action->local;
    switch (action->kind) {
    case ACTION_START:
        start_attempt(loop, action->assignment);
        break;
    case ACTION_NEVER_RAN:
        report_never_ran(loop, action->assignment);
        break;
    case ACTION_CANCEL:
        local->asked = DESIRED_KILL;
        prepare_cancel(loop->preparer, local->job, local->attempt);
        break;
    case ACTION_STOP:
        local->asked = DESIRED_STOP;
        log_attempt(LOG_INFO, "attempt_stopping", "asked to stop", local);
        tell_runner(local, RUNNER_STOP, action->assignment->grace_ms);
        break;
    case ACTION_KILL:
        local->asked = DESIRED_KILL;
        log_attempt(LOG_INFO, "attempt_killed", "not wanted any more", local);
        tell_runner(local, RUNNER_KILL, 0);
        break;
    case ACTION_CHECKPOINT:
        local->checkpoint_request = action->assignment->checkpoint_request;
        tell_runner(local, RUNNER_CHECKPOINT, 0);
        break;
    case ACTION_REMOVE:
        remove_local(loop, local);
        break;
    }
}

static void reconcile_now(struct loop *loop)
{
    struct action actions[ACTIONS_MAX];
    if (!loop->has_desired)
        return;
    const size_t count = reconcile(loop->desired.assignments, loop->desired.assignment_count,
                                   loop->locals, loop->local_count, actions, ACTIONS_MAX);
    /* Removing takes its time on the disk: what people wait for goes first. */
    for (size_t i = 0; i < count; i++) {
        if (actions[i].kind != ACTION_REMOVE)
            act(loop, &actions[i]);
    }
    publish(loop);
    for (size_t i = 0; i < count; i++) {
        if (actions[i].kind == ACTION_REMOVE)
            act(loop, &actions[i]);
    }
}

/* ---------------------------------------------------------------- what comes in */

/* An attempt whose intent could not be read: the controller knows which ranks were lost with it. */
static void name_lost_ranks(struct loop *loop, struct local *local,
                            const struct wire_assignment *wanted)
{
    struct error err = {0};
    if (local_take_ranks(local, wanted, &err) != STATUS_OK) {
        log_attempt(LOG_ERROR, "ranks_not_told", err.text, local);
        return;
    }
    local_end_rest(local, REASON_RUNNER_LOST, "its records on this node can't be read",
                   clock_boot_ms());
    loop->changed = true;
}

static void take_desired(struct loop *loop, struct wire_sync_answer *answer)
{
    wire_sync_answer_clear(&loop->desired);
    loop->desired = *answer;
    memset(answer, 0, sizeof(*answer));
    loop->has_desired = true;
    for (size_t i = 0; i < loop->local_count; i++) {
        struct local *local = loop->locals[i];
        const struct wire_assignment *wanted = assignment_find(
            loop->desired.assignments, loop->desired.assignment_count, local->job, local->attempt);
        const bool desired = wanted != NULL;
        if (desired && local->rank_count == 0)
            name_lost_ranks(loop, local, wanted);
        loop->changed = loop->changed || desired != local->desired;
        local->desired = desired;
    }
}

static void take_sync(struct loop *loop)
{
    struct sync_inbox inbox;
    sync_take(loop->sync, &inbox);
    loop->fenced = inbox.fenced;
    loop->stopping = loop->stopping || inbox.fenced;
    if (inbox.lease_boot_ms > loop->lease.lease_boot_ms) {
        loop->lease.lease_boot_ms = inbox.lease_boot_ms;
        loop->lease.kill_budget_ms = inbox.kill_budget_ms;
        for (size_t i = 0; i < loop->local_count; i++) {
            if (loop->locals[i]->state == LOCAL_RUNNING)
                tell_runner(loop->locals[i], RUNNER_LEASE, inbox.lease_boot_ms);
        }
    }
    if (inbox.has_desired)
        take_desired(loop, &inbox.answer);
    wire_sync_answer_clear(&inbox.answer);
}

static void take_delivered(struct loop *loop)
{
    struct spool_delivered name;
    while (spool_take(loop->spool, &name)) {
        struct local *local = find_local(loop, name.job, name.attempt);
        if (local)
            local->delivered = true;
    }
}

static void take_child_end(struct local *local)
{
    pidfd_reap(local->runner_pid_fd);
    fd_cleanup(&local->runner_pid_fd);
    local->runner_pid_fd = -1;
}

static void take_event(struct loop *loop, int fd)
{
    if (fd == sync_fd(loop->sync)) {
        take_sync(loop);
    } else if (fd == prepare_fd(loop->preparer)) {
        take_prepared(loop);
    } else if (fd == spool_fd(loop->spool)) {
        take_delivered(loop);
    } else if (fd == loop->signal_fd) {
        loop->stopping = true;
    } else {
        for (size_t i = 0; i < loop->local_count; i++) {
            struct local *local = loop->locals[i];
            if (local->link_fd == fd)
                hear_link(loop, local);
            else if (local->runner_pid_fd == fd)
                take_child_end(local);
        }
    }
}

static void on_moved(void *context)
{
    struct loop *loop = context;
    /* The spool starts before the sync does. */
    struct sync *sync = __atomic_load_n(&loop->sync, __ATOMIC_ACQUIRE);
    if (sync)
        sync_news(sync);
}

/* ---------------------------------------------------------------- life */

static enum status watch_signals(struct loop *loop, struct error *err)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)signal(SIGPIPE, SIG_IGN);
    /* Before any thread starts, so that all of them leave these to us. */
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    loop->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (loop->signal_fd < 0)
        return error_set_errno(err, STATUS_INTERNAL, errno, "make a signalfd");
    return watch(loop, loop->signal_fd, err);
}

static enum status adopt(struct loop *loop, struct error *err)
{
    TRY(adopt_attempts(loop->site, loop->locals, LOCALS_MAX, &loop->local_count, err));
    for (size_t i = 0; i < loop->local_count; i++) {
        struct local *local = loop->locals[i];
        struct error own = {0};
        log_attempt(LOG_INFO, "attempt_adopted",
                    local->state == LOCAL_RUNNING ? "its runner lives" : "it is over", local);
        if (local->link_fd >= 0)
            TRY(watch(loop, local->link_fd, err));
        /* Without event files it never started, so there is nothing to deliver. */
        if (local->rank_count == 0)
            continue;
        const enum status followed = spool_follow(loop->spool, local, &own);
        local->delivered = followed == STATUS_NOT_FOUND;
        if (followed != STATUS_OK && followed != STATUS_NOT_FOUND)
            log_attempt(LOG_ERROR, "attempt_unwatched", own.text, local);
        loop->worked = true;
    }
    loop->changed = true;
    publish(loop);
    return STATUS_OK;
}

static enum status open_loop(struct loop *loop, struct error *err)
{
    const struct site *site = loop->site;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        return error_set_errno(err, STATUS_INTERNAL, errno, "make an epoll");
    TRY(watch_signals(loop, err));
    TRY(board_new(&loop->board, err));
    TRY(prepare_start(site, &loop->preparer, err));
    TRY(spool_start(site, on_moved, loop, &loop->spool, err));
    TRY(adopt(loop, err));
    const struct sync_options options = {
        .controller = site->controller,
        .token = site->node_token,
        .boot_id = site->boot_id,
        .slots = site->slots,
        .slot_count = site->slot_count,
        .board = loop->board,
    };
    struct sync *sync = NULL;
    TRY(sync_start(&options, &sync, err));
    __atomic_store_n(&loop->sync, sync, __ATOMIC_RELEASE);
    TRY(watch(loop, sync_fd(loop->sync), err));
    TRY(watch(loop, prepare_fd(loop->preparer), err));
    return watch(loop, spool_fd(loop->spool), err);
}

static void close_loop(struct loop *loop)
{
    spool_stop(loop->spool);
    sync_stop(loop->sync);
    prepare_stop(loop->preparer);
    board_free(loop->board);
    for (size_t i = 0; i < loop->local_count; i++)
        local_free(loop->locals[i]);
    wire_sync_answer_clear(&loop->desired);
    fd_cleanup(&loop->signal_fd);
    fd_cleanup(&loop->epoll_fd);
    free(loop);
}

static void turn(struct loop *loop)
{
    struct epoll_event events[EVENTS_MAX];
    const int count = epoll_wait(loop->epoll_fd, events, EVENTS_MAX, -1);
    for (int i = 0; i < count; i++)
        take_event(loop, events[i].data.fd);
    publish(loop);
    reconcile_now(loop);
    publish(loop);
    if (loop->once && loop->worked && loop->local_count == 0)
        loop->stopping = true;
}

/* Another agent has the node's slots: what runs under this one would use them a second time. */
static enum status fence(struct loop *loop, struct error *err)
{
    for (size_t i = 0; i < loop->local_count; i++) {
        if (loop->locals[i]->state == LOCAL_RUNNING)
            tell_runner(loop->locals[i], RUNNER_KILL, 0);
    }
    return error_set(err, STATUS_CONFLICT, "a newer agent speaks for this node");
}

enum status loop_run(const struct site *site, bool once, struct error *err)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    if (!loop)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the loop");
    loop->site = site;
    loop->once = once;
    loop->epoll_fd = loop->signal_fd = -1;
    enum status status = open_loop(loop, err);
    while (status == STATUS_OK && !loop->stopping)
        turn(loop);
    if (status == STATUS_OK && loop->fenced)
        status = fence(loop, err);
    close_loop(loop);
    return status;
}
