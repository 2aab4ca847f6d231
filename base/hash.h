#ifndef BASE_HASH_H
#define BASE_HASH_H

/* hash.h - SHA-256 (identity), constant-time comparison, hexadecimal. OpenSSL's libcrypto below. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SHA256_BYTES     32
#define SHA256_HEX_BYTES 65 /* 64 digits and the NUL */

struct sha256; /* a running hash */

struct sha256 *sha256_new(void); /* aborts when libcrypto has no memory or no SHA-256 */
void sha256_update(struct sha256 *hash, const void *bytes, size_t size);
void sha256_final(struct sha256 *hash, uint8_t out[SHA256_BYTES]); /* may be called once */
void sha256_free(struct sha256 *hash);                             /* accepts NULL */
void sha256_cleanup(struct sha256 **hash);

void sha256_of(const void *bytes, size_t size, uint8_t out[SHA256_BYTES]);
void sha256_hex(const uint8_t digest[SHA256_BYTES], char out[SHA256_HEX_BYTES]);
/* Lower-case hexadecimal of `size` bytes; `out` holds 2 * size + 1. */
void hex_encode(const uint8_t *bytes, size_t size, char *out);
/* Exactly 2 * size digits, either case; false otherwise. */
bool hex_decode(const char *text, uint8_t *out, size_t size);
/* SHA-256 of a whole file, streamed. */
MUST_CHECK enum status sha256_file(const char *path, uint8_t out[SHA256_BYTES], uint64_t *out_bytes,
                                   struct error *err);
/* Standard base 64 with padding of `size` bytes; `out` holds 4 * ((size + 2) / 3) + 1. */
void base64_encode(const uint8_t *bytes, size_t size, char *out);
/* Decodes standard base 64 of exactly `size` bytes; false otherwise. */
bool base64_decode(const char *text, uint8_t *out, size_t size);
/* Same time whatever the bytes are. */
bool bytes_equal_constant_time(const void *a, const void *b, size_t size);

#endif
