#include "trainer/comm/handshake.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/id.h"
#include "trainer/comm/net.h"

#define HELLO_MAGIC   UINT32_C(0x48525052) /* "RPRH" */
#define AUTH_MAGIC    UINT32_C(0x41525052) /* "RPRA" */
#define WELCOME_MAGIC UINT32_C(0x57525052) /* "RPRW" */

enum { HANDSHAKE_VERSION = 1 };

static_assert(sizeof(struct handshake_hello) == 40, "the struct is the message: no padding");
static_assert(sizeof(struct handshake_auth) == 76, "the struct is the message: no padding");
static_assert(sizeof(struct handshake_welcome) == 40, "the struct is the message: no padding");

enum side { SIDE_ACCEPTOR = 1, SIDE_CONNECTOR = 2 };

/* What a MAC vouches for. */
struct transcript {
    uint32_t side; /* whose MAC: enum side */
    uint32_t use;
    uint32_t acceptor_rank;
    uint32_t connector_rank;
    uint32_t world_size;
    uint32_t version;
    uint8_t acceptor_nonce[HANDSHAKE_NONCE_BYTES];
    uint8_t connector_nonce[HANDSHAKE_NONCE_BYTES];
};

static_assert(sizeof(struct transcript) == 88, "padding would be hashed");

static void mac_of(const struct handshake *self, const struct transcript *transcript,
                   uint8_t out[HANDSHAKE_MAC_BYTES])
{
    unsigned int bytes = 0;
    assert(self->secret_bytes > 0 && self->secret_bytes <= INT32_MAX);
    const unsigned char *mac =
        HMAC(EVP_sha256(), self->secret, (int)self->secret_bytes, (const unsigned char *)transcript,
             sizeof(*transcript), out, &bytes);
    if (mac == NULL || bytes != HANDSHAKE_MAC_BYTES)
        abort(); /* libcrypto without HMAC-SHA256: nothing is safe then */
}

static struct transcript transcript_of(enum side side, const struct handshake *self,
                                       const struct handshake_hello *hello,
                                       const struct handshake_auth *auth, uint32_t acceptor_rank)
{
    struct transcript transcript = {.side = side,
                                    .use = self->use,
                                    .acceptor_rank = acceptor_rank,
                                    .connector_rank = auth->rank,
                                    .world_size = auth->world_size,
                                    .version = HANDSHAKE_VERSION};
    memcpy(transcript.acceptor_nonce, hello->nonce, HANDSHAKE_NONCE_BYTES);
    memcpy(transcript.connector_nonce, auth->nonce, HANDSHAKE_NONCE_BYTES);
    return transcript;
}

void handshake_make_hello(const struct handshake *self, struct handshake_hello *out)
{
    *out = (struct handshake_hello){
        .magic = HELLO_MAGIC, .version = HANDSHAKE_VERSION, .use = (uint16_t)self->use};
    random_bytes(out->nonce, sizeof(out->nonce));
}

/* The acceptor's rank is not known to the connector yet: its MAC vouches for its own alone. */
#define ACCEPTOR_UNKNOWN UINT32_MAX

enum status handshake_answer_hello(const struct handshake *self,
                                   const struct handshake_hello *hello, struct handshake_auth *out,
                                   struct error *err)
{
    if (hello->magic != HELLO_MAGIC)
        return error_set(err, STATUS_CORRUPT, "the peer speaks another protocol: magic %08x",
                         hello->magic);
    if (hello->version != HANDSHAKE_VERSION || hello->use != self->use)
        return error_set(err, STATUS_CORRUPT,
                         "the peer speaks version %u for use %u, not %d for %d", hello->version,
                         hello->use, HANDSHAKE_VERSION, (int)self->use);
    *out = (struct handshake_auth){
        .magic = AUTH_MAGIC, .rank = self->rank, .world_size = self->world_size};
    random_bytes(out->nonce, sizeof(out->nonce));
    const struct transcript transcript =
        transcript_of(SIDE_CONNECTOR, self, hello, out, ACCEPTOR_UNKNOWN);
    mac_of(self, &transcript, out->mac);
    return STATUS_OK;
}

