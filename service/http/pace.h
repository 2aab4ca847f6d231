#ifndef SERVICE_HTTP_PACE_H
#define SERVICE_HTTP_PACE_H

/*
 * pace.h - against senders that drip: a request's head, and then its body, must each be here within a
 * limit, however often a byte of them comes. libmicrohttpd only knows how long nothing came at all. A thread
 * looks at all connections a few times within each limit and shuts down those that are over it; the
 * library then sees a client that left.
 *
 * Who has closed its side sends no more: that too the library overlooks when the end comes together with the
 * last bytes. Such a connection is shut down at the second look that sees nothing new.
 *
 * Between requests a connection may rest: its time begins with bytes. A body may take a second more for each
 * PACE_BYTES_PER_S that have come.
 *
 * Threads: pace_expect() on the thread of the connection; the rest on any.
 */

#include <stdint.h>

#include "base/error.h"

#define PACE_BYTES_PER_S (64 * KIB)

enum pace_part { PACE_HEAD, PACE_BODY, PACE_NOTHING };

struct pace;
struct pace_peer; /* one connection */

MUST_CHECK enum status pace_new(int64_t limit_ms, struct pace **out, struct error *err);
void pace_free(struct pace *pace); /* accepts NULL; after the last connection has left */

/* A connection that expects a head. NULL: out of memory, nobody looks at it. */
struct pace_peer *pace_enter(struct pace *pace, int fd);
void pace_leave(struct pace *pace,
                struct pace_peer *peer); /* before its socket is closed; accepts NULL */
void pace_expect(struct pace_peer *peer, enum pace_part part); /* accepts NULL */

#endif
