#ifndef TESTS_INTEGRATION_PROCESS_H
#define TESTS_INTEGRATION_PROCESS_H

/*
 * process.h - the processes of an integration test: start, signal, wait for, find, and be sure that
 * none is left.
 *
 * The test process makes itself a child subreaper, so whatever its programs leave behind (a runner
 * outlives its agent by design) becomes its child: a thread reaps it, as init would on a node, and
 * process_kill_all() finds it. That runs at exit, and when SIGTERM, SIGINT or SIGHUP ends the test;
 * what was started directly also dies when the test dies otherwise.
 *
 * Threads: any, but start processes from a thread that lives as long as they do.
 * Errors:  the harness's own failures end the test through cmocka's fail_msg().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

#define PROCESS_LIVE_MAX 256

struct process_options {
    const char *const *argv; /* ends with NULL; argv[0] is the program's path */
    const char *const *env;  /* "NAME=value" put over the test's environment; NULL: none */
    const char *stdin_path;  /* NULL: /dev/null */
    const char *stdout_path; /* appended to; NULL: /dev/null */
    const char *stderr_path; /* NULL: the same as stdout_path */
};

/* Call first; later calls do nothing. cluster_start() does it. */
void process_setup(void);

pid_t process_start(const struct process_options *options);
/*
 * Waits until a started process has ended. False at the deadline. *out_status is as of waitpid(2);
 * may be NULL. The pid is forgotten afterwards.
 */
bool process_wait(pid_t pid, int64_t timeout_ms, int *out_status);
bool process_is_alive(pid_t pid); /* zombies are dead */

struct process_result {
    int exit_code; /* 128 + signal when a signal ended it; -1: killed at the deadline */
    struct buf out, err;
};

/* Runs to the end with `input` (may be NULL) as standard input, and collects what it wrote. */
void process_run(const char *const *argv, const char *const *env, const char *input,
                 int64_t timeout_ms, struct process_result *result);
void process_result_clear(struct process_result *result);

/* "reprise-runner" of /proc/PID/comm; false if there is none. */
bool process_name(pid_t pid, char out[32]);
/* Whether the process's command line or environment contains `text`. */
bool process_mentions(pid_t pid, const char *text);
/* Live descendants of `ancestor` (0: of this test), at most `max`; returns their number. */
size_t process_descendants(pid_t ancestor, pid_t *out, size_t max);

/* SIGKILL to every descendant until there is none. */
void process_kill_all(void);

/*
 * Before a failure is reported that the end of a program would explain: when the test itself is being ended by a signal,
 * such as a time limit's, this does not return.
 */
void process_hold_if_ending(void);

/* Deadlines grow under sanitizers: SANITIZED=1 in the environment. */
int64_t process_patience(int64_t timeout_ms);

#endif
