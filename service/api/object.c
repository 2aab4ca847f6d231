#include "service/api/object.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "service/api/watch.h"

struct wait {
    object_read_fn *read;
    uint64_t hold;
};

static void reply(struct http_request *request, unsigned code, struct buf *body, int64_t revision)
{
    char etag[32];
    snprintf(etag, sizeof(etag), "\"%lld\"", (long long)revision);
    http_reply_buf(request, code, "application/json", body);
    http_reply_header(request, "ETag", etag);
}

void object_reply(struct http_request *request, unsigned code, object_read_fn *read)
{
    struct error err = {0};
    int64_t revision = 0;
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, API_ANSWER_BYTES_MAX);
    if (read(request, &body, &revision, &err) == STATUS_OK)
        reply(request, code, &body, revision);
    else
        http_reply_error(request, &err);
}

static void waited(struct http_request *request)
{
    const struct wait *wait = http_context(request);
    watch_forget(api_of(request)->watch, http_param(request, 0), wait->hold);
    object_reply(request, 200, wait->read);
}

/* False when it is gone or cannot be read: whoever waits is to see that too. */
static bool is_unmoved(struct http_request *request, object_read_fn *read, int64_t seen)
{
    struct error err = {0};
    int64_t revision = 0;
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, API_ANSWER_BYTES_MAX);
    return read(request, &body, &revision, &err) == STATUS_OK && revision <= seen;
}

/* Waits for a revision above `seen`. False: it could not, the caller answers at once. */
static bool wait_for_change(struct http_request *request, object_read_fn *read, int64_t seen,
                            int64_t wait_ms)
{
    struct api *api = api_of(request);
    struct wait *wait = calloc(1, sizeof(*wait));
    if (wait == NULL)
        return false;
    http_set_context(request, wait, free);
    wait->read = read;
    wait->hold = http_hold(api->holds, request, clock_mono_ms() + wait_ms, waited);
    if (wait->hold == 0)
        return false;
    /* It may have moved between our reading and our watching. */
    if (!watch_add(api->watch, http_param(request, 0), wait->hold) ||
        !is_unmoved(request, read, seen))
        http_hold_wake(api->holds, wait->hold);
    return true;
}

void object_get(struct http_request *request, object_read_fn *read)
{
    int64_t seen = -1;
    int64_t wait_ms = 0;
    struct error err = {0};
    if (!http_query_int(request, "revision", 0, INT64_MAX, &seen) ||
        !http_query_duration(request, "wait", API_WAIT_MS_MAX, &wait_ms))
        return;
    CLEANUP(buf_clear) struct buf body;
    buf_init(&body, API_ANSWER_BYTES_MAX);
    int64_t revision = 0;
    if (read(request, &body, &revision, &err) != STATUS_OK)
        http_reply_error(request, &err);
    else if (seen < revision || wait_ms == 0 || !wait_for_change(request, read, seen, wait_ms))
        reply(request, 200, &body, revision);
}
