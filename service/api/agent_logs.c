/* agent_logs.c - POST /v1/agent/logs?job=&attempt=&rank=&stream=&offset= carries a rank's output. */

#include <stdlib.h>
#include <string.h>

#include "schema/wire_agent.h"
#include "service/api/agent.h"
#include "service/api/feed.h"

/* The stream that the query names, of an attempt of this node; false: replied. */
static bool take_stream(struct http_request *request, struct logs_stream *out, int64_t *offset)
{
    *out = (struct logs_stream){.job = http_query(request, "job"),
                                .attempt = -1,
                                .rank = -1,
                                .stream = http_query(request, "stream")};
    *offset = -1;
    if (!http_query_int(request, "attempt", 1, INT32_MAX, &out->attempt) ||
        !http_query_int(request, "rank", 0, INT32_MAX, &out->rank) ||
        !http_query_int(request, "offset", 0, INT64_MAX, offset))
        return false;
    const bool named = out->stream != NULL &&
                       (strcmp(out->stream, "stdout") == 0 || strcmp(out->stream, "stderr") == 0);
    if (out->job == NULL || out->attempt < 0 || out->rank < 0 || *offset < 0 || !named) {
        http_reply_problem(
            request, 400, "bad_query",
            "expected query job, attempt, rank, offset and stream (stdout or stderr)");
        return false;
    }
    struct error err = {0};
    struct agent_attempt found;
    CLEANUP(lent_return) struct lent lent = {0};
    if (readers_lend(api_of(request)->readers, &lent, &err) == STATUS_OK &&
        agent_attempt_read(&lent, http_caller(request)->node, out->job, out->attempt, out->rank,
                           &found, &err) == STATUS_OK)
        return true;
    http_reply_error(request, &err);
    return false;
}

void agent_logs(struct http_request *request)
{
    struct api *api = api_of(request);
    struct logs_stream stream;
    int64_t offset = 0;
    if (!take_stream(request, &stream, &offset))
        return;
    if (!loop_has_room(api->loop)) {
        http_reply_problem(request, 507, "no_space", "the disk of the controller is nearly full");
        return;
    }
    struct error err = {0};
    size_t size = 0;
    const char *bytes = http_body(request, &size);
    int64_t end = 0;
    if (logs_append(api->logs, &stream, offset, bytes, size, &end, &err) != STATUS_OK) {
        http_reply_error(request, &err);
        return;
    }
    feed_log_grew(api->feed, stream.job);
    http_reply_json(request, 200, json_pack("{s:I}", "end", (json_int_t)end));
}
