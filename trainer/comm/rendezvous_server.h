#ifndef TRAINER_COMM_RENDEZVOUS_SERVER_H
#define TRAINER_COMM_RENDEZVOUS_SERVER_H

/* rendezvous_server.h - private to rendezvous*.c: the thread that serves the store on rank 0. */

#include "trainer/comm/rendezvous.h"

struct rendezvous_server;

/* Listens before it returns, so that the caller may connect. */
MUST_CHECK enum status rendezvous_server_start(const struct rendezvous_place *place,
                                               struct rendezvous_server **out, struct error *err);
/* Sends what is still to be sent, ends the thread. Accepts NULL. */
void rendezvous_server_stop(struct rendezvous_server *server);
void rendezvous_server_cleanup(struct rendezvous_server **server);

#endif
