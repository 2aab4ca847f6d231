#ifndef TRAINER_COMM_RENDEZVOUS_H
#define TRAINER_COMM_RENDEZVOUS_H

/*
 * rendezvous.h - where the ranks of a gang meet: a small key/value store that rank 0 serves at
 * MASTER_ADDR:MASTER_PORT while communicators open.
 *
 * One operation: under a key every rank leaves a value and gets the values of all ranks, once all
 * have come. With no value it is the gang's barrier. A rank that leaves before ends the wait of all
 * others at once.
 *
 * Ranks come in any order: they try to connect until rank 0 listens. Only who knows the attempt's
 * secret gets in (handshake.h); strangers may connect, are few at a time, and are dropped in time.
 *
 * Threads: a struct rendezvous belongs to one thread. Rank 0 also runs the store's own thread, which
 *          shares nothing with it: rank 0 is a client of its own store.
 * Errors:  STATUS_UNAVAILABLE (port taken, a rank left, deadline passed), STATUS_DENIED (other
 *          secret), STATUS_CORRUPT (other protocol, values of different sizes).
 */

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define RENDEZVOUS_WORLD_MAX     1024
#define RENDEZVOUS_KEY_BYTES_MAX 31
#define RENDEZVOUS_VALUE_MAX     256 /* bytes of one rank's value */

struct rendezvous;

struct rendezvous_place {
    int rank;
    int world_size;
    const char *address; /* rank 0's store */
    int port;
    const uint8_t *secret; /* borrowed until the rendezvous is closed */
    size_t secret_bytes;
    int64_t timeout_ms; /* for everything up to rendezvous_close() */
};

MUST_CHECK enum status rendezvous_open(const struct rendezvous_place *place,
                                       struct rendezvous **out, struct error *err);
/* On rank 0: after what the other ranks are still to be told has been sent. Accepts NULL. */
void rendezvous_close(struct rendezvous *rendezvous);
void rendezvous_cleanup(struct rendezvous **rendezvous);

/* out (world_size, bytes): every rank's value in rank order. Same key and bytes on every rank. */
MUST_CHECK enum status rendezvous_gather(struct rendezvous *rendezvous, const char *key,
                                         const void *value, size_t bytes, void *out,
                                         struct error *err);
MUST_CHECK enum status rendezvous_barrier(struct rendezvous *rendezvous, const char *key,
                                          struct error *err);

/* The connection to the store: nothing comes unasked, so it is readable only when the gang is lost. */
int rendezvous_fd(const struct rendezvous *rendezvous);

#endif
