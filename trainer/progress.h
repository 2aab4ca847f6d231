#ifndef TRAINER_PROGRESS_H
#define TRAINER_PROGRESS_H

/* progress.h - the trainer's end of schema/progress_page.h: the page that shows that this rank lives. */

#include <stdint.h>

#include "base/error.h"
#include "schema/progress_page.h"

/* Maps the file at `path`; with NULL a page that nobody sees, so that callers need not ask. */
MUST_CHECK enum status progress_open(const char *path, struct progress_page **out,
                                     struct error *err);
void progress_close(struct progress_page *page); /* accepts NULL */
void progress_enter(struct progress_page *page, enum progress_phase phase);
void progress_step(struct progress_page *page, int64_t step);

#endif
