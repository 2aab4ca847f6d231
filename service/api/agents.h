#ifndef SERVICE_API_AGENTS_H
#define SERVICE_API_AGENTS_H

/*
 * agents.h - what the agents' listener knows of each node, so that a sync is answered from memory and
 * never waits for a commit or a disk: its session, when it was last heard, its newest desired set, and
 * the sync that is held for it.
 *
 *     sync ──▶ agents_enter() ──▶ answer now, or hold ─ ─ desired moved | heartbeat due ──▶ answer
 *                   │
 *                   └──▶ the loop, as INPUT_NODE_SYNC
 *
 * A session is one life of an agent process. A sync with session 0 begins one; its number is above
 * all former ones, also across restarts of the controller, because it is at least the wall clock's
 * milliseconds. A sync of an older session is refused: that agent has been replaced.
 *
 * Threads: any; no lock is held while a hold is woken.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/id.h"
#include "service/http/hold.h"

#define AGENTS_MAX 20000

struct agents;

MUST_CHECK enum status agents_new(struct http_holds *holds, struct agents **out, struct error *err);
void agents_free(struct agents *agents); /* accepts NULL */

/* The loop publishes a node's desired set (takes the text) and lets its held sync go. */
void agents_publish(struct agents *agents, const char *node, int64_t revision, char *json);

struct agents_sync {
    const char *node;
    int64_t session; /* 0: begin one */
    int64_t seq;
    int64_t revision_seen;
    int64_t received_boot_ms;
    int64_t wall_ms;
    bool news;
};

struct agents_entry {
    int64_t session;
    bool fresh; /* this message is newer than all before: the brain is to hear of it */
    bool hold;  /* nothing to tell yet: hold the answer */
};

/*
 * Takes note of a sync and wakes the one that was held before. STATUS_CONFLICT: its session has been
 * replaced.
 */
MUST_CHECK enum status agents_enter(struct agents *agents, const struct agents_sync *sync,
                                    struct agents_entry *out, struct error *err);
/* Says which hold answers for the node; a desired set that has moved meanwhile ends it at once. */
void agents_held(struct agents *agents, const char *node, int64_t session, int64_t seq,
                 int64_t revision_seen, uint64_t hold);
/* True if `hold` was still the node's: its connection is the one that keeps the node connected. */
bool agents_let_go(struct agents *agents, const char *node, uint64_t hold);

/*
 * Appends `"revision":N` and, if the node has not seen it, `,"desired":[...]`.
 */
void agents_write_desired(struct agents *agents, const char *node, int64_t revision_seen,
                          struct buf *out);
/* When the node was last heard, CLOCK_BOOTTIME; 0: not since this process started. */
int64_t agents_heard_boot_ms(struct agents *agents, const char *node);

#endif
