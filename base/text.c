#include "base/text.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#define WORD_BYTES_MAX 64 /* longer words get no suggestion */

bool text_copy(char *out, size_t out_bytes, const char *text)
{
    assert(out_bytes > 0);
    const size_t length = text == NULL ? 0 : strnlen(text, out_bytes);
    const bool fits = length < out_bytes;
    size_t kept = fits ? length : out_bytes - 1;
    while (!fits && kept > 0 && ((unsigned char)text[kept] & 0xc0U) == 0x80U)
        kept--;
    if (kept > 0)
        memmove(out, text, kept);
    out[kept] = '\0';
    return fits;
}

void text_drop_partial(char *text)
{
    const size_t length = strlen(text);
    size_t start = length;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xc0U) == 0x80U)
        start--;
    if (start == 0)
        return;
    start--; /* where the last character begins */
    if (text_utf8_bytes(text + start, length - start) != length - start)
        text[start] = '\0';
}

size_t text_utf8_bytes(const char *text, size_t left)
{
    const unsigned char *bytes = (const unsigned char *)text;
    if (left == 0)
        return 0;
    if (bytes[0] < 0x80)
        return 1;
    const size_t count = bytes[0] >= 0xf0 ? 4 : bytes[0] >= 0xe0 ? 3 : 2;
    if (bytes[0] < 0xc2 || bytes[0] > 0xf4 || left < count)
        return 0;
    for (size_t i = 1; i < count; i++) {
        if ((bytes[i] & 0xc0U) != 0x80U)
            return 0;
    }
    const bool overlong =
        (bytes[0] == 0xe0 && bytes[1] < 0xa0) || (bytes[0] == 0xf0 && bytes[1] < 0x90);
    const bool surrogate = bytes[0] == 0xed && bytes[1] > 0x9f;
    const bool too_high = bytes[0] == 0xf4 && bytes[1] > 0x8f;
    return overlong || surrogate || too_high ? 0 : count;
}

void text_make_printable(char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        const size_t bytes = text_utf8_bytes(text, left);
        const unsigned char c = (unsigned char)*text;
        if (bytes == 0 || c < 0x20 || c == 0x7f)
            *text = '?';
        const size_t step = bytes > 0 ? bytes : 1;
        text += step;
        left -= step;
    }
}

bool text_is_utf8(const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        const size_t bytes = text_utf8_bytes(text + at, size - at);
        if (bytes == 0)
            return false;
        at += bytes;
    }
    return true;
}

static size_t min3(size_t a, size_t b, size_t c)
{
    const size_t smaller = a < b ? a : b;
    return smaller < c ? smaller : c;
}

/* Insertions, deletions, replacements and swaps of neighbours that lead from `a` to `b`. */
static size_t edit_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t rows[3][WORD_BYTES_MAX + 1];
    for (size_t j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t *now = rows[i % 3];
        const size_t *before = rows[(i + 2) % 3];
        const size_t *two_before = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            const bool same = a[i - 1] == b[j - 1];
            now[j] = min3(before[j] + 1, now[j - 1] + 1, before[j - 1] + (same ? 0 : 1));
            const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && two_before[j - 2] + 1 < now[j])
                now[j] = two_before[j - 2] + 1;
        }
    }
    return rows[a_length % 3][b_length];
}

const char *text_closest(const char *const words[], const char *word)
{
    const size_t length = strnlen(word, WORD_BYTES_MAX + 1);
    if (length == 0 || length > WORD_BYTES_MAX)
        return NULL;
    /* A third of the letters may be wrong, at least one, at most three. */
    const size_t allowed = length < 6 ? 1 : length < 12 ? 2 : 3;
    const char *closest = NULL;
    size_t closest_distance = allowed + 1;
    for (size_t i = 0; words[i] != NULL; i++) {
        const size_t candidate_length = strnlen(words[i], WORD_BYTES_MAX + 1);
        if (candidate_length > WORD_BYTES_MAX)
            continue;
        const size_t distance = edit_distance(word, length, words[i], candidate_length);
        if (distance < closest_distance && distance < candidate_length) {
            closest_distance = distance;
            closest = words[i];
        }
    }
    return closest;
}
