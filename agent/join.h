#ifndef AGENT_JOIN_H
#define AGENT_JOIN_H

/*
 * join.h - how a node becomes known: once, with a one-use token. What comes back is stored in
 * <data>/credential.json (0600) and used from then on; a join token given later is ignored.
 */

#include "agent/site.h"
#include "base/error.h"
#include "base/option.h"
#include "schema/wire_agent.h"

struct join_options {
    const char *token_file;           /* NULL: none was given */
    const char *port_range;           /* "A-B" or NULL */
    const struct option_list *labels; /* "key=value" */
};

/*
 * Sets node_id, node_token and profile of `site`, by credential or by joining. Joining asks the
 * controller until it answers (back-off 0.1 s to 2 s).
 */
MUST_CHECK enum status join_node(struct site *site, const struct join_options *options,
                                 struct error *err);

#endif
