#include "agent/backoff.h"

#include "base/id.h"

struct backoff backoff_of(int64_t first_ms, int64_t max_ms)
{
    return (struct backoff){first_ms, max_ms, first_ms, random_u64()};
}

int64_t backoff_next_ms(struct backoff *backoff)
{
    const int64_t whole_ms = backoff->next_ms;
    const int64_t half_ms = whole_ms / 2;
    backoff->next_ms = whole_ms * 2 < backoff->max_ms ? whole_ms * 2 : backoff->max_ms;
    return half_ms +
           (int64_t)(splitmix64_next(&backoff->seed) % (uint64_t)(whole_ms - half_ms + 1));
}

void backoff_reset(struct backoff *backoff)
{
    backoff->next_ms = backoff->first_ms;
}
