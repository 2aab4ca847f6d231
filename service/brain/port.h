#ifndef SERVICE_BRAIN_PORT_H
#define SERVICE_BRAIN_PORT_H

/*
 * port.h - private to the brain: rendezvous ports. Reserved as (address, port), so that agents that
 * share an address never clash; next-fit, so that a port that failed is not tried again at once; held
 * until every rank of the attempt is known to have ended.
 */

#include "service/brain/state.h"

/* A free port of the node's range, or 0 when all are held. Reserves nothing. */
int64_t port_find(struct brain *brain, const struct node *node);
/* Reserves the attempt's own port at its own address. */
void port_take(struct brain *brain, struct attempt *attempt);
void port_release(struct brain *brain, struct attempt *attempt); /* no effect when it holds none */
void port_load(struct brain *brain, struct attempt *attempt);
void port_clear(struct brain *brain); /* frees the tables */

#endif
