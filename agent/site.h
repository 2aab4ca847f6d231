#ifndef AGENT_SITE_H
#define AGENT_SITE_H

/*
 * site.h - what stays the same for the life of the agent: who we are, where things are. Filled once
 * by main before threads start, then read by all of them.
 */

#include <limits.h>
#include <stdint.h>

#include "schema/wire_agent.h"

#define SITE_PATH_BYTES 256

struct site {
    char data_dir[SITE_PATH_BYTES]; /* absolute */
    char trainer[PATH_MAX];         /* programs beside our own */
    char runner[PATH_MAX];
    char controller[SITE_PATH_BYTES];
    char address[ADDRESS_BYTES];
    char boot_id[64];
    char node_id[ID_BYTES_MAX];
    char node_token[TOKEN_BYTES];
    char profile[16];
    char cgroup_kind[8]; /* none, v1, v2 */
    char cgroup_parent[SITE_PATH_BYTES];
    struct wire_slot slots[NODE_SLOTS_MAX];
    size_t slot_count;
};

#endif
