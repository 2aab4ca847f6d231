#include "tests/integration/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fs.h"

#define PROCESS_OUTPUT_BYTES_MAX (8 * MIB)
#define PROCESS_ENV_MAX          512
#define PROCESS_SCAN_MAX         32768
#define PATIENCE_SANITIZED       6
#define ENDING_NOTICE_MS         100
#define QUIET_LOOKS              3

static atomic_bool is_ending; /* a signal ends the test */

struct child {
    pid_t pid; /* 0: free */
    bool ended;
    int status;
};

/* What the reaper thread shares with everybody else, under `lock`. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct child children[PROCESS_LIVE_MAX];
    bool set_up;
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct child *find_child(pid_t pid)
{
    for (size_t i = 0; i < PROCESS_LIVE_MAX; i++)
        if (shared.children[i].pid == pid)
            return &shared.children[i];
    return NULL;
}

static bool has_live_child(void)
{
    for (size_t i = 0; i < PROCESS_LIVE_MAX; i++)
        if (shared.children[i].pid > 0 && !shared.children[i].ended)
            return true;
    return false;
}

/* Reaps started programs and adopted orphans alike; only the former have an entry. */
static void *reap(void *unused)
{
    (void)unused;
    for (;;) {
        siginfo_t info = {0};
        const int rc = waitid(P_ALL, 0, &info, WEXITED | WNOWAIT);
        const bool childless = rc != 0 && errno == ECHILD;
        pthread_mutex_lock(&shared.lock);
        if (rc == 0) {
            int status = 0;
            const pid_t pid = waitpid(info.si_pid, &status, WNOHANG);
            struct child *child = pid > 0 ? find_child(pid) : NULL;
            if (child) {
                child->ended = true;
                child->status = status;
                pthread_cond_broadcast(&shared.changed);
            }
        } else if (childless && !has_live_child()) { /* one may have started since waitid() */
            pthread_cond_wait(&shared.changed, &shared.lock);
        }
        pthread_mutex_unlock(&shared.lock);
    }
    return NULL;
}

static void ending_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
}

/*
 * Says so first: to the test's own thread it looks as if the service had died, and a test that was
 * only too slow must not be read that way.
 */
static void *end_on_signal(void *unused)
{
    (void)unused;
    sigset_t set;
    int number = 0;
    ending_signals(&set);
    if (sigwait(&set, &number) == 0) {
        atomic_store(&is_ending, true);
        dprintf(STDERR_FILENO, "ended from outside by signal %d (%s): killing what was started\n",
                number, strsignal(number));
        process_kill_all();
        _exit(128 + number);
    }
    return NULL;
}

void process_hold_if_ending(void)
{
    clock_sleep_ms(ENDING_NOTICE_MS); /* the signal may have reached a program before our thread */
    while (atomic_load(&is_ending))
        clock_sleep_ms(ENDING_NOTICE_MS); /* until the process ends */
}

static void start_thread(void *(*body)(void *))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, body, NULL) != 0)
        fail_msg("cannot start a thread of the harness");
    pthread_detach(thread);
}

void process_setup(void)
{
    if (shared.set_up)
        return;
    shared.set_up = true;
    sigset_t set;
    ending_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        fail_msg("cannot become a subreaper: %s", strerror(errno));
    atexit(process_kill_all);
    start_thread(reap);
    start_thread(end_on_signal);
}

int64_t process_patience(int64_t timeout_ms)
{
    const char *sanitized = getenv("SANITIZED");
    return sanitized && *sanitized == '1' ? timeout_ms * PATIENCE_SANITIZED : timeout_ms;
}

/* ---------------------------------------------------------------- start */

static bool env_names_equal(const char *a, const char *b)
{
    const size_t length = strcspn(a, "=");
    return strncmp(a, b, length + 1) == 0;
}

