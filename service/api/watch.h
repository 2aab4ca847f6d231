#ifndef SERVICE_API_WATCH_H
#define SERVICE_API_WATCH_H

/*
 * watch.h - who waits for a change of an object (?revision=N&wait=30s): object id → holds to wake.
 *
 * Threads: any. No lock is held while a hold is woken.
 */

#include <stdint.h>

#include "base/error.h"
#include "service/http/hold.h"

struct watch;

MUST_CHECK enum status watch_new(struct http_holds *holds, struct watch **out, struct error *err);
void watch_free(struct watch *watch); /* accepts NULL */

/* False: out of memory, nobody will wake it. */
MUST_CHECK bool watch_add(struct watch *watch, const char *id, uint64_t hold);
void watch_wake(struct watch *watch, const char *id);
void watch_forget(struct watch *watch, const char *id, uint64_t hold);

#endif
