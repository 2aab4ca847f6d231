/*
 * number.c - decimal text to float. The fast path computes in double with a bounded error and is exact
 * unless the result lies within that error of the middle between two floats; then, and for subnormal
 * and huge values, the C library decides.
 */
#include "trainer/data/number.h"

#include <assert.h>
#include <endian.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DIGITS_MAX 18 /* that fit 63 bits whatever they are */
#define NUMBER_TEXT_MAX \
    512 /* digits beyond these change nothing that a float or double can hold, but are refused */
#define EXPONENT_MAX 100000

/* Each correctly rounded, so within half a unit of its last place; exact from 1 to 1e22. */
#define POWER_MIN (-37) /* FLT_MIN_10_EXP */
#define POWER_MAX 22
static const double powers_of_ten[POWER_MAX - POWER_MIN + 1] = {
    1e-37, 1e-36, 1e-35, 1e-34, 1e-33, 1e-32, 1e-31, 1e-30, 1e-29, 1e-28, 1e-27, 1e-26,
    1e-25, 1e-24, 1e-23, 1e-22, 1e-21, 1e-20, 1e-19, 1e-18, 1e-17, 1e-16, 1e-15, 1e-14,
    1e-13, 1e-12, 1e-11, 1e-10, 1e-9,  1e-8,  1e-7,  1e-6,  1e-5,  1e-4,  1e-3,  1e-2,
    1e-1,  1e0,   1e1,   1e2,   1e3,   1e4,   1e5,   1e6,   1e7,   1e8,   1e9,   1e10,
    1e11,  1e12,  1e13,  1e14,  1e15,  1e16,  1e17,  1e18,  1e19,  1e20,  1e21,  1e22};

static inline double power_of_ten(int exponent)
{
    return powers_of_ten[exponent - POWER_MIN];
}