/* The test's environment with `over` put over it; `out` has PROCESS_ENV_MAX entries. */
static void merge_env(const char *const *over, const char **out)
{
    size_t count = 0;
    for (size_t i = 0; over && over[i]; i++)
        out[count++] = over[i];
    const size_t over_count = count;
    for (char **entry = environ; *entry && count < PROCESS_ENV_MAX - 1; entry++) {
        bool replaced = false;
        for (size_t i = 0; i < over_count; i++)
            replaced = replaced || env_names_equal(out[i], *entry);
        if (!replaced)
            out[count++] = *entry;
    }
    out[count] = NULL;
}

/* In the child, between fork and exec: only async-signal-safe calls. */
static void redirect(int target, const char *path, int flags)
{
    const int fd = open(path ? path : "/dev/null", flags, 0600);
    if (fd < 0 || dup2(fd, target) < 0)
        _exit(126);
    close(fd);
}

static void become(const struct process_options *options, const char **env)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int write_flags = O_WRONLY | O_CREAT | O_APPEND;
    redirect(STDIN_FILENO, options->stdin_path, O_RDONLY);
    redirect(STDOUT_FILENO, options->stdout_path, write_flags);
    redirect(STDERR_FILENO, options->stderr_path ? options->stderr_path : options->stdout_path,
             write_flags);
    execve(options->argv[0], (char *const *)(uintptr_t)options->argv,
           (char *const *)(uintptr_t)env);
    _exit(127);
}

pid_t process_start(const struct process_options *options)
{
    process_setup();
    const char *env[PROCESS_ENV_MAX];
    merge_env(options->env, env);
    fflush(NULL);

    pthread_mutex_lock(&shared.lock);
    struct child *child = find_child(0);
    const pid_t pid = child ? fork() : -1;
    if (pid == 0)
        become(options, env);
    if (pid > 0)
        *child = (struct child){.pid = pid};
    pthread_cond_broadcast(&shared.changed);
    pthread_mutex_unlock(&shared.lock);
    if (pid < 0)
        fail_msg("cannot start %s: %s", options->argv[0], child ? strerror(errno) : "too many");
    return pid;
}

bool process_wait(pid_t pid, int64_t timeout_ms, int *out_status)
{
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += timeout_ms / 1000;
    deadline.tv_nsec += timeout_ms % 1000 * 1000000;
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&shared.lock);
    struct child *child = find_child(pid);
    int rc = 0;
    while (child && !child->ended && rc == 0)
        rc = pthread_cond_clockwait(&shared.changed, &shared.lock, CLOCK_MONOTONIC, &deadline);
    const bool ended = !child || child->ended;
    if (child && ended) {
        if (out_status)
            *out_status = child->status;
        child->pid = 0;
    }
    pthread_mutex_unlock(&shared.lock);
    return ended;
}

/* ---------------------------------------------------------------- run to the end */

static void temporary_file(char path[64], const char *content)
{
    snprintf(path, 64, "/tmp/reprise-test-XXXXXX");
    CLEANUP(fd_cleanup) const int fd = mkostemp(path, O_CLOEXEC);
    struct error err = {0};
    if (fd < 0 || (content && fs_write_all(fd, content, strlen(content), &err) != STATUS_OK))
        fail_msg("cannot write %s: %s", path, err.text);
}

