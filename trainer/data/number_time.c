/* number_time.c - moments as sortable keys: numbers by the order of doubles, RFC 3339 by nanoseconds. */
#include <string.h>

#include "trainer/data/number.h"

#define SIGN_BIT    (UINT64_C(1) << 63)
#define DAY_SECONDS 86400
#define SECOND_NS   INT64_C(1000000000)
#define YEAR_MIN    1678 /* what nanoseconds in 64 bits reach */
#define YEAR_MAX    2261

struct text_at {
    const char *at;
    const char *end;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Exactly `count` digits. */
static bool take_digits(struct text_at *text, int count, int *out)
{
    int value = 0;
    if (text->end - text->at < count)
        return false;
    for (int i = 0; i < count; i++) {
        if (!is_digit(*text->at))
            return false;
        value = value * 10 + (*text->at++ - '0');
    }
    *out = value;
    return true;
}

static bool take(struct text_at *text, char wanted)
{
    if (text->at == text->end || *text->at != wanted)
        return false;
    text->at++;
    return true;
}

static int month_days(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* Days from 1970-01-01 in the Gregorian calendar: years begin in March, so that the leap day is last. */
static int64_t days_of(int year, int month, int day)
{
    const int64_t y = month > 2 ? year : year - 1;
    const int64_t era = y / 400;
    const int64_t year_of_era = y - era * 400;
    const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static bool take_date(struct text_at *text, int64_t *out_days)
{
    int year, month, day;
    if (!take_digits(text, 4, &year) || !take(text, '-') || !take_digits(text, 2, &month) ||
        !take(text, '-') || !take_digits(text, 2, &day))
        return false;
    if (year < YEAR_MIN || year > YEAR_MAX || month < 1 || month > 12 || day < 1 ||
        day > month_days(year, month))
        return false;
    *out_days = days_of(year, month, day);
    return true;
}

/* hh:mm:ss with an optional fraction, of which nanoseconds are kept. */
static bool take_clock(struct text_at *text, int64_t *out_ns)
{
    int hour, minute, second;
    if (!take_digits(text, 2, &hour) || !take(text, ':') || !take_digits(text, 2, &minute) ||
        !take(text, ':') || !take_digits(text, 2, &second))
        return false;
    if (hour > 23 || minute > 59 || second > 60) /* 60: a leap second */
        return false;
    int64_t ns = (hour * 3600 + minute * 60 + second) * SECOND_NS;
    if (take(text, '.')) {
        const char *const begin = text->at;
        for (int64_t unit = SECOND_NS / 10; text->at < text->end && is_digit(*text->at); unit /= 10)
            ns += (*text->at++ - '0') * unit;
        if (text->at == begin)
            return false;
    }
    *out_ns = ns;
    return true;
}

/* Z or +hh:mm; nothing: as UTC. */
static bool take_offset(struct text_at *text, int64_t *out_ns)
{
    *out_ns = 0;
    if (text->at == text->end || take(text, 'Z') || take(text, 'z'))
        return true;
    const bool west = *text->at == '-';
    if (!take(text, '-') && !take(text, '+'))
        return false;
    int hour, minute;
    if (!take_digits(text, 2, &hour) || !take(text, ':') || !take_digits(text, 2, &minute) ||
        hour > 23 || minute > 59)
        return false;
    *out_ns = (hour * 3600 + minute * 60) * (west ? -SECOND_NS : SECOND_NS);
    return true;
}

static bool parse_text(const char *bytes, size_t size, int64_t *out_ns)
{
    struct text_at text = {bytes, bytes + size};
    int64_t days, clock_ns = 0, offset_ns = 0;
    if (!take_date(&text, &days))
        return false;
    if (text.at < text.end) {
        if (!take(&text, 'T') && !take(&text, 't') && !take(&text, ' '))
            return false;
        if (!take_clock(&text, &clock_ns) || !take_offset(&text, &offset_ns))
            return false;
    }
    *out_ns = days * DAY_SECONDS * SECOND_NS + clock_ns - offset_ns;
    return text.at == text.end;
}

bool number_parse_time(const char *text, size_t size, uint64_t *out_key, bool *out_is_text)
{
    double number;
    if (number_parse_double(text, size, &number)) {
        uint64_t bits;
        number += 0.0; /* -0 is 0 */
        memcpy(&bits, &number, sizeof(bits));
        *out_key = (bits & SIGN_BIT) != 0 ? ~bits : bits | SIGN_BIT;
        *out_is_text = false;
        return true;
    }
    int64_t ns;
    if (!parse_text(text, size, &ns))
        return false;
    *out_key = (uint64_t)ns ^ SIGN_BIT;
    *out_is_text = true;
    return true;
}
