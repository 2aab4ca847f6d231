#ifndef SERVICE_API_REGISTRY_H
#define SERVICE_API_REGISTRY_H

/* registry.h - what operators keep: data sets (datasets.c) and tokens of people and programs (tokens.c). */

#include "service/http/request.h"

void datasets_list(struct http_request *request);
void datasets_get(struct http_request *request);
void datasets_put(struct http_request *request);

void tokens_list(struct http_request *request);
void tokens_get(struct http_request *request);
void tokens_create(struct http_request *request);
void tokens_delete(struct http_request *request);

#endif
