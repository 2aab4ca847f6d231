#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

/*
 * interrupt.h - Ctrl-C detaches instead of killing in the middle of a line: a thread waits for
 * SIGINT and SIGTERM and ends the request in progress.
 *
 * Threads: interrupt_watch() before any other thread exists; the rest on any.
 */

#include <stdbool.h>

#include "base/http_client.h"

/* From now on these signals abort `client`. */
void interrupt_watch(struct http_client *client);
bool interrupted(void);

#endif
