#ifndef SERVICE_API_TIDY_H
#define SERVICE_API_TIDY_H

/*
 * tidy.h - blobs that no row names and none will: shards that came after their attempt's end, models
 * of attempts that failed. A job's go when it ends, or when something came too late; what a crash
 * left of all jobs goes at the start.
 *
 * Threads: any; the work is the disk worker's.
 */

#include "service/api/api.h"
#include "service/store/reader.h"

/* At start, by the caller. */
MUST_CHECK enum status tidy_all(struct blobs *blobs, struct reader *reader, size_t *out_removed,
                                struct error *err);
/* Later. When the disk has too much to do they stay until the next start. */
void tidy_job(struct api *api, const char *job);

#endif
