#ifndef TRAINER_COMM_RENDEZVOUS_STORE_H
#define TRAINER_COMM_RENDEZVOUS_STORE_H

/*
 * rendezvous_store.h - the store behind rendezvous.h: what it holds and what it answers, without
 * sockets. rendezvous_server.c moves the bytes.
 *
 * A visitor is one connection. Its bytes go in through store_visitor_input(), in any pieces; what is
 * to be sent back gathers in its `output`.
 *
 *     STRANGER --AUTH--> MEMBER --close--> (gone: the store fails, if it was needed)
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "trainer/comm/handshake.h"
#include "trainer/comm/rendezvous_wire.h"

#define STORE_ROWS_MAX      4  /* keys that some ranks have reached and others not */
#define STORE_STRANGERS_MAX 32 /* connections that have not proven anything yet */

struct store_visitor {
    bool open;
    bool member;
    uint32_t rank; /* of a member */
    int64_t since_mono_ms;
    struct handshake_hello hello;
    struct buf input; /* one message at most */
    struct buf output;
};

struct store_row {
    char key[RENDEZVOUS_KEY_BYTES_MAX + 1]; /* "": free */
    uint32_t bytes;                         /* of each value */
    int arrived;
    bool *present;   /* (world_size) */
    uint8_t *values; /* (world_size, RENDEZVOUS_VALUE_MAX) */
};

struct store {
    struct handshake handshake;
    size_t visitor_count;
    struct store_visitor *visitors; /* (world_size + STORE_STRANGERS_MAX) */
    bool *here;                     /* (world_size): this rank is a member now */
    int lost_rank;                  /* first member that left, -1: none */
    struct store_row rows[STORE_ROWS_MAX];
};

MUST_CHECK enum status store_init(struct store *store, const struct rendezvous_place *place,
                                  struct error *err);
void store_clear(struct store *store);
/* A new connection: NULL when there are STORE_STRANGERS_MAX. Its HELLO is in `output`. */
struct store_visitor *store_visitor_enter(struct store *store, int64_t now_mono_ms);
/* Who should make room then: those who mean it prove themselves soon. */
struct store_visitor *store_oldest_stranger(struct store *store);
/* A failure means: close this connection and tell store_visitor_leave(). */
MUST_CHECK enum status store_visitor_input(struct store *store, struct store_visitor *visitor,
                                           const uint8_t *bytes, size_t size, struct error *err);
void store_visitor_leave(struct store *store, struct store_visitor *visitor);

#endif
