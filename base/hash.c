#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"

#define HASH_READ_BYTES (64 * KIB)

/* sha256_new() hands out libcrypto's own context: the struct has no members of ours. */
static EVP_MD_CTX *context_of(struct sha256 *hash)
{
    return (EVP_MD_CTX *)hash;
}

static void require(bool fine)
{
    if (fine)
        return;
    (void)fputs("libcrypto: no memory or no SHA-256\n", stderr);
    abort();
}

/* Fetched once: EVP_sha256() would look the algorithm up again in every EVP_DigestInit_ex(). */
static EVP_MD *algorithm;

static void fetch_algorithm(void)
{
    algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    require(algorithm != NULL);
}

struct sha256 *sha256_new(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fetch_algorithm);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    require(context != NULL && EVP_DigestInit_ex2(context, algorithm, NULL) == 1);
    return (struct sha256 *)context;
}

void sha256_update(struct sha256 *hash, const void *bytes, size_t size)
{
    require(EVP_DigestUpdate(context_of(hash), bytes, size) == 1);
}

void sha256_final(struct sha256 *hash, uint8_t out[SHA256_BYTES])
{
    unsigned size = 0;
    require(EVP_DigestFinal_ex(context_of(hash), out, &size) == 1 && size == SHA256_BYTES);
}

void sha256_free(struct sha256 *hash)
{
    EVP_MD_CTX_free(context_of(hash));
}

void sha256_cleanup(struct sha256 **hash)
{
    sha256_free(*hash);
}

void sha256_of(const void *bytes, size_t size, uint8_t out[SHA256_BYTES])
{
    CLEANUP(sha256_cleanup) struct sha256 *hash = sha256_new();
    sha256_update(hash, bytes, size);
    sha256_final(hash, out);
}

void sha256_hex(const uint8_t digest[SHA256_BYTES], char out[SHA256_HEX_BYTES])
{
    hex_encode(digest, SHA256_BYTES, out);
}

void hex_encode(const uint8_t *bytes, size_t size, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15U];
    }
    out[2 * size] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hex_decode(const char *text, uint8_t *out, size_t size)
{
    if (strlen(text) != 2 * size)
        return false;
    for (size_t i = 0; i < 2 * size; i++) {
        if (hex_digit(text[i]) < 0)
            return false;
    }
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(hex_digit(text[2 * i]) * 16 + hex_digit(text[2 * i + 1]));
    return true;
}

enum status sha256_file(const char *path, uint8_t out[SHA256_BYTES], uint64_t *out_bytes,
                        struct error *err)
{
    CLEANUP(fd_cleanup) const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "open %s", path);
    CLEANUP(free_cleanup) uint8_t *chunk = malloc(HASH_READ_BYTES);
    if (chunk == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory to hash %s", path);
    CLEANUP(sha256_cleanup) struct sha256 *hash = sha256_new();
    uint64_t total = 0;
    for (;;) {
        const ssize_t got = read(fd, chunk, HASH_READ_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(err, status_of_errno(errno), errno, "read %s", path);
        if (got == 0)
            break;
        sha256_update(hash, chunk, (size_t)got);
        total += (uint64_t)got;
    }
    sha256_final(hash, out);
    if (out_bytes != NULL)
        *out_bytes = total;
    return STATUS_OK;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const uint8_t *bytes, size_t size, char *out)
{
    for (size_t i = 0; i < size; i += 3) {
        const size_t left = size - i;
        const uint32_t group = (uint32_t)bytes[i] << 16 |
                               (uint32_t)(left > 1 ? bytes[i + 1] : 0) << 8 |
                               (uint32_t)(left > 2 ? bytes[i + 2] : 0);
        *out++ = base64_digits[group >> 18];
        *out++ = base64_digits[group >> 12 & 63U];
        *out++ = left > 1 ? base64_digits[group >> 6 & 63U] : '=';
        *out++ = left > 2 ? base64_digits[group & 63U] : '=';
    }
    *out = '\0';
}

static bool base64_value(char c, uint32_t *out)
{
    const char *found = c == '\0' ? NULL : strchr(base64_digits, c);
    if (found == NULL)
        return false;
    *out = (uint32_t)(found - base64_digits);
    return true;
}

/* One group of four characters for `left` (1, 2 or 3 or more) bytes. */
static bool base64_group(const char *text, size_t left, uint32_t *out)
{
    const size_t characters = left >= 3 ? 4 : left + 1;
    uint32_t group = 0;
    for (size_t i = 0; i < 4; i++) {
        uint32_t value = 0;
        const bool fine = i < characters ? base64_value(text[i], &value) : text[i] == '=';
        if (!fine)
            return false;
        group = group << 6 | value;
    }
    /* Bits beyond the last byte must be zero: one text for one value. */
    const uint32_t unused = left >= 3 ? 0 : left == 2 ? 0xffU : 0xffffU;
    if ((group & unused) != 0)
        return false;
    *out = group;
    return true;
}

bool base64_decode(const char *text, uint8_t *out, size_t size)
{
    if (strlen(text) != 4 * ((size + 2) / 3))
        return false;
    uint32_t group = 0;
    for (size_t i = 0; i < size; i += 3) {
        if (!base64_group(text + i / 3 * 4, size - i, &group))
            return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (i % 3 == 0)
            (void)base64_group(text + i / 3 * 4, size - i, &group);
        out[i] = (uint8_t)(group >> (16 - 8 * (i % 3)));
    }
    return true;
}

bool bytes_equal_constant_time(const void *a, const void *b, size_t size)
{
    return CRYPTO_memcmp(a, b, size) == 0;
}
