#ifndef SERVICE_API_OBJECT_H
#define SERVICE_API_OBJECT_H

/*
 * object.h - GET of one object that carries a revision: now, or, with ?revision=N&wait=30s, once its
 * revision exceeds N or the time is up. The object's id is the path's first parameter.
 */

#include "service/api/api.h"

/* Writes the object as it is now into `body`, and its revision. */
typedef enum status object_read_fn(struct http_request *request, struct buf *body,
                                   int64_t *out_revision, struct error *err);

/* Answers with the object, its revision as ETag, or with the problem. */
void object_reply(struct http_request *request, unsigned code, object_read_fn *read);
/* The whole of such a route. */
void object_get(struct http_request *request, object_read_fn *read);

#endif
