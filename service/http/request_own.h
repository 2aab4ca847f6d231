#ifndef SERVICE_HTTP_REQUEST_OWN_H
#define SERVICE_HTTP_REQUEST_OWN_H

/* request_own.h - private to service/http: what a request is made of. */

#include <microhttpd.h>

#include "service/http/hold.h"
#include "service/http/request.h"
#include "service/http/server.h"

#define HTTP_QUERIES_MAX      12
#define HTTP_QUERY_BYTES_MAX  512
#define HTTP_TARGET_BYTES_MAX 4096
#define HTTP_HEADERS_MAX      (16 * KIB)

enum http_stage {
    HTTP_STAGE_NEW,       /* request line read, nothing checked */
    HTTP_STAGE_BODY,      /* its body is coming in */
    HTTP_STAGE_THROW,     /* a reply is ready; the rest of the body is thrown away */
    HTTP_STAGE_SUSPENDED, /* waits for http_resume() */
    HTTP_STAGE_DONE,      /* the reply is queued */
};

struct http_query_pair {
    const char *name;
    const char *value;
};

struct http_request {
    struct MHD_Connection *connection;
    struct http_server *server;
    const struct http_route *route;
    enum http_stage stage;
    char id[HTTP_REQUEST_ID_BYTES];
    struct http_caller caller;
    int64_t received_boot_ms;
    int64_t received_mono_ms;
    bool is_head; /* answered as GET, without the body */
    bool target_too_long;
    char *target; /* path, NUL, query: split and unescaped in place */
    char *text;   /* unescaped parameters and queries point in here */
    size_t text_used;
    const char *params[HTTP_PARAMS_MAX];
    size_t param_count;
    struct http_query_pair queries[HTTP_QUERIES_MAX];
    size_t query_count;
    struct buf body;
    uint64_t body_bytes;
    int64_t content_length; /* -1: chunked or none */
    unsigned code;
    struct MHD_Response *response; /* NULL: not replied yet */
    bool close;                    /* after the reply */
    bool owed;                     /* it is among the server's owed answers */
    http_handler_fn *next;
    enum http_hold_end hold_end;
    void *context;
    void (*context_free)(void *context);
};

/* Counts a connection that was suspended or resumed. */
void http_server_note_suspended(struct http_server *server, int change);

/* Frees everything, also a reply that was not sent. */
void http_request_free(struct http_request *request);

#endif
