/* jobs_logs.c - GET /v1/jobs/{id}/logs: what a rank wrote, as text; with follow=true until the job ends. */

#include <stdlib.h>
#include <string.h>

#include "service/api/feed.h"
#include "service/api/job_view.h"
#include "service/api/jobs.h"

#define TAIL_LINES_MAX 100000
#define TEXT_TYPE      "text/plain; charset=utf-8"

struct log_query {
    struct logs_stream stream;
    int64_t tail; /* lines; -1: all */
    bool follow;
};

static bool take_query(struct http_request *request, struct log_query *query)
{
    *query = (struct log_query){.tail = -1};
    query->stream.job = http_param(request, 0);
    query->stream.stream = "stdout";
    if (!http_query_int(request, "attempt", 1, INT32_MAX, &query->stream.attempt) ||
        !http_query_int(request, "rank", 0, INT32_MAX, &query->stream.rank) ||
        !http_query_int(request, "tail", 0, TAIL_LINES_MAX, &query->tail) ||
        !http_query_bool(request, "follow", &query->follow))
        return false;
    const char *name = http_query(request, "stream");
    if (name == NULL)
        return true;
    query->stream.stream = name;
    if (strcmp(name, "stdout") == 0 || strcmp(name, "stderr") == 0)
        return true;
    http_reply_problem(request, 400, "bad_query",
                       "query stream: expected stdout or stderr, got \"%.64s\"", name);
    return false;
}

/* Where to begin; a stream that nobody has written to yet begins at 0. */
static enum status start_of(struct api *api, const struct log_query *query, int64_t *out,
                            struct error *err)
{
    *out = 0;
    if (query->tail < 0)
        return STATUS_OK;
    struct error missing = {0};
    const enum status status = logs_tail(api->logs, &query->stream, query->tail, out, &missing);
    if (status == STATUS_OK || status == STATUS_NOT_FOUND)
        return STATUS_OK;
    return error_set(err, status, "%s", missing.text);
}

static enum status read_all(struct api *api, const struct log_query *query, int64_t offset,
                            struct buf *out, struct error *err)
{
    for (;;) {
        int64_t next = offset;
        struct error missing = {0};
        const enum status status =
            logs_read(api->logs, &query->stream, offset, out, &next, &missing);
        if (status == STATUS_NOT_FOUND)
            return STATUS_OK;
        if (status != STATUS_OK)
            return error_set(err, status, "%s", missing.text);
        if (next <= offset)
            return STATUS_OK;
        offset = next;
    }
}

static void reply_text(struct http_request *request, const struct log_query *query, int64_t offset)
{
    struct error err = {0};
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, API_ANSWER_BYTES_MAX);
    if (read_all(api_of(request), query, offset, &text, &err) != STATUS_OK)
        http_reply_error(request, &err);
    else
        http_reply_buf(request, 200, TEXT_TYPE, &text);
}

static void reply_following(struct http_request *request, const struct log_query *query,
                            int64_t offset)
{
    struct error err = {0};
    struct http_stream *stream = http_reply_stream(request, TEXT_TYPE);
    if (stream == NULL)
        return;
    if (feed_follow(api_of(request)->feed, stream, query->stream.job, query->stream.attempt,
                    query->stream.rank, query->stream.stream, offset, &err) != STATUS_OK)
        http_stream_release(stream); /* an empty log rather than a broken one: too many follow */
}

void jobs_logs(struct http_request *request)
{
    struct api *api = api_of(request);
    struct log_query query;
    if (!take_query(request, &query))
        return;
    struct error err = {0};
    struct job_row row;
    int64_t offset = 0;
    {
        CLEANUP(lent_return) struct lent lent = {0};
        if (readers_lend(api->readers, &lent, &err) != STATUS_OK ||
            job_row_read(&lent, http_caller(request), query.stream.job, &row, &err) != STATUS_OK) {
            http_reply_error(request, &err);
            return;
        }
    }
    if (query.stream.attempt == 0)
        query.stream.attempt = row.attempt > 0 ? row.attempt : 1;
    if (start_of(api, &query, &offset, &err) != STATUS_OK)
        http_reply_error(request, &err);
    else if (query.follow)
        reply_following(request, &query, offset);
    else
        reply_text(request, &query, offset);
}
