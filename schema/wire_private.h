#ifndef SCHEMA_WIRE_PRIVATE_H
#define SCHEMA_WIRE_PRIVATE_H

/* wire_private.h - small helpers of the files wire_*.c alone. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"

#define STEP_MAX INT64_C(1000000000000000) /* also a bound of counts and bytes */

/*
 * Setters of a member. A value that cannot be made (bad UTF-8, no memory) leaves the member out, and
 * the receiver names it as missing.
 */
void wire_set_text(json_t *object, const char *key, const char *value);
void wire_set_int(json_t *object, const char *key, int64_t value);
void wire_set_bool(json_t *object, const char *key, bool value);
void wire_set(json_t *object, const char *key, json_t *value); /* steals `value` */

/* Getters of a member of `at`: required (_get_) or left alone when absent (_opt_). */
void wire_get_text(const struct json_at *at, const char *key, char *out, size_t out_bytes);
void wire_opt_text(const struct json_at *at, const char *key, char *out, size_t out_bytes);
void wire_get_int(const struct json_at *at, const char *key, int64_t min, int64_t *out);
void wire_opt_int(const struct json_at *at, const char *key, int64_t min, int64_t *out);
void wire_opt_bool(const struct json_at *at, const char *key, bool *out);
/* A word of a list; a word that this version does not know, or none, is `otherwise`. */
int wire_word(const struct json_at *at, const char *key, const char *const names[], int otherwise);
/* 64 lower-case hexadecimal digits. */
void wire_get_sha256(const struct json_at *at, const char *key, char out[65]);

/* A zeroed array of the list at `at`, with *out_count; NULL for an empty or a wrong one. */
void *wire_get_list(const struct json_at *at, size_t count_max, size_t item_bytes,
                    size_t *out_count);

#endif
