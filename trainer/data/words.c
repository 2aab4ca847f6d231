#include "trainer/data/words.h"

#include <string.h>
#include <strings.h>

#define BREAK "<br />"

/* What a byte is in a word, lower-cased; 0: no part of one. */
static const char word_bytes[256] = {
    ['\''] = '\'', ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5',
    ['6'] = '6',   ['7'] = '7', ['8'] = '8', ['9'] = '9', ['a'] = 'a', ['b'] = 'b', ['c'] = 'c',
    ['d'] = 'd',   ['e'] = 'e', ['f'] = 'f', ['g'] = 'g', ['h'] = 'h', ['i'] = 'i', ['j'] = 'j',
    ['k'] = 'k',   ['l'] = 'l', ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q',
    ['r'] = 'r',   ['s'] = 's', ['t'] = 't', ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x',
    ['y'] = 'y',   ['z'] = 'z', ['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e',
    ['F'] = 'f',   ['G'] = 'g', ['H'] = 'h', ['I'] = 'i', ['J'] = 'j', ['K'] = 'k', ['L'] = 'l',
    ['M'] = 'm',   ['N'] = 'n', ['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r', ['S'] = 's',
    ['T'] = 't',   ['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z'};

void words_begin(struct word_cursor *cursor, const char *text, size_t size)
{
    cursor->at = text;
    cursor->end = text + size;
    cursor->size = 0;
}

static bool comes(const struct word_cursor *cursor, const char *bytes)
{
    const size_t size = strlen(bytes);
    return (size_t)(cursor->end - cursor->at) >= size && memcmp(cursor->at, bytes, size) == 0;
}

/* The word's next byte, which is taken; 0: it ends here. */
static char take_byte(struct word_cursor *cursor, bool *out_last)
{
    *out_last = false;
    const char byte = word_bytes[(unsigned char)*cursor->at];
    if (byte != 0) {
        cursor->at++;
        return byte;
    }
    if (comes(cursor, "\xE2\x84\xAA")) { /* U+212A */
        cursor->at += 3;
        return 'k';
    }
    if (comes(cursor, "\xC4\xB0")) { /* U+0130: an i and a dot above, which is no letter */
        cursor->at += 2;
        *out_last = true;
        return 'i';
    }
    return 0;
}

bool words_next(struct word_cursor *cursor)
{
    cursor->size = 0;
    while (cursor->at < cursor->end) {
        bool last;
        const char byte = take_byte(cursor, &last);
        if (byte != 0 && cursor->size < WORD_BYTES_MAX)
            cursor->word[cursor->size++] = byte;
        if (byte != 0 && !last)
            continue;
        if (cursor->size > 0)
            return true;
        const bool line_break = (size_t)(cursor->end - cursor->at) >= strlen(BREAK) &&
                                strncasecmp(cursor->at, BREAK, strlen(BREAK)) == 0;
        cursor->at += line_break ? strlen(BREAK) : 1;
    }
    return cursor->size > 0;
}
