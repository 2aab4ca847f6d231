/*
 * routes.c - every path of the service, in one place: who may ask, how large a body may be, who
 * answers. interface.md and schema/openapi.yaml say the same; a test holds them against each other.
 */

#include "schema/wire_agent.h"
#include "schema/wire_event.h"
#include "service/api/agent.h"
#include "service/api/api.h"
#include "service/api/jobs.h"
#include "service/api/nodes.h"
#include "service/api/registry.h"
#include "service/api/system.h"
#include "service/store/logs.h"

#define PUBLIC   ROLES_PUBLIC
#define OPERATOR ROLE_BIT(ROLE_OPERATOR)
#define WRITE    (OPERATOR | ROLE_BIT(ROLE_SUBMITTER))
#define READ     (WRITE | ROLE_BIT(ROLE_VIEWER))
#define NODE     ROLE_BIT(ROLE_NODE)

#define NONE   HTTP_BODY_NONE
#define JSON   HTTP_BODY_JSON
#define NDJSON HTTP_BODY_NDJSON
#define BYTES  HTTP_BODY_BYTES
#define EMPTY  KIB /* of a body that says nothing: "{}" */
#define SMALL  API_SMALL_BYTES_MAX
#define BLOB   API_BLOB_BYTES_MAX

#define QUERY(...) ((const char *const[]){__VA_ARGS__, NULL})
#define PAGED      QUERY("limit", "cursor")

/* clang-format off */
const struct http_route api_routes[] = {
    /* method    path                             roles     body    limit  handler            sink  query */
    {HTTP_POST,   "/v1/jobs",                      WRITE,    JSON,  API_SUBMIT_BYTES_MAX, jobs_submit, NULL, QUERY("dry_run")},
    {HTTP_GET,    "/v1/jobs",                      READ,     NONE,  EMPTY, jobs_list,        NULL, QUERY("state", "project", "name", "label", "q", "limit", "cursor")},
    {HTTP_GET,    "/v1/jobs/{id}",                 READ,     NONE,  EMPTY, jobs_get,         NULL, QUERY("revision", "wait")},
    {HTTP_POST,   "/v1/jobs/{id}/cancel",          WRITE,    NONE,  EMPTY, jobs_cancel,      NULL, NULL},
    {HTTP_POST,   "/v1/jobs/{id}/checkpoint",      WRITE,    NONE,  EMPTY, jobs_checkpoint,  NULL, NULL},
    {HTTP_POST,   "/v1/jobs/{id}/pause",           WRITE,    NONE,  EMPTY, jobs_pause,       NULL, NULL},
    {HTTP_POST,   "/v1/jobs/{id}/resume",          WRITE,    NONE,  EMPTY, jobs_resume,      NULL, NULL},
    {HTTP_POST,   "/v1/jobs/{id}/retry",           WRITE,    NONE,  EMPTY, jobs_retry,       NULL, NULL},
    {HTTP_GET,    "/v1/jobs/{id}/explain",         READ,     NONE,  EMPTY, jobs_explain,     NULL, NULL},
    {HTTP_GET,    "/v1/jobs/{id}/attempts",        READ,     NONE,  EMPTY, jobs_attempts,    NULL, PAGED},
    {HTTP_GET,    "/v1/jobs/{id}/metrics",         READ,     NONE,  EMPTY, jobs_metrics,     NULL, QUERY("names", "points", "from_step", "to_step", "lineage", "rank")},
    {HTTP_GET,    "/v1/jobs/{id}/logs",            READ,     NONE,  EMPTY, jobs_logs,        NULL, QUERY("attempt", "rank", "stream", "tail", "follow")},
    {HTTP_GET,    "/v1/jobs/{id}/checkpoints",     READ,     NONE,  EMPTY, jobs_checkpoints, NULL, PAGED},
    {HTTP_GET,    "/v1/jobs/{id}/model",           READ,     NONE,  EMPTY, jobs_model,       NULL, NULL},
    {HTTP_GET,    "/v1/jobs/{id}/events",          READ,     NONE,  EMPTY, jobs_events,      NULL, PAGED},
    {HTTP_POST,   "/v1/nodes/tokens",              OPERATOR, NONE,  EMPTY, nodes_token,      NULL, NULL},
    {HTTP_GET,    "/v1/nodes",                     READ,     NONE,  EMPTY, nodes_list,       NULL, PAGED},
    {HTTP_GET,    "/v1/nodes/{id}",                READ,     NONE,  EMPTY, nodes_get,        NULL, QUERY("revision", "wait")},
    {HTTP_POST,   "/v1/nodes/{id}/drain",          OPERATOR, NONE,  EMPTY, nodes_drain,      NULL, NULL},
    {HTTP_POST,   "/v1/nodes/{id}/undrain",        OPERATOR, NONE,  EMPTY, nodes_undrain,    NULL, NULL},
    {HTTP_POST,   "/v1/nodes/{id}/fence",          OPERATOR, NONE,  EMPTY, nodes_fence,      NULL, NULL},
    {HTTP_GET,    "/v1/datasets",                  READ,     NONE,  EMPTY, datasets_list,    NULL, PAGED},
    {HTTP_POST,   "/v1/datasets",                  OPERATOR, JSON,  SMALL, datasets_put,     NULL, NULL},
    {HTTP_GET,    "/v1/datasets/{dataset}",        READ,     NONE,  EMPTY, datasets_get,     NULL, NULL},
    {HTTP_GET,    "/v1/tokens",                    OPERATOR, NONE,  EMPTY, tokens_list,      NULL, PAGED},
    {HTTP_POST,   "/v1/tokens",                    OPERATOR, JSON,  SMALL, tokens_create,    NULL, NULL},
    {HTTP_GET,    "/v1/tokens/{id}",               OPERATOR, NONE,  EMPTY, tokens_get,       NULL, NULL},
    {HTTP_DELETE, "/v1/tokens/{id}",               OPERATOR, NONE,  EMPTY, tokens_delete,    NULL, NULL},
    {HTTP_GET,    "/v1/stream",                    READ,     NONE,  EMPTY, stream_open,      NULL, QUERY("topics")},
    {HTTP_GET,    "/v1/version",                   PUBLIC,   NONE,  EMPTY, system_version,   NULL, NULL},
    {HTTP_GET,    "/healthz",                      PUBLIC,   NONE,  EMPTY, system_healthz,   NULL, NULL},
    {HTTP_GET,    "/readyz",                       PUBLIC,   NONE,  EMPTY, system_readyz,    NULL, NULL},
    {HTTP_GET,    "/metrics",                      PUBLIC,   NONE,  EMPTY, system_metrics,   NULL, NULL},
    {HTTP_GET,    "/openapi.json",                 PUBLIC,   NONE,  EMPTY, system_openapi,   NULL, NULL},
    {HTTP_GET,    "/",                             PUBLIC,   NONE,  EMPTY, system_file,      NULL, NULL},
    {HTTP_GET,    "/{file}",                       PUBLIC,   NONE,  EMPTY, system_file,      NULL, NULL},
    {.path = NULL},
};

