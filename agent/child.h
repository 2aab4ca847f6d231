#ifndef AGENT_CHILD_H
#define AGENT_CHILD_H

/*
 * child.h - starting programs with posix_spawn: the agent has threads, so it never forks.
 *
 * A child gets a new session, default signals, /dev/null as input, and only the descriptors that it
 * is given.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct child_options {
    const char *const *argv; /* argv[0] is the path; ends with NULL */
    const char *const *envp; /* NULL: ours without REPRISE_ variables */
    const char *output_path; /* stdout and stderr are appended here; NULL: stderr stays ours */
    int output_fd;           /* instead of output_path for stdout when > 0 */
    int keep_fd;             /* becomes keep_as in the child when > 0 */
    int keep_as;
};

MUST_CHECK enum status child_spawn(const struct child_options *options, pid_t *out_pid,
                                   struct error *err);
/*
 * Waits for the end and sets the exit code, -1 when it ended by a signal. A child that takes longer,
 * or longer than *cancelled stays false (NULL: never), is killed: STATUS_UNAVAILABLE.
 */
MUST_CHECK enum status child_wait(pid_t pid, int64_t timeout_ms, const bool *cancelled,
                                  int *out_code, struct error *err);
/* Our environment without REPRISE_ variables: an array that ends with NULL, of borrowed strings. */
MUST_CHECK enum status child_environment(const char ***out, struct error *err);

#endif
