#ifndef SERVICE_HTTP_GATE_H
#define SERVICE_HTTP_GATE_H

/* gate.h - private to service/http: everything that is checked before a handler runs. */

#include "service/http/request_own.h"

/* Copies path and query out of the raw target; false when it is too long or memory is out. */
bool http_gate_target(struct http_request *request, const char *raw);

/*
 * Checks the request up to its body. True: route, caller, parameters and queries are set. False: a
 * problem has been replied.
 */
bool http_gate_pass(struct http_request *request, const struct http_route *routes,
                    struct auth *auth, bool loopback_only, const char *method);

#endif