static void collect(const char *path, struct buf *out)
{
    struct error err = {0};
    buf_init(out, PROCESS_OUTPUT_BYTES_MAX);
    if (fs_read_file(path, out, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    unlink(path);
}

void process_run(const char *const *argv, const char *const *env, const char *input,
                 int64_t timeout_ms, struct process_result *result)
{
    char in_path[64], out_path[64], err_path[64];
    temporary_file(in_path, input);
    temporary_file(out_path, NULL);
    temporary_file(err_path, NULL);
    const pid_t pid = process_start(&(struct process_options){.argv = argv,
                                                              .env = env,
                                                              .stdin_path = in_path,
                                                              .stdout_path = out_path,
                                                              .stderr_path = err_path});
    int status = 0;
    result->exit_code = -1;
    if (process_wait(pid, process_patience(timeout_ms), &status)) {
        result->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    } else {
        kill(pid, SIGKILL);
        process_wait(pid, process_patience(timeout_ms), NULL);
    }
    unlink(in_path);
    collect(out_path, &result->out);
    collect(err_path, &result->err);
}

void process_result_clear(struct process_result *result)
{
    buf_clear(&result->out);
    buf_clear(&result->err);
}

/* ---------------------------------------------------------------- /proc */

/* Reads /proc/PID/<file> into `out`, NUL-terminated; 0 if it is gone. */
static size_t read_proc(pid_t pid, const char *file, char *out, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    CLEANUP(fd_cleanup) const int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    while (fd >= 0 && used < size - 1) {
        const ssize_t got = read(fd, out + used, size - 1 - used);
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    out[used] = 0;
    return used;
}

/* State letter and parent from /proc/PID/stat; the name in parentheses may hold anything. */
static bool read_stat(pid_t pid, char *out_state, pid_t *out_parent)
{
    char text[512];
    if (!read_proc(pid, "stat", text, sizeof text))
        return false;
    const char *after = strrchr(text, ')');
    int parent = 0;
    if (!after || sscanf(after, ") %c %d", out_state, &parent) != 2)
        return false;
    *out_parent = parent;
    return true;
}

bool process_is_alive(pid_t pid)
{
    char state = 0;
    pid_t parent = 0;
    return read_stat(pid, &state, &parent) && state != 'Z' && state != 'X';
}

bool process_name(pid_t pid, char out[32])
{
    if (!read_proc(pid, "comm", out, 32))
        return false;
    out[strcspn(out, "\n")] = 0;
    return true;
}

bool process_mentions(pid_t pid, const char *text)
{
    static const char *const files[] = {"cmdline", "environ"};
    const size_t size = 256 * KIB;
    CLEANUP(free_cleanup) char *content = malloc(size);
    for (size_t i = 0; content && i < COUNT_OF(files); i++) {
        const size_t used = read_proc(pid, files[i], content, size);
        if (memmem(content, used, text, strlen(text)))
            return true;
    }
    return false;
}

struct scan_row {
    pid_t pid, parent;
    bool inside;
};

static size_t scan_processes(struct scan_row *rows)
{
    size_t count = 0;
    DIR *folder = opendir("/proc");
    const struct dirent *entry;
    while (folder && count < PROCESS_SCAN_MAX && (entry = readdir(folder))) {
        const pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        char state = 0;
        if (pid > 0 && read_stat(pid, &state, &rows[count].parent) && state != 'Z') {
            rows[count].pid = pid;
            rows[count++].inside = false;
        }
    }
    if (folder)
        closedir(folder);
    return count;
}

size_t process_descendants(pid_t ancestor, pid_t *out, size_t max)
{
    if (ancestor == 0)
        ancestor = getpid();
    CLEANUP(free_cleanup) struct scan_row *rows = calloc(PROCESS_SCAN_MAX, sizeof *rows);
    const size_t count = rows ? scan_processes(rows) : 0;
    size_t found = 0;
    for (bool grew = true; grew;) { /* closure over parents, in any order of pids */
        grew = false;
        for (size_t i = 0; i < count && found < max; i++) {
            bool inside = rows[i].parent == ancestor;
            for (size_t j = 0; !rows[i].inside && !inside && j < found; j++)
                inside = out[j] == rows[i].parent;
            if (!inside || rows[i].inside)
                continue;
            rows[i].inside = true;
            out[found++] = rows[i].pid;
            grew = true;
        }
    }
    return found;
}

void process_kill_all(void)
{
    pid_t pids[PROCESS_LIVE_MAX];
    /* A look at all processes is not one moment: what changed parents meanwhile is seen by the next. */
    for (int quiet = 0; quiet < QUIET_LOOKS;) {
        const size_t count = process_descendants(0, pids, COUNT_OF(pids));
        quiet = count == 0 ? quiet + 1 : 0;
        for (size_t i = 0; i < count; i++)
            kill(pids[i], SIGKILL);
        clock_sleep_ms(1); /* the kernel ends them; there is nothing to be told by */
    }
}