/* (-1)^negative * digits * 10^exponent, and `dropped` digits that are not all in. */
struct decimal {
    bool negative;
    bool dropped;
    uint64_t digits;
    int exponent;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void trim(const char **text, size_t *size)
{
    while (*size > 0 && is_blank((*text)[*size - 1]))
        (*size)--;
    while (*size > 0 && is_blank((*text)[0])) {
        (*text)++;
        (*size)--;
    }
}

/* Digits from `at` on; those after the first DIGITS_MAX significant ones only move the exponent. */
static const char *scan_digits(const char *at, const char *end, int *kept, struct decimal *out,
                               int exponent_step)
{
    for (; at < end && (unsigned)(*at - '0') < 10; at++) {
        if (*kept < DIGITS_MAX) {
            out->digits = out->digits * 10 + (uint64_t)(*at - '0');
            *kept += out->digits != 0;
            out->exponent += exponent_step;
        } else {
            out->dropped = true;
            out->exponent += exponent_step + 1;
        }
    }
    return at;
}

static bool scan_exponent(const char *at, const char *end, struct decimal *out)
{
    at++; /* the e */
    const bool negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    if (at == end)
        return false;
    int exponent = 0;
    for (; at < end; at++) {
        if ((unsigned)(*at - '0') >= 10)
            return false;
        exponent = exponent < EXPONENT_MAX ? exponent * 10 + (*at - '0') : exponent;
    }
    out->exponent += negative ? -exponent : exponent;
    return true;
}

static bool scan_decimal(const char *text, size_t size, struct decimal *out)
{
    const char *at = text, *const end = text + size;
    *out = (struct decimal){.negative = at < end && *at == '-'};
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    int kept = 0;
    const char *const whole = at;
    at = scan_digits(at, end, &kept, out, 0);
    int64_t digits = at - whole;
    if (at < end && *at == '.') {
        const char *const fraction = at + 1;
        at = scan_digits(fraction, end, &kept, out, -1);
        digits += at - fraction;
    }
    if (digits == 0)
        return false;
    if (at < end && (*at == 'e' || *at == 'E'))
        return scan_exponent(at, end, out);
    return at == end;
}

/* The slow and certain way, for text that scan_decimal() took. */
static bool by_library(const char *text, size_t size, bool as_float, double *out)
{
    char copy[NUMBER_TEXT_MAX + 1];
    if (size > NUMBER_TEXT_MAX)
        return false;
    memcpy(copy, text, size);
    copy[size] = '\0';
    *out = as_float ? (double)strtof(copy, NULL) : strtod(copy, NULL);
    return isfinite(*out);
}

/* ------------------------------------------------------------------ eight characters at a time */

#define WORD_BYTES 8
#define EACH_BYTE  UINT64_C(0x0101010101010101)

/* One to eight characters as one word, the first in its lowest byte, zeros behind them. */
static inline uint64_t load_word(const char *text, size_t size)
{
    uint64_t word = 0;
    if (size == WORD_BYTES) {
        memcpy(&word, text, sizeof(word));
        return le64toh(word);
    }
    if (size >= 4) { /* two halves that overlap */
        uint32_t first, last;
        memcpy(&first, text, sizeof(first));
        memcpy(&last, text + size - sizeof(last), sizeof(last));
        return le32toh(first) | (uint64_t)le32toh(last) << (size - sizeof(last)) * 8;
    }
    const size_t middle = size / 2, last = size - 1; /* all that there are of one to three */
    word = (unsigned char)text[0];
    word |= (uint64_t)(unsigned char)text[middle] << middle * 8;
    return word | (uint64_t)(unsigned char)text[last] << last * 8;
}

/* 0x80 in each byte that is `wanted`, which is below 0x80. */
static inline uint64_t find_bytes(uint64_t word, uint64_t wanted)
{
    const uint64_t low = EACH_BYTE * 0x7F, other = word ^ EACH_BYTE * wanted;
    return ~(((other & low) + low) | other | low);
}

/* Whether each byte is 0..9. */
static inline bool are_digits(uint64_t word)
{
    return (((word + EACH_BYTE * (0x80 - 10)) | word) & EACH_BYTE * 0x80) == 0;
}

/* Eight digits, each 0..9, the first in the lowest byte: pairs, then fours, then all of them. */
static inline uint64_t join_digits(uint64_t word)
{
    const uint64_t pairs = word * 10 + (word >> 8); /* in each second byte */
    const uint64_t mask = UINT64_C(0x000000FF000000FF);
    const uint64_t fours = UINT64_C(100) + (UINT64_C(1000000) << 32);
    const uint64_t others = UINT64_C(1) + (UINT64_C(10000) << 32);
    return ((pairs & mask) * fours + (pairs >> 16 & mask) * others) >> 32;
}

/* Takes "e-04", which most programs write, off the end; *out_exponent stays if it is not there. */
static inline const char *take_exponent(const char *at, const char *end, int *out_exponent)
{
    if (end - at < 5 || (end[-4] | 0x20) != 'e' || (end[-3] != '-' && end[-3] != '+'))
        return end;
    const unsigned tens = (unsigned)(end[-2] - '0'), ones = (unsigned)(end[-1] - '0');
    if (tens > 9 || ones > 9)
        return end;
    *out_exponent = (int)(tens * 10 + ones) * (end[-3] == '-' ? -1 : 1);
    return end - 4;
}

/* The characters of one more word, '0' already off each: digits and, if there was none, a point. */
static inline bool take_word(struct decimal *number, bool *pointed, uint64_t word)
{
    uint64_t scale = 100000000;
    const uint64_t point = *pointed ? 0 : find_bytes(word, '.' ^ '0');
    number->exponent -= *pointed ? WORD_BYTES : 0;
    if (point != 0) { /* what lies before it moves into its place */
        const uint64_t through = point ^ (point - 1);
        word = (word & ~through) | (word & through >> 8) << 8;
        scale = 10000000;
        number->exponent -= __builtin_clzll(point) / 8;
        *pointed = true;
    }
    number->digits = number->digits * scale + join_digits(word);
    return are_digits(word);
}

/*
 * What most numbers are: a minus, up to DIGITS_MAX digits, a point among them, an exponent of
 * two digits. Without a branch for each character, for which of them is the last cannot be foreseen.
 */
static bool scan_plain(const char *text, size_t size, struct decimal *out)
{
    const char *at = text, *end = text + size;
    struct decimal number = {.negative = size > 0 && *at == '-'};
    at += number.negative;
    end = take_exponent(at, end, &number.exponent);
    const ptrdiff_t characters = end - at;
    if (characters == 0 || characters > DIGITS_MAX + 1)
        return false;
    const size_t width = (size_t)(characters - 1) % WORD_BYTES + 1;
    const uint64_t first = (load_word(at, width) ^ EACH_BYTE * '0') << (WORD_BYTES - width) * 8;
    bool pointed = false;
    if (!take_word(&number, &pointed, first))
        return false;
    for (at += width; at < end; at += WORD_BYTES) {
        if (!take_word(&number, &pointed, load_word(at, WORD_BYTES) ^ EACH_BYTE * '0'))
            return false;
    }
    *out = number;
    return characters == 1 ? !pointed : characters <= DIGITS_MAX + pointed;
}

/*
 * digits and power are each rounded once, and so is their product: at most 3 half units in the last
 * place of the double, some more for dropped digits. (A product with 10^-n is faster than a quotient.)
 * A float keeps 24 of the 53 bits, so the other 29 say how far the middle between two floats is. With
 * these exponents no product is subnormal as a float, and none too large.
 */
#define TAIL_MASK       ((UINT64_C(1) << 29) - 1)
#define TAIL_MIDDLE     (UINT64_C(1) << 28)
#define TAIL_MARGIN     UINT64_C(8)
#define FLOAT_POWER_MAX 19
_Static_assert(DIGITS_MAX + FLOAT_POWER_MAX < FLT_MAX_10_EXP, "a float holds all products");

/* False when it takes more than a double to say which float is nearest. */
static inline bool round_to_float(const struct decimal *number, float *out)
{
    if (number->exponent < POWER_MIN || number->exponent > FLOAT_POWER_MAX)
        return false;
    double value = (double)(int64_t)number->digits * power_of_ten(number->exponent);
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    if ((bits & TAIL_MASK) - (TAIL_MIDDLE - TAIL_MARGIN) <= 2 * TAIL_MARGIN)
        return false;
    bits |= (uint64_t)number->negative << 63; /* a branch would be wrong every other time */
    memcpy(&value, &bits, sizeof(value));
    *out = (float)value;
    return true;
}

/* Out of line, so that the common case needs no stack for the library's copy. */
static __attribute__((noinline)) bool parse_any_float(const char *text, size_t size, float *out)
{
    struct decimal number;
    double value;
    trim(&text, &size);
    if (!scan_decimal(text, size, &number))
        return false;
    if (number.digits == 0)
        number.exponent = 0;
    if (round_to_float(&number, out))
        return true;
    if (!by_library(text, size, true, &value))
        return false;
    *out = (float)value;
    return true;
}

bool number_parse_float(const char *text, size_t size, float *out)
{
    struct decimal number;
    return (scan_plain(text, size, &number) && round_to_float(&number, out)) ||
           parse_any_float(text, size, out);
}

bool number_parse_double(const char *text, size_t size, double *out)
{
    trim(&text, &size);
    struct decimal number;
    if (!scan_decimal(text, size, &number))
        return false;
    /* Clinger's case: both factors are exact, so one rounding is the right one. */
    if (number.digits <= UINT64_C(1) << 53 && !number.dropped && number.exponent >= -POWER_MAX &&
        number.exponent <= POWER_MAX) {
        double value = (double)number.digits;
        if (number.exponent < 0)
            value /= power_of_ten(-number.exponent);
        else
            value *= power_of_ten(number.exponent);
        *out = number.negative ? -value : value;
        return true;
    }
    return by_library(text, size, false, out);
}

bool number_parse_int(const char *text, size_t size, int64_t *out)
{
    const bool negative = size > 0 && text[0] == '-';
    const size_t sign = size > 0 && (text[0] == '-' || text[0] == '+') ? 1 : 0;
    if (size == sign)
        return false;
    int64_t value = 0; /* negative, for it reaches farther */
    for (size_t i = sign; i < size; i++) {
        const int digit = text[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, digit, &value))
            return false;
    }
    if (!negative && value == INT64_MIN)
        return false;
    *out = negative ? value : -value;
    return true;
}

bool number_is_missing(const char *text, size_t size)
{
    static const char *const words[] = {"na", "nan", "n/a", "null", "none"};
    trim(&text, &size);
    if (size == 0)
        return true;
    if (size > 4 || (text[0] | 0x20) != 'n')
        return false;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strlen(words[i]) == size && strncasecmp(text, words[i], size) == 0)
            return true;
    }
    return false;
}
