#ifndef TRAINER_COMM_HOST_COLLECTIVES_H
#define TRAINER_COMM_HOST_COLLECTIVES_H

/* host_collectives.h - private to host*.c: the table, whose host_ops.close also undoes a half-made one. */

#include "trainer/comm/comm.h"

extern const struct comm_ops host_ops;

#endif
