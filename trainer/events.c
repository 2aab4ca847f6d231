#include "trainer/events.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"

struct events {
    int fd;
    int rank;
    pthread_mutex_t mutex; /* number and line go out together */
    int64_t seq;
    char path[PATH_BYTES_MAX];
};

enum status events_open(const char *path, int rank, struct events **out, struct error *err)
{
    struct events *events = calloc(1, sizeof(*events));
    if (events == NULL)
        return error_set(err, STATUS_NO_MEMORY, "open %s", path);
    events->rank = rank;
    (void)snprintf(events->path, sizeof(events->path), "%s", path);
    events->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (events->fd < 0) {
        const int errnum = errno;
        free(events);
        return error_set_errno(err, status_of_errno(errnum), errnum, "open %s", path);
    }
    (void)pthread_mutex_init(&events->mutex, NULL); /* cannot fail with default attributes */
    *out = events;
    return STATUS_OK;
}

void events_close(struct events *events)
{
    if (events == NULL)
        return;
    (void)close(events->fd);
    (void)pthread_mutex_destroy(&events->mutex);
    free(events);
}

/* One write: a short one (full disk) leaves a torn line, and nothing may follow it. */
static enum status append_line(struct events *events, struct wire_event *event, struct error *err)
{
    event->seq = ++events->seq;
    CLEANUP(json_cleanup) json_t *json = wire_event_encode(event);
    CLEANUP(free_cleanup) char *text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT);
    if (text == NULL)
        return error_set(err, STATUS_NO_MEMORY, "encode an event");
    const size_t size = strlen(text);
    text[size] = '\n'; /* in place of the NUL: the size is known */
    ssize_t written = -1;
    do
        written = write(events->fd, text, size + 1);
    while (written < 0 && errno == EINTR);
    if (written < 0)
        return error_set_errno(err, status_of_errno(errno), errno, "write %s", events->path);
    if ((size_t)written != size + 1)
        return error_set(err, STATUS_NO_SPACE, "write %s: %zd of %zu bytes", events->path, written,
                         size + 1);
    return STATUS_OK;
}

enum status events_emit(struct events *events, struct wire_event *event, struct error *err)
{
    event->rank = events->rank;
    event->wall_ms = clock_wall_ms();
    event->boot_ms = clock_boot_ms();
    (void)pthread_mutex_lock(&events->mutex);
    const enum status status = append_line(events, event, err);
    (void)pthread_mutex_unlock(&events->mutex);
    return status;
}
