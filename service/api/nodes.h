#ifndef SERVICE_API_NODES_H
#define SERVICE_API_NODES_H

/* nodes.h - /v1/nodes: what there is, what runs there; drain, undrain, fence; join tokens. */

#include "service/api/api.h"
#include "service/api/out.h"
#include "service/api/readers.h"

void nodes_list(struct http_request *request);
void nodes_get(struct http_request *request);
void nodes_drain(struct http_request *request);
void nodes_undrain(struct http_request *request);
void nodes_fence(struct http_request *request);
void nodes_token(struct http_request *request);

/* Appends the whole object. */
MUST_CHECK enum status node_view_read(struct buf *buf, struct api *api, struct lent *lent,
                                      const char *id, struct error *err);

#endif
