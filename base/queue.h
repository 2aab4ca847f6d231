#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

/*
 * queue.h - a bounded queue of pointers between threads: many producers, one consumer that takes
 * everything there is at once (which is what makes group commit).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct queue;

MUST_CHECK enum status queue_new(size_t capacity, struct queue **out, struct error *err);
void queue_free(struct queue *queue); /* must be empty; accepts NULL */
/* False when full or closed: the item stays the caller's. */
MUST_CHECK bool queue_push(struct queue *queue, void *item);
/*
 * Waits until there is an item, the monotonic deadline passes or the queue is closed, then moves up
 * to `max` items to `out`. Returns their number (0: deadline or closed and empty).
 */
size_t queue_take(struct queue *queue, void **out, size_t max, int64_t deadline_mono_ms);
/* Wakes the consumer; later pushes fail. */
void queue_close(struct queue *queue);
bool queue_is_closed(struct queue *queue);
size_t queue_length(struct queue *queue);

#endif
