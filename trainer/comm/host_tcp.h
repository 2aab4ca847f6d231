#ifndef TRAINER_COMM_HOST_TCP_H
#define TRAINER_COMM_HOST_TCP_H

/* host_tcp.h - private to host*.c: exchange with a rank of another node. */

#include "trainer/comm/host.h"

MUST_CHECK enum status tcp_exchange(struct host *host, struct host_peer *peer,
                                    const struct host_exchange *what, struct error *err);

#endif
