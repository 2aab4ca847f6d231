#ifndef AGENT_BACKOFF_H
#define AGENT_BACKOFF_H

/* backoff.h - waits that double up to a maximum, with jitter: half to the whole of the value. */

#include <stdint.h>

struct backoff {
    int64_t first_ms, max_ms, next_ms;
    uint64_t seed;
};

struct backoff backoff_of(int64_t first_ms, int64_t max_ms);
int64_t backoff_next_ms(struct backoff *backoff);
void backoff_reset(struct backoff *backoff);

#endif
