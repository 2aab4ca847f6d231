#include "agent/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/pidfd.h"

#define OUTPUT_MODE    0644
#define CANCEL_LOOK_MS 100
#define PRIVATE_PREFIX "REPRISE_"

enum status child_environment(const char ***out, struct error *err)
{
    size_t count = 0;
    while (environ[count])
        count++;
    const char **copy = calloc(count + 1, sizeof(*copy));
    if (!copy)
        return error_set(err, STATUS_NO_MEMORY, "no memory for an environment");
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (strncmp(environ[i], PRIVATE_PREFIX, strlen(PRIVATE_PREFIX)) != 0)
            copy[used++] = environ[i];
    }
    *out = copy;
    return STATUS_OK;
}

static int plan_descriptors(const struct child_options *options,
                            posix_spawn_file_actions_t *actions)
{
    int failed = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (options->output_path) {
        failed |= posix_spawn_file_actions_addopen(actions, STDOUT_FILENO, options->output_path,
                                                   O_WRONLY | O_APPEND | O_CREAT, OUTPUT_MODE);
        failed |= posix_spawn_file_actions_adddup2(actions, STDOUT_FILENO, STDERR_FILENO);
    }
    if (options->output_fd > 0)
        failed |= posix_spawn_file_actions_adddup2(actions, options->output_fd, STDOUT_FILENO);
    int first = STDERR_FILENO + 1;
    if (options->keep_fd > 0) {
        failed |= posix_spawn_file_actions_adddup2(actions, options->keep_fd, options->keep_as);
        first = options->keep_as + 1;
    }
    /* Everything else is close-on-exec by rule; this is the belt to that brace. */
    failed |= posix_spawn_file_actions_addclosefrom_np(actions, first);
    return failed;
}

static int plan_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none;
    sigset_t all;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    int failed = posix_spawnattr_setsigmask(attributes, &none);
    failed |= posix_spawnattr_setsigdefault(attributes, &all);
    failed |= posix_spawnattr_setflags(
        attributes, (short)(POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
    return failed;
}

enum status child_spawn(const struct child_options *options, pid_t *out_pid, struct error *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    const char **own = NULL;
    if (!options->envp)
        TRY(child_environment(&own, err));
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawnattr_init(&attributes);
    int failed = plan_descriptors(options, &actions) | plan_attributes(&attributes);
    pid_t pid = 0;
    if (!failed)
        failed = posix_spawn(&pid, options->argv[0], &actions, &attributes,
                             (char *const *)(uintptr_t)options->argv,
                             (char *const *)(uintptr_t)(own ? own : options->envp));
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    free(own);
    if (failed)
        return error_set_errno(err, STATUS_INTERNAL, failed, "start %s", options->argv[0]);
    *out_pid = pid;
    return STATUS_OK;
}

/* Waits until the pidfd is readable; false at the deadline or when cancelled. */
static bool await_end(int pid_fd, int64_t deadline_ms, const bool *cancelled)
{
    for (;;) {
        const int64_t left_ms = deadline_ms - clock_mono_ms();
        if (left_ms <= 0 || (cancelled && __atomic_load_n(cancelled, __ATOMIC_ACQUIRE)))
            return false;
        struct pollfd look = {.fd = pid_fd, .events = POLLIN};
        const int64_t wait_ms = cancelled && left_ms > CANCEL_LOOK_MS ? CANCEL_LOOK_MS : left_ms;
        if (poll(&look, 1, (int)wait_ms) > 0)
            return true;
    }
}

enum status child_wait(pid_t pid, int64_t timeout_ms, const bool *cancelled, int *out_code,
                       struct error *err)
{
    CLEANUP(fd_cleanup) const int pid_fd = pidfd_of(pid);
    const bool ended = pid_fd >= 0 && await_end(pid_fd, clock_mono_ms() + timeout_ms, cancelled);
    if (!ended)
        (void)kill(pid, SIGKILL);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (!ended)
        return error_set(err, STATUS_UNAVAILABLE, "process %d was cancelled or took over %lld ms",
                         (int)pid, (long long)timeout_ms);
    *out_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return STATUS_OK;
}
