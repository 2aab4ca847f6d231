#ifndef AGENT_PROBE_H
#define AGENT_PROBE_H

/*
 * probe.h - what this machine is: facts for joining, slots, and where control groups can be made.
 */

#include <stdint.h>

#include "agent/site.h"
#include "base/error.h"
#include "schema/wire_agent.h"

MUST_CHECK enum status probe_boot_id(char out[64], struct error *err);
/* `spec`: "auto" (a slot a core), "cpu:N"; "cuda" is STATUS_UNSUPPORTED. */
MUST_CHECK enum status probe_slots(const char *spec, struct wire_slot out[NODE_SLOTS_MAX],
                                   size_t *out_count, struct error *err);
/* The address from which the controller sees us: the route to it decides. */
MUST_CHECK enum status probe_address(const char *controller, char out[ADDRESS_BYTES],
                                     struct error *err);
/* Paths of a program that stands beside our own. */
MUST_CHECK enum status probe_sibling(const char *name, char *out, size_t out_bytes,
                                     struct error *err);
/* Asks the trainer which arithmetic it does here. */
MUST_CHECK enum status probe_numerics(const char *trainer, char out[NUMERICS_BYTES],
                                      struct error *err);
int64_t probe_memory_bytes(void);
int64_t probe_cpu_count(void);
/* Fills cgroup_kind and cgroup_parent: "none" where no group with a memory controller can be made. */
void probe_cgroup(struct site *site);

#endif
