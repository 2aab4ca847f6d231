#ifndef AGENT_SYNC_H
#define AGENT_SYNC_H

/*
 * sync.h - the conversation with the controller: what we observe goes up, what it wants comes down.
 *
 * Two threads, each with its own connection. "held": a sync that the controller answers when the
 * desired set changes or the heartbeat is due, then at once the next one. "news": a sync sent when
 * sync_news() says that something happened here. Both carry the whole truth (board.h), so a lost one
 * costs nothing. Neither touches the disk or waits for anything but the network.
 *
 * A lease counts from the moment its sync was SENT: the controller counts from receipt, so it never
 * thinks that we stopped while we still run.
 *
 * Threads: sync_news() from any; sync_take() from the main thread, when the descriptor is readable.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/board.h"
#include "base/error.h"
#include "schema/wire_agent.h"

struct sync;

struct sync_options {
    const char *controller; /* base URL */
    const char *token;
    const char *boot_id;
    const struct wire_slot *slots;
    size_t slot_count;
    struct board *board;
};

/* What came down since the last look. */
struct sync_inbox {
    bool fenced;      /* a newer session of this node exists: stop */
    bool has_desired; /* `answer` is the newest desired set, owned by the taker */
    struct wire_sync_answer answer;
    int64_t lease_boot_ms; /* 0: none yet */
    int64_t kill_budget_ms;
    int64_t heartbeat_ms;
};

MUST_CHECK enum status sync_start(const struct sync_options *options, struct sync **out,
                                  struct error *err);
/* Ends both threads at once. Accepts NULL. */
void sync_stop(struct sync *sync);
/* Readable when there is something to take. */
int sync_fd(const struct sync *sync);
void sync_take(struct sync *sync, struct sync_inbox *out);
/* Something happened here: tell the controller now. */
void sync_news(struct sync *sync);

#endif
