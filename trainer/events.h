#ifndef TRAINER_EVENTS_H
#define TRAINER_EVENTS_H

/*
 * events.h - what a rank says: JSON lines appended to its own file, each in one write(2), so that a
 * reader never sees half a line that will not become whole. Lines are numbered from 1 in each
 * attempt's file.
 *
 * Threads: any; the checkpoint's writer reports too.
 * Errors:  STATUS_NO_SPACE and kin: who cannot speak must not go on (exit 73).
 */

#include "base/error.h"
#include "schema/wire_event.h"

struct events;

MUST_CHECK enum status events_open(const char *path, int rank, struct events **out,
                                   struct error *err);
void events_close(struct events *events); /* accepts NULL */
/* Sets seq, rank and times, and appends the line. */
MUST_CHECK enum status events_emit(struct events *events, struct wire_event *event,
                                   struct error *err);

#endif
