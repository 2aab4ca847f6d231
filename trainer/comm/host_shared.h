#ifndef TRAINER_COMM_HOST_SHARED_H
#define TRAINER_COMM_HOST_SHARED_H

/* host_shared.h - private to host*.c: exchange with a rank of this node. */

#include "trainer/comm/host.h"

/* Local rank 0 only, before the others are told to map: sizes and fills the fresh memfd. */
MUST_CHECK enum status shared_create(int fd, int local_world_size, struct error *err);
MUST_CHECK enum status shared_map(struct host *host, int fd, struct error *err);
void shared_link_peer(struct host *host, struct host_peer *peer);
MUST_CHECK enum status shared_exchange(struct host *host, struct host_peer *peer,
                                       const struct host_exchange *what, struct error *err);
/* Does a message of send() from this peer on the node begin next? */
bool shared_has_send(const struct host *host, const struct host_peer *peer);
/*
 * Until one of the peers `first` .. `first + count - 1` on this node has sent, there is trouble, or the
 * time (monotonic) has come: that is no failure.
 */
MUST_CHECK enum status shared_wait_any(struct host *host, int first, int count, int64_t until_ms,
                                       struct error *err);
void shared_announce(struct host *host, bool failed); /* this rank leaves */
bool shared_has_left(const struct host *host, int local_rank);
void shared_unmap(struct host *host);

#endif
