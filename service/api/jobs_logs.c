/*
 * jobs_logs.c - GET /v1/jobs/{id}/logs: what a rank wrote, as text; with follow=true until the job ends.
 * Without a stream's name: what went to stdout, then what went to stderr.
 */

#include <stdlib.h>
#include <string.h>

#include "service/api/feed.h"
#include "service/api/job_view.h"
#include "service/api/jobs.h"

#define TAIL_LINES_MAX 100000
#define TEXT_TYPE      "text/plain; charset=utf-8"

struct log_query {
    struct feed_log log;
    int64_t tail; /* lines; -1: all */
    bool follow;
};

static bool take_query(struct http_request *request, struct log_query *query)
{
    *query = (struct log_query){.tail = -1};
    query->log.job = http_param(request, 0);
    if (!http_query_int(request, "attempt", 1, INT32_MAX, &query->log.attempt) ||
        !http_query_int(request, "rank", 0, INT32_MAX, &query->log.rank) ||
        !http_query_int(request, "tail", 0, TAIL_LINES_MAX, &query->tail) ||
        !http_query_bool(request, "follow", &query->follow))
        return false;
    const char *name = http_query(request, "stream");
    const int index = name != NULL ? name_index(feed_log_names, name) : 0;
    if (index < 0) {
        http_reply_problem(request, 400, "bad_query",
                           "query stream: expected stdout or stderr, got \"%.64s\"", name);
        return false;
    }
    for (size_t i = 0; i < FEED_LOG_STREAMS; i++)
        query->log.wanted[i] = name == NULL || (size_t)index == i;
    return true;
}

static struct logs_stream stream_of(const struct log_query *query, size_t which)
{
    return (struct logs_stream){.job = query->log.job,
                                .attempt = query->log.attempt,
                                .rank = query->log.rank,
                                .stream = feed_log_names[which]};
}

/* Where to begin; a stream that nobody has written to yet begins at 0. */
static enum status find_starts(struct api *api, struct log_query *query, struct error *err)
{
    for (size_t i = 0; i < FEED_LOG_STREAMS && query->tail >= 0; i++) {
        const struct logs_stream stream = stream_of(query, i);
        struct error missing = {0};
        const enum status status =
            logs_tail(api->logs, &stream, query->tail, &query->log.offset[i], &missing);
        if (status != STATUS_OK && status != STATUS_NOT_FOUND)
            return error_set(err, status, "%s", missing.text);
    }
    return STATUS_OK;
}

static enum status read_all(struct api *api, const struct log_query *query, size_t which,
                            struct buf *out, struct error *err)
{
    const struct logs_stream stream = stream_of(query, which);
    int64_t offset = query->log.offset[which];
    for (;;) {
        int64_t next = offset;
        struct error missing = {0};
        const enum status status = logs_read(api->logs, &stream, offset, out, &next, &missing);
        if (status == STATUS_NOT_FOUND)
            return STATUS_OK;
        if (status != STATUS_OK)
            return error_set(err, status, "%s", missing.text);
        if (next <= offset)
            return STATUS_OK;
        offset = next;
    }
}

static void reply_text(struct http_request *request, const struct log_query *query)
{
    struct error err = {0};
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, API_ANSWER_BYTES_MAX);
    for (size_t i = 0; i < FEED_LOG_STREAMS; i++) {
        if (query->log.wanted[i] && read_all(api_of(request), query, i, &text, &err) != STATUS_OK) {
            http_reply_error(request, &err);
            return;
        }
    }
    http_reply_buf(request, 200, TEXT_TYPE, &text);
}

static void reply_following(struct http_request *request, const struct log_query *query)
{
    if (feed_followers(api_of(request)->feed) >= FEED_FOLLOWERS_MAX) {
        http_reply_problem(request, 503, "busy", "%d logs are followed already",
                           FEED_FOLLOWERS_MAX);
        return;
    }
    struct http_stream *stream = http_reply_stream(request, TEXT_TYPE);
    if (stream != NULL && feed_follow(api_of(request)->feed, stream, &query->log,
                                      http_caller(request)->token, NULL) != STATUS_OK)
        http_stream_release(stream); /* ends at once: the last place went to somebody else */
}

/* The attempt and rank that are asked for; a job that waits is followed into its first attempt. */
static enum status find_rank(struct log_query *query, const struct job_row *row, struct error *err)
{
    if (query->log.attempt > row->attempt)
        return error_set(err, STATUS_NOT_FOUND, "job %s has no attempt %lld", row->id,
                         (long long)query->log.attempt);
    if (query->log.rank >= row->request.ranks)
        return error_set(err, STATUS_NOT_FOUND, "job %s has %lld ranks, none is %lld", row->id,
                         (long long)row->request.ranks, (long long)query->log.rank);
    if (query->log.attempt == 0)
        query->log.attempt = row->attempt > 0 ? row->attempt : 1;
    return STATUS_OK;
}

void jobs_logs(struct http_request *request)
{
    struct api *api = api_of(request);
    struct log_query query;
    if (!take_query(request, &query))
        return;
    struct error err = {0};
    struct job_row row = {.attempt = 0};
    enum status status = STATUS_OK;
    {
        CLEANUP(lent_return) struct lent lent = {0};
        status = readers_lend(api->readers, &lent, &err);
        if (status == STATUS_OK)
            status = job_row_read(&lent, http_caller(request), query.log.job, &row, &err);
    }
    if (status == STATUS_OK)
        status = find_rank(&query, &row, &err);
    if (status == STATUS_OK)
        status = find_starts(api, &query, &err);
    if (status != STATUS_OK)
        http_reply_error(request, &err);
    else if (query.follow)
        reply_following(request, &query);
    else
        reply_text(request, &query);
}
