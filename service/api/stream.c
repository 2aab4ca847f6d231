/* stream.c - GET /v1/stream?topics=job:ID,nodes,queue: server-sent events, or lines of JSON. */

#include <stdio.h>
#include <string.h>

#include "service/api/feed.h"
#include "service/api/job_view.h"
#include "service/api/system.h"

/* Adds one topic; false: replied. */
static bool add_topic(struct http_request *request, struct lent *lent, const char *topic,
                      struct feed_topics *out)
{
    if (strcmp(topic, "nodes") == 0) {
        out->nodes = true;
        return true;
    }
    if (strcmp(topic, "queue") == 0) {
        out->queue = true;
        return true;
    }
    struct error err = {0};
    struct job_row row;
    if (strncmp(topic, "job:", 4) != 0 || out->job_count == FEED_TOPICS_MAX) {
        http_reply_problem(request, 400, "bad_query",
                           "query topics: expected up to %d of job:ID, nodes, queue, got \"%.64s\"",
                           FEED_TOPICS_MAX, topic);
        return false;
    }
    if (job_row_read(lent, http_caller(request), topic + 4, &row, &err) != STATUS_OK) {
        http_reply_error(request, &err);
        return false;
    }
    memcpy(out->jobs[out->job_count++], row.id, ID_BYTES_MAX);
    return true;
}

static bool take_topics(struct http_request *request, struct lent *lent, struct feed_topics *out)
{
    const char *given = http_query(request, "topics");
    char text[1024];
    snprintf(text, sizeof(text), "%s", given != NULL ? given : "queue,nodes");
    for (char *topic = text; topic != NULL && *topic != '\0';) {
        char *comma = strchr(topic, ',');
        if (comma != NULL)
            *comma = '\0';
        if (!add_topic(request, lent, topic, out))
            return false;
        topic = comma != NULL ? comma + 1 : NULL;
    }
    return true;
}

void stream_open(struct http_request *request)
{
    struct api *api = api_of(request);
    struct feed_topics topics = {0};
    struct error err = {0};
    {
        CLEANUP(lent_return) struct lent lent = {0};
        if (readers_lend(api->readers, &lent, &err) != STATUS_OK) {
            http_reply_error(request, &err);
            return;
        }
        if (!take_topics(request, &lent, &topics))
            return;
    }
    const char *accept = http_header(request, "Accept");
    topics.lines = accept != NULL && strstr(accept, "application/x-ndjson") != NULL;
    snprintf(topics.project, sizeof(topics.project), "%s", http_caller(request)->project);
    if (feed_subscribers(api->feed) >= FEED_SUBSCRIBERS_MAX) {
        http_reply_problem(request, 503, "busy", "there are %d streams already",
                           FEED_SUBSCRIBERS_MAX);
        return;
    }
    struct http_stream *stream =
        http_reply_stream(request, topics.lines ? "application/x-ndjson" : "text/event-stream");
    if (stream != NULL &&
        feed_subscribe(api->feed, stream, &topics, http_caller(request)->token, &err) != STATUS_OK)
        http_stream_release(stream); /* ends at once: the last place went to somebody else */
}
