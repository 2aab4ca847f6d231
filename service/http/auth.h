#ifndef SERVICE_HTTP_AUTH_H
#define SERVICE_HTTP_AUTH_H

/*
 * auth.h - who a bearer token belongs to. The table of live tokens in memory, so that checking one
 * costs a hash and no SQL; whoever commits a change of the tokens' table tells it here.
 *
 *     rp_<role>_<id>_<secret>        id: 22 characters, the token's id without "tok_"
 *                                    secret: 64 hexadecimal digits, known only to its holder
 *
 * The secret is looked up by id and compared as SHA-256 in constant time; an unknown id takes the
 * same path against a digest that nothing matches.
 *
 * Guessing is bounded: after AUTH_FAILURES_MAX wrong credentials within a minute an address is told
 * 429 instead of 401. A right credential is never refused for what others at its address did.
 *
 * Threads: any.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/id.h"
#include "schema/names.h"

#define AUTH_SECRET_BYTES    32
#define AUTH_TOKEN_BYTES     128 /* the whole text and its NUL */
#define AUTH_TOKENS_MAX      65536
#define AUTH_FAILURES_MAX    10
#define AUTH_FAILURE_SPAN_MS 60000
#define AUTH_ID_PREFIX       "tok"

struct auth;

struct auth_token {
    char id[ID_BYTES_MAX]; /* "tok_..." */
    enum role role;
    char project[64]; /* "": all */
    char node[ID_BYTES_MAX];
    uint8_t secret_sha256[SHA256_BYTES];
    int64_t expires_at_ms; /* wall; 0: never */
};

/* The parts of a token's text. */
struct auth_text {
    char role[16];
    char id[ID_BYTES_MAX]; /* with "tok_" */
    char secret[2 * AUTH_SECRET_BYTES + 1];
};

MUST_CHECK enum status auth_new(struct auth **out, struct error *err);
void auth_free(struct auth *auth); /* accepts NULL */
void auth_cleanup(struct auth **auth);

MUST_CHECK enum status auth_put(struct auth *auth, const struct auth_token *token,
                                struct error *err);
void auth_remove(struct auth *auth, const char *id);
/* Is the token with this id there, and has it not expired? For what goes on after its request. */
bool auth_is_valid(struct auth *auth, const char *id, int64_t wall_ms);

/* A new credential: its text for the holder, its id and the digest to store. */
void auth_text_new(const char *role, int64_t wall_ms, char out_text[AUTH_TOKEN_BYTES],
                   char out_id[ID_BYTES_MAX], uint8_t out_sha256[SHA256_BYTES]);
/* Takes a text apart; false if it has not the shape. */
bool auth_text_parse(const char *text, struct auth_text *out);
/* The digest that is stored of a secret. */
void auth_secret_sha256(const char *secret, uint8_t out[SHA256_BYTES]);

/*
 * Checks an Authorization header. STATUS_OK: *out is its token. STATUS_DENIED: absent, of another
 * shape, unknown, wrong or expired. STATUS_BUSY: wrong, and too often from `peer`.
 */
MUST_CHECK enum status auth_check(struct auth *auth, const char *authorization,
                                  const struct sockaddr *peer, int64_t wall_ms, int64_t mono_ms,
                                  struct auth_token *out, struct error *err);

#endif
