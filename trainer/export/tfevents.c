#include "trainer/export/tfevents.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "trainer/export/protobuf.h"

#define HEADER_BYTES (sizeof(uint64_t) + sizeof(uint32_t))
#define EVENT_MAX    (TFEVENTS_SCALARS_MAX * (TFEVENTS_TAG_BYTES + 16) + 64)
#define RECORD_MAX   (EVENT_MAX + HEADER_BYTES + sizeof(uint32_t))

/* Fields of Event, Summary and Summary.Value. */
enum { EVENT_WALL_TIME = 1, EVENT_STEP = 2, EVENT_FILE_VERSION = 3, EVENT_SUMMARY = 5 };
enum { SUMMARY_VALUE = 1 };
enum { VALUE_TAG = 1, VALUE_SIMPLE = 2 };

struct tfevents {
    int fd;
    char path[PATH_MAX];
    struct buf event;
    struct buf record;
};

uint32_t crc32c(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? UINT32_C(0x82F63B78) : 0);
    }
    return ~crc;
}

uint32_t crc32c_mask(uint32_t crc)
{
    return (crc >> 15 | crc << 17) + UINT32_C(0xA282EAD8);
}

/* Frames the event as a record and appends it to the file. */
static enum status write_record(struct tfevents *events, struct error *err)
{
    TRY(buf_status(&events->event, "TensorBoard event", err));
    const uint64_t length = events->event.size;
    const uint32_t length_crc = crc32c_mask(crc32c(&length, sizeof(length)));
    const uint32_t data_crc = crc32c_mask(crc32c(events->event.data, events->event.size));
    struct buf *record = &events->record;
    buf_reset(record);
    buf_append(record, &length, sizeof(length));
    buf_append(record, &length_crc, sizeof(length_crc));
    buf_append(record, events->event.data, events->event.size);
    buf_append(record, &data_crc, sizeof(data_crc));
    TRY(buf_status(record, "TensorBoard record", err));
    const enum status written = fs_write_all(events->fd, record->data, record->size, NULL);
    if (written != STATUS_OK)
        return error_set_errno(err, written, errno, "write %s", events->path);
    return STATUS_OK;
}

static void begin_event(struct tfevents *events, int64_t wall_ms)
{
    buf_reset(&events->event);
    protobuf_double(&events->event, EVENT_WALL_TIME, (double)wall_ms / 1000.0);
}

/* Creates a file that was not there: an attempt that begins in the same second takes another name. */
static enum status create_file(struct tfevents *events, const char *folder, const char *host,
                               int64_t wall_ms, struct error *err)
{
    for (int n = 0; n < TFEVENTS_SAME_SECOND_MAX; n++) {
        TRY(fs_path(events->path, sizeof(events->path), err,
                    n == 0 ? "%s/events.out.tfevents.%lld.%s" : "%s/events.out.tfevents.%lld.%s.%d",
                    folder, (long long)(wall_ms / 1000), host, n));
        events->fd = open(events->path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (events->fd >= 0)
            return STATUS_OK;
        if (errno != EEXIST)
            return error_set_errno(err, status_of_errno(errno), errno, "create %s", events->path);
    }
    return error_set(err, STATUS_CONFLICT, "%s: there, as are its %d successors", events->path,
                     TFEVENTS_SAME_SECOND_MAX - 1);
}

static void tfevents_cleanup(struct tfevents **events)
{
    tfevents_close(*events);
}

enum status tfevents_open(const char *folder, const char *host, int64_t wall_ms,
                          struct tfevents **out, struct error *err)
{
    CLEANUP(tfevents_cleanup) struct tfevents *events = calloc(1, sizeof(*events));
    if (events == NULL)
        return error_set(err, STATUS_NO_MEMORY, "open TensorBoard events in %s", folder);
    events->fd = -1;
    buf_init(&events->event, EVENT_MAX);
    buf_init(&events->record, RECORD_MAX);
    TRY(fs_make_dirs(folder, 0755, err));
    TRY(create_file(events, folder, host, wall_ms, err));
    begin_event(events, wall_ms);
    protobuf_text(&events->event, EVENT_FILE_VERSION, "brain.Event:2");
    TRY(write_record(events, err));
    *out = TAKE(events);
    return STATUS_OK;
}

void tfevents_close(struct tfevents *events)
{
    if (events == NULL)
        return;
    if (events->fd >= 0)
        (void)close(events->fd); /* each record was written when it came */
    buf_clear(&events->event);
    buf_clear(&events->record);
    free(events);
}

enum status tfevents_scalars(struct tfevents *events, int64_t step, int64_t wall_ms,
                             const struct tfevents_scalar *scalars, size_t count, struct error *err)
{
    assert(count <= TFEVENTS_SCALARS_MAX);
    struct buf *event = &events->event;
    begin_event(events, wall_ms);
    protobuf_int64(event, EVENT_STEP, step);
    const struct protobuf_mark summary = protobuf_begin(event, EVENT_SUMMARY);
    for (size_t i = 0; i < count; i++) {
        assert(strlen(scalars[i].tag) < TFEVENTS_TAG_BYTES);
        const struct protobuf_mark value = protobuf_begin(event, SUMMARY_VALUE);
        protobuf_text(event, VALUE_TAG, scalars[i].tag);
        protobuf_float(event, VALUE_SIMPLE, (float)scalars[i].value);
        protobuf_end(event, value);
    }
    protobuf_end(event, summary);
    return write_record(events, err);
}

const char *tfevents_path(const struct tfevents *events)
{
    return events->path;
}