enum status handshake_answer_auth(const struct handshake *self, const struct handshake_hello *hello,
                                  const struct handshake_auth *auth, struct handshake_welcome *out,
                                  struct error *err)
{
    if (auth->magic != AUTH_MAGIC)
        return error_set(err, STATUS_CORRUPT, "the peer speaks another protocol: magic %08x",
                         auth->magic);
    const struct transcript claim =
        transcript_of(SIDE_CONNECTOR, self, hello, auth, ACCEPTOR_UNKNOWN);
    uint8_t expected[HANDSHAKE_MAC_BYTES];
    mac_of(self, &claim, expected);
    if (!bytes_equal_constant_time(expected, auth->mac, sizeof(expected)))
        return error_set(err, STATUS_DENIED, "the peer does not know the attempt's secret");
    if (auth->world_size != self->world_size || auth->rank >= self->world_size)
        return error_set(err, STATUS_CONFLICT, "the peer is rank %u of %u, this gang has %u",
                         auth->rank, auth->world_size, self->world_size);

    *out = (struct handshake_welcome){.magic = WELCOME_MAGIC, .rank = self->rank};
    const struct transcript answer = transcript_of(SIDE_ACCEPTOR, self, hello, auth, self->rank);
    mac_of(self, &answer, out->mac);
    return STATUS_OK;
}

enum status handshake_check_welcome(const struct handshake *self,
                                    const struct handshake_hello *hello,
                                    const struct handshake_auth *auth,
                                    const struct handshake_welcome *welcome, struct error *err)
{
    if (welcome->magic != WELCOME_MAGIC)
        return error_set(err, STATUS_CORRUPT, "the peer speaks another protocol: magic %08x",
                         welcome->magic);
    const struct transcript answer = transcript_of(SIDE_ACCEPTOR, self, hello, auth, welcome->rank);
    uint8_t expected[HANDSHAKE_MAC_BYTES];
    mac_of(self, &answer, expected);
    if (!bytes_equal_constant_time(expected, welcome->mac, sizeof(expected)))
        return error_set(err, STATUS_DENIED, "the peer does not know the attempt's secret");
    if (welcome->rank >= self->world_size)
        return error_set(err, STATUS_CONFLICT, "the peer is rank %u, this gang has %u",
                         welcome->rank, self->world_size);
    return STATUS_OK;
}

enum status handshake_connect(const struct handshake *self, int fd, int64_t deadline_mono_ms,
                              const char *peer, uint32_t *out_rank, struct error *err)
{
    struct handshake_hello hello;
    struct handshake_auth auth;
    struct handshake_welcome welcome;

    TRY(net_recv_all(fd, &hello, sizeof(hello), deadline_mono_ms, peer, err));
    TRY(handshake_answer_hello(self, &hello, &auth, err));
    TRY(net_send_all(fd, &auth, sizeof(auth), deadline_mono_ms, peer, err));
    struct error closed = {0};
    if (net_recv_all(fd, &welcome, sizeof(welcome), deadline_mono_ms, peer, &closed) != STATUS_OK)
        return error_set(err, STATUS_UNAVAILABLE,
                         "%s, after it was shown a proof of the attempt's secret", closed.text);
    TRY(handshake_check_welcome(self, &hello, &auth, &welcome, err));
    *out_rank = welcome.rank;
    return STATUS_OK;
}

enum status handshake_accept(const struct handshake *self, int fd, int64_t deadline_mono_ms,
                             const char *peer, uint32_t *out_rank, struct error *err)
{
    struct handshake_hello hello;
    struct handshake_auth auth;
    struct handshake_welcome welcome;

    handshake_make_hello(self, &hello);
    TRY(net_send_all(fd, &hello, sizeof(hello), deadline_mono_ms, peer, err));
    TRY(net_recv_all(fd, &auth, sizeof(auth), deadline_mono_ms, peer, err));
    TRY(handshake_answer_auth(self, &hello, &auth, &welcome, err));
    TRY(net_send_all(fd, &welcome, sizeof(welcome), deadline_mono_ms, peer, err));
    *out_rank = auth.rank;
    return STATUS_OK;
}
