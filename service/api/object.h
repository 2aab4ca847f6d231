#ifndef SERVICE_API_OBJECT_H
#define SERVICE_API_OBJECT_H

/*
 * object.h - GET of one object that carries a revision: now, or, with ?revision=N&wait=30s, once its
 * revision exceeds N or the time is up. The object's id is the path's first parameter.
 */

#include "service/api/api.h"

/* Writes the object as it is now into `body`, and its revision, which stays 0 where it has none. */
typedef enum status object_read_fn(struct http_request *request, struct buf *body,
                                   int64_t *out_revision, struct error *err);

/* After a reply: its ETag, which is the object's revision. */
void object_etag(struct http_request *request, int64_t revision);
/*
 * The If-Match of a change: NULL when there is none, or any will do ("*"). It lives as long as the request.
 * False: it is no list of entity tags, and the problem has been replied.
 */
MUST_CHECK bool object_take_if_match(struct http_request *request, const char **out);
/* Whether one of the list's tags is this revision's; NULL matches all. Any thread. */
bool object_matches(const char *if_match, int64_t revision);
/* 412 */
void object_refuse_match(struct http_request *request, const char *what, const char *if_match,
                         int64_t revision);

/* Answers with the object, its revision as ETag if it has one, or with the problem. */
void object_reply(struct http_request *request, unsigned code, object_read_fn *read);
/* The whole of such a route. */
void object_get(struct http_request *request, object_read_fn *read);

#endif
