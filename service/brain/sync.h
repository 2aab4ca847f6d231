#ifndef SERVICE_BRAIN_SYNC_H
#define SERVICE_BRAIN_SYNC_H

/*
 * sync.h - private to the brain: what a node's sync says. It is the whole truth each time: a message that
 * is older than one already heard (session, seq) says nothing; repeating one changes nothing.
 */

#include "service/brain/state.h"

void sync_hear(struct brain *brain, const struct brain_input *input);

#endif
