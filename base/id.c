#include "base/id.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define ID_TIME_CHARS   10
#define ID_RANDOM_CHARS 12
#define ID_CHARS        (ID_TIME_CHARS + ID_RANDOM_CHARS)

/* Crockford's base 32: no i, l, o, u. In ASCII order, so that text order is numeric order. */
static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

static void write_base32(char *out, size_t count, uint64_t value)
{
    for (size_t i = count; i > 0; i--) {
        out[i - 1] = digits[value & 31U];
        value >>= 5;
    }
}

void id_format(char out[ID_BYTES_MAX], const char *prefix, int64_t wall_ms, uint64_t random)
{
    const size_t prefix_length = strlen(prefix);
    assert(prefix_length > 0);
    assert(prefix_length + 1 + ID_CHARS < ID_BYTES_MAX);
    assert(wall_ms >= 0);
    /* The last line ends the text. NOLINTNEXTLINE(bugprone-not-null-terminated-result) */
    memcpy(out, prefix, prefix_length);
    out[prefix_length] = '_';
    char *text = out + prefix_length + 1;
    write_base32(text, ID_TIME_CHARS, (uint64_t)wall_ms);
    write_base32(text + ID_TIME_CHARS, ID_RANDOM_CHARS, random);
    text[ID_CHARS] = '\0';
}

bool id_is_valid(const char *text, const char *prefix)
{
    const size_t prefix_length = strlen(prefix);
    if (strncmp(text, prefix, prefix_length) != 0 || text[prefix_length] != '_')
        return false;
    const char *rest = text + prefix_length + 1;
    return strlen(rest) == ID_CHARS && strspn(rest, digits) == ID_CHARS;
}

void random_bytes(void *bytes, size_t size)
{
    uint8_t *next = bytes;
    while (size > 0) {
        const ssize_t got = getrandom(next, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            perror("getrandom");
            abort();
        }
        next += got;
        size -= (size_t)got;
    }
}

uint64_t random_u64(void)
{
    uint64_t value = 0;
    random_bytes(&value, sizeof(value));
    return value;
}

uint64_t splitmix64_next(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
