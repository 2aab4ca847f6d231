#ifndef SERVICE_BRAIN_MEMORY_H
#define SERVICE_BRAIN_MEMORY_H

/*
 * memory.h - private to the brain: allocation that ends the process when there is none.
 *
 * The number of live jobs, nodes and slots is bounded by configuration and by what agents may report, so
 * memory runs out only on a machine that cannot run the controller at all. Half of a transition cannot
 * be undone; the process ends and starts again from disk.
 */

#include <stddef.h>

void *memory_new(size_t count, size_t size); /* zeroed */
/* Makes room for one more item: doubles `*capacity` when `count` has reached it; new room is zeroed. */
void *memory_grow(void *items, size_t count, size_t *capacity, size_t size);
char *memory_copy_text(const char *text); /* NULL stays NULL */
void memory_free(void *pointer);

#endif
