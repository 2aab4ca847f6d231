#include "service/api/object.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "service/api/watch.h"

struct wait {
    object_read_fn *read;
    uint64_t hold;
};

/* ---------------------------------------------------------------- entity tags */

void object_etag(struct http_request *request, int64_t revision)
{
    char etag[32];
    snprintf(etag, sizeof(etag), "\"%lld\"", (long long)revision);
    http_reply_header(request, "ETag", etag);
}

/* One entity tag of a list, as it stands there. */
struct tag {
    const char *text; /* what is between the quotes */
    size_t size;
    bool weak;
};

/* Moves *cursor past the next tag and what separates it; false at what is none. */
static bool next_tag(const char **cursor, struct tag *out)
{
    const char *at = *cursor + strspn(*cursor, ", \t");
    out->weak = at[0] == 'W' && at[1] == '/';
    at += out->weak ? 2 : 0;
    if (*at != '"')
        return false;
    out->text = at + 1;
    out->size = strcspn(out->text, "\"");
    if (out->text[out->size] != '"')
        return false;
    at = out->text + out->size + 1;
    at += strspn(at, " \t");
    if (*at != ',' && *at != '\0')
        return false;
    *cursor = at;
    return true;
}

bool object_take_if_match(struct http_request *request, const char **out)
{
    const char *header = http_header(request, "If-Match");
    *out = header != NULL && strcmp(header, "*") != 0 ? header : NULL;
    struct tag tag;
    const char *cursor = header;
    bool passes = *out == NULL || next_tag(&cursor, &tag);
    while (passes && *out != NULL && cursor[strspn(cursor, ", \t")] != '\0')
        passes = next_tag(&cursor, &tag);
    if (!passes)
        http_reply_problem(request, 400, "bad_if_match",
                           "If-Match: expected * or ETags such as \"41\", got \"%.64s\"", header);
    return passes;
}

bool object_matches(const char *if_match, int64_t revision)
{
    char wanted[24];
    struct tag tag;
    const int size = snprintf(wanted, sizeof(wanted), "%lld", (long long)revision);
    bool found = if_match == NULL;
    while (!found && next_tag(&if_match, &tag)) /* a weak tag matches nothing (RFC 9110) */
        found = !tag.weak && tag.size == (size_t)size && memcmp(tag.text, wanted, tag.size) == 0;
    return found;
}

void object_refuse_match(struct http_request *request, const char *what, const char *if_match,
                         int64_t revision)
{
    http_reply_problem(request, 412, "precondition_failed",
                       "%s %s is at revision %lld, If-Match says %.64s", what,
                       http_param(request, 0), (long long)revision, if_match);
}

/* ---------------------------------------------------------------- GET */

static void reply(struct http_request *request, unsigned code, struct buf *body, int64_t revision)
{
    http_reply_buf(request, code, "application/json", body);
    if (revision > 0)
        object_etag(request, revision);
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
