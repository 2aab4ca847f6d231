#ifndef SERVICE_BRAIN_TRANSITION_H
#define SERVICE_BRAIN_TRANSITION_H

/*
 * transition.h - private to the brain: the only functions that change a state. Each asks the machine's
 * table, changes nothing when the event is a repeat, and else writes the row and a line of history.
 * An event that the table does not allow is our bug and ends the process.
 */

#include "service/brain/state.h"

void transition_job(struct brain *brain, struct job *job, enum job_event event, enum reason reason,
                    const char *detail);
void transition_attempt(struct brain *brain, struct attempt *attempt, enum attempt_event event,
                        enum reason reason, const char *detail);
void transition_node(struct brain *brain, struct node *node, enum node_event event,
                     enum reason reason, const char *detail);

#endif
