#ifndef TRAINER_COMM_HANDSHAKE_H
#define TRAINER_COMM_HANDSHAKE_H

/*
 * handshake.h - both ends of a fresh connection prove that they know the attempt's secret.
 *
 *     acceptor                                    connector
 *        | --- HELLO   nonce_a ----------------------> |
 *        | <-- AUTH    rank, world, nonce_c, mac ----- |   mac over ("connector", use, ranks, nonces)
 *        | --- WELCOME rank, mac --------------------> |   mac over ("acceptor", use, ranks, nonces)
 *
 * The MAC is HMAC-SHA256 keyed with the secret, which never travels. The two directions and the two
 * uses of a connection (rendezvous, link) give different MACs, so none can be replayed as another.
 * An acceptor reveals nothing but a random nonce to those who do not know the secret.
 *
 * The messages are fixed-size structs in the machine's byte order: ranks exchange raw floats, so all
 * of them share it; another order shows as a wrong magic.
 *
 * Errors: STATUS_CORRUPT (another protocol or version), STATUS_DENIED (another secret),
 * STATUS_CONFLICT (another world size, a rank out of range).
 */

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define HANDSHAKE_NONCE_BYTES 32
#define HANDSHAKE_MAC_BYTES   32

enum handshake_use { HANDSHAKE_RENDEZVOUS = 1, HANDSHAKE_LINK = 2 };

struct handshake_hello {
    uint32_t magic;
    uint16_t version;
    uint16_t use; /* enum handshake_use */
    uint8_t nonce[HANDSHAKE_NONCE_BYTES];
};

struct handshake_auth {
    uint32_t magic;
    uint32_t rank;
    uint32_t world_size;
    uint8_t nonce[HANDSHAKE_NONCE_BYTES];
    uint8_t mac[HANDSHAKE_MAC_BYTES];
};

struct handshake_welcome {
    uint32_t magic;
    uint32_t rank;
    uint8_t mac[HANDSHAKE_MAC_BYTES];
};

/* One side's view; the secret is borrowed. */
struct handshake {
    enum handshake_use use;
    const uint8_t *secret;
    size_t secret_bytes;
    uint32_t rank; /* of this side */
    uint32_t world_size;
};

/* The three messages, without any input or output. */
void handshake_make_hello(const struct handshake *self, struct handshake_hello *out);
MUST_CHECK enum status handshake_answer_hello(const struct handshake *self,
                                              const struct handshake_hello *hello,
                                              struct handshake_auth *out, struct error *err);
MUST_CHECK enum status handshake_answer_auth(const struct handshake *self,
                                             const struct handshake_hello *hello,
                                             const struct handshake_auth *auth,
                                             struct handshake_welcome *out, struct error *err);
MUST_CHECK enum status handshake_check_welcome(const struct handshake *self,
                                               const struct handshake_hello *hello,
                                               const struct handshake_auth *auth,
                                               const struct handshake_welcome *welcome,
                                               struct error *err);

/* The whole exchange over a socket; *out_rank is the other side's. `peer` names it in errors. */
MUST_CHECK enum status handshake_connect(const struct handshake *self, int fd,
                                         int64_t deadline_mono_ms, const char *peer,
                                         uint32_t *out_rank, struct error *err);
MUST_CHECK enum status handshake_accept(const struct handshake *self, int fd,
                                        int64_t deadline_mono_ms, const char *peer,
                                        uint32_t *out_rank, struct error *err);

#endif
