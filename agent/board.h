#ifndef AGENT_BOARD_H
#define AGENT_BOARD_H

/*
 * board.h - what the node observes, published by the main thread for the sync threads.
 *
 * The main thread replaces the whole board after each change; a sync thread renders it with the
 * progress pages as they are at that moment, so heartbeats stay fresh even while the main thread
 * waits for a disk.
 *
 * Threads: any. A page on the board is mapped until a board without it has been published.
 */

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/local.h"
#include "base/error.h"
#include "schema/wire_agent.h"

struct board;

MUST_CHECK enum status board_new(struct board **out, struct error *err);
void board_free(struct board *board); /* accepts NULL */
/* Publishes all attempts but those that are over and not desired any more. */
MUST_CHECK enum status board_publish(struct board *board, struct local *const *locals, size_t count,
                                     struct error *err);
/* Renders `sync` with the attempts of the board filled in; a new reference, NULL without memory. */
json_t *board_render(struct board *board, struct wire_sync sync, int64_t now_boot_ms);

#endif
