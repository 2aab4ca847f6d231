#include "service/api/tidy.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "service/api/disk.h"
#include "service/api/readers.h"

/*
 * Is a blob named by the database, or may it come to be? A doubt keeps it. The job is read before the
 * shard: if its attempt was over by then, no row of it comes any more.
 */
static bool keep_blob(void *context, const char *text)
{
    struct reader *reader = context;
    struct blob_key key;
    struct error err = {0};
    if (!blob_key_parse(text, &key))
        return false;
    struct job_view view;
    const enum status status = reader_job(reader, key.job, &view, &err);
    if (status != STATUS_OK)
        return status != STATUS_NOT_FOUND;
    if (!job_state_is_terminal(view.row.state) && view.row.attempt == key.attempt)
        return true;
    if (!key.is_shard)
        return view.row.result_attempt == key.attempt;
    struct shard_row row;
    return reader_shard(reader, key.job, key.attempt, key.step, key.shard, &row, &err) !=
           STATUS_NOT_FOUND;
}

enum status tidy_all(struct blobs *blobs, struct reader *reader, size_t *out_removed,
                     struct error *err)
{
    return blobs_sweep(blobs, NULL, keep_blob, reader, out_removed, err);
}

struct tidying {
    struct disk_task task;
    struct api *api;
    char job[ID_BYTES_MAX];
};

static void tidy_run(struct disk_task *task)
{
    struct tidying *tidying = task->context;
    struct api *api = tidying->api;
    struct error err = {0};
    size_t removed = 0;
    CLEANUP(lent_return) struct lent lent = {0};
    if (readers_lend(api->readers, &lent, &err) != STATUS_OK ||
        blobs_sweep(api->blobs, tidying->job, keep_blob, lent.state, &removed, &err) != STATUS_OK)
        log_write(LOG_WARN, "blobs_not_tidied", err.text, "job", tidying->job, NULL);
    free(tidying);
}

void tidy_job(struct api *api, const char *job)
{
    struct tidying *tidying = calloc(1, sizeof(*tidying));
    if (tidying == NULL)
        return;
    tidying->task = (struct disk_task){.run = tidy_run, .context = tidying};
    tidying->api = api;
    snprintf(tidying->job, sizeof(tidying->job), "%s", job);
    if (!disk_push(api->disk, &tidying->task))
        free(tidying);
}
