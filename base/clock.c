#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MS_PER_S  INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S  INT64_C(1000000000)
#define S_PER_DAY INT64_C(86400)

static int64_t read_ns(clockid_t which)
{
    struct timespec now;
    const int rc = clock_gettime(which, &now);
    assert(rc == 0);
    return (int64_t)now.tv_sec * NS_PER_S + (int64_t)now.tv_nsec;
}

int64_t clock_boot_ms(void)
{
    return read_ns(CLOCK_BOOTTIME) / NS_PER_MS;
}

int64_t clock_mono_ms(void)
{
    return read_ns(CLOCK_MONOTONIC) / NS_PER_MS;
}

int64_t clock_mono_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
    return read_ns(CLOCK_REALTIME) / NS_PER_MS;
}

void clock_sleep_ms(int64_t duration_ms)
{
    if (duration_ms <= 0)
        return;
    struct timespec left = {.tv_sec = (time_t)(duration_ms / MS_PER_S),
                            .tv_nsec = (long)(duration_ms % MS_PER_S * NS_PER_MS)};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
        continue;
}

/*
 * Civil date of a count of days since 1970-01-01 (Howard Hinnant's algorithm, eras of 400 years
 * that start on March 1st). Written out because gmtime_r() loads the zone files of the machine.
 */
static void civil_of_days(int64_t days, int64_t *out_year, int *out_month, int *out_day)
{
    const int64_t shifted = days + 719468;
    const int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    const int64_t day_of_era = shifted - era * 146097;
    const int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const int64_t day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t march_month = (5 * day_of_year + 2) / 153;
    *out_day = (int)(day_of_year - (153 * march_month + 2) / 5 + 1);
    *out_month = (int)(march_month < 10 ? march_month + 3 : march_month - 9);
    *out_year = year_of_era + era * 400 + (*out_month <= 2 ? 1 : 0);
}

void clock_format_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_BYTES])
{
    assert(wall_ms >= CLOCK_WALL_MS_MIN && wall_ms <= CLOCK_WALL_MS_MAX);
    int64_t days = wall_ms / (S_PER_DAY * MS_PER_S);
    int64_t ms_of_day = wall_ms % (S_PER_DAY * MS_PER_S);
    if (ms_of_day < 0) {
        ms_of_day += S_PER_DAY * MS_PER_S;
        days--;
    }
    int64_t year = 0;
    int month = 0;
    int day = 0;
    civil_of_days(days, &year, &month, &day);
    const int ms = (int)(ms_of_day % MS_PER_S);
    const int s = (int)(ms_of_day / MS_PER_S);
    /* The remainders only tell the compiler what it cannot see: each part has its width. */
    (void)snprintf(out, CLOCK_RFC3339_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
                   (unsigned)year % 10000U, (unsigned)month % 100U, (unsigned)day % 100U,
                   (unsigned)(s / 3600) % 100U, (unsigned)(s / 60) % 60U, (unsigned)s % 60U,
                   (unsigned)ms % 1000U);
}

/* Reads exactly `digits` digits; moves *text on. */
static bool read_number(const char **text, int digits, int *out)
{
    *out = 0;
    for (int i = 0; i < digits; i++) {
        const char c = (*text)[i];
        if (c < '0' || c > '9')
            return false;
        *out = *out * 10 + (c - '0');
    }
    *text += digits;
    return true;
}

static bool read_character(const char **text, const char *allowed)
{
    if (**text == '\0' || strchr(allowed, **text) == NULL)
        return false;
    (*text)++;
    return true;
}

static bool is_date(int year, int month, int day)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (month < 1 || month > 12 || day < 1)
        return false;
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= lengths[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* The reverse of civil_of_days(). */
static int64_t days_of_civil(int year, int month, int day)
{
    const int64_t march_year = year - (month <= 2 ? 1 : 0);
    const int64_t era = (march_year >= 0 ? march_year : march_year - 399) / 400;
    const int64_t year_of_era = march_year - era * 400;
    const int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static bool read_date(const char **text, int64_t *out_ms)
{
    int year = 0;
    int month = 0;
    int day = 0;
    if (!read_number(text, 4, &year) || !read_character(text, "-") ||
        !read_number(text, 2, &month) || !read_character(text, "-") || !read_number(text, 2, &day))
        return false;
    if (!is_date(year, month, day))
        return false;
    *out_ms = days_of_civil(year, month, day) * S_PER_DAY * MS_PER_S;
    return true;
}

static bool read_time(const char **text, int64_t *out_ms)
{
    int hour = 0;
    int minute = 0;
    int second = 0;
    if (!read_number(text, 2, &hour) || !read_character(text, ":") ||
        !read_number(text, 2, &minute) || !read_character(text, ":") ||
        !read_number(text, 2, &second))
        return false;
    if (hour > 23 || minute > 59 || second > 60)
        return false; /* 60: a leap second reads as the first of the next minute */
    int64_t ms = ((int64_t)hour * 3600 + minute * 60 + second) * MS_PER_S;
    if (**text == '.') {
        (*text)++;
        if (**text < '0' || **text > '9')
            return false;
        for (int64_t unit = 100; **text >= '0' && **text <= '9'; unit /= 10, (*text)++)
            ms += (**text - '0') * unit;
    }
    *out_ms += ms;
    return true;
}

static bool read_offset(const char **text, int64_t *out_ms)
{
    const char sign = **text;
    if (!read_character(text, "Zz+-"))
        return false;
    if (sign == 'Z' || sign == 'z')
        return true;
    int hour = 0;
    int minute = 0;
    if (!read_number(text, 2, &hour) || !read_character(text, ":") ||
        !read_number(text, 2, &minute) || hour > 23 || minute > 59)
        return false;
    const int64_t offset_ms = ((int64_t)hour * 60 + minute) * 60 * MS_PER_S;
    *out_ms += sign == '+' ? -offset_ms : offset_ms;
    return true;
}

bool clock_parse_rfc3339(const char *text, int64_t *out_wall_ms)
{
    int64_t ms = 0;
    if (!read_date(&text, &ms) || !read_character(&text, "Tt ") || !read_time(&text, &ms) ||
        !read_offset(&text, &ms) || *text != '\0')
        return false;
    if (ms < CLOCK_WALL_MS_MIN || ms > CLOCK_WALL_MS_MAX)
        return false; /* the offset leads out of the years that can be written */
    *out_wall_ms = ms;
    return true;
}
