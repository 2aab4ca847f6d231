#ifndef SERVICE_API_OUT_H
#define SERVICE_API_OUT_H

/*
 * out.h - writes JSON answers straight into a buffer: no tree, and stored JSON text (specs, labels,
 * metrics) goes in as it is. The caller opens and closes in pairs; keys are our own words.
 *
 * Errors: those of the buffer: asked once at the end.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct out {
    struct buf *buf;
    bool comma; /* a value stands before: the next needs a comma */
};

struct out out_to(struct buf *buf);

/* `key` NULL: inside an array, or the document itself. */
void out_open_object(struct out *out, const char *key);
void out_close_object(struct out *out);
void out_open_array(struct out *out, const char *key);
void out_close_array(struct out *out);

void out_text(struct out *out, const char *key, const char *text);
void out_text_or_null(struct out *out, const char *key, const char *text); /* "" is null */
void out_int(struct out *out, const char *key, int64_t value);
void out_number(struct out *out, const char *key, double value); /* not finite: null */
void out_bool(struct out *out, const char *key, bool value);
void out_null(struct out *out, const char *key);
void out_time(struct out *out, const char *key, int64_t wall_ms); /* RFC 3339; 0 is null */
void out_raw(struct out *out, const char *key, const char *json, size_t size);

#endif
