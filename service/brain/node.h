#ifndef SERVICE_BRAIN_NODE_H
#define SERVICE_BRAIN_NODE_H

/* node.h - private to the brain: what operators and agents do with nodes as a whole. */

#include "service/brain/state.h"

void node_join(struct brain *brain, const struct brain_input *input);
void node_disconnect(struct brain *brain, const struct brain_input *input);
void node_drain(struct brain *brain, const struct brain_input *input);
void node_undrain(struct brain *brain, const struct brain_input *input);
void node_fence(struct brain *brain, const struct brain_input *input);

/* Takes over what the node says of its slots; zero slots say nothing. */
void node_update_slots(struct brain *brain, struct node *node, const struct slot_row *slots,
                       size_t count);
/* Nothing that ran there runs any more. */
void node_confirm_all(struct brain *brain, struct node *node, enum reason reason,
                      const char *detail);
/* Asks every live attempt with a rank there to stop, because the node is to be emptied. */
void node_stop_attempts(struct brain *brain, struct node *node);

#endif