const struct http_route agent_routes[] = {
    {HTTP_POST,   "/v1/agent/join",                PUBLIC,   JSON,  SMALL, agent_join,       NULL, NULL},
    {HTTP_POST,   "/v1/agent/sync",                NODE,     JSON,  SYNC_BYTES_MAX,      agent_sync,      NULL, NULL},
    {HTTP_POST,   "/v1/agent/telemetry",           NODE,     NDJSON, TELEMETRY_BYTES_MAX, agent_telemetry, NULL, NULL},
    {HTTP_PUT,    "/v1/agent/checkpoints/{job}/{attempt}/{step}/{shard}", NODE, BYTES, BLOB,  agent_shard_put, agent_shard_sink, QUERY("of")},
    {HTTP_GET,    "/v1/agent/checkpoints/{job}/{attempt}/{step}/{shard}", NODE, NONE,  EMPTY, agent_shard_get, NULL, QUERY("of")},
    {HTTP_PUT,    "/v1/agent/artifacts/{job}/{attempt}/{name}", NODE, BYTES, BLOB, agent_artifact_put, agent_artifact_sink, NULL},
    {HTTP_POST,   "/v1/agent/results",             NODE,     JSON,  SMALL, agent_result,     NULL, NULL},
    {HTTP_POST,   "/v1/agent/logs",                NODE,     BYTES, MIB,   agent_logs,       NULL, QUERY("job", "attempt", "rank", "stream", "offset")},
    {HTTP_GET,    "/healthz",                      PUBLIC,   NONE,  EMPTY, system_healthz,   NULL, NULL},
    {.path = NULL},
};
/* clang-format on */
