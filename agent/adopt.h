#ifndef AGENT_ADOPT_H
#define AGENT_ADOPT_H

/*
 * adopt.h - what an agent finds when it starts: the attempts of its predecessor.
 *
 *   no intent.json                      rubbish: removed
 *   an unreadable one                   what lives is killed; it never runs again, and is told as runner_lost
 *   another boot id                     everything is dead: ends of exit.json, else node_rebooted
 *   runner.sock answers                 lives on; pids and pages come over the socket
 *   nobody answers, exit.json whole     over
 *   nobody answers, ends missing        leftovers are killed, the rest ended as runner_lost
 *
 * Blocks up to ADOPT_WAIT_MS for runners to say hello, so that the first sync tells the whole truth.
 * A runner that is connected but silent is kept, its ranks' verdict is unknown.
 */

#include <stddef.h>
#include <stdint.h>

#include "agent/local.h"
#include "agent/site.h"
#include "base/error.h"

#define ADOPT_WAIT_MS 1000

/* Fills up to `max`; each is then the caller's. */
MUST_CHECK enum status adopt_attempts(const struct site *site, struct local **out, size_t max,
                                      size_t *out_count, struct error *err);

/*
 * The runner is gone: its attempt is over. Ends come from exit.json; leftovers of ranks without one are
 * killed and recorded as runner_lost, or node_rebooted.
 */
void adopt_bury(const struct site *site, struct local *local, bool rebooted);

#endif
