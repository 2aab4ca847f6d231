#ifndef AGENT_FETCH_H
#define AGENT_FETCH_H

/*
 * fetch.h - brings the shards that an attempt resumes from into its folder "resume", under the names
 * that the trainer expects: shard-00000-of-00001. From this node's shelf where it has them, else from
 * the controller. Each is hashed before it gets its name.
 *
 * Errors: STATUS_CORRUPT when the controller's bytes do not have the hash it promised;
 *         STATUS_UNAVAILABLE when it can't be reached.
 */

#include <stdbool.h>

#include "agent/site.h"
#include "base/error.h"
#include "base/http_client.h"
#include "schema/wire_agent.h"

MUST_CHECK enum status fetch_shards(const struct site *site, struct http_client *client,
                                    const struct wire_assignment *assignment, const char *folder,
                                    const bool *cancelled, struct error *err);

#endif
