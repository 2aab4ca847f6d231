/*
 * number.c - decimal text to float. The fast path computes in double with a bounded error and is exact
 * unless the result lies within that error of the middle between two floats; then, and for subnormal
 * and huge values, the C library decides.
 */
#include "trainer/data/number.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DIGITS_MAX 19 /* that fit 64 bits whatever they are */
#define POWER_MAX  64
#define NUMBER_TEXT_MAX \
    512 /* digits beyond these change nothing that a float or double can hold, but are refused */
#define EXPONENT_MAX 100000

/* Each correctly rounded, so within half a unit of its last place; exact up to 1e22. */
static const double powers_of_ten[POWER_MAX + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11, 1e12,
    1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22, 1e23, 1e24, 1e25,
    1e26, 1e27, 1e28, 1e29, 1e30, 1e31, 1e32, 1e33, 1e34, 1e35, 1e36, 1e37, 1e38,
    1e39, 1e40, 1e41, 1e42, 1e43, 1e44, 1e45, 1e46, 1e47, 1e48, 1e49, 1e50, 1e51,
    1e52, 1e53, 1e54, 1e55, 1e56, 1e57, 1e58, 1e59, 1e60, 1e61, 1e62, 1e63, 1e64};

static const double inverse_powers_of_ten[POWER_MAX + 1] = {
    1e0,   1e-1,  1e-2,  1e-3,  1e-4,  1e-5,  1e-6,  1e-7,  1e-8,  1e-9,  1e-10, 1e-11, 1e-12,
    1e-13, 1e-14, 1e-15, 1e-16, 1e-17, 1e-18, 1e-19, 1e-20, 1e-21, 1e-22, 1e-23, 1e-24, 1e-25,
    1e-26, 1e-27, 1e-28, 1e-29, 1e-30, 1e-31, 1e-32, 1e-33, 1e-34, 1e-35, 1e-36, 1e-37, 1e-38,
    1e-39, 1e-40, 1e-41, 1e-42, 1e-43, 1e-44, 1e-45, 1e-46, 1e-47, 1e-48, 1e-49, 1e-50, 1e-51,
    1e-52, 1e-53, 1e-54, 1e-55, 1e-56, 1e-57, 1e-58, 1e-59, 1e-60, 1e-61, 1e-62, 1e-63, 1e-64};

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

/*
 * digits and power are each rounded once, and so is their product: at most 3 half units in the last
 * place of the double, some more for dropped digits. (A product with 10^-n is faster than a quotient.) A float keeps 24 of the 53 bits, so the
 * other 29 say how far the middle between two floats is.
 */
#define TAIL_MASK   ((UINT64_C(1) << 29) - 1)
#define TAIL_MIDDLE (UINT64_C(1) << 28)
#define TAIL_MARGIN UINT64_C(8)

static bool rounds_safely(double value)
{
    if (!(value >= (double)FLT_MIN * 2 && value <= (double)FLT_MAX / 2))
        return false;
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    const uint64_t tail = bits & TAIL_MASK;
    return tail < TAIL_MIDDLE - TAIL_MARGIN || tail > TAIL_MIDDLE + TAIL_MARGIN;
}

/* What most numbers are: up to DIGITS_MAX characters that are digits, one point and a sign before them. */
static bool scan_plain(const char *text, size_t size, struct decimal *out)
{
    const char *at = text, *const end = text + size;
    const char *point = NULL;
    uint64_t digits = 0;
    const bool negative = size > 0 && *at == '-';
    at += negative;
    if (at == end || end - at > DIGITS_MAX)
        return false;
    for (const char *const first = at; at < end; at++) {
        const unsigned digit = (unsigned)(*at - '0');
        if (digit < 10)
            digits = digits * 10 + digit;
        else if (*at == '.' && point == NULL && end - first > 1)
            point = at;
        else
            return false;
    }
    *out = (struct decimal){.negative = negative,
                            .digits = digits,
                            .exponent = point == NULL ? 0 : (int)(point + 1 - end)};
    return true;
}

bool number_parse_float(const char *text, size_t size, float *out)
{
    struct decimal number;
    if (!scan_plain(text, size, &number)) {
        trim(&text, &size);
        if (!scan_decimal(text, size, &number))
            return false;
    }
    if (number.digits == 0 && !number.dropped) {
        *out = number.negative ? -0.0F : 0.0F;
        return true;
    }
    double value = (double)number.digits;
    if (number.exponent < 0 && number.exponent >= -POWER_MAX)
        value *= inverse_powers_of_ten[-number.exponent];
    else if (number.exponent > 0 && number.exponent <= POWER_MAX)
        value *= powers_of_ten[number.exponent];
    else if (number.exponent != 0)
        value = 0.0; /* not safe */
    if (rounds_safely(value)) {
        *out = (float)(number.negative ? -value : value);
        return true;
    }
    if (!by_library(text, size, true, &value))
        return false;
    *out = (float)value;
    return true;
}

bool number_parse_double(const char *text, size_t size, double *out)
{
    trim(&text, &size);
    struct decimal number;
    if (!scan_decimal(text, size, &number))
        return false;
    /* Clinger's case: both factors are exact, so one rounding is the right one. */
    if (number.digits <= UINT64_C(1) << 53 && !number.dropped && number.exponent >= -22 &&
        number.exponent <= 22) {
        double value = (double)number.digits;
        if (number.exponent < 0)
            value /= powers_of_ten[-number.exponent];
        else
            value *= powers_of_ten[number.exponent];
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
