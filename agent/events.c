#include "agent/events.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"

#define SUCCEEDED        "succeeded"
#define DROPS_A_LOG_LINE 1000

enum status events_open(struct events *events, const char *job, int64_t attempt, int64_t rank,
                        const char *folder, struct error *err)
{
    char path[LOCAL_FOLDER_BYTES + 64];
    *events = (struct events){.attempt = attempt, .rank = rank, .fd = -1};
    TRY(fs_path(events->job, sizeof(events->job), err, "%s", job));
    TRY(fs_path(events->folder, sizeof(events->folder), err, "%s", folder));
    TRY(fs_path(events->offsets_path, sizeof(events->offsets_path), err,
                "%s/rank-%lld/events.offset", folder, (long long)rank));
    TRY(fs_path(path, sizeof(path), err, "%s/rank-%lld/events.jsonl", folder, (long long)rank));
    events->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (events->fd < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "open %s", path);
    events->offsets = tail_offsets_read(events->offsets_path, events->fd);
    events->read = events->offsets.settled;
    return STATUS_OK;
}

void events_close(struct events *events)
{
    fd_cleanup(&events->fd);
    events->fd = -1;
}

/* Makes a path absolute and refuses one that leaves the attempt's folder. */
static bool place_inside(const struct events *events, const char *path, struct upload *out)
{
    const size_t folder_bytes = strlen(events->folder);
    const bool absolute = path[0] == '/';
    if (!path[0] || strstr(path, "/../") || strncmp(path, "../", 3) == 0)
        return false;
    if (absolute && (strncmp(path, events->folder, folder_bytes) != 0 || path[folder_bytes] != '/'))
        return false;
    return fs_path(out->path, sizeof(out->path), NULL, "%s%s%s", absolute ? "" : events->folder,
                   absolute ? "" : "/", path) == STATUS_OK;
}

static json_t *encode_metrics(const struct wire_event *event)
{
    json_t *metrics = json_object();
    for (size_t i = 0; metrics && i < event->value_count; i++)
        (void)json_object_set_new(metrics, event->values[i].name,
                                  json_real(event->values[i].value));
    return metrics;
}

static bool result_sent(const struct events *events)
{
    char path[LOCAL_FOLDER_BYTES + 32];
    return fs_path(path, sizeof(path), NULL, "%s/" UPLOAD_RESULT_SENT, events->folder) ==
               STATUS_OK &&
           fs_exists(path);
}

/* What a line asks to be uploaded; NULL for most lines. */
static struct upload *wanted_upload(struct events *events, const struct wire_event *event,
                                    int64_t start)
{
    const bool result = event->kind == EVENT_FINISHED && events->rank == 0 && event->path[0] &&
                        strcmp(event->status, SUCCEEDED) == 0;
    if (event->kind != EVENT_CHECKPOINT && !result)
        return NULL;
    struct upload *upload = calloc(1, sizeof(*upload));
    if (!upload)
        return NULL;
    upload->kind = result ? UPLOAD_RESULT : UPLOAD_SHARD;
    upload->attempt = events->attempt;
    upload->step = event->step;
    upload->shard = event->shard;
    upload->of = event->shard_of;
    upload->owner = events;
    upload->line_offset = start;
    upload->newest_step = &events->newest_step;
    memcpy(upload->job, events->job, sizeof(upload->job));
    memcpy(upload->sha256, event->sha256, sizeof(upload->sha256));
    memcpy(upload->folder, events->folder, sizeof(upload->folder));
    upload->metrics = result ? encode_metrics(event) : NULL;
    if (!place_inside(events, event->path, upload)) {
        log_write(LOG_WARN, "file_refused", "an event names a file outside of its attempt", "job",
                  events->job, "path", event->path, NULL);
        upload_free(upload);
        return NULL;
    }
    /* Sent by an earlier agent. */
    if (result ? result_sent(events) : !fs_exists(upload->path)) {
        upload_free(upload);
        return NULL;
    }
    return upload;
}

/* The line as telemetry: (job, attempt) in front of it; written anew where it says otherwise. */
static void append_line(const struct events *events, struct wire_event *event, const char *line,
                        size_t size, struct buf *body)
{
    if (!event->job[0] && event->attempt == 0 && event->rank == events->rank) {
        const char *brace = memchr(line, '{', size);
        assert(brace); /* it was decoded as an object */
        buf_printf(body, "{\"job\":\"%s\",\"attempt\":%lld,", events->job,
                   (long long)events->attempt);
        buf_append(body, brace + 1, size - (size_t)(brace + 1 - line));
    } else {
        memcpy(event->job, events->job, sizeof(event->job));
        event->attempt = events->attempt;
        event->rank = events->rank;
        CLEANUP(json_cleanup) json_t *document = wire_event_encode(event);
        CLEANUP(free_cleanup) char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
        buf_append_text(body, text ? text : "{}");
    }
    buf_append_text(body, "\n");
}

static void note_kind(struct events *events, enum event_kind kind, struct batch *batch)
{
    const bool moves = kind == EVENT_METRIC || kind == EVENT_PROGRESS;
    if (kind == EVENT_STARTED || (moves && !events->stepped))
        batch->stepped = true;
    if (!moves || !events->stepped)
        batch->urgent = true;
    events->stepped = events->stepped || moves;
}

/* Whether the file that the line at `start` names is with the uploader already. */
static bool is_open(const struct events *events, int64_t start)
{
    for (size_t i = 0; i < events->open_count; i++) {
        if (events->open[i]->line_offset == start)
            return true;
    }
    return false;
}

