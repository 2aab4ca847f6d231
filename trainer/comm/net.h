#ifndef TRAINER_COMM_NET_H
#define TRAINER_COMM_NET_H

/*
 * net.h - TCP sockets between ranks: non-blocking, TCP_NODELAY, close-on-exec, with keepalive.
 *
 * Every wait ends by `deadline_mono_ms` (clock_mono_ms). `peer` names the other side in errors.
 * Errors: STATUS_UNAVAILABLE (closed, unreachable, deadline passed), STATUS_INVALID (no address).
 */

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define NET_ADDRESS_BYTES 64 /* numeric address and the NUL */

/* Port 0: any free one. A taken port: STATUS_UNAVAILABLE. */
MUST_CHECK enum status net_listen(const char *address, int port, int backlog, int *out_fd,
                                  struct error *err);
/* Tries again, first after 1 ms, while nobody listens there yet. */
MUST_CHECK enum status net_connect(const char *address, int port, int64_t deadline_mono_ms,
                                   int *out_fd, struct error *err);
/*
 * Waits for a connection. `watch_fd` becoming readable ends the wait: the gang is lost.
 */
MUST_CHECK enum status net_accept(int listener, int watch_fd, int64_t deadline_mono_ms, int *out_fd,
                                  struct error *err);
/* accept(2) without waiting; -1: nobody there. */
int net_accept_now(int listener);

MUST_CHECK enum status net_send_all(int fd, const void *bytes, size_t size,
                                    int64_t deadline_mono_ms, const char *peer, struct error *err);
MUST_CHECK enum status net_recv_all(int fd, void *bytes, size_t size, int64_t deadline_mono_ms,
                                    const char *peer, struct error *err);

int net_port(int fd); /* the local one */
/* The numeric local address of a connected socket: where its peer can reach this machine. */
MUST_CHECK enum status net_local_address(int fd, char out[NET_ADDRESS_BYTES], struct error *err);
/* Milliseconds until then for poll(2): 0 when past. */
int net_wait_ms(int64_t deadline_mono_ms);

#endif
