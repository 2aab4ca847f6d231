#ifndef AGENT_UPLOAD_H
#define AGENT_UPLOAD_H

/*
 * upload.h - shards and results to the controller, on threads of their own: those of one job one after
 * the other, those of several jobs beside each other, so that a large shard holds up its own job only.
 *
 * Each is tried until the controller has taken it (2xx) or refused it for good (4xx: 409 says that
 * the attempt is fenced). A shard goes to the shelf before it goes up, so that this node can resume
 * from it, and its file in the attempt's folder goes away afterwards: that is also how a later agent
 * knows that there is nothing to do.
 *
 * Threads: upload_submit() from one thread; the callback runs on the uploader's UPLOAD_WORKERS.
 * Limits:  UPLOADS_MAX waiting; the caller waits with the next until one is back.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/site.h"
#include "base/error.h"
#include "schema/wire_agent.h"

#define UPLOADS_MAX        4096
#define UPLOAD_WORKERS     3             /* jobs whose files are on their way at one moment */
#define UPLOAD_RESULT_SENT "result.sent" /* in the attempt's folder: the result has been taken */

enum upload_kind { UPLOAD_SHARD, UPLOAD_RESULT };

struct upload {
    enum upload_kind kind;
    char job[ID_BYTES_MAX];
    int64_t attempt;
    int64_t step, shard, of;          /* shards */
    char sha256[65];                  /* shard: of the file; result: over the tensors */
    char folder[SITE_PATH_BYTES * 2]; /* the attempt's */
    char path[PATH_BYTES_MAX];        /* absolute, inside `folder` */
    json_t *metrics;                  /* result; owned */
    /* The newest step of its rank that has been submitted, atomic; a whole checkpoint older than that
     * is passed over. NULL: none. Lives as long as the upload. */
    const int64_t *newest_step;
    void *owner;         /* the submitter's */
    int64_t line_offset; /* the submitter's: where its event starts */
    struct upload *next; /* the uploader's */
};

struct uploader;
typedef void upload_done_fn(void *context, struct upload *upload);

MUST_CHECK enum status upload_start(const struct site *site, upload_done_fn *done, void *context,
                                    struct uploader **out, struct error *err);
void upload_stop(struct uploader *uploader); /* accepts NULL; gives nothing back */
/* False when UPLOADS_MAX wait. The upload comes back through `done`. */
MUST_CHECK bool upload_submit(struct uploader *uploader, struct upload *upload);
void upload_free(struct upload *upload); /* accepts NULL */

#endif
