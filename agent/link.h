#ifndef AGENT_LINK_H
#define AGENT_LINK_H

/*
 * link.h - the agent's end of runner.sock (agent/runner/runner_protocol.h).
 *
 * A Unix socket's address has room for 108 bytes only, so folders are entered through /proc/self/fd.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/runner/runner_protocol.h"
#include "base/error.h"

/* Makes <folder>/runner.sock, replacing an old one, and listens. The fd is for the runner. */
MUST_CHECK enum status link_listen(const char *folder, int *out_fd, struct error *err);
/* STATUS_NOT_FOUND when nobody listens: the runner is dead. Non-blocking, close-on-exec. */
MUST_CHECK enum status link_connect(const char *folder, int *out_fd, struct error *err);
/* Never waits. STATUS_UNAVAILABLE when the runner is gone. */
MUST_CHECK enum status link_send(int fd, enum runner_command_kind kind, int64_t value_ms,
                                 struct error *err);

enum link_outcome { LINK_NEWS, LINK_NOTHING, LINK_CLOSED };

/* Takes one message; a page's descriptor goes to *out_page_fd (else -1) and is the caller's. */
enum link_outcome link_receive(int fd, struct runner_news *out, int *out_page_fd);

#endif
