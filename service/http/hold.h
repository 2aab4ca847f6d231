#ifndef SERVICE_HTTP_HOLD_H
#define SERVICE_HTTP_HOLD_H

/*
 * hold.h - requests that wait: for somebody to wake them, for a deadline, or for their client to
 * leave. libmicrohttpd does not look at a suspended connection, so a thread of ours watches its
 * socket for the peer's closing; one heap holds all deadlines.
 *
 *     handler ── http_hold() ─ ─ (woken | deadline | gone | stopped) ──▶ next(), http_hold_end_of()
 *
 * A hold ends once: whoever comes first wins, and later wake-ups of its number do nothing.
 *
 * Threads: http_hold() on the thread of the request; the rest on any.
 */

#include <stdint.h>

#include "base/error.h"
#include "service/http/request.h"

#define HTTP_HOLDS_MAX 65536

struct http_holds;

enum http_hold_end { HTTP_HOLD_WOKEN, HTTP_HOLD_DEADLINE, HTTP_HOLD_GONE, HTTP_HOLD_STOPPED };

MUST_CHECK enum status http_holds_new(struct http_holds **out, struct error *err);
/* Ends every hold; later ones end at once. */
void http_holds_stop(struct http_holds *holds);
void http_holds_free(struct http_holds *holds); /* after stop, and after the servers closed */

/*
 * Suspends the request until the hold ends, then runs `next`. Returns the hold's number, never 0;
 * 0: too many holds, nothing was suspended.
 */
uint64_t http_hold(struct http_holds *holds, struct http_request *request, int64_t deadline_mono_ms,
                   http_handler_fn *next);
/* True if it was this call that ended it. */
bool http_hold_wake(struct http_holds *holds, uint64_t number);
/* Inside `next`: why the hold ended. */
enum http_hold_end http_hold_end_of(const struct http_request *request);

#endif
