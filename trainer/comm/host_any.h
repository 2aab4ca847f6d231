#ifndef TRAINER_COMM_HOST_ANY_H
#define TRAINER_COMM_HOST_ANY_H

/* host_any.h - private to host*.c: who of several ranks has sent something. */

#include "trainer/comm/host.h"

/* Which of these ranks has something for us; each gets its turn. */
MUST_CHECK enum status host_wait_any(struct host *host, int first, int count, int *out_rank,
                                     struct error *err);

#endif
