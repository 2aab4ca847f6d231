#ifndef TRAINER_DATA_NUMBER_H
#define TRAINER_DATA_NUMBER_H

/*
 * number.h - numbers in data files, without locale and without a NUL behind them: decimal digits with
 * an optional sign, point and exponent, blanks around them allowed. Nothing else is a number: neither
 * "inf" nor hexadecimal. The results are those of correct rounding, bit for bit what strtof() and
 * strtod() give.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False when it is no number, or not finite as a float. */
bool number_parse_float(const char *text, size_t size, float *out);
bool number_parse_double(const char *text, size_t size, double *out);
/* Digits with an optional sign, no blanks; false also when it does not fit. */
bool number_parse_int(const char *text, size_t size, int64_t *out);
/* "", and in either case NA, NaN, N/A, null, none: what tables have where a number is missing. */
bool number_is_missing(const char *text, size_t size);
/*
 * A moment as a number or as RFC 3339 text ("2026-11-24", "2026-11-24T10:26:14Z", with fractions and
 * offsets; a blank may stand for the T), as a key that sorts as the moments do. *out_is_text says which:
 * keys of the two kinds cannot be compared.
 */
bool number_parse_time(const char *text, size_t size, uint64_t *out_key, bool *out_is_text);

#endif
