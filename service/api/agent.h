#ifndef SERVICE_API_AGENT_H
#define SERVICE_API_AGENT_H

/*
 * agent.h - the handlers of the agents' listener: join and sync (agent_sync.c), telemetry
 * (agent_telemetry.c), shards, artifacts, results (agent_blobs.c), output (agent_logs.c). A node may
 * touch only what belongs to attempts that have ranks on it.
 */

#include "service/api/api.h"
#include "service/api/readers.h"

#define AGENT_JOIN_ROLE "join" /* the word in a join token's text */

void agent_join(struct http_request *request);
void agent_sync(struct http_request *request);
void agent_telemetry(struct http_request *request);
bool agent_shard_sink(struct http_request *request, const char *bytes, size_t size);
void agent_shard_put(struct http_request *request);
void agent_shard_get(struct http_request *request);
bool agent_artifact_sink(struct http_request *request, const char *bytes, size_t size);
void agent_artifact_put(struct http_request *request);
void agent_result(struct http_request *request);
void agent_logs(struct http_request *request);

/* What a node's attempt is: found by reading the database. */
struct agent_attempt {
    struct job_row job;
    bool has_rank; /* this node runs or ran a rank of it */
};
/* STATUS_NOT_FOUND when the job or attempt is unknown, or this rank (-1: any) is not on this node. */
MUST_CHECK enum status agent_attempt_read(struct lent *lent, const char *node, const char *job,
                                          int64_t attempt, int64_t rank, struct agent_attempt *out,
                                          struct error *err);

/* The thread that stores telemetry. */
MUST_CHECK enum status telemetry_desk_new(struct api *api, struct telemetry_desk **out,
                                          struct error *err);
void telemetry_desk_stop(struct telemetry_desk *desk);
void telemetry_desk_free(struct telemetry_desk *desk); /* accepts NULL */
void telemetry_desk_count(const struct telemetry_desk *desk, struct telemetry_counts *out);

#endif
