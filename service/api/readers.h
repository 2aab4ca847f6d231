#ifndef SERVICE_API_READERS_H
#define SERVICE_API_READERS_H

/*
 * readers.h - a small pool of read-only connections, so that any thread can ask the databases without
 * opening one of its own. The one used last is taken first: an idle service keeps few warm.
 *
 *     CLEANUP(lent_return) struct lent lent = {0};
 *     TRY(readers_lend(api->readers, &lent, &err));      lent.state, lent.telemetry
 *
 * Threads: any.
 */

#include "base/error.h"
#include "service/store/reader.h"
#include "service/store/telemetry.h"

#define READERS_MAX 16

struct readers;

struct lent {
    struct readers *from;
    struct reader *state;
    struct telemetry_reader *telemetry;
};

/* `data_dir` is borrowed. */
MUST_CHECK enum status readers_new(const char *data_dir, struct readers **out, struct error *err);
void readers_free(struct readers *readers); /* all returned; accepts NULL */
/* STATUS_BUSY when READERS_MAX are out. */
MUST_CHECK enum status readers_lend(struct readers *readers, struct lent *out, struct error *err);
void lent_return(struct lent *lent); /* fine on an empty one */

#endif
