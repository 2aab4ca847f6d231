#include "trainer/export/protobuf.h"

#include <assert.h>
#include <string.h>

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* Seven bits a byte, least significant first; the top bit says that more follow. */
static size_t encode_varint(uint8_t out[PROTOBUF_VARINT_BYTES_MAX], uint64_t value)
{
    size_t size = 0;
    while (value >= 0x80) {
        out[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[size++] = (uint8_t)value;
    return size;
}

static void append_varint(struct buf *out, uint64_t value)
{
    uint8_t bytes[PROTOBUF_VARINT_BYTES_MAX];
    buf_append(out, bytes, encode_varint(bytes, value));
}

static void append_tag(struct buf *out, int field, enum wire_type type)
{
    assert(field >= 1 && field <= PROTOBUF_FIELD_MAX);
    append_varint(out, (uint64_t)field << 3 | (uint64_t)type);
}

void protobuf_varint(struct buf *out, int field, uint64_t value)
{
    append_tag(out, field, WIRE_VARINT);
    append_varint(out, value);
}

void protobuf_int64(struct buf *out, int field, int64_t value)
{
    protobuf_varint(out, field, (uint64_t)value);
}

/* Fixed widths are little-endian, as all machines that we build for. */
void protobuf_float(struct buf *out, int field, float value)
{
    append_tag(out, field, WIRE_FIXED32);
    buf_append(out, &value, sizeof(value));
}

void protobuf_double(struct buf *out, int field, double value)
{
    append_tag(out, field, WIRE_FIXED64);
    buf_append(out, &value, sizeof(value));
}

void protobuf_length(struct buf *out, int field, size_t size)
{
    append_tag(out, field, WIRE_BYTES);
    append_varint(out, size);
}

void protobuf_bytes(struct buf *out, int field, const void *bytes, size_t size)
{
    protobuf_length(out, field, size);
    buf_append(out, bytes, size);
}

void protobuf_text(struct buf *out, int field, const char *text)
{
    protobuf_bytes(out, field, text, strlen(text));
}

void protobuf_int64s(struct buf *out, int field, const int64_t *values, size_t count)
{
    const struct protobuf_mark mark = protobuf_begin(out, field);
    for (size_t i = 0; i < count; i++)
        append_varint(out, (uint64_t)values[i]);
    protobuf_end(out, mark);
}

/* One byte is kept for the length; protobuf_end() makes room when it takes more. */
struct protobuf_mark protobuf_begin(struct buf *out, int field)
{
    protobuf_length(out, field, 0);
    return (struct protobuf_mark){.content = out->size};
}

void protobuf_end(struct buf *out, struct protobuf_mark mark)
{
    static const uint8_t room[PROTOBUF_VARINT_BYTES_MAX];
    uint8_t length[PROTOBUF_VARINT_BYTES_MAX];
    const size_t size = out->size - mark.content;
    const size_t length_bytes = encode_varint(length, size);
    buf_append(out, room, length_bytes - 1);
    if (out->failed != STATUS_OK)
        return;
    char *content = out->data + mark.content;
    memmove(content + length_bytes - 1, content, size);
    memcpy(content - 1, length, length_bytes);
}
