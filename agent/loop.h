#ifndef AGENT_LOOP_H
#define AGENT_LOOP_H

/*
 * loop.h - the main thread: owns every local attempt and makes the machine match what is desired.
 *
 * It sleeps in epoll on five kinds of descriptors: what came down (sync), what has been prepared,
 * what has been delivered, the runners' sockets and pidfds, signals. After each of them it publishes
 * the board, tells the controller if something happened, and reconciles. Nothing is polled.
 */

#include <stdbool.h>

#include "agent/site.h"
#include "base/error.h"

/*
 * Runs until SIGTERM or SIGINT (STATUS_OK; runners and trainers live on), or, with `once`, until the
 * first attempt here is over and delivered. STATUS_CONFLICT: a newer agent speaks for this node, and
 * what ran under this one was killed.
 */
MUST_CHECK enum status loop_run(const struct site *site, bool once, struct error *err);

#endif
