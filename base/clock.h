#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

/*
 * clock.h - reading time. Only main files, loops and tests call these; everything below takes
 * `now_..._ms` as an argument. Leases are counted on boot time (it does not jump and does not stop
 * while a guest is suspended), other waits on monotonic time; wall time is only shown to people.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int64_t clock_boot_ms(void);
int64_t clock_mono_ms(void);
int64_t clock_mono_ns(void);
int64_t clock_wall_ms(void);
void clock_sleep_ms(int64_t duration_ms);

#define CLOCK_RFC3339_BYTES 25 /* "2026-11-24T07:12:00.123Z" and the NUL */

/* 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z: what RFC 3339 can say. */
#define CLOCK_WALL_MS_MIN INT64_C(-62167219200000)
#define CLOCK_WALL_MS_MAX INT64_C(253402300799999)

/* RFC 3339, UTC, milliseconds. Asserts the range above: check what comes from outside. */
void clock_format_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_BYTES]);
/* Any RFC 3339 time of the years 0..9999, with any offset and fraction; false otherwise. */
bool clock_parse_rfc3339(const char *text, int64_t *out_wall_ms);

#endif
