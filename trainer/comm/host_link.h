#ifndef TRAINER_COMM_HOST_LINK_H
#define TRAINER_COMM_HOST_LINK_H

/* host_link.h - private to host*.c: messages with any rank, and failing. */

#include "trainer/comm/host.h"

/* Says `trouble` (the first one stays) and passes it on to everyone. Any thread. */
void host_break(struct host *host, enum host_trouble trouble);
/* A thread that breaks the communicator when a peer on this node dies. */
MUST_CHECK enum status host_start_watcher(struct host *host, struct error *err);
void host_stop_watcher(struct host *host); /* if it runs */

MUST_CHECK enum status host_exchange(struct host *host, int rank, const struct host_exchange *what,
                                     struct error *err);
MUST_CHECK enum status host_send_to(struct host *host, int rank, const void *data, size_t bytes,
                                    struct error *err);
/* `add`: floats that are added to those in `data`. */
MUST_CHECK enum status host_recv_from(struct host *host, int rank, void *data, size_t bytes,
                                      bool add, struct error *err);
/* A message each way around: nobody returns before all have come; all must bring the same numbers. */
MUST_CHECK enum status host_meet(struct host *host, uint64_t first, uint64_t second,
                                 struct error *err);

#endif
