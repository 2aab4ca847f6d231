#ifndef TRAINER_EXPORT_PROTOBUF_H
#define TRAINER_EXPORT_PROTOBUF_H

/*
 * protobuf.h - writes protocol buffers' wire format: as much of it as ONNX and TensorBoard need.
 *
 * A message is bytes in a struct buf, whose maximum bounds it; fields are appended in any order.
 * Nested messages are written in place:
 *
 *     const struct protobuf_mark mark = protobuf_begin(&buf, 5);
 *     protobuf_text(&buf, 1, "loss");
 *     protobuf_end(&buf, mark);
 *
 * Errors: those of the buffer, asked for once at the end by buf_status().
 * Source: protobuf.dev/programming-guides/encoding.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define PROTOBUF_FIELD_MAX        ((1 << 29) - 1)
#define PROTOBUF_VARINT_BYTES_MAX 10
#define PROTOBUF_MESSAGE_MAX      INT32_MAX /* readers refuse more */

struct protobuf_mark {
    size_t content; /* where the nested message's bytes begin */
};

/* bool, enum, uint64 and int64: a negative number is its two's complement, ten bytes. */
void protobuf_varint(struct buf *out, int field, uint64_t value);
void protobuf_int64(struct buf *out, int field, int64_t value);
void protobuf_float(struct buf *out, int field, float value);
void protobuf_double(struct buf *out, int field, double value);
void protobuf_bytes(struct buf *out, int field, const void *bytes, size_t size);
void protobuf_text(struct buf *out, int field, const char *text);
/* repeated int64, packed */
void protobuf_int64s(struct buf *out, int field, const int64_t *values, size_t count);
/* Tag and length of a field of `size` bytes that the caller writes elsewhere, behind these. */
void protobuf_length(struct buf *out, int field, size_t size);

/* Everything appended until protobuf_end() is the nested message `field`. */
struct protobuf_mark protobuf_begin(struct buf *out, int field);
void protobuf_end(struct buf *out, struct protobuf_mark mark);

#endif
