#ifndef TESTS_UNIT_HTTP_PEER_H
#define TESTS_UNIT_HTTP_PEER_H

/*
 * http_peer.h - a server of one thread on a free port of loopback that does to its client whatever a
 * test wants done: each accepted connection is handed to the test's own function.
 */

#include <stddef.h>

#include "base/buf.h"

struct http_peer;

/* Speaks on one connection; it is closed when this returns. */
typedef void http_peer_fn(int fd, void *context);

struct http_peer *http_peer_start(http_peer_fn *speak, void *context);
void http_peer_stop(struct http_peer *peer); /* waits for the thread */
const char *http_peer_url(const struct http_peer *peer);
/* Connections accepted so far. */
int http_peer_connections(struct http_peer *peer);

/* Reads one request, its body included, into `out`. False at the end of the connection. */
bool http_peer_read(int fd, struct buf *out);
void http_peer_write(int fd, const char *text);

#endif
