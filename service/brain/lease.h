#ifndef SERVICE_BRAIN_LEASE_H
#define SERVICE_BRAIN_LEASE_H

/*
 * lease.h - private to the brain: which nodes are heard of, suspect, lost.
 *
 * Suspect: three heartbeats missed, or the connection closed and did not come back within one. That is
 *   UNKNOWN: the node gets nothing new, and nothing ends, unless a *witness* tells more: a rank of the same
 *   fenced attempt on a node that is heard of has been waiting in one collective for as long as a
 *   silent node can have been gone (suspect time less the one heartbeat that may have been due).
 * Lost: W after the last sync was received. Every attempt there ends, but for a fenced gang that is seen
 *   to step on other nodes: all its ranks are alive then, and only the agent is away. Such a gang is
 *   spared while it steps, at most LEASE_SPARE_MS, because nothing of the lost node's is saved
 *   meanwhile. Slots stay held.
 * Brake: more than half of the nodes, and at least three, gone within W means that our own network is
 *   gone: for 2 W nobody is judged; after that the loss is believed.
 * After a start nobody is suspect or lost for W.
 */

#include "service/brain/state.h"

#define LEASE_BRAKE_NODES_MIN 3
#define LEASE_SPARE_MS        300000

int64_t lease_suspect_at(const struct brain *brain, const struct node *node);
int64_t lease_lost_at(const struct brain *brain, const struct node *node);
int64_t lease_witness_ms(const struct brain *brain);

/* Called on a tick: judges nodes when one is due. */
void lease_judge(struct brain *brain);
/* Something happened that may make a node due earlier than was thought. */
void lease_look_again(struct brain *brain, int64_t at_ms);
/* Takes a node for lost, for this reason: every live attempt there ends. */
void lease_lose(struct brain *brain, struct node *node, enum reason reason, const char *detail);

#endif
