#ifndef SERVICE_API_SYSTEM_H
#define SERVICE_API_SYSTEM_H

/* system.h - /healthz, /readyz, /metrics, /v1/stream, and the files that the binary carries. */

#include "service/http/request.h"

void system_healthz(struct http_request *request);
void system_readyz(struct http_request *request);
void system_metrics(struct http_request *request);
void system_version(struct http_request *request);
void system_file(struct http_request *request);
void system_openapi(struct http_request *request);
void stream_open(struct http_request *request);

#endif
