#ifndef SERVICE_API_JOB_VIEW_H
#define SERVICE_API_JOB_VIEW_H

/*
 * job_view.h - a job as answers show it: the row of state.db, with the newest progress and metrics
 * merged in, which move no revision.
 */

#include "service/api/api.h"
#include "service/api/out.h"
#include "service/api/readers.h"

/* Writes the members of the object, without its braces. `with_spec`: also the spec, which is long. */
void job_view_write(struct out *out, struct api *api, struct telemetry_reader *telemetry,
                    const struct job_view *view, bool with_spec);
/* Appends the whole object, all fields. STATUS_NOT_FOUND also for a job that the caller may not see. */
MUST_CHECK enum status job_view_read(struct buf *buf, struct api *api, struct lent *lent,
                                     const struct http_caller *caller, const char *id,
                                     int64_t *out_revision, struct error *err);
/* The same object for a job that was just queued, from its row and texts: no database is asked. */
void job_view_write_queued(struct buf *buf, struct api *api, const struct job_view *view);
/* Whether a caller may see what belongs to this project. */
bool caller_sees(const struct http_caller *caller, const char *project);
/* The job's row for a caller who may see it. */
MUST_CHECK enum status job_row_read(struct lent *lent, const struct http_caller *caller,
                                    const char *id, struct job_row *out, struct error *err);
/* The newest progress and metrics, from memory or else from telemetry.db. */
void job_live(struct api *api, struct telemetry_reader *telemetry, const char *job,
              struct live_job *out);

#endif