/* A program that writes rubbish must not fill our log with it. */
static void drop_line(struct events *events, int64_t end, const char *why)
{
    events->read = end;
    if (events->dropped++ % DROPS_A_LOG_LINE == 0)
        log_write(LOG_WARN, "event_dropped", why, "job", events->job, NULL);
}

/* False when the batch is full or the rank has too many uploads under way. */
static bool take_line(struct events *events, const char *line, size_t size, struct batch *batch)
{
    struct wire_event event;
    struct error err = {0};
    const int64_t start = events->read;
    const int64_t end = start + (int64_t)size + 1;
    if (batch->count == BATCH_LINES_MAX || batch->body.size + size + 256 > batch->body.bytes_max ||
        events->open_count == EVENTS_OPEN_MAX)
        return false;
    if (size == 0) {
        events->read = end;
        return true;
    }
    if (wire_event_decode(line, size, &event, &err) != STATUS_OK) {
        drop_line(events, end, err.text);
        return true;
    }
    struct upload *upload = is_open(events, start) ? NULL : wanted_upload(events, &event, start);
    events->read = end;
    if (end <= events->offsets.acked) {
        /* Delivered before the agent started; only the file is still owed. */
        if (!upload)
            return true;
    } else {
        append_line(events, &event, line, size, &batch->body);
        note_kind(events, event.kind, batch);
    }
    batch->lines[batch->count++] = (struct batch_line){
        .events = events, .start = start, .end = end, .seq = event.seq, .upload = upload};
    events->pending++;
    batch->urgent = batch->urgent || upload;
    if (upload)
        events->open[events->open_count++] = upload;
    return true;
}

/* The chunk ends with a newline. False when a line has to wait. */
static bool take_lines(struct events *events, const struct buf *chunk, struct batch *batch)
{
    const char *line = chunk->data;
    const char *limit = chunk->data + chunk->size;
    while (line < limit) {
        const char *end = memchr(line, '\n', (size_t)(limit - line));
        assert(end);
        if (!take_line(events, line, (size_t)(end - line), batch))
            return false;
        line = end + 1;
    }
    return true;
}

enum status events_read(struct events *events, struct batch *batch, struct error *err)
{
    CLEANUP(buf_clear) struct buf chunk;
    buf_init(&chunk, TAIL_CHUNK_BYTES);
    events->end_of_file = false;
    for (;;) {
        int64_t skipped = 0;
        TRY(tail_read(events->fd, events->read, &chunk, &skipped, err));
        if (skipped > 0)
            drop_line(events, events->read + skipped, "a line is longer than an event may be");
        else if (chunk.size == 0) {
            events->end_of_file = true;
            return STATUS_OK;
        }
        if (!take_lines(events, &chunk, batch))
            return STATUS_OK;
    }
}

/* A line that has not been looked at may name a file, just as one whose file is under way. */
static int64_t settled_until(const struct events *events)
{
    int64_t settled = events->read < events->offsets.acked ? events->read : events->offsets.acked;
    for (size_t i = 0; i < events->open_count; i++) {
        if (events->open[i]->line_offset < settled)
            settled = events->open[i]->line_offset;
    }
    return settled;
}

void events_save(struct events *events)
{
    struct error err = {0};
    if (!events->unsaved)
        return;
    events->unsaved = false;
    events->offsets.settled = settled_until(events);
    const bool kept = tail_offsets_write(events->offsets_path, &events->offsets, &err) == STATUS_OK;
    /* A full disk stays full for a while: once is enough. */
    if (!kept && !events->complained)
        log_write(LOG_WARN, "offset_not_kept", err.text, "job", events->job, NULL);
    events->complained = !kept;
}

void events_acked(struct events *events, int64_t end)
{
    assert(events->pending > 0);
    events->pending--;
    if (end > events->offsets.acked)
        events->offsets.acked = end;
    /* Lines that were dropped after the last one sent have nothing to wait for. */
    if (events->pending == 0 && events->read > events->offsets.acked)
        events->offsets.acked = events->read;
    events->unsaved = true;
}

static void close_upload(struct events *events, const struct upload *upload)
{
    for (size_t i = 0; i < events->open_count; i++) {
        if (events->open[i] == upload) {
            events->open[i] = events->open[--events->open_count];
            return;
        }
    }
}

void events_upload_done(struct events *events, const struct upload *upload)
{
    close_upload(events, upload);
    events->unsaved = true;
    events_save(events);
}

static void read_again_from(struct events *events, int64_t offset)
{
    if (events->read <= offset)
        return;
    events->read = offset;
    events->end_of_file = false;
}

void events_rewind(struct events *events)
{
    events->pending = 0;
    read_again_from(events, events->offsets.acked);
}

bool events_drained(const struct events *events)
{
    return events->end_of_file && events->pending == 0 && events->open_count == 0;
}

void batch_init(struct batch *batch)
{
    buf_init(&batch->body, BATCH_BYTES_MAX);
    batch->count = 0;
    batch->urgent = false;
    batch->stepped = false;
}

void batch_reset(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct upload *upload = batch->lines[i].upload;
        if (!upload)
            continue;
        close_upload(batch->lines[i].events, upload);
        read_again_from(batch->lines[i].events, batch->lines[i].start);
        upload_free(upload);
    }
    buf_reset(&batch->body);
    batch->count = 0;
    batch->urgent = false;
    batch->stepped = false;
}
