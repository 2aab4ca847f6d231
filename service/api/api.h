#ifndef SERVICE_API_API_H
#define SERVICE_API_API_H

/*
 * api.h - what the handlers share: the world behind a request. Made once by api_open(), constant from
 * then on; each member has its own rule for threads.
 *
 * A handler that changes state goes: decode → struct api_call → loop → `next` → reply. A handler that
 * only reads takes a reader from the pool and never waits for the loop.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "service/blobs/blobs.h"
#include "service/brain/brain.h"
#include "service/http/auth.h"
#include "service/http/hold.h"
#include "service/http/request.h"
#include "service/http/server.h"
#include "service/live.h"
#include "service/loop.h"
#include "service/store/logs.h"
#include "service/store/telemetry.h"
#include "service/worker.h"

#define API_ANSWER_BYTES_MAX (64 * MIB)
#define API_SUBMIT_BYTES_MAX (256 * KIB)
#define API_SMALL_BYTES_MAX  (64 * KIB)
#define API_WAIT_MS_MAX      30000
#define API_PAGE_DEFAULT     50
#define API_BLOB_BYTES_MAX   (256 * (uint64_t)MIB) /* blob_state_bytes_max */
#define API_PROJECT_DEFAULT  "default"

struct agents;
struct feed;
struct readers;
struct watch;
struct telemetry_desk;

struct api {
    const char *data_dir;
    const char *web_dir; /* the status page's files; NULL: those inside the binary */
    const struct brain_profile *profile;
    int64_t started_wall_ms;
    struct loop *loop;
    struct live *live;
    struct readers *readers;
    struct blobs *blobs;
    struct logs *logs;
    struct auth *auth;
    struct http_holds *holds;
    struct watch *watch;   /* who waits for a change of an object */
    struct feed *feed;     /* streams of changes */
    struct agents *agents; /* what the agents' listener answers from */
    struct worker *disk;   /* durable files: uploads' ends, deletions */
    struct telemetry_desk *telemetry;
    struct http_server *people_server; /* set when they serve; for /metrics */
    struct http_server *agents_server;
    atomic_bool ready;
};

/* The two route tables: the one place that says which paths there are. */
extern const struct http_route api_routes[];
extern const struct http_route agent_routes[];

static inline struct api *api_of(const struct http_request *request)
{
    return http_world(request);
}

/*
 * A call to the loop on behalf of a request. Embed it first in a handler's own struct and give that
 * to http_set_context(): it lives until the request ends.
 */
struct api_call {
    struct loop_call loop;
    struct http_request *request;
};

/* Suspends the request, hands the call over, and runs `next` once it is durable. */
void api_run(struct http_request *request, struct api_call *call, http_handler_fn *next);
/* In `next`: true if the call went well; else it has replied with the problem. */
MUST_CHECK bool api_succeeded(struct http_request *request, const struct api_call *call);

/* Replies 501: in the contract, but not in this release. */
void api_reply_later(struct http_request *request, const char *what);

#endif
